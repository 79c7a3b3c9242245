//! KVM where it really boots a kernel, emulation elsewhere.

use crate::cache;
use crate::error::{Context as _, Result};
use crate::machine::{Job, Machine};
use crate::progress::say;
use crate::recipe;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

/// With KVM a boot takes two or three seconds; a KVM that can't run the kernel stands still.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accel {
    Kvm,
    Tcg,
}

impl Accel {
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"],
        }
    }

    /// The best that works here. A /dev/kvm may open and still not run a stock kernel (a nested one, for example), so
    /// it is tried once for each kernel and processor, and the answer is kept.
    pub(crate) fn best(root: &Path) -> Result<Self> {
        if File::options().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok(Self::Tcg);
        }
        let answer = cache::home()?.join(format!("kvm-{}", host_name()));
        match fs::read_to_string(&answer).as_deref() {
            Ok("works\n") => return Ok(Self::Kvm),
            Ok("fails\n") => return Ok(Self::Tcg),
            _ => say("trying whether KVM boots the VM"),
        }
        let machine =
            Machine { root, accel: Self::Kvm, limit: Some(LIMIT), out: None, name: "kvm" };
        let works =
            matches!(machine.run(&Job::new(["true"]), &mut io::sink(), &mut io::sink()), Ok(0));
        say(if works { "KVM works" } else { "KVM doesn't boot the VM: it will be emulated" });
        let text = if works { "works\n" } else { "fails\n" };
        fs::write(&answer, text).context(|| format!("writing {}", answer.display()))?;
        Ok(if works { Self::Kvm } else { Self::Tcg })
    }
}

/// What an answer holds for: the host's kernel, its processor, and the root with its QEMU.
fn host_name() -> String {
    let kernel = fs::read_to_string("/proc/version").unwrap_or_default();
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_about_it = |line: &&str| {
        ["vendor_id", "cpu family", "model", "stepping", "flags"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let processor: Vec<&str> =
        processor.split("\n\n").next().unwrap_or_default().lines().filter(is_about_it).collect();
    recipe::hash_of(&[&kernel, &processor.join("\n"), &recipe::hash()])
}
