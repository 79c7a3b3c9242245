//! The Linux guest flips pages: every picture is one whole frame, none is older than the one before,
//! and shown directly none is copied.

use fanlight_stage::line::Command;
use fanlight_stage::viewer::{self, Viewer};
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Result, dmabuf, pattern, picture};

use crate::figures::report;
use crate::linux::lend;
use crate::stills::soon;

/// How long after a flip's event the guest draws into the other buffer, in milliseconds.
const HOLD_MS: u32 = 1000;

pub(crate) fn flip() -> Command {
    Command::Flip { frames: 0, hold_ms: HOLD_MS }
}

/// Fails unless each picture is whole and none older than the one before, and they move.
pub(crate) fn forward(numbers: &[u32]) -> Result<()> {
    let moved = numbers.first() < numbers.last();
    if numbers.is_sorted() && moved {
        return Ok(());
    }
    Err(Error::new(format!("frames do not go forward: {numbers:?}")))
}

pub(crate) fn dumps() -> Result<()> {
    let mut linux = lend()?;
    linux.qemu.line.tell(&flip(), soon())?;
    let files = viewer::dump("qemu:linux", 10, (linux.dir.path(), "flip"), &linux.bus, &linux.dir)?;
    linux.qemu.line.tell(&Command::Stop, soon())?;
    let mut numbers = Vec::new();
    for file in files {
        let whole = pattern::whole(&picture::load(&file)?);
        numbers.push(whole.map_err(|e| Error::new(format!("{}: {e}", file.display())))?);
    }
    forward(&numbers)
}

pub(crate) fn screenshots() -> Result<()> {
    let mut linux = lend()?;
    linux.qemu.line.tell(&flip(), soon())?;
    let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, linux.size, &linux.dir)?;
    let stage = (&linux.bus, &weston);
    let viewer = Viewer::start("view-flips", "qemu:linux", &[], stage, &linux.dir)?;
    viewer.wait_count("flips", 1, soon())?;
    let mut numbers = Vec::new();
    for i in 0..10 {
        // Ten pictures may well be taken between two flips.
        viewer.wait_count("flips", 1 + i / 2, soon())?;
        let shot = weston.screenshot()?;
        let whole = pattern::whole(&shot);
        numbers.push(whole.map_err(|e| Error::new(format!("screenshot {i}: {e}")))?);
    }
    viewer.finish(soon())?;
    linux.qemu.line.tell(&Command::Stop, soon())?;
    forward(&numbers)
}

pub(crate) fn direct() -> Result<()> {
    let mut linux = lend()?;
    linux.qemu.line.tell(&flip(), soon())?;
    let weston = Weston::start(Shell::Kiosk, Renderer::Gl, linux.size, &linux.dir)?;
    let arguments = ["--present", "direct", "--ack-deadline", "900"];
    let stage = (&linux.bus, &weston);
    // Once without counting: an emulated compositor compiles its shaders then.
    let viewer = Viewer::start("view-warm", "qemu:linux", &arguments, stage, &linux.dir)?;
    viewer.wait_count("flips", 2, soon())?;
    viewer.finish(soon())?;
    let stage = (&linux.bus, &weston);
    let viewer = Viewer::start("view-direct", "qemu:linux", &arguments, stage, &linux.dir)?;
    viewer.wait_count("flips", 8, soon())?;
    let held = dmabuf::of_process(weston.id())?;
    let guests = dmabuf::of_process(linux.qemu.id())?;
    let shared = dmabuf::shared(&held, &guests);
    let stats = viewer.finish(soon())?;
    linux.qemu.line.tell(&Command::Stop, soon())?;
    report("Linux guest that flips, direct", &stats);
    let nothing = |counter: &str| stats[counter] == 0;
    if shared.len() >= 2 && nothing("bytes_copied") && nothing("forced_acks") {
        return Ok(());
    }
    Err(Error::new(format!("dma-bufs {shared:?} are shared, figures: {stats}")))
}
