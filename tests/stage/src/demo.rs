//! Both guests, shown by `fanlight` in a real compositor, with figures.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fanlight_guests::line::Command;
use fanlight_guests::{Image, pattern};
use serde_json::{Value, json};

use crate::bus::Bus;
use crate::error::{Context, Error, Result};
use crate::guests::{Guests, Paint};
use crate::qemu::{Card, Guest, Qemu, Setup};
use crate::rundir::RunDir;
use crate::viewer::{self, Viewer};
use crate::wait::Deadline;
use crate::weston::{Renderer, Shell, Weston};
use crate::{dmabuf, picture, versions};

/// Flips that the figures are taken over.
const FLIPS: u64 = 20;
/// Milliseconds between a flip's event and the next drawing, because all is emulated.
const HOLD_MS: u32 = 500;
/// The Linux guest's mode: an emulated one takes a second or more to draw a larger picture.
const MODE: (u32, u32) = (800, 600);
/// The deadline under which no ack may be forced.
const GENTLE: [&str; 4] = ["--present", "direct", "--ack-deadline", "900"];

/// The demo's parts while it runs.
struct Show<'a> {
    out: &'a Path,
    dir: Arc<RunDir>,
    bus: Bus,
    start: Instant,
}

/// What was seen of one guest.
struct Act {
    picture: Image,
    report: Value,
}

/// Runs the demo and leaves `demo.png`, `dump-*.png` and `report.json` in `out`: whether every
/// figure is as it must be.
///
/// # Errors
/// If a program is missing or fails.
pub fn demo(guests: &Path, out: &Path) -> Result<bool> {
    let guests = Guests::open(guests)?;
    std::fs::create_dir_all(out).context(format!("making {}", out.display()))?;
    remove_earlier(out)?;
    let dir = RunDir::new()?;
    let bus = Bus::start(&dir)?;
    let show = Show { out, dir, bus, start: Instant::now() };

    show.say("starting both guests");
    let linux = Setup::new("linux", Guest::Linux(Some(MODE))).on(&show.bus).gl(true).blob(true);
    let mut linux = linux.start(&guests, &show.dir)?;
    let paint = Setup::new("paint", Guest::Paint(Paint::default()));
    let paint = paint.card(Card::VirtioVga).on(&show.bus).gl(true);
    let mut paint = paint.start(&guests, &show.dir)?;
    let qemu_version = paint.qmp.version().to_owned();

    let in_place = show.play_paint(&mut paint)?;
    drop(paint);
    let size = linux.started()?;
    let flipping = show.play_linux(&mut linux, size)?;
    let ended = linux.line.tell(&Command::Poweroff, Deadline::seconds(60));
    ended.map_err(|e| linux.failure(&format!("is no use: {e}")))?;

    picture::save(&side_by_side(&flipping.picture, &in_place.picture), &out.join("demo.png"))?;
    let failures = judge(&flipping.report);
    let mut all = versions::system();
    all.insert("qemu".into(), qemu_version.into());
    all.insert("fanlight".into(), viewer::version(&show.bus, &show.dir)?.into());
    let report = json!({
        "passed": failures.is_empty(),
        "failures": failures,
        "linux": flipping.report,
        "paint": in_place.report,
        "versions": all,
        "seconds": show.start.elapsed().as_secs(),
    });
    let text = serde_json::to_string_pretty(&report).context("writing the report")?;
    let path = out.join("report.json");
    std::fs::write(&path, text + "\n").context(format!("writing {}", path.display()))?;
    summarize(out, &report);
    Ok(failures.is_empty())
}

impl Show<'_> {
    fn say(&self, what: &str) {
        eprintln!("[{:4} s] {what}", self.start.elapsed().as_secs());
    }

    /// The boot sector, which draws in place.
    fn play_paint(&self, qemu: &mut Qemu) -> Result<Act> {
        let ready = qemu.line.ready(Deadline::seconds(120));
        let size = ready.map_err(|e| qemu.failure(&format!("does not boot: {e}")))?;
        self.say("showing the boot sector, which draws in place");
        let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, size, &self.dir)?;
        let stage = (&self.bus, &weston);
        let viewer = Viewer::start("view-paint", "qemu:paint", &[], stage, &self.dir)?;
        viewer.wait_count("frames", 5, Deadline::seconds(120))?;
        let (picture, frame) = whole_screenshot(&mut weston)?;
        let stats = viewer.finish(Deadline::seconds(60))?;
        let dumps = self.dump("qemu:paint", "dump-paint")?;
        let report = json!({ "frame_in_picture": frame, "frames_in_dumps": dumps, "stats": stats });
        Ok(Act { picture, report })
    }

    /// The Linux guest, which flips between two buffers.
    fn play_linux(&self, qemu: &mut Qemu, size: (u32, u32)) -> Result<Act> {
        self.say("showing the Linux guest, which flips pages");
        let flip = Command::Flip { frames: 0, hold_ms: HOLD_MS };
        qemu.line.tell(&flip, Deadline::seconds(120))?;
        let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, size, &self.dir)?;
        // The default deadline first: the compositor compiles its shaders then, emulated, which takes
        // it longer than any deadline, once.
        let stage = (&self.bus, &weston);
        let viewer = Viewer::start("view-default", "qemu:linux", &GENTLE[..2], stage, &self.dir)?;
        viewer.wait_count("flips", FLIPS / 4, Deadline::seconds(240))?;
        let default_stats = viewer.finish(Deadline::seconds(60))?;

        self.say("the same with time enough for an emulated compositor");
        let stage = (&self.bus, &weston);
        let viewer = Viewer::start("view-linux", "qemu:linux", &GENTLE, stage, &self.dir)?;
        viewer.wait_count("flips", FLIPS, Deadline::seconds(240))?;
        let (picture, frame) = whole_screenshot(&mut weston)?;
        let held = dmabuf::of_process(weston.id())?;
        let guests = dmabuf::of_process(qemu.id())?;
        let shared = dmabuf::shared(&held, &guests);
        let stats = viewer.finish(Deadline::seconds(60))?;
        let dumps = self.dump("qemu:linux", "dump-linux")?;
        let report = json!({
            "frame_in_picture": frame,
            "frames_in_dumps": dumps,
            "stats": stats,
            "stats_with_default_deadline": default_stats,
            "dma_bufs_of_compositor_and_guest": shared,
            "compositor": {
                "weston": weston.says("weston ")?,
                "gl_version": weston.says("GL version:")?,
                "gl_renderer": weston.says("GL renderer:")?,
            },
        });
        Ok(Act { picture, report })
    }

    /// Three frames to files; the number that each shows, null where it shows no whole frame.
    fn dump(&self, uri: &str, prefix: &str) -> Result<Vec<Option<u32>>> {
        self.say(&format!("dumping frames of {uri}"));
        let files = viewer::dump(uri, 3, (self.out, prefix), &self.bus, &self.dir)?;
        files.iter().map(|file| Ok(pattern::whole(&picture::load(file)?).ok())).collect()
    }
}

/// The compositor's picture once it is one whole frame, and the frame's number.
fn whole_screenshot(weston: &mut Weston) -> Result<(Image, u32)> {
    let deadline = Deadline::seconds(120);
    loop {
        let picture = weston.screenshot()?;
        match pattern::whole(&picture) {
            Ok(frame) => return Ok((picture, frame)),
            Err(mixed) if deadline.left().is_zero() => {
                return Err(Error::new(format!("the compositor shows no whole frame: {mixed}")));
            }
            Err(_) => {}
        }
    }
}

/// What is not as it must be.
fn judge(linux: &Value) -> Vec<String> {
    let stats = &linux["stats"];
    let mut failures = Vec::new();
    let mut check = |good: bool, what: &str, value: &Value| {
        if !good {
            failures.push(format!("{what}, but: {value}"));
        }
    };
    let flips = &stats["flips"];
    check(flips.as_u64() >= Some(FLIPS), &format!("at least {FLIPS} flips are due"), flips);
    for (counter, what) in
        [("bytes_copied", "no byte may be copied"), ("forced_acks", "no ack may be forced")]
    {
        check(stats[counter] == 0, what, &stats[counter]);
    }
    let shared = &linux["dma_bufs_of_compositor_and_guest"];
    let count = shared.as_array().map_or(0, Vec::len);
    check(count >= 2, "the compositor must hold two dma-bufs of the guest", shared);
    let dumps = &linux["frames_in_dumps"];
    let numbers: Option<Vec<_>> =
        dumps.as_array().and_then(|all| all.iter().map(Value::as_u64).collect());
    let rising = numbers.is_some_and(|all| all.is_sorted());
    check(rising, "each dump must show a whole frame, none older than the one before", dumps);
    failures
}

/// Both pictures on one, a gap between them, as high as the higher.
fn side_by_side(left: &Image, right: &Image) -> Image {
    const GAP: u32 = 16;
    let width = left.width() + right.width() + 3 * GAP;
    let height = left.height().max(right.height()) + 2 * GAP;
    let mut sheet = Image::new(width, height, [0x1b, 0x24, 0x30]);
    for (image, x) in [(left, GAP), (right, left.width() + 2 * GAP)] {
        sheet.paste(image, x, (height - image.height()) / 2);
    }
    sheet
}

fn summarize(out: &Path, report: &Value) {
    let (linux, paint) = (&report["linux"], &report["paint"]);
    let stats = &linux["stats"];
    println!(
        "Linux guest, direct: {} flips, {} bytes copied, {} forced acks, {} imports, {} cache hits",
        stats["flips"],
        stats["bytes_copied"],
        stats["forced_acks"],
        stats["imports"],
        stats["cache_hits"]
    );
    let default = &linux["stats_with_default_deadline"];
    println!("  with the default deadline: {} forced acks", default["forced_acks"]);
    println!(
        "  dma-bufs that compositor and guest share: {}",
        linux["dma_bufs_of_compositor_and_guest"]
    );
    println!("Boot sector, auto: mode {}, {}", paint["stats"]["mode"], paint["stats"]["why"]);
    for failure in report["failures"].as_array().into_iter().flatten() {
        println!("FAILED: {}", failure.as_str().unwrap_or_default());
    }
    println!("Look at {}: the compositor's own pictures of", out.join("demo.png").display());
    println!(
        "frame {} of the Linux guest (left) and frame {} of the boot sector (right);",
        linux["frame_in_picture"], paint["frame_in_picture"]
    );
    println!("dump-*.png beside it are frames without a compositor, report.json has all figures.");
}

/// Takes away what an earlier run left, so that nothing old passes for new.
fn remove_earlier(out: &Path) -> Result<()> {
    for entry in std::fs::read_dir(out).context(format!("reading {}", out.display()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let dump = name.starts_with("dump-") && name.ends_with(".png");
        if dump || name == "demo.png" || name == "report.json" {
            std::fs::remove_file(entry.path()).context(format!("removing {name}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanlight_guests::Rect;

    fn good() -> Value {
        json!({
            "stats": { "flips": 20, "bytes_copied": 0, "forced_acks": 0 },
            "dma_bufs_of_compositor_and_guest": [7, 9],
            "frames_in_dumps": [30, 30, 31],
        })
    }

    #[test]
    fn each_figure_is_judged() {
        assert!(judge(&good()).is_empty());
        for (path, bad) in [
            ("/stats/flips", json!(19)),
            ("/stats/flips", Value::Null),
            ("/stats/bytes_copied", json!(4096)),
            ("/stats/forced_acks", json!(1)),
            ("/stats/forced_acks", Value::Null),
            ("/dma_bufs_of_compositor_and_guest", json!([7])),
            ("/frames_in_dumps", json!([30, null, 31])),
            ("/frames_in_dumps", json!([31, 30, 32])),
        ] {
            let mut report = good();
            *report.pointer_mut(path).expect("a figure") = bad.clone();
            assert_eq!(judge(&report).len(), 1, "{path} {bad}");
        }
    }

    #[test]
    fn pictures_are_put_side_by_side_unscaled() {
        let (left, right) = (pattern::expected(1, 64, 96), pattern::expected(2, 32, 32));
        let sheet = side_by_side(&left, &right);
        let back = sheet.crop(Rect { x: 16, y: 16, width: 64, height: 96 }).expect("inside");
        assert_eq!(back.difference(&left), None);
        let back = sheet.crop(Rect { x: 96, y: 48, width: 32, height: 32 }).expect("inside");
        assert_eq!(back.difference(&right), None);
    }
}
