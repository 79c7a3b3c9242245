//! A program that ends with its owner, and whose output is kept.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Context, Error, Result};
use crate::rundir::RunDir;
use crate::wait::{Deadline, Watch, readable};

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    pidfd: OwnedFd,
    dir: Arc<RunDir>,
}

/// One of the two streams a program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Child {
    /// Starts a program; what it writes goes to `NAME.out` and `NAME.err` in `dir`.
    ///
    /// # Errors
    /// If it is not there (the message names `package`, the Debian package that has it) or can't
    /// be started.
    pub fn spawn(
        name: &str,
        package: &str,
        mut command: Command,
        dir: &Arc<RunDir>,
    ) -> Result<Self> {
        let create = |kind: &str| {
            let path = dir.path().join(format!("{name}.{kind}"));
            File::create(&path).context(format!("making {}", path.display()))
        };
        command.stdin(Stdio::null()).stdout(create("out")?).stderr(create("err")?);
        let program = command.get_program().to_string_lossy().into_owned();
        let process = command.spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::missing(&program, package),
            _ => Error::new(format!("starting {program} failed: {e}")),
        })?;
        let pid = Pid::from_child(&process);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
        Ok(Self { name: name.to_owned(), process, pidfd, dir: Arc::clone(dir) })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The file that a stream goes to.
    #[must_use]
    pub fn path(&self, output: Output) -> PathBuf {
        let kind = match output {
            Output::Out => "out",
            Output::Err => "err",
        };
        self.dir.path().join(format!("{}.{kind}", self.name))
    }

    /// All that it has written to a stream so far.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn output(&self, output: Output) -> Result<String> {
        read_lossy(&self.path(output))
    }

    /// What becomes readable when it ends.
    #[must_use]
    pub fn ended(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for the first line of a stream for which `take` has a value.
    ///
    /// # Errors
    /// If it ends, or the deadline passes, without such a line; the end of its log is in the
    /// message.
    pub fn wait_line<T>(
        &self,
        output: Output,
        deadline: Deadline,
        mut take: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let path = self.path(output);
        let watch = Watch::new(&path)?;
        let mut ended = false;
        loop {
            watch.clear()?;
            let text = read_lossy(&path)?;
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            if let Some(value) = whole.lines().find_map(&mut take) {
                return Ok(value);
            }
            if ended {
                return Err(self.failure("ended without what was waited for"));
            }
            match readable(&[watch.fd(), self.ended()], deadline)? {
                Some(which) => ended = which == 1,
                None => return Err(self.failure("did not say in time what was waited for")),
            }
        }
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// If the deadline passes first.
    pub fn wait(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        match readable(&[self.ended()], deadline)? {
            Some(_) => self.process.wait().context(format!("waiting for {}", self.name)),
            None => Err(self.failure("did not end in time")),
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// If the deadline passes first.
    pub fn terminate(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(deadline)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.pidfd, signal).context(format!("signalling {}", self.name))
    }

    /// A failure of this program, with the end of its log; the logs will be kept.
    #[must_use]
    pub fn failure(&self, what: &str) -> Error {
        self.dir.keep();
        let path = self.path(Output::Err);
        let log = read_lossy(&path).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n  ");
        Error::new(format!("{} {what}; its log {} ends:\n  {tail}", self.name, path.display()))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program to its end and gives its standard output.
///
/// # Errors
/// If it is missing, takes longer than the deadline, or fails; with the end of its log.
pub fn run(
    name: &str,
    package: &str,
    command: Command,
    dir: &Arc<RunDir>,
    deadline: Deadline,
) -> Result<String> {
    let mut child = Child::spawn(name, package, command, dir)?;
    let status = child.wait(deadline)?;
    if status.success() {
        return child.output(Output::Out);
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with status {code}"),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    };
    Err(child.failure(&how))
}

fn read_lossy(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).context(format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Arc<RunDir>) -> Child {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Child::spawn("sh", "dash", command, dir).expect("a shell")
    }

    fn soon() -> Deadline {
        Deadline::seconds(30)
    }

    #[test]
    fn a_line_is_taken_once_it_is_whole() {
        let dir = RunDir::new().expect("a folder");
        // The second half of the line comes only when the file is there.
        let script = "printf 'one\\nnum'; while ! [ -e go ]; do sleep 0.01; done; echo 'ber 7'";
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).current_dir(dir.path());
        let mut child = Child::spawn("sh", "dash", command, &dir).expect("a shell");
        let first = child.wait_line(Output::Out, soon(), |line| (line == "one").then_some(()));
        first.expect("the first line");
        std::fs::write(dir.path().join("go"), "").expect("written");
        let take = |line: &str| line.strip_prefix("num").map(str::to_owned);
        assert_eq!(child.wait_line(Output::Out, soon(), take).expect("the second"), "ber 7");
        assert!(child.wait(soon()).expect("ended").success());
    }

    #[test]
    fn an_end_without_the_line_is_an_error_with_the_log() {
        let dir = RunDir::new().expect("a folder");
        let child = shell("echo why it failed >&2", &dir);
        let error = child.wait_line(Output::Out, soon(), |_| Some(())).expect_err("ended");
        assert!(error.to_string().contains("why it failed"), "{error}");
        let slow = shell("read line </dev/zero", &dir);
        let error = slow.wait_line(Output::Out, Deadline::seconds(0), |_| Some(()));
        assert!(error.expect_err("too late").to_string().contains("in time"));
        std::fs::remove_dir_all(dir.path()).expect("removed");
    }

    #[test]
    fn a_dropped_child_is_gone_and_a_missing_one_named() {
        let dir = RunDir::new().expect("a folder");
        let child = shell("read line </dev/zero", &dir);
        let proc = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(proc.exists());
        drop(child);
        assert!(!proc.exists());
        let missing = Child::spawn("x", "some-package", Command::new("no-such-program"), &dir);
        let error = missing.expect_err("missing").to_string();
        assert!(error.contains("no-such-program") && error.contains("some-package"), "{error}");
    }

    #[test]
    fn a_program_run_to_its_end_gives_its_output_or_its_failure() {
        let dir = RunDir::new().expect("a folder");
        let script = |text: &str| {
            let mut command = Command::new("sh");
            command.arg("-c").arg(text);
            command
        };
        let good = run("good", "dash", script("echo out; echo err >&2"), &dir, soon());
        assert_eq!(good.expect("fine"), "out\n");
        let bad = run("bad", "dash", script("echo reason >&2; exit 3"), &dir, soon());
        let error = bad.expect_err("failed").to_string();
        assert!(error.contains("status 3") && error.contains("reason"), "{error}");
        std::fs::remove_dir_all(dir.path()).expect("removed");
    }
}
