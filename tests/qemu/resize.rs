//! What size the guest is asked for.

use fanlight::frame::{Size, SizeHint};

use super::*;

const UNSUPPORTED: &str = "org.qemu.Display1.Error.Unsupported";

fn hint(width: u32, height: u32) -> SizeHint {
    SizeHint { size: Size { width, height }, mm: None }
}

/// Returns when the connection's thread has handled what it was given before.
fn settle(source: &mut Box<dyn Source>, qemu: &mut FakeQemu) {
    qemu.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
    assert!(source.poll().is_none());
}

#[test]
fn it_is_told_in_pixels_and_millimetres() {
    let vm = FakeVm { consoles: &["Text", "Graphic"], ..VM };
    let (mut source, qemu) = connect(vm, &options());
    let mm = Some(Size { width: 508, height: 70_000 });
    source.resize(&SizeHint { mm, ..hint(1920, 1080) });
    let wanted = qemu.wanted();
    assert_eq!((wanted.console, wanted.info), (1, (508, u16::MAX, 0, 0, 1920, 1080)));
    wanted.answer(None);
    source.resize(&hint(0, u32::MAX));
    assert_eq!(qemu.wanted().info, (0, 0, 0, 0, 1, 16384));
}

/// Each may cost the guest a change of mode, and QEMU answers when it has begun.
#[test]
fn one_is_told_at_a_time_and_the_latest_wins() {
    let (mut source, mut qemu) = new();
    source.resize(&hint(100, 100));
    let first = qemu.wanted();
    for width in 101..=150 {
        source.resize(&hint(width, 100));
    }
    settle(&mut source, &mut qemu);
    assert!(!qemu.is_wanted(), "the one before has no answer yet");
    first.answer(None);
    let second = qemu.wanted();
    assert_eq!(second.info.4, 150, "what was wanted meanwhile is wanted no more");
    second.answer(None);
    settle(&mut source, &mut qemu);
    assert!(!qemu.is_wanted());
}

#[test]
fn frames_come_while_an_answer_does_not() {
    let (mut source, mut qemu) = new();
    source.resize(&hint(100, 100));
    let _unanswered = qemu.wanted();
    announce(&mut qemu, &memory(4096), 8, 8).unwrap();
    scanout(&mut source);
    let serial = send_update(&qemu, (0, 0, 8, 8));
    let (_, _, ack) = update(&mut source);
    drop(ack);
    qemu.reply(serial).unwrap();
}

#[test]
fn a_device_that_takes_no_size_is_asked_once_and_other_errors_pass() {
    let (mut source, mut qemu) = new();
    source.resize(&hint(100, 100));
    qemu.wanted().answer(Some("org.qemu.Display1.Error.Failed"));
    source.resize(&hint(101, 100));
    qemu.wanted().answer(Some(UNSUPPORTED));
    settle(&mut source, &mut qemu);
    source.resize(&hint(102, 100));
    announce(&mut qemu, &memory(4096), 8, 8).unwrap();
    scanout(&mut source);
    assert!(!qemu.is_wanted(), "it has said that it can't");
}
