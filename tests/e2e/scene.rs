//! The boot sector on a bus of its own, in a viewer, in a compositor.

use std::sync::Arc;

use fanlight_stage::bus::Bus;
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::qemu::{Guest, Qemu, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Image, Result};

use crate::stills::{bus, soon};

/// The size of the boot sector's screen, and of the compositor's.
pub(crate) const SIZE: (u32, u32) = (640, 480);

/// All of it; the viewer goes first.
pub(crate) struct Scene {
    pub(crate) viewer: Viewer,
    pub(crate) weston: Weston,
    /// Its machine is called "paint".
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
        let viewer = Viewer::start(name, "qemu:paint", arguments, (&bus, &weston), &dir)?;
        viewer.wait_count("frames", 1, soon())?;
        Ok(Self { viewer, weston, qemu, bus, dir })
    }
}

/// The scene's machine.
pub(crate) fn machine(paint: Paint, bus: &Bus) -> Setup {
    Setup::new("paint", Guest::Paint(paint)).on(bus).gl(true)
}

/// Waits until the compositor shows `known`: each of its screenshots before that is `fine`.
pub(crate) fn await_screenshot(
    weston: &mut Weston,
    known: &Image,
    mut fine: impl FnMut(&Image) -> Result<()>,
) -> Result<()> {
    let deadline = soon();
    loop {
        let shot = weston.screenshot()?;
        let Some(difference) = shot.difference(known) else { return Ok(()) };
        fine(&shot)?;
        if deadline.left().is_zero() {
            return Err(Error::new(format!("what is due is not shown: {difference:?}")));
        }
    }
}
