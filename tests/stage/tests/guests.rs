//! The guests against the picture they must draw, in a real QEMU with no display.
//!
//! Without the images that `stage prepare` makes these tests say so and do nothing.

use std::sync::Arc;

use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::line::Command;
use fanlight_stage::qemu::{Card, Guest, Qemu, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::wait::Deadline;
use fanlight_stage::{Image, Result, pattern};

/// The images and a folder, or `None` with the reason printed.
fn stage() -> Option<(Guests, Arc<RunDir>)> {
    match Guests::find() {
        Ok(guests) => Some((guests, RunDir::new().expect("a folder"))),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// QEMU's picture, which must be of `frame` in every pixel.
fn assert_shows(qemu: &mut Qemu, frame: u32, (width, height): (u32, u32)) {
    let seen = qemu.qmp.screendump().expect("a picture");
    assert_eq!(pattern::whole(&seen), Ok(frame));
    assert_eq!(seen.difference(&pattern::expected(frame, width, height)), None);
}

/// Screendumps until `good` is content: what is drawn reaches QEMU's picture a little later.
fn dump_until(qemu: &mut Qemu, good: impl Fn(&Image) -> bool) -> Image {
    let deadline = Deadline::seconds(60);
    loop {
        let seen = qemu.qmp.screendump().expect("a picture");
        if good(&seen) {
            return seen;
        }
        assert!(!deadline.left().is_zero(), "the picture did not become what was waited for");
    }
}

#[test]
fn the_boot_sector_draws_the_pattern() {
    let Some((guests, dir)) = stage() else { return };
    for (card, size) in [(Card::Vga, (640, 480)), (Card::VirtioVga, (1024, 768))] {
        let paint = Paint { hold_ms: 0, frames: 12, size };
        let setup = Setup::new(&format!("paint-{}", size.0), Guest::Paint(paint)).card(card);
        let mut qemu = setup.start(&guests, &dir).expect("started");
        let size = qemu.line.ready(Deadline::seconds(60)).expect("a mode");
        assert_eq!(qemu.line.done(Deadline::seconds(60)).expect("12 frames"), 12);
        assert_shows(&mut qemu, 12, size);
        assert_eq!(qemu.line.paint_one_more(Deadline::seconds(60)).expect("one more"), 13);
        assert_shows(&mut qemu, 13, size);
        qemu.qmp.quit().expect("quit");
        qemu.child().wait(Deadline::seconds(30)).expect("ended");
    }
}

#[test]
fn the_boot_sector_pauses_by_the_clock_and_never_goes_back() {
    let Some((guests, dir)) = stage() else { return };
    let paint = Paint { hold_ms: 250, frames: 0, ..Paint::default() };
    let mut qemu = Setup::new("clock", Guest::Paint(paint)).start(&guests, &dir).expect("started");
    let first = qemu.line.frame(1, Deadline::seconds(60)).expect("a frame");
    let start = std::time::Instant::now();
    let mut earlier = pattern::Tiles::read(&qemu.qmp.screendump().expect("a picture"));
    let last = loop {
        let tiles = pattern::Tiles::read(&qemu.qmp.screendump().expect("a picture"));
        assert_eq!(tiles.gone_back(&earlier), None);
        earlier = tiles;
        match qemu.line.last_frame().expect("running") {
            Some(frame) if frame >= first + 6 => break frame,
            _ => {}
        }
    };
    let least = std::time::Duration::from_millis(u64::from(last - first - 1) * 250);
    assert!(start.elapsed() >= least, "{} frames in {:?}", last - first, start.elapsed());
}

#[test]
fn the_linux_guest_obeys_and_draws_the_pattern() -> Result<()> {
    let Some((guests, dir)) = stage() else { return Ok(()) };
    let soon = || Deadline::seconds(120);
    let mut qemu = Setup::new("linux", Guest::Linux(None)).start(&guests, &dir)?;
    let size = qemu.line.ready(Deadline::seconds(600))?;
    assert_eq!(size, (1024, 768));

    qemu.line.tell(&Command::Text("Fanlight sees this line".into()), soon())?;
    let lit = |image: &Image| image.pixels().iter().filter(|p| **p != [0; 3]).count();
    let text = dump_until(&mut qemu, |image| lit(image) > 100);
    assert!(lit(&text) < 23 * 8 * 16, "one line of text and nothing else");

    qemu.line.tell(&Command::Flip { frames: 6, hold_ms: 20 }, soon())?;
    assert_eq!(qemu.line.done(soon())?, 6);
    assert_shows(&mut qemu, 6, size);

    qemu.line.tell(&Command::Flip { frames: 0, hold_ms: 20 }, soon())?;
    qemu.line.frame(12, soon())?;
    qemu.line.tell(&Command::Stop, soon())?;
    let last = qemu.line.last_frame()?.expect("frames were reported");
    assert_shows(&mut qemu, last, size);

    qemu.line.still(777, soon())?;
    assert_shows(&mut qemu, 777, size);
    qemu.line.tell(&Command::Mode { width: 800, height: 600 }, soon())?;
    qemu.line.still(778, soon())?;
    assert_shows(&mut qemu, 778, (800, 600));

    let refusal = qemu.line.tell(&Command::Mode { width: 11, height: 7 }, soon());
    assert!(refusal.expect_err("no such mode").to_string().contains("it has"));

    qemu.line.tell(&Command::Text("Once more".into()), soon())?;
    let text = dump_until(&mut qemu, |image| pattern::whole(image).is_err());
    assert!(pattern::Tiles::read(&text).numbers().iter().all(Option::is_none));

    qemu.line.tell(&Command::Poweroff, soon())?;
    qemu.child().wait(soon())?;
    Ok(())
}
