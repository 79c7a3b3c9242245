//! The VM: boots the root's kernel in the root's QEMU, with the root and the checkout as shared folders, and runs one
//! command there.

use crate::cache::{self, RunFolder};
use crate::error::{Context as _, Error, Result};
use crate::kvm::Accel;
use crate::plugin;
use crate::progress::{self, Log};
use crate::sandbox::Sandbox;
use rustix::io::{FdFlags, fcntl_setfd};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const INIT: &str = include_str!("../scripts/init.sh");
const MACHINE: &str = include_str!("../scripts/machine.sh");
/// Where the checkout is in the chroot and in the VM.
pub(crate) const CHECKOUT: &str = "/fanlight";
/// Where results go that are to lie elsewhere than in the checkout.
pub(crate) const OUT: &str = "/out";
/// Enough for a compositor, a nested QEMU with its guest, and the tmpfs of all of them.
const MEMORY_MIB: u32 = 4096;

/// One boot of the VM.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) root: &'a Path,
    pub(crate) accel: Accel,
    /// From the start of QEMU to its end; none for an interactive one.
    pub(crate) limit: Option<Duration>,
    /// A folder of the host to have at `/out`.
    pub(crate) out: Option<&'a Path>,
    /// The name of the log that a failure leaves.
    pub(crate) name: &'a str,
}

/// What to run in it.
#[derive(Debug, Default)]
pub(crate) struct Job {
    argv: Vec<String>,
    variables: Vec<(String, String)>,
    folder: PathBuf,
}

impl Job {
    pub(crate) fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            folder: CHECKOUT.into(),
            ..Self::default()
        }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Runs it in this folder of the machine.
    pub(crate) fn folder(mut self, folder: PathBuf) -> Self {
        self.folder = folder;
        self
    }

    fn script(&self) -> String {
        let mut script =
            String::from("export HOME=/tmp/home LANG=C.UTF-8 XDG_RUNTIME_DIR=/run/user/0\n");
        // The machine's GPU has no 3D, so GL is llvmpipe's, and nothing needs to find that out by trying.
        script.push_str("export LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=llvmpipe FANLIGHT_RIG=vm\n");
        for (name, value) in plugin::ENVIRONMENT {
            let _ = writeln!(script, "export {name}={value}");
        }
        for (name, value) in &self.variables {
            let _ = writeln!(script, "export {name}={}", quote(value));
        }
        let _ = writeln!(script, "cd {} || exit", quote(&self.folder.to_string_lossy()));
        let words: Vec<String> = self.argv.iter().map(|word| quote(word)).collect();
        // Not exec: the namespace's first process would ignore the signals that it doesn't handle.
        let _ = writeln!(script, "{}\nexit $?", words.join(" "));
        script
    }
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Machine<'_> {
    /// Boots, runs the job and powers off. Its output goes to `out` and `err` as it comes; returns its exit status.
    pub(crate) fn run(
        &self,
        job: &Job,
        out: &mut (dyn Write + Send),
        err: &mut (dyn Write + Send),
    ) -> Result<u8> {
        let folder = self.prepare(job)?;
        let log = Log::new(self.name)?;
        let listener = listen(folder.path())?;
        let (out_ours, out_theirs) = UnixStream::pair().context(|| "making a socket pair")?;
        let (err_ours, err_theirs) = UnixStream::pair().context(|| "making a socket pair")?;
        let mut command = self.command(&folder, &listener)?;
        command.args(["-display", "none", "-chardev", "file,id=console,path=/rig/console.log"]);
        command.args(["-device", "virtio-serial-pci"]);
        for (name, port) in [("out", &out_theirs), ("err", &err_theirs)] {
            let fd = inheritable(port)?;
            command.arg("-chardev").arg(format!("socket,id={name},fd={fd}"));
            command.arg("-device").arg(format!("virtserialport,chardev={name},name={name}"));
        }
        command.stdin(Stdio::null()).stdout(log.append()?).stderr(log.append()?);
        let mut child = progress::spawn(&mut command)?;
        // The ends of the streams show only when nobody here holds them open.
        drop((listener, out_theirs, err_theirs));
        let ended = thread::scope(|scope| {
            scope.spawn(|| pump(&out_ours, out));
            scope.spawn(|| pump(&err_ours, err));
            await_end(&mut child, self.limit)
        })?;
        if ended && let Some(status) = status(folder.path()) {
            log.discard();
            return Ok(status);
        }
        log.add_file("virtiofsd", &folder.path().join("virtiofsd.log"))?;
        log.add_file("console", &folder.path().join("console.log"))?;
        if ended {
            return Err(log.failure("the VM ended before the command did"));
        }
        let limit = progress::clock(self.limit.unwrap_or_default());
        Err(Error::timed_out(format!(
            "the command was not done after {limit}, so the VM was stopped. Its console's log: {}",
            log.path().display()
        )))
    }

    /// Boots with the VM's console on this terminal.
    pub(crate) fn interact(&self, job: &Job) -> Result<u8> {
        let folder = self.prepare(job)?;
        folder.write("interactive", "")?;
        let listener = listen(folder.path())?;
        let mut command = self.command(&folder, &listener)?;
        // Ctrl-C belongs to the shell in there.
        command.args(["-display", "none", "-chardev", "stdio,id=console,signal=off"]);
        let mut child = progress::spawn(&mut command)?;
        drop(listener);
        await_end(&mut child, self.limit)?;
        status(folder.path()).ok_or_else(|| Error::new("the VM ended before its shell did"))
    }

    fn prepare(&self, job: &Job) -> Result<RunFolder> {
        let folder = RunFolder::new()?;
        folder.write("init.sh", INIT)?;
        folder.write("machine.sh", MACHINE)?;
        folder.write("command", &job.script())?;
        let init = folder.path().join("init.sh");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&init, mode)
            .context(|| format!("making {} executable", init.display()))?;
        Ok(folder)
    }

    fn command(&self, folder: &RunFolder, listener: &UnixListener) -> Result<Command> {
        let mut sandbox =
            Sandbox::new(self.root).bind(&cache::checkout()?, CHECKOUT).bind(folder.path(), "/rig");
        if let Some(out) = self.out {
            sandbox = sandbox.bind(out, OUT);
        }
        let fd = inheritable(listener)?.to_string();
        let mut command = sandbox.command(&[], ["/bin/sh", "/rig/machine.sh", &fd]);
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-smp", "2"])
            .args(self.accel.arguments());
        // vhost-user reads and writes the machine's memory, so it has to be a file.
        command.args(["-machine", "q35,memory-backend=memory", "-m", &format!("{MEMORY_MIB}M")]);
        command.args([
            "-object",
            &format!("memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on"),
        ]);
        command.args(["-chardev", "socket,id=root,path=/rig/root.sock"]);
        command.args(["-device", "vhost-user-fs-pci,chardev=root,tag=root"]);
        // A DRM node that libdrm knows.
        command.args(["-device", "virtio-gpu-pci", "-device", "virtio-rng-pci"]);
        command.args(["-serial", "chardev:console", "-append"]);
        command
            .arg("console=ttyS0 quiet panic=-1 rootfstype=virtiofs root=root rw init=/rig/init.sh");
        Ok(command)
    }
}

/// The socket on which virtiofsd serves the root.
fn listen(folder: &Path) -> Result<UnixListener> {
    // Through /proc, because the path itself may be too long for a socket's name.
    let handle = fs::File::open(folder).context(|| format!("opening {}", folder.display()))?;
    let path = format!("/proc/self/fd/{}/root.sock", handle.as_raw_fd());
    UnixListener::bind(path).context(|| format!("making a socket in {}", folder.display()))
}

/// Lets the next child have this fd, under the same number.
fn inheritable(fd: &impl AsFd) -> Result<i32> {
    fcntl_setfd(fd, FdFlags::empty()).context(|| "passing a socket on")?;
    Ok(fd.as_fd().as_raw_fd())
}

fn pump(mut from: &UnixStream, to: &mut dyn Write) {
    let mut buffer = [0; 16 << 10];
    let mut open = true;
    // A reader of ours that went away must not block the machine: read on.
    while let Ok(length @ 1..) = io::Read::read(&mut from, &mut buffer) {
        open = open && to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_ok();
    }
}

/// Whether it ended by itself; else it was stopped at the limit.
fn await_end(child: &mut Child, limit: Option<Duration>) -> Result<bool> {
    let ended = progress::wait(child, limit)?.is_some();
    if !ended {
        // With this process its namespace goes, and with that everything in it.
        child.kill().context(|| "stopping the VM")?;
        progress::wait(child, None)?;
    }
    Ok(ended)
}

fn status(folder: &Path) -> Option<u8> {
    parse_status(&fs::read_to_string(folder.join("status")).ok()?)
}

fn parse_status(text: &str) -> Option<u8> {
    text.strip_prefix("exit ")?.strip_suffix('\n')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_whole_or_none() {
        assert_eq!(parse_status("exit 0\n"), Some(0));
        assert_eq!(parse_status("exit 137\n"), Some(137));
        assert_eq!(parse_status("exit 1"), None);
        assert_eq!(parse_status("exit 256\n"), None);
        assert_eq!(parse_status(""), None);
    }

    #[test]
    fn a_job_reaches_the_command_word_for_word() {
        let job = Job::new(["printf", "%s|", "a b", "it's", "$HOME", ""])
            .folder("/tmp".into())
            .variable("X", "'");
        let run = |script: String| Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(run(job.script()).stdout, b"a b|it's|$HOME||");
        assert_eq!(
            run(Job::new(["sh", "-c", "exit 7"]).folder("/".into()).script()).status.code(),
            Some(7)
        );
        assert_ne!(
            run(Job::new(["true"]).folder("/no such folder".into()).script()).status.code(),
            Some(0)
        );
    }
}
