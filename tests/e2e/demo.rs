//! The demo guest on real udmabufs, seen in weston and dumped, whatever it does to its RAM: every
//! picture is one whole frame of a buffer that it made, none is older than the one before, and none is
//! older than what was acked when it was asked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanlight::demo::oracle::{self, Mixed, Seen};
use fanlight::demo::{Demo, Mode, Progress, Settings};
use fanlight::frame::Size;
use fanlight_stage::bus::Bus;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::{self, Viewer};
use fanlight_stage::wait::Deadline;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Image, Rect, Result, picture};
use serde_json::Value;

use crate::figures::report;
use crate::gpu;
use crate::stills::{bus, soon};

/// Small and slow: all is emulated. The output of the compositor is as large.
const SIZE: Size = Size { width: 320, height: 240 };
const FPS: u32 = 10;
/// Most that an ack may take beyond its deadline. Where all is emulated the viewer itself may have to wait for a
/// processor; the tests that tell the machine the time know it to the millisecond.
const BEYOND: Duration = Duration::from_secs(1);
/// An ack deadline that comes only when something is wrong, also where all is emulated.
pub(crate) const CALM: u64 = 900;
/// Most pictures that may be torn because an ack was forced before them.
pub(crate) const TORN_MAX: u32 = 5;
/// Pictures in which what is stale has to be seen, where nothing prevents it.
const STALE_SHOTS: usize = 20;

fn say(error: impl std::fmt::Display) -> Error {
    Error::new(error.to_string())
}

/// How long a mode is looked at.
fn time() -> Duration {
    let long = std::env::var_os("FANLIGHT_LONG").is_some();
    Duration::from_secs(if long { 60 } else { 5 })
}

/// A picture of the screen.
pub(crate) enum Shot {
    /// One frame, so many behind what was acked.
    Whole(u32),
    /// The guest is dark.
    Dark,
    /// No frame that the guest made.
    Mixed(Image, Mixed),
}

/// A demo at a socket, and who looks at it.
pub(crate) struct Scene {
    demo: Demo,
    pub(crate) uri: String,
    pub(crate) weston: Weston,
    bus: Bus,
    pub(crate) dir: Arc<RunDir>,
    /// The newest frame on the screen so far.
    newest: u32,
}

impl Scene {
    pub(crate) fn new(mode: Mode, freshness: bool) -> Result<Self> {
        let (dir, bus) = bus()?;
        let socket = dir.path().join("demo.sock");
        let settings = Settings { mode, size: SIZE, fps: FPS, freshness, ..Settings::default() };
        let demo = Demo::serve(&settings, &socket).map_err(say)?;
        if !demo.shows_dma_bufs() {
            return Err(Error::new(Demo::NO_DMA_BUFS));
        }
        let uri = format!("scanout:{}", socket.display());
        let output = (SIZE.width, SIZE.height);
        let weston = Weston::start(Shell::Kiosk, Renderer::Gl, output, &dir)?;
        Ok(Self { demo, uri, weston, bus, dir, newest: 0 })
    }

    /// A viewer that has shown some frames.
    fn viewer(&self, name: &str, arguments: &[&str]) -> Result<Viewer> {
        self.viewer_with(name, arguments, &[])
    }

    fn viewer_with(
        &self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Viewer> {
        let stage = (&self.bus, &self.weston);
        let viewer = Viewer::start_with(name, &self.uri, arguments, environment, stage, &self.dir)?;
        viewer.wait_count("frames", 4, soon())?;
        Ok(viewer)
    }

    /// What the compositor shows now.
    pub(crate) fn screenshot(&mut self) -> Result<Shot> {
        let acked = self.demo.handle().progress().acked;
        let shot = self.weston.screenshot()?;
        match on_screen(&shot, &self.demo.handle().progress()) {
            Ok(seen) if seen.frame < self.newest => {
                let newest = self.newest;
                Err(self.keep(&shot, &format!("{seen:?} came after frame {newest}")))
            }
            Ok(seen) => {
                self.newest = seen.frame;
                Ok(Shot::Whole(acked.saturating_sub(seen.frame)))
            }
            Err(_) if is_dark(&shot) => Ok(Shot::Dark),
            Err(mixed) => Ok(Shot::Mixed(shot, mixed)),
        }
    }

    /// Some frames as files.
    fn dump(&self) -> Result<()> {
        let folder = self.dir.path();
        let files = viewer::dump(&self.uri, 4, (folder, "demo"), &self.bus, &self.dir)?;
        let mut newest = 0;
        for file in files {
            let image = picture::load(&file)?;
            let size = Size { width: image.width(), height: image.height() };
            let seen = read(&image).map_err(|mixed| self.keep(&image, &mixed.to_string()))?;
            if seen.frame < newest {
                return Err(self.keep(&image, &format!("{seen:?} dumped after frame {newest}")));
            }
            if !self.demo.handle().progress().announced(seen.buffer, size) {
                return Err(self.keep(&image, &format!("{seen:?} is of no buffer of that size")));
            }
            newest = seen.frame;
            std::fs::remove_file(&file).map_err(say)?;
        }
        Ok(())
    }

    pub(crate) fn keep(&self, image: &Image, what: &str) -> Error {
        self.dir.keep();
        let path = self.dir.path().join("wrong.png");
        match picture::save(image, &path) {
            Ok(()) => Error::new(format!("{what}; see {}", path.display())),
            Err(error) => Error::new(format!("{what}; {error}")),
        }
    }

    /// The demo has ended well.
    pub(crate) fn finish(self) -> Result<Progress> {
        let progress = self.demo.handle().progress();
        self.demo.finish().map_err(say)?;
        Ok(progress)
    }
}

fn read(image: &Image) -> std::result::Result<Seen, Mixed> {
    let size = Size { width: image.width(), height: image.height() };
    oracle::read(size, |x, y| image.pixel(x, y)[2])
}

/// The one frame that a screenshot shows: of any size that the guest has set, in the middle, because
/// each fills the output one way or the other and is therefore not scaled.
fn on_screen(shot: &Image, progress: &Progress) -> std::result::Result<Seen, Mixed> {
    let sizes: HashSet<_> = progress.buffers.iter().map(|known| known.size).collect();
    let mut nearest = Mixed { tiles: Default::default(), bad: Vec::new() };
    for size in sizes {
        let Size { width, height } = size;
        let [x, y] = [(shot.width(), width), (shot.height(), height)]
            .map(|(all, part)| all.saturating_sub(part) / 2);
        let Some(part) = shot.crop(Rect { x, y, width, height }) else { continue };
        match read(&part) {
            Ok(seen) if progress.announced(seen.buffer, size) => return Ok(seen),
            Ok(seen) => nearest.tiles = [(seen, 0)].into(),
            Err(mixed) if mixed.tiles.len() >= nearest.tiles.len() => nearest = mixed,
            Err(_) => {}
        }
    }
    Err(nearest)
}

/// Whether nothing is on the screen, but for what the viewer may say in its middle of a guest that is dark for long. A
/// guest's picture is nowhere of one colour.
fn is_dark(shot: &Image) -> bool {
    let row = shot.width() as usize;
    let (pixels, first) = (shot.pixels(), shot.pixels()[0]);
    let sides = pixels.chunks_exact(row).flat_map(|row| [row[0], row[row.len() - 1]]);
    let ends = pixels[..row].iter().chain(&pixels[pixels.len() - row..]).copied();
    ends.chain(sides).all(|pixel| pixel == first)
}

/// Fails unless every update was acked in time, as the last figures say.
fn acked_in_time(stats: &Value, deadline: u64) -> Result<()> {
    let longest = stats["latency_us"]["update_to_ack"]["max"].as_u64();
    let limit = Duration::from_millis(deadline) + BEYOND;
    match longest {
        Some(longest) if Duration::from_micros(longest) <= limit => Ok(()),
        longest => {
            Err(Error::new(format!("an ack took {longest:?} us, {limit:?} is most: {stats}")))
        }
    }
}

fn forced(stats: &Value) -> u64 {
    stats["forced_acks"].as_u64().unwrap_or(0)
}

/// How many acks were forced until now, as the first statistics from now on say.
fn forced_by_now(viewer: &Viewer) -> Result<u64> {
    let elapsed = |stats: &Value| stats["elapsed_s"].as_f64();
    let newest = viewer.latest()?.as_ref().and_then(elapsed);
    viewer.wait_stats(soon(), |stats| elapsed(stats) > newest).map(|stats| forced(&stats))
}

/// Looks at a mode for its time.
fn look(mode: Mode, present: &str) -> Result<()> {
    acked_in_time(&watch(mode, present, &[])?, CALM)
}

/// As [`look`], with copies that are drawn. How long that takes says nothing here: it includes the
/// time in which an emulated CPU compiles shaders for another that draws.
fn look_drawn(mode: Mode) -> Result<()> {
    watch(mode, "copy", &[gpu::SOFTWARE]).map(|_| ())
}

/// Looks at a mode for its time, with this in the viewer's environment; the viewer's last figures.
fn watch(mode: Mode, present: &str, environment: &[(&str, &str)]) -> Result<Value> {
    let mut scene = Scene::new(mode, true)?;
    let deadline = CALM.to_string();
    let arguments = ["-v", "--present", present, "--ack-deadline", &deadline];
    let mut viewer = scene.viewer_with("view-demo", &arguments, environment)?;
    let end = Instant::now() + time();
    let (mut shots, mut behind) = (0, 0);
    // A guest whose ack was forced may draw into what the compositor reads, until it shows the next frame: a picture
    // may be torn where an ack was forced since the last one that wasn't. A compositor that compiles its first
    // shaders, and is emulated, takes longer than any deadline.
    let (mut torn, mut calm) = (0, 0);
    // Three screenshots at least, and until the mode has done what it does.
    while shots < 3 || Instant::now() < end {
        let before = viewer.latest()?.as_ref().map_or(0, forced);
        match scene.screenshot()? {
            Shot::Whole(frames) => {
                calm = before;
                shots += 1;
                behind = behind.max(frames);
                if shots % 4 == 2 {
                    scene.dump()?;
                }
            }
            Shot::Dark if mode == Mode::Reboot => {}
            Shot::Dark => return Err(Error::new("the screen is empty")),
            Shot::Mixed(..) if torn < TORN_MAX && forced_by_now(&viewer)? > calm => torn += 1,
            Shot::Mixed(shot, mixed) => return Err(scene.keep(&shot, &mixed.to_string())),
        }
    }
    if environment.contains(&gpu::SOFTWARE) {
        gpu::draws(&mut viewer)?;
    }
    let stats = viewer.finish(soon())?;
    let progress = scene.finish()?;
    let what = format!(
        "demo {mode} {present}, {shots} screenshots, {torn} more torn after forced acks, {behind} frames behind at most, {} times RAM trouble, {} \
         replaced",
        progress.events, progress.replaced
    );
    report(&what, &stats);
    let idle = matches!(mode, Mode::Flip | Mode::InPlace);
    if !idle && progress.events == 0 {
        return Err(Error::new(format!("the guest did nothing: {progress:?}")));
    }
    let replaces = matches!(mode, Mode::Punch | Mode::Told | Mode::Balloon);
    if replaces && progress.replaced == 0 {
        return Err(Error::new(format!("no page was found replaced: {progress:?}")));
    }
    // What is copied may be shown one frame later; and a frame acked by force is shown from a copy.
    let copies = stats["bytes_copied"] != 0 || stats["forced_acks"] != 0;
    if behind > u32::from(copies) {
        return Err(Error::new(format!("{behind} frames behind what was acked: {stats}")));
    }
    Ok(stats)
}

pub(crate) fn in_place_drawn() -> Result<()> {
    look_drawn(Mode::InPlace)
}

pub(crate) fn punch_drawn() -> Result<()> {
    look_drawn(Mode::Punch)
}

pub(crate) fn resize_drawn() -> Result<()> {
    look_drawn(Mode::Resize)
}

pub(crate) fn flip_copy() -> Result<()> {
    look(Mode::Flip, "copy")
}

pub(crate) fn in_place_copy() -> Result<()> {
    look(Mode::InPlace, "copy")
}

pub(crate) fn resize() -> Result<()> {
    look(Mode::Resize, "direct")
}

pub(crate) fn format() -> Result<()> {
    look(Mode::Format, "direct")
}

pub(crate) fn cursor() -> Result<()> {
    look(Mode::Cursor, "direct")
}

pub(crate) fn punch_direct() -> Result<()> {
    look(Mode::Punch, "direct")
}

pub(crate) fn punch_copy() -> Result<()> {
    look(Mode::Punch, "copy")
}

pub(crate) fn told() -> Result<()> {
    look(Mode::Told, "direct")
}

pub(crate) fn balloon() -> Result<()> {
    look(Mode::Balloon, "direct")
}

pub(crate) fn truncate() -> Result<()> {
    look(Mode::Truncate, "direct")
}

pub(crate) fn reboot() -> Result<()> {
    look(Mode::Reboot, "direct")
}

/// Nothing is copied and nothing forced, where there is time enough; what it is by default is said.
pub(crate) fn flip_direct() -> Result<()> {
    let scene = Scene::new(Mode::Flip, true)?;
    let deadline = CALM.to_string();
    let calm = ["--present", "direct", "--ack-deadline", &deadline];
    // Once without counting: an emulated compositor compiles its shaders then.
    scene.viewer("view-warm", &calm)?.finish(soon())?;
    let stats = shown_for_a_while(scene.viewer("view-direct", &calm)?)?;
    report(&format!("demo flip direct, deadline {CALM} ms"), &stats);
    let usual = shown_for_a_while(scene.viewer("view-usual", &["--present", "direct"])?)?;
    report("demo flip direct, default deadline", &usual);
    scene.finish()?;
    if stats["bytes_copied"] != 0 || stats["forced_acks"] != 0 {
        return Err(Error::new(format!("something was copied or forced: {stats}")));
    }
    if stats["flips"].as_u64() < Some(8) {
        return Err(Error::new(format!("the guest hardly flipped: {stats}")));
    }
    acked_in_time(&stats, CALM)
}

/// A viewer's last figures, after its time.
fn shown_for_a_while(viewer: Viewer) -> Result<Value> {
    let deadline = Deadline::seconds(time().as_secs() + 120);
    let over = |stats: &Value| stats["elapsed_s"].as_f64() >= Some(time().as_secs_f64());
    viewer.wait_stats(deadline, over)?;
    viewer.finish(soon())
}

/// The tests above can fail: where nobody looks whether pages are fresh, stale ones are on the screen.
pub(crate) fn unchecked_is_stale() -> Result<()> {
    let mut scene = Scene::new(Mode::Punch, false)?;
    let deadline = CALM.to_string();
    let arguments = ["--present", "direct", "--ack-deadline", &deadline];
    let viewer = scene.viewer("view-stale", &arguments)?;
    let enough = |progress: &Progress| progress.events >= 2;
    if scene.demo.handle().wait(soon().left(), enough).is_none() {
        return Err(Error::new("the guest lost no page"));
    }
    let mut stale = None;
    for shot in 1..=STALE_SHOTS {
        let image = scene.weston.screenshot()?;
        if let Err(mixed) = on_screen(&image, &scene.demo.handle().progress())
            && !is_dark(&image)
        {
            stale = Some((shot, mixed));
            break;
        }
    }
    viewer.finish(soon())?;
    let progress = scene.finish()?;
    let (shot, mixed) = stale.ok_or_else(|| Error::new("all pages were fresh, by themselves"))?;
    println!("REPORT demo punch, unchecked: screenshot {shot} is stale: {mixed}");
    match progress.replaced {
        0 => Ok(()),
        some => Err(Error::new(format!("{some} replacements were found by nobody"))),
    }
}
