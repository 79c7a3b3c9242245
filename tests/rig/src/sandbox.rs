//! Commands in the root, in namespaces of their own: whatever becomes of the rig, no mount and no process is left.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

const ENTER: &str = include_str!("../scripts/enter.sh");

/// A command of the host whose processes and mounts end with it, and which ends with the thread that starts it.
pub(crate) fn contained() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--"]);
    command
}

/// The root, read-only, with folders of the host bound into it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    arguments: Vec<OsString>,
}

impl Sandbox {
    pub(crate) fn new(root: &Path) -> Self {
        Self { arguments: vec![root.into()] }
    }

    pub(crate) fn bind(mut self, source: &Path, target: &str) -> Self {
        self.arguments.extend(["rw".into(), source.into(), target.into()]);
        self
    }

    pub(crate) fn bind_read_only(mut self, source: &Path, target: &str) -> Self {
        self.arguments.extend(["ro".into(), source.into(), target.into()]);
        self
    }

    /// A command in it, with no more of the environment than a path and `variables`.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        variables: &[(&str, &str)],
        argv: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = contained();
        command.args(["sh", "-c", ENTER, "enter.sh"]).args(&self.arguments).args([
            "--",
            "/usr/bin/env",
            "-i",
        ]);
        command.args([
            "HOME=/tmp",
            "LANG=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        command.args(argv);
        command
    }
}
