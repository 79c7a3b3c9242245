//! Compositors that refuse, end, stop reading, or become others in the middle.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use fanlight::session::{Config, Mode, Present, Why};
use fanlight::sink::wayland::{Timeline, Timelines};
use fanlight::sys::export_sync_file;

use crate::compositor::Script;
use crate::compositor::dmabuf::{Answer, indices};
use crate::compositor::sync::{Points, stand_ins};
use crate::spies::Seen;
use crate::stage::{CALM, Memory, Setup, Size, Stage, colours};

const SIZE: Size = (64, 48);

fn open(script: Script) -> Stage {
    Stage::open(Setup { present: Present::Direct, script, ..Setup::default() })
}

/// The user sees the frames as copies, and never none; the guest gets its acks.
#[test]
fn f05_37_a_failed_import_is_copied() {
    let mut stage = open(Script { answer: Answer::Failed, ..Script::default() });
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let mut before = None;
    for i in 0..6 {
        memories[i % 2].paint(i as u8);
        let update = stage.flip(&memories[i % 2].file, SIZE);
        stage.acked(update);
        let shown = stage.frame(i + 1);
        assert_eq!(stage.dmabuf(shown), None);
        assert_eq!(stage.pixels(shown), colours(&memories[i % 2].rows()));
        if let Some(before) = before.replace(shown) {
            stage.release(before);
        }
    }
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::Refused)));
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
    assert!(!stage.was_blank());
}

/// The user sees the window go, and reads why; the guest gets what was owed, and every ack from then on.
#[test]
fn f05_37_a_compositor_that_ends_us_over_an_import_leaves_the_guest_running() {
    let mut stage = open(Script { answer: Answer::Fatal, ..Script::default() });
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let update = stage.flip(&memories[0].file, SIZE);
    stage.until("the end", |stage| stage.session.closed().map(drop));
    let reason = stage.session.closed().flatten().expect("nobody closed it").to_owned();
    let sentence = "the compositor ended the connection with error 6 on zwp_linux_buffer_params_v1: \
                    that can't be imported";
    assert_eq!(reason, sentence);
    stage.acked(update);
    for i in 1..10 {
        let update = stage.flip(&memories[i % 2].file, SIZE);
        assert!(stage.is_acked(update), "nobody reads it any more");
    }
}

/// The user sees the picture all the while, from the guest's own memory as soon as the new device takes
/// it; the guest gets its acks. Without it what the first device refused would be copied for ever.
#[test]
fn f05_39_another_main_device_is_asked_again() {
    for dmabuf in [4, 6] {
        let mut stage =
            open(Script { answer: Answer::Failed, dmabuf, device: 1, ..Script::default() });
        let memories = [0, 1].map(|_| Memory::new(SIZE));
        let update = stage.flip(&memories[0].file, SIZE);
        let copy = stage.frame(1);
        stage.acked(update);
        assert_eq!(stage.dmabuf(copy), None);
        stage.compositor.with(|server| {
            server.script.device = 2;
            server.script.answer = Answer::Created;
            for feedback in &server.dmabuf.feedback {
                server.feedback(feedback, None, &indices(&[0]));
            }
        });
        stage.settle();
        for (count, memory) in [(2, &memories[0]), (3, &memories[1])] {
            let update = stage.flip(&memory.file, SIZE);
            let shown = stage.frame(count);
            assert_eq!(stage.dmabuf(shown), Some(memory.inode()), "frame {count}");
            if count == 3 {
                let before = stage.frame(2);
                stage.release(before);
            }
            stage.acked(update);
        }
        assert!(!stage.was_blank());
    }
}

/// Timelines as of a kernel that has no sync_files.
#[derive(Debug)]
struct NoSyncFiles(Box<dyn Timelines>);

#[derive(Debug)]
struct NoSyncFile(Box<dyn Timeline>);

impl Timelines for NoSyncFiles {
    fn timeline(&self) -> io::Result<Box<dyn Timeline>> {
        Ok(Box::new(NoSyncFile(self.0.timeline()?)))
    }
}

impl Timeline for NoSyncFile {
    fn export(&self) -> io::Result<OwnedFd> {
        self.0.export()
    }

    fn signal(&self, point: u64) -> io::Result<()> {
        self.0.signal(point)
    }

    /// As the kernel's timelines do it: with a memfd the kernel says ENOTTY, as a kernel without
    /// sync_files does with a dma-buf.
    fn signal_after_writers(&self, _: u64, dmabuf: BorrowedFd<'_>) -> io::Result<()> {
        let error = export_sync_file(dmabuf).expect_err("a memfd has no fences");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOTTY.raw_os_error()));
        Err(error)
    }

    fn signalled(&self) -> io::Result<u64> {
        self.0.signalled()
    }

    fn notify(&self, point: u64, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.notify(point, eventfd)
    }
}

/// The user sees every frame, from the guest's own memory; the guest gets each ack with the old
/// `wl_buffer.release`, because explicit sync is left where fences can't be passed on.
#[test]
fn f05_42_without_sync_files_releases_are_told_in_the_old_way() {
    let script = Script { syncobj: true, ..Script::default() };
    let timelines = |device| Ok(Box::new(NoSyncFiles(stand_ins(device)?)) as Box<dyn Timelines>);
    let present = Present::Direct;
    let mut stage = Stage::open(Setup { present, script, timelines, ..Setup::default() });
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let mut before = None;
    for i in 0..6 {
        let update = stage.flip(&memories[i % 2].file, SIZE);
        let commit = stage.commit(i + 1);
        assert_eq!(commit.points, Points::default());
        let shown = stage.frame(i + 1);
        assert_eq!(stage.dmabuf(shown), Some(memories[i % 2].inode()));
        if let Some(before) = before.replace(shown) {
            assert!(!stage.is_acked(update));
            stage.release(before);
        }
        stage.acked(update);
    }
    let counts = stage.session.stats().counts;
    assert_eq!((counts.bytes_copied, counts.forced_acks), (0, 0));
    let timelines = stage.compositor.with(|server| server.sync.timelines.len());
    assert_eq!(timelines, 2, "it is tried once");
}

/// The user sees a window that stands still, and then the newest; the guest gets each ack at its
/// deadline. Without it a compositor that stops reading would stop the guest too.
#[test]
fn a_compositor_that_stops_reading_holds_nobody_up() {
    let ack_deadline = std::time::Duration::from_millis(20);
    let config = Config { ack_deadline, ..CALM };
    let present = Present::Direct;
    let mut stage = Stage::open(Setup { present, config, narrow: true, ..Setup::default() });
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let update = stage.flip(&memories[0].file, SIZE);
    stage.acked(update);
    stage.until("the commit", |stage| (stage.shown() > 0).then_some(()));

    stage.compositor.listen(false);
    let before = stage.shown();
    for i in 1..30 {
        memories[i % 2].paint(i as u8);
        let update = stage.flip(&memories[i % 2].file, SIZE);
        stage.acked(update);
    }
    assert_eq!(stage.shown(), before);
    stage.compositor.listen(true);
    let shown = |seen: &Seen| matches!(seen, Seen::Show(_) | Seen::ShowCopy(_));
    stage.until("the rest", |stage| (stage.shown() == stage.log.count(shown)).then_some(()));
    assert!(stage.shown() > before, "something was on its way");
    assert_eq!(stage.session.closed(), None);
    assert!(!stage.was_blank());
}
