//! What the host has to have: root's rights, and a few tools.

use crate::error::{Error, Result};
use crate::progress::{self, Log};
use std::env;
use std::path::Path;
use std::process::Command;

/// A tool and the Debian package that has it.
const TOOLS: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("chroot", "coreutils"),
];

/// Mounts and chroots need root.
pub(crate) fn need_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let arguments: Vec<_> = env::args().skip(1).collect();
    Err(Error::new(format!(
        "the rig mounts and changes its root, which only root may do: run `sudo -E env \"PATH=$PATH\" cargo rig {}`",
        arguments.join(" ")
    )))
}

/// Installs the tools that are missing, where apt-get is there to do it.
pub(crate) fn need_tools() -> Result<()> {
    let mut packages: Vec<&str> =
        TOOLS.iter().filter(|tool| !on_path(tool.0)).map(|tool| tool.1).collect();
    if !Path::new(crate::apt::KEYRING).exists() && on_path("apt-get") {
        packages.push("debian-archive-keyring");
    }
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !on_path("apt-get") {
        return Err(Error::new(format!(
            "the rig needs {names}: install it with this system's package manager"
        )));
    }
    let log = Log::new("install")?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = |what: &str| {
        let mut command = apt_get();
        command.args(["install", "--yes", "--no-install-recommends"]).args(&packages);
        progress::step(what, &mut command, &log)
    };
    // The lists may be old, or not there at all.
    if install(&format!("installing {names}")).is_err() {
        progress::step("updating apt's lists", apt_get().arg("update"), &log)?;
        install(&format!("installing {names} again"))?;
    }
    log.discard();
    Ok(())
}

fn on_path(tool: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_looked_up_on_the_path() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-tool-anywhere"));
    }
}
