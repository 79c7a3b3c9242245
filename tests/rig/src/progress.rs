//! What the rig says while it works, and the logs of the programs it runs.

use crate::cache;
use crate::error::{Context as _, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a step may be silent before the last line of its log is shown.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How much of a failed step's log is shown.
const TAIL_LINES: usize = 25;

/// Prints `text` to stderr after the time since the rig started.
pub(crate) fn say(text: impl Display) {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    eprintln!("[{:>6}] {text}", clock(elapsed));
}

/// `7s`, `1m07s`.
pub(crate) fn clock(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

/// A log that goes when its verb has succeeded, and stays when it has not.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    kept: bool,
}

impl Log {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let folder = cache::logs()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let path = folder.join(format!("{name}-{now}-{}.log", std::process::id()));
        File::create(&path).context(|| format!("creating the log {}", path.display()))?;
        Ok(Self { path, kept: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn append(&self) -> Result<File> {
        File::options()
            .append(true)
            .open(&self.path)
            .context(|| format!("opening the log {}", self.path.display()))
    }

    /// Adds a file of the machine to the log; one that isn't there adds nothing.
    pub(crate) fn add_file(&self, title: &str, path: &Path) -> Result<()> {
        let text = fs::read(path).unwrap_or_default();
        self.add(title, &String::from_utf8_lossy(&text))
    }

    pub(crate) fn add(&self, title: &str, text: &str) -> Result<()> {
        use std::io::Write as _;
        write!(self.append()?, "---- {title}\n{text}\n")
            .context(|| format!("writing {}", self.path.display()))
    }

    pub(crate) fn tail(&self, lines: usize) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            let length = file.metadata().map_or(0, |meta| meta.len());
            let _ = file.seek(SeekFrom::Start(length.saturating_sub(16 << 10)));
            let _ = file.read_to_end(&mut text);
        }
        last_lines(&String::from_utf8_lossy(&text), lines)
    }

    /// A failure that ends with the log's last lines and its path.
    pub(crate) fn failure(&self, what: impl Display) -> Error {
        Error::new(format!(
            "{what}\n{}\nThe whole log: {}",
            self.tail(TAIL_LINES),
            self.path.display()
        ))
    }

    /// All went well: the log isn't needed.
    pub(crate) fn discard(mut self) {
        self.kept = false;
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    // A progress bar rewrites its line: what counts is what it shows last.
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_end().rsplit('\r').next())
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Runs `command` with its output in `log`, and fails with the log's end when it does.
pub(crate) fn step(what: &str, command: &mut Command, log: &Log) -> Result<()> {
    let out = log.append()?;
    run(what, command.stdout(out), log)
}

/// The same, and returns what the command writes to its standard output.
pub(crate) fn step_with_output(what: &str, command: &mut Command, log: &Log) -> Result<String> {
    let path = log.path.with_extension("out");
    let file = File::create(&path).context(|| format!("creating {}", path.display()))?;
    let done = run(what, command.stdout(file), log);
    let text = fs::read_to_string(&path).context(|| format!("reading {}", path.display()));
    let _ = fs::remove_file(&path);
    done.and(text)
}

fn run(what: &str, command: &mut Command, log: &Log) -> Result<()> {
    say(what);
    let start = Instant::now();
    log.add(what, "")?;
    let mut child = spawn(command.stdin(Stdio::null()).stderr(log.append()?))?;
    let status = loop {
        if let Some(status) = wait(&mut child, Some(HEARTBEAT))? {
            break status;
        }
        let line: String = log.tail(1).chars().take(100).collect();
        say(format!("  … {} ({line})", clock(start.elapsed())));
    };
    if status.success() {
        Ok(())
    } else {
        Err(log.failure(format!("{what}: failed with {status}")))
    }
}

/// Starts a program, or says that it isn't there.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().context(|| format!("starting {}", command.get_program().display()))
}

/// Waits for a child; `None` when the time is over and it still runs.
pub(crate) fn wait(child: &mut Child, limit: Option<Duration>) -> Result<Option<ExitStatus>> {
    if let Some(limit) = limit {
        let pid = Pid::from_child(child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context(|| "watching a child process")?;
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).context(|| "a time limit")?;
            match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::new(format!("waiting for a child process: {error}")));
                }
            }
        }
    }
    child.wait().map(Some).context(|| "waiting for a child process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_is_short() {
        assert_eq!(clock(Duration::from_secs(7)), "7s");
        assert_eq!(clock(Duration::from_secs(67)), "1m07s");
        assert_eq!(clock(Duration::from_secs(3661)), "61m01s");
    }

    #[test]
    fn last_lines_skip_blank_ones_and_overwritten_ones() {
        assert_eq!(last_lines("a\n\nb\n10%\r20%\r\n\n", 2), "b\n20%");
        assert_eq!(last_lines("a\n", 5), "a");
        assert_eq!(last_lines("", 5), "");
    }

    #[test]
    fn wait_gives_up_at_its_limit_and_not_before_the_end() {
        let mut child = spawn(Command::new("sleep").arg("100")).unwrap();
        assert!(wait(&mut child, Some(Duration::from_millis(10))).unwrap().is_none());
        child.kill().unwrap();
        assert!(wait(&mut child, Some(Duration::from_secs(10))).unwrap().is_some());
    }
}
