//! Nobody attends: a script logs in at the console of the Linux guest, runs a command, and compares what is there then with a
//! picture. It waits for nothing but what it sees, and is the same however QEMU shows the guest.
//!
//! The picture is of the kernel's font and of busybox's words. Where a newer one of these has others:
//!
//! ```sh
//! cargo rig build
//! cargo rig vm --timeout 1800 -- sh -c 'FANLIGHT_RENEW=1 $(ls -t target/rig/debug/deps/e2e-???????????????? | head -n 1) login'
//! ```
//!
//! Look at what became of tests/e2e/login/screen.png before you commit it.

use std::path::Path;
use std::time::Instant;

use fanlight_stage::Result;
use fanlight_stage::child::run;
use fanlight_stage::line::Command;
use fanlight_stage::viewer::fanlight;
use fanlight_stage::wait::Deadline;

use crate::linux::{Linux, lend};
use crate::stills::soon;

pub(crate) fn by_script() -> Result<()> {
    log_in(&mut *lend()?)
}

pub(crate) fn log_in(linux: &mut Linux) -> Result<()> {
    // Else what is typed is the keyboard's that every PC has, whose queue is short.
    linux.qemu.line.tell(&Command::Load("virtio_input".to_owned()), soon())?;
    linux.qemu.line.tell(&Command::Login, soon())?;
    let renew = std::env::var_os("FANLIGHT_RENEW").is_some();
    let script = if renew { "renew.fan" } else { "login.fan" };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/login").join(script);
    let mut command = fanlight(&linux.bus);
    command.arg("script").arg(script).arg("qemu:linux").arg("--evidence").arg(linux.dir.path());
    let began = Instant::now();
    run("script", "that has it", command, &linux.dir, Deadline::seconds(600))?;
    println!("REPORT login by script: {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}
