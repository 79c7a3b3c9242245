//! What a dump costs, beside what does the same or less in the same run: frames read for a program beside memcpy of the same
//! memory, PNG beside other encoders of the same frames, the guest's wait for its ack beside that without an encoder, and
//! whether a video keeps its pace.
//!
//! The picture is the demo guest's. Both of a pair take turns, and the median of each counts, so that what else the
//! machine does meets both.

#[path = "dump/guest.rs"]
mod guest;
#[path = "dump/program.rs"]
mod program;

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use fanlight::capture::{Capture, CaptureOptions, Chroma, Picture, PictureFormat, Rate, Y4m};
use fanlight::frame::Size;
use fanlight_stage::rundir::RunDir;

use guest::{Ack, Guest};
use program::{Program, encoded};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

type Measure = fn(&Path, &Picture) -> Result<()>;

const SIZE: Size = Size { width: 1920, height: 1080 };
/// Two of these are in no processor's cache, and the guest's wait for the next frame weighs less.
const LARGE: Size = Size { width: 3840, height: 2160 };
/// Longer than any frame takes, also where all is emulated.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one of a pair is measured before it is the other's turn, and how often.
const TURN: Duration = Duration::from_millis(300);
const TURNS: usize = 9;
/// Where memcpy puts what it copies: always to the same place, which stays in the processor's cache; and to as many as a dump
/// needs at least, because whoever takes a frame keeps it while the next one is read.
const PLACES: [usize; 2] = [1, 2];
/// Of a video.
const RATE: Rate = Rate { frames: 60, seconds: 1 };

fn main() -> Result<()> {
    // As with the other benches: only what has this in its name.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if filter.is_some_and(|filter| !"dump".contains(&filter)) {
        return Ok(());
    }
    let dir = RunDir::new()?;
    let lines: [(&str, Measure); 5] = [
        ("raw frames", raw),
        ("raw by the program", raw_program),
        ("PNG", png),
        ("acks", acks),
        ("video", video),
    ];
    for (size, lines) in [(LARGE, &lines[..2]), (SIZE, &lines)] {
        let Size { width, height } = size;
        let uri = format!("demo:?size={width}x{height}").parse()?;
        let mut capture = Capture::open(&uri, &CaptureOptions::default())?;
        let picture = capture.next_frame(PATIENCE, None)?.picture;
        drop(capture);
        println!("dump, {width}x{height}");
        for (name, measure) in lines {
            if let Err(reason) = measure(dir.path(), &picture) {
                println!("SKIP dump {name}: {reason}");
            }
        }
    }
    Ok(())
}

/// A line of the table: both, and how they compare.
fn say(what: &str, ours: &str, other: &str, ratio: f64) {
    println!("  {what:<30} {ours:>24}   {other:<34} {ratio:>6.2}");
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Says how many bytes a second there were, and how that compares in the middle one of its turns.
fn beside_memcpy(
    what: &str,
    guest: &mut Guest,
    picture: &Picture,
    mut ours: impl FnMut(&mut Guest) -> Result<f64>,
) -> Result<()> {
    let mut out = vec![vec![0; picture.pixels.len()]; PLACES[1]];
    let mut memcpy = |guest: &mut Guest, places: usize| {
        let pixels = &guest.memory.bytes_mut()[..out[0].len()];
        let mut next = (0..places).cycle();
        for_a_turn(|| {
            let place = next.next().expect("it is without end");
            black_box(&mut out[place]).copy_from_slice(black_box(pixels));
        })
    };
    // Once without counting.
    for places in PLACES {
        memcpy(guest, places);
    }
    ours(guest)?;
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        turns.push((ours(guest)?, PLACES.map(|places| memcpy(guest, places))));
    }
    let rate = |of: fn(&(f64, [f64; 2])) -> f64| {
        gigabytes(median(turns.iter().map(of)) * picture.pixels.len() as f64)
    };
    let ours = rate(|turn| turn.0);
    let ratio = |which: usize| median(turns.iter().map(|(ours, memcpy)| ours / memcpy[which]));
    say(what, &ours, &format!("memcpy {}", rate(|turn| turn.1[0])), ratio(0));
    let in_turn = format!("memcpy, {} places {}", PLACES[1], rate(|turn| turn.1[1]));
    say(what, &ours, &in_turn, ratio(1));
    Ok(())
}

/// How often a second something can be done.
fn for_a_turn(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut count = 0.0;
    while start.elapsed() < TURN {
        work();
        count += 1.0;
    }
    count / start.elapsed().as_secs_f64()
}

fn gigabytes(rate: f64) -> String {
    format!("{:.2} GB/s", rate / 1e9)
}

/// How often a second something was acked.
fn rate(acks: &[Ack]) -> f64 {
    let [(first, _), .., (last, _)] = acks else { return 0.0 };
    (acks.len() - 1) as f64 / last.duration_since(*first).as_secs_f64()
}

/// Frames that a program of Rust takes, and that the guest waits for.
fn raw(dir: &Path, picture: &Picture) -> Result<()> {
    let mut guest = Guest::start(dir, "raw", picture, Duration::ZERO)?;
    let mut capture = Capture::open(&guest.uri.parse()?, &CaptureOptions::default())?;
    beside_memcpy("raw, a program of Rust", &mut guest, picture, |_| {
        // It waited while the other was measured.
        capture.next_frame(PATIENCE, None)?;
        let mut failed = None;
        let rate =
            for_a_turn(|| failed = failed.take().or(capture.next_frame(PATIENCE, None).err()));
        failed.map_or(Ok(rate), |error| Err(error.into()))
    })
}

/// The same by the program, whose output nobody wants.
fn raw_program(dir: &Path, picture: &Picture) -> Result<()> {
    let mut guest = Guest::start(dir, "program", picture, Duration::ZERO)?;
    beside_memcpy("raw, fanlight dump", &mut guest, picture, |guest| {
        let _dump = Program::unread(&dump(&guest.uri, &["-n", "all", "--format", "raw"]))?;
        // Without what has just been started; and this wakes once, not for each.
        guest.acks(5, PATIENCE)?;
        let some = guest.acks(20, PATIENCE)?;
        let turn = rate(&some) * TURN.as_secs_f64();
        Ok(rate(&guest.acks((turn as usize).max(2), PATIENCE)?))
    })
}

fn dump(uri: &str, more: &[&str]) -> Vec<String> {
    let program = [env!("CARGO_BIN_EXE_fanlight"), "dump", uri, "-o", "-"];
    program.iter().chain(more).map(|&word| word.to_owned()).collect()
}

/// So many frames as an encoder takes two seconds for.
fn some_frames(picture: &Picture) -> Result<usize> {
    let start = Instant::now();
    PictureFormat::Png.write(picture, io::sink())?;
    let frames = Duration::from_secs(2).as_secs_f64() / start.elapsed().as_secs_f64();
    Ok((frames as usize).clamp(4, 200))
}

/// Beside other programs that encode the same frames.
fn png(dir: &Path, picture: &Picture) -> Result<()> {
    let guest = Guest::start(dir, "png", picture, Duration::ZERO)?;
    let most = some_frames(picture)?;
    let count = |frames: usize| frames.to_string();
    let ours = encoded(most, |frames| {
        Program::read(&dump(&guest.uri, &["-n", &count(frames), "--format", "png"]))
    })?;
    let Size { width, height } = SIZE;
    let caps = format!("width={width} height={height}");
    let pngenc = |more: &str| {
        let source = format!("fdsrc fd=0 blocksize={}", picture.pixels.len());
        let pipeline = format!(
            "gst-launch-1.0 -q {source} ! rawvideoparse {caps} format=bgrx ! videoconvert ! pngenc {more} ! fdsink fd=1"
        );
        pipeline.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let ffmpeg = format!(
        "ffmpeg -loglevel error -f rawvideo -pix_fmt bgr0 -s {width}x{height} -i - -threads 1 -c:v png -f image2pipe -"
    );
    let ffmpeg = ffmpeg.split(' ').map(str::to_owned).collect();
    let words = |[frames, size]: [f64; 2]| format!("{frames:.1} /s of {:.0} KiB", size / 1024.0);
    for (name, command) in [
        ("pngenc", pngenc("")),
        ("pngenc, compression 1", pngenc("compression-level=1")),
        ("ffmpeg, one thread", ffmpeg),
    ] {
        match encoded(most, |frames| Program::fed(&command, picture, frames)) {
            Ok(theirs) => {
                let beside = format!("{name} {}", words(theirs));
                say("PNG, fanlight dump", &words(ours), &beside, ours[0] / theirs[0]);
            }
            Err(reason) => {
                println!("SKIP dump PNG, {}, beside {name}: {reason}", words(ours));
            }
        }
    }
    Ok(())
}

/// How long the guest waits while its frames are encoded, beside how long where they are thrown away.
fn acks(dir: &Path, picture: &Picture) -> Result<()> {
    // A frame is encoded for half of the time.
    let encoding = Duration::from_secs(4) / some_frames(picture)? as u32;
    let period = encoding.max(Duration::from_millis(16));
    let guest = Guest::start(dir, "acks", picture, period)?;
    let mut waits = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (format, waits) in ["png", "raw"].into_iter().zip(&mut waits) {
            let _dump = Program::unread(&dump(&guest.uri, &["-n", "all", "--format", format]))?;
            // The first are also waited for by what has just been started.
            guest.acks(5, PATIENCE)?;
            let all = guest.acks(20, PATIENCE)?;
            waits.extend(all.iter().map(|(_, wait)| wait.as_secs_f64() * 1e3));
        }
    }
    let [png, raw] = waits.map(|mut waits| {
        waits.sort_unstable_by(f64::total_cmp);
        [waits[waits.len() / 2], waits[waits.len() * 95 / 100]]
    });
    let words = |[half, most]: [f64; 2]| format!("{half:.2} ms, p95 {most:.2}");
    let beside = format!("raw {}", words(raw));
    say("update→ack while PNG is made", &words(png), &beside, png[0] / raw[0]);
    Ok(())
}

/// Beside the pace that it should have.
fn video(dir: &Path, picture: &Picture) -> Result<()> {
    let wanted = f64::from(RATE.frames);
    let guest = Guest::start(dir, "video", picture, Duration::from_secs(1) / RATE.frames)?;
    let dump_of = |what: &str, every: &str, guest: &Guest| -> Result<()> {
        let mut dump =
            Program::read(&dump(&guest.uri, &["--every", every, "--format", "y4m", "-n", "all"]))?;
        let (frames, resident) = dump.video(SIZE)?;
        let memory = format!("{wanted} /s, resident at most {:.0} MiB", resident / 1024.0);
        say(what, &format!("{frames:.1} /s"), &memory, frames / wanted);
        Ok(())
    };
    dump_of("y4m of 60 frames a second", "60fps", &guest)?;
    drop(guest);
    let guest = Guest::start(dir, "fast", picture, Duration::ZERO)?;
    dump_of("y4m of as many as there are", "update", &guest)?;
    for (name, chroma) in [("4:2:0", Chroma::Of420), ("4:4:4", Chroma::Of444)] {
        let mut video = Y4m::new(io::sink(), chroma, RATE);
        let mut failed = None;
        let frames = for_a_turn(|| failed = failed.take().or(video.write(picture).err()));
        failed.map_or(Ok(()), Err)?;
        let what = format!("y4m, the conversion, {name}");
        say(&what, &format!("{frames:.1} /s"), &format!("{wanted} /s"), frames / wanted);
    }
    Ok(())
}
