//! `fanlightsrc` in pipelines with real sinks and real coders: what is shown and what is recorded is one whole frame each time, and none is older than the one
//! before.

#[path = "gst/devices.rs"]
pub(crate) mod devices;
#[path = "gst/glupload.rs"]
pub(crate) mod glupload;
#[path = "gst/guest.rs"]
mod guest;
#[path = "gst/linux.rs"]
pub(crate) mod linux;
#[path = "gst/orientation.rs"]
pub(crate) mod orientation;
#[path = "gst/record.rs"]
mod record;
#[path = "gst/soak.rs"]
mod soak;
#[path = "gst/unixfd.rs"]
pub(crate) mod unixfd;

use std::sync::Arc;

use fanlight::demo::Mode;
use fanlight_stage::compositor::Compositor;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::weston::Weston;
use fanlight_stage::{Error, Result, dmabuf, pipeline};
use serde_json::Value;

use crate::demo::{CALM, Scene, Shot};
use crate::stills::soon;

pub(crate) use record::{vp8, x264};
pub(crate) use soak::mode_changes;

/// Flips to look at.
const FLIPS: u64 = 8;
/// Frames of a stream that is looked at to its end.
const FRAMES: u32 = 30;

/// What a program that is shown in this compositor needs.
fn environment(weston: &Weston) -> Vec<(&'static str, String)> {
    weston.environment().into_iter().collect()
}

/// A guest in a pipeline that is shown, some frames of it.
fn show(name: &str, scene: &Scene, properties: &str) -> Result<Viewer> {
    let description = format!("fanlightsrc uri={} {properties} ! waylandsink", scene.uri);
    let viewer = pipeline::start(name, &description, &environment(&scene.weston), &scene.dir)?;
    viewer.wait_count("flips", FLIPS, soon())?;
    Ok(viewer)
}

fn report(what: &str, stats: &Value) {
    println!(
        "REPORT {what}: {} frames, {} flips, {} imports, {} bytes copied, {} forced acks, {} dropped, {} overtaken, {}; update→ack {} µs",
        stats["frames"],
        stats["flips"],
        stats["imports"],
        stats["bytes-copied"],
        stats["forced-acks"],
        stats["dropped-frames"],
        stats["overtaken-frames"],
        stats["mode"],
        stats["update-to-ack"]
    );
}

/// A guest that flips is shown by waylandsink: nothing is copied and nothing forced, where there is time enough, and
/// the compositor has the guest's own memory. What it is by default is said.
pub(crate) fn waylandsink() -> Result<()> {
    let mut scene = Scene::new(Mode::Flip, true)?;
    // An emulated compositor compiles its shaders meanwhile.
    let usual = show("gst-usual", &scene, "")?.finish(soon())?;
    report("waylandsink, demo flip, default deadline", &usual);
    let calm = show("gst-calm", &scene, &format!("present=direct ack-deadline={CALM}"))?;
    let stats = calm.latest()?.unwrap_or_default();
    let [held, guests] = [scene.weston.id(), std::process::id()].map(dmabuf::of_process);
    let shared = dmabuf::shared(&held?, &guests?);
    report(&format!("waylandsink, demo flip, deadline {CALM} ms"), &stats);
    if shared.len() < 2 || stats["bytes-copied"] != 0 || stats["forced-acks"] != 0 {
        return Err(Error::new(format!("dma-bufs {shared:?} are shared, figures: {stats}")));
    }
    // A screenshot takes an emulated compositor long.
    for _ in 0..3 {
        match scene.screenshot()? {
            Shot::Whole(_) => {}
            Shot::Dark => return Err(Error::new("the screen is empty")),
            Shot::Mixed(shot, mixed) => return Err(scene.keep(&shot, &mixed.to_string())),
        }
    }
    calm.finish(soon())?;
    scene.finish().map(|_| ())
}

/// GStreamer's own program, to a stream's end: nothing of it is left alive, whatever the guest does to its size.
pub(crate) fn leaks() -> Result<()> {
    let scene = Scene::new(Mode::Resize, true)?;
    let mut environment = environment(&scene.weston);
    environment.extend([
        ("GST_TRACERS", "leaks".to_owned()),
        ("GST_DEBUG", "GST_TRACER:7".to_owned()),
        ("GST_DEBUG_NO_COLOR", "1".to_owned()),
    ]);
    let description =
        |sink: &str| format!("fanlightsrc uri={} num-buffers={FRAMES} ! {sink}", scene.uri);
    for (name, sink) in [("gst-fakesink", "fakesink"), ("gst-waylandsink", "waylandsink")] {
        pipeline::launch(name, &description(sink), &environment, &scene.dir, soon())?;
        let log = scene.dir.path().join(format!("{name}.err"));
        let log = std::fs::read_to_string(log).map_err(|error| Error::new(error.to_string()))?;
        // It says first how it will name what it finds.
        let names: Vec<_> = log.lines().filter(|line| line.contains("object-alive")).collect();
        let (said, alive): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|line| line.contains("build_format"));
        if said.is_empty() || !alive.is_empty() {
            let alive = alive.join("\n");
            return Err(Error::new(format!("left alive after {sink}, or not looked for: {alive}")));
        }
    }
    scene.finish().map(|_| ())
}

/// What can't be is said in one sentence, at once, and the program ends.
pub(crate) fn refusals() -> Result<()> {
    let dir = RunDir::new()?;
    let scene = Scene::new(Mode::Flip, true)?;
    let nobody = dir.path().join("nobody.sock");
    said(
        "gst-nobody",
        &format!("fanlightsrc uri=scanout:{} ! fakesink", nobody.display()),
        &[&nobody.to_string_lossy(), "is it running"],
        &dir,
    )?;
    let wanted = "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12";
    let formats = format!("fanlightsrc uri={} ! {wanted} ! fakesink", scene.uri);
    said("gst-formats", &formats, &["NV12", "BGRx", "videoconvert"], &dir)?;
    scene.finish().map(|_| ())
}

fn said(name: &str, description: &str, words: &[&str], dir: &Arc<RunDir>) -> Result<()> {
    let error = match pipeline::launch(name, description, &[], dir, soon()) {
        Ok(_) => return Err(Error::new(format!("{name} ended well"))),
        Err(error) => error.to_string(),
    };
    match words.iter().find(|word| !error.contains(**word)) {
        None => Ok(()),
        Some(word) => Err(Error::new(format!("{name} does not name {word}: {error}"))),
    }
}
