//! Frames that another process shares by `unixfdsink`: what comes out of `unixfdsrc` is read, or shown.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fanlight::demo::Mode;
use fanlight_stage::child::Child;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::wait::Deadline;
use fanlight_stage::{Error, Result, dmabuf, pipeline};

use super::guest::{Guest, Script};
use super::record::{self, SIZE};
use super::{environment, report};
use crate::demo::{CALM, Scene, Shot};
use crate::stills::soon;

const SCRIPT: Script = Script { modes: &[SIZE], ..Script::CALM };
/// Frames that the other process takes.
const FRAMES: usize = 20;
/// Screenshots that have to be whole.
const SHOTS: u32 = 3;

/// A process that shares a guest's screen at `fds`.
fn share(source: &str, fds: &Path, dir: &Arc<RunDir>) -> Result<Viewer> {
    let description = format!("{source} ! unixfdsink socket-path={}", fds.display());
    let share = pipeline::start("share", &description, &[], dir)?;
    share.wait_count("frames", 1, soon())?;
    Ok(share)
}

/// Each picture that another process takes is one whole frame, and newer than the one before.
pub(crate) fn read() -> Result<()> {
    let dir = RunDir::new()?;
    let done = take(&dir);
    if done.is_err() {
        dir.keep();
    }
    done
}

fn take(dir: &Arc<RunDir>) -> Result<()> {
    let (socket, fds) = (dir.path().join("guest.sock"), dir.path().join("frames.fd"));
    let guest = Guest::serve(SCRIPT, &socket)?;
    let uri = socket.display();
    let source = format!("fanlightsrc uri=scanout:{uri} ack-deadline={CALM} ! video/x-raw");
    let share = share(&source, &fds, dir)?;
    let other = format!("unixfdsrc socket-path={} num-buffers={FRAMES}", fds.display());
    let frames = record::read(&other, dir)?;
    report("unixfdsink, read by another process", &share.finish(soon())?);
    guest.finish()?;
    let numbers: Vec<_> = frames.iter().map(|frame| frame.number).collect();
    println!("REPORT unixfdsrc: frames {numbers:?}");
    if numbers.len() != FRAMES || !numbers.is_sorted_by(|before, frame| before < frame) {
        return Err(Error::new(format!("the other process got the frames {numbers:?}")));
    }
    Ok(())
}

/// Another process shows a guest that flips: whole frames, and what the compositor has is the guest's own memory.
pub(crate) fn window() -> Result<()> {
    let mut scene = Scene::new(Mode::Flip, true)?;
    let fds = scene.dir.path().join("frames.fd");
    let source = format!("fanlightsrc uri={} present=direct ack-deadline={CALM}", scene.uri);
    let share = share(&source, &fds, &scene.dir)?;
    let description = format!("unixfdsrc socket-path={} ! waylandsink", fds.display());
    let variables = environment(&scene.weston);
    let mut other = pipeline::spawn("other", &description, &variables, &scene.dir)?;
    let mut shared = BTreeSet::new();
    let deadline = soon();
    // The compositor holds one of the two at a time, or both.
    while shared.len() < 2 && !deadline.left().is_zero() {
        look(&mut scene, &other)?;
        let [held, guests] = [scene.weston.id(), std::process::id()].map(dmabuf::of_process);
        shared.extend(dmabuf::shared(&held?, &guests?));
    }
    other.terminate(soon())?;
    let stats = share.finish(soon())?;
    report("unixfdsink, shown by another process's waylandsink", &stats);
    scene.finish()?;
    if shared.len() < 2 || stats["bytes-copied"] != 0 {
        return Err(Error::new(format!("dma-bufs {shared:?} are shared, figures: {stats}")));
    }
    Ok(())
}

fn look(scene: &mut Scene, other: &Child) -> Result<()> {
    let deadline = Deadline::seconds(240);
    let mut whole = 0;
    while whole < SHOTS {
        match scene.screenshot()? {
            Shot::Whole(_) => whole += 1,
            // An emulated compositor compiles its shaders.
            Shot::Dark if whole == 0 && !deadline.left().is_zero() => {}
            Shot::Dark => return Err(other.failure("shows nothing")),
            Shot::Mixed(shot, mixed) => return Err(scene.keep(&shot, &mixed.to_string())),
        }
    }
    Ok(())
}
