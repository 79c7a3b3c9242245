//! `fanlight dump`: a guest's screen into files.
//!
//! Frames are read while the guest waits; threads of their own encode and write them, so that the
//! guest doesn't wait for that too.

mod files;
mod format;
mod manifest;
mod pace;
mod plan;
mod writer;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::warn;

use super::diff::LikenessArgs;
use super::exit::Failure;
use super::stats::Reporter;
use super::{Common, Signals, URIS};
use crate::capture::{Capture, CaptureError, Frame, parse_duration, parse_rect};
use crate::frame::Rect;
use format::Format;
use pace::{Every, Pace, every};
use plan::Plan;
use writer::Writer;

/// How long a frame is waited for, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight dump -o screen.png                        the screen of the only VM, now
  fanlight dump qemu:my-vm -o f-%04d.png -n 10       ten frames, one for each update of the guest
  fanlight dump --wait stable:500ms -o screen.png    once nothing moves but a cursor that blinks
  fanlight dump --wait match:login.png:8 --timeout 5min   is it there within five minutes?
  fanlight dump --wait change --wait stable:1s --hash     a hash, once something has happened
  fanlight dump --expect login.png --mask clock.png  is it what it should be, but for the clock?
  fanlight dump --every 1s -n all -o t-%05d.webp --manifest t.jsonl   until Ctrl+C
  fanlight dump --format y4m -o - | ffmpeg -i - vm.mkv    a video, 60 frames a second
  fanlight dump qmp:/run/vm.sock -o - | display      to the standard output

What --wait says comes true one after the other; then the first frame is what is on the screen.
Without, it is the screen as it is found (or its next update, if that comes within 200 ms). Each
further one is as --every says. --mask covers what may look like anything, for --wait, --every
change and --expect: it is as large as the screen, or as the part that is looked at. --tolerance is
for --expect alone; --wait match:FILE:TOLERANCE has its own.

Exit code 3 if --timeout was reached, 4 if the last frame is not what --expect says: then both and
what differs are in FILE-diff.png. A guest is held back while frames can't be written as fast as it
draws, for 0.9 s a frame at most; with --drop it goes on, and frames are left out.")]
pub(super) struct DumpArgs {
    #[arg(value_name = "URI", default_value = "qemu:", help = format!("Whose screen: {URIS}"))]
    uri: String,
    #[command(flatten)]
    common: Common,
    /// Where to: a file whose name ends in .png, .qoi, .ppm, .webp, .raw or .y4m, or - for the standard output; with -n, %d (or %04d) is the frame's number
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["hash", "manifest", "expect", "wait"])]
    output: Option<PathBuf>,
    /// As what, whatever the file is called
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// How many frames, or all: until Ctrl+C or the end of the VM [default: 1, of a video all]
    #[arg(short = 'n', long, value_name = "N", value_parser = frames)]
    frames: Option<Frames>,
    /// Which frames: each update of the guest's, each change of what is seen, or one at a steady pace as 100ms or 60fps [default: update, of a video 60fps]
    #[arg(long, value_name = "WHAT", value_parser = every)]
    every: Option<Every>,
    /// First wait for this: change, stable:500ms, stable:2s:ignore=10x20, match:FILE, match:FILE:TOLERANCE, each also after region:X,Y,WIDTH,HEIGHT:
    #[arg(long, value_name = "CONDITION")]
    wait: Vec<String>,
    /// How long to wait for each of these and for each frame, in seconds or as 500ms, 2s, 1min [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// Only this part of the screen
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", value_parser = parse_rect)]
    crop: Option<Rect>,
    /// With the guest's cursor, where the guest has it then; that it moves makes no frame
    #[arg(long)]
    cursor: bool,
    /// Print the SHA-256 of each frame, that of the PPM file that it would be
    #[arg(long)]
    hash: bool,
    /// Describe each frame in a line of JSON, here; - for the standard output
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Leave frames out rather than hold the guest back
    #[arg(long)]
    drop: bool,
    /// A picture of what the last frame should look like
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    #[command(flatten)]
    likeness: LikenessArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    All,
    Some(u64),
}

fn frames(text: &str) -> Result<Frames, String> {
    match text.parse() {
        Ok(0) => Err("no frame is nothing to do".to_owned()),
        Ok(count) => Ok(Frames::Some(count)),
        Err(_) if text == "all" => Ok(Frames::All),
        Err(_) => Err(format!("\"{text}\" is no number of frames, nor all")),
    }
}

/// A number alone is one of seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(_) => parse_duration(&format!("{text}s")),
        Err(_) => parse_duration(text),
    }
}

pub(super) fn run(args: &DumpArgs) -> Result<(), Failure> {
    let signals = Signals::new()?;
    // Before the guest is asked for anything: a file that can't be written costs it nothing.
    let plan = Plan::make(args)?;
    let progress = progress(args, &plan);
    let mut capture = Capture::open(&plan.uri, &plan.options)?;
    let said = plan.files.as_ref().and_then(|files| files.path(1));
    let (every, expected, quiet) = (plan.every, plan.expected, plan.stdout);
    let work = writer::Work {
        files: plan.files,
        crop: args.crop,
        print_hash: args.hash,
        manifest: plan.manifest,
        rate: every.rate(),
        progress: progress.clone(),
    };
    let mut dump = Dump {
        writer: Writer::start(work, signals.waker()?)?,
        pace: Pace::new(every, plan.change),
        signals: &signals,
        frames: plan.frames,
        timeout: args.timeout,
        drop: args.drop,
        reporter: Reporter::new(args.common.stats.filter(|_| !quiet), &capture.console().uri),
        last: None,
    };
    let first = plan.waits.iter().try_fold(None, |_, condition| {
        progress.set_message(format!("waiting for {condition}"));
        dump.patiently(|dump, left| {
            capture.wait(condition, left, Some(dump.signals.fd())).map(Some)
        })
    });
    progress.set_message("");
    let taken = first.and_then(|first| dump.take(&mut capture, first));
    let (stats, left_out) = (capture.stats(), capture.left_out());
    // The guest is let go before the disk is waited for.
    drop(capture);
    let Dump { writer, mut reporter, last, .. } = dump;
    // A file that couldn't be written is the cause of all that came after.
    writer.finish().and(taken)?;
    if left_out > 0 && !args.drop {
        warn!(
            "{left_out} frames were left out, because the guest didn't wait until there was room for them"
        );
    }
    reporter.report(&stats, true)?;
    let last = last.expect("one was taken");
    if let Some(path) =
        said.filter(|_| io::stderr().is_terminal() && plan.frames == Frames::Some(1))
    {
        eprintln!("{} ({}x{})", path.display(), last.size.width, last.size.height);
    }
    expected.map_or(Ok(()), |expected| expected.check(&last, args.crop))
}

/// How far it is, at a terminal; none where that is told at once, or by what comes on the standard output there.
fn progress(args: &DumpArgs, plan: &Plan) -> ProgressBar {
    let at_once = args.wait.is_empty() && plan.frames == Frames::Some(1);
    let told = plan.stdout && io::stdout().is_terminal();
    if at_once || told || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (length, template) = match plan.frames {
        Frames::All => (None, "{spinner} {pos} frames in {elapsed} {msg}"),
        Frames::Some(count) => (Some(count), "{bar:30} {pos} of {len} frames in {elapsed} {msg}"),
    };
    let style = ProgressStyle::with_template(template).expect("it is a template");
    ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr()).with_style(style)
}

/// One dump, under way.
struct Dump<'a> {
    writer: Writer,
    pace: Pace,
    signals: &'a Signals,
    frames: Frames,
    timeout: Option<Duration>,
    drop: bool,
    reporter: Reporter,
    last: Option<Frame>,
}

impl Dump<'_> {
    /// Takes frames until it has all; `first` is there already.
    fn take(&mut self, capture: &mut Capture, mut first: Option<Frame>) -> Result<(), Failure> {
        while !self.has_all() && !self.writer.has_failed() {
            let bytes = self.last.as_ref().map_or(0, |last| last.pixels.len());
            if self.writer.is_full(bytes) {
                capture.serve(self.signals.fd())?;
                if self.signals.told() {
                    return self.interrupted();
                }
                if self.drop {
                    self.pace.skip();
                }
                continue;
            }
            let next = match first.take() {
                Some(first) => Ok(first),
                None => {
                    self.patiently(|dump, left| dump.pace.next(capture, left, dump.signals.fd()))
                }
            };
            let frame = match next {
                Err(failure) if self.is_over(capture) => {
                    warn!("{failure}");
                    return Ok(());
                }
                Err(_) if self.signals.told() => return self.interrupted(),
                next => next?,
            };
            if self.last.is_none() {
                self.pace.suits(&frame).map_err(Failure::usage)?;
            }
            self.last = Some(frame.clone());
            self.writer.take(frame);
            self.reporter.report(&capture.stats(), false)?;
        }
        Ok(())
    }

    fn has_all(&self) -> bool {
        self.frames == Frames::Some(self.writer.count())
    }

    /// Whether the guest's end is that of the dump.
    fn is_over(&self, capture: &Capture) -> bool {
        self.frames == Frames::All && self.last.is_some() && capture.is_lost()
    }

    /// By the user, who has all that was to be had if all was what was asked for, and else waits for no more.
    fn interrupted(&self) -> Result<(), Failure> {
        if self.frames != Frames::All || self.last.is_none() {
            let why = Failure::ended("interrupted before the last frame".to_owned());
            self.writer.abandon(why);
        }
        Ok(())
    }

    /// Does what waits, again where it was only woken by the writer, for as long as it may take.
    fn patiently<T>(
        &mut self,
        mut wait: impl FnMut(&mut Self, Duration) -> Result<T, CaptureError>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let endless = self.frames == Frames::All && self.last.is_some();
        let timeout = self.timeout.unwrap_or(if endless { Duration::MAX } else { PATIENCE });
        loop {
            match wait(self, timeout.saturating_sub(start.elapsed())) {
                Err(CaptureError::Interrupted)
                    if !self.signals.told() && !self.writer.has_failed() => {}
                Err(CaptureError::TimedOut { seen, .. }) => {
                    let late: Failure = CaptureError::TimedOut { waited: timeout, seen }.into();
                    let fewer = if seen { ", or ask for fewer frames" } else { "" };
                    return Err(late.with("; raise --timeout").with(fewer));
                }
                Err(CaptureError::Unmet { wish, last, .. }) => {
                    return Err(CaptureError::Unmet { wish, waited: timeout, last }.into());
                }
                waited => return Ok(waited?),
            }
        }
    }
}
