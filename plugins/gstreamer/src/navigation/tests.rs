use super::*;

const SIZE: Size = Size { width: 640, height: 480 };
const ABSOLUTE: Guest = Guest { size: SIZE, pointing: Pointing::Absolute, caps: false };
const RELATIVE: Guest = Guest { pointing: Pointing::Relative, ..ABSOLUTE };

fn translator() -> Translator {
    gst::init().unwrap();
    Translator::new("us")
}

/// As a real event of GStreamer's, there and back.
fn navigate(translator: &mut Translator, event: &NavigationEvent, guest: Guest) -> Vec<Input> {
    let event = gst::event::Navigation::new(event.structure());
    translator.event(&event, guest).expect("it is input")
}

fn custom(translator: &mut Translator, text: &str, guest: Guest) -> Option<Vec<Input>> {
    let structure: gst::Structure = text.parse().unwrap();
    translator.event(&gst::event::CustomUpstream::new(structure), guest)
}

fn key(code: u32, pressed: bool) -> Input {
    Input::Key { code, pressed }
}

fn button(code: u32, pressed: bool) -> Input {
    Input::Button { code, pressed }
}

#[test]
fn keysyms_are_keys() {
    let mut translator = translator();
    let press = NavigationEvent::new_key_press("exclam");
    let release = NavigationEvent::new_key_release("exclam");
    assert_eq!(navigate(&mut translator, &press, ABSOLUTE), [key(42, true), key(2, true)]);
    assert_eq!(navigate(&mut translator, &release, ABSOLUTE), [key(2, false), key(42, false)]);
}

#[test]
fn a_place_is_a_pixel_of_the_picture() {
    let mut translator = translator();
    for ((x, y), expected) in [
        ((0.0, 0.0), (0, 0)),
        ((10.9, 20.1), (10, 20)),
        ((-5.0, 1e300), (0, 479)),
        ((640.0, 480.0), (639, 479)),
    ] {
        let moved = navigate(&mut translator, &NavigationEvent::new_mouse_move(x, y), ABSOLUTE);
        assert_eq!(moved, [Input::PointerAt { x: expected.0, y: expected.1 }]);
    }
    let nowhere = NavigationEvent::new_mouse_move(f64::NAN, 1.0);
    assert_eq!(navigate(&mut translator, &nowhere, ABSOLUTE), []);
    let blank = Guest { size: Size::default(), ..ABSOLUTE };
    assert_eq!(navigate(&mut translator, &NavigationEvent::new_mouse_move(1.0, 1.0), blank), []);
}

#[test]
fn a_pointer_that_knows_no_place_is_told_how_far_it_moved() {
    let mut translator = translator();
    let mut at = |x, y| navigate(&mut translator, &NavigationEvent::new_mouse_move(x, y), RELATIVE);
    assert_eq!(at(100.0, 100.0), []);
    assert_eq!(at(110.0, 95.0), [Input::PointerBy { dx: 10, dy: -5 }]);
    // Parts of a pixel add up.
    assert_eq!(at(110.5, 95.0), []);
    assert_eq!(at(111.0, 95.0), [Input::PointerBy { dx: 1, dy: 0 }]);
}

#[test]
fn buttons_are_where_they_are_pressed_and_four_are_the_wheel() {
    let mut translator = translator();
    let at = Input::PointerAt { x: 5, y: 6 };
    for (number, code) in
        [(1, 0x110), (2, 0x112), (3, 0x111), (8, 0x113), (9, 0x114), (0x110, 0x110), (0x112, 0x112)]
    {
        let press = NavigationEvent::new_mouse_button_press(number, 5.0, 6.0);
        let release = NavigationEvent::new_mouse_button_release(number, 5.0, 6.0);
        let mut pressed = navigate(&mut translator, &press, ABSOLUTE);
        pressed.retain(|input| *input != at);
        assert_eq!(pressed, [button(code, true)]);
        assert_eq!(navigate(&mut translator, &press, ABSOLUTE), [], "it is down");
        assert_eq!(navigate(&mut translator, &release, ABSOLUTE), [button(code, false)]);
        assert_eq!(navigate(&mut translator, &release, ABSOLUTE), [], "it is up");
    }
    for (number, (dx, dy)) in [(4, (0, -120)), (5, (0, 120)), (6, (-120, 0)), (7, (120, 0))] {
        let press = NavigationEvent::new_mouse_button_press(number, 5.0, 6.0);
        let release = NavigationEvent::new_mouse_button_release(number, 5.0, 6.0);
        assert_eq!(navigate(&mut translator, &press, ABSOLUTE), [Input::Wheel { dx, dy }]);
        assert_eq!(navigate(&mut translator, &release, ABSOLUTE), []);
    }
    for number in [0, -1, 10, 0x10f, 0x118, i32::MIN] {
        let press = NavigationEvent::new_mouse_button_press(number, 5.0, 6.0);
        assert_eq!(navigate(&mut translator, &press, ABSOLUTE), []);
    }
}

/// The sign is X11's: up and left are more.
#[test]
fn a_notch_is_a_notch_whoever_sends_it() {
    for (unit, notch) in [(1.0, 120), (10.0, 120), (15.0, 180), (120.0, 120)] {
        let mut translator = translator();
        let mut scroll = |dx, dy| {
            let event = NavigationEvent::new_mouse_scroll(1.0, 1.0, dx, dy);
            navigate(&mut translator, &event, ABSOLUTE)
        };
        assert_eq!(scroll(0.0, unit), [Input::Wheel { dx: 0, dy: -notch }]);
        assert_eq!(scroll(-unit, 0.0), [Input::Wheel { dx: notch, dy: 0 }]);
        // Finer wheels too.
        assert_eq!(scroll(0.0, -unit / 4.0), [Input::Wheel { dx: 0, dy: notch / 4 }]);
        assert_eq!(scroll(f64::INFINITY, f64::NAN), []);
    }
}

#[test]
fn fingers_get_numbers_of_their_own() {
    let mut translator = translator();
    let mut send = |event: NavigationEvent| navigate(&mut translator, &event, ABSOLUTE);
    let down = |id| NavigationEvent::new_touch_down(id, 10.0, 20.0, f64::NAN);
    let touch = |finger, how| Input::Touch { finger, how };
    let at = Touch::Down { x: 10, y: 20 };
    assert_eq!(send(down(1000)), [touch(0, at)]);
    assert_eq!(send(down(7)), [touch(1, at)]);
    assert_eq!(send(down(7)), [], "it is down");
    let moved = NavigationEvent::new_touch_motion(7, 11.0, 21.0, 0.5);
    assert_eq!(send(moved), [touch(1, Touch::Motion { x: 11, y: 21 })]);
    assert_eq!(send(NavigationEvent::new_touch_up(1000, 1.0, 1.0)), [touch(0, Touch::Up)]);
    assert_eq!(send(NavigationEvent::new_touch_up(1000, 1.0, 1.0)), []);
    assert_eq!(send(NavigationEvent::new_touch_frame()), []);
    assert_eq!(send(down(3)), [touch(0, at)]);
    let gone = [touch(0, Touch::Cancel), touch(1, Touch::Cancel)];
    assert_eq!(send(NavigationEvent::new_touch_cancel()), gone);
    let all: Vec<_> = (0..20).flat_map(|id| send(down(id))).collect();
    assert_eq!(all.len(), FINGERS_MAX as usize);
}

#[test]
fn what_navigation_can_not_say_is_taken_from_structures() {
    let mut translator = translator();
    let mut send = |text: &str, guest| custom(&mut translator, text, guest);
    let by = "MouseMoveRelative, pointer_x=(double)3, pointer_y=(double)-4";
    assert_eq!(send(by, RELATIVE), Some(vec![Input::PointerBy { dx: 3, dy: -4 }]));
    // From the middle of the picture on, where a guest wants a place.
    assert_eq!(send(by, ABSOLUTE), Some(vec![Input::PointerAt { x: 323, y: 236 }]));
    assert_eq!(send(by, ABSOLUTE), Some(vec![Input::PointerAt { x: 326, y: 232 }]));
    let at = "MouseMoveAbsolute, pointer_x=(double)3, pointer_y=(double)4";
    assert_eq!(send(at, ABSOLUTE), Some(vec![Input::PointerAt { x: 3, y: 4 }]));
    let press = "KeyboardKey, key=(uint)30, pressed=true";
    assert_eq!(send(press, ABSOLUTE), Some(vec![key(30, true)]));
    let click = "MouseButton, button=(uint)272, pressed=true";
    assert_eq!(send(click, ABSOLUTE), Some(vec![button(0x110, true)]));
    let axis = "MouseAxis, x=(double)0, y=(double)120";
    assert_eq!(send(axis, ABSOLUTE), Some(vec![Input::Wheel { dx: 0, dy: 120 }]));
    let touch = |how| Some(vec![Input::Touch { finger: 0, how }]);
    let down = "TouchDown, id=(uint)9, x=(double)0.5, y=(double)1";
    assert_eq!(send(down, ABSOLUTE), touch(Touch::Down { x: 320, y: 479 }));
    let motion = "TouchMotion, id=(uint)9, x=(double)0, y=(double)0.25";
    assert_eq!(send(motion, ABSOLUTE), touch(Touch::Motion { x: 0, y: 120 }));
    assert_eq!(send("TouchUp, id=(uint)9", ABSOLUTE), touch(Touch::Up));
    assert_eq!(send("TouchFrame", ABSOLUTE), Some(vec![]));
    assert_eq!(send("TouchCancel", ABSOLUTE), Some(vec![]));
    // Whoever means something else by these names isn't meant.
    for other in [
        "Unheard",
        "KeyboardKey",
        "KeyboardKey, key=(string)a, pressed=true",
        "MouseAxis, x=(double)1",
    ] {
        assert_eq!(send(other, ABSOLUTE), None, "{other}");
    }
}

#[test]
fn all_that_is_down_is_lifted_once() {
    let mut translator = translator();
    custom(&mut translator, "KeyboardKey, key=(uint)29, pressed=true", ABSOLUTE);
    navigate(&mut translator, &NavigationEvent::new_key_press("a"), ABSOLUTE);
    navigate(&mut translator, &NavigationEvent::new_mouse_button_press(1, 1.0, 1.0), ABSOLUTE);
    navigate(&mut translator, &NavigationEvent::new_touch_down(5, 1.0, 1.0, 1.0), ABSOLUTE);
    let cancel = Input::Touch { finger: 0, how: Touch::Cancel };
    let expected = [key(30, false), key(29, false), button(0x110, false), cancel];
    assert_eq!(translator.release_all(), expected);
    assert_eq!(translator.release_all(), []);
}

#[test]
fn other_events_are_none_of_ours() {
    let mut translator = translator();
    let command = NavigationEvent::new_command(gst_video::NavigationCommand::Menu1);
    let command = gst::event::Navigation::new(command.structure());
    let nonsense =
        gst::Structure::builder("application/x-gst-navigation").field("event", "nonsense");
    let nonsense = gst::event::Navigation::new(nonsense.build());
    let half = gst::Structure::builder("application/x-gst-navigation").field("event", "mouse-move");
    let half = gst::event::Navigation::new(half.build());
    for event in [command, nonsense, half, gst::event::Eos::new(), gst::event::Reconfigure::new()] {
        assert_eq!(translator.event(&event, ABSOLUTE), None, "{event:?}");
    }
}
