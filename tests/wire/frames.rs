//! Frames, all the way: server, socket, session, sink, and the answer back.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use fanlight::frame::{Cursor, Damage, Input, Rect, Size, SizeHint, Transform};
use fanlight::port::{SourceEvent, Verdict};
use fanlight::serve::{self, Answer, Event, GuestInput, Kind, Server, Swap};

use crate::backend::{
    CALM, PATIENCE, Picture, SIZE, Stage, WHOLE, layout, open, wait, while_serving,
};

/// Without: a frame is shown twice, late or torn, or an ack is lost.
#[test]
fn flips_arrive_one_by_one_and_each_is_acked_once() {
    let mut stage = Stage::new(CALM);
    let pictures = [Picture::new(), Picture::new()];
    let buffers = [stage.add(&pictures[0]), stage.add(&pictures[1])];
    for i in 0..100_u8 {
        let at = usize::from(i % 2);
        pictures[at].paint(i);
        stage.show(buffers[at]);
        let frame = stage.update(buffers[at], &[]);
        assert_eq!(stage.answer(frame), Answer::Acked);
        assert_eq!(stage.seen(), Some(i));
    }
    let answers = stage.events.iter().filter(|e| matches!(e, Event::Answered { .. })).count();
    assert_eq!(answers, 100);
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
}

#[test]
fn in_place_only_the_damage_is_copied() {
    let mut stage = Stage::new(CALM);
    let picture = Picture::new();
    let buffer = stage.add(&picture);
    stage.show(buffer);
    picture.paint(1);
    let frame = stage.update(buffer, &[]);
    stage.answer(frame);
    let before = stage.session.stats().counts.bytes_copied;
    let corner = Rect { x: 6, y: 3, width: u32::MAX, height: 5 };
    for _ in 0..3 {
        let frame = stage.update(buffer, &[corner]);
        assert_eq!(stage.answer(frame), Answer::Acked);
    }
    // One target may have been behind by the first frame.
    let copied = stage.session.stats().counts.bytes_copied - before;
    let whole = u64::from(SIZE.width * SIZE.height * 4);
    assert!((3 * 8..=whole * 2 + 3 * 8).contains(&copied), "{copied}");
}

/// An update of a buffer whose scanout got lost. The user goes on seeing the one that is shown; the guest
/// gets a refusal, which says that a scanout is to be said again.
#[test]
fn f05_28_an_update_whose_scanout_never_came_is_refused() {
    let mut stage = Stage::new(CALM);
    let pictures = [Picture::new(), Picture::new()];
    let buffers = [stage.add(&pictures[0]), stage.add(&pictures[1])];
    pictures[0].paint(7);
    stage.show(buffers[0]);
    let frame = stage.update(buffers[1], &[]);
    assert_eq!(stage.answer(frame), Answer::Refused);
    let frame = stage.update(buffers[0], &[]);
    assert_eq!(stage.answer(frame), Answer::Acked);
    assert_eq!(stage.seen(), Some(7));
}

/// A dma-buf smaller than its layout says. The user keeps the picture; the guest gets a refusal, and its
/// next good buffer is shown.
#[test]
fn f05_25_a_buffer_that_is_too_small_is_refused_and_the_next_is_shown() {
    let mut stage = Stage::new(CALM);
    let (small, good) = (Picture::new(), Picture::new());
    let huge = layout(Size { width: 4096, height: 4096 });
    let memory = serve::Memory::Planes(vec![small.fd()]);
    let buffer = stage.server.add_buffer(stage.console, huge, memory).unwrap();
    stage.show(buffer);
    let frame = stage.update(buffer, &[]);
    assert_eq!(stage.answer(frame), Answer::Refused);
    good.paint(9);
    let buffer = stage.add(&good);
    stage.show(buffer);
    let frame = stage.update(buffer, &[]);
    assert_eq!(stage.answer(frame), Answer::Acked);
    assert_eq!(stage.seen(), Some(9));
}

#[test]
fn several_consoles_come_and_go() {
    let mut server = Server::new("vm", "uuid", CALM).unwrap();
    let text = server.add_console(Kind::Text, "monitor").unwrap();
    let screens = [server.add_console(Kind::Graphic, "a"), server.add_console(Kind::Graphic, "b")];
    let [a, b] = screens.map(Result::unwrap);
    let first = open(&mut server, None).unwrap();
    assert_eq!((first.console.console, first.console.label.as_str()), (a.0, "a"));
    assert_eq!((first.console.vm.as_str(), first.console.uuid.as_str()), ("vm", "uuid"));
    let mut second = open(&mut server, Some(b.0)).unwrap();
    assert_eq!(second.console.label, "b");
    let error = open(&mut server, Some(77)).unwrap_err().to_string();
    assert!(error.contains("no console 77") && error.contains("1 (a)"), "{error}");
    while_serving(&mut server, || ());
    server.remove_console(b).unwrap();
    server.remove_console(text).unwrap();
    let lost = next(&mut second.source);
    assert!(
        matches!(&lost, SourceEvent::Lost(why) if why.contains("took the console")),
        "{lost:?}"
    );
    // The other console's viewer is still there.
    let picture = Picture::new();
    let memory = serve::Memory::Planes(vec![picture.fd()]);
    let buffer = server.add_buffer(a, layout(SIZE), memory).unwrap();
    server.scanout(a, buffer, WHOLE, Transform::Flipped).unwrap();
    let mut source = first.source;
    let scanout = next(&mut source);
    let SourceEvent::Scanout(scanout) = scanout else { panic!("{scanout:?}") };
    assert_eq!((scanout.visible, scanout.transform), (WHOLE, Transform::Flipped));
}

fn next(source: &mut Box<dyn fanlight::port::Source + Send>) -> SourceEvent {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = source.poll() {
            return event;
        }
        wait(&[source.fd()], end, "an event");
    }
}

/// Without: a viewer shows each frame of a guest that flips twice where the second word of it comes late.
#[test]
fn a_flip_is_a_scanout_and_the_update_of_it_or_nothing() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let memory = serve::Memory::Planes(vec![Picture::new().fd()]);
    let buffer = server.add_buffer(console, layout(SIZE), memory).unwrap();
    let mut source = open(&mut server, None).unwrap().source;
    while_serving(&mut server, || ());
    let too_wide = Rect { width: WHOLE.width + 1, ..WHOLE };
    for wrong in [too_wide, Rect { height: 0, ..WHOLE }] {
        let error = server.flip(console, buffer, (wrong, Transform::Normal), &[], None);
        assert!(error.unwrap_err().to_string().contains("visible part"));
    }
    let damage = Rect { x: 1, y: 0, width: 1, height: 1 };
    let flipped = server.flip(console, buffer, (WHOLE, Transform::Flipped), &[damage], None);
    let frame = flipped.unwrap();
    let SourceEvent::Scanout(scanout) = next(&mut source) else { panic!("no scanout first") };
    assert_eq!((scanout.visible, scanout.transform), (WHOLE, Transform::Flipped));
    // What was said with it is there with it.
    let Some(SourceEvent::Update { buffer, damage: seen, ack }) = source.poll() else {
        panic!("the update isn't there yet")
    };
    assert_eq!((buffer, seen), (scanout.buffer, Damage::from(damage)));
    ack.settle(Verdict::Done);
    while_serving(&mut server, || ());
    let answered = std::iter::from_fn(|| server.next_event()).any(
        |event| matches!(event, Event::Answered { frame: f, answer: Answer::Acked, .. } if f == frame),
    );
    assert!(answered);
}

#[test]
fn who_comes_late_sees_what_is_there() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let picture = Picture::new();
    let memory = serve::Memory::Planes(vec![picture.fd()]);
    let buffer = server.add_buffer(console, layout(SIZE), memory).unwrap();
    server.scanout(console, buffer, WHOLE, Transform::Normal).unwrap();
    server.swap(console, Swap::Flip).unwrap();
    let cursor = Cursor {
        size: Size { width: 2, height: 1 },
        hotspot: (1, 0),
        pixels: vec![1, 2, 3, 4, 5, 6, 7, 8],
    };
    server.set_cursor(console, &cursor).unwrap();
    server.move_cursor(console, -3, 5, true).unwrap();
    // Nobody watches: nobody is waited for.
    let frame = server.update(console, buffer, &[]).unwrap();
    let event = server.next_event().unwrap();
    assert!(
        matches!(event, Event::Answered { frame: f, answer: Answer::Acked, .. } if f == frame),
        "{event:?}"
    );
    let mut source = open(&mut server, None).unwrap().source;
    while_serving(&mut server, || {
        let swap = next(&mut source);
        assert!(matches!(swap, SourceEvent::Swap(Some(fanlight::port::Swap::Flip))), "{swap:?}");
        let seen = next(&mut source);
        assert!(matches!(&seen, SourceEvent::Cursor(seen) if *seen == cursor), "{seen:?}");
        let at = next(&mut source);
        assert!(matches!(at, SourceEvent::CursorAt { x: -3, y: 5, visible: true }), "{at:?}");
        assert!(matches!(next(&mut source), SourceEvent::Scanout(_)));
    });
}

/// The user sees the new cursor with the new picture, in the order in which they were sent; the guest's
/// update is one as any other.
#[test]
fn f05_49_a_cursor_that_changes_with_the_picture_comes_before_it() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let mut source = open(&mut server, None).unwrap().source;
    while_serving(&mut server, || ());
    let size = Size { width: 64, height: 64 };
    let pictures = [Picture::new(), Picture::new()];
    for i in 1..=6_u8 {
        let cursor = Cursor { size, hotspot: (3, 4), pixels: vec![i; 64 * 64 * 4] };
        let memory = serve::Memory::Planes(vec![pictures[usize::from(i % 2)].fd()]);
        let buffer = server.add_buffer(console, layout(SIZE), memory).unwrap();
        server.set_cursor(console, &cursor).unwrap();
        server.scanout(console, buffer, WHOLE, Transform::Normal).unwrap();
        server.move_cursor(console, i32::from(i), 0, true).unwrap();
        let frame = server.update(console, buffer, &[]).unwrap();
        while_serving(&mut server, || {
            let seen = next(&mut source);
            assert!(matches!(&seen, SourceEvent::Cursor(seen) if *seen == cursor), "{seen:?}");
            let scanout = next(&mut source);
            assert!(matches!(scanout, SourceEvent::Scanout(_)), "{scanout:?}");
            let at = next(&mut source);
            let is_there = matches!(at, SourceEvent::CursorAt { x, y: 0, .. } if x == i32::from(i));
            assert!(is_there, "{at:?}");
            let update = next(&mut source);
            let SourceEvent::Update { ack, .. } = update else { panic!("{update:?}") };
            ack.settle(Verdict::Done);
        });
        server.dispatch().unwrap();
        let answered = std::iter::from_fn(|| server.next_event()).find_map(|event| match event {
            Event::Answered { frame: f, answer, .. } if f == frame => Some(answer),
            _ => None,
        });
        assert_eq!(answered, Some(Answer::Acked));
    }
}

#[test]
fn what_the_user_does_reaches_the_backend() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    server.add_console(Kind::Graphic, "screen").unwrap();
    let mut source = open(&mut server, None).unwrap().source;
    source.send(&Input::Key { code: 30, pressed: true });
    source.send(&Input::PointerAt { x: 3, y: 4 });
    source.send(&Input::Button { code: 0x110, pressed: false });
    source.send(&Input::PointerBy { dx: -5, dy: 6 });
    source.send(&Input::Wheel { dx: 15, dy: -120 });
    let end = Instant::now() + PATIENCE;
    let mut inputs = Vec::new();
    while inputs.len() < 5 {
        server.dispatch().unwrap();
        while let Some(event) = server.next_event() {
            if let Event::Input(_, input) = event {
                inputs.push(input);
            }
        }
        if inputs.len() < 5 {
            wait(&[std::os::fd::AsFd::as_fd(&server)], end, "input");
        }
    }
    let expected = [
        GuestInput::Key(30, true),
        GuestInput::PointerAt(3, 4),
        GuestInput::Button(0x110, false),
        GuestInput::PointerBy(-5, 6),
        GuestInput::Wheel(15, -120),
    ];
    assert_eq!(inputs, expected);
}

#[test]
fn the_size_that_is_wanted_reaches_the_backend() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let mut source = open(&mut server, None).unwrap().source;
    // What the protocol doesn't allow would end the connection.
    for (width, height) in [(1920, 1080), (0, u32::MAX)] {
        source.resize(&SizeHint { size: Size { width, height }, mm: None });
    }
    let end = Instant::now() + PATIENCE;
    let mut hints = Vec::new();
    while hints.len() < 2 {
        server.dispatch().unwrap();
        while let Some(event) = server.next_event() {
            if let Event::SizeHint(of, size, refresh) = event {
                hints.push((of, size.width, size.height, refresh));
            }
        }
        if hints.len() < 2 {
            wait(&[std::os::fd::AsFd::as_fd(&server)], end, "a size");
        }
    }
    assert_eq!(hints, [(console, 1920, 1080, 0), (console, 1, 16384, 0)]);
}

/// A viewer whose thread is stuck. It sees nothing new; the guest gets its answer at the limit.
#[test]
fn f05_35_an_answer_that_never_comes_is_not_waited_for() {
    let limit = Duration::from_millis(20);
    let mut server = Server::new("vm", "", serve::Options { answer_limit: limit, ..CALM }).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    // It reads, but nobody asks it.
    let source = open(&mut server, None).unwrap().source;
    let picture = Picture::new();
    let memory = serve::Memory::Planes(vec![picture.fd()]);
    let buffer = server.add_buffer(console, layout(SIZE), memory).unwrap();
    server.scanout(console, buffer, WHOLE, Transform::Normal).unwrap();
    // Where the viewer's console was made only now.
    while_serving(&mut server, || ());
    let frame = server.update(console, buffer, &[]).unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        server.dispatch().unwrap();
        let answered = std::iter::from_fn(|| server.next_event()).find_map(|event| match event {
            Event::Answered { frame: f, answer, .. } if f == frame => Some(answer),
            _ => None,
        });
        if let Some(answer) = answered {
            assert_eq!(answer, Answer::TimedOut);
            break;
        }
        wait(&[std::os::fd::AsFd::as_fd(&server)], end, "the limit");
    }
    drop(source);
}

#[test]
fn invalidation_is_answered_when_nothing_reads_and_the_picture_comes_back() {
    let mut stage = Stage::new(CALM);
    let picture = Picture::new();
    let buffer = stage.add(&picture);
    picture.paint(1);
    stage.show(buffer);
    let frame = stage.update(buffer, &[]);
    stage.answer(frame);
    stage.server.invalidate_begin(stage.console).unwrap();
    stage.until("the viewer to let go", |stage| {
        stage.events.iter().any(|e| matches!(e, Event::Invalidated(_, true))).then_some(())
    });
    assert!(stage.session.buffer().is_none());
    picture.paint(2);
    stage.server.invalidate_end(stage.console).unwrap();
    let frame = stage.update(buffer, &[]);
    assert_eq!(stage.answer(frame), Answer::Acked);
    assert_eq!(stage.seen(), Some(2));
}

/// Without: memory of a buffer that went before its viewer had looked at it stays pinned until seven
/// others have come.
#[test]
fn a_buffer_that_goes_before_it_was_looked_at_is_let_go() {
    let mut stage = Stage::new(CALM);
    let pictures = [Picture::new(), Picture::new()];
    let buffers = [stage.add(&pictures[0]), stage.add(&pictures[1])];
    stage.show(buffers[0]);
    stage.update(buffers[0], &[]);
    stage.show(buffers[1]);
    let frame = stage.update(buffers[1], &[]);
    stage.server.remove_buffer(stage.console, buffers[0]).unwrap();
    assert_eq!(stage.answer(frame), Answer::Acked);
    assert_eq!(fds(&pictures[0]), 1, "the test's own");
    assert!(fds(&pictures[1]) > 1);
}

/// How many fds of this process lead to a picture.
fn fds(picture: &Picture) -> usize {
    let inode = |stat: std::fs::Metadata| (stat.dev(), stat.ino());
    let wanted = inode(picture.0.metadata().unwrap());
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    // Others come and go meanwhile.
    let stats = fds.filter_map(|fd| std::fs::metadata(fd.unwrap().path()).ok());
    stats.filter(|stat| inode(stat.clone()) == wanted).count()
}
