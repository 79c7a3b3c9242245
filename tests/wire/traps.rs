//! The traps that Wayland's wire has for everybody.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Instant;

use fanlight::frame::Transform;
use fanlight::serve::{Answer, ConsoleId, Event, Kind, Memory, Server};
use rustix::fs::fstat;

use crate::backend::{CALM, PATIENCE, Picture, SIZE, WHOLE, layout, wait};
use crate::viewer::{CONSOLE, SERVERS, Viewer, ask, say};

pub fn server() -> (Server, ConsoleId) {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    (server, console)
}

pub fn shown(
    server: &mut Server,
    console: ConsoleId,
    picture: &Picture,
) -> fanlight::frame::BufferId {
    let memory = Memory::Planes(vec![picture.fd()]);
    let buffer = server.add_buffer(console, layout(SIZE), memory).unwrap();
    server.scanout(console, buffer, WHOLE, Transform::Normal).unwrap();
    buffer
}

/// Without: an update that was on its way when the viewer left is waited for, or its buffer's id is
/// used again while the viewer still means the old one.
#[test]
fn leaving_races_an_update() {
    let (mut server, console) = server();
    let mut viewer = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    // Both are on their way at once.
    viewer.peer.say(CONSOLE, ask::STOP, &[], None);
    let frame = server.update(console, buffer, &[]).unwrap();
    viewer.peer.say(CONSOLE, ask::ACK, &[frame], None);
    let answer = viewer.until(&mut server, "the answer", |_, event| match event? {
        Event::Answered { frame: f, answer, .. } if *f == frame => Some(*answer),
        _ => None,
    });
    assert_eq!(answer, Answer::Acked);
    viewer.message(&mut server, CONSOLE, say::UPDATE);
    viewer.message(&mut server, SERVERS, say::BUFFER_GONE);
    viewer.message(&mut server, CONSOLE, say::GONE);
    // What is left of it is destroyed, and that is no error.
    viewer.peer.say(SERVERS, ask::DESTROY, &[], None);
    viewer.peer.say(CONSOLE, ask::DESTROY, &[], None);
    viewer.message(&mut server, 1, 1);
    assert!(!viewer.peer.over);
    server.update(console, buffer, &[]).unwrap();
}

/// Without: an object of a new buffer is taken for the one that had its id before.
#[test]
fn a_thousand_buffers_through_one_id() {
    let (mut server, console) = server();
    let mut viewer = Viewer::new(&mut server);
    let mut ids = BTreeSet::new();
    for i in 0..1000 {
        let picture = Picture::new();
        let buffer = shown(&mut server, console, &picture);
        let frame = server.update(console, buffer, &[]).unwrap();
        let id = viewer.message(&mut server, CONSOLE, say::BUFFER).words[0];
        ids.insert(id);
        let scanout = viewer.message(&mut server, CONSOLE, say::SCANOUT);
        assert_eq!(scanout.words[0], id, "buffer {i}");
        let update = viewer.message(&mut server, CONSOLE, say::UPDATE);
        assert_eq!(update.words, [frame, id]);
        let fd = viewer.peer.fds.pop_front().unwrap();
        assert_eq!(fstat(&fd).unwrap().st_ino, fstat(&picture.0).unwrap().st_ino, "buffer {i}");
        viewer.peer.say(CONSOLE, ask::ACK, &[frame], None);
        viewer.until(&mut server, "the answer", |_, event| {
            matches!(event, Some(Event::Answered { .. })).then_some(())
        });
        server.disable(console).unwrap();
        server.remove_buffer(console, buffer).unwrap();
        viewer.message(&mut server, id, say::BUFFER_GONE);
        viewer.peer.say(id, ask::DESTROY, &[], None);
        server.dispatch().unwrap();
    }
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [SERVERS]);
}

/// Without: the backend blocks or grows because a viewer sleeps.
#[test]
fn who_stops_reading_is_dropped_and_nobody_waits() {
    let (mut server, console) = server();
    let mut sleeper = Viewer::new(&mut server);
    let mut sent = 0_u32;
    let dropped = loop {
        server.move_cursor(console, sent as i32, 0, true).unwrap();
        sent += 1;
        let gone = |event| matches!(event, Event::Watched(_, 0));
        if std::iter::from_fn(|| server.next_event()).any(gone) {
            break true;
        }
        if sent == 1_000_000 {
            break false;
        }
    };
    assert!(dropped, "after {sent} events");
    let update = shown(&mut server, console, &Picture::new());
    server.update(console, update, &[]).unwrap();
    let answered = |event| matches!(event, Event::Answered { answer: Answer::Acked, .. });
    assert!(std::iter::from_fn(|| server.next_event()).any(answered));
    sleeper.thrown_out(&mut server);
}

/// Without: a viewer that was slow for a moment waits for its frame until something else happens.
#[test]
fn what_a_full_socket_did_not_take_comes_when_it_is_read() {
    let (mut server, console) = server();
    let mut viewer = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    viewer.message(&mut server, CONSOLE, say::SCANOUT);
    // Until the socket is full, and a little longer.
    for at in 0..350 {
        server.move_cursor(console, at, 0, true).unwrap();
    }
    let frame = server.update(console, buffer, &[]).unwrap();
    viewer.peer.read();
    let came = std::iter::from_fn(|| viewer.peer.next()).any(|m| m.opcode == say::UPDATE);
    assert!(!came, "the socket was full");
    wait(&[server.as_fd()], Instant::now() + PATIENCE, "the server to go on");
    let update = viewer.message(&mut server, CONSOLE, say::UPDATE);
    assert_eq!(update.words[0], frame);
}

/// Without: a viewer that reads but never answers makes the backend keep all for it.
#[test]
fn who_never_answers_is_dropped() {
    let (mut server, console) = server();
    let mut viewer = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    for _ in 0..256 {
        server.update(console, buffer, &[]).unwrap();
        viewer.peer.read();
    }
    assert!(server.next_event().is_none());
    server.update(console, buffer, &[]).unwrap();
    assert_eq!(viewer.thrown_out(&mut server), Some((CONSOLE, 1)));
    let answers = std::iter::from_fn(|| server.next_event())
        .filter(|event| matches!(event, Event::Answered { .. }))
        .count();
    assert!(answers <= 257, "{answers}");
}

/// Without: a viewer that never destroys makes the backend keep every buffer's object.
#[test]
fn who_never_destroys_is_dropped() {
    let (mut server, console) = server();
    let mut viewer = Viewer::new(&mut server);
    for _ in 0..65 {
        let buffer = shown(&mut server, console, &Picture::new());
        server.disable(console).unwrap();
        server.remove_buffer(console, buffer).unwrap();
        viewer.peer.read();
        viewer.peer.fds.clear();
    }
    assert_eq!(viewer.thrown_out(&mut server), Some((CONSOLE, 5)));
}

#[test]
fn damage_of_any_number_arrives_within_the_limit() {
    let (mut server, console) = server();
    let mut viewer = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    for (count, expected) in [(1, 1), (64, 64), (65, 0), (1000, 0)] {
        let frame = server.update(console, buffer, &vec![WHOLE; count]).unwrap();
        viewer.until(&mut server, "the update", |viewer, _| {
            viewer
                .messages
                .iter()
                .any(|m| m.opcode == say::UPDATE && m.object == CONSOLE)
                .then_some(())
        });
        let damage = |m: &&crate::viewer::Message| (m.object, m.opcode) == (CONSOLE, say::DAMAGE);
        assert_eq!(viewer.messages.iter().filter(damage).count(), expected, "{count}");
        viewer.messages.clear();
        viewer.peer.say(CONSOLE, ask::ACK, &[frame], None);
        viewer.until(&mut server, "the answer", |_, event| {
            matches!(event, Some(Event::Answered { .. })).then_some(())
        });
    }
}

/// Without: who comes in the moment in which another goes waits for an answer until somebody else
/// does something.
#[test]
fn who_comes_while_another_goes_is_answered() {
    let (mut server, console) = server();
    let mut first = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    for _ in 0..256 {
        server.update(console, buffer, &[]).unwrap();
        first.peer.read();
    }
    let mut second = Viewer::bound(&mut server, 1);
    // One too many for the first: it is dropped here, and the second looked at.
    server.update(console, buffer, &[]).unwrap();
    second.peer.read();
    assert!(second.peer.next().is_some(), "it asked what there is");
}
