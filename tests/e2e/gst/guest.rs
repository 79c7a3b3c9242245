//! A simulated guest that flips between two buffers, paints the pattern of the real ones, which outlives lossy coders, and changes its mode.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fanlight::frame::{
    BufferId, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform,
};
use fanlight::serve::{ConsoleId, Event, GuestMemory, Kind, Memory, Options, Server};
use fanlight::sys;
use fanlight_stage::wait::{Deadline, readable};
use fanlight_stage::{Context, Result, pattern};

/// As long as QEMU would wait.
const ACK_MOST: Duration = Duration::from_secs(1);

/// What the guest does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// Its modes, one after the other, and again.
    pub(crate) modes: &'static [Size],
    /// How many frames it shows in each.
    pub(crate) frames: u32,
    /// From a frame to the next, if it is acked by then.
    pub(crate) pace: Duration,
    /// Which way up its pictures lie in its memory.
    pub(crate) transform: Transform,
}

impl Script {
    /// What an emulated machine can keep up with.
    pub(crate) const CALM: Self = Self {
        modes: &[],
        frames: 12,
        pace: Duration::from_millis(100),
        transform: Transform::Normal,
    };
}

/// A frame that it finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    pub(crate) size: Size,
    pub(crate) at: Instant,
}

/// It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    end: Arc<AtomicBool>,
    frames: Arc<Mutex<Vec<Drawn>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Guest {
    /// One that serves at `socket`.
    pub(crate) fn serve(script: Script, socket: &Path) -> Result<Self> {
        let server = Server::bind(socket, "pattern", "", Options::default());
        let server = server.context("serving a guest")?;
        let end = Arc::new(AtomicBool::new(false));
        let frames = Arc::new(Mutex::new(Vec::new()));
        let (ends, done) = (Arc::clone(&end), Arc::clone(&frames));
        let thread = thread::spawn(move || live(server, script, &ends, &done));
        Ok(Self { end, frames, thread: Some(thread) })
    }

    /// A frame that it finished, by its number.
    pub(crate) fn frame(&self, number: u32) -> Option<Drawn> {
        lock(&self.frames).get(number as usize).copied()
    }

    /// How often it has changed its mode.
    pub(crate) fn changes(&self) -> usize {
        lock(&self.frames).windows(2).filter(|pair| pair[0].size != pair[1].size).count()
    }

    /// It has lived well.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> Result<()> {
        self.end.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(fanlight_stage::Error::new("the guest panicked")))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn lock(frames: &Mutex<Vec<Drawn>>) -> MutexGuard<'_, Vec<Drawn>> {
    frames.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live(
    mut server: Server,
    script: Script,
    end: &AtomicBool,
    frames: &Mutex<Vec<Drawn>>,
) -> Result<()> {
    let console = server.add_console(Kind::Graphic, "screen").context("adding a console")?;
    let mut mode: Option<Mode> = None;
    let mut due = Instant::now();
    for number in 0_u32.. {
        let size = script.modes[(number / script.frames) as usize % script.modes.len()];
        let mut old = None;
        if mode.as_ref().is_none_or(|mode| mode.size != size) {
            old = mode.replace(Mode::set(&mut server, console, size)?);
        }
        let Some(mode) = mode.as_mut() else { continue };
        let (buffer, whole) = mode.draw(number, script.transform)?;
        let flipped = server.flip(console, buffer, (whole, script.transform), &[], None);
        let owed = flipped.context("a flip")?;
        lock(frames).push(Drawn { size, at: Instant::now() });
        due = (due + script.pace).max(Instant::now());
        let (mut owes, late) = (true, Deadline::after(ACK_MOST));
        while owes && !late.left().is_zero() || Instant::now() < due {
            server.dispatch().context("serving")?;
            while let Some(event) = server.next_event() {
                owes &= !matches!(event, Event::Answered { frame, .. } if frame == owed);
            }
            if end.load(Ordering::Relaxed) {
                return Ok(());
            }
            let pace = Deadline::after(due.saturating_duration_since(Instant::now()));
            readable(&[server.as_fd()], if owes { late } else { pace })?;
        }
        for (buffer, _) in old.into_iter().flat_map(|old| old.buffers) {
            server.remove_buffer(console, buffer).context("letting a buffer go")?;
        }
    }
    Ok(())
}

/// Two buffers of a size.
struct Mode {
    size: Size,
    ram: File,
    /// With their places in the RAM.
    buffers: [(BufferId, u64); 2],
    pixels: Vec<u8>,
}

impl Mode {
    fn set(server: &mut Server, console: ConsoleId, size: Size) -> Result<Self> {
        let stride = size.width * 4;
        let bytes = sys::page_align(u64::from(stride) * u64::from(size.height));
        let ram = sys::own_memfd("guest-ram", 2 * bytes).context("making guest RAM")?;
        let ram = Arc::new(ram);
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = stride;
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        let layout = Layout { size, format, modifier, planes, plane_count: 1 };
        let mut add = |offset| {
            let memory = GuestMemory::new([(Arc::clone(&ram), offset, bytes)]);
            let memory = Memory::Guest(memory.context("taking guest RAM")?);
            let buffer = server.add_buffer(console, layout, memory).context("adding a buffer")?;
            Ok((buffer, offset))
        };
        let buffers = [add(0)?, add(bytes)?];
        let ram = OwnedFd::try_clone(&ram).context("duplicating an fd")?;
        Ok(Self { size, ram: ram.into(), buffers, pixels: vec![0; bytes as usize] })
    }

    /// Draws a frame into the buffer that isn't shown.
    fn draw(&mut self, number: u32, transform: Transform) -> Result<(BufferId, Rect)> {
        let Size { width, height } = self.size;
        let (buffer, offset) = self.buffers[number as usize % 2];
        pattern::draw(number, width, height, width as usize * 4, &mut self.pixels)
            .ok_or_else(|| fanlight_stage::Error::new("a picture larger than its memory"))?;
        if transform == Transform::Flipped {
            let rows = self.pixels.chunks_exact(width as usize * 4).take(height as usize);
            self.pixels = rows.rev().flatten().copied().collect();
        }
        self.ram.write_all_at(&self.pixels, offset).context("drawing")?;
        Ok((buffer, Rect { x: 0, y: 0, width, height }))
    }
}
