//! Explicit sync and release callbacks. The timelines are stand-ins within this process; the
//! kernel's are tested in the rig.

use super::*;
use crate::compositor::surfaces::Pixels;
use crate::compositor::sync::Points;
use fanlight::sink::wayland::Timelines;
use wayland_server::protocol::wl_callback::WlCallback;

const SIZE: Size = Size { width: 64, height: 48 };

fn explicit() -> Script {
    Script { syncobj: true, ..Script::default() }
}

fn callbacks() -> Script {
    Script { compositor: 7, ..Script::default() }
}

fn points(stage: &Stage, count: usize) -> Points {
    stage.shown(count).points
}

fn signal(stage: &Stage, points: Points) {
    stage.compositor.with(|server| server.sync.signal(points.release));
}

/// Commits an import once more.
fn show_again(stage: &mut Stage, commit: u64, buffer: &Buffer) {
    stage.sink.show(CommitId(commit), import(buffer, 0), buffer, &Damage::Whole);
    stage.sink.flush();
}

#[test]
fn each_buffer_comes_with_both_points_and_nothing_else_does() {
    let mut stage = Stage::open(explicit());
    let (one, two) = (untouchable(SIZE), untouchable(SIZE));
    stage.show(1, &one, 0);
    stage.show(2, &two, 0);
    stage.sink.blank();
    stage.sink.flush();
    let (first, second, blank) = (points(&stage, 1), points(&stage, 2), points(&stage, 3));
    assert_eq!(blank, Points::default());
    stage.compositor.with(|server| {
        for points in [first, second] {
            assert!(server.sync.is_signalled(points.acquire), "nobody writes to it");
            assert!(!server.sync.is_signalled(points.release));
        }
        let timelines = [first.acquire, first.release, second.acquire, second.release];
        let mut timelines: Vec<_> = timelines.iter().map(|point| point.unwrap().0).collect();
        timelines.sort_unstable();
        timelines.dedup();
        assert_eq!(timelines.len(), 4, "a buffer's points are on timelines of its own");
    });
}

#[test]
fn release_points_come_in_any_order_and_wl_buffer_release_says_nothing() {
    let mut stage = Stage::open(explicit());
    let (one, two) = (untouchable(SIZE), untouchable(SIZE));
    stage.show(1, &one, 0);
    stage.show(2, &two, 0);
    let (first, second) = (stage.shown_buffer(1), stage.shown_buffer(2));
    stage.release(first);
    stage.release(second);
    stage.nothing_but_frame(2, 2);
    signal(&stage, points(&stage, 2));
    assert_eq!(stage.released(), 2);
    signal(&stage, points(&stage, 1));
    assert_eq!(stage.released(), 1);
    // Again and too much: each is told once.
    signal(&stage, points(&stage, 1));
    stage.settle();
}

#[test]
fn a_release_that_never_comes_is_never_told_and_a_late_one_is() {
    let mut stage = Stage::open(explicit());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    stage.sink.blank();
    stage.sink.flush();
    stage.nothing_but_frame(1, 1);
    stage.settle();
    signal(&stage, points(&stage, 1));
    assert_eq!(stage.released(), 1);
}

#[test]
fn a_buffer_shown_again_is_released_for_each_commit() {
    let mut stage = Stage::open(explicit());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    show_again(&mut stage, 2, &guest);
    show_again(&mut stage, 3, &guest);
    stage.shown(3);
    signal(&stage, points(&stage, 1));
    assert_eq!(stage.released(), 1);
    // A point signals all before it.
    signal(&stage, points(&stage, 3));
    assert_eq!((stage.released(), stage.released()), (2, 3));
    stage.settle();
}

#[test]
fn wl_shm_has_no_points_and_its_release_is_an_event() {
    let mut stage = Stage::open(explicit());
    let (direct, (copied, ..)) = (untouchable(SIZE), readable(SIZE));
    stage.show(1, &direct, 0);
    stage.copy(0, &copied, &Damage::Whole);
    stage.show_copy(2, 0, &copied, &Damage::Whole);
    let shm = stage.shown_buffer(2);
    assert_eq!(points(&stage, 2), Points::default());
    signal(&stage, points(&stage, 1));
    assert_eq!(stage.released(), 1);
    stage.release(shm);
    assert_eq!(stage.released(), 2);
    stage.show(3, &direct, 0);
    signal(&stage, points(&stage, 3));
    assert_eq!(stage.released(), 3);
    stage.compositor.with(|server| assert_eq!(server.sync.begun, 2));
}

#[test]
fn an_event_that_explicit_sync_swallows_is_not_waited_for() {
    let mut stage = Stage::open(explicit());
    let (direct, (copied, ..)) = (untouchable(SIZE), readable(SIZE));
    stage.copy(0, &copied, &Damage::Whole);
    stage.show_copy(1, 0, &copied, &Damage::Whole);
    stage.nothing_but_frame(1, 1);
    stage.show(2, &direct, 0);
    // The screen may still be made of what was there before.
    stage.nothing_but_frame(2, 2);
    stage.show(3, &direct, 1);
    let frame = stage.shown(3).frame.unwrap();
    stage.compositor.with(|_| frame.done(0));
    assert_eq!(stage.released(), 1);
    assert!(matches!(stage.next(), SinkEvent::Presented(CommitId(3))));
    let shm = stage.shown_buffer(1);
    stage.release(shm);
    stage.settle();
}

#[test]
fn copies_in_udmabufs_have_points_and_are_ready_at_once() {
    let mut stage = Stage::try_open(explicit(), &WindowOptions::default(), UDMABUF).unwrap();
    let (guest, ..) = readable(SIZE);
    stage.copy(0, &guest, &Damage::Whole);
    stage.sink.flush();
    stage.compositor.wait("the import", |server| server.dmabuf.creates.first().map(|_| ()));
    stage.settle();
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    let shown = stage.shown_buffer(1);
    let points = points(&stage, 1);
    stage.compositor.with(|server| {
        assert!(matches!(server.surfaces.buffers[shown].pixels, Pixels::Dmabuf { .. }));
        assert!(server.sync.is_signalled(points.acquire));
    });
    signal(&stage, points);
    assert_eq!(stage.released(), 1);
}

#[test]
fn without_a_node_releases_are_events() {
    let none: OpenTimelines = |_| Err(io::ErrorKind::NotFound.into());
    let options = WindowOptions::default();
    let mut stage = Stage::with_timelines(explicit(), &options, NO_UDMABUF, none).unwrap();
    released_by_event(&mut stage);
}

#[test]
fn when_no_timeline_can_be_made_releases_are_events() {
    #[derive(Debug)]
    struct Exhausted;
    impl Timelines for Exhausted {
        fn timeline(&self) -> io::Result<Box<dyn fanlight::sink::wayland::Timeline>> {
            Err(io::ErrorKind::OutOfMemory.into())
        }
    }
    let options = WindowOptions::default();
    let open: OpenTimelines = |_| Ok(Box::new(Exhausted));
    let mut stage = Stage::with_timelines(explicit(), &options, NO_UDMABUF, open).unwrap();
    released_by_event(&mut stage);
}

fn released_by_event(stage: &mut Stage) {
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    let shown = stage.shown_buffer(1);
    assert_eq!(points(stage, 1), Points::default());
    stage.release(shown);
    assert_eq!(stage.released(), 1);
    stage.compositor.with(|server| assert_eq!(server.sync.begun, 0));
}

#[test]
fn a_compositor_that_signals_nothing_is_asked_for_so_many_points_only() {
    let mut stage = Stage::open(explicit());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    for commit in 2..=70 {
        show_again(&mut stage, commit, &guest);
    }
    let shown = stage.shown_buffer(70);
    let asked = (1..=70).filter(|count| points(&stage, *count) != Points::default()).count();
    assert_eq!(asked, 64);
    // An event names no commit, and there were several since the last point.
    stage.release(shown);
    stage.settle();
    signal(&stage, points(&stage, 64));
    for commit in 1..=64 {
        assert_eq!(stage.released(), commit);
    }
    stage.show(71, &untouchable(SIZE), 0);
    let frame = stage.shown(71).frame.unwrap();
    stage.compositor.with(|_| frame.done(0));
    assert_eq!(stage.released(), 70, "something else is on the screen");
    assert!(matches!(stage.next(), SinkEvent::Presented(CommitId(71))));
}

/// Without it a release that was meant for the first commit would free what the second still reads; or
/// nothing would ever.
#[test]
fn an_event_says_nothing_of_a_buffer_that_was_committed_again() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    show_again(&mut stage, 2, &guest);
    let shown = stage.shown_buffer(2);
    stage.release(shown);
    stage.nothing_but_frame(2, 2);
    stage.show(3, &untouchable(SIZE), 0);
    let frame = stage.shown(3).frame.unwrap();
    stage.compositor.with(|_| frame.done(0));
    assert_eq!(stage.released(), 2);
    assert!(matches!(stage.next(), SinkEvent::Presented(CommitId(3))));
    // From here on it is as any other.
    show_again(&mut stage, 4, &guest);
    stage.shown(4);
    stage.release(shown);
    assert_eq!(stage.released(), 4);
}

#[test]
fn forgotten_timelines_are_destroyed() {
    let mut stage = Stage::open(explicit());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    signal(&stage, points(&stage, 1));
    assert_eq!(stage.released(), 1);
    stage.sink.blank();
    stage.sink.forget(guest.storage.id);
    stage.sink.flush();
    stage.compositor.wait("their end", |server| {
        server.sync.timelines.iter().all(|timeline| timeline.destroyed).then_some(())
    });
}

fn callback(stage: &Stage, count: usize) -> WlCallback {
    stage.shown(count).release.expect("each commit asks for its release")
}

#[test]
fn a_release_callback_is_for_one_commit_in_any_order() {
    let mut stage = Stage::open(callbacks());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    show_again(&mut stage, 2, &guest);
    stage.show(3, &guest, 1);
    stage.sink.blank();
    stage.sink.flush();
    assert!(stage.shown(4).release.is_none());
    let buffer = stage.shown_buffer(1);
    // The second commit was never on a screen, so that the first is read longer: it is told with it.
    for (count, told) in [(3, &[3][..]), (2, &[]), (1, &[1, 2])] {
        // The event says nothing beside it.
        stage.release(buffer);
        let callback = callback(&stage, count);
        stage.compositor.with(|_| callback.done(0));
        for commit in told {
            assert_eq!(stage.released(), *commit);
        }
        stage.settle();
    }
}

#[test]
fn copies_have_release_callbacks_too() {
    let mut stage = Stage::open(callbacks());
    let (guest, ..) = readable(SIZE);
    stage.copy(0, &guest, &Damage::Whole);
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    let callback = callback(&stage, 1);
    stage.compositor.with(|_| callback.done(0));
    assert_eq!(stage.released(), 1);
}

#[test]
fn a_signalled_point_wakes_who_waits_for_the_sink() {
    let mut stage = Stage::open(explicit());
    stage.show(1, &untouchable(SIZE), 0);
    let points = points(&stage, 1);
    let readable = |stage: &Stage, patience| {
        let mut fds = [PollFd::from_borrowed_fd(stage.sink.fd().unwrap(), PollFlags::IN)];
        poll(&mut fds, Some(&patience)).unwrap() == 1
    };
    stage.settle();
    assert!(stage.sink.poll().is_none());
    assert!(!readable(&stage, Timespec::default()));
    signal(&stage, points);
    assert!(readable(&stage, Timespec::try_from(PATIENCE).unwrap()));
    assert_eq!(stage.released(), 1);
    assert!(stage.sink.poll().is_none());
    assert!(!readable(&stage, Timespec::default()), "it was told");
}
