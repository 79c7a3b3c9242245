//! Ends that nobody asked for: of QEMU, of the compositor, of the viewer.

use fanlight_stage::child::{Child, Output};
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::pattern;
use fanlight_stage::viewer::fanlight;
use fanlight_stage::{Error, Result};

use crate::scene::{SIZE, Scene, await_painted, machine};
use crate::stills::{dumped, same, soon};

/// Draws two frames, and more when it is told to.
const RESTS: Paint = Paint { hold_ms: 0, frames: 2, size: (640, 480) };

/// Fails unless the program ends with code 1 and a last sentence that says `word`.
fn ends_with_a_sentence(child: &mut Child, word: &str) -> Result<()> {
    let status = child.wait(soon())?;
    let said = child.output(Output::Err)?;
    let last = said.lines().last().unwrap_or_default();
    if status.code() == Some(1) && last.starts_with("fanlight: ") && last.contains(word) {
        return Ok(());
    }
    Err(Error::new(format!("ended with {status}, saying: {said}")))
}

pub(crate) fn qemu_killed() -> Result<()> {
    let paint = Paint { hold_ms: 20, ..Paint::default() };
    let Scene { dir, bus, weston: _weston, mut qemu, mut viewer } =
        Scene::start("view-killed", paint)?;
    viewer.wait_count("frames", 3, soon())?;
    let mut dump = fanlight(&bus);
    dump.args(["dump", "qemu:paint", "-n", "100000", "--timeout", "100", "-o"]);
    dump.arg(dir.path().join("killed-%d.png"));
    let mut dump = Child::spawn("dump-killed", "it", dump, &dir)?;
    let first = dir.path().join("killed-1.png");
    let deadline = soon();
    // In the middle of its drawing.
    while !fanlight_stage::picture::is_whole_png(&first) && !deadline.left().is_zero() {
        qemu.line.frame(0, soon())?;
    }
    drop(qemu);
    ends_with_a_sentence(viewer.child(), "gone")?;
    ends_with_a_sentence(&mut dump, "gone")
}

/// Whoever looks keeps the window, dimmed, over the end of one QEMU, and sees the next in it, pixel for pixel.
pub(crate) fn qemu_back() -> Result<()> {
    let scene = Scene::start_with("view-back", RESTS, &["--reconnect"])?;
    let Scene { dir, bus, mut weston, mut qemu, mut viewer } = scene;
    let frame = qemu.line.paint_one_more(soon())?;
    let last = pattern::expected(frame, SIZE.0, SIZE.1);
    let last = await_painted(&mut weston, &viewer, (&bus, &dir), &last, |_| Ok(()))?;
    drop(qemu);
    let waits = |line: &str| line.contains("waiting for it to come back").then_some(());
    viewer.child().wait_line(Output::Err, soon(), waits)?;
    let deadline = soon();
    while weston.screenshot()?.difference(&last).is_none() {
        if deadline.left().is_zero() {
            return Err(viewer.failure("shows the last picture as if its guest were alive"));
        }
    }
    // It draws more than the first had, so that no old picture is taken for its.
    let more = Paint { frames: frame + 2, ..RESTS };
    let mut qemu = machine(more, &bus).start(&Guests::find()?, &dir)?;
    let mut shown = |frame: u32| {
        let known = pattern::expected(frame, SIZE.0, SIZE.1);
        await_painted(&mut weston, &viewer, (&bus, &dir), &known, |_| Ok(()))
    };
    shown(qemu.line.done(soon())?)?;
    shown(qemu.line.paint_one_more(soon())?)?;
    viewer.finish(soon())?;
    Ok(())
}

/// The guest draws one more frame and QEMU shows it to whoever comes next.
pub(crate) fn compositor_killed() -> Result<()> {
    let Scene { dir, bus, mut qemu, weston, mut viewer } = Scene::start("view-orphan", RESTS)?;
    drop(weston);
    ends_with_a_sentence(viewer.child(), "compositor")?;
    let frame = qemu.line.paint_one_more(soon())?;
    let known = pattern::expected(frame, 640, 480);
    same("the next frame", &dumped("qemu:paint", &bus, &dir)?, &known)
}

pub(crate) fn viewer_killed() -> Result<()> {
    let Scene { dir, bus, mut qemu, weston: _weston, viewer } = Scene::start("view-gone", RESTS)?;
    // Killed, not asked: it can't say goodbye.
    drop(viewer);
    let frame = qemu.line.paint_one_more(soon())?;
    let known = pattern::expected(frame, 640, 480);
    same("the next frame", &dumped("qemu:paint", &bus, &dir)?, &known)
}
