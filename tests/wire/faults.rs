//! Faults that a peer, the kernel or guest memory bring into guest-scanout-v1: what the user sees of
//! them, and what the guest gets.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use fanlight::frame::{Rect, Transform};
use fanlight::port::{SourceEvent, Verdict};
use fanlight::serve::{self, Answer, Event, GuestMemory, Kind, Memory, Server};
use fanlight::session::{Options, Session};
use fanlight::sink::memory::MemorySink;
use fanlight::sys::{PageRange, own_memfd};

use crate::alone::alone;
use crate::backend::{CALM, Picture, SIZE, Stage, WHOLE, layout, open, while_serving};
use crate::hoard::take_all_fds;
use crate::hostile_backend::Backend;
use crate::traps::shown;
use crate::viewer::{CONSOLE, SERVERS, Viewer, ask, say};

const XR24: u32 = fanlight::frame::Format::XRGB8888.0;
/// The event `replaced`.
const REPLACED: u16 = 3;

fn scanout(backend: &mut Backend) -> fanlight::frame::BufferId {
    match backend.next() {
        SourceEvent::Scanout(announcement) => announcement.buffer,
        other => panic!("{other:?}"),
    }
}

/// A buffer that came without its fd, as when the kernel had to drop it (`MSG_CTRUNC`). The user keeps
/// the last picture and is told when it is over; nothing is shown for it, and nothing can pile up.
#[test]
fn f05_22_a_plane_without_its_fd_is_never_shown() {
    let mut backend = Backend::new();
    let memory = Picture::new().fd();
    backend.buffer(SERVERS, memory.as_fd());
    backend.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
    scanout(&mut backend);
    let id = SERVERS + 1;
    backend.say(say::BUFFER, &[id]);
    backend.peer.say(id, say::PLANE, &[0, 32], None);
    backend.peer.say(id, say::LAYOUT, &[8, 4, XR24, 0, 0], None);
    backend.peer.say(id, say::DONE, &[], None);
    backend.say(say::SCANOUT, &[id, 0, 0, 8, 4, 0]);
    backend.say(say::UPDATE, &[1, id]);
    assert!(backend.source.poll().is_none());
    // It waits for the fd, and not for ever: what comes meanwhile has an end.
    for _ in 0..1000 {
        backend.say(say::DAMAGE, &[0, 0, 1, 1]);
    }
    let lost = backend.lost();
    assert!(lost.contains("without its file descriptor"), "{lost}");
}

/// More fds than messages want. The user sees what the messages say; all fds are closed with the
/// connection.
#[test]
fn f05_22_fds_that_nobody_asked_for_go_with_the_connection() {
    let mut backend = Backend::new();
    let memory = Picture::new();
    for _ in 0..100 {
        let fd = memory.fd();
        backend.peer.say(CONSOLE, 7, &[], Some(fd.as_fd()));
    }
    for _ in 0..100 {
        assert!(matches!(backend.next(), SourceEvent::Disabled));
    }
    let mut own = crate::viewer::inodes(&memory.0);
    assert!(own > 50, "they came: {own}");
    drop(backend);
    own = crate::viewer::inodes(&memory.0);
    assert_eq!(own, 1);
}

/// A visible part that isn't within its buffer. The user keeps the last picture; the guest gets a
/// refusal for its updates, and the next part that is within is shown.
#[test]
fn f05_24_a_part_outside_of_the_buffer_is_refused() {
    let mut backend = Backend::new();
    backend.buffer(SERVERS, Picture::new().fd().as_fd());
    let parts = [
        [0, 0, 9, 4],
        [0, 0, 8, 5],
        [1, 0, 8, 4],
        [8, 0, 1, 1],
        [0, 0, 0, 4],
        [0, 0, 8, 0],
        [u32::MAX, 0, 2, 4],
        [0, u32::MAX, 8, u32::MAX],
    ];
    for (i, part) in (0..).zip(parts) {
        let [x, y, width, height] = part;
        backend.say(say::SCANOUT, &[SERVERS, x, y, width, height, 0]);
        backend.say(say::UPDATE, &[i, SERVERS]);
        assert!(backend.source.poll().is_none(), "{part:?}");
        let asked = backend.asked();
        assert_eq!((asked.opcode, &asked.words[..]), (4, &[i][..]), "{part:?} is refused");
    }
    backend.say(say::SCANOUT, &[SERVERS, 7, 2, 1, 2, 0]);
    let SourceEvent::Scanout(shown) = backend.next() else { panic!() };
    assert_eq!(shown.visible, Rect { x: 7, y: 2, width: 1, height: 2 });
}

/// An update of a buffer that was replaced but isn't gone, and of one that is. The user sees neither;
/// the guest gets a refusal for the first, and for the second the backend, which broke the rules, is left.
#[test]
fn f05_30_an_update_of_a_replaced_buffer_is_refused_and_of_a_gone_one_ends_it() {
    let backend = Backend::new();
    let (old, new) = (Picture::new(), Picture::new());
    old.paint(1);
    new.paint(2);
    backend.buffer(SERVERS, old.fd().as_fd());
    backend.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
    backend.say(say::UPDATE, &[1, SERVERS]);
    let Backend { peer, source } = backend;
    let mut session = Session::new(source, MemorySink::default(), Options::default());
    let seen = |session: &mut Session<MemorySink>| {
        session.turn(Some(Duration::ZERO), None).unwrap();
        std::iter::from_fn(|| session.sink().take_frame()).last().map(|frame| frame.pixels[0])
    };
    assert_eq!(seen(&mut session), Some(1));
    let backend = Backend { peer, source: Box::new(Nothing) };
    backend.buffer(SERVERS + 1, new.fd().as_fd());
    backend.say(REPLACED, &[SERVERS, SERVERS + 1]);
    backend.say(say::UPDATE, &[2, SERVERS]);
    assert_eq!(seen(&mut session), None);
    backend.say(say::SCANOUT, &[SERVERS + 1, 0, 0, 8, 4, 0]);
    backend.say(say::UPDATE, &[3, SERVERS + 1]);
    assert_eq!(seen(&mut session), Some(2));
    let mut peer = backend.peer;
    peer.read();
    let answers = std::iter::from_fn(|| peer.next()).filter(|m| m.object == CONSOLE);
    let answers: Vec<_> = answers.map(|m| (m.opcode, m.words)).collect();
    let [ack, refuse] = [ask::ACK, 4];
    for expected in [(ack, vec![1]), (refuse, vec![2]), (ack, vec![3])] {
        assert!(answers.contains(&expected), "{expected:?} of {answers:?}");
    }
    peer.say(SERVERS, say::BUFFER_GONE, &[], None);
    peer.say(CONSOLE, say::UPDATE, &[4, SERVERS], None);
    assert_eq!(seen(&mut session), None);
    assert!(session.lost().unwrap().contains("guest-scanout-v1"));
}

/// In the place of a source that a session has.
struct Nothing;

impl fanlight::port::Source for Nothing {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        unreachable!("nobody waits for it")
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        None
    }

    fn send(&mut self, _: &fanlight::frame::Input) {}
}

/// A thousand times the same update. The user sees the newest picture; the guest gets one ack for each.
#[test]
fn f05_32_the_same_update_a_thousand_times() {
    let mut stage = Stage::new(CALM);
    let picture = Picture::new();
    let buffer = stage.add(&picture);
    stage.show(buffer);
    let corner = Rect { x: 6, y: 3, width: 2, height: 1 };
    for i in 0..1000_u32 {
        picture.paint(i as u8);
        stage.events.clear();
        // Whole now and then, so that all of it can be looked at.
        let damage: &[Rect] = if i % 100 == 99 { &[] } else { &[corner] };
        let frame = stage.update(buffer, damage);
        assert_eq!(stage.answer(frame), Answer::Acked);
        if i % 100 == 99 {
            assert_eq!(stage.seen(), Some(i as u8));
        }
        while stage.session.sink().take_frame().is_some() {}
    }
    let counts = stage.session.stats().counts;
    assert_eq!((counts.forced_acks, counts.refused_updates, counts.frames), (0, 0, 1000));
}

/// A backend that was started again counts its frames and its objects from the start. The user sees its
/// own frames only; it gets no ack that was meant for the one before.
#[test]
fn f05_34_a_backend_that_starts_again_is_not_taken_for_the_one_before() {
    let (mut buffers, mut acks) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut backend = Backend::new();
        backend.buffer(SERVERS, Picture::new().fd().as_fd());
        backend.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
        buffers.push(scanout(&mut backend));
        backend.say(say::UPDATE, &[0, SERVERS]);
        let SourceEvent::Update { ack, .. } = backend.next() else { panic!() };
        acks.drain(..).for_each(|old: fanlight::port::Ack| old.settle(Verdict::Refused));
        // Frame 0 is answered for the first time now, and as said here.
        ack.settle(Verdict::Done);
        assert_eq!(backend.asked().opcode, ask::ACK);
        backend.say(say::UPDATE, &[0, SERVERS]);
        let SourceEvent::Update { ack, .. } = backend.next() else { panic!() };
        acks.push(ack);
    }
    assert!(buffers.is_sorted_by(|a, b| a < b), "no id comes twice: {buffers:?}");
}

/// A viewer answers after the backend's patience has ended. The user sees all of it late; the guest went
/// on at the limit, and the viewer is not thrown out for it.
#[test]
fn f05_35_an_answer_after_the_limit_is_no_error() {
    let limit = Duration::from_millis(20);
    let mut server = Server::new("vm", "", serve::Options { answer_limit: limit, ..CALM }).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let mut viewer = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    for _ in 0..3 {
        let frame = server.update(console, buffer, &[]).unwrap();
        let answer = viewer.until(&mut server, "the limit", |_, event| match event? {
            Event::Answered { frame: f, answer, .. } if *f == frame => Some(*answer),
            _ => None,
        });
        assert_eq!(answer, Answer::TimedOut);
        viewer.peer.say(CONSOLE, ask::ACK, &[frame], None);
        while_serving(&mut server, || ());
        assert!(server.next_event().is_none(), "it was answered once");
    }
    viewer.peer.read();
    assert!(!viewer.peer.over);
}

/// Two viewers, one of which never answers. Both users see the frame as fast as their viewers are; the
/// guest waits for the slow one to the limit and no longer. (QEMU does the same with its listeners.)
#[test]
fn f05_36_the_slow_one_of_two_viewers_holds_the_guest_to_the_limit() {
    let limit = Duration::from_millis(200);
    let mut server = Server::new("vm", "", serve::Options { answer_limit: limit, ..CALM }).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let (mut fast, mut slow) = (Viewer::new(&mut server), Viewer::new(&mut server));
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    for _ in 0..3 {
        let frame = server.update(console, buffer, &[]).unwrap();
        assert_eq!(fast.message(&mut server, CONSOLE, say::UPDATE).words[0], frame);
        fast.peer.say(CONSOLE, ask::ACK, &[frame], None);
        let answers = |event: Option<&Event>| match event? {
            Event::Answered { frame: f, answer, .. } if *f == frame => Some(*answer),
            _ => None,
        };
        let answer = fast.until(&mut server, "the limit", |_, event| answers(event));
        assert_eq!(answer, Answer::TimedOut);
        // It has it all the same, whenever it looks.
        assert_eq!(slow.message(&mut server, CONSOLE, say::UPDATE).words[0], frame);
    }
    drop(slow);
    let frame = server.update(console, buffer, &[]).unwrap();
    fast.peer.say(CONSOLE, ask::ACK, &[frame], None);
    let answer = fast.until(&mut server, "the answer", |_, event| match event? {
        Event::Answered { frame: f, answer, .. } if *f == frame => Some(*answer),
        _ => None,
    });
    assert_eq!(answer, Answer::Acked, "who is gone is not waited for");
}

/// The process has no fds left, or one too few, when a buffer comes: the kernel drops what doesn't fit
/// without a word. The user keeps the last picture and is told what to do, instead of being shown the
/// next fds for the ones that were lost; the guest's backend sees a viewer that has gone.
#[test]
fn f05_40_when_no_fds_are_left_the_source_says_so() {
    alone(module_path!(), "f05_40_when_no_fds_are_left_the_source_says_so", || {
        for left in [0, 1] {
            let mut backend = Backend::new();
            let (memory, id) = (Picture::new().fd(), SERVERS);
            backend.say(say::BUFFER, &[id]);
            backend.peer.say(id, say::PLANE, &[0, 32], Some(memory.as_fd()));
            backend.peer.say(id, say::PLANE, &[0, 32], Some(memory.as_fd()));
            backend.peer.say(id, say::LAYOUT, &[8, 4, XR24, 0, 0], None);
            backend.peer.say(id, say::DONE, &[], None);
            backend.say(say::SCANOUT, &[id, 0, 0, 8, 4, 0]);
            let hoard = take_all_fds(left);
            let lost = backend.lost();
            assert!(lost.contains("ulimit -n"), "with {left} left: {lost}");
            drop(hoard);
            // The next connection is as good as any.
            let mut backend = Backend::new();
            backend.buffer(SERVERS, memory.as_fd());
            backend.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
            scanout(&mut backend);
        }
    });
}

/// The same at the backend's end, when guest memory is to be watched and made a dma-buf of. The user
/// sees nothing of it; the author gets the remedy, and what is there already goes on. A viewer that a
/// buffer can't be sent to loses its connection, and the guest waits for nobody.
#[test]
fn f05_40_when_no_fds_are_left_the_server_says_so() {
    alone(module_path!(), "f05_40_when_no_fds_are_left_the_server_says_so", || {
        let mut stage = Stage::new(CALM);
        let picture = Picture::new();
        picture.paint(1);
        let buffer = stage.add(&picture);
        stage.show(buffer);
        let frame = stage.update(buffer, &[]);
        assert_eq!(stage.answer(frame), Answer::Acked);
        let ram = Arc::new(own_memfd("ram", 4096).unwrap());
        let memory = Memory::Guest(GuestMemory::new([(ram, 0, 4096)]).unwrap());
        let hoard = take_all_fds(0);
        let error = stage.server.add_buffer(stage.console, layout(SIZE), memory).unwrap_err();
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        picture.paint(2);
        let frame = stage.update(buffer, &[]);
        assert_eq!(stage.answer(frame), Answer::Acked);
        assert_eq!(stage.seen(), Some(2));
        drop(hoard);

        let planes = Memory::Planes(vec![picture.fd()]);
        let hoard = take_all_fds(0);
        let unsent = stage.server.add_buffer(stage.console, layout(SIZE), planes).unwrap();
        stage.until("the viewer's end", |stage| stage.session.lost().map(drop));
        drop(hoard);
        let frame = stage.update(unsent, &[]);
        assert_eq!(stage.answer(frame), Answer::Acked);
    });
}

/// What `/dev/udmabuf` says where it is missing or forbidden.
fn missing(_: &[PageRange<'_>]) -> io::Result<std::os::fd::OwnedFd> {
    Err(rustix::io::Errno::NOENT.into())
}

fn forbidden(_: &[PageRange<'_>]) -> io::Result<std::os::fd::OwnedFd> {
    Err(rustix::io::Errno::ACCESS.into())
}

fn no_memfd(_: &[PageRange<'_>]) -> io::Result<std::os::fd::OwnedFd> {
    Err(rustix::io::Errno::BADFD.into())
}

/// `/dev/udmabuf` is missing or forbidden. The backend's author gets a sentence with what helps, for
/// each case its own; nothing was said to the viewers, whose user goes on seeing other buffers.
#[test]
fn f05_41_without_udmabuf_the_author_gets_the_remedy() {
    let here = serve::Options::default().make_dma_buf;
    let cases: [(serve::MakeDmaBuf, &str); 4] = [
        (missing, "load the module udmabuf"),
        (forbidden, "the rights to /dev/udmabuf"),
        (no_memfd, "has to be memfds"),
        // What this machine says; where it has udmabuf there is nothing to say.
        (here, "udmabuf"),
    ];
    for (make_dma_buf, part) in cases {
        let mut server = Server::new("vm", "", serve::Options { make_dma_buf, ..CALM }).unwrap();
        let console = server.add_console(Kind::Graphic, "screen").unwrap();
        let mut viewer = Viewer::new(&mut server);
        let ram = Arc::new(own_memfd("ram", 4096).unwrap());
        let memory = Memory::Guest(GuestMemory::new([(ram, 0, 4096)]).unwrap());
        match server.add_buffer(console, layout(SIZE), memory) {
            Err(error) => assert!(error.to_string().contains(part), "{error}"),
            Ok(_) => assert!(fanlight::sys::udmabuf_available()),
        }
        while_serving(&mut server, || ());
        let picture = Picture::new();
        let buffer = shown(&mut server, console, &picture);
        let first = viewer.message(&mut server, CONSOLE, say::SCANOUT);
        assert_eq!(first.words[0], SERVERS, "nothing was announced before");
        server.update(console, buffer, &[]).unwrap();
    }
}

/// No frame of a viewer's is lost where another one comes and goes meanwhile.
#[test]
fn f05_36_viewers_that_come_and_go_hold_nobody() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let mut steady = Viewer::new(&mut server);
    let picture = Picture::new();
    let memory = Memory::Planes(vec![picture.fd()]);
    let buffer = server.add_buffer(console, layout(SIZE), memory).unwrap();
    server.scanout(console, buffer, WHOLE, Transform::Normal).unwrap();
    for _ in 0..20 {
        let guest = open(&mut server, None).unwrap().source;
        let frame = server.update(console, buffer, &[]).unwrap();
        drop(guest);
        steady.peer.say(CONSOLE, ask::ACK, &[frame], None);
        let answer = steady.until(&mut server, "the answer", |_, event| match event? {
            Event::Answered { frame: f, answer, .. } if *f == frame => Some(*answer),
            _ => None,
        });
        assert_eq!(answer, Answer::Acked);
    }
}
