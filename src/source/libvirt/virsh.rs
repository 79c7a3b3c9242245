//! Runs `virsh`, and waits for what it says: so much, and so long.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::source::SourceError;

/// Most that is read of what it says. A domain's description is some KiB.
const OUTPUT_MAX: usize = 4 << 20;
/// Most of a complaint that is passed on.
const COMPLAINT_MAX: usize = 500;

/// How virsh is asked.
#[derive(Clone, Copy)]
pub(super) struct Virsh<'a> {
    /// Which libvirt; `None`: virsh's own choice.
    pub(super) connect: Option<&'a str>,
    /// When all has to be done.
    pub(super) deadline: Instant,
    /// How long that was from the start.
    pub(super) limit: Duration,
}

impl Virsh<'_> {
    /// Runs one command and returns what it printed.
    pub(super) fn run(&self, args: &[&str], stdin: Stdio) -> Result<String, SourceError> {
        let mut command = Command::new("virsh");
        // Its complaints are read by us, too.
        command.env("LC_ALL", "C");
        command.args(self.connect.map(|uri| format!("--connect={uri}")));
        command.args(args).stdin(stdin);
        self.wait_for(command)
    }

    fn wait_for(&self, mut command: Command) -> Result<String, SourceError> {
        let system = |what| move |source| SourceError::System { what, source };
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => Killed(child),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(SourceError::NoVirsh),
            Err(source) => return Err(system("to start virsh")(source)),
        };
        let ended = pidfd_open(Pid::from_child(&child.0), PidfdFlags::empty())
            .map_err(|error| system("to wait for virsh")(error.into()))?;
        let (Some(mut stdout), Some(mut stderr)) = (child.0.stdout.take(), child.0.stderr.take())
        else {
            unreachable!("both are piped")
        };
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let mut open = [true; 2];
        while open != [false; 2] {
            let fds = [stdout.as_fd(), stderr.as_fd()];
            let mut waited: Vec<_> = (0..2)
                .filter(|&i| open[i])
                .map(|i| PollFd::from_borrowed_fd(fds[i], PollFlags::IN))
                .collect();
            self.wait(&mut waited)?;
            let mut ready = waited.iter().map(|fd| !fd.revents().is_empty());
            let ready = open.map(|open| open && ready.next().unwrap_or(false));
            let pipes: [(&mut dyn Read, _); 2] =
                [(&mut stdout, &mut said), (&mut stderr, &mut complained)];
            for (i, (pipe, text)) in pipes.into_iter().enumerate().filter(|(i, _)| ready[*i]) {
                let mut chunk = [0; 8192];
                let got = pipe.read(&mut chunk).map_err(system("to read what virsh says"))?;
                text.extend_from_slice(&chunk[..got]);
                open[i] = got > 0;
                if text.len() > OUTPUT_MAX {
                    let what = format!("it said more than {} MiB", OUTPUT_MAX >> 20);
                    return Err(SourceError::Virsh(what));
                }
            }
        }
        self.wait(&mut [PollFd::new(&ended, PollFlags::IN)])?;
        let status = child.0.wait().map_err(system("to wait for virsh"))?;
        if !status.success() {
            return Err(SourceError::Virsh(complaint(&complained, &status.to_string())));
        }
        String::from_utf8(said)
            .map_err(|_| SourceError::Virsh("what it said is not UTF-8".to_owned()))
    }

    fn wait(&self, fds: &mut [PollFd<'_>]) -> Result<(), SourceError> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let until =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(fds, Some(&until)) {
                Ok(0) if left.is_zero() => return Err(SourceError::VirshSilent(self.limit)),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => {
                    let source = error.into();
                    return Err(SourceError::System { what: "to wait for virsh", source });
                }
            }
        }
    }
}

/// What it wrote to stderr, as part of a sentence.
fn complaint(stderr: &[u8], otherwise: &str) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| line.trim().trim_start_matches("error: "));
    let joined = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let plain: String = joined.chars().filter(|c| !c.is_control()).take(COMPLAINT_MAX).collect();
    if plain.is_empty() { otherwise.to_owned() } else { plain }
}

/// A program that doesn't outlive what waits for it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(limit: Duration, program: &str, args: &[&str]) -> SourceError {
        let virsh = Virsh { connect: None, deadline: Instant::now() + limit, limit };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        virsh.wait_for(command).unwrap_err()
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn what_hangs_is_ended() {
        let limit = Duration::from_millis(50);
        assert!(matches!(run(limit, "sleep", &["600"]), SourceError::VirshSilent(l) if l == limit));
    }

    #[test]
    fn what_does_not_stop_talking_is_ended() {
        let error = run(LONG, "yes", &[]).to_string();
        assert!(error.contains("more than 4 MiB"), "{error}");
    }

    #[test]
    fn what_is_missing_or_fails_is_told() {
        assert!(matches!(run(LONG, "fanlight-no-such-program", &[]), SourceError::NoVirsh));
        let error = run(LONG, "cat", &["/nowhere/file"]).to_string();
        assert!(error.contains("/nowhere/file"), "{error}");
        let error = run(LONG, "false", &[]).to_string();
        assert!(error.contains("exit status: 1"), "{error}");
    }

    #[test]
    fn complaints_become_part_of_a_sentence() {
        let text = b"error: failed to connect\nerror: no \x1b[1mdaemon\n\n";
        assert_eq!(complaint(text, "-"), "failed to connect; no [1mdaemon");
        assert_eq!(complaint(b"", "exit status: 1"), "exit status: 1");
        assert_eq!(complaint(&[b'a'; 9999], "-").len(), COMPLAINT_MAX);
    }
}
