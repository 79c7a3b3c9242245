//! Shows frame after frame: draw, flip, wait for the flip's event, hold, and again.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use fanlight_guests::line::Report;
use rustix::time::Timespec;

use crate::Result;
use crate::hotplug::Hotplug;
use crate::screen::Screen;

/// What the player is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Nothing; the last frame stays.
    Resting,
    /// A frame is on its way to the screen.
    Flipping,
    /// The frame is shown; the next is drawn from this time on.
    Holding(Instant),
}

/// The frames and where they go.
#[derive(Debug)]
pub(crate) struct Player {
    size: Option<(u32, u32)>,
    screen: Option<Screen>,
    second: Option<Screen>,
    /// There as long as the screen's own mode is followed; and how many screens were connected last.
    hotplug: Option<(Hotplug, usize)>,
    work: Work,
    /// Number of the last frame that was drawn.
    frame: u32,
    /// Frames still to show; `None` is without end.
    left: Option<u32>,
    hold: Duration,
}

impl Player {
    /// A player that has not opened the screen: the kernel's console has it. `size` is the mode to
    /// use, `None` the one that the screen prefers.
    pub(crate) fn new(size: Option<(u32, u32)>) -> Self {
        let (work, left, hold) = (Work::Resting, None, Duration::ZERO);
        Self { size, screen: None, second: None, hotplug: None, work, frame: 0, left, hold }
    }

    /// The size of the mode in use or to be used.
    pub(crate) fn size(&mut self) -> Result<(u32, u32)> {
        match &self.screen {
            Some(screen) => Ok(screen.size()),
            None => Ok(Screen::open(self.size)?.size()),
        }
    }

    /// The screen, if its flip event is what to wait for, and the kernel's word about screens.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let screen = self.screen.as_ref().filter(|_| self.work == Work::Flipping);
        let hotplug = self.hotplug.as_ref().map(|(hotplug, _)| hotplug.fd());
        screen.map(Screen::fd).into_iter().chain(hotplug)
    }

    /// How long until the player wants its turn without any event.
    pub(crate) fn timeout(&self) -> Option<Timespec> {
        let Work::Holding(until) = self.work else { return None };
        let left = until.saturating_duration_since(Instant::now());
        Timespec::try_from(left).ok()
    }

    /// Does what is due.
    pub(crate) fn turn(&mut self) -> Result<Vec<Report>> {
        if self.hotplug.as_ref().is_some_and(|(hotplug, _)| hotplug.told()) {
            return self.look();
        }
        match self.work {
            Work::Resting => Ok(Vec::new()),
            Work::Flipping => self.take_event(),
            Work::Holding(until) if Instant::now() < until => Ok(Vec::new()),
            Work::Holding(_) => self.draw_next(),
        }
    }

    /// Starts to show `frames` more (0: without end), each held for `hold_ms` milliseconds.
    pub(crate) fn start(&mut self, frames: u32, hold_ms: u32) -> Result<Vec<Report>> {
        let mut reports = self.settle_quietly()?;
        self.left = (frames != 0).then_some(frames);
        self.hold = Duration::from_millis(hold_ms.into());
        reports.push(Report::Ok);
        reports.extend(self.draw_next()?);
        Ok(reports)
    }

    /// Shows the frame of this number and stays.
    pub(crate) fn still(&mut self, frame: u32) -> Result<Vec<Report>> {
        let mut reports = self.settle_quietly()?;
        self.frame = frame.wrapping_sub(1);
        self.left = Some(1);
        reports.push(Report::Ok);
        reports.extend(self.draw_next()?);
        Ok(reports)
    }

    /// Stops after the frame that is on its way.
    pub(crate) fn settle(&mut self) -> Result<Vec<Report>> {
        let mut reports = self.settle_quietly()?;
        reports.push(Report::Ok);
        Ok(reports)
    }

    /// Stops at once, whatever is on its way.
    pub(crate) fn stop(&mut self) {
        self.work = Work::Resting;
    }

    /// Gives the screen back to the kernel's console.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.settle_quietly()?;
        self.hotplug = None;
        self.second = None;
        self.screen = None;
        Ok(())
    }

    /// Uses another mode from the next frame on.
    pub(crate) fn set_size(&mut self, width: u32, height: u32) -> Result<()> {
        self.settle_quietly()?;
        self.hotplug = None;
        match &mut self.screen {
            Some(screen) => screen.set_size(Some((width, height)))?,
            None => drop(Screen::open(Some((width, height)))?),
        }
        self.size = Some((width, height));
        Ok(())
    }

    /// Uses the mode that the screen prefers, from now on also when that changes.
    pub(crate) fn follow(&mut self) -> Result<Vec<Report>> {
        // What changes from here on is told, so that nothing is missed.
        self.hotplug = Some((Hotplug::listen()?, 0));
        let mut reports = vec![Report::Ok];
        reports.extend(self.look()?);
        Ok(reports)
    }

    /// Looks what screens there are now, and does what follows from it.
    fn look(&mut self) -> Result<Vec<Report>> {
        let mut reports = self.settle_quietly()?;
        let screen = match &mut self.screen {
            Some(screen) => screen,
            None => self.screen.insert(Screen::open(self.size)?),
        };
        let count = screen.connected()?;
        if let Some((_, known)) = &mut self.hotplug
            && std::mem::replace(known, count) != count
        {
            reports.push(Report::Screens(count as u32));
        }
        if screen.prefers()? != screen.size() {
            screen.set_size(None)?;
            let (width, height) = screen.size();
            self.size = Some((width, height));
            reports.push(Report::Mode { width, height });
            self.left = Some(1);
            reports.extend(self.draw_next()?);
        }
        Ok(reports)
    }

    /// Shows a frame on the second screen.
    pub(crate) fn second(&mut self, frame: u32) -> Result<Vec<Report>> {
        let first = match &self.screen {
            Some(screen) => screen,
            None => self.screen.insert(Screen::open(self.size)?),
        };
        let mut second = first.beside()?;
        second.show(frame)?;
        self.second = Some(second);
        Ok(vec![Report::Ok, Report::Done])
    }

    /// Shows the cursor with its top left corner there, or none.
    pub(crate) fn point(&mut self, place: Option<(i32, i32)>) -> Result<()> {
        match &mut self.screen {
            Some(screen) => screen.point(place),
            None => Err("there is no picture to show a cursor above".to_owned()),
        }
    }

    /// Waits for the frame on its way; then nothing more is due.
    fn settle_quietly(&mut self) -> Result<Vec<Report>> {
        self.left = None;
        let mut reports = Vec::new();
        while self.work == Work::Flipping {
            if let Some(screen) = &self.screen {
                screen.wait()?;
            }
            reports.extend(self.take_event()?);
        }
        self.work = Work::Resting;
        Ok(reports)
    }

    /// Draws the next frame into the buffer that is not shown, and flips to it.
    fn draw_next(&mut self) -> Result<Vec<Report>> {
        let screen = match &mut self.screen {
            Some(screen) => screen,
            None => self.screen.insert(Screen::open(self.size)?),
        };
        self.frame = self.frame.wrapping_add(1);
        if screen.show(self.frame)? {
            self.work = Work::Flipping;
            Ok(Vec::new())
        } else {
            Ok(self.shown())
        }
    }

    fn take_event(&mut self) -> Result<Vec<Report>> {
        let flipped = match &mut self.screen {
            Some(screen) => screen.flipped()?,
            None => false,
        };
        Ok(if flipped { self.shown() } else { Vec::new() })
    }

    /// The frame is on the screen.
    fn shown(&mut self) -> Vec<Report> {
        let mut reports = vec![Report::Frame(self.frame)];
        self.left = self.left.map(|left| left.saturating_sub(1));
        if self.left == Some(0) {
            self.work = Work::Resting;
            reports.push(Report::Done);
        } else {
            self.work = Work::Holding(Instant::now() + self.hold);
        }
        reports
    }
}
