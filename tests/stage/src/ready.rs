//! The word of a program that it takes clients from now on: what it tells a service manager.
//!
//! The name of its socket is no such word: between a socket's name and its first client is
//! `listen`, and whoever comes earlier is refused.

use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;

use crate::child::Child;
use crate::error::{Context, Result};
use crate::rundir::RunDir;
use crate::wait::{Deadline, readable};

/// Starts a program that speaks the protocol of `sd_notify(3)`, and waits until it is ready; else
/// as [`Child::spawn`].
///
/// # Errors
/// As [`Child::spawn`]; also if it ends, or the deadline passes, before it is ready, with the end
/// of its log.
pub(crate) fn spawn_ready(
    name: &str,
    package: &str,
    mut command: Command,
    dir: &Arc<RunDir>,
    deadline: Deadline,
) -> Result<Child> {
    let path = dir.path().join(format!("{name}.ready"));
    let socket = UnixDatagram::bind(&path).context(format!("making {}", path.display()))?;
    command.env("NOTIFY_SOCKET", &path);
    let child = Child::spawn(name, package, command, dir)?;
    await_word(&socket, &child, deadline)?;
    Ok(child)
}

fn await_word(socket: &UnixDatagram, child: &Child, deadline: Deadline) -> Result<()> {
    loop {
        match readable(&[socket.as_fd(), child.ended()], deadline)? {
            Some(0) => {}
            Some(_) => return Err(child.failure("ended before it was ready")),
            None => return Err(child.failure("was not ready in time")),
        }
        // It may have more to say, a line each.
        let mut words = [0; 4096];
        let length = socket.recv(&mut words).context("hearing whether a program is ready")?;
        if words[..length].split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these words of a program that then stays, or has ended.
    fn heard(words: &[&str], stays: bool) -> Result<()> {
        let (ours, theirs) = UnixDatagram::pair().context("a pair of sockets")?;
        for word in words {
            theirs.send(word.as_bytes()).context("a word")?;
        }
        let mut command = Command::new("sleep");
        command.arg(if stays { "100" } else { "0" });
        let dir = RunDir::new()?;
        let child = Child::spawn("it", "coreutils", command, &dir)?;
        let seconds = if stays { 0 } else { 20 };
        let heard = await_word(&ours, &child, Deadline::seconds(seconds));
        // A failure would keep its log.
        std::fs::remove_dir_all(dir.path()).context("removing a folder")?;
        heard
    }

    #[test]
    fn ready_is_a_line_of_its_own() {
        heard(&["READY=1"], true).expect("ready");
        heard(&["STATUS=starts", "STATUS=runs\nREADY=1\n"], true).expect("ready");
    }

    #[test]
    fn what_is_not_ready_is_said() {
        let says = |result: Result<()>| result.expect_err("not ready").to_string();
        assert!(says(heard(&["STATUS=READY=1"], true)).contains("was not ready in time"));
        assert!(says(heard(&[], false)).contains("ended before it was ready"));
    }
}
