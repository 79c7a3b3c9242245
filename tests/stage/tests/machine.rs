//! The programs of the test machine, as far as they go without `fanlight`: a bus, a compositor, and
//! QEMU that renders on a real node and scans out a guest's own memory.
//!
//! Only the test machine has all of it; elsewhere these tests say so and do nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fanlight_stage::bus::Bus;
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::line::Command;
use fanlight_stage::qemu::{Card, Guest, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::wait::Deadline;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Result, dmabuf, pattern, versions};

fn machine() -> Option<Arc<RunDir>> {
    for node in ["/dev/udmabuf", "/dev/dri/renderD128"] {
        if !Path::new(node).exists() {
            eprintln!("skipped: there is no {node}");
            return None;
        }
    }
    Some(RunDir::new().expect("a folder"))
}

#[test]
fn the_compositor_shows_an_empty_output_of_its_size() -> Result<()> {
    let Some(dir) = machine() else { return Ok(()) };
    for (shell, renderer) in [
        (Shell::Kiosk, Renderer::Gl),
        (Shell::Desktop, Renderer::Gl),
        (Shell::Kiosk, Renderer::Pixman),
    ] {
        let start = Instant::now();
        let mut weston = Weston::start(shell, renderer, (640, 480), &dir)?;
        let shot = weston.screenshot()?;
        assert_eq!((shot.width(), shot.height()), (640, 480));
        assert!(shot.pixels().iter().all(|pixel| *pixel == shot.pixel(0, 0)), "one colour");
        let gl = weston.says("GL renderer:")?;
        assert_eq!(gl.is_some_and(|gl| gl.contains("llvmpipe")), renderer == Renderer::Gl);
        eprintln!("{shell:?}, {renderer:?}: {:?}", start.elapsed());
    }
    Ok(())
}

#[test]
fn qemu_renders_the_boot_sector_for_the_bus() -> Result<()> {
    let Some(dir) = machine() else { return Ok(()) };
    let (guests, bus) = (Guests::find()?, Bus::start(&dir)?);
    for (name, card, gl) in
        [("vga", Card::Vga, true), ("virtio", Card::VirtioVga, true), ("copy", Card::Vga, false)]
    {
        let start = Instant::now();
        let paint = Paint { hold_ms: 0, frames: 5, ..Paint::default() };
        let setup = Setup::new(name, Guest::Paint(paint)).card(card).on(&bus).gl(gl);
        let mut qemu = setup.start(&guests, &dir)?;
        assert_eq!(qemu.line.done(Deadline::seconds(120))?, 5);
        let seen = qemu.qmp.screendump()?;
        assert_eq!(seen.difference(&pattern::expected(5, 640, 480)), None);
        eprintln!("{name}, QEMU {}: {:?}", qemu.qmp.version(), start.elapsed());
    }
    Ok(())
}

#[test]
fn the_firmware_shows_its_text_with_one_blinking_cell() -> Result<()> {
    let Some(dir) = machine() else { return Ok(()) };
    let setup = Setup::new("firmware", Guest::Firmware).peer_to_peer();
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    let deadline = Deadline::seconds(120);
    // The text stands once nothing changes from one picture to the next but a text cursor's cell.
    let mut earlier = qemu.qmp.screendump()?;
    let cell = loop {
        let seen = qemu.qmp.screendump()?;
        let same_size = (seen.width(), seen.height()) == (earlier.width(), earlier.height());
        let changed = if same_size { seen.changed(&earlier) } else { None };
        match changed {
            Some(cell) if cell.width <= 9 && cell.height <= 16 && seen.width() == 720 => {
                break cell;
            }
            _ => assert!(!deadline.left().is_zero(), "no text with a cursor"),
        }
        earlier = seen;
    };
    eprintln!("cursor: {cell:?}");
    assert!(qemu.qmp_socket().exists());
    Ok(())
}

#[test]
fn the_linux_guest_flips_between_two_udmabufs() -> Result<()> {
    let Some(dir) = machine() else { return Ok(()) };
    let (guests, bus) = (Guests::find()?, Bus::start(&dir)?);
    let soon = || Deadline::seconds(120);
    let start = Instant::now();
    let setup = Setup::new("linux", Guest::Linux(None)).on(&bus).gl(true).blob(true);
    let mut qemu = setup.start(&guests, &dir)?;
    let ready = qemu.line.ready(Deadline::seconds(480));
    let size = ready.map_err(|e| qemu.failure(&format!("does not boot: {e}")))?;
    eprintln!("{}x{} ready after {:?}", size.0, size.1, start.elapsed());
    qemu.line.tell(&Command::Text("Hello".into()), soon())?;
    qemu.line.tell(&Command::Flip { frames: 5, hold_ms: 0 }, soon())?;
    assert_eq!(qemu.line.done(soon())?, 5);
    eprintln!("five flips after {:?}", start.elapsed());
    let held = dmabuf::of_process(qemu.id())?;
    let of_udmabuf = held.iter().filter(|buffer| buffer.exporter == "udmabuf").count();
    assert!(of_udmabuf >= 2, "{held:?}");
    match qemu.qmp.screendump() {
        Ok(seen) => eprintln!("screendump: {seen:?}, {:?}", pattern::whole(&seen)),
        Err(e) => eprintln!("screendump: {e}"),
    }
    qemu.line.tell(&Command::Mode { width: 800, height: 600 }, soon())?;
    qemu.line.still(9, soon())?;
    qemu.line.tell(&Command::Poweroff, soon())?;
    qemu.child().wait(soon())?;
    eprintln!("off after {:?}; {:?}", start.elapsed(), versions::system());
    Ok(())
}
