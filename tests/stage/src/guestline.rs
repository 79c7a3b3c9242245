//! The serial line to a guest: commands out, reports in.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use fanlight_guests::line::{Command, Event, Report};

use crate::error::{Context, Error, Result};
use crate::wait::Deadline;

/// The other end of the guest's first serial port.
///
/// A thread takes what the guest says at once, asked for or not: a socket holds only some hundred
/// bytes of those that come one by one, and then the guest would stand still in its report.
#[derive(Debug)]
pub struct GuestLine {
    stream: UnixStream,
    lines: Receiver<String>,
    /// Reports that nobody has asked for yet, oldest first.
    reports: VecDeque<Report>,
    /// The number of the last frame that the guest reported.
    last_frame: Option<u32>,
}

impl GuestLine {
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        let (sender, lines) = channel();
        let reader = BufReader::new(stream.try_clone().context("copying a socket")?);
        std::thread::spawn(move || {
            for line in reader.lines().map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { stream, lines, reports: VecDeque::new(), last_frame: None })
    }

    /// The next report.
    ///
    /// # Errors
    /// If none comes in time, or the guest says that it failed, or is gone.
    pub fn next(&mut self, deadline: Deadline) -> Result<Report> {
        if let Some(report) = self.reports.pop_front() {
            return Ok(report);
        }
        self.receive(deadline)?.ok_or_else(|| Error::new("the guest did not report in time"))
    }

    /// Passes reports over until `wanted` takes one.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn wait<T>(
        &mut self,
        deadline: Deadline,
        mut wanted: impl FnMut(&Report) -> Option<T>,
    ) -> Result<T> {
        loop {
            if let Some(value) = wanted(&self.next(deadline)?) {
                return Ok(value);
            }
        }
    }

    /// Waits until the guest takes commands (or draws): the size of its screen.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn ready(&mut self, deadline: Deadline) -> Result<(u32, u32)> {
        self.wait(deadline, |report| match report {
            Report::Ready { width, height } => Some((*width, *height)),
            _ => None,
        })
    }

    /// Has the Linux guest load its drivers and begin, in this mode: the size of its screen.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn start(&mut self, mode: Option<(u32, u32)>, deadline: Deadline) -> Result<(u32, u32)> {
        self.say(&Command::Start(mode))?;
        self.ready(deadline)
    }

    /// Waits until this frame, or a later one, is whole.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn frame(&mut self, at_least: u32, deadline: Deadline) -> Result<u32> {
        self.wait(deadline, |report| match report {
            Report::Frame(frame) if *frame >= at_least => Some(*frame),
            _ => None,
        })
    }

    /// Waits until all the frames that were asked for are out: the number of the last.
    ///
    /// # Errors
    /// As [`GuestLine::next`]; also if it reported no frame at all.
    pub fn done(&mut self, deadline: Deadline) -> Result<u32> {
        self.wait(deadline, |report| (*report == Report::Done).then_some(()))?;
        self.last_frame.ok_or_else(|| Error::new("the guest is done without a frame"))
    }

    /// The number of the last frame that the guest has reported, without waiting.
    ///
    /// # Errors
    /// If the guest says that it failed, or is gone.
    pub fn last_frame(&mut self) -> Result<Option<u32>> {
        while let Some(report) = self.receive(Deadline::seconds(0))? {
            self.reports.push_back(report);
        }
        Ok(self.last_frame)
    }

    /// Tells the Linux guest what to do and waits until it has begun. Older reports are dropped.
    ///
    /// # Errors
    /// If the guest says that it failed, or does not answer in time.
    pub fn tell(&mut self, command: &Command, deadline: Deadline) -> Result<()> {
        self.last_frame()?;
        self.reports.clear();
        self.say(command)?;
        self.wait(deadline, |report| (*report == Report::Ok).then_some(()))
            .map_err(|e| Error::new(format!("`{command}`: {e}")))
    }

    fn say(&self, command: &Command) -> Result<()> {
        let line = format!("{command}\n");
        (&self.stream).write_all(line.as_bytes()).context("writing to the guest")
    }

    /// Shows one frame on the Linux guest's screen and waits until it is there.
    ///
    /// # Errors
    /// As [`GuestLine::tell`].
    pub fn still(&mut self, frame: u32, deadline: Deadline) -> Result<()> {
        self.tell(&Command::Still(frame), deadline)?;
        self.wait(deadline, |report| (*report == Report::Done).then_some(()))
    }

    /// Has the guest that hears record for a good second: how often the sign of that has changed.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn hear(&mut self, deadline: Deadline) -> Result<u32> {
        (&self.stream).write_all(b"r").context("writing to the guest")?;
        self.wait(deadline, |report| match report {
            Report::Heard(count) => Some(*count),
            _ => None,
        })
    }

    /// Has the Linux guest report what is done with its input devices: their names, by number.
    ///
    /// # Errors
    /// As [`GuestLine::tell`].
    pub fn listen(&mut self, deadline: Deadline) -> Result<Vec<String>> {
        self.tell(&Command::Listen, deadline)?;
        let mut names = Vec::new();
        self.wait(deadline, |report| {
            if let Report::Device { name, .. } = report {
                names.push(name.clone());
            }
            (*report == Report::Done).then_some(())
        })?;
        Ok(names)
    }

    /// The next thing that is done with an input device of the guest's.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn event(&mut self, deadline: Deadline) -> Result<Event> {
        self.wait(deadline, |report| match report {
            Report::Event(event) => Some(*event),
            _ => None,
        })
    }

    /// Has the boot sector, at its limit, draw one more frame, and waits until it is whole.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn paint_one_more(&mut self, deadline: Deadline) -> Result<u32> {
        self.last_frame()?;
        self.reports.clear();
        (&self.stream).write_all(b"n").context("writing to the guest")?;
        self.done(deadline)
    }

    /// Takes one report from the line; lines that are none are passed over.
    fn receive(&mut self, deadline: Deadline) -> Result<Option<Report>> {
        loop {
            let line = match self.lines.recv_timeout(deadline.left()) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new("the guest's line was closed"));
                }
            };
            match line.parse() {
                Ok(Report::Failed(why)) => return Err(Error::new(format!("the guest: {why}"))),
                Ok(Report::Frame(frame)) => {
                    self.last_frame = Some(frame);
                    return Ok(Some(Report::Frame(frame)));
                }
                Ok(report) => return Ok(Some(report)),
                Err(_) => {}
            }
        }
    }
}

impl Drop for GuestLine {
    fn drop(&mut self) {
        // Ends the thread; a line that is closed already has none.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_nobody_listens_to_is_not_held_up() {
        let (ours, mut guest) = UnixStream::pair().expect("a socket pair");
        guest.set_write_timeout(Some(std::time::Duration::from_secs(30))).expect("set");
        let mut line = GuestLine::new(ours).expect("a line");
        for frame in 1..=5000 {
            for byte in format!("frame {frame}\n").bytes() {
                guest.write_all(&[byte]).expect("taken at once");
            }
        }
        assert_eq!(line.frame(5000, Deadline::seconds(30)).expect("reported"), 5000);
        assert_eq!(line.last_frame().expect("open"), Some(5000));
        drop(guest);
        assert!(line.next(Deadline::seconds(30)).is_err());
    }

    #[test]
    fn what_the_guest_says_against_a_command_is_its_error() {
        let (ours, mut guest) = UnixStream::pair().expect("a socket pair");
        let mut line = GuestLine::new(ours).expect("a line");
        guest.write_all(b"noise\nready 640x480\nfailed no such mode\n").expect("written");
        assert_eq!(line.ready(Deadline::seconds(30)).expect("ready"), (640, 480));
        let error = line.next(Deadline::seconds(30)).expect_err("failed");
        assert!(error.to_string().contains("no such mode"), "{error}");
    }
}
