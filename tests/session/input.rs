//! From the user at the compositor to the guest.

use wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_device_v1::Shape;
use wayland_server::protocol::wl_pointer::Axis;
use wayland_server::protocol::wl_seat::Capability;

use crate::compositor::{Script, Server};
use crate::fake_qemu::{Did, FakeQemus, FakeVm, VM};
use crate::spies::Seen;
use crate::stage::{Memory, Setup, Stage};

const SIZE: (u32, u32) = (64, 48);
const A: u32 = 30;
const LEFT_SHIFT: u32 = 42;
const UP: u32 = 103;
const LEFT_CTRL: u32 = 29;
const G: u32 = 34;
const LEFT_ALT: u32 = 56;
const LEFT_BUTTON: u32 = 0x110;

/// A guest whose picture is shown twice as large as it is, with bars left and right.
fn shown() -> (Stage, Memory) {
    shown_by(VM)
}

fn shown_by(vm: FakeVm) -> (Stage, Memory) {
    let script = Script { size: (200, 96), ..Script::default() };
    let mut stage = Stage::open_vm(Setup { script, ..Setup::default() }, vm);
    let memory = Memory::new(SIZE);
    stage.flip(&memory.file, SIZE);
    stage.frame(1);
    (stage, memory)
}

/// The user does something, and QEMU is told so.
fn told(stage: &mut Stage, does: impl FnOnce(&mut Server), expected: &[(&str, i64, i64)]) {
    stage.compositor.with(does);
    stage.settle();
    let qemu = stage.told.as_ref().unwrap();
    let seen: Vec<_> = expected.iter().map(|_| qemu.did()).collect();
    assert_eq!(seen, owned(expected));
}

fn owned(expected: &[(&str, i64, i64)]) -> Vec<Did> {
    expected.iter().map(|&(method, a, b)| (method.to_owned(), a, b)).collect()
}

/// All that it was told until its client went.
fn rest(qemus: &FakeQemus) -> Vec<Did> {
    std::iter::from_fn(|| qemus.try_did()).collect()
}

#[test]
fn keys_arrive_as_what_qemu_calls_them() {
    let (mut stage, _memory) = shown();
    let types = |server: &mut Server| {
        server.focus(&[]);
        for (code, pressed) in [(LEFT_SHIFT, true), (A, true), (A, false), (LEFT_SHIFT, false)] {
            server.key(code, pressed);
        }
        server.key(UP, true);
        server.key(UP, false);
    };
    let expected = [
        ("Keyboard.Press", 0x2a, 0),
        ("Keyboard.Press", 0x1e, 0),
        ("Keyboard.Release", 0x1e, 0),
        ("Keyboard.Release", 0x2a, 0),
        ("Keyboard.Press", 0xc8, 0),
        ("Keyboard.Release", 0xc8, 0),
    ];
    told(&mut stage, types, &expected);
}

#[test]
fn what_is_held_is_let_go_with_the_focus_and_only_that() {
    let (mut stage, _memory) = shown();
    let leaves = |server: &mut Server| {
        // What brought the user here is no matter of the guest's, its release neither.
        server.focus(&[UP]);
        server.key(UP, false);
        server.key(A, true);
        // A compositor that repeats by itself.
        server.key(A, true);
        server.key(LEFT_SHIFT, true);
        server.unfocus();
        server.key(A, false);
        server.focus(&[]);
        server.key(A, true);
    };
    let expected = [
        ("Keyboard.Press", 0x1e, 0),
        ("Keyboard.Press", 0x2a, 0),
        ("Keyboard.Release", 0x1e, 0),
        ("Keyboard.Release", 0x2a, 0),
        ("Keyboard.Press", 0x1e, 0),
    ];
    told(&mut stage, leaves, &expected);
}

#[test]
fn the_keyboard_is_unplugged_and_comes_back() {
    let (mut stage, _memory) = shown();
    let unplugs = |server: &mut Server| {
        server.key(A, true);
        server.equip(Capability::Pointer);
    };
    told(&mut stage, unplugs, &[("Keyboard.Press", 0x1e, 0), ("Keyboard.Release", 0x1e, 0)]);
    stage.until("it to be given back", |stage| {
        stage.compositor.with(|server| server.seat.keyboard.is_none().then_some(()))
    });
    stage.compositor.with(|server| server.equip(Capability::Pointer | Capability::Keyboard));
    stage.until("another", |stage| {
        stage.compositor.with(|server| server.seat.keyboard.is_some().then_some(()))
    });
    told(&mut stage, |server| server.key(A, true), &[("Keyboard.Press", 0x1e, 0)]);
}

#[test]
fn the_pointer_is_where_it_points_in_the_picture() {
    let (mut stage, _memory) = shown();
    let points = |server: &mut Server| {
        server.point(46.0, 20.0);
        server.button(LEFT_BUTTON, true);
        server.pointer().motion(0, 163.9, 95.9);
        server.button(LEFT_BUTTON, false);
        // Over the bar on the left, at its middle.
        server.pointer().leave(6, &server.surfaces.main().surface);
        server.pointer().enter(7, &server.surfaces.main().surface, 18.0, 48.0);
        server.button(0x114, true);
        server.pointer().leave(8, &server.surfaces.main().surface);
    };
    let expected = [
        ("Mouse.SetAbsPosition", 5, 10),
        ("Mouse.Press", 0, 0),
        ("Mouse.SetAbsPosition", 63, 47),
        ("Mouse.Release", 0, 0),
        ("Mouse.SetAbsPosition", 0, 24),
        ("Mouse.Press", 6, 0),
        ("Mouse.Release", 6, 0),
    ];
    told(&mut stage, points, &expected);
    stage.until("the arrow", |stage| {
        let shape = stage.compositor.with(|server| server.seat.shape);
        (shape == Some((7, Shape::Default))).then_some(())
    });
}

#[test]
fn the_wheel_turns_by_what_is_said_finest() {
    let (mut stage, _memory) = shown();
    let turns = |server: &mut Server| {
        server.point(0.0, 0.0);
        for value120 in [60, 60, -120] {
            server.pointer().axis_value120(Axis::VerticalScroll, value120);
            server.pointer().axis(0, Axis::VerticalScroll, 100.0);
            server.pointer().frame();
        }
    };
    let expected = [
        ("Mouse.SetAbsPosition", 0, 0),
        ("Mouse.Press", 4, 0),
        ("Mouse.Release", 4, 0),
        ("Mouse.Press", 3, 0),
        ("Mouse.Release", 3, 0),
    ];
    told(&mut stage, turns, &expected);
}

/// The user sees the window go; the guest is left with no key and no button down.
#[test]
fn a_viewer_that_ends_leaves_no_key_down() {
    let (mut stage, _memory) = shown();
    let holds = |server: &mut Server| {
        server.key(A, true);
        server.point(0.0, 0.0);
        server.button(LEFT_BUTTON, true);
    };
    let expected =
        [("Keyboard.Press", 0x1e, 0), ("Mouse.SetAbsPosition", 0, 0), ("Mouse.Press", 0, 0)];
    told(&mut stage, holds, &expected);
    let qemu = stage.told.take().unwrap();
    drop(stage);
    assert_eq!(rest(&qemu), owned(&[("Keyboard.Release", 0x1e, 0), ("Mouse.Release", 0, 0)]));
}

fn type_ctrl_alt(server: &mut Server, code: u32) {
    for key in [LEFT_CTRL, LEFT_ALT, code] {
        server.key(key, true);
    }
    for key in [code, LEFT_ALT, LEFT_CTRL] {
        server.key(key, false);
    }
}

/// What the window says of it, and whether the compositor's shortcuts are the guest's.
fn grabbed(stage: &mut Stage, grabbed: bool) {
    stage.until("the grab", |stage| {
        stage.compositor.with(|server| (server.seat.inhibited == grabbed).then_some(()))
    });
    let title = stage.compositor.with(|server| server.surfaces.title.clone());
    assert_eq!(title.contains("Ctrl+Alt+G"), grabbed, "{title}");
}

const CTRL_ALT: [(&str, i64, i64); 4] = [
    ("Keyboard.Press", 0x1d, 0),
    ("Keyboard.Press", 0x38, 0),
    ("Keyboard.Release", 0x1d, 0),
    ("Keyboard.Release", 0x38, 0),
];

#[test]
fn ctrl_alt_g_gives_the_guest_the_shortcuts_and_takes_them_back() {
    let (mut stage, _memory) = shown();
    for round in [true, false] {
        // G never arrives.
        told(&mut stage, |server| type_ctrl_alt(server, G), &CTRL_ALT);
        grabbed(&mut stage, round);
    }
    told(&mut stage, |server| type_ctrl_alt(server, G), &CTRL_ALT);
    grabbed(&mut stage, true);
    stage.compositor.with(|server| server.unfocus());
    grabbed(&mut stage, false);
}

#[test]
fn ctrl_alt_end_is_ctrl_alt_delete() {
    let (mut stage, _memory) = shown();
    let expected = [
        ("Keyboard.Press", 0x1d, 0),
        ("Keyboard.Press", 0x38, 0),
        ("Keyboard.Press", 0xd3, 0),
        ("Keyboard.Release", 0xd3, 0),
        ("Keyboard.Release", 0x38, 0),
        ("Keyboard.Release", 0x1d, 0),
    ];
    told(&mut stage, |server| type_ctrl_alt(server, 107), &expected);
}

#[test]
fn a_mouse_that_knows_no_place_gets_the_pointer_by_a_click() {
    let (mut stage, _memory) = shown_by(FakeVm { absolute: false, ..VM });
    stage.until("QEMU's word", |stage| stage.log.has(Seen::Pointing).then_some(()));
    stage.compositor.with(|server| {
        server.point(10.0, 20.0);
        server.button(LEFT_BUTTON, true);
        server.button(LEFT_BUTTON, false);
    });
    grabbed(&mut stage, true);
    stage.until("the lock", |stage| {
        stage.compositor.with(|server| (server.seat.locked).then_some(()))
    });
    let moves = |server: &mut Server| {
        let motions = server.seat.motions.clone().unwrap();
        for (dx, dy) in [(1.5, -1.0), (0.0, 0.0)] {
            motions.relative_motion(0, 0, 9.0, 9.0, dx, dy);
        }
        server.button(LEFT_BUTTON, true);
        // The half pixel from before counts.
        motions.relative_motion(0, 0, 9.0, 9.0, 0.5, 0.25);
        server.button(LEFT_BUTTON, false);
    };
    let expected = [
        ("Mouse.RelMotion", 1, -1),
        ("Mouse.Press", 0, 0),
        ("Mouse.RelMotion", 1, 0),
        ("Mouse.Release", 0, 0),
    ];
    told(&mut stage, moves, &expected);
    told(&mut stage, |server| type_ctrl_alt(server, G), &CTRL_ALT);
    grabbed(&mut stage, false);
    stage.until("it to be free", |stage| {
        stage.compositor.with(|server| (!server.seat.locked).then_some(()))
    });
}

/// The guest's driver for its tablet has just started.
#[test]
fn a_mouse_that_learns_places_frees_the_pointer() {
    let (mut stage, _memory) = shown_by(FakeVm { absolute: false, ..VM });
    stage.until("QEMU's word", |stage| stage.log.has(Seen::Pointing).then_some(()));
    stage.compositor.with(|server| {
        server.point(10.0, 20.0);
        server.button(LEFT_BUTTON, true);
    });
    stage.until("the lock", |stage| {
        stage.compositor.with(|server| server.seat.locked.then_some(()))
    });
    stage.told.as_ref().unwrap().mouse(true);
    stage.until("it to be free", |stage| {
        stage.compositor.with(|server| (!server.seat.locked).then_some(()))
    });
    let moves = |server: &mut Server| server.pointer().motion(0, 40.0, 6.0);
    told(&mut stage, moves, &[("Mouse.SetAbsPosition", 2, 3)]);
}

/// The finger that comes down first is the first, whatever the compositor calls it.
#[test]
fn fingers_are_told_apart_and_none_stays_down() {
    let (mut stage, _memory) = shown();
    let touches = |server: &mut Server| {
        // The picture begins at 36, and is twice as large.
        server.finger(40, 46.0, 20.0);
        server.finger(-1, 56.0, 40.0);
        // One that is down already, and one that nobody knows.
        server.finger(40, 0.0, 0.0);
        server.touch().motion(0, 99, 1.0, 1.0);
        server.touch().motion(0, -1, 58.0, 42.0);
        server.touch().up(1, 0, 40);
        server.touch().up(1, 0, 40);
        server.finger(41, 0.0, 200.0);
        server.touch().cancel();
        server.touch().motion(0, -1, 60.0, 42.0);
        server.finger(5, 36.0, 0.0);
    };
    let expected = [
        ("MultiTouch.SendEvent", 0, 5010),
        ("MultiTouch.SendEvent", 1, 10020),
        ("MultiTouch.SendEvent", 101, 11021),
        ("MultiTouch.SendEvent", 200, 0),
        ("MultiTouch.SendEvent", 0, 47),
        ("MultiTouch.SendEvent", 300, 0),
        ("MultiTouch.SendEvent", 301, 0),
        ("MultiTouch.SendEvent", 0, 0),
    ];
    told(&mut stage, touches, &expected);
    told(&mut stage, |server| server.unfocus(), &[("MultiTouch.SendEvent", 300, 0)]);
}

#[test]
fn more_fingers_than_a_guest_has_are_nobodys() {
    let (mut stage, _memory) = shown();
    let touches = |server: &mut Server| {
        for id in 0..30 {
            server.finger(id, 36.0, 0.0);
        }
        server.touch().up(1, 0, 20);
        server.key(A, true);
    };
    let fingers = (0..10).map(|finger| ("MultiTouch.SendEvent", finger, 0));
    let expected: Vec<_> = fingers.chain([("Keyboard.Press", 0x1e, 0)]).collect();
    told(&mut stage, touches, &expected);
}

const CAPS: u32 = 1 << 1;
const NUM: u32 = 1 << 4;

/// The window gets the keyboard while these are on.
fn focus(server: &mut Server, mods: u32) {
    server.focus(&[]);
    server.locked(mods);
}

#[test]
fn locks_that_differ_are_pressed_once_when_the_window_gets_the_keyboard() {
    let (mut stage, _memory) = shown_by(FakeVm { leds: Some(2), ..VM });
    stage.until("QEMU's word", |stage| stage.log.has(Seen::Leds).then_some(()));
    let comes = |server: &mut Server| {
        server.keymap(true);
        focus(server, NUM | CAPS);
        // What the user toggles the guest sees by itself.
        server.locked(NUM);
        server.key(A, true);
    };
    let expected =
        [("Keyboard.Press", 0x3a, 0), ("Keyboard.Release", 0x3a, 0), ("Keyboard.Press", 0x1e, 0)];
    told(&mut stage, comes, &expected);
    // Its LED stays off: it is not asked for the same again.
    let again = |server: &mut Server| {
        server.unfocus();
        focus(server, NUM | CAPS);
        server.key(A, true);
    };
    told(&mut stage, again, &[("Keyboard.Release", 0x1e, 0), ("Keyboard.Press", 0x1e, 0)]);
    // Now it is on, and then it is off at the host.
    stage.told.as_ref().unwrap().light(6);
    stage.until("QEMU's word", |stage| {
        (stage.log.count(|seen| *seen == Seen::Leds) == 2).then_some(())
    });
    let off = |server: &mut Server| {
        server.unfocus();
        focus(server, 0);
    };
    let expected = [
        ("Keyboard.Release", 0x1e, 0),
        ("Keyboard.Press", 0x3a, 0),
        ("Keyboard.Release", 0x3a, 0),
        ("Keyboard.Press", 0x45, 0),
        ("Keyboard.Release", 0x45, 0),
    ];
    told(&mut stage, off, &expected);
}

#[test]
fn without_a_keymap_keys_arrive_and_no_lock_is_touched() {
    let (mut stage, _memory) = shown_by(FakeVm { leds: Some(0), ..VM });
    stage.until("QEMU's word", |stage| stage.log.has(Seen::Leds).then_some(()));
    let comes = |server: &mut Server| {
        server.keymap(false);
        focus(server, NUM | CAPS);
        server.key(A, true);
    };
    told(&mut stage, comes, &[("Keyboard.Press", 0x1e, 0)]);
}
