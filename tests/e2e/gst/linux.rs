//! The Linux guest of a real QEMU in pipelines.

use fanlight_stage::compositor::Compositor;
use fanlight_stage::line::Command;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Result, dmabuf, pattern, picture, pipeline};

use super::{CALM, report};
use crate::flips::{flip, forward};
use crate::linux::lend;
use crate::stills::soon;

/// What it flips between is what weston shows, and no byte of it is copied; what is shown is whole and goes forward.
pub(crate) fn flips() -> Result<()> {
    let mut linux = lend()?;
    linux.qemu.line.tell(&flip(), soon())?;
    let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, linux.size, &linux.dir)?;
    let bus = ("DBUS_SESSION_BUS_ADDRESS", linux.bus.address().to_owned());
    let environment: Vec<_> = weston.environment().into_iter().chain([bus]).collect();
    let description =
        format!("fanlightsrc uri=qemu:linux present=direct ack-deadline={CALM} ! waylandsink");
    // Once without counting: an emulated compositor compiles its shaders then, longer than waylandsink waits for it.
    let start = |name: &str| pipeline::start(name, &description, &environment, &linux.dir);
    let warm = start("gst-linux-warm")?;
    warm.wait_count("flips", 2, soon())?;
    warm.finish(soon())?;
    let shown = start("gst-linux")?;
    shown.wait_count("flips", 8, soon())?;
    let [held, guests] = [weston.id(), linux.qemu.id()].map(dmabuf::of_process);
    let shared = dmabuf::shared(&held?, &guests?);
    let stats = shown.latest()?.unwrap_or_default();
    report("waylandsink, Linux guest of QEMU that flips", &stats);
    if shared.len() < 2 || stats["bytes-copied"] != 0 || stats["forced-acks"] != 0 {
        return Err(Error::new(format!("dma-bufs {shared:?} are shared, figures: {stats}")));
    }
    let mut numbers = Vec::new();
    for i in 0..4 {
        shown.wait_count("flips", 10 + 2 * i, soon())?;
        let whole = pattern::whole(&weston.screenshot()?);
        numbers.push(whole.map_err(|e| Error::new(format!("screenshot {i}: {e}")))?);
    }
    shown.finish(soon())?;
    linux.qemu.line.tell(&Command::Stop, soon())?;
    forward(&numbers)
}

/// A still screen becomes a file with each of its pixels.
pub(crate) fn snapshot() -> Result<()> {
    let mut linux = lend()?;
    linux.qemu.line.still(77, soon())?;
    let file = linux.dir.path().join("gst-linux.png");
    let description = format!(
        "fanlightsrc uri=qemu:linux num-buffers=1 ! videoconvert ! pngenc ! filesink location={}",
        file.display()
    );
    let bus = [("DBUS_SESSION_BUS_ADDRESS", linux.bus.address().to_owned())];
    pipeline::launch("gst-linux-png", &description, &bus, &linux.dir, soon())?;
    let (width, height) = linux.size;
    let known = pattern::expected(77, width, height);
    match picture::load(&file)?.difference(&known) {
        None => Ok(()),
        Some(difference) => Err(Error::new(format!("the picture differs: {difference}"))),
    }
}
