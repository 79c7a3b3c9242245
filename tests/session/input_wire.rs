//! The same over guest-scanout-v1.

use fanlight::serve::{Event, GuestInput, Kind, Server};

use crate::backend::{CALM, open};
use crate::stage::{Setup, Stage};

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
