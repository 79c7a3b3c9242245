//! `fanlight dump`: a guest's screen into files.
//!
//! Frames are read while the guest waits; a thread of its own encodes and writes them, so that the
//! guest doesn't wait for that too.

mod files;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::diff::{LikenessArgs, Wanted};
use super::exit::Failure;
use super::stats::Reporter;
use super::{Common, Signals, URIS, whole};
use crate::capture::{Capture, CaptureError, CaptureOptions, Frame, PictureFormat};
use crate::source::Uri;
use files::Files;

/// Frames that may wait to be written; past that the guest is faster than the disk.
const QUEUE: usize = 32;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight dump -o screen.png                        the screen of the only VM, now
  fanlight dump qemu:my-vm -o f-%04d.png -n 10       ten frames, one for each update of the guest
  fanlight dump qmp:/run/vm.sock -o - | display      to the standard output
  fanlight dump --expect login.png --mask clock.png  is it what it should be, but for the clock?

The first frame is the screen as it is (or its next update, if that comes within 200 ms); each further
one is an update. Exit code 3 if --timeout was reached before the last, 4 if that is not what --expect says:
then both and what differs are in FILE-diff.png.")]
pub(super) struct DumpArgs {
    #[arg(value_name = "URI", default_value = "qemu:", help = format!("Whose screen: {URIS}"))]
    uri: String,
    #[command(flatten)]
    common: Common,
    /// Where to: a PNG, QOI, PPM or WebP file, or - for the standard output; with -n, %d (or %04d) is the frame's number
    #[arg(short, long, value_name = "FILE", required_unless_present = "expect")]
    output: Option<PathBuf>,
    /// As what, whatever the file is called
    #[arg(long, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// How many frames
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// How long to wait for each frame
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// A picture of what the last frame should look like
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    #[command(flatten)]
    likeness: LikenessArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Png,
    Qoi,
    Ppm,
    /// Lossless
    Webp,
}

impl From<FormatArg> for PictureFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Png => Self::Png,
            FormatArg::Qoi => Self::Qoi,
            FormatArg::Ppm => Self::Ppm,
            FormatArg::Webp => Self::WebP,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("\"{text}\" is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| format!("{text} s is no time to wait"))
}

pub(super) fn run(args: &DumpArgs) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let uri: Uri = args.uri.parse().map_err(Failure::usage)?;
    // Before the guest is asked for anything: a file that can't be written costs it nothing.
    let format = args.format.map(PictureFormat::from);
    let files = args.output.as_deref().map(|output| Files::new(output, args.frames, format));
    let files = files.transpose()?;
    let wanted =
        args.expect.as_deref().map(|path| Wanted::read(path, &args.likeness)).transpose()?;
    let marked = args.expect.as_deref().map(|wanted| marked(args.output.as_deref(), wanted));
    marked.as_deref().map_or(Ok(()), whole::check)?;
    let to_stdout = args.output.as_deref().is_some_and(|output| output.as_os_str() == "-");
    let options =
        CaptureOptions { ack_deadline: args.common.ack_deadline(), ..CaptureOptions::default() };
    let mut capture = Capture::open(&uri, &options)?;
    let mut writer = files.map(Writer::start);
    let mut last = None;
    let mut reporter = Reporter::new(args.common.stats, &capture.console().uri);
    let taken = (1..=args.frames).try_for_each(|number| -> Result<(), Failure> {
        let frame = match capture.next_frame(args.timeout, Some(signals.fd())) {
            Err(CaptureError::Interrupted) => {
                return Err(Failure::ended("interrupted before the last frame".to_owned()));
            }
            frame => frame?,
        };
        if !to_stdout {
            reporter.report(&capture.stats(), false)?;
        }
        if wanted.is_some() && number == args.frames {
            last = Some(frame.clone());
        }
        writer.as_mut().map_or(Ok(()), |writer| writer.take(frame))
    });
    let stats = capture.stats();
    // The guest is let go before the disk is waited for.
    drop(capture);
    // A file that couldn't be written is the cause of all that came after.
    writer.map_or(Ok(()), Writer::finish).and(taken)?;
    if !to_stdout {
        reporter.report(&stats, true)?;
    }
    match wanted.zip(last) {
        Some((wanted, last)) => wanted.check(&last, "the guest's screen", marked.as_deref()),
        None => Ok(()),
    }
}

/// Where differences are shown: beside what is written, else here.
fn marked(output: Option<&Path>, wanted: &Path) -> PathBuf {
    let output = output.filter(|output| output.as_os_str() != "-");
    let folder = output.and_then(Path::parent).unwrap_or(Path::new(""));
    let stem = output.unwrap_or(wanted).file_stem().unwrap_or_default();
    // Of many there is one that is looked at.
    let stem = stem.to_string_lossy().split('%').next().unwrap_or_default().to_owned();
    folder.join(format!("{}-diff.png", stem.trim_end_matches('-')))
}

/// Encodes and writes frames on a thread of its own.
struct Writer {
    frames: Option<SyncSender<Frame>>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Writer {
    fn start(mut files: Files) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        let chatty = io::stderr().is_terminal();
        let thread = thread::spawn(move || {
            for frame in receiver {
                let path = files.write(&frame)?;
                if chatty && let Some(path) = path {
                    eprintln!("{} ({}x{})", path.display(), frame.size.width, frame.size.height);
                }
            }
            Ok(())
        });
        Self { frames: Some(sender), thread }
    }

    fn take(&mut self, frame: Frame) -> Result<(), Failure> {
        let Some(frames) = &self.frames else { return Ok(()) };
        match frames.try_send(frame) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Failure::ended(format!(
                "frames come faster than they can be written, and {QUEUE} wait already; \
                 write to a faster disk, or ask for fewer"
            ))),
            // The thread has failed; `finish` says why.
            Err(TrySendError::Disconnected(_)) => {
                Err(Failure::ended("the frame could not be written".to_owned()))
            }
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.frames = None;
        self.thread.join().expect("the writer does not panic")
    }
}
