//! Programs whose output is thrown away, or counted.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fanlight::capture::Picture;
use fanlight::frame::Size;

use super::Result;

/// How long a video is looked at.
const LOOK: Duration = Duration::from_secs(4);
/// Until then it begins.
const BEGINNING: usize = 10;

/// A program, until this is dropped.
pub(crate) struct Program(Child);

impl Program {
    /// What it writes goes nowhere.
    pub(crate) fn unread(command: &[String]) -> Result<Self> {
        Self::start(command, Stdio::null(), Stdio::null()).map(Self)
    }

    /// What it writes is read.
    pub(crate) fn read(command: &[String]) -> Result<Self> {
        Self::start(command, Stdio::null(), Stdio::piped()).map(Self)
    }

    /// The same of one that is given a picture so often.
    pub(crate) fn fed(command: &[String], picture: &Picture, times: usize) -> Result<Self> {
        let mut child = Self::start(command, Stdio::piped(), Stdio::piped())?;
        let mut stdin = child.stdin.take().expect("it is piped");
        let pixels = picture.pixels.clone();
        thread::spawn(move || feed(&mut stdin, &pixels, times));
        Ok(Self(child))
    }

    fn start(command: &[String], stdin: Stdio, stdout: Stdio) -> Result<Child> {
        let [program, arguments @ ..] = command else { return Err("there is no program".into()) };
        let mut command = Command::new(program);
        command.args(arguments).stdin(stdin).stdout(stdout).stderr(Stdio::null());
        Ok(command.spawn().map_err(|error| format!("{program}: {error}"))?)
    }

    /// Reads all that it writes, to its end: how many bytes that was.
    fn finish(mut self) -> Result<u64> {
        let mut out = self.0.stdout.take().expect("it is piped");
        let bytes = io::copy(&mut out, &mut io::sink())?;
        let status = self.0.wait()?;
        if !status.success() {
            return Err(format!("it ended with {status}").into());
        }
        Ok(bytes)
    }

    /// Reads a video for a while: how many frames a second there were, and how much memory the program had at most,
    /// in KiB.
    pub(crate) fn video(&mut self, size: Size) -> Result<(f64, f64)> {
        let mut out = BufReader::new(self.0.stdout.take().expect("it is piped"));
        out.read_until(b'\n', &mut Vec::new())?;
        let luma = size.width as usize * size.height as usize;
        let mut frame = vec![0; b"FRAME\n".len() + luma * 3 / 2];
        for _ in 0..BEGINNING {
            out.read_exact(&mut frame)?;
        }
        let (start, mut count) = (Instant::now(), 0.0);
        while start.elapsed() < LOOK {
            out.read_exact(&mut frame)?;
            count += 1.0;
        }
        let frames = count / start.elapsed().as_secs_f64();
        Ok((frames, self.resident()?))
    }

    fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.and_then(|most| most.split_whitespace().next());
        Ok(most.ok_or("the kernel says nothing of VmHWM")?.parse()?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One that wants no more has ended.
fn feed(stdin: &mut ChildStdin, pixels: &[u8], times: usize) {
    let _ = (0..times).try_for_each(|_| stdin.write_all(pixels));
}

/// Has it encode some frames and more of them: how many a second it was, starting left out, and how many bytes each.
pub(crate) fn encoded(most: usize, start: impl Fn(usize) -> Result<Program>) -> Result<[f64; 2]> {
    let timed = |frames: usize| -> Result<(f64, f64)> {
        let began = Instant::now();
        let bytes = start(frames)?.finish()?;
        Ok((began.elapsed().as_secs_f64(), bytes as f64))
    };
    // Once without counting.
    timed(1)?;
    let ((few, _), (many, bytes)) = (timed(1)?, timed(most)?);
    Ok([(most - 1) as f64 / (many - few).max(1e-9), bytes / most as f64])
}
