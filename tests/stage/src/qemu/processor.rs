//! The processor of a guest's machine.

use super::Guest;

/// The accelerator, `kvm` or `tcg`; otherwise TCG.
pub const ACCELERATOR_ENV: &str = "FANLIGHT_ACCEL";

/// Whether guests' processors are the real one.
pub(super) fn kvm() -> bool {
    std::env::var(ACCELERATOR_ENV).is_ok_and(|name| name == "kvm")
}

/// How the guest's processor is made, and which.
///
/// KVM is used only where the variable asks for it. An emulated machine has it too (QEMU emulates AMD's virtualization),
/// and boots Linux in a tenth of the time, but now and then it loses the guest or breaks the machine's kernel ("corrupted
/// stack end detected inside scheduler").
///
/// A processor that is emulated by an emulated one gets no further once its kernel ticks 250 times a second: handling that
/// takes all its time. Linux therefore has a clock that goes by its instructions, one for each 32 ns, while it has
/// something to do, and as ours does while it waits. Its model is the one that has the least, because a kernel patches
/// itself for all that a processor has.
pub(super) fn processor(guest: &Guest) -> &'static [&'static str] {
    match guest {
        _ if kvm() => &["-accel", "kvm", "-cpu", "host,la57=off,erms=off,fsrm=off"],
        Guest::Linux(_) => {
            &["-accel", "tcg,thread=single", "-icount", "shift=5,sleep=on", "-cpu", "qemu64"]
        }
        Guest::Firmware | Guest::Paint(_) | Guest::Sound => {
            &["-accel", "tcg,thread=multi", "-cpu", "qemu64"]
        }
    }
}
