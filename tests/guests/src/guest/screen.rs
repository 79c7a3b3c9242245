//! A connected screen with two buffers, by kernel mode setting.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use drm::buffer::{Buffer as _, DrmFourcc};
use drm::control::dumbbuffer::DumbBuffer;
use drm::control::{Device as ControlDevice, Event, Mode, PageFlipFlags};
use drm::control::{connector, crtc, framebuffer};
use fanlight_guests::{cursor, pattern};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::Result;

/// A flip that takes longer has failed. A host that never acknowledges holds one for a second.
const LONGEST_FLIP: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

#[derive(Debug)]
struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl ControlDevice for Card {}

/// Memory that can be drawn into and shown.
#[derive(Debug)]
struct Surface {
    memory: DumbBuffer,
    framebuffer: framebuffer::Handle,
}

/// The screen. Dropping it gives the screen back to the kernel's console.
#[derive(Debug)]
pub(crate) struct Screen {
    card: Card,
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    surfaces: [Surface; 2],
    /// Of the mode before, still shown until the next frame is.
    outdated: Vec<Surface>,
    /// Which surface the screen shows, `None` before the first frame of a mode.
    front: Option<usize>,
    /// The cursor's memory, once there was one.
    cursor: Option<DumbBuffer>,
}

/// Puts what was attempted before a failure.
fn failed(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |e| format!("{what} failed: {e}")
}

impl Screen {
    /// Opens the first card with a connected screen, in the mode of this size or the one it prefers.
    pub(crate) fn open(size: Option<(u32, u32)>) -> Result<Self> {
        for number in 0..8 {
            let path = format!("/dev/dri/card{number}");
            let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
            let card = Card(file);
            if let Some(&(crtc, ref info)) = connected(&card)?.first() {
                return Self::on(card, crtc, info, size);
            }
        }
        Err("no card under /dev/dri has a connected screen".to_owned())
    }

    /// The second screen of the same card, in the mode that it prefers.
    pub(crate) fn beside(&self) -> Result<Self> {
        let card = self.card.0.try_clone().map(Card).map_err(failed("sharing the card"))?;
        match connected(&card)?.get(1) {
            Some(&(crtc, ref info)) => Self::on(card, crtc, info, None),
            None => Err("no second screen is connected".to_owned()),
        }
    }

    fn on(
        card: Card,
        crtc: crtc::Handle,
        info: &connector::Info,
        size: Option<(u32, u32)>,
    ) -> Result<Self> {
        let mode = choose_mode(info, size)?;
        let surfaces = [new_surface(&card, mode)?, new_surface(&card, mode)?];
        let (connector, outdated, front) = (info.handle(), Vec::new(), None);
        Ok(Self { card, connector, crtc, mode, surfaces, outdated, front, cursor: None })
    }

    /// How many screens are connected to its card.
    pub(crate) fn connected(&self) -> Result<usize> {
        connected(&self.card).map(|screens| screens.len())
    }

    /// The size that it wants now.
    pub(crate) fn prefers(&self) -> Result<(u32, u32)> {
        let mode = choose_mode(&self.info()?, None)?;
        let (width, height) = mode.size();
        Ok((width.into(), height.into()))
    }

    fn info(&self) -> Result<connector::Info> {
        let info = self.card.get_connector(self.connector, true);
        info.map_err(failed("asking for the screen's modes"))
    }

    /// The size of the mode.
    pub(crate) fn size(&self) -> (u32, u32) {
        let (width, height) = self.mode.size();
        (width.into(), height.into())
    }

    /// What becomes readable when a flip is done.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.card.as_fd()
    }

    /// Uses another mode from the next frame on.
    pub(crate) fn set_size(&mut self, size: Option<(u32, u32)>) -> Result<()> {
        let mode = choose_mode(&self.info()?, size)?;
        let surfaces = [new_surface(&self.card, mode)?, new_surface(&self.card, mode)?];
        self.outdated.extend(std::mem::replace(&mut self.surfaces, surfaces));
        self.mode = mode;
        self.front = None;
        Ok(())
    }

    /// Draws a frame into the surface that is not shown, and shows it. True if that takes until
    /// the flip's event; false if the frame is there already (the first of a mode).
    pub(crate) fn show(&mut self, frame: u32) -> Result<bool> {
        let back = self.front.map_or(0, |front| 1 - front);
        let (width, height) = self.size();
        let surface = &mut self.surfaces[back];
        let stride = surface.memory.pitch() as usize;
        let mut map =
            self.card.map_dumb_buffer(&mut surface.memory).map_err(failed("mapping a buffer"))?;
        pattern::draw(frame, width, height, stride, map.as_mut())
            .ok_or("a buffer is smaller than its mode")?;
        drop(map);
        let framebuffer = surface.framebuffer;
        let flips = self.front.is_some();
        if flips {
            self.card
                .page_flip(self.crtc, framebuffer, PageFlipFlags::EVENT, None)
                .map_err(failed("flipping"))?;
        } else {
            let mode = Some(self.mode);
            self.card
                .set_crtc(self.crtc, Some(framebuffer), (0, 0), &[self.connector], mode)
                .map_err(failed("setting the mode"))?;
            for old in std::mem::take(&mut self.outdated) {
                self.card
                    .destroy_framebuffer(old.framebuffer)
                    .and_then(|()| self.card.destroy_dumb_buffer(old.memory))
                    .map_err(failed("freeing a buffer"))?;
            }
        }
        self.front = Some(back);
        Ok(flips)
    }

    /// Shows the cursor with its top left corner there, or none.
    #[allow(deprecated, reason = "the old call is the one that says a cursor's hotspot")]
    pub(crate) fn point(&mut self, place: Option<(i32, i32)>) -> Result<()> {
        let Some(place) = place else {
            let none = None::<&DumbBuffer>;
            return self.card.set_cursor(self.crtc, none).map_err(failed("hiding the cursor"));
        };
        if self.cursor.is_none() {
            self.cursor = Some(new_cursor(&self.card)?);
        }
        self.card
            .set_cursor2(self.crtc, self.cursor.as_ref(), cursor::HOTSPOT)
            .and_then(|()| self.card.move_cursor(self.crtc, place))
            .map_err(failed("showing the cursor"))
    }

    /// Waits until an event is there.
    pub(crate) fn wait(&self) -> Result<()> {
        let mut fds = [PollFd::new(&self.card, PollFlags::IN)];
        match poll(&mut fds, Some(&LONGEST_FLIP)) {
            Ok(0) => Err(format!("a flip was not done in {} s", LONGEST_FLIP.tv_sec)),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(format!("poll failed: {e}")),
        }
    }

    /// Takes the events that are there; whether a flip's is one of them. Does not wait.
    pub(crate) fn flipped(&mut self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.card, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(e) => return Err(format!("poll failed: {e}")),
        }
        let mut events = self.card.receive_events().map_err(failed("reading the flip's event"))?;
        Ok(events.any(|event| matches!(event, Event::PageFlip(_))))
    }
}

/// The connected screens of a card, each with what scans out for it.
fn connected(card: &Card) -> Result<Vec<(crtc::Handle, connector::Info)>> {
    let resources = card.resource_handles().map_err(failed("asking for the outputs"))?;
    // A card of QEMU's has as many of these as of those.
    let screens = resources.connectors().iter().zip(resources.crtcs());
    Ok(screens
        .filter_map(|(&handle, &crtc)| Some((crtc, card.get_connector(handle, true).ok()?)))
        .filter(|(_, info)| info.state() == connector::State::Connected)
        .collect())
}

fn choose_mode(screen: &connector::Info, size: Option<(u32, u32)>) -> Result<Mode> {
    let modes = screen.modes();
    let fits = |mode: &&Mode| {
        let (width, height) = mode.size();
        size.is_none_or(|wanted| wanted == (width.into(), height.into()))
    };
    modes.iter().find(fits).copied().ok_or_else(|| {
        let sizes = modes.iter().map(|m| format!("{}x{}", m.size().0, m.size().1));
        format!("the screen has no such mode; it has {}", sizes.collect::<Vec<_>>().join(" "))
    })
}

fn new_surface(card: &Card, mode: Mode) -> Result<Surface> {
    let (width, height) = mode.size();
    let memory = card
        .create_dumb_buffer((width.into(), height.into()), DrmFourcc::Xrgb8888, 32)
        .map_err(failed("making a buffer"))?;
    let framebuffer =
        card.add_framebuffer(&memory, 24, 32).map_err(failed("making a framebuffer"))?;
    Ok(Surface { memory, framebuffer })
}

fn new_cursor(card: &Card) -> Result<DumbBuffer> {
    let size = (cursor::SIDE, cursor::SIDE);
    let mut memory = card
        .create_dumb_buffer(size, DrmFourcc::Argb8888, 32)
        .map_err(failed("making a cursor"))?;
    let stride = memory.pitch() as usize;
    let mut map = card.map_dumb_buffer(&mut memory).map_err(failed("mapping a cursor"))?;
    cursor::draw(stride, map.as_mut()).ok_or("a cursor's memory is too small")?;
    drop(map);
    Ok(memory)
}
