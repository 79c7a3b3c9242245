//! `glupload`, which imports dma-bufs into a GL, here Mesa's software renderer: each memory becomes an EGLImage once and not with each frame, and what is
//! seen through it is what the guest has drawn by then.

use std::path::PathBuf;
use std::sync::Arc;

use fanlight::demo::oracle;
use fanlight::demo::{Demo, Mode, Settings};
use fanlight::frame::Size;
use fanlight_stage::child::Output;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::{Context, Error, Image, Result, pipeline};
use serde_json::Value;

use super::{FLIPS, environment, report};
use crate::demo::{CALM, Scene, Shot, TORN_MAX};
use crate::stills::soon;

const SIZE: Size = Size { width: 320, height: 240 };
const FRAMES: usize = 30;
/// Frames a second.
const FPS: u32 = 10;
/// Those after an ack that was forced, which are copies, and more.
const PROBATION: usize = 40;
/// Memories that a guest's frames come in: two buffers with one each, or one buffer with two in turn.
const MEMORIES: usize = 2;

/// GStreamer takes GL by EGL, the only one that imports dma-bufs, in this kind of window, and says which images it makes.
fn gl(window: &str) -> [(&'static str, String); 4] {
    [
        ("GST_GL_PLATFORM", "egl".to_owned()),
        ("GST_GL_WINDOW", window.to_owned()),
        ("GST_DEBUG", "gleglimage:6".to_owned()),
        ("GST_DEBUG_NO_COLOR", "1".to_owned()),
    ]
}

/// How many images it has made so far: the log has all that EGL is told of each.
fn images(viewer: &mut Viewer) -> Result<usize> {
    let log = viewer.child().output(Output::Err)?;
    Ok(log.lines().filter(|line| line.contains("attr 0:")).count())
}

/// Frames of a guest that flips, and of one that draws in place, drawn by GL and read back.
pub(crate) fn read() -> Result<()> {
    let scene = Scene::new(Mode::Flip, true)?;
    // Once without counting: an emulated renderer compiles its shaders then, longer than a guest waits.
    read_back("gst-gl-warm", &scene.uri, "present=direct num-buffers=4", &[], &scene.dir)?;
    flipped(&scene)?;
    in_place()?;
    scene.finish().map(drop)
}

/// Frames that are drawn by GL are whole, each is newer than the one before, and none was copied on the way there.
fn flipped(scene: &Scene) -> Result<()> {
    drawn("gst-gl-flip", &scene.uri, "present=direct", FRAMES, &scene.dir)
}

/// A guest that draws in place, and not before nobody reads any more. GL elements keep a frame until they have the next, so that each ack is forced then, and
/// copies are what comes for a while; its own memory is drawn before them and after them.
fn in_place() -> Result<()> {
    let dir = RunDir::new()?;
    let socket = dir.path().join("demo.sock");
    let settings = Settings { mode: Mode::InPlace, size: SIZE, fps: FPS, ..Settings::default() };
    let guest = Demo::serve(&settings, &socket).context("serving a guest")?;
    let uri = format!("scanout:{}", socket.display());
    drawn("gst-gl-place", &uri, "present=direct ack=release", PROBATION + FRAMES, &dir)?;
    guest.finish().context("serving a guest")
}

/// So many frames, drawn by GL: whole, and each newer than the one before. Where an ack was forced, copies follow, and that frame
/// may be torn, or come twice.
fn drawn(name: &str, uri: &str, properties: &str, count: usize, dir: &Arc<RunDir>) -> Result<()> {
    let properties = format!("{properties} num-buffers={count}");
    let mut viewer = read_back(name, uri, &properties, &[quiet()], dir)?;
    let frames = numbers(name, dir, demo)?;
    let stats = imported(name, &mut viewer)?;
    let forced = stats["forced-acks"].as_u64().unwrap_or_default() as usize;
    let whole: Vec<_> = frames.iter().flatten().collect();
    let rise = whole.windows(2).all(|pair| pair[0] < pair[1] || forced > 0 && pair[0] == pair[1]);
    let moves = whole.first() < whole.last();
    let torn = frames.len() - whole.len();
    let calm = stats["bytes-copied"] == 0 || forced > 0;
    if frames.len() != count || !rise || !moves || torn > forced || !calm {
        return Err(viewer.failure(&format!("has shown frames {frames:?}: {stats}")));
    }
    Ok(())
}

/// From copies to dma-bufs `glupload` (of 1.26) says something critical of its own, which is not to end it.
fn quiet() -> (&'static str, String) {
    ("G_DEBUG", String::new())
}

/// Which frame of a demo guest's a picture shows, if it is one whole frame.
fn demo(image: &Image) -> Option<u32> {
    oracle::read(SIZE, |x, y| image.pixel(x, y)[2]).ok().map(|seen| seen.frame)
}

/// The last figures of a pipeline that has imported each memory once.
fn imported(name: &str, viewer: &mut Viewer) -> Result<Value> {
    let stats = viewer.latest()?.unwrap_or_default();
    let images = images(viewer)?;
    report(&format!("{name}, {images} images"), &stats);
    // Of a guest that got its acks by force the second may never have come but as a copy, and what comes after copies is imported anew.
    let forced = stats["forced-acks"].as_u64().unwrap_or_default() as usize;
    let (least, most) = (if forced == 0 { MEMORIES } else { 1 }, MEMORIES * (1 + forced));
    if !(least..=most).contains(&images) {
        return Err(viewer.failure(&format!("has made {images} images: {stats}")));
    }
    Ok(stats)
}

/// Where the pixels of a pipeline go.
fn raw(name: &str, dir: &Arc<RunDir>) -> PathBuf {
    dir.path().join(format!("{name}.raw"))
}

/// A pipeline that has ended, and has written what came through its GL.
fn read_back(
    name: &str,
    uri: &str,
    properties: &str,
    more: &[(&'static str, String)],
    dir: &Arc<RunDir>,
) -> Result<Viewer> {
    let source = format!("fanlightsrc uri={uri} ack-deadline={CALM} {properties}");
    let draw = "glupload ! glcolorconvert ! gleffects_identity ! gldownload";
    let file = format!("video/x-raw,format=RGBA ! filesink location={}", raw(name, dir).display());
    let description = format!("{source} ! {draw} ! {file}");
    let environment: Vec<_> = gl("surfaceless").into_iter().chain(more.iter().cloned()).collect();
    let mut viewer = pipeline::start(name, &description, &environment, dir)?;
    let status = viewer.child().wait(soon())?;
    if !status.success() {
        return Err(viewer.failure(&format!("ended badly ({status})")));
    }
    Ok(viewer)
}

/// Which frames it has written; none where a picture is not one whole frame.
fn numbers(
    name: &str,
    dir: &Arc<RunDir>,
    read: impl Fn(&Image) -> Option<u32>,
) -> Result<Vec<Option<u32>>> {
    let pixels = std::fs::read(raw(name, dir)).context("reading the frames")?;
    let Size { width, height } = SIZE;
    let numbers = pixels.chunks((4 * width * height) as usize).map(|frame| {
        let pixels = frame.chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        read(&Image::from_pixels(width, height, pixels)?)
    });
    Ok(numbers.collect())
}

/// How many acks a pipeline's guest has got by force so far.
fn forced(viewer: &Viewer) -> Result<u64> {
    let stats = viewer.latest()?.unwrap_or_default();
    Ok(stats["forced-acks"].as_u64().unwrap_or_default())
}

/// In a window, with the compositor between.
pub(crate) fn window() -> Result<()> {
    let mut scene = Scene::new(Mode::Flip, true)?;
    let description = format!(
        "fanlightsrc uri={} present=direct ack-deadline={CALM} ! glupload ! glcolorconvert ! glimagesink",
        scene.uri
    );
    let environment: Vec<_> = environment(&scene.weston).into_iter().chain(gl("wayland")).collect();
    let mut viewer = pipeline::start("gst-gl-window", &description, &environment, &scene.dir)?;
    viewer.wait_count("flips", FLIPS, soon())?;
    let (deadline, mut whole, mut torn) = (soon(), 0, 0);
    while whole < 2 {
        match scene.screenshot()? {
            Shot::Whole(_) => whole += 1,
            // What the pipeline has shown the compositor may not have drawn yet.
            Shot::Dark if !deadline.left().is_zero() => {}
            Shot::Dark => return Err(viewer.failure("shows nothing")),
            // The sink keeps what it shows: a guest whose ack was forced draws into that.
            Shot::Mixed(..) if torn < TORN_MAX && forced(&viewer)? > 0 => torn += 1,
            Shot::Mixed(shot, mixed) => return Err(scene.keep(&shot, &mixed.to_string())),
        }
    }
    let images = images(&mut viewer)?;
    let stats = viewer.finish(soon())?;
    report(&format!("glimagesink, {images} images"), &stats);
    // It keeps what it shows, and shows copies where a guest would have to wait too long for that.
    if !(1..=4 * MEMORIES).contains(&images) {
        return Err(Error::new(format!("{images} images were made: {stats}")));
    }
    scene.finish().map(|_| ())
}
