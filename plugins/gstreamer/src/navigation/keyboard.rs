//! Keys by keysym: which key it is, and Shift and AltGr held as that takes.

use std::collections::BTreeSet;

use fanlight::frame::Input;
use fanlight::typing::{Keymap, Keysym, Stroke, keysym};

use crate::log::CAT;

/// Past the last code that a key has.
const CODES: u32 = 0x300;
/// So many names of unknown keysyms are said.
const SAID_MAX: usize = 64;

/// The keyboard as the guest has it.
#[derive(Debug)]
pub(super) struct Keyboard {
    layout: String,
    /// Made for the first keysym.
    keymap: Option<Keymap>,
    down: Vec<Down>,
    shift: Modifier,
    level3: Modifier,
    /// The key for whose sake a modifier isn't as the sender holds it.
    odd: Option<u32>,
    unknown: BTreeSet<String>,
}

/// A key that the sender holds.
#[derive(Clone, Copy, Debug)]
struct Down {
    code: u32,
    /// `None`: it was told by its code.
    keysym: Option<Keysym>,
}

/// A modifier that may be otherwise than the sender holds it.
#[derive(Debug)]
struct Modifier {
    /// Its keys; the first is the one that is pressed for who doesn't.
    codes: &'static [u32],
    /// It is down though the sender doesn't hold it.
    added: bool,
    /// It is up though the sender holds it.
    lifted: bool,
}

impl Modifier {
    const fn of(codes: &'static [u32]) -> Self {
        Self { codes, added: false, lifted: false }
    }

    /// Makes it as a key wants it; `None`: as the sender holds it. `down` is what that is.
    fn set(&mut self, want: Option<bool>, down: &[Down], out: &mut Vec<Input>) {
        let held = down.iter().map(|key| key.code).filter(|code| self.codes.contains(code));
        let is_held = held.clone().next().is_some();
        let (added, lifted) = match want {
            Some(want) => (want && !is_held, !want && is_held),
            None => (false, false),
        };
        if added != self.added {
            out.push(Input::Key { code: self.codes[0], pressed: added });
        }
        if lifted != self.lifted {
            out.extend(held.map(|code| Input::Key { code, pressed: !lifted }));
        }
        (self.added, self.lifted) = (added, lifted);
    }
}

impl Keyboard {
    pub(super) fn new(layout: &str) -> Self {
        Self {
            layout: layout.to_owned(),
            keymap: None,
            down: Vec::new(),
            // KEY_LEFTSHIFT and KEY_RIGHTSHIFT, and KEY_RIGHTALT.
            shift: Modifier::of(&[42, 54]),
            level3: Modifier::of(&[100]),
            odd: None,
            unknown: BTreeSet::new(),
        }
    }

    /// A key of that X name; `caps`: the guest's Caps Lock is on.
    pub(super) fn named(&mut self, name: &str, pressed: bool, caps: bool, out: &mut Vec<Input>) {
        let found = keysym(name).and_then(|keysym| Some((keysym, self.keymap().stroke(keysym)?)));
        let Some((keysym, stroke)) = found else { return self.is_unknown(name) };
        if pressed {
            let shift = stroke.shift.map(|shift| shift != (stroke.letter && caps));
            let down = Down { code: stroke.code, keysym: Some(keysym) };
            self.press(down, Stroke { shift, ..stroke }, out);
        } else {
            self.release_named(keysym, stroke.code, out);
        }
    }

    /// A key by its code.
    pub(super) fn code(&mut self, code: u32, pressed: bool, out: &mut Vec<Input>) {
        if code >= CODES {
        } else if pressed {
            let any = Stroke { code, shift: None, level3: None, letter: false };
            self.press(Down { code, keysym: None }, any, out);
        } else {
            self.release(code, out);
        }
    }

    /// Nothing stays down.
    pub(super) fn release_all(&mut self, out: &mut Vec<Input>) {
        self.as_held(out);
        let down = self.down.drain(..).rev();
        out.extend(down.map(|Down { code, .. }| Input::Key { code, pressed: false }));
    }

    fn keymap(&mut self) -> &Keymap {
        let layout = &self.layout;
        self.keymap.get_or_insert_with(|| {
            Keymap::named(layout).unwrap_or_else(|error| {
                gst::warning!(CAT, "keys are those of a US keyboard, because {error}");
                Keymap::us()
            })
        })
    }

    fn press(&mut self, key: Down, stroke: Stroke, out: &mut Vec<Input>) {
        // The guest repeats by itself what is held.
        if self.down.iter().any(|down| down.code == key.code) {
            return;
        }
        let is_modifier = [&self.shift, &self.level3].iter().any(|m| m.codes.contains(&key.code));
        if is_modifier {
            self.as_held(out);
        } else {
            self.shift.set(stroke.shift, &self.down, out);
            self.level3.set(stroke.level3, &self.down, out);
            let odd = [&self.shift, &self.level3].iter().any(|m| m.added || m.lifted);
            self.odd = odd.then_some(key.code);
        }
        out.push(Input::Key { code: key.code, pressed: true });
        self.down.push(key);
    }

    /// With a modifier let go meanwhile the same key makes another keysym, of which the sender tells the release.
    fn release_named(&mut self, keysym: Keysym, code: u32, out: &mut Vec<Input>) {
        let same = self.down.iter().find(|down| down.keysym == Some(keysym));
        let same = same.or_else(|| self.down.iter().find(|down| down.code == code));
        if let Some(&Down { code, .. }) = same {
            return self.release(code, out);
        }
        // Which of them it was nobody knows, and none may stay down for ever.
        let text = |down: &&Down| down.keysym.is_some_and(|keysym| !keysym.is_modifier());
        let lost: Vec<_> = self.down.iter().filter(text).map(|down| down.code).collect();
        if !keysym.is_modifier() {
            lost.into_iter().for_each(|code| self.release(code, out));
        }
    }

    fn release(&mut self, code: u32, out: &mut Vec<Input>) {
        let Some(at) = self.down.iter().position(|down| down.code == code) else { return };
        let is_modifier = [&self.shift, &self.level3].iter().any(|m| m.codes.contains(&code));
        if is_modifier {
            self.as_held(out);
        }
        self.down.remove(at);
        out.push(Input::Key { code, pressed: false });
        if self.odd == Some(code) {
            self.as_held(out);
        }
    }

    /// Modifiers are as the sender holds them.
    fn as_held(&mut self, out: &mut Vec<Input>) {
        self.shift.set(None, &self.down, out);
        self.level3.set(None, &self.down, out);
        self.odd = None;
    }

    fn is_unknown(&mut self, name: &str) {
        if self.unknown.len() < SAID_MAX && self.unknown.insert(name.to_owned()) {
            gst::warning!(
                CAT,
                "no key of the layout \"{}\" makes \"{name}\", so the guest doesn't get it",
                self.layout
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a US keyboard: the one of the system, or ours, which is the same in all of this.
    struct Desk(Keyboard, bool);

    impl Desk {
        fn new() -> Self {
            gst::init().unwrap();
            Self(Keyboard::new("us"), false)
        }

        /// Names with + and - before them; what the guest gets is written so too.
        fn types(&mut self, names: &str) -> Vec<i32> {
            let mut out = Vec::new();
            for name in names.split_whitespace() {
                let (how, name) = name.split_at(1);
                self.0.named(name, how == "+", self.1, &mut out);
            }
            codes(out)
        }
    }

    /// A code for one that goes down, and its negative for one that comes up.
    fn codes(out: Vec<Input>) -> Vec<i32> {
        let of = |input| match input {
            Input::Key { code, pressed } => {
                i32::try_from(code).unwrap() * if pressed { 1 } else { -1 }
            }
            other => panic!("{other:?}"),
        };
        out.into_iter().map(of).collect()
    }

    #[test]
    fn keys_go_down_and_come_up() {
        let mut desk = Desk::new();
        assert_eq!(desk.types("+a -a +Return -Return"), [30, -30, 28, -28]);
        // Held, it is repeated by the guest.
        assert_eq!(desk.types("+a +a +a -a -a"), [30, -30]);
    }

    #[test]
    fn shift_that_the_sender_holds_is_enough() {
        let mut desk = Desk::new();
        assert_eq!(
            desk.types("+Shift_L +exclam -exclam +A -A -Shift_L"),
            [42, 2, -2, 30, -30, -42]
        );
        assert_eq!(desk.types("+Shift_R +A -A -Shift_R"), [54, 30, -30, -54]);
    }

    #[test]
    fn shift_is_held_around_what_needs_it() {
        let mut desk = Desk::new();
        assert_eq!(desk.types("+exclam -exclam +a -a"), [42, 2, -2, -42, 30, -30]);
        // Until another key wants it otherwise.
        assert_eq!(desk.types("+exclam +a -exclam -a"), [42, 2, -42, 30, -2, -30]);
        assert_eq!(desk.types("+exclam +question -exclam -question"), [42, 2, 53, -2, -53, -42]);
        // What shift makes no difference to is typed without.
        assert_eq!(desk.types("+exclam +Return -Return -exclam"), [42, 2, -42, 28, -28, -2]);
    }

    /// As where the sender's layout has on Shift what the guest's has not.
    #[test]
    fn shift_is_lifted_around_what_it_would_spoil() {
        let mut desk = Desk::new();
        assert_eq!(desk.types("+Shift_L +slash -slash -Shift_L"), [42, -42, 53, -53, 42, -42]);
        assert_eq!(
            desk.types("+Shift_L +Left -Left +F1 -F1 -Shift_L"),
            [42, 105, -105, 59, -59, -42]
        );
        assert_eq!(desk.types("+Shift_L +ISO_Left_Tab -Tab -Shift_L"), [42, 15, -15, -42]);
    }

    #[test]
    fn shortcuts_are_as_they_are_typed() {
        let mut desk = Desk::new();
        assert_eq!(desk.types("+Control_L +c -c -Control_L"), [29, 46, -46, -29]);
        assert_eq!(
            desk.types("+Control_L +Alt_L +Delete -Delete -Alt_L -Control_L"),
            [29, 56, 111, -111, -56, -29]
        );
    }

    #[test]
    fn caps_lock_turns_letters_around_and_nothing_else() {
        let mut desk = Desk::new();
        desk.1 = true;
        assert_eq!(desk.types("+A -A +exclam -exclam"), [30, -30, 42, 2, -2, -42]);
        assert_eq!(desk.types("+a -a"), [42, 30, -30, -42]);
    }

    #[test]
    fn a_key_comes_up_also_where_its_release_has_another_name() {
        let mut desk = Desk::new();
        assert_eq!(desk.types("+Shift_L +exclam -Shift_L -1"), [42, 2, -42, -2]);
        // Shift and 7 of a German keyboard.
        assert_eq!(desk.types("+Shift_L +slash -Shift_L -7"), [42, -42, 53, 42, -42, -53]);
        assert!(desk.0.down.is_empty());
    }

    #[test]
    fn what_no_key_makes_is_left_out() {
        let mut desk = Desk::new();
        assert_eq!(desk.types("+a +odiaeresis -odiaeresis +nonsense -a"), [30, -30]);
        assert_eq!(desk.0.unknown.len(), 2);
        (0..1000).for_each(|i| assert_eq!(desk.types(&format!("+nonsense{i}")), [0; 0]));
        assert_eq!(desk.0.unknown.len(), SAID_MAX);
    }

    #[test]
    fn codes_are_taken_as_they_are() {
        let mut desk = Desk::new();
        let mut out = Vec::new();
        for (code, pressed) in
            [(42, true), (2, true), (2, false), (42, false), (CODES, true), (u32::MAX, true)]
        {
            desk.0.code(code, pressed, &mut out);
        }
        assert_eq!(codes(out), [42, 2, -2, -42]);
    }

    #[test]
    fn nothing_stays_down() {
        let mut desk = Desk::new();
        assert_eq!(desk.types("+Control_L +exclam"), [29, 42, 2]);
        let mut out = Vec::new();
        desk.0.release_all(&mut out);
        assert_eq!(codes(out), [-42, -2, -29]);
        assert_eq!(desk.types("+Shift_L +slash"), [42, -42, 53]);
        let mut out = Vec::new();
        desk.0.release_all(&mut out);
        assert_eq!(codes(out), [42, -53, -42]);
        assert_eq!(desk.types("-slash -Shift_L -a"), [0; 0]);
    }
}
