//! The boot sector, which draws in place: it may be caught while it draws, but never goes back, and
//! whenever it pauses the picture is whole and the newest.

use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::pattern::{self, Tiles};
use fanlight_stage::qemu::{Guest, Setup};
use fanlight_stage::viewer::{self, Viewer};
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Image, Result, picture};

use crate::stills::{bus, soon};

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
    let (dir, bus) = bus()?;
    let paint = Paint { hold_ms: 0, frames: 1, ..Paint::default() };
    let setup = Setup::new("paint", Guest::Paint(paint)).on(&bus).gl(true);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    qemu.line.done(soon())?;
    let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, (640, 480), &dir)?;
    let viewer = Viewer::start("view-pauses", "qemu:paint", &[], (&bus, &weston), &dir)?;
    viewer.wait_count("frames", 1, soon())?;
    let mut before = None;
    for _ in 0..5 {
        let frame = qemu.line.paint_one_more(soon())?;
        // The guest pauses now; QEMU looks at its screen every 30 ms or so.
        let deadline = soon();
        loop {
            let shot = weston.screenshot()?;
            forward(&mut before, &shot, "screenshot")?;
            match pattern::whole(&shot) {
                Ok(shown) if shown == frame => break,
                seen if deadline.left().is_zero() => {
                    return Err(Error::new(format!("frame {frame} is due, shown: {seen:?}")));
                }
                _ => {}
            }
        }
    }
    viewer.finish(soon())?;
    Ok(())
}
