//! `fanlight dump`: a guest's screen into files.
//!
//! Frames are read while the guest waits; a thread of its own encodes and writes them, so that the
//! guest doesn't wait for that too.

mod files;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::Args;

use super::exit::Failure;
use super::stats::Reporter;
use super::{Common, Signals, URIS};
use crate::capture::{Capture, CaptureError, CaptureOptions, Frame};
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

The first frame is the screen as it is (or its next update, if that comes within 200 ms); each further
one is an update. Exit code 3 if --timeout was reached before the last.")]
pub(super) struct DumpArgs {
    #[arg(value_name = "URI", default_value = "qemu:", help = format!("Whose screen: {URIS}"))]
    uri: String,
    #[command(flatten)]
    common: Common,
    /// Where to: a PNG file, or - for the standard output; with -n, %d (or %04d) is the frame's number
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How many frames
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// How long to wait for each frame
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
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
    let files = Files::new(&args.output, args.frames)?;
    let options =
        CaptureOptions { ack_deadline: args.common.ack_deadline(), ..CaptureOptions::default() };
    let mut capture = Capture::open(&uri, &options)?;
    let mut writer = Writer::start(files);
    let mut reporter = Reporter::new(args.common.stats, &capture.console().uri);
    let taken = (0..args.frames).try_for_each(|_| -> Result<(), Failure> {
        let frame = match capture.next_frame(args.timeout, Some(signals.fd())) {
            Err(CaptureError::Interrupted) => {
                return Err(Failure::ended("interrupted before the last frame".to_owned()));
            }
            frame => frame?,
        };
        if args.output.as_os_str() != "-" {
            reporter.report(&capture.stats(), false)?;
        }
        writer.take(frame)
    });
    let stats = capture.stats();
    // The guest is let go before the disk is waited for.
    drop(capture);
    // A file that couldn't be written is the cause of all that came after.
    writer.finish().and(taken)?;
    if args.output.as_os_str() != "-" {
        reporter.report(&stats, true)?;
    }
    Ok(())
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
