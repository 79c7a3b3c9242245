//! Viewers that break the rules lose their connection, and nobody else loses anything.

use std::io::Write;
use std::os::unix::net::UnixStream;

use fanlight::serve::{Event, Kind, Server};

use crate::backend::Picture;
use crate::traps::{server, shown};
use crate::viewer::{CONSOLE, DISPLAY, MANAGER, SERVERS, Viewer, ask, say};

/// What a viewer does, and the error that it gets: object and code.
fn breaks(what: impl FnOnce(&mut Server, &Viewer), error: (u32, u32)) {
    let (mut server, console) = server();
    let mut good = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    let mut bad = Viewer::new(&mut server);
    bad.message(&mut server, CONSOLE, say::SCANOUT);
    what(&mut server, &bad);
    assert_eq!(bad.thrown_out(&mut server), Some(error));
    let frame = server.update(console, buffer, &[]).unwrap();
    good.message(&mut server, CONSOLE, say::UPDATE);
    good.peer.say(CONSOLE, ask::ACK, &[frame], None);
    good.until(&mut server, "the answer", |_, event| match event? {
        Event::Answered { frame: f, .. } if *f == frame => Some(()),
        _ => None,
    });
}

#[test]
fn a_buffer_destroyed_too_early() {
    breaks(|_, bad| bad.peer.say(SERVERS, ask::DESTROY, &[], None), (SERVERS, 0));
}

#[test]
fn a_console_destroyed_too_early() {
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::DESTROY, &[], None), (CONSOLE, 0));
}

#[test]
fn a_manager_destroyed_too_early() {
    breaks(|_, bad| bad.peer.say(MANAGER, ask::DESTROY, &[], None), (MANAGER, 1));
}

#[test]
fn an_ack_of_a_frame_that_never_was() {
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::ACK, &[4711], None), (CONSOLE, 1));
}

#[test]
fn the_same_console_twice() {
    breaks(|_, bad| bad.peer.say(MANAGER, 1, &[CONSOLE + 1, 0], None), (MANAGER, 0));
}

#[test]
fn readiness_that_nobody_asked_for() {
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::READY, &[1], None), (CONSOLE, 3));
}

#[test]
fn values_that_can_not_be() {
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::SIZE_HINT, &[0, 1, 0], None), (CONSOLE, 4));
    let large = [1, 16_385, 0];
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::SIZE_HINT, &large, None), (CONSOLE, 4));
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::KEY, &[1, 2], None), (CONSOLE, 4));
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::TOUCH, &[0, 16, 0, 0], None), (CONSOLE, 4));
    breaks(|_, bad| bad.peer.say(CONSOLE, ask::TOUCH, &[9, 0, 0, 0], None), (CONSOLE, 4));
}

#[test]
fn input_without_end() {
    let flood = |server: &mut Server, bad: &Viewer| {
        for _ in 0..200 {
            for i in 0..25 {
                bad.peer.say(CONSOLE, ask::KEY, &[i, 1], None);
            }
            // Its author takes nothing meanwhile.
            server.dispatch().unwrap();
        }
    };
    breaks(flood, (CONSOLE, 5));
}

#[test]
fn an_ack_twice() {
    let (mut server, console) = server();
    let mut bad = Viewer::new(&mut server);
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    let frame = server.update(console, buffer, &[]).unwrap();
    bad.peer.say(CONSOLE, ask::ACK, &[frame], None);
    bad.peer.say(CONSOLE, ask::ACK, &[frame], None);
    assert_eq!(bad.thrown_out(&mut server), Some((CONSOLE, 1)));
}

#[test]
fn a_buffer_of_another_console() {
    let (mut server, _) = server();
    let other = server.add_console(Kind::Graphic, "other").unwrap();
    let picture = Picture::new();
    shown(&mut server, other, &picture);
    let mut bad = Viewer::new(&mut server);
    bad.peer.say(MANAGER, 1, &[CONSOLE + 1, other.0], None);
    let buffer = bad.message(&mut server, CONSOLE + 1, say::BUFFER).words[0];
    bad.peer.say(CONSOLE, ask::RELEASE, &[buffer], None);
    assert_eq!(bad.thrown_out(&mut server), Some((CONSOLE, 2)));
}

#[test]
fn a_console_that_is_not_there_is_gone_at_once() {
    let (mut server, _) = server();
    let mut viewer = Viewer::bound(&mut server, 1);
    viewer.peer.say(MANAGER, 1, &[CONSOLE, 99], None);
    viewer.message(&mut server, CONSOLE, say::GONE);
    viewer.peer.say(CONSOLE, ask::DESTROY, &[], None);
    viewer.peer.say(MANAGER, ask::DESTROY, &[], None);
    // delete_id of the manager: both were fine.
    viewer.message(&mut server, DISPLAY, 1);
    viewer.message(&mut server, DISPLAY, 1);
}

#[test]
fn a_version_that_is_not_offered() {
    for version in [0, 2, u32::MAX] {
        let (mut server, _) = server();
        let mut viewer = Viewer::bound(&mut server, version);
        assert!(viewer.thrown_out(&mut server).is_some(), "version {version}: an error is said");
    }
}

#[test]
fn what_is_not_wayland_at_all() {
    let (mut server, console) = server();
    for bytes in [vec![0; 64], vec![0xff; 4096], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        server.add_viewer(theirs).unwrap();
        ours.write_all(&bytes).unwrap();
        let mut bad = Viewer { peer: crate::viewer::Peer::new(ours), messages: Default::default() };
        bad.thrown_out(&mut server);
    }
    let picture = Picture::new();
    let buffer = shown(&mut server, console, &picture);
    server.update(console, buffer, &[]).unwrap();
}
