//! Other programs: whether they are there, and what they say.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Finding;

/// How long each may take.
const LIMIT: Duration = Duration::from_secs(5);
/// What is read of what it says.
const OUTPUT_MAX: u64 = 1 << 20;

pub(super) fn check() -> Vec<Finding> {
    vec![gstreamer(), libvirt()]
}

fn gstreamer() -> Finding {
    let inspect = "gst-inspect-1.0";
    match run(inspect, &["--exists", "fanlightsrc"]) {
        Ran::Said(_) => Finding::ok("gstreamer", "GStreamer has the element fanlightsrc"),
        Ran::Missing => {
            let says = format!("GStreamer is not installed ({inspect})");
            let finding = Finding::info("gstreamer", says).means("Only pipelines need it.");
            finding.remedy("sudo apt install gstreamer1.0-tools   # Debian; Fedora: gstreamer1")
        }
        Ran::Failed(why) => {
            let says = format!("GStreamer's element fanlightsrc is not installed ({why})");
            let remedy = "cargo build --release -p gst-plugin-fanlight   # in Fanlight's source\n\
                          export GST_PLUGIN_PATH=$PWD/target/release";
            Finding::info("gstreamer", says).means("Only pipelines need it.").remedy(remedy)
        }
    }
}

fn libvirt() -> Finding {
    match run("virsh", &["--version"]) {
        Ran::Said(version) => Finding::ok("libvirt", format!("virsh {}", version.trim())),
        Ran::Missing => Finding::info("libvirt", "virsh is not installed")
            .means("Only libvirt:DOMAIN needs it.")
            .remedy("sudo apt install libvirt-clients   # Debian; Fedora: libvirt-client"),
        Ran::Failed(why) => {
            let says = format!("virsh can't be asked: {why}");
            Finding::warn("libvirt", says, "virsh --version   # what it says instead")
        }
    }
}

/// What came of running a program.
pub(super) enum Ran {
    Said(String),
    Missing,
    Failed(String),
}

/// Runs one, for a limited time.
pub(super) fn run(program: &str, args: &[&str]) -> Ran {
    run_for(LIMIT, program, args)
}

fn run_for(limit: Duration, program: &str, args: &[&str]) -> Ran {
    let until = Instant::now() + limit;
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ran::Missing,
        Err(error) => return Ran::Failed(error.to_string()),
    };
    let (tell, told) = channel();
    if let Some(stdout) = child.stdout.take() {
        // Not waited for: what the program has started may keep the pipe open.
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = stdout.take(OUTPUT_MAX).read_to_end(&mut text).map(|_| text);
            let _ = tell.send(read);
        });
    }
    let left = || until.saturating_duration_since(Instant::now());
    let text = told.recv_timeout(left());
    let ended = || {
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok()?;
        let left = Timespec::try_from(left()).ok();
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], left.as_ref());
        (ended == Ok(1)).then_some(())
    };
    if text.is_err() || ended().is_none() {
        // It may have ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        return Ran::Failed(format!("no answer within {} s", limit.as_secs_f32()));
    }
    match (child.wait(), text) {
        (Ok(status), Ok(Ok(text))) if status.success() => {
            Ran::Said(String::from_utf8_lossy(&text).into_owned())
        }
        (Ok(status), _) => Ran::Failed(status.to_string()),
        (Err(error), _) => Ran::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_talks_without_end_fails_or_is_missing_is_told_apart() {
        let short = Duration::from_millis(100);
        assert!(
            matches!(run_for(short, "sleep", &["600"]), Ran::Failed(why) if why.contains("0.1 s"))
        );
        assert!(matches!(run("yes", &[]), Ran::Failed(why) if why.contains("signal")));
        assert!(matches!(run("false", &[]), Ran::Failed(why) if why.contains("exit status: 1")));
        assert!(matches!(run("echo", &["so"]), Ran::Said(text) if text == "so\n"));
        assert!(matches!(run("fanlight-no-such-program", &[]), Ran::Missing));
    }
}
