//! The guest changes its mode again and again: nothing grows.

use std::time::{Duration, Instant};

use fanlight::frame::Size;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Context, Error, Result, pipeline};
use serde_json::Value;

use super::guest::{Guest, Script};
use super::{environment, report};
use crate::stills::{bus, soon};

const MODES: [Size; 3] = [
    Size { width: 320, height: 240 },
    Size { width: 160, height: 120 },
    Size { width: 256, height: 192 },
];
const SCRIPT: Script =
    Script { modes: &MODES, frames: 3, pace: Duration::from_millis(40), ..Script::CALM };
/// Changes after which everything that is made once is there, and those to look at.
const WARM: usize = 12;
const CHANGES: usize = 50;
const LONG_CHANGES: usize = 1000;
const LONG: Duration = Duration::from_secs(600);
/// How often what is held is looked at. Buffers on their way make it more at one moment than at another, by up to nine
/// descriptors, so that the least of many moments counts.
const STEP: usize = 5;
/// What the least may be more than before: less than one for every other change.
const FDS_MORE: usize = CHANGES / 5;
/// What allocators keep, in KiB.
const MEMORY_MORE: u64 = 6 << 10;

/// What a process holds, or the least that it held at several moments.
#[derive(Clone, Copy, Debug)]
struct Held {
    fds: usize,
    /// Resident.
    kib: u64,
}

impl Held {
    fn by(process: u32) -> Result<Self> {
        let folder = format!("/proc/{process}");
        let fds = std::fs::read_dir(format!("{folder}/fd")).context("counting fds")?.count();
        let status = std::fs::read_to_string(format!("{folder}/status"));
        let status = status.context("reading how much memory is resident")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        let kib = kib.ok_or_else(|| Error::new(format!("{folder} says no memory")))?;
        Ok(Self { fds, kib })
    }

    fn or_less(self, other: Self) -> Self {
        Self { fds: self.fds.min(other.fds), kib: self.kib.min(other.kib) }
    }
}

/// The least that the pipeline and the compositor held.
fn least(moments: &[[Held; 2]]) -> Option<[Held; 2]> {
    let less = |one: [Held; 2], two: [Held; 2]| [one[0].or_less(two[0]), one[1].or_less(two[1])];
    moments.iter().copied().reduce(less)
}

/// 50 changes of mode in a compositor, with `--long` 1000 and ten minutes: in the second half neither the pipeline nor the
/// compositor has more descriptors than in the first, nor the pipeline more memory.
pub(crate) fn mode_changes() -> Result<()> {
    let long = std::env::var_os("FANLIGHT_LONG").is_some();
    let (changes, time) = if long { (LONG_CHANGES, LONG) } else { (CHANGES, Duration::ZERO) };
    let changes = WARM + changes;
    let (dir, _bus) = bus()?;
    let socket = dir.path().join("guest.sock");
    let guest = Guest::serve(SCRIPT, &socket)?;
    let output = (MODES[0].width, MODES[0].height);
    let weston = Weston::start(Shell::Kiosk, Renderer::Gl, output, &dir)?;
    let description = format!("fanlightsrc uri=scanout:{} ! waylandsink", socket.display());
    let mut viewer = pipeline::start("gst-soak", &description, &environment(&weston), &dir)?;
    let id = viewer.child().id();
    let held = || Ok::<_, Error>([Held::by(id)?, Held::by(weston.id())?]);
    changed(&viewer, &guest, WARM)?;
    let (mut moments, start, mut done) = (Vec::new(), Instant::now(), WARM);
    while done < changes || start.elapsed() < time {
        done += STEP;
        changed(&viewer, &guest, done)?;
        moments.push(held()?);
    }
    let halves = moments.split_at(moments.len() / 2);
    let (Some(before), Some(after)) = (least(halves.0), least(halves.1)) else {
        return Err(Error::new("nothing was looked at"));
    };
    let stats = viewer.finish(soon())?;
    guest.finish()?;
    println!(
        "REPORT pipeline and compositor, the least in both halves of {done} changes: {before:?}, {after:?}"
    );
    report("waylandsink, modes", &stats);
    let more = |one: Held, two: Held| two.fds > one.fds + FDS_MORE;
    if more(before[0], after[0]) || more(before[1], after[1]) {
        return Err(Error::new(format!("fds grew: {before:?}, then {after:?}: {stats}")));
    }
    if after[0].kib > before[0].kib + MEMORY_MORE {
        return Err(Error::new(format!("memory grew: {before:?}, then {after:?}: {stats}")));
    }
    Ok(())
}

/// Waits until the guest has changed its mode so often, and the pipeline goes on.
fn changed(viewer: &Viewer, guest: &Guest, changes: usize) -> Result<()> {
    let since = viewer.latest()?.map_or(0, |stats: Value| frames(&stats));
    let enough = |stats: &Value| guest.changes() >= changes && frames(stats) > since;
    viewer.wait_stats(soon(), enough).map(|_| ())
}

fn frames(stats: &Value) -> u64 {
    stats["frames"].as_u64().unwrap_or(0)
}
