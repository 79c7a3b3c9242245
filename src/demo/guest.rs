//! The guest: draws a frame, shows it, and waits for its ack, as a guest's kernel does.

#[cfg(test)]
mod tests;
mod trouble;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::DemoError;
use super::oracle::Seen;
use super::painter::{Painter, Words, stride};
use super::progress::{Announced, Handle, Progress};
use super::ram::{Pages, Ram, Random};
use super::settings::{Mode, Settings};
use crate::frame::{BufferId, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};
use crate::serve::{Answer, ConsoleId, Event, Kind, Server, Swap};

/// A simulated guest and its server.
#[derive(Debug)]
pub(super) struct Guest {
    settings: Settings,
    pub(super) server: Server,
    console: ConsoleId,
    handle: Handle,
    /// `None` where each picture is a memfd of its own.
    ram: Option<Ram>,
    painter: Painter,
    buffers: Vec<Buffer>,
    /// Those of before, until the first frame in a new one is acked.
    old: Vec<Buffer>,
    /// Of `buffers`: what is shown, and what is drawn into next.
    shown: Option<usize>,
    next: usize,
    /// The newest frame, and the newest buffer.
    frame: u32,
    made: u32,
    /// Updates without an answer, and the frames that they are of; oldest first.
    owed: VecDeque<(u32, u32)>,
    /// The scanout has to be said again.
    refused: bool,
    phase: Phase,
    /// The frame before which there was trouble last.
    troubled: u32,
    /// How often sizes, formats or cursors were changed.
    turn: usize,
    random: Random,
    start: Instant,
    due: Instant,
    second: (Instant, u32),
    fps: f32,
}

/// One buffer of the guest's.
#[derive(Debug)]
struct Buffer {
    id: BufferId,
    number: u32,
    pages: Pages,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A frame after the other.
    Draws,
    /// Viewers were asked to let go of what is shown.
    Invalidates,
    /// Off, until then.
    Dark(Instant),
}

impl Guest {
    /// A guest whose RAM the server can make dma-bufs of, or else (without `dma_bufs`) one whose
    /// pictures are memfds.
    pub(super) fn new(
        settings: Settings,
        mut server: Server,
        dma_bufs: bool,
        handle: Handle,
    ) -> Result<Self, DemoError> {
        let console = server.add_console(Kind::Graphic, "demo")?;
        let swap = if settings.mode == Mode::InPlace { Swap::InPlace } else { Swap::Flip };
        server.swap(console, swap)?;
        let Size { height, .. } = settings.size;
        let format = Format::XRGB8888;
        let bytes = u64::from(stride(settings.size, format)) * u64::from(height);
        let scattered = dma_bufs && settings.mode != Mode::Truncate;
        // The buffers of now, and those of before.
        let pictures = 2 * u64::from(settings.buffers);
        let ram = scattered.then(|| Ram::new(bytes, pictures)).transpose();
        let ram = ram.map_err(DemoError::memory)?;
        let now = Instant::now();
        let mut guest = Self {
            settings,
            server,
            console,
            handle,
            ram,
            painter: Painter::new(settings.size, format),
            buffers: Vec::new(),
            old: Vec::new(),
            shown: None,
            next: 0,
            frame: 0,
            made: 0,
            owed: VecDeque::new(),
            refused: false,
            phase: Phase::Draws,
            troubled: 0,
            turn: 0,
            random: Random::new(),
            start: now,
            due: now,
            second: (now, 0),
            fps: settings.fps as f32,
        };
        guest.make_buffers()?;
        guest.plug_in_cursor()?;
        Ok(guest)
    }

    /// Does what is due; how long until something is, if nothing comes from a viewer.
    pub(super) fn work(&mut self) -> Result<Option<Duration>, DemoError> {
        self.server.dispatch().map_err(|error| DemoError::System("the viewers", error))?;
        while let Some(event) = self.server.next_event() {
            self.heard(event)?;
        }
        self.let_go_of_old()?;
        let wait = |until: Instant| Some(until.saturating_duration_since(Instant::now()));
        match self.phase {
            Phase::Invalidates => return Ok(None),
            Phase::Dark(until) if Instant::now() < until => return Ok(wait(until)),
            Phase::Dark(_) => self.power_on()?,
            Phase::Draws => {}
        }
        if Instant::now() < self.due {
            return Ok(wait(self.due));
        }
        // What is drawn into next was let go of when the frame after its own was acked. Trouble wants
        // all to be quiet.
        let trouble = self.troubles_before(self.frame.wrapping_add(1));
        let spare = if trouble { 0 } else { self.buffers.len().saturating_sub(2) };
        if self.owed.len() > spare {
            return Ok(None);
        }
        if trouble {
            self.troubled = self.frame.wrapping_add(1);
            self.trouble()?;
            if !matches!(self.phase, Phase::Draws) {
                return Ok(Some(Duration::ZERO));
            }
        }
        self.show_frame()?;
        // A guest that was late draws no frames to catch up.
        let now = Instant::now();
        self.due = (self.due + Duration::from_secs(1) / self.settings.fps).max(now);
        Ok(wait(self.due))
    }

    /// Draws a frame and shows it.
    fn show_frame(&mut self) -> Result<(), DemoError> {
        self.count_second();
        self.frame = self.frame.wrapping_add(1);
        let (index, number) = (self.next, self.buffers[self.next].number);
        let seen = Seen { frame: self.frame, buffer: number };
        let (fps, mode) = (self.fps, self.settings.mode.name());
        let words = self.handle.note(|progress| {
            let &mut Progress { events, replaced, late, .. } = progress;
            Words { seen, fps, mode, events, replaced, late }
        });
        self.painter.draw(&words, self.start.elapsed().as_secs_f32());
        self.disturb_drawing(seen)?;
        let Size { width, height } = self.painter.size();
        let buffer = &self.buffers[index];
        self.painter.store(&buffer.pages, seen, height).map_err(DemoError::memory)?;
        // Before anybody can see it.
        self.handle.note(|progress| progress.frame = seen.frame);
        let again = std::mem::take(&mut self.refused);
        let flipped = self.shown.replace(index) != Some(index);
        let update = if flipped || again {
            let whole = (Rect { x: 0, y: 0, width, height }, Transform::Normal);
            self.server.flip(self.console, buffer.id, whole, &[], None)?
        } else {
            self.server.update(self.console, buffer.id, &[])?
        };
        self.owed.push_back((update, seen.frame));
        let replaced = self.server.replacements();
        self.handle.note(|progress| progress.replaced = replaced);
        self.next = (index + 1) % self.buffers.len();
        self.move_cursor()
    }

    fn heard(&mut self, event: Event) -> Result<(), DemoError> {
        match event {
            Event::Answered { frame: update, answer, fences, .. } => {
                let Some(at) = self.owed.iter().position(|(owed, _)| *owed == update) else {
                    return Ok(());
                };
                let Some((_, frame)) = self.owed.remove(at) else { return Ok(()) };
                fences.iter().for_each(wait_for_fence);
                self.refused |= answer == Answer::Refused;
                self.handle.note(|progress| match answer {
                    Answer::Acked => {
                        progress.acks += 1;
                        progress.acked = progress.acked.max(frame);
                    }
                    Answer::Refused => progress.refused += 1,
                    Answer::TimedOut => progress.late += 1,
                });
            }
            Event::Watched(_, viewers) => self.handle.note(|progress| progress.viewers = viewers),
            Event::Invalidated(..) => self.replace_shown()?,
            // This guest has no keyboard, and its size is its own.
            Event::SizeHint(..) | Event::Input(..) => {}
        }
        Ok(())
    }

    /// Makes the buffers anew, of the painter's size and format; those of before go when the first
    /// frame is acked.
    fn make_buffers(&mut self) -> Result<(), DemoError> {
        self.old.append(&mut self.buffers);
        let (size, format) = (self.painter.size(), self.painter.format());
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = stride(size, format);
        let bytes = u64::from(planes[0].stride) * u64::from(size.height);
        let layout = Layout { size, format, modifier: Modifier::LINEAR, planes, plane_count: 1 };
        let count = if self.settings.mode == Mode::InPlace { 1 } else { self.settings.buffers };
        for _ in 0..count {
            let pages = match &mut self.ram {
                Some(ram) => ram.take(bytes).ok_or(std::io::ErrorKind::OutOfMemory.into()),
                None if self.settings.mode == Mode::Truncate => Pages::unsealed(bytes),
                None => Pages::alone(bytes),
            };
            let pages = pages.map_err(DemoError::memory)?;
            let id = self.server.add_buffer(self.console, layout, pages.memory()?)?;
            self.made += 1;
            self.buffers.push(Buffer { id, number: self.made, pages });
            self.handle.announced(Announced { buffer: self.made, size, format });
        }
        (self.shown, self.next) = (None, 0);
        Ok(())
    }

    fn let_go_of_old(&mut self) -> Result<(), DemoError> {
        if self.shown.is_some() && self.owed.is_empty() {
            for buffer in std::mem::take(&mut self.old) {
                self.free(buffer)?;
            }
        }
        Ok(())
    }

    /// Takes a buffer away from the viewers, and its pages back.
    fn free(&mut self, buffer: Buffer) -> Result<(), DemoError> {
        self.server.remove_buffer(self.console, buffer.id)?;
        if let Some(ram) = &mut self.ram {
            ram.give_back(buffer.pages);
        }
        Ok(())
    }

    /// Measures its own pace.
    fn count_second(&mut self) {
        let (since, frame) = self.second;
        let took = since.elapsed();
        if took >= Duration::from_secs(1) {
            self.fps = self.frame.wrapping_sub(frame) as f32 / took.as_secs_f32();
            self.second = (Instant::now(), self.frame);
            let fps = self.fps;
            self.handle.note(|progress| progress.fps = fps);
        }
    }
}

/// Waits until what a viewer's GPU still reads is read, a second at most.
fn wait_for_fence(fence: &OwnedFd) {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    if let Err(error) = poll(&mut [PollFd::new(fence, PollFlags::IN)], Some(&second)) {
        tracing::warn!(%error, "a viewer's fence can't be waited for");
    }
}
