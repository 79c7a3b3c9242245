//! What a guest gets of what a script does.

use rustix::process::{Pid, Signal, kill_process};

use crate::Folder;
use crate::fake_qemu::{Did, FakeVm, VM};
use crate::guest::Guest;

/// What the guest of a script gets: a number a key or button that goes down, its negative for one that comes up.
fn typed(script: &str) -> Vec<i64> {
    got(script).into_iter().map(|(how, a, _)| if how.ends_with("Press") { a } else { -a }).collect()
}

fn got(script: &str) -> Vec<Did> {
    let folder = Folder::with(&format!("pace 1ms\n{script}\nkey scrolllock"));
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(50);
    let end: Did = ("Keyboard.Press".to_owned(), 70, 0);
    let all = std::iter::from_fn(|| Some(guest.did()).filter(|did| *did != end)).collect();
    guest.ends().succeeds();
    all
}

#[test]
fn typed_keys_arrive_in_order_and_come_up() {
    assert_eq!(typed(r#"type "aB\t\n""#), [30, -30, 42, 48, -48, -42, 15, -15, 28, -28]);
    // What QEMU calls Delete has the bit of the grey keys.
    assert_eq!(typed("key ctrl+alt+delete f2"), [29, 56, 0xd3, -0xd3, -56, -29, 60, -60]);
}

#[test]
fn keys_are_those_of_the_layout_from_that_line_on() {
    if fanlight::typing::Keymap::named("de").is_err() {
        println!(
            "SKIP keys_are_those_of_the_layout_from_that_line_on: there are no keyboard layouts here"
        );
        return;
    }
    let script = "type z\nlayout de(nodeadkeys)\ntype \"z@\"\nkey ctrl+z\nkey ctrl+minus";
    let alt_gr = 0xb8;
    let german = [21, -21, alt_gr, 16, -16, -alt_gr, 29, 21, -21, -29, 29, 53, -53, -29];
    assert_eq!(typed(script), [&[44, -44], &german[..]].concat());
}

#[test]
fn what_is_held_stays_down_until_it_is_released() {
    assert_eq!(
        typed("hold shift\ntype aB\nkey shift+c\nrelease"),
        [42, 30, -30, 48, -48, 46, -46, -42]
    );
    let script = "hold ctrl alt\nrelease ctrl\nkey a\nhold alt\nrelease";
    assert_eq!(typed(script), [29, 56, -29, 30, -30, -56]);
}

#[test]
fn nothing_stays_down_when_the_script_ends() {
    let folder = Folder::with("hold ctrl+alt");
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(50);
    let all = [(); 4].map(|()| guest.did());
    let key = |how: &str, code| (format!("Keyboard.{how}"), code, 0);
    let wanted = [key("Press", 29), key("Press", 56), key("Release", 29), key("Release", 56)];
    assert_eq!(all, wanted);
    guest.ends().succeeds();
}

#[test]
fn the_pointer_goes_clicks_and_drags() {
    let at = |x, y| ("Mouse.SetAbsPosition".to_owned(), x, y);
    let button = |how: &str, which| (format!("Mouse.{how}"), which, 0);
    let (left, middle, right) = (0, 1, 2);
    let script = "move 1,2\nclick\nclick right 3,4\ndoubleclick 5,6\nclick middle";
    let press = |which| [button("Press", which), button("Release", which)];
    let mut wanted = vec![at(1, 2)];
    wanted.extend(press(left));
    wanted.push(at(3, 4));
    wanted.extend(press(right));
    wanted.push(at(5, 6));
    wanted.extend([press(left), press(left), press(middle)].concat());
    assert_eq!(got(script), wanted);
    let dragged = got("drag 0,40 16,0");
    assert_eq!(dragged[..2], [at(0, 40), button("Press", left)]);
    assert_eq!(dragged[dragged.len() - 2..], [at(16, 0), button("Release", left)]);
    assert!(dragged.contains(&at(8, 20)), "{dragged:?}");
    // The wheel is two buttons.
    let wheel = |which| press(which).to_vec();
    assert_eq!(got("scroll -2"), [wheel(3), wheel(3)].concat());
    assert_eq!(got("scroll 1"), wheel(4));
}

#[test]
fn a_place_that_is_not_on_the_screen_is_refused() {
    let folder = Folder::with("wait stable:1ms\nclick 64,1");
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(50);
    guest.ends().fails(1, &["test.fan:2: 64,1 is outside of the guest's screen, which is 64x48"]);
}

#[test]
fn a_mouse_that_takes_no_place_is_refused() {
    let folder = Folder::with("wait stable:1ms\nmove 1,1");
    let mut guest = Guest::start(&folder, FakeVm { absolute: false, ..VM }, &[]);
    guest.shows(50);
    guest.ends().fails(1, &["test.fan:2: the guest's mouse can't be told a place", "usb-tablet"]);
}

/// Without it a guest whose script was stopped would take each key for a shortcut.
#[test]
fn a_signal_lifts_what_is_held() {
    let folder = Folder::with("wait stable:1ms\nhold ctrl\nwait gone");
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(50);
    assert_eq!(guest.did(), ("Keyboard.Press".to_owned(), 29, 0));
    kill_process(Pid::from_child(&guest.child), Signal::INT).unwrap();
    assert_eq!(guest.did(), ("Keyboard.Release".to_owned(), 29, 0));
    guest.ends().fails(1, &["test.fan:", "interrupted; what is on the screen is in test-line"]);
}
