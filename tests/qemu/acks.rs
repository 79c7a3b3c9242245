//! The reply to `UpdateDMABUF` is the guest's vsync: sent when the ack is settled, and not before.

use std::thread;
use std::time::{Duration, Instant};

use fanlight::port::Verdict;

use super::*;

#[test]
fn the_reply_waits_for_the_verdict() {
    let (mut source, mut qemu) = new();
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    scanout(&mut source);
    let serial = send_update(&qemu, (0, 0, 32, 32));
    let (_, _, ack) = update(&mut source);
    assert!(!qemu.is_replied(serial));
    ack.settle(Verdict::Done);
    qemu.reply(serial).unwrap();
}

#[test]
fn verdicts_may_come_in_any_order_and_from_any_thread() {
    let (mut source, mut qemu) = new();
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    scanout(&mut source);
    let serials = [0; 3].map(|_| send_update(&qemu, (0, 0, 32, 32)));
    let [first, second, third] = [0; 3].map(|_| update(&mut source).2);
    third.settle(Verdict::Done);
    qemu.reply(serials[2]).unwrap();
    assert!(!qemu.is_replied(serials[0]));
    thread::spawn(move || first.settle(Verdict::Done)).join().unwrap();
    qemu.reply(serials[0]).unwrap();
    assert!(!qemu.is_replied(serials[1]));
    drop(second);
    qemu.reply(serials[1]).unwrap();
}

#[test]
fn a_refusal_is_an_error_reply() {
    let (mut source, mut qemu) = new();
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    scanout(&mut source);
    let serial = send_update(&qemu, (0, 0, 32, 32));
    update(&mut source).2.settle(Verdict::Refused);
    let (_, text) = qemu.reply(serial).unwrap_err();
    assert!(text.contains("current buffer"), "{text}");
}

/// The scanout got lost in QEMU's queue, and its update comes. The user goes on seeing what there was;
/// the guest gets an error at once instead of QEMU's second. Of `ScanoutDMABUF2`, which we offer, QEMU
/// loses none.
#[test]
fn f05_28_an_update_of_nothing_is_refused_at_once() {
    let (mut source, mut qemu) = new();
    assert!(qemu.optional.iter().any(|name| name == DMABUF2));
    let (_, text) = qemu.call(LISTENER, "UpdateDMABUF", &(0, 0, 1, 1)).unwrap_err();
    assert!(text.contains("no scanout"), "{text}");
    qemu.call(fake_qemu::MAP, "UpdateMap", &(0, 0, 1, 1)).unwrap_err();
    assert!(source.poll().is_none());
}

/// QEMU dies while an update waits for its ack. The user is told why; an ack that comes later is for nobody.
#[test]
fn f05_33_qemu_killed_in_the_middle_of_a_frame() {
    let (mut source, mut qemu) = new();
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    let shown = scanout(&mut source);
    send_update(&qemu, (0, 0, 32, 32));
    let (buffer, _, ack) = update(&mut source);
    assert_eq!(buffer, shown.buffer);
    qemu.kill();
    let event = next(&mut source);
    let SourceEvent::Lost(reason) = event else { panic!("{event:?}") };
    assert!(reason.contains("killed"), "{reason}");
    ack.settle(Verdict::Done);
    assert!(source.poll().is_none());
}

/// A QEMU that was started again says the same things with the same serial numbers. The user sees its
/// own frames only; it gets no ack that was meant for the one before.
#[test]
fn f05_34_a_qemu_that_starts_again_is_not_taken_for_the_one_before() {
    let mut buffers = Vec::new();
    let mut acks = Vec::new();
    for _ in 0..3 {
        let (mut source, mut qemu) = new();
        announce(&mut qemu, &memory(4096), 32, 32).unwrap();
        buffers.push(scanout(&mut source).buffer);
        let serial = send_update(&qemu, (0, 0, 32, 32));
        let (buffer, _, ack) = update(&mut source);
        assert_eq!(Some(&buffer), buffers.last());
        // What is left of those before is settled only now.
        acks.drain(..).for_each(drop);
        assert!(!qemu.is_replied(serial));
        acks.push(ack);
        qemu.kill();
        assert!(matches!(next(&mut source), SourceEvent::Lost(_)));
    }
    assert!(buffers.is_sorted_by(|a, b| a < b), "no id comes twice: {buffers:?}");
}

#[test]
fn dropping_the_source_ends_the_connection() {
    let (mut source, mut qemu) = new();
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    scanout(&mut source);
    send_update(&qemu, (0, 0, 32, 32));
    let (_, _, ack) = update(&mut source);
    drop(source);
    qemu.wait_closed();
    drop(ack);
}

#[test]
fn a_source_that_nobody_polls_can_be_dropped() {
    let (source, qemu) = new();
    // More than it takes in without being polled; the rest stays in the socket.
    for _ in 0..400 {
        qemu.send(LISTENER, "Disable", &());
    }
    drop(source);
    qemu.wait_closed();
}

/// In a process of its own, because it counts what the process has.
#[test]
fn no_fd_and_no_thread_is_left_behind() {
    let me = std::env::current_exe().unwrap();
    let out = std::process::Command::new(me)
        .args(["--exact", "acks::count_what_is_left", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by no_fd_and_no_thread_is_left_behind"]
fn count_what_is_left() {
    let count = |what| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let round = || {
        let (mut source, mut qemu) = new();
        announce(&mut qemu, &memory(4096), 32, 32).unwrap();
        let shown = scanout(&mut source);
        send_update(&qemu, (0, 0, 32, 32));
        let (_, _, ack) = update(&mut source);
        let threads = || {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap();
            let names =
                tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
            names.filter(|name| name.as_ref().is_ok_and(|name| name == "fanlight-qemu\n")).count()
        };
        assert_eq!(threads(), 1);
        drop(source);
        // It was joined, but the kernel lists a thread a moment longer than that.
        eventually(|| threads() == 0);
        drop((shown, ack));
        qemu.wait_closed();
    };
    round();
    let (fds, threads) = (count("fd"), count("task"));
    for _ in 0..20 {
        round();
    }
    // The fake's threads end by themselves a little later.
    eventually(|| count("fd") <= fds && count("task") <= threads);
}

/// Looks until it is so: the kernel tells nobody when a thread leaves its lists.
fn eventually(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "something is left behind");
        thread::yield_now();
    }
}
