//! What QEMU calls keys: the "qnum", a scan code of set 1 whose 0xe0 is folded into bit 7.

/// Up to this code evdev numbers keys as scan codes of set 1 do.
const ALIKE: u32 = 83;

/// The qnums of the keys above, one a code; 0 where QEMU knows none (or has given its number to
/// another key). At the end of each row: the code of its first.
#[rustfmt::skip]
const OTHERS: [u8; 156] = [
    0x00, 0x76, 0x56, 0x57, 0x58, 0x73, 0x78, 0x77, 0x79, 0x70, 0x7b, 0x5c, // 84
    0x9c, 0x9d, 0xb5, 0x54, 0xb8, 0x5b, 0xc7, 0xc8, 0xc9, 0xcb, 0xcd, 0xcf, // 96
    0xd0, 0xd1, 0xd2, 0xd3, 0xef, 0xa0, 0xae, 0xb0, 0xde, 0x59, 0xce, 0xc6, // 108
    0x8b, 0x7e, 0x72, 0x71, 0x7d, 0xdb, 0xdc, 0xdd, 0xe8, 0x85, 0x86, 0x87, // 120
    0x8c, 0xf8, 0x64, 0x65, 0xc1, 0xbc, 0xf5, 0x9e, 0xa1, 0x66, 0xdf, 0xe3, // 132
    0x67, 0x68, 0x69, 0x93, 0x9f, 0x97, 0x82, 0x6a, 0x92, 0x6b, 0xa6, 0xec, // 144
    0xe6, 0xeb, 0xea, 0xe9, 0xa3, 0x6c, 0xfd, 0x99, 0xa2, 0x90, 0xa4, 0xb1, // 156
    0x98, 0x63, 0x00, 0x81, 0xb2, 0xe7, 0x00, 0x00, 0x88, 0x75, 0x8f, 0xf6, // 168
    0xfb, 0x89, 0x8a, 0x5d, 0x5e, 0x5f, 0x55, 0x83, 0xf7, 0x84, 0x5a, 0x74, // 180
    0xf9, 0x6d, 0x6f, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa8, 0xa9, 0xab, 0xac, // 192
    0xad, 0xa5, 0xaf, 0xb3, 0xb4, 0xb6, 0xb9, 0xba, 0xbb, 0xbd, 0xbe, 0xbf, // 204
    0xc0, 0xe5, 0xc2, 0xc3, 0xc4, 0xc5, 0x94, 0xca, 0xcc, 0xd4, 0xed, 0xd6, // 216
    0xd7, 0xd8, 0xd9, 0xda, 0xe4, 0x8e, 0xd5, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, // 228
];

/// The qnum of a key that evdev knows by `code`; `None` where QEMU has no word for it.
pub(super) fn qnum(code: u32) -> Option<u32> {
    match code {
        0 => None,
        1..=ALIKE => Some(code),
        _ => {
            let at = usize::try_from(code - ALIKE - 1).ok()?;
            OTHERS.get(at).copied().filter(|&qnum| qnum != 0).map(u32::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evdev codes, and what a PC keyboard sends for the same keys, or would: few have F13 to F24.
    const KNOWN: &[(&str, u32, &[u8])] = &[
        ("Esc", 1, &[0x01]),
        ("1", 2, &[0x02]),
        ("Q", 16, &[0x10]),
        ("Enter", 28, &[0x1c]),
        ("left Ctrl", 29, &[0x1d]),
        ("A", 30, &[0x1e]),
        ("left Shift", 42, &[0x2a]),
        ("Z", 44, &[0x2c]),
        ("right Shift", 54, &[0x36]),
        ("left Alt", 56, &[0x38]),
        ("Space", 57, &[0x39]),
        ("Caps Lock", 58, &[0x3a]),
        ("F1", 59, &[0x3b]),
        ("F10", 68, &[0x44]),
        ("Num Lock", 69, &[0x45]),
        ("Scroll Lock", 70, &[0x46]),
        ("keypad .", 83, &[0x53]),
        ("the key beside left Shift", 86, &[0x56]),
        ("F11", 87, &[0x57]),
        ("F12", 88, &[0x58]),
        ("Ro", 89, &[0x73]),
        ("Henkan", 92, &[0x79]),
        ("Katakana/Hiragana", 93, &[0x70]),
        ("Muhenkan", 94, &[0x7b]),
        ("keypad Enter", 96, &[0xe0, 0x1c]),
        ("right Ctrl", 97, &[0xe0, 0x1d]),
        ("keypad /", 98, &[0xe0, 0x35]),
        // With Alt; QEMU tells the other case by itself.
        ("Print Screen", 99, &[0x54]),
        ("right Alt", 100, &[0xe0, 0x38]),
        ("Home", 102, &[0xe0, 0x47]),
        ("Up", 103, &[0xe0, 0x48]),
        ("Page Up", 104, &[0xe0, 0x49]),
        ("Left", 105, &[0xe0, 0x4b]),
        ("Right", 106, &[0xe0, 0x4d]),
        ("End", 107, &[0xe0, 0x4f]),
        ("Down", 108, &[0xe0, 0x50]),
        ("Page Down", 109, &[0xe0, 0x51]),
        ("Insert", 110, &[0xe0, 0x52]),
        ("Delete", 111, &[0xe0, 0x53]),
        ("Mute", 113, &[0xe0, 0x20]),
        ("Volume Down", 114, &[0xe0, 0x2e]),
        ("Volume Up", 115, &[0xe0, 0x30]),
        ("Power", 116, &[0xe0, 0x5e]),
        // With Ctrl; QEMU tells the other case by itself.
        ("Pause", 119, &[0xe0, 0x46]),
        ("Hangul", 122, &[0x72]),
        ("Hanja", 123, &[0x71]),
        ("Yen", 124, &[0x7d]),
        ("left Super", 125, &[0xe0, 0x5b]),
        ("right Super", 126, &[0xe0, 0x5c]),
        ("Menu", 127, &[0xe0, 0x5d]),
        ("Calculator", 140, &[0xe0, 0x21]),
        ("Sleep", 142, &[0xe0, 0x5f]),
        ("Wake", 143, &[0xe0, 0x63]),
        ("Mail", 155, &[0xe0, 0x6c]),
        ("Bookmarks", 156, &[0xe0, 0x66]),
        ("My Computer", 157, &[0xe0, 0x6b]),
        ("Back", 158, &[0xe0, 0x6a]),
        ("Forward", 159, &[0xe0, 0x69]),
        ("Next", 163, &[0xe0, 0x19]),
        ("Play/Pause", 164, &[0xe0, 0x22]),
        ("Previous", 165, &[0xe0, 0x10]),
        ("Stop", 166, &[0xe0, 0x24]),
        ("Home Page", 172, &[0xe0, 0x32]),
        ("Refresh", 173, &[0xe0, 0x67]),
        ("F13", 183, &[0x5d]),
        ("F14", 184, &[0x5e]),
        ("F15", 185, &[0x5f]),
        ("F16", 186, &[0x55]),
        ("F17", 187, &[0xe0, 0x03]),
        ("F18", 188, &[0xe0, 0x77]),
        ("F19", 189, &[0xe0, 0x04]),
        ("F20", 190, &[0x5a]),
        ("F21", 191, &[0x74]),
        ("F22", 192, &[0xe0, 0x79]),
        ("F23", 193, &[0x6d]),
        ("F24", 194, &[0x6f]),
        ("Search", 217, &[0xe0, 0x65]),
        ("Media", 226, &[0xe0, 0x6d]),
    ];

    #[test]
    fn keys_are_what_a_pc_keyboard_sends() {
        for (name, code, sent) in KNOWN {
            let qnum = match *sent {
                [0xe0, code] => 0x80 | u32::from(*code),
                [code] => u32::from(*code),
                other => panic!("{other:?}"),
            };
            assert_eq!(super::qnum(*code), Some(qnum), "{name}");
        }
    }

    #[test]
    fn no_two_keys_share_a_number() {
        let mut keys: Vec<_> = (0..0x300).filter_map(qnum).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert!(keys.iter().all(|qnum| (1..=0xff).contains(qnum)));
    }

    #[test]
    fn what_no_keyboard_has_is_no_key() {
        for code in [0, 84, 240, 0x110, 0x2ff, u32::MAX] {
            assert_eq!(qnum(code), None, "{code}");
        }
    }
}
