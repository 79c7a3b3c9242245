//! What keys are called: as evdev calls them, without its `KEY_`.

/// The names of keys by their codes; empty where evdev has none.
const NAMES: &[&str] = &[
    "",
    "ESC",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "0",
    "MINUS",
    "EQUAL",
    "BACKSPACE",
    "TAB",
    "Q",
    "W",
    "E",
    "R",
    "T",
    "Y",
    "U",
    "I",
    "O",
    "P",
    "LEFTBRACE",
    "RIGHTBRACE",
    "ENTER",
    "LEFTCTRL",
    "A",
    "S",
    "D",
    "F",
    "G",
    "H",
    "J",
    "K",
    "L",
    "SEMICOLON",
    "APOSTROPHE",
    "GRAVE",
    "LEFTSHIFT",
    "BACKSLASH",
    "Z",
    "X",
    "C",
    "V",
    "B",
    "N",
    "M",
    "COMMA",
    "DOT",
    "SLASH",
    "RIGHTSHIFT",
    "KPASTERISK",
    "LEFTALT",
    "SPACE",
    "CAPSLOCK",
    "F1",
    "F2",
    "F3",
    "F4",
    "F5",
    "F6",
    "F7",
    "F8",
    "F9",
    "F10",
    "NUMLOCK",
    "SCROLLLOCK",
    "KP7",
    "KP8",
    "KP9",
    "KPMINUS",
    "KP4",
    "KP5",
    "KP6",
    "KPPLUS",
    "KP1",
    "KP2",
    "KP3",
    "KP0",
    "KPDOT",
    "",
    "ZENKAKUHANKAKU",
    "102ND",
    "F11",
    "F12",
    "RO",
    "KATAKANA",
    "HIRAGANA",
    "HENKAN",
    "KATAKANAHIRAGANA",
    "MUHENKAN",
    "KPJPCOMMA",
    "KPENTER",
    "RIGHTCTRL",
    "KPSLASH",
    "SYSRQ",
    "RIGHTALT",
    "LINEFEED",
    "HOME",
    "UP",
    "PAGEUP",
    "LEFT",
    "RIGHT",
    "END",
    "DOWN",
    "PAGEDOWN",
    "INSERT",
    "DELETE",
    "MACRO",
    "MUTE",
    "VOLUMEDOWN",
    "VOLUMEUP",
    "POWER",
    "KPEQUAL",
    "KPPLUSMINUS",
    "PAUSE",
    "SCALE",
    "KPCOMMA",
    "HANGEUL",
    "HANJA",
    "YEN",
    "LEFTMETA",
    "RIGHTMETA",
    "COMPOSE",
    "STOP",
    "AGAIN",
    "PROPS",
    "UNDO",
    "FRONT",
    "COPY",
    "OPEN",
    "PASTE",
    "FIND",
    "CUT",
    "HELP",
    "MENU",
    "CALC",
    "SETUP",
    "SLEEP",
    "WAKEUP",
    "FILE",
    "SENDFILE",
    "DELETEFILE",
    "XFER",
    "PROG1",
    "PROG2",
    "WWW",
    "MSDOS",
    "COFFEE",
    "ROTATE_DISPLAY",
    "CYCLEWINDOWS",
    "MAIL",
    "BOOKMARKS",
    "COMPUTER",
    "BACK",
    "FORWARD",
    "CLOSECD",
    "EJECTCD",
    "EJECTCLOSECD",
    "NEXTSONG",
    "PLAYPAUSE",
    "PREVIOUSSONG",
    "STOPCD",
    "RECORD",
    "REWIND",
    "PHONE",
    "ISO",
    "CONFIG",
    "HOMEPAGE",
    "REFRESH",
    "EXIT",
    "MOVE",
    "EDIT",
    "SCROLLUP",
    "SCROLLDOWN",
    "KPLEFTPAREN",
    "KPRIGHTPAREN",
    "NEW",
    "REDO",
    "F13",
    "F14",
    "F15",
    "F16",
    "F17",
    "F18",
    "F19",
    "F20",
    "F21",
    "F22",
    "F23",
    "F24",
    "",
    "",
    "",
    "",
    "",
    "PLAYCD",
    "PAUSECD",
    "PROG3",
    "PROG4",
    "ALL_APPLICATIONS",
    "SUSPEND",
    "CLOSE",
    "PLAY",
    "FASTFORWARD",
    "BASSBOOST",
    "PRINT",
    "HP",
    "CAMERA",
    "SOUND",
    "QUESTION",
    "EMAIL",
    "CHAT",
    "SEARCH",
    "CONNECT",
    "FINANCE",
    "SPORT",
    "SHOP",
    "ALTERASE",
    "CANCEL",
    "BRIGHTNESSDOWN",
    "BRIGHTNESSUP",
    "MEDIA",
    "SWITCHVIDEOMODE",
    "KBDILLUMTOGGLE",
    "KBDILLUMDOWN",
    "KBDILLUMUP",
    "SEND",
    "REPLY",
    "FORWARDMAIL",
    "SAVE",
    "DOCUMENTS",
    "BATTERY",
    "BLUETOOTH",
    "WLAN",
    "UWB",
    "UNKNOWN",
    "VIDEO_NEXT",
    "VIDEO_PREV",
    "BRIGHTNESS_CYCLE",
    "BRIGHTNESS_AUTO",
    "DISPLAY_OFF",
    "WWAN",
    "RFKILL",
    "MICMUTE",
];

/// Other names that people look for.
const ALSO: &[(&str, &str)] =
    &[("escape", "ESC"), ("return", "ENTER"), ("printscreen", "SYSRQ"), ("menu", "COMPOSE")];

/// Modifiers, in the order in which they are said, and the codes of the keys that they are on.
pub const MODIFIERS: [(&str, [u32; 2]); 5] = [
    ("Ctrl", [29, 97]),
    ("Alt", [56, 56]),
    // It is for typing, on most layouts; so it is none of the others.
    ("AltGr", [100, 100]),
    ("Shift", [42, 54]),
    ("Super", [125, 126]),
];

/// Which of [`MODIFIERS`] is called that, in whatever case.
pub fn modifier_at(name: &str) -> Option<usize> {
    let name = if name.eq_ignore_ascii_case("meta") { "super" } else { name };
    MODIFIERS.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// The code of the modifier with that name, the left one of two.
pub fn modifier(name: &str) -> Option<u32> {
    modifier_at(name).map(|at| MODIFIERS[at].1[0])
}

/// What modifiers are called, for sentences.
pub fn modifiers() -> String {
    MODIFIERS.map(|(name, _)| name.to_ascii_lowercase()).join(", ")
}

/// The code of the key with that name, in whatever case.
pub fn code(name: &str) -> Option<u32> {
    let also = ALSO.iter().find(|(also, _)| also.eq_ignore_ascii_case(name));
    let name = also.map_or(name, |(_, name)| name);
    let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
    at.filter(|&at| at > 0).and_then(|at| u32::try_from(at).ok())
}

/// What the key with that code is called.
pub fn name(code: u32) -> Option<&'static str> {
    let name = NAMES.get(usize::try_from(code).ok()?)?;
    Some(*name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_where_evdev_has_them() {
        let known =
            [(1, "ESC"), (2, "1"), (30, "A"), (58, "CAPSLOCK"), (59, "F1"), (70, "SCROLLLOCK")];
        let more = [(87, "F11"), (97, "RIGHTCTRL"), (107, "END"), (125, "LEFTMETA"), (194, "F24")];
        for (number, known) in known.into_iter().chain(more) {
            assert_eq!((name(number), code(known)), (Some(known), Some(number)));
        }
        assert_eq!((name(0), name(84), name(9999)), (None, None, None));
    }

    #[test]
    fn case_does_not_matter_and_some_have_two_names() {
        assert_eq!((code("f12"), code("Escape"), code("Menu")), (Some(88), Some(1), Some(127)));
        assert_eq!((code(""), code("KEY_A"), code("ctrl")), (None, None, None));
    }

    #[test]
    fn each_name_is_one_keys() {
        for (at, name) in NAMES.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            // KEY_MENU isn't the key of that name on a PC's keyboard.
            assert!(code(name) == u32::try_from(at).ok() || *name == "MENU", "{name}");
        }
    }
}
