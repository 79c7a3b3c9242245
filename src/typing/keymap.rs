//! Which key of a keyboard makes a keysym: a keymap, backwards.

use std::collections::HashMap;

use kbvm::xkb::diagnostic::Diagnostic;
use kbvm::xkb::keymap::{KeyGroup, KeyLevel, KeyTypeMapping, VirtualModifier};
use kbvm::xkb::rmlvo::Group;
use kbvm::xkb::{Context, Keymap as XkbKeymap};
use kbvm::{Keysym, ModifierMask, syms};

use super::us;

/// `KEY_A`: on every keyboard of letters there is one there.
const A_LETTER: u32 = 30;
/// `KEY_102ND`: on some keyboards there is none, and on others it makes something else.
const EXTRA: u32 = 86;
/// The last key of an ordinary keyboard.
const ORDINARY_MAX: u32 = 127;
/// `KEY_LEFTSHIFT`.
pub(super) const LEFT_SHIFT: u32 = 42;
/// `KEY_RIGHTALT`, which makes the third level where a layout has one.
pub(super) const RIGHT_ALT: u32 = 100;
/// Keys that only keymaps have: what names a modifier and no key (`<LVL3>`, `<MDSW>`, `<ALT>`, …).
const FAKE: [u32; 6] = [84, 195, 196, 197, 198, 199];

/// How a keysym is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    /// `KEY_*`.
    pub code: u32,
    /// Whether Shift has to be down, or up; `None`: it makes no difference.
    pub shift: Option<bool>,
    /// The same of AltGr.
    pub level3: Option<bool>,
    /// Caps Lock turns Shift around.
    pub letter: bool,
}

/// Every keysym that a keyboard makes.
#[derive(Debug)]
pub struct Keymap {
    /// The layout's name.
    name: String,
    strokes: HashMap<Keysym, Stroke>,
}

/// There is no layout of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the keyboard layout \"{0}\" is not to be found: install xkeyboard-config (xkb-data), or name one that \
     `localectl list-x11-keymap-layouts` shows"
)]
pub struct NoLayout(pub String);

impl Keymap {
    /// Of the layout of that XKB name, `us` or `de(nodeadkeys)`, say; of several with commas the first.
    ///
    /// # Errors
    /// If this system has no such layout. `us` there is always.
    pub fn named(name: &str) -> Result<Self, NoLayout> {
        Self::found(&Context::default(), name)
    }

    /// Of a US keyboard, on any system.
    pub fn us() -> Self {
        Self { name: "us".to_owned(), strokes: us::strokes() }
    }

    fn found(context: &Context, name: &str) -> Result<Self, NoLayout> {
        let first = name.split(',').next().unwrap_or_default().trim();
        let (layout, variant) = first.split_once('(').unwrap_or((first, ""));
        let (layout, variant) = (layout.trim(), variant.trim_end_matches(')').trim());
        let groups = [Group { layout, variant }];
        // What it complains of is found out below.
        let mut complaints = Vec::<Diagnostic>::new();
        let none: &[&str] = &[];
        let made =
            context.keymap_from_names(&mut complaints, None, None, Some(&groups), Some(none));
        let strokes = backwards(&made);
        if strokes.values().any(|stroke| stroke.code == A_LETTER) {
            Ok(Self { name: first.to_owned(), strokes })
        } else if (layout, variant) == ("us", "") {
            Ok(Self::us())
        } else {
            Err(NoLayout(first.to_owned()))
        }
    }

    /// What the layout is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that makes `keysym`.
    pub fn stroke(&self, keysym: Keysym) -> Option<Stroke> {
        let direct = self.strokes.get(&keysym);
        // Some letters have two keysyms.
        let other = || self.strokes.get(&Keysym::from_char(keysym.char()?));
        direct.or_else(other).copied()
    }
}

fn backwards(made: &XkbKeymap) -> HashMap<Keysym, Stroke> {
    let level3 = made.virtual_modifiers().find(|of| of.name() == "LevelThree");
    let level3 = level3.map_or(ModifierMask::MOD5, VirtualModifier::mask);
    let mut best: HashMap<Keysym, (Rank, Stroke)> = HashMap::new();
    for key in made.keys() {
        let code = key.keycode().to_evdev();
        let Some(Some(group)) = key.groups().next() else { continue };
        if FAKE.contains(&code) {
            continue;
        }
        let turns = |mask| group.ty().mask().contains(mask);
        for (level, symbols) in group.levels().enumerate() {
            let &[keysym] = symbols.symbols() else { continue };
            let ways = group.ty().mappings().filter(|way| way.level() == level);
            let ways = ways.map(KeyTypeMapping::mask);
            // A keypad's figures are made with Num Lock on, which follows the user's.
            let alone = level == 0 || keysym.is_keypad();
            let ways = ways.chain(alone.then_some(ModifierMask::NONE));
            let (shift, third) = (ModifierMask::SHIFT, level3);
            let possible = ways.filter(|mask| (shift | third).contains(*mask));
            let Some(mask) = possible.min_by_key(|mask| mask.0.count_ones()) else { continue };
            let ask = |modifier: ModifierMask| {
                let other = symbols_with(group, ModifierMask(mask.0 ^ modifier.0));
                let matters = turns(modifier) && other != Some(symbols.symbols());
                (matters && !keysym.is_keypad()).then(|| mask.contains(modifier))
            };
            let letter = turns(ModifierMask::LOCK);
            let stroke = Stroke { code, shift: ask(shift), level3: ask(third), letter };
            let rank = (code > ORDINARY_MAX || code == EXTRA, mask.0.count_ones(), code);
            let known = best.entry(keysym).or_insert((rank, stroke));
            if rank < known.0 {
                *known = (rank, stroke);
            }
        }
    }
    let mut strokes: HashMap<_, _> =
        best.into_iter().map(|(keysym, (_, stroke))| (keysym, stroke)).collect();
    strokes.remove(&syms::NoSymbol);
    let alt_gr = Stroke { code: RIGHT_ALT, shift: None, level3: None, letter: false };
    strokes.entry(syms::ISO_Level3_Shift).or_insert(alt_gr);
    strokes
}

/// What a key makes while exactly these are down.
fn symbols_with(group: &KeyGroup, mask: ModifierMask) -> Option<&[Keysym]> {
    let way = group.ty().mappings().find(|way| way.mask() == mask);
    group.levels().nth(way.map_or(0, KeyTypeMapping::level)).map(KeyLevel::symbols)
}

/// Which key is the better one for a keysym, the smallest: one that every keyboard has, with few modifiers.
type Rank = (bool, u32, u32);

/// The keysym of that X name, or of that one character.
pub fn keysym(name: &str) -> Option<Keysym> {
    let mut characters = name.chars();
    let only = characters.next().filter(|_| characters.next().is_none());
    Keysym::from_str(name).or_else(|| only.map(Keysym::from_char))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `None`, with the reason printed, where this system has no keyboard layouts.
    pub(in super::super) fn layout(name: &str) -> Option<Keymap> {
        Keymap::named(name).inspect_err(|error| println!("SKIP {name}: {error}")).ok()
    }

    /// Code, Shift and AltGr.
    fn typed(keymap: &Keymap, name: &str) -> (u32, Option<bool>, Option<bool>) {
        let stroke = keysym(name).and_then(|keysym| keymap.stroke(keysym));
        let Stroke { code, shift, level3, .. } = stroke.unwrap_or_else(|| panic!("no key: {name}"));
        (code, shift, level3)
    }

    const UP: Option<bool> = Some(false);
    const DOWN: Option<bool> = Some(true);

    fn check_us(keymap: &Keymap) {
        for (name, expected) in [
            ("a", (30, UP, None)),
            ("A", (30, DOWN, None)),
            ("1", (2, UP, None)),
            ("exclam", (2, DOWN, None)),
            ("!", (2, DOWN, None)),
            ("U0041", (30, DOWN, None)),
            ("parenleft", (10, DOWN, None)),
            // Not on the key that an American keyboard hasn't got.
            ("less", (51, DOWN, None)),
            ("bar", (43, DOWN, None)),
            ("backslash", (43, UP, None)),
            ("Return", (28, None, None)),
            ("Escape", (1, None, None)),
            ("space", (57, None, None)),
            ("Left", (105, None, None)),
            ("Delete", (111, None, None)),
            ("Tab", (15, UP, None)),
            ("ISO_Left_Tab", (15, DOWN, None)),
            ("KP_1", (79, None, None)),
            ("KP_Enter", (96, None, None)),
            ("KP_End", (79, None, None)),
        ] {
            assert_eq!(typed(keymap, name), expected, "{name}");
        }
        for (name, code) in [
            ("Shift_L", 42),
            ("Shift_R", 54),
            ("Control_L", 29),
            ("Control_R", 97),
            ("Alt_L", 56),
            ("Super_L", 125),
            ("ISO_Level3_Shift", 100),
            ("Caps_Lock", 58),
            ("Num_Lock", 69),
            ("F1", 59),
            ("F12", 88),
            ("Print", 99),
            ("Page_Up", 104),
            ("Prior", 104),
        ] {
            assert_eq!(typed(keymap, name).0, code, "{name}");
        }
        assert!(keymap.stroke(keysym("a").unwrap()).unwrap().letter);
        assert!(!keymap.stroke(keysym("1").unwrap()).unwrap().letter);
        assert!(keymap.stroke(keysym("odiaeresis").unwrap()).is_none());
    }

    #[test]
    fn keys_of_a_us_keyboard_are_found() {
        if let Some(keymap) = layout("us") {
            check_us(&keymap);
        }
    }

    #[test]
    fn keys_of_a_german_keyboard_are_found() {
        let Some(keymap) = layout("de(nodeadkeys), us") else { return };
        for (name, expected) in [
            ("z", (21, UP, UP)),
            ("odiaeresis", (39, UP, UP)),
            ("slash", (8, DOWN, UP)),
            ("at", (16, UP, DOWN)),
            ("EuroSign", (18, None, DOWN)),
            ("asciicircum", (41, UP, UP)),
            ("less", (86, UP, UP)),
            ("bar", (86, UP, DOWN)),
        ] {
            assert_eq!(typed(&keymap, name), expected, "{name}");
        }
    }

    #[test]
    fn without_layouts_there_is_a_us_keyboard() {
        let mut nowhere = Context::builder();
        nowhere.enable_default_includes(false);
        let nowhere = nowhere.build();
        check_us(&Keymap::found(&nowhere, "us").unwrap());
        let error = Keymap::found(&nowhere, "de(nodeadkeys), us").unwrap_err();
        assert_eq!(error, NoLayout("de(nodeadkeys)".to_owned()));
        assert!(error.to_string().contains("install xkeyboard-config"), "{error}");
        for name in ["nowhere(at all)", "", "us(nonsense)", "../us"] {
            assert!(Keymap::named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn no_text_is_a_keysym_by_mistake() {
        for name in ["", "no such key", "ab", "exclam "] {
            assert_eq!(keysym(name), None, "{name:?}");
        }
    }
}
