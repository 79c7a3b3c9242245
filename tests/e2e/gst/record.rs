//! Recorded, read again, and looked at tile by tile.

use std::sync::Arc;
use std::time::Duration;

use fanlight::frame::Size;
use fanlight_stage::pattern::lossy;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::{Context, Error, Image, Result, picture, pipeline};

use super::guest::{Guest, Script};
use crate::demo::CALM;
use crate::stills::soon;

/// What is recorded has one size throughout, as Matroska wants it; the guest's other mode is half of it.
pub(super) const SIZE: Size = Size { width: 320, height: 240 };
const HALF: Size = Size { width: 160, height: 120 };
const SCRIPT: Script = Script { modes: &[SIZE, HALF], ..Script::CALM };
/// Enough to see each mode twice.
const FRAMES: u32 = 40;
/// Most that a timestamp may differ from when the guest finished the frame: what an emulated machine does meanwhile.
const LATE_MOST: Duration = Duration::from_millis(750);

pub(crate) fn x264() -> Result<()> {
    recorded("x264enc speed-preset=ultrafast tune=zerolatency pass=quant quantizer=8 ! h264parse")
}

pub(crate) fn vp8() -> Result<()> {
    recorded("vp8enc deadline=1 cpu-used=8 min-quantizer=0 max-quantizer=6 target-bitrate=8000000")
}

/// A frame of a recording.
pub(super) struct Recorded {
    pub(super) number: u32,
    size: Size,
    time: Duration,
}

/// Records a guest through changes of its mode: each picture is one whole frame, none is older than the one before,
/// and each lies where the guest finished it.
fn recorded(coder: &str) -> Result<()> {
    let dir = RunDir::new()?;
    let done = record(coder, &dir);
    if done.is_err() {
        dir.keep();
    }
    done
}

fn record(coder: &str, dir: &Arc<RunDir>) -> Result<()> {
    let socket = dir.path().join("guest.sock");
    let guest = Guest::serve(SCRIPT, &socket)?;
    let file = dir.path().join("recording.mkv");
    let Size { width, height } = SIZE;
    let fit = format!(
        "videoscale method=nearest-neighbour ! videoconvert ! video/x-raw,format=I420,width={width},height={height}"
    );
    // A frame whose ack is forced comes twice: from a copy too.
    let source = format!(
        "fanlightsrc uri=scanout:{} num-buffers={FRAMES} ack-deadline={CALM}",
        socket.display()
    );
    let to = format!("matroskamux ! filesink location={}", file.display());
    let recording = format!("{source} ! queue ! {fit} ! {coder} ! {to}");
    pipeline::launch("record", &recording, &[], dir, soon())?;
    let frames = read(&format!("filesrc location={} ! decodebin", file.display()), dir)?;
    let first = frames.first().ok_or_else(|| Error::new("nothing was recorded"))?;
    let start = drawn(&guest, first)?;
    let mut worst = Duration::ZERO;
    for pair in frames.windows(2) {
        let [before, frame] = pair else { continue };
        if frame.number <= before.number || frame.time <= before.time {
            let (from, to) = (before.number, frame.number);
            let (then, now) = (before.time, frame.time);
            return Err(Error::new(format!("frame {to} at {now:?} is after {from} at {then:?}")));
        }
        let took = drawn(&guest, frame)?.duration_since(start);
        worst = worst.max((frame.time - first.time).abs_diff(took));
    }
    guest.finish()?;
    let changes = frames.windows(2).filter(|pair| pair[0].size != pair[1].size).count();
    println!(
        "REPORT {}: {} frames of {} recorded, {changes} changes of mode, times off by {} ms at most",
        coder.split(' ').next().unwrap_or(coder),
        frames.len(),
        frames.last().map_or(0, |last| last.number - first.number + 1),
        worst.as_millis()
    );
    if frames.len() + 2 < FRAMES as usize || changes < 2 {
        return Err(Error::new(format!("{} frames and {changes} changes", frames.len())));
    }
    if worst > LATE_MOST {
        return Err(Error::new(format!("a frame lies {worst:?} from when it was finished")));
    }
    Ok(())
}

/// When the guest finished a frame, which had this size.
fn drawn(guest: &Guest, frame: &Recorded) -> Result<std::time::Instant> {
    let number = frame.number;
    let drawn = guest.frame(number).ok_or_else(|| Error::new(format!("no frame {number}")))?;
    if drawn.size != frame.size {
        return Err(Error::new(format!(
            "frame {number} is {:?}, not {:?}",
            frame.size, drawn.size
        )));
    }
    Ok(drawn.at)
}

/// All pictures that come from there, with their times.
pub(super) fn read(from: &str, dir: &Arc<RunDir>) -> Result<Vec<Recorded>> {
    let raw = dir.path().join("pictures");
    let to = raw.display();
    let description = format!(
        "-v {from} ! videoconvert ! video/x-raw,format=RGB ! identity silent=false ! filesink location={to}"
    );
    let said = pipeline::launch("read", &description, &[], dir, soon())?;
    let times: Vec<_> = said.lines().filter_map(time).collect();
    let pixels = std::fs::read(&raw).context("reading the pictures")?;
    let Size { width, height } = SIZE;
    let bytes = (width * height * 3) as usize;
    if pixels.len() != times.len() * bytes {
        let (frames, pixels) = (times.len(), pixels.len());
        return Err(Error::new(format!("{frames} frames are {pixels} bytes: {said}")));
    }
    let pictures = pixels.chunks(bytes).zip(times).map(|(pixels, time)| {
        let pixels = pixels.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
        let image = Image::from_pixels(width, height, pixels);
        let image = image.ok_or_else(|| Error::new("a picture of another size"))?;
        let (number, size) = frame(&image).map_err(|mixed| {
            dir.keep();
            let path = dir.path().join("wrong.png");
            let saved = picture::save(&image, &path);
            Error::new(format!("at {time:?}: {mixed}; see {} ({saved:?})", path.display()))
        })?;
        Ok(Recorded { number, size, time })
    });
    pictures.collect()
}

/// Which frame a picture shows, and in which mode.
fn frame(image: &Image) -> std::result::Result<(u32, Size), fanlight_stage::pattern::Mixed> {
    let whole = lossy::read(image).map(|number| (number, SIZE));
    whole.or_else(|mixed| {
        let Size { width, height } = HALF;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (2 * x, 2 * y)));
        let pixels = places.map(|(x, y)| image.pixel(x, y)).collect();
        let half = Image::from_pixels(width, height, pixels).ok_or(mixed.clone())?;
        lossy::read(&half).map(|number| (number, HALF)).map_err(|_| mixed)
    })
}

/// What GStreamer says of a buffer: `… pts: 0:00:01.500000000, …`.
fn time(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("pts: ")?;
    let mut parts = rest.split([',', ' ']).next()?.split(':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let (seconds, nanos) = parts.next()?.split_once('.')?;
    let seconds = seconds.parse::<u64>().ok()? + 60 * (minutes + 60 * hours);
    Some(Duration::new(seconds, nanos.parse().ok()?))
}
