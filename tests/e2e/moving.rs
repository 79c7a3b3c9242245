//! The boot sector, which draws in place: it may be caught while it draws, but never goes back, and
//! whenever it pauses the picture is whole and the newest.

use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::pattern::{self, Tiles};
use fanlight_stage::qemu::{Guest, Setup};
use fanlight_stage::viewer;
use fanlight_stage::{Error, Image, Result, picture};

use crate::scene::{SIZE, Scene};
use crate::stills::{bus, same, soon};

/// Fails if a tile of `image` shows an older frame than it did before.
fn forward(before: &mut Option<Tiles>, image: &Image, what: &str) -> Result<()> {
    let tiles = Tiles::read(image);
    if let Some((x, y)) = before.as_ref().and_then(|before| tiles.gone_back(before)) {
        return Err(Error::new(format!("{what}: tile {x}, {y} went back to an older frame")));
    }
    *before = Some(tiles);
    Ok(())
}

pub(crate) fn dumps() -> Result<()> {
    let (dir, bus) = bus()?;
    let paint = Paint { hold_ms: 300, ..Paint::default() };
    let setup = Setup::new("paint", Guest::Paint(paint)).on(&bus).gl(true);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    let first = qemu.line.frame(1, soon())?;
    let files = viewer::dump("qemu:paint", 40, (dir.path(), "moving"), &bus, &dir)?;
    let mut before = None;
    let mut whole = Vec::new();
    for file in &files {
        let image = picture::load(file)?;
        forward(&mut before, &image, &file.display().to_string())?;
        whole.extend(pattern::whole(&image));
    }
    let last = qemu.line.last_frame()?.unwrap_or(0);
    if last <= first || whole.is_empty() {
        return Err(Error::new(format!("frames {first} to {last}, whole ones: {whole:?}")));
    }
    Ok(())
}

pub(crate) fn pauses() -> Result<()> {
    let paint = Paint { hold_ms: 0, frames: 1, ..Paint::default() };
    let mut scene = Scene::start("view-pauses", paint)?;
    let mut before = None;
    for _ in 0..5 {
        let frame = scene.qemu.line.paint_one_more(soon())?;
        // The guest pauses now; QEMU looks at its screen every 30 ms or so.
        let known = pattern::expected(frame, SIZE.0, SIZE.1);
        let shown = scene.await_painted(&known, |shot| forward(&mut before, shot, "screenshot"))?;
        forward(&mut before, &shown, "screenshot")?;
    }
    scene.viewer.finish(soon())?;
    Ok(())
}

/// The firmware draws after a reset, then the boot sector, which counts from 1 again.
pub(crate) fn reset() -> Result<()> {
    let paint = Paint { hold_ms: 0, frames: 2, ..Paint::default() };
    let mut scene = Scene::start("view-reset", paint)?;
    let before = scene.qemu.line.paint_one_more(soon())?;
    let known = pattern::expected(before, SIZE.0, SIZE.1);
    scene.await_painted(&known, |_| Ok(()))?;
    scene.qemu.qmp.system_reset()?;
    let after = scene.qemu.line.done(soon())?;
    if after >= before {
        return Err(Error::new(format!("frame {after} after the reset, {before} before it")));
    }
    let known = pattern::expected(after, SIZE.0, SIZE.1);
    same("screendump and pattern", &scene.qemu.qmp.screendump()?, &known)?;
    scene.await_painted(&known, |_| Ok(()))?;
    scene.viewer.finish(soon())?;
    Ok(())
}
