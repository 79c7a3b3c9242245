//! The boot sector on a bus of its own, in a viewer, in a compositor.

use std::sync::Arc;

use fanlight_stage::bus::Bus;
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::qemu::{Guest, Qemu, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Image, Result};

use crate::stills::{bus, dumped, soon};

/// The size of the boot sector's screen, and of the compositor's.
pub(crate) const SIZE: (u32, u32) = (640, 480);

/// Its machine.
const PAINT: &str = "qemu:paint";

/// All of it; the viewer goes first.
pub(crate) struct Scene {
    pub(crate) viewer: Viewer,
    pub(crate) weston: Weston,
    pub(crate) qemu: Qemu,
    pub(crate) bus: Bus,
    pub(crate) dir: Arc<RunDir>,
}

impl Scene {
    /// Waits until the guest rests, or else has drawn some frames, and the viewer of this name has
    /// shown one.
    pub(crate) fn start(name: &str, paint: Paint) -> Result<Self> {
        Self::start_with(name, paint, &[])
    }

    /// As [`start`](Self::start), with more arguments for the viewer.
    pub(crate) fn start_with(name: &str, paint: Paint, arguments: &[&str]) -> Result<Self> {
        let (dir, bus) = bus()?;
        let mut qemu = machine(paint, &bus).start(&Guests::find()?, &dir)?;
        if paint.frames == 0 {
            qemu.line.frame(2, soon())?;
        } else {
            qemu.line.done(soon())?;
        }
        let weston = Weston::start(Shell::Kiosk, Renderer::Gl, SIZE, &dir)?;
        let viewer = Viewer::start(name, PAINT, arguments, (&bus, &weston), &dir)?;
        viewer.wait_count("frames", 1, soon())?;
        Ok(Self { viewer, weston, qemu, bus, dir })
    }

    /// As the function of that name.
    pub(crate) fn await_painted(
        &mut self,
        known: &Image,
        fine: impl FnMut(&Image) -> Result<()>,
    ) -> Result<Image> {
        let Self { viewer, weston, bus, dir, .. } = self;
        await_painted(weston, viewer, (bus, dir), known, fine)
    }
}

/// The scene's machine.
pub(crate) fn machine(paint: Paint, bus: &Bus) -> Setup {
    Setup::new("paint", Guest::Paint(paint)).on(bus).gl(true)
}

/// Waits until the compositor shows `known`, by that viewer: each of its screenshots before that is `fine`.
pub(crate) fn await_screenshot(
    weston: &mut Weston,
    viewer: &Viewer,
    known: &Image,
    mut fine: impl FnMut(&Image) -> Result<()>,
) -> Result<()> {
    await_shown(weston, viewer, known, |shot| fine(shot).map(|()| false)).map(drop)
}

/// The same for a boot sector's picture, on that bus; what is shown then. Its QEMU may miss what was written to one page: a
/// processor that is emulated may be about to write to it while QEMU looks which ones were written to. Nobody hears of that,
/// and its dma-buf lacks it too; so a picture counts that lacks no more, if a dump lacks the same.
pub(crate) fn await_painted(
    weston: &mut Weston,
    viewer: &Viewer,
    (bus, dir): (&Bus, &Arc<RunDir>),
    known: &Image,
    mut fine: impl FnMut(&Image) -> Result<()>,
) -> Result<Image> {
    await_shown(weston, viewer, known, |shot| {
        if lacks_a_page(shot, known) && dumped(PAINT, bus, dir)?.difference(shot).is_none() {
            println!(
                "REPORT QEMU has missed what was written to a page: {:?}",
                shot.difference(known)
            );
            return Ok(true);
        }
        fine(shot).map(|()| false)
    })
}

/// Whether all that differs is in the same four kilobytes of the guest's memory.
fn lacks_a_page(shot: &Image, known: &Image) -> bool {
    const PIXELS: usize = 4096 / 4;
    let mut pages = shot.pixels().chunks(PIXELS).zip(known.pixels().chunks(PIXELS));
    pages.by_ref().find(|(shown, due)| shown != due);
    pages.all(|(shown, due)| shown == due) && shot.pixels().len() == known.pixels().len()
}

/// Waits for a screenshot that is `known`, or good enough.
fn await_shown(
    weston: &mut Weston,
    viewer: &Viewer,
    known: &Image,
    mut enough: impl FnMut(&Image) -> Result<bool>,
) -> Result<Image> {
    let deadline = soon();
    loop {
        let shot = weston.screenshot()?;
        let Some(difference) = shot.difference(known) else { return Ok(shot) };
        if enough(&shot)? {
            return Ok(shot);
        }
        if deadline.left().is_zero() {
            return Err(viewer.failure(&format!("doesn't show what is due: {difference:?}")));
        }
    }
}
