//! What the modes do between frames and while one is drawn.

use std::time::{Duration, Instant};

use super::super::DemoError;
use super::super::oracle::Seen;
use super::super::painter::stride;
use super::super::settings::Mode;
use super::{Guest, Phase};
use crate::frame::{Cursor, Format, Size};

/// In one frame of so many pages go while it is drawn.
const PUNCH_FRAMES: u32 = 3;
/// Pages that go then.
const PUNCHES: u64 = 3;
/// How long a guest is dark that boots.
const BOOT: Duration = Duration::from_millis(500);
/// Side of the cursor, in pixels.
const CURSOR: u32 = 24;

const FORMATS: [Format; 4] = [Format::XRGB8888, Format::ARGB8888, Format::XBGR8888, Format::RGB565];

/// The sizes that a guest of `size` sets, one after the other.
fn sizes(size: Size) -> [Size; 3] {
    let less = |side: u32| side * 3 / 4 / 8 * 8;
    let Size { width, height } = size;
    [size, Size { width, height: less(height) }, Size { width: less(width), height }]
}

impl Guest {
    /// Whether something happens before this frame, when all that was shown is acked.
    pub(super) fn troubles_before(&self, frame: u32) -> bool {
        let second = self.settings.fps.max(2);
        let every = match self.settings.mode {
            Mode::Resize | Mode::Format | Mode::Told | Mode::Truncate => second,
            Mode::Reboot => 2 * second,
            _ => return false,
        };
        frame.is_multiple_of(every) && self.troubled != frame
    }

    /// Lets it happen.
    pub(super) fn trouble(&mut self) -> Result<(), DemoError> {
        self.handle.note(|progress| progress.events += 1);
        let (size, format) = (self.painter.size(), self.painter.format());
        self.turn += 1;
        match self.settings.mode {
            Mode::Resize => {
                self.painter.set(sizes(self.settings.size)[self.turn % 3], format);
                self.make_buffers()
            }
            Mode::Format => {
                self.painter.set(size, FORMATS[self.turn % FORMATS.len()]);
                self.make_buffers()
            }
            Mode::Told => {
                self.phase = Phase::Invalidates;
                Ok(self.server.invalidate_begin(self.console)?)
            }
            Mode::Truncate => {
                for buffer in &self.buffers {
                    buffer.pages.truncate().map_err(DemoError::memory)?;
                }
                self.make_buffers()
            }
            Mode::Reboot => self.power_off(),
            Mode::Flip | Mode::InPlace | Mode::Cursor | Mode::Punch | Mode::Balloon => Ok(()),
        }
    }

    /// Nobody reads what is shown (or the viewers' time is up): all its pages go, and the same frame
    /// comes back in others.
    pub(super) fn replace_shown(&mut self) -> Result<(), DemoError> {
        if let (Phase::Invalidates, Some(index)) = (self.phase, self.shown) {
            let buffer = &self.buffers[index];
            buffer.pages.punch_all().map_err(DemoError::memory)?;
            let seen = Seen { frame: self.frame, buffer: buffer.number };
            let height = self.painter.size().height;
            self.painter.store(&buffer.pages, seen, height).map_err(DemoError::memory)?;
            self.server.invalidate_end(self.console)?;
        }
        self.phase = Phase::Draws;
        Ok(())
    }

    fn power_off(&mut self) -> Result<(), DemoError> {
        self.server.disable(self.console)?;
        let old = std::mem::take(&mut self.old);
        for buffer in old.into_iter().chain(std::mem::take(&mut self.buffers)) {
            self.free(buffer)?;
        }
        if let Some(ram) = &self.ram {
            ram.drop_all().map_err(DemoError::memory)?;
        }
        self.shown = None;
        self.phase = Phase::Dark(Instant::now() + BOOT);
        Ok(())
    }

    pub(super) fn power_on(&mut self) -> Result<(), DemoError> {
        self.phase = Phase::Draws;
        let format = self.painter.format();
        self.painter.set(sizes(self.settings.size)[self.turn % 3], format);
        self.due = Instant::now();
        self.make_buffers()
    }

    /// Pages go while a frame is drawn; then all of it is drawn, as a guest does that was given its
    /// pages back empty.
    pub(super) fn disturb_drawing(&mut self, seen: Seen) -> Result<(), DemoError> {
        let pages = &self.buffers[self.next].pages;
        let Size { height, .. } = self.painter.size();
        match self.settings.mode {
            Mode::Punch if seen.frame.is_multiple_of(PUNCH_FRAMES) => {
                self.painter.store(pages, seen, height / 2).map_err(DemoError::memory)?;
                let half = u64::from(stride(self.painter.size(), self.painter.format()))
                    * u64::from(height / 2);
                for _ in 0..PUNCHES {
                    pages.punch_page(self.random.below(half)).map_err(DemoError::memory)?;
                }
            }
            Mode::Balloon => {
                // What is shown stays: who comes to see it now would see it empty.
                let shown = self.shown.map(|index| &self.buffers[index].pages);
                let swept = match &mut self.ram {
                    Some(ram) => ram.sweep(shown),
                    None => pages.punch_all(),
                };
                swept.map_err(DemoError::memory)?;
            }
            _ => return Ok(()),
        }
        self.handle.note(|progress| progress.events += 1);
        Ok(())
    }

    pub(super) fn plug_in_cursor(&mut self) -> Result<(), DemoError> {
        if self.settings.mode == Mode::Cursor {
            self.server.set_cursor(self.console, &cursor(self.turn))?;
        }
        Ok(())
    }

    /// It goes round in the picture, changes once a second, and is hidden for a while then.
    pub(super) fn move_cursor(&mut self) -> Result<(), DemoError> {
        if self.settings.mode != Mode::Cursor {
            return Ok(());
        }
        let Size { width, height } = self.painter.size();
        let way = self.start.elapsed().as_secs_f32();
        let at = |side: u32, way: f32| ((0.5 + 0.45 * way) * side as f32) as i32;
        let (x, y) = (at(width, (way * 1.3).sin()), at(height, (way * 0.9).cos()));
        let second = self.settings.fps.max(4);
        let visible = self.frame % second >= second / 4;
        self.server.move_cursor(self.console, x, y, visible)?;
        self.handle.note(|progress| progress.events += 1);
        if self.frame.is_multiple_of(second) {
            self.turn += 1;
            self.plug_in_cursor()?;
        }
        Ok(())
    }
}

/// An arrow, or a ring.
fn cursor(turn: usize) -> Cursor {
    let middle = (CURSOR / 2) as f32;
    let inside = |x: u32, y: u32| -> f32 {
        let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
        if turn.is_multiple_of(2) {
            // From the tip at the top left: how far within the edges.
            (y * 0.62 - x).min(x).min(20.0 - y + x * 0.3) * 0.7
        } else {
            4.0 - ((x - middle).hypot(y - middle) - 7.0).abs()
        }
    };
    let pixel = |x, y| match inside(x, y) {
        within if within > 1.2 => [255; 4],
        within if within > 0.0 => [40, 24, 20, 255],
        _ => [0; 4],
    };
    let places = (0..CURSOR).flat_map(|y| (0..CURSOR).map(move |x| (x, y)));
    let pixels = places.flat_map(|(x, y)| pixel(x, y)).collect();
    let hotspot = if turn.is_multiple_of(2) { (0, 0) } else { (12, 12) };
    Cursor { size: Size { width: CURSOR, height: CURSOR }, hotspot, pixels }
}
