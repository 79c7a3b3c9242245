//! Still screens: the dump, QEMU's own screendump and the compositor's picture of the viewer are the
//! same, pixel for pixel.

use std::sync::Arc;

use fanlight_stage::bus::Bus;
use fanlight_stage::child::run;
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::qemu::{Card, Guest, Qemu, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::{self, Viewer, fanlight};
use fanlight_stage::wait::Deadline;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Context, Error, Image, Rect, Result, pattern, picture};
use serde_json::Value;

/// A cell of the VGA text screen.
const CELL: (u32, u32) = (9, 16);

pub(crate) fn soon() -> Deadline {
    Deadline::seconds(120)
}

/// A folder and a bus in it.
pub(crate) fn bus() -> Result<(Arc<RunDir>, Bus)> {
    let dir = RunDir::new()?;
    let bus = Bus::start(&dir)?;
    Ok((dir, bus))
}

/// The screen of `uri`, dumped.
pub(crate) fn dumped(uri: &str, bus: &Bus, dir: &Arc<RunDir>) -> Result<Image> {
    let files = viewer::dump(uri, 1, (dir.path(), "still"), bus, dir)?;
    let image = picture::load(&files[0])?;
    std::fs::remove_file(&files[0]).map_err(|e| Error::new(e.to_string()))?;
    Ok(image)
}

/// What is dumped of `uri` once it is still is `known`; the hash that is printed is the one in the manifest.
fn awaited(uri: &str, known: &Image, bus: &Bus, dir: &Arc<RunDir>) -> Result<()> {
    let [picture, manifest] = ["known.png", "manifest.jsonl"].map(|name| dir.path().join(name));
    picture::save(known, &picture)?;
    let mut command = fanlight(bus);
    command.arg("dump").arg(uri).args(["--wait", "stable:500ms", "--timeout", "120", "--expect"]);
    command.arg(&picture).args(["--hash", "--manifest"]).arg(&manifest);
    let hash = run("dump-awaited", "that has it", command, dir, Deadline::seconds(180))?;
    let lines = std::fs::read_to_string(&manifest).context("reading the manifest")?;
    let line: Value = serde_json::from_str(&lines).context("reading the manifest's one line")?;
    if line["sha256"] != hash.trim() {
        return Err(Error::new(format!("the hash {hash} is in the manifest as {line}")));
    }
    Ok(())
}

/// The compositor's picture of the viewer of `uri`, on an output of the guest's size.
fn viewed(
    uri: &str,
    renderer: Renderer,
    size: (u32, u32),
    bus: &Bus,
    dir: &Arc<RunDir>,
) -> Result<Image> {
    let mut weston = Weston::start(Shell::Kiosk, renderer, size, dir)?;
    let viewer = Viewer::start("view-still", uri, &[], (bus, &weston), dir)?;
    viewer.wait_count("frames", 1, soon())?;
    let shot = weston.screenshot()?;
    viewer.finish(soon())?;
    Ok(shot)
}

pub(crate) fn same(what: &str, one: &Image, other: &Image) -> Result<()> {
    match one.difference(other) {
        None => Ok(()),
        Some(difference) => {
            let dir = RunDir::new()?;
            dir.keep();
            picture::save(one, &dir.path().join("one.png"))?;
            picture::save(other, &dir.path().join("other.png"))?;
            Err(Error::new(format!("{what}: {difference:?}; see {}", dir.path().display())))
        }
    }
}

/// The same, but for the one cell of a text screen where the cursor blinks.
fn same_but_for_the_cursor(what: &str, one: &Image, other: &Image) -> Result<()> {
    let (mut one, mut other) = (one.clone(), other.clone());
    if (one.width(), one.height()) == (other.width(), other.height()) {
        let at = one.pixels().iter().zip(other.pixels()).position(|(a, b)| a != b);
        if let Some(at) = at {
            let (x, y) = (at as u32 % one.width(), at as u32 / one.width());
            let (width, height) = CELL;
            let cell = Rect { x: x / width * width, y: y / height * height, width, height };
            one.mask(cell, [0; 3]);
            other.mask(cell, [0; 3]);
        }
    }
    same(what, &one, &other)
}

/// The firmware's text.
fn firmware(gl: bool) -> Result<()> {
    let (dir, bus) = bus()?;
    let setup = Setup::new("firmware", Guest::Firmware).on(&bus).gl(gl);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    let dump = await_text(&mut qemu)?;
    let size = (dump.width(), dump.height());
    let seen = dumped("qemu:firmware", &bus, &dir)?;
    same_but_for_the_cursor("dump and screendump", &seen, &dump)?;
    let shot = viewed("qemu:firmware", Renderer::Gl, size, &bus, &dir)?;
    same_but_for_the_cursor("screenshot and screendump", &shot, &dump)
}

/// Waits for a screen with text on it, and stops the machine there: what blinks, blinks no more.
fn await_text(qemu: &mut Qemu) -> Result<Image> {
    let deadline = soon();
    loop {
        let screen = qemu.qmp.screendump()?;
        let lit = screen.pixels().iter().filter(|pixel| **pixel != [0; 3]).count();
        if screen.height() == 400 && lit > 2000 {
            break;
        }
        if deadline.left().is_zero() {
            return Err(qemu.failure("shows no text"));
        }
    }
    qemu.qmp.stop()?;
    qemu.qmp.screendump()
}

pub(crate) fn firmware_gl_on() -> Result<()> {
    firmware(true)
}

pub(crate) fn firmware_gl_off() -> Result<()> {
    firmware(false)
}

fn paint(card: Card, gl: bool, renderer: Renderer) -> Result<()> {
    let (dir, bus) = bus()?;
    let paint = Paint { hold_ms: 0, frames: 3, ..Paint::default() };
    let setup = Setup::new("paint", Guest::Paint(paint)).card(card).on(&bus).gl(gl);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    let frame = qemu.line.done(soon())?;
    let known = pattern::expected(frame, 640, 480);
    same("screendump and pattern", &qemu.qmp.screendump()?, &known)?;
    same("dump and pattern", &dumped("qemu:paint", &bus, &dir)?, &known)?;
    awaited("qemu:paint", &known, &bus, &dir)?;
    let shot = viewed("qemu:paint", renderer, (640, 480), &bus, &dir)?;
    same("screenshot and pattern", &shot, &known)
}

pub(crate) fn paint_gl_on() -> Result<()> {
    paint(Card::Vga, true, Renderer::Gl)?;
    paint(Card::VirtioVga, true, Renderer::Gl)
}

pub(crate) fn paint_gl_off() -> Result<()> {
    paint(Card::Vga, false, Renderer::Gl)?;
    paint(Card::VirtioVga, false, Renderer::Gl)
}

/// A compositor that offers no linux-dmabuf: everything goes through wl_shm.
pub(crate) fn paint_on_pixman() -> Result<()> {
    paint(Card::Vga, true, Renderer::Pixman)
}
