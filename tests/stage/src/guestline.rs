//! The serial line to a guest: commands out, reports in.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;

use fanlight_guests::line::{Command, Report};

use crate::error::{Context, Error, Result};
use crate::wait::{Deadline, Lines};

/// The other end of the guest's first serial port.
#[derive(Debug)]
pub struct GuestLine {
    lines: Lines,
    /// Reports that nobody has asked for yet, oldest first.
    reports: VecDeque<Report>,
    /// The number of the last frame that the guest reported.
    last_frame: Option<u32>,
}

impl GuestLine {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { lines: Lines::new(stream), reports: VecDeque::new(), last_frame: None }
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
        let line = format!("{command}\n");
        self.lines.stream().write_all(line.as_bytes()).context("writing to the guest")?;
        self.wait(deadline, |report| (*report == Report::Ok).then_some(()))
            .map_err(|e| Error::new(format!("`{command}`: {e}")))
    }

    /// Shows one frame on the Linux guest's screen and waits until it is there.
    ///
    /// # Errors
    /// As [`GuestLine::tell`].
    pub fn still(&mut self, frame: u32, deadline: Deadline) -> Result<()> {
        self.tell(&Command::Still(frame), deadline)?;
        self.wait(deadline, |report| (*report == Report::Done).then_some(()))
    }

    /// Has the boot sector, at its limit, draw one more frame, and waits until it is whole.
    ///
    /// # Errors
    /// As [`GuestLine::next`].
    pub fn paint_one_more(&mut self, deadline: Deadline) -> Result<u32> {
        self.last_frame()?;
        self.reports.clear();
        self.lines.stream().write_all(b"n").context("writing to the guest")?;
        self.done(deadline)
    }

    /// Takes one report from the line; lines that are none are passed over.
    fn receive(&mut self, deadline: Deadline) -> Result<Option<Report>> {
        loop {
            let Some(line) = self.lines.next(deadline).context("the guest's line")? else {
                return Ok(None);
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
