//! `fanlight demo`: a simulated guest at a socket.

use std::fmt::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{ArgAction, Args};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::json;

use super::exit::{Failure, print};
use super::{Signals, StatsFormat};
use crate::demo::{
    Demo, Mode, Progress, Settings, parse_buffers, parse_fps, parse_size, parse_switch,
};
use crate::frame::Size;
use crate::source::Uri;

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight demo /run/user/1000/vm.sock &             something to look at, until a signal
  fanlight view scanout:/run/user/1000/vm.sock
  fanlight demo /tmp/vm.sock --mode punch --stats    RAM that loses pages while it is shown
  fanlight view 'demo:?mode=resize&size=800x600'     the same inside the viewer, no socket

Modes:
  flip      draws into a buffer that isn't shown
  inplace   draws into the one that is shown
  resize    sets another size once a second
  format    sets another pixel format
  cursor    moves and changes its mouse cursor
  punch     loses pages while it draws, untold
  told      loses those that are shown, and says so
  balloon   loses all of RAM bit by bit, untold
  truncate  shrinks the memfds that are shown
  reboot    goes dark, drops its RAM, comes back in another size

Each tile of each frame says which frame it is and of which buffer: a test can read it
(the library's demo::oracle).")]
pub(super) struct DemoArgs {
    /// Where to serve guest-scanout-v1: the path of a new socket
    #[arg(value_name = "SOCKET")]
    socket: PathBuf,
    /// What the guest does
    #[arg(long, default_value_t = Settings::default().mode)]
    mode: Mode,
    /// Its picture, in pixels
    #[arg(long, value_name = "WxH", default_value = "1280x720", value_parser = parse_size)]
    size: Size,
    /// Frames a second
    #[arg(long, value_name = "N", default_value = "60", value_parser = parse_fps)]
    fps: u32,
    /// Buffers of a guest that flips: 2 or 3
    #[arg(long, value_name = "N", default_value = "2", value_parser = parse_buffers)]
    buffers: u32,
    /// Whether pages are proven fresh before each update; off shows what happens without
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = parse_switch)]
    freshness: bool,
    /// Print what happened, once a second and at the end: as text, or as lines of JSON
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    stats: Option<StatsFormat>,
}

pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let DemoArgs { mode, size, fps, buffers, freshness, .. } = *args;
    let settings = Settings { mode, size, fps, buffers, freshness };
    let demo =
        Demo::serve(&settings, &args.socket).map_err(|error| Failure::failed("no demo", error))?;
    let uri = Uri::Scanout { path: absolute(&args.socket), console: None };
    let Size { width, height } = size;
    print(format_args!("a demo guest ({mode}, {width}x{height}, {fps} fps): fanlight view {uri}"))?;
    if !demo.shows_dma_bufs() {
        print(Demo::NO_DMA_BUFS)?;
    }
    let start = Instant::now();
    let mut due = start + PERIOD;
    loop {
        let left = args.stats.map(|_| due.saturating_duration_since(Instant::now()));
        match wait(&signals, &demo, left)? {
            Woken::Signal => break,
            Woken::Ended => break,
            Woken::Due => {
                due += PERIOD;
                report(args.stats, &demo.handle().progress(), start, false)?;
            }
        }
    }
    let progress = demo.handle().progress();
    demo.finish().map_err(|error| Failure::failed("the demo has failed", error))?;
    report(args.stats, &progress, start, true)
}

enum Woken {
    Signal,
    /// By itself.
    Ended,
    Due,
}

fn wait(signals: &Signals, demo: &Demo, left: Option<Duration>) -> Result<Woken, Failure> {
    let left = left.map(|left| Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: left.subsec_nanos().into(),
    });
    let fds = [signals.fd(), demo.as_fd()];
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(&mut fds, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(std::io::Error::from(error).into()),
    }
    Ok(match fds.map(|fd| !fd.revents().is_empty()) {
        [true, _] => Woken::Signal,
        [_, true] => Woken::Ended,
        _ => Woken::Due,
    })
}

/// The socket's path from the root, as a URI wants it.
fn absolute(socket: &Path) -> PathBuf {
    socket.canonicalize().unwrap_or_else(|_| socket.to_owned())
}

fn report(
    format: Option<StatsFormat>,
    progress: &Progress,
    start: Instant,
    last: bool,
) -> Result<(), Failure> {
    let Progress { frame, acked, acks, late, refused, replaced, events, viewers, fps, .. } =
        progress;
    match format {
        None => Ok(()),
        Some(StatsFormat::Json) => print(json!({
            "elapsed_s": (start.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            "frame": frame,
            "fps": (f64::from(*fps) * 1e2).round() / 1e2,
            "acked_frame": acked,
            "acks": acks,
            "late_acks": late,
            "refused_updates": refused,
            "replacements": replaced,
            "events": events,
            "buffers": progress.buffers.len(),
            "viewers": viewers,
            "final": last,
        })),
        Some(StatsFormat::Text) => {
            let mut line = format!("frame {frame} ({fps:.1} fps), {viewers} viewers; ");
            // Writing to a String can't fail.
            let _ = write!(
                line,
                "{acks} acks, {late} late, {refused} refused; {events} events, {replaced} replaced"
            );
            print(line)
        }
    }
}
