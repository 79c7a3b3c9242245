//! A US keyboard, for systems that have no keyboard layouts.

use std::collections::HashMap;

use kbvm::{Keysym, syms};

use super::keymap::{Stroke, keysym};

/// `KEY_TAB`.
const TAB: u32 = 15;

/// Rows of keys by the code of the first; what each makes alone and with Shift.
const ROWS: [(u32, &str, &str); 5] = [
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (43, "\\", "|"),
    (44, "zxcvbnm,./", "ZXCVBNM<>?"),
];

/// Keys by the names of their keysyms.
const NAMED: [(u32, &str); 79] = [
    (1, "Escape"),
    (14, "BackSpace"),
    (28, "Return"),
    (29, "Control_L"),
    (42, "Shift_L"),
    (54, "Shift_R"),
    (55, "KP_Multiply"),
    (56, "Alt_L"),
    (57, "space"),
    (58, "Caps_Lock"),
    (59, "F1"),
    (60, "F2"),
    (61, "F3"),
    (62, "F4"),
    (63, "F5"),
    (64, "F6"),
    (65, "F7"),
    (66, "F8"),
    (67, "F9"),
    (68, "F10"),
    (69, "Num_Lock"),
    (70, "Scroll_Lock"),
    (71, "KP_7"),
    (71, "KP_Home"),
    (72, "KP_8"),
    (72, "KP_Up"),
    (73, "KP_9"),
    (73, "KP_Prior"),
    (74, "KP_Subtract"),
    (75, "KP_4"),
    (75, "KP_Left"),
    (76, "KP_5"),
    (76, "KP_Begin"),
    (77, "KP_6"),
    (77, "KP_Right"),
    (78, "KP_Add"),
    (79, "KP_1"),
    (79, "KP_End"),
    (80, "KP_2"),
    (80, "KP_Down"),
    (81, "KP_3"),
    (81, "KP_Next"),
    (82, "KP_0"),
    (82, "KP_Insert"),
    (83, "KP_Decimal"),
    (83, "KP_Delete"),
    (87, "F11"),
    (88, "F12"),
    (96, "KP_Enter"),
    (97, "Control_R"),
    (98, "KP_Divide"),
    (99, "Print"),
    (99, "Sys_Req"),
    (100, "Alt_R"),
    (100, "ISO_Level3_Shift"),
    (100, "Mode_switch"),
    (102, "Home"),
    (103, "Up"),
    (104, "Prior"),
    (105, "Left"),
    (106, "Right"),
    (107, "End"),
    (108, "Down"),
    (109, "Next"),
    (110, "Insert"),
    (111, "Delete"),
    (113, "XF86AudioMute"),
    (114, "XF86AudioLowerVolume"),
    (115, "XF86AudioRaiseVolume"),
    (119, "Pause"),
    (119, "Break"),
    (125, "Super_L"),
    (125, "Meta_L"),
    (126, "Super_R"),
    (126, "Meta_R"),
    (127, "Menu"),
    (163, "XF86AudioNext"),
    (164, "XF86AudioPlay"),
    (165, "XF86AudioPrev"),
];

pub(super) fn strokes() -> HashMap<Keysym, Stroke> {
    let mut strokes = HashMap::new();
    for (first, alone, shifted) in ROWS {
        for (row, shift) in [(alone, false), (shifted, true)] {
            for (code, character) in (first..).zip(row.chars()) {
                let letter = character.is_ascii_alphabetic();
                let stroke = Stroke { code, shift: Some(shift), level3: None, letter };
                strokes.insert(Keysym::from_char(character), stroke);
            }
        }
    }
    let tab = |shift| Stroke { code: TAB, shift: Some(shift), level3: None, letter: false };
    strokes.extend([(syms::Tab, tab(false)), (syms::ISO_Left_Tab, tab(true))]);
    for (code, name) in NAMED {
        let stroke = Stroke { code, shift: None, level3: None, letter: false };
        strokes.extend(keysym(name).map(|keysym| (keysym, stroke)));
    }
    strokes
}
