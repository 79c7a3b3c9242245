//! What is waited for on a guest's screen, and guests that wait for whoever takes their frames.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fanlight::capture::{
    Capture, CaptureError, CaptureOptions, Condition, Likeness, Picture, WhenFull,
};
use fanlight::frame::{Input, Size};
use fanlight::source::{Bus, Uri};

use crate::compositor::PATIENCE;
use crate::dumps::{SIZE, WHOLE, announce, capture, capture_with, next, pixels};
use crate::fake_qemu::{self, FakeQemu, LISTENER, VM};
use crate::stage::{Memory, colours, v2};

/// As a text's cursor is.
const CURSOR: (u32, u32, u32, u32) = (8, 16, 8, 16);
const CURSOR_AT: (i32, i32, i32, i32) = (8, 16, 8, 16);

fn update(qemu: &mut FakeQemu, damage: (i32, i32, i32, i32)) {
    qemu.call(LISTENER, "UpdateDMABUF", &damage).unwrap();
}

/// A capture that has taken the first frame, which shows this.
fn begun(folder: &Path, picture: u8) -> (Capture, FakeQemu, Memory) {
    let (mut capture, mut qemu) = capture(folder);
    let memory = Memory::new(SIZE);
    memory.paint(picture);
    announce(&mut qemu, &v2(&memory.file, SIZE));
    next(&mut capture);
    (capture, qemu, memory)
}

/// Without it a test would wait for ever for an installer whose cursor blinks.
#[test]
fn a_screen_is_still_though_its_cursor_blinks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu, memory) = begun(folder.path(), 1);
    let lasts = Duration::from_millis(300);
    let (still, blinked) = thread::scope(|scope| {
        let blinking = scope.spawn(|| {
            memory.paint(2);
            update(&mut qemu, WHOLE);
            for picture in [3, 2, 3] {
                memory.paint_part(picture, CURSOR);
                update(&mut qemu, CURSOR_AT);
            }
            Instant::now()
        });
        let still = capture.wait_stable(lasts, PATIENCE).unwrap();
        (still, blinking.join().unwrap())
    });
    assert_eq!(pixels(&still), colours(&memory.rows()), "the newest of them");
    assert!(blinked.elapsed() < PATIENCE / 2, "{:?}", blinked.elapsed());
}

/// Without it a guest that never rests could be waited for without end.
#[test]
fn a_guest_that_never_rests_is_waited_for_no_longer_than_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu, memory) = begun(folder.path(), 1);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let drawing = scope.spawn(|| {
            for picture in (1..=250).cycle().take_while(|_| !over.load(Ordering::SeqCst)) {
                memory.paint(picture);
                update(&mut qemu, WHOLE);
            }
        });
        let start = Instant::now();
        let timeout = Duration::from_millis(300);
        let error = capture.wait_stable(Duration::from_secs(60), timeout).unwrap_err();
        over.store(true, Ordering::SeqCst);
        assert!(start.elapsed() >= timeout && start.elapsed() < PATIENCE / 2);
        assert_eq!(error.to_string(), "the screen was not still for 60 s within 0.3 s");
        // It waits for its last ack.
        while !drawing.is_finished() {
            let _ = capture.next_frame(Duration::from_millis(10), None);
        }
    });
}

/// Without it what a program draws over again would count as its answer.
#[test]
fn a_change_is_another_picture_and_not_another_update() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu, memory) = begun(folder.path(), 7);
    let changed = thread::scope(|scope| {
        scope.spawn(|| {
            update(&mut qemu, WHOLE);
            update(&mut qemu, WHOLE);
            memory.paint(8);
            update(&mut qemu, WHOLE);
        });
        capture.wait(&Condition::change(), PATIENCE, None).unwrap()
    });
    assert_eq!(pixels(&changed), colours(&memory.rows()));
    assert_eq!(changed.number, 4, "the fourth frame is the first that looks different");
}

/// Without it a test could not tell when a login prompt is there, or why it isn't.
#[test]
fn a_picture_is_waited_for_and_what_is_there_instead_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu) = capture(folder.path());
    let memory = Memory::new(SIZE);
    memory.paint(7);
    let size = Size { width: SIZE.0, height: SIZE.1 };
    let wanted = Picture { size, pixels: memory.rows().concat() };
    memory.paint(9);
    announce(&mut qemu, &v2(&memory.file, SIZE));
    let like = Condition::like(wanted.clone(), Likeness::default(), "login.png");
    let error = capture.wait(&like, Duration::from_millis(400), None).unwrap_err();
    assert!(matches!(error, CaptureError::Unmet { .. }), "{error}");
    let said = error.to_string();
    let words = "the screen did not look like login.png within 0.4 s: 3072 pixels differ";
    assert!(said.starts_with(words), "{said}");
    assert!(capture.matches(&wanted, &Likeness::default(), PATIENCE).is_err());
    thread::scope(|scope| {
        scope.spawn(|| {
            memory.paint(8);
            update(&mut qemu, WHOLE);
            memory.paint(7);
            update(&mut qemu, WHOLE);
        });
        capture.wait(&like, PATIENCE, None).unwrap();
    });
    capture.assert_matches(&wanted, &Likeness::default());
    // It is there: nothing more has to happen.
    capture.wait(&like, Duration::ZERO, None).unwrap();
}

/// Without it who waits would be told that nothing changed, or take an old picture for a still screen.
#[test]
fn what_nobody_can_read_is_said_until_it_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu, memory) = begun(folder.path(), 1);
    let whole = v2(&memory.file, SIZE);
    let tiled = |modifier: u64| {
        let (fds, x, y, w, h, offsets, strides, planes, fourcc, bw, bh, _, top) =
            v2(&memory.file, SIZE);
        (fds, x, y, w, h, offsets, strides, planes, fourcc, bw, bh, modifier, top)
    };
    announce(&mut qemu, &tiled(0x0100_0000_0000_0002));
    let unread = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
    let short = Duration::from_millis(300);
    let asked: [&dyn Fn(&mut Capture) -> CaptureError; 3] = [
        &|capture| capture.next_frame(short, None).unwrap_err(),
        &|capture| capture.wait_stable(Duration::from_millis(1), short).unwrap_err(),
        &|capture| capture.wait(&Condition::change(), short, None).unwrap_err(),
    ];
    for ask in asked {
        let error = ask(&mut capture);
        let CaptureError::Unreadable(why) = &error else { panic!("{error}") };
        let cpu =
            "the CPU can't read memory laid out as modifier 0x0100000000000002, only a GPU can";
        let gpu = ["and no GPU makes the copies: ", "and the GPU can't read the guest's memory: "];
        assert!(why.starts_with(cpu) && gpu.iter().any(|gpu| why.contains(gpu)), "{why}");
    }
    assert!(capture.unreadable().is_some());
    announce(&mut qemu, &whole);
    memory.paint(9);
    let update = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
    let frame = next(&mut capture);
    assert_eq!((pixels(&frame), capture.unreadable()), (colours(&memory.rows()), None));
    for update in [unread, update] {
        qemu.reply(update).unwrap();
    }
}

/// Without it frames that can't be written as fast as they come would be lost, or fill the memory; the guest waits, and
/// what it drew is read before it could go on by itself.
#[test]
fn a_guest_waits_until_there_is_room_and_its_frame_is_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut capture, mut qemu, memory) = begun(folder.path(), 1);
    let (wake, mut waker) = UnixStream::pair().unwrap();
    let third = thread::scope(|scope| {
        let drawing = scope.spawn(|| {
            for picture in [2, 3] {
                memory.paint(picture);
                update(&mut qemu, WHOLE);
            }
            memory.paint(4);
            let third = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
            waker.write_all(b"w").unwrap();
            third
        });
        capture.serve(wake.as_fd()).unwrap();
        drawing.join().unwrap()
    });
    // What has come by then is read.
    let mut frames = vec![next(&mut capture)];
    assert!(!qemu.is_replied(third), "there was no room for it");
    frames.extend([next(&mut capture), next(&mut capture)]);
    qemu.reply(third).unwrap();
    assert_eq!(pixels(&frames[2]), colours(&memory.rows()));
    let numbers: Vec<_> = frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert!(frames.iter().all(|frame| frame.acked_after.is_some()));
    let counts = capture.stats().counts;
    assert_eq!((counts.forced_acks, counts.dropped_frames, capture.left_out()), (0, 0, 0));
}

/// Without it nobody could record a guest without holding it up.
#[test]
fn frames_that_nobody_takes_are_left_out_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let options = CaptureOptions { when_full: WhenFull::Drop, ..CaptureOptions::default() };
    let (mut capture, mut qemu) = capture_with(folder.path(), options);
    let memory = Memory::new(SIZE);
    announce(&mut qemu, &v2(&memory.file, SIZE));
    next(&mut capture);
    let (wake, mut waker) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for picture in 1..=20 {
                memory.paint(picture);
                update(&mut qemu, WHOLE);
            }
            waker.write_all(b"w").unwrap();
        });
        capture.serve(wake.as_fd()).unwrap();
    });
    let mut frame = next(&mut capture);
    let newest = colours(&memory.rows());
    while pixels(&frame) != newest {
        frame = next(&mut capture);
    }
    assert!(frame.number < 10, "{} frames for 21 updates", frame.number);
    // The first was a screen that was found, none of the twenty.
    assert_eq!(frame.left_out, 20 - (frame.number - 1));
    assert_eq!(capture.left_out(), frame.left_out);
    assert!(capture.stats().counts.dropped_frames > 10);
    assert_eq!(capture.stats().counts.forced_acks, 0, "the guest never waited");
}

/// Without it what a test types would stay down in its guest when it fails.
#[test]
fn what_is_typed_reaches_the_guest_and_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listeners = fake_qemu::bus(&path, vec![VM]);
    let uri = Uri::Qemu { bus: Bus::Unix(path), vm: None, console: None };
    let mut capture = Capture::open(&uri, &CaptureOptions::default()).unwrap();
    let mut qemu = listeners.next();
    let memory = Memory::new(SIZE);
    announce(&mut qemu, &v2(&memory.file, SIZE));
    next(&mut capture);
    let key = |pressed| Input::Key { code: 30, pressed };
    capture.send(&key(true));
    capture.send(&key(true));
    drop(capture);
    for method in ["Keyboard.Press", "Keyboard.Release"] {
        assert_eq!(listeners.did(), (method.to_owned(), 30, 0));
    }
}

/// Without it a test that restarts its machine would have to begin anew, and couldn't tell its frames apart.
#[test]
fn a_machine_that_is_back_is_another_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listeners = fake_qemu::bus(&path, vec![VM]);
    let uri = Uri::Qemu { bus: Bus::Unix(path), vm: None, console: None };
    let mut capture = Capture::open(&uri, &CaptureOptions::default()).unwrap();
    let epoch = |capture: &mut Capture, picture: u8| {
        let mut qemu = listeners.next();
        let memory = Memory::new(SIZE);
        memory.paint(picture);
        announce(&mut qemu, &v2(&memory.file, SIZE));
        let update = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
        let frame = next(capture);
        assert_eq!(pixels(&frame), colours(&memory.rows()));
        qemu.reply(update).unwrap();
        qemu.kill();
        frame.epoch
    };
    assert_eq!(epoch(&mut capture, 1), 1);
    let error = capture.next_frame(PATIENCE, None).unwrap_err();
    assert!(matches!(error, CaptureError::Lost(_)) && capture.is_lost(), "{error}");
    capture.reconnect().unwrap();
    assert_eq!(epoch(&mut capture, 2), 2);
}
