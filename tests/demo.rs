//! The demo guest, seen by a session without a window: every frame is whole and newer than the one
//! before, whatever the guest does to its RAM, and nothing stays behind.
//!
//! Needs nothing of the machine. Where `/dev/udmabuf` can be used its pictures are dma-bufs of scattered
//! pages, else memfds; what a compositor shows of them is tested in the rig (`tests/e2e/demo.rs`).
#![cfg(feature = "demo")]

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use fanlight::capture::{Capture, CaptureOptions, Frame};
use fanlight::demo::oracle::{self, Mixed, Seen};
use fanlight::demo::{Demo, Handle, Mode, Progress, Settings};
use fanlight::frame::Size;
use fanlight::session::{Config, Options, Present, Session};
use fanlight::sink::memory::MemorySink;
use fanlight::source::{self, Uri};

/// Longer than anything here takes; past it the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// With a tile and a row that the edges cut.
const SIZE: Size = Size { width: 336, height: 244 };

/// Tests that run beside each other, and one that counts what the process has, alone.
static PROCESS: RwLock<()> = RwLock::new(());

fn seen(frame: &Frame) -> Result<Seen, Mixed> {
    let width = frame.size.width;
    oracle::read(frame.size, |x, y| frame.pixels[4 * (y * width + x) as usize])
}

fn settings(mode: Mode) -> Settings {
    Settings { mode, size: SIZE, fps: 60, ..Settings::default() }
}

/// A session that watches a demo.
struct Watch {
    demo: Demo,
    session: Session<MemorySink>,
    handle: Handle,
}

impl Watch {
    fn new(settings: &Settings) -> Self {
        let demo = Demo::start(settings).unwrap();
        let uri = Uri::Scanout { path: "/demo".into(), console: None };
        let options = source::Options { time_limit: PATIENCE, ..source::Options::default() };
        let opened = source::open_stream(demo.connect().unwrap(), &uri, &options).unwrap();
        // No deadline comes because the machine is slow.
        let config = Config { ack_deadline: PATIENCE, ..Config::VIEWER };
        let options = Options { present: Present::Auto, config };
        let session = Session::new(opened.source, MemorySink::default(), options);
        Self { handle: demo.handle(), demo, session }
    }

    /// Looks at every frame until the guest did enough, and then at one more.
    fn until(&mut self, enough: impl Fn(&Progress) -> bool) -> Vec<(Seen, Size)> {
        let end = Instant::now() + PATIENCE;
        let mut all: Vec<(Seen, Size)> = Vec::new();
        let mut last = None;
        loop {
            self.session.turn(Some(PATIENCE), Some(self.demo.as_fd())).unwrap();
            assert_eq!(self.session.lost(), None);
            while let Some(frame) = self.session.sink().take_frame() {
                let now = seen(&frame).unwrap_or_else(|mixed| panic!("{mixed}"));
                let progress = self.handle.progress();
                assert!(progress.announced(now.buffer, frame.size), "{now:?} {:?}", frame.size);
                assert!(now.frame <= progress.frame, "{now:?} is not drawn yet");
                if let Some((before, _)) = all.last() {
                    assert!(before.frame <= now.frame, "{now:?} after {before:?}");
                }
                all.push((now, frame.size));
                if last.is_some_and(|last| now.frame > last) {
                    return all;
                }
                if last.is_none() && enough(&progress) {
                    last = Some(progress.frame);
                }
            }
            assert!(Instant::now() < end, "in vain: {:?}", self.handle.progress());
        }
    }
}

/// A mode that does something three times; what was seen.
fn three_times(mode: Mode) -> (Vec<(Seen, Size)>, Progress) {
    let _beside = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    let mut watch = Watch::new(&settings(mode));
    let all = watch.until(|progress| progress.events >= 3);
    let progress = watch.handle.progress();
    assert!(progress.acks > 0, "{progress:?}");
    (all, progress)
}

fn buffers(all: &[(Seen, Size)]) -> HashSet<u32> {
    all.iter().map(|(seen, _)| seen.buffer).collect()
}

#[test]
fn flips_are_whole_and_ascend() {
    let _beside = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    for count in [2, 3] {
        let mut watch = Watch::new(&Settings { buffers: count, ..settings(Mode::Flip) });
        let all = watch.until(|progress| progress.acks >= 40);
        assert_eq!(buffers(&all).len(), count as usize);
        assert_eq!(watch.handle.progress().buffers.len(), count as usize);
        assert!(watch.session.stats().counts.flips >= 30, "{:?}", watch.session.stats());
    }
}

#[test]
fn drawing_in_place_is_whole_and_ascends() {
    let _beside = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    let mut watch = Watch::new(&settings(Mode::InPlace));
    let all = watch.until(|progress| progress.acks >= 40);
    assert_eq!(buffers(&all).len(), 1);
    assert!(watch.session.stats().counts.in_place >= 30);
}

#[test]
fn a_resized_screen_is_followed() {
    let (all, _) = three_times(Mode::Resize);
    let sizes: HashSet<_> = all.iter().map(|(_, size)| *size).collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
}

#[test]
fn every_pixel_format_is_read() {
    let (all, progress) = three_times(Mode::Format);
    let shown = buffers(&all);
    let formats: HashSet<_> = progress
        .buffers
        .iter()
        .filter(|known| shown.contains(&known.buffer))
        .map(|known| known.format)
        .collect();
    assert_eq!(formats.len(), 4, "{formats:?}");
}

#[test]
fn a_cursor_that_moves_disturbs_no_picture() {
    three_times(Mode::Cursor);
}

#[test]
fn pages_that_go_untold_are_never_missed() {
    let (_, progress) = three_times(Mode::Punch);
    assert_eq!(progress.buffers.len(), 2, "the guest has its buffers still");
}

#[test]
fn pages_that_go_as_told_are_never_missed() {
    three_times(Mode::Told);
}

#[test]
fn a_balloon_is_never_seen() {
    three_times(Mode::Balloon);
}

#[test]
fn memory_that_shrinks_while_it_is_shown_is_never_seen() {
    let (all, _) = three_times(Mode::Truncate);
    assert!(buffers(&all).len() >= 6, "{:?}", buffers(&all));
}

#[test]
fn a_guest_that_reboots_comes_back_in_another_size() {
    let (all, _) = three_times(Mode::Reboot);
    let sizes: HashSet<_> = all.iter().map(|(_, size)| *size).collect();
    assert!(sizes.len() >= 3, "{sizes:?}");
}

/// It waits a second, as QEMU does, and draws nothing meanwhile; then it counts, and goes on.
#[test]
fn a_viewer_that_never_acks_is_waited_for_and_counted() {
    let _beside = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    // Watches, and handles nothing after that.
    let watch = Watch::new(&settings(Mode::Flip));
    let watched = watch.handle.wait(PATIENCE, |progress| progress.viewers == 1).unwrap();
    let late = watch.handle.wait(PATIENCE, |progress| progress.late == 2).unwrap();
    assert!(late.frame <= watched.frame + 3, "{} to {}", watched.frame, late.frame);
    watch.demo.finish().unwrap();
}

/// Without: the demo ends over one viewer more than it takes.
#[test]
fn one_viewer_too_many_is_turned_away_and_the_others_stay() {
    let _beside = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    let mut watch = Watch::new(&settings(Mode::Flip));
    let mut viewers: Vec<_> = (0..20).map(|_| watch.demo.connect().unwrap()).collect();
    // They have said nothing, so that all that they can read is their end.
    let ended = viewers.pop().unwrap().read(&mut [0; 8]).unwrap();
    assert_eq!(ended, 0);
    let acks = watch.handle.progress().acks;
    watch.until(|progress| progress.acks > acks);
}

#[test]
fn a_uri_opens_one_inside_the_process() {
    let _beside = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    let uri: Uri = "demo:?mode=punch&size=128x64&fps=30".parse().unwrap();
    let mut capture = Capture::open(&uri, &CaptureOptions::default()).unwrap();
    assert_eq!(capture.console().uri, uri);
    assert_eq!(capture.console().vm, "demo");
    let mut last = 0;
    for _ in 0..10 {
        let frame = capture.next_frame(PATIENCE, None).unwrap();
        let now = seen(&frame).unwrap();
        assert!(now.frame >= last);
        last = now.frame;
    }
}

/// Fds of this process, and its threads that are a demo's.
fn held() -> (usize, usize) {
    let count = |folder: &str| fs::read_dir(folder).unwrap().flatten();
    let demos = count("/proc/self/task")
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|n| n == "demo\n"));
    (count("/proc/self/fd").count(), demos.count())
}

#[test]
fn nothing_stays_behind() {
    let _alone = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    let before = held();
    for mode in Mode::ALL {
        let mut watch = Watch::new(&settings(mode));
        let during = watch.until(|progress| progress.acks >= 3);
        assert!(!during.is_empty() && held().1 == 1);
        if mode == Mode::Flip {
            watch.demo.finish().unwrap();
        }
    }
    assert_eq!(held(), before);
    let uri: Uri = "demo:?size=64x64".parse().unwrap();
    let capture = Capture::open(&uri, &CaptureOptions::default()).unwrap();
    assert_eq!(held().1, 1);
    drop(capture);
    assert_eq!(held(), before);
}
