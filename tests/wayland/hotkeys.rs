//! The keys that are the viewer's own.

use super::*;
use crate::compositor::Server;
use fanlight::frame::Input;
use fanlight::sink::wayland::{Action, Hotkeys};

const SIZE: Size = Size { width: 64, height: 48 };
const A: u32 = 30;
const S: u32 = 31;
const LEFT_CTRL: u32 = 29;
const LEFT_ALT: u32 = 56;
const SCROLL_LOCK: u32 = 70;
const F11: u32 = 87;
const F12: u32 = 88;

fn open(options: &WindowOptions) -> Stage {
    let mut stage = Stage::try_open(Script::default(), options, NO_UDMABUF).unwrap();
    stage.show(1, &untouchable(SIZE), 0);
    stage.shown(1);
    stage.compositor.wait("its seat", |server| {
        (server.seat.keyboard.is_some() && server.seat.pointer.is_some()).then_some(())
    });
    stage
}

fn with(hotkeys: &[&str]) -> Stage {
    let hotkeys = Hotkeys::changed(hotkeys.iter().copied()).unwrap();
    open(&WindowOptions { hotkeys, ..WindowOptions::default() })
}

/// Types them one after the other.
fn types(stage: &Stage, codes: &[u32]) {
    stage.compositor.with(|server| {
        for &code in codes {
            server.key(code, true);
            server.key(code, false);
        }
    });
}

/// The next that goes to the guest, or is asked of the program.
fn next(stage: &mut Stage) -> Result<Input, Action> {
    loop {
        match stage.next() {
            SinkEvent::Input(input) => return Ok(input),
            SinkEvent::Wanted => return Err(stage.sink.wanted().expect("the sink knows what")),
            SinkEvent::Left(_) => {}
            event => panic!("{event:?}"),
        }
    }
}

fn key(code: u32, pressed: bool) -> Result<Input, Action> {
    Ok(Input::Key { code, pressed })
}

/// Until the window is, or isn't, as large as the screen; the compositor agrees.
fn fullscreen(stage: &Stage, fullscreen: bool) {
    stage.compositor.wait("it to be as large as it should", |server: &mut Server| {
        (server.surfaces.fullscreen == fullscreen).then_some(())
    });
    let states = if fullscreen { &[State::Fullscreen][..] } else { &[] };
    stage.compositor.with(|server| server.configure((0, 0), states));
}

#[test]
fn what_the_program_does_is_asked_of_it_and_the_guest_sees_no_such_key() {
    let mut stage = with(&[]);
    types(&stage, &[F12, A]);
    let seen = [next(&mut stage), next(&mut stage), next(&mut stage)];
    assert_eq!(seen, [Err(Action::Hud), key(A, true), key(A, false)]);
    assert_eq!(stage.sink.wanted(), None);
    stage.compositor.with(|server| {
        for code in [LEFT_CTRL, LEFT_ALT, S] {
            server.key(code, true);
        }
    });
    let seen = [next(&mut stage), next(&mut stage), next(&mut stage)];
    assert_eq!(seen, [key(LEFT_CTRL, true), key(LEFT_ALT, true), Err(Action::Screenshot)]);
}

#[test]
fn f11_is_as_large_as_the_screen_and_back() {
    let mut stage = with(&[]);
    for round in [true, false] {
        types(&stage, &[F11, A]);
        assert_eq!([next(&mut stage), next(&mut stage)], [key(A, true), key(A, false)]);
        stage.sink.flush();
        fullscreen(&stage, round);
    }
}

/// Somebody who needs F12 in the guest, and has one key to grab.
#[test]
fn they_are_what_the_user_wants_and_the_title_says_so() {
    let mut stage = with(&["hud=none", "grab=scrolllock"]);
    let title = |stage: &Stage, expected: &str| {
        stage.compositor.wait("the title", |server: &mut Server| {
            (server.surfaces.title == expected).then_some(())
        });
    };
    // Grabbed, F11 is the guest's too.
    types(&stage, &[F12, SCROLL_LOCK, F11]);
    for code in [F12, F11] {
        assert_eq!([next(&mut stage), next(&mut stage)], [key(code, true), key(code, false)]);
    }
    title(&stage, "fanlight (Scrolllock lets go)");
    types(&stage, &[SCROLL_LOCK, A]);
    assert_eq!([next(&mut stage), next(&mut stage)], [key(A, true), key(A, false)]);
    title(&stage, "fanlight");
}

/// What is grabbed for ever could never be left.
#[test]
fn who_has_no_key_to_let_go_grabs_nothing() {
    use fanlight::frame::Pointing;
    let mut stage = with(&["grab=none"]);
    stage.sink.set_pointing(Pointing::Relative);
    stage.compositor.with(|server| {
        server.point(10.0, 20.0);
        server.button(0x110, true);
    });
    assert_eq!(next(&mut stage), Ok(Input::Button { code: 0x110, pressed: true }));
    stage.settle();
    stage.compositor.with(|server| assert!(!server.seat.locked && !server.seat.inhibited));
}

#[test]
fn who_only_looks_has_hotkeys_but_sends_the_guest_nothing() {
    let mut stage = open(&WindowOptions { view_only: true, ..WindowOptions::default() });
    stage.compositor.with(|server| {
        server.point(10.0, 20.0);
        server.button(0x110, true);
        server.focus(&[]);
        for code in [A, LEFT_CTRL, LEFT_ALT, 34] {
            server.key(code, true);
        }
        for code in [34, LEFT_ALT, LEFT_CTRL, F12] {
            server.key(code, false);
        }
        server.key(F12, true);
    });
    assert_eq!(next(&mut stage), Err(Action::Hud));
    stage.compositor.with(|server| assert!(!server.seat.inhibited && !server.seat.locked));
}
