//! Frames of a guest taken into memory.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use fanlight::capture::{Capture, CaptureError, CaptureOptions, Frame};
use fanlight::frame::Size;
use fanlight::source::{Bus, Uri};
use zbus::Fd;

use crate::compositor::PATIENCE;
use crate::fake_qemu::{self, DMABUF2, FakeQemu, LISTENER, VM};
use crate::stage::{Memory, V2, colours, v2};

pub const SIZE: (u32, u32) = (64, 48);
pub const WHOLE: (i32, i32, i32, i32) = (0, 0, 64, 48);
/// What `fanlight dump` waits for an update that would make the first screen newer.
const GRACE: Duration = Duration::from_millis(200);

/// A capture of a fake QEMU on a message bus in that folder.
pub fn capture(folder: &Path) -> (Capture, FakeQemu) {
    capture_with(folder, CaptureOptions::default())
}

pub fn capture_with(folder: &Path, options: CaptureOptions) -> (Capture, FakeQemu) {
    let path = folder.join("bus");
    let listeners = fake_qemu::bus(&path, vec![VM]);
    let uri = Uri::Qemu { bus: Bus::Unix(path), vm: None, console: None };
    // No deadline comes because the machine is slow.
    let options = CaptureOptions { ack_deadline: PATIENCE, ..options };
    let capture = Capture::open(&uri, &options).unwrap();
    (capture, listeners.next())
}

pub fn announce(qemu: &mut FakeQemu, body: &V2<'_>) {
    qemu.call(DMABUF2, "ScanoutDMABUF2", body).unwrap();
}

pub fn pixels(frame: &Frame) -> Vec<Vec<[u8; 3]>> {
    let row = 4 * frame.size.width as usize;
    colours(&frame.pixels.chunks(row).map(<[u8]>::to_vec).collect::<Vec<_>>())
}

pub fn next(capture: &mut Capture) -> Frame {
    capture.next_frame(PATIENCE, None).unwrap()
}

/// Without it a guest whose screen doesn't change could never be dumped, or its first frame be taken
/// just before the picture that was meant.
#[test]
fn the_first_frame_is_the_screen_as_it_is_after_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu) = capture(folder.path());
    let memory = Memory::new(SIZE);
    memory.paint(3);
    announce(&mut qemu, &v2(&memory.file, SIZE));
    let start = Instant::now();
    let frame = next(&mut capture);
    let took = start.elapsed();
    assert!(took >= GRACE && took < PATIENCE, "{took:?}");
    assert_eq!(frame.size, Size { width: 64, height: 48 });
    assert_eq!(pixels(&frame), colours(&memory.rows()));
    assert_eq!(capture.stats().update_to_ack.count(), 0, "nobody waits for an ack");

    let error = capture.next_frame(Duration::from_millis(1), None).unwrap_err();
    assert!(matches!(error, CaptureError::TimedOut { seen: true, .. }), "{error}");
}

/// Without it a frame that is there already could be handed out only when the caller's patience ends.
#[test]
fn a_frame_that_is_there_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu) = capture(folder.path());
    let memory = Memory::new(SIZE);
    announce(&mut qemu, &v2(&memory.file, SIZE));
    let update = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
    assert!(!qemu.is_replied(update), "the source has it, the session doesn't know yet");
    let start = Instant::now();
    next(&mut capture);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    qemu.reply(update).unwrap();
    assert_eq!(capture.stats().counts.frames, 1, "the scanout itself is no frame more");
}

/// Without it `-n 10` could leave frames out or take them twice, of a guest that draws in place and of
/// one that flips.
#[test]
fn each_update_is_one_frame_while_the_guest_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu) = capture(folder.path());
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    announce(&mut qemu, &v2(&memories[0].file, SIZE));
    next(&mut capture);
    for i in 1..=6_u8 {
        memories[0].paint_part(i, (u32::from(i), 3, 9, 5));
        let update = qemu.send(LISTENER, "UpdateDMABUF", &(i32::from(i), 3_i32, 9_i32, 5_i32));
        let frame = next(&mut capture);
        assert_eq!(pixels(&frame), colours(&memories[0].rows()), "update {i}");
        qemu.reply(update).unwrap();
    }
    for i in 7..=12_u8 {
        let memory = &memories[usize::from(i % 2)];
        memory.paint(i);
        qemu.send(DMABUF2, "ScanoutDMABUF2", &v2(&memory.file, SIZE));
        qemu.send(LISTENER, "Disable", &());
        let update = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
        let frame = next(&mut capture);
        assert_eq!(pixels(&frame), colours(&memory.rows()), "flip {i}");
        qemu.reply(update).unwrap();
    }
    // A guest that doesn't wait for its acks loses no frame either.
    let updates = [0; 3].map(|_| qemu.send(LISTENER, "UpdateDMABUF", &WHOLE));
    for update in updates {
        next(&mut capture);
        qemu.reply(update).unwrap();
    }
    let counts = capture.stats().counts;
    assert_eq!((counts.frames, counts.forced_acks, counts.dropped_frames), (16, 0, 0));
}

/// Without it pictures could come upside down, or with what is beside the screen.
#[test]
fn a_crop_and_a_flip_are_honoured_to_the_pixel() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu) = capture(folder.path());
    let memory = Memory::new(SIZE);
    memory.paint(5);
    let rows = colours(&memory.rows());
    let part: Vec<_> = rows[4..24].iter().map(|row| row[10..40].to_vec()).collect();
    let mut turned = part.clone();
    turned.reverse();
    for (flipped, wanted) in [(false, part), (true, turned)] {
        let fds = vec![Fd::from(memory.file.as_fd())];
        let (offsets, strides) = (vec![0], vec![64 * 4]);
        let body = (fds, 10, 4, 30, 20, offsets, strides, 1, crate::XR24, 64, 48, 0, flipped);
        announce(&mut qemu, &body);
        let update = qemu.send(LISTENER, "UpdateDMABUF", &(0, 0, 1, 1));
        let frame = next(&mut capture);
        assert_eq!(frame.size, Size { width: 30, height: 20 });
        assert_eq!(pixels(&frame), wanted, "flipped: {flipped}");
        qemu.reply(update).unwrap();
    }
}

/// The same memory under a new name, nothing else changed. The user sees what the guest drew since,
/// all of it; the guest gets its ack once that is copied. Without it a console that a guest comes
/// back to could show what it held when it was last seen.
#[test]
fn f05_07_memory_announced_again_is_read_anew_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu) = capture(folder.path());
    let [console, game] = [0, 1].map(|_| Memory::new(SIZE));
    for (i, memory) in [&console, &game, &console, &game].into_iter().enumerate() {
        memory.paint(20 + i as u8);
        announce(&mut qemu, &v2(&memory.file, SIZE));
        // QEMU may say only what changed last.
        let update = qemu.send(LISTENER, "UpdateDMABUF", &(5, 5, 1, 1));
        let frame = next(&mut capture);
        assert_eq!(pixels(&frame), colours(&memory.rows()), "{i}");
        qemu.reply(update).unwrap();
    }
    assert_eq!(capture.stats().counts.cache_hits, 2);
}

/// Without it a dump would wait for a virtual machine that is gone.
#[test]
fn a_qemu_that_dies_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu) = capture(folder.path());
    let memory = Memory::new(SIZE);
    announce(&mut qemu, &v2(&memory.file, SIZE));
    next(&mut capture);
    qemu.kill();
    let start = Instant::now();
    let error = capture.next_frame(PATIENCE, None).unwrap_err();
    assert!(matches!(error, CaptureError::Lost(_)), "{error}");
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}
