//! Many frames of the demo guest on real udmabufs, dumped as fast as they are drawn: each is one whole frame, none
//! comes twice, none is left out but where that is asked for, and the manifest has a line for each.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use fanlight::capture::{Picture, hash};
use fanlight::demo::{Demo, Mode, Settings, oracle};
use fanlight::frame::Size;
use fanlight_stage::bus::Bus;
use fanlight_stage::child::run;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::fanlight;
use fanlight_stage::wait::Deadline;
use fanlight_stage::{Context, Error, Result};
use serde_json::Value;

use crate::stills::{bus, soon};

const SIZE: Size = Size { width: 128, height: 96 };
/// Of which no pipe holds even one.
const LARGE: Size = Size { width: 640, height: 480 };
/// As fast as they come.
const FPS: u32 = 240;
/// More frames than wait to be written at most.
const AHEAD: u32 = 120;
/// What a frame may take where all is emulated, in seconds.
const PATIENCE: &str = "120";

/// So many, or with `--long` so many: an emulated processor hashes thirty a second.
#[derive(Clone, Copy)]
struct Counts(u32, u32);

const MANY: Counts = Counts(1_000, 10_000);
const SOME: Counts = Counts(250, 1_000);
const HASHED: Counts = Counts(250, 10_000);
const FEW: Counts = Counts(80, 250);

impl Counts {
    fn get(self) -> u32 {
        if std::env::var_os("FANLIGHT_LONG").is_some() { self.1 } else { self.0 }
    }
}

fn guest(mode: &str, size: Size) -> String {
    format!("demo:?mode={mode}&size={}x{}&fps={FPS}", size.width, size.height)
}

/// Dumps so many frames of a guest of the program's own, and looks at each.
fn whole(mode: &str, size: Size, counts: Counts) -> Result<()> {
    looked_at(mode, &guest(mode, size), size, counts, &[], || Ok(()))
}

/// Dumps so many frames, and looks at each, when that is `due`. With `--drop` the guest doesn't wait, and some are left out.
fn looked_at(
    what: &str,
    uri: &str,
    size: Size,
    counts: Counts,
    drop: &[&str],
    due: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let (dir, bus) = bus()?;
    let (manifest, log) = (dir.path().join("manifest.jsonl"), dir.path().join("dump.err"));
    let count = counts.get();
    let mut command = fanlight(&bus);
    command.args(["dump", uri, "-n", &count.to_string(), "--timeout", PATIENCE]);
    command.args(drop).args(["--format", "raw", "-o", "-", "--manifest"]).arg(&manifest);
    let said = File::create(&log).context("making a log")?;
    let began = Instant::now();
    let mut dump =
        command.stdout(Stdio::piped()).stderr(said).spawn().context("starting fanlight")?;
    let mut frames = BufReader::new(dump.stdout.take().expect("it is piped"));
    if let Err(error) = due() {
        let _ = dump.kill();
        return Err(error);
    }
    let (mut hashes, mut due, mut left_out, mut wrong) = (Vec::new(), None, 0, None);
    for i in 0..count {
        let mut pixels = vec![0; (size.width * size.height) as usize * Picture::PIXEL];
        if let Err(error) = frames.read_exact(&mut pixels) {
            wrong = Some(format!("frame {i} is missing: {error}"));
            break;
        }
        let blue = |x, y| pixels[((y * size.width + x) as usize) * Picture::PIXEL];
        let seen = oracle::read(size, blue).map(|seen| seen.frame);
        match (seen, due) {
            (Ok(frame), next) if frame == next.unwrap_or(frame) => due = Some(frame + 1),
            (Ok(frame), Some(next)) if !drop.is_empty() && frame > next => {
                left_out += frame - next;
                due = Some(frame + 1);
            }
            (Ok(frame), next) => wrong = Some(format!("frame {frame} came where {next:?} was due")),
            (Err(mixed), next) => wrong = Some(format!("where {next:?} was due: {mixed}")),
        }
        if wrong.is_some() {
            break;
        }
        hashes.push(hash(&Picture { size, pixels }).to_string());
    }
    let rest = io::copy(&mut frames, &mut io::sink()).context("reading what is left")?;
    let status = dump.wait().context("waiting for fanlight")?;
    let seconds = began.elapsed().as_secs_f64();
    let said = std::fs::read_to_string(&log).context("reading a log")?;
    // It would say that there are no dma-bufs, and that frames were left out.
    if wrong.is_some() || rest > 0 || !status.success() || !said.is_empty() {
        dir.keep();
        let wrong = wrong.unwrap_or_default();
        return Err(Error::new(format!("{wrong}; {rest} bytes more, {status}, it said: {said}")));
    }
    if left_out == 0 && !drop.is_empty() {
        return Err(Error::new("no frame was left out, so that nothing was tested"));
    }
    let text = std::fs::read_to_string(&manifest).context("reading the manifest")?;
    let lines = text.lines().map(|line| serde_json::from_str(line).context("reading the manifest"));
    let lines = lines.collect::<Result<Vec<Value>>>()?;
    if lines.len() != hashes.len() {
        let (lines, hashes) = (lines.len(), hashes.len());
        return Err(Error::new(format!("the manifest has {lines} lines for {hashes} frames")));
    }
    let told: u64 = lines.iter().skip(1).filter_map(|line| line["left_out"].as_u64()).sum();
    if told != u64::from(left_out) {
        return Err(Error::new(format!("{left_out} frames were left out, and {told} said to be")));
    }
    for (number, (line, hash)) in (1..).zip(lines.iter().zip(&hashes)) {
        let described = line["frame"] == number && line["sha256"] == hash.as_str();
        if !described || line["size"] != serde_json::json!([size.width, size.height]) {
            return Err(Error::new(format!(
                "frame {number} with hash {hash} is said to be {line}"
            )));
        }
    }
    println!(
        "REPORT dump of demo {what}: {count} frames and their manifest in {seconds:.1} s, {:.0} a second, {left_out} left out",
        f64::from(count) / seconds
    );
    Ok(())
}

pub(crate) fn flip() -> Result<()> {
    whole("flip", SIZE, MANY)
}

pub(crate) fn in_place() -> Result<()> {
    whole("inplace", SIZE, SOME)
}

pub(crate) fn punch() -> Result<()> {
    whole("punch", SIZE, SOME)
}

/// Nobody reads before the guest is further than what may wait to be read.
pub(crate) fn left_out() -> Result<()> {
    let dir = RunDir::new()?;
    let socket = dir.path().join("demo.sock");
    let settings = Settings { mode: Mode::Flip, size: LARGE, fps: FPS, ..Settings::default() };
    let demo = Demo::serve(&settings, &socket).context("serving a guest")?;
    let ahead = || {
        let acked = demo.handle().wait(soon().left(), |progress| progress.acked >= AHEAD);
        acked.map(drop).ok_or_else(|| Error::new("the guest waits for who reads its frames"))
    };
    let uri = format!("scanout:{}", socket.display());
    let patient = ["--drop", "--ack-deadline", "900"];
    looked_at("flip, --drop", &uri, LARGE, FEW, &patient, ahead)?;
    demo.finish().context("serving a guest")
}

/// Each has another, because each has another number.
pub(crate) fn hashes() -> Result<()> {
    let (dir, bus) = bus()?;
    let count = HASHED.get();
    let mut command = fanlight(&bus);
    command.arg("dump").arg(guest("flip", SIZE)).args([
        "-n",
        &count.to_string(),
        "--timeout",
        PATIENCE,
    ]);
    command.arg("--hash");
    let began = Instant::now();
    let said = run("hashes", "that has it", command, &dir, Deadline::seconds(1200))?;
    let seconds = began.elapsed().as_secs_f64();
    let different: BTreeSet<_> = said.lines().collect();
    let lines = said.lines().count();
    if lines != count as usize || different.len() != lines {
        let different = different.len();
        return Err(Error::new(format!("{lines} hashes, {different} of them different")));
    }
    println!(
        "REPORT hashes of demo flip: {count} in {seconds:.1} s, {:.0} a second",
        f64::from(count) / seconds
    );
    Ok(())
}

/// Where there is no room for a file, one sentence says so, and no part of it is left.
pub(crate) fn full_disk() -> Result<()> {
    let (dir, bus) = bus()?;
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).context("making a folder")?;
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk);
    run("mount", "mount", mount, &dir, Deadline::seconds(60))?;
    let done =
        ["frame.ppm", "film.y4m"].iter().try_for_each(|name| overfill(&disk.join(name), &bus));
    let mut umount = Command::new("umount");
    umount.arg(&disk);
    run("umount", "mount", umount, &dir, Deadline::seconds(60))?;
    done
}

fn overfill(file: &Path, bus: &Bus) -> Result<()> {
    let mut dump = fanlight(bus);
    dump.args(["dump", "demo:?size=320x240", "-n", "1", "--timeout", PATIENCE, "-o"]).arg(file);
    let output = dump.output().context("starting fanlight")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let one = said.lines().count() == 1 && said.contains("No space left on device");
    let folder = file.parent().into_iter().flat_map(std::fs::read_dir).flatten();
    let left: Vec<_> = folder.flatten().map(|entry| entry.file_name()).collect();
    if output.status.code() != Some(1) || !one || !left.is_empty() {
        let status = output.status;
        return Err(Error::new(format!("{status}, {left:?} is left, it said: {said}")));
    }
    Ok(())
}
