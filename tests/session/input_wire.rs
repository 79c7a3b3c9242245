//! The same over guest-scanout-v1.

use fanlight::serve::{Event, GuestInput, Kind, Server};

use crate::backend::{CALM, open};
use crate::let_go_wire::Backend;
use crate::stage::{Memory, Setup, Stage};

/// What was seen of the user until `count` things were.
fn inputs(server: &mut Server, count: usize) -> Vec<GuestInput> {
    server.dispatch().unwrap();
    let inputs: Vec<_> = std::iter::from_fn(|| server.next_event())
        .filter_map(|event| match event {
            Event::Input(_, input) => Some(input),
            _ => None,
        })
        .collect();
    assert_eq!(inputs.len(), count, "{inputs:?}");
    inputs
}

#[test]
fn keys_arrive_as_evdev_knows_them_and_none_stays_down() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    server.add_console(Kind::Graphic, "screen").unwrap();
    let opened = open(&mut server, None).unwrap();
    let mut stage = Stage::over(opened.source, Setup::default());
    stage.until("the pointer", |stage| {
        stage.compositor.with(|server| server.seat.pointer.is_some().then_some(()))
    });
    stage.compositor.with(|server| {
        server.key(103, true);
        server.key(103, false);
        server.key(42, true);
        server.button(0x113, true);
    });
    stage.settle();
    let expected = [
        GuestInput::Key(103, true),
        GuestInput::Key(103, false),
        GuestInput::Key(42, true),
        GuestInput::Button(0x113, true),
    ];
    assert_eq!(inputs(&mut server, 4), expected);
    drop(stage);
    let expected = [GuestInput::Key(42, false), GuestInput::Button(0x113, false)];
    assert_eq!(inputs(&mut server, 2), expected);
}

#[test]
fn fingers_are_where_they_are_in_the_picture_and_none_stays_down() {
    let mut backend = Backend::new(CALM, Setup::default());
    let memory = Memory::new((64, 48));
    let buffer = backend.add(&memory);
    backend.show(buffer);
    backend.stage.frame(1);
    backend.stage.compositor.with(|server| {
        server.finger(7, 10.0, 20.0);
        server.finger(3, 63.0, 47.0);
        server.touch().motion(0, 7, 11.5, 21.5);
        server.touch().up(1, 0, 7);
    });
    backend.stage.settle();
    let Backend { mut server, stage, .. } = backend;
    let at = |finger, x, y, down| GuestInput::TouchAt { finger, x, y, down };
    let expected =
        [at(0, 10, 20, true), at(1, 63, 47, true), at(0, 11, 21, false), GuestInput::TouchUp(0)];
    assert_eq!(inputs(&mut server, 4), expected);
    drop(stage);
    assert_eq!(inputs(&mut server, 1), [GuestInput::TouchCancel]);
}
