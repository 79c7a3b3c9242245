//! What is pressed and lifted, so that a guest reads a text.

use kbvm::{Keysym, syms};

use super::keymap::{Keymap, LEFT_SHIFT, RIGHT_ALT, Stroke, keysym};
use super::{dead, names};
use crate::frame::Input;

/// Why something can't be typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypingError {
    /// No key of that layout makes it.
    #[error(
        "no key of the keyboard layout \"{layout}\" makes {character:?}: leave it out, or name another \
         layout if the guest has one"
    )]
    Character {
        /// The first one.
        character: char,
        /// The layout's name.
        layout: String,
    },
    /// There is no such key.
    #[error(
        "unknown key \"{name}\": say what the layout \"{layout}\" has on it (a, 1, Return, plus, \
         EuroSign), or what evdev calls it without KEY_ (enter, f11, pageup, kpenter, rightctrl)"
    )]
    Key {
        /// What it was called.
        name: String,
        /// The layout's name.
        layout: String,
    },
    /// There is no such modifier.
    #[error("unknown modifier \"{0}\"; there are: {list}", list = names::modifiers())]
    Modifier(String),
}

impl Keymap {
    /// The keys that type `text`, down and up: Shift and AltGr are held where that takes them, and what
    /// has no key of its own is made by a dead key, where there is one. `\n` is Return, `\t` is Tab.
    ///
    /// # Errors
    /// With the first character that this layout can't type.
    pub fn text(&self, text: &str) -> Result<Vec<Input>, TypingError> {
        let mut typist = Typist::default();
        for character in text.chars() {
            let strokes = self.strokes(character).ok_or_else(|| TypingError::Character {
                character,
                layout: self.name().to_owned(),
            })?;
            strokes.into_iter().for_each(|stroke| typist.stroke(stroke));
        }
        typist.hold(false, false);
        Ok(typist.inputs)
    }

    fn strokes(&self, character: char) -> Option<Vec<Stroke>> {
        let keysym = match character {
            '\n' => syms::Return,
            other => Keysym::from_char(other),
        };
        if let Some(stroke) = self.stroke(keysym) {
            return Some(vec![stroke]);
        }
        dead::parts(character)?.into_iter().map(|part| self.stroke(part)).collect()
    }

    /// The keys of a word as `ctrl+alt+delete`, in the order in which they go down. The last is what
    /// this layout has on it (a character, or X's name of a keysym), else evdev's name of its place, else
    /// a modifier; letters in whatever case.
    ///
    /// # Errors
    /// If there is no such key or modifier.
    pub fn keys(&self, word: &str) -> Result<Vec<u32>, TypingError> {
        let (before, last) =
            word.rsplit_once('+').map_or((None, word), |(before, last)| (Some(before), last));
        let mut codes = Vec::new();
        for name in before.into_iter().flat_map(|before| before.split('+')) {
            let code = names::modifier(name);
            codes.push(code.ok_or_else(|| TypingError::Modifier(name.to_owned()))?);
        }
        let mut characters = last.chars();
        let only = characters.next().filter(|_| characters.next().is_none());
        let keysym = match only {
            Some(letter) => letter.to_lowercase().next().map(Keysym::from_char),
            None => keysym(last),
        };
        match keysym.and_then(|keysym| self.stroke(keysym)) {
            Some(stroke) => {
                codes.extend((stroke.shift == Some(true)).then_some(LEFT_SHIFT));
                codes.extend((stroke.level3 == Some(true)).then_some(RIGHT_ALT));
                codes.push(stroke.code);
            }
            None => {
                let code = names::code(last).or_else(|| names::modifier(last));
                codes.push(code.ok_or_else(|| TypingError::Key {
                    name: last.to_owned(),
                    layout: self.name().to_owned(),
                })?);
            }
        }
        // Nothing goes down twice.
        let mut down = Vec::with_capacity(codes.len());
        codes.retain(|code| {
            !down.contains(code) && {
                down.push(*code);
                true
            }
        });
        Ok(codes)
    }
}

/// What was typed so far, and the modifiers that are down after it.
#[derive(Default)]
struct Typist {
    inputs: Vec<Input>,
    shift: bool,
    level3: bool,
}

impl Typist {
    fn stroke(&mut self, stroke: Stroke) {
        // Where one makes no difference to the character it may to the program that gets the key.
        self.hold(stroke.shift == Some(true), stroke.level3 == Some(true));
        self.key(stroke.code, true);
        self.key(stroke.code, false);
    }

    /// One is lifted before the other is pressed: both together switch layouts in many a guest.
    fn hold(&mut self, shift: bool, level3: bool) {
        for down in [false, true] {
            if shift == down && std::mem::replace(&mut self.shift, shift) != shift {
                self.key(LEFT_SHIFT, down);
            }
            if level3 == down && std::mem::replace(&mut self.level3, level3) != level3 {
                self.key(RIGHT_ALT, down);
            }
        }
    }

    fn key(&mut self, code: u32, pressed: bool) {
        self.inputs.push(Input::Key { code, pressed });
    }
}

#[cfg(test)]
mod tests {
    use super::super::keymap::tests::layout;
    use super::*;

    /// A code for one that goes down, and its negative for one that comes up.
    fn typed(keymap: &Keymap, text: &str) -> Vec<i32> {
        let of = |input| match input {
            Input::Key { code, pressed } => code as i32 * if pressed { 1 } else { -1 },
            other => panic!("{other:?}"),
        };
        keymap.text(text).unwrap().into_iter().map(of).collect()
    }

    #[test]
    fn text_is_typed_key_by_key() {
        let us = Keymap::us();
        assert_eq!(typed(&us, "ab"), [30, -30, 48, -48]);
        assert_eq!(typed(&us, "\n\t "), [28, -28, 15, -15, 57, -57]);
        assert_eq!(typed(&us, ""), [0; 0]);
    }

    /// Without it a guest could read `roOT` for `rOot`, or keep Shift for ever.
    #[test]
    fn shift_is_held_as_long_as_it_is_wanted() {
        let us = Keymap::us();
        assert_eq!(typed(&us, "A"), [42, 30, -30, -42]);
        assert_eq!(typed(&us, "aB!c"), [30, -30, 42, 48, -48, 2, -2, -42, 46, -46]);
        // Shift and Return are something else to many a program.
        assert_eq!(typed(&us, "A\n"), [42, 30, -30, -42, 28, -28]);
    }

    #[test]
    fn a_german_keyboard_has_its_own_places_and_alt_gr() {
        let Some(de) = layout("de(nodeadkeys)") else { return };
        assert_eq!(typed(&de, "zö"), [21, -21, 39, -39]);
        assert_eq!(typed(&de, "Ö@/"), [42, 39, -39, -42, 100, 16, -16, -100, 42, 8, -8, -42]);
        assert_eq!(typed(&de, "^"), [41, -41]);
        assert_eq!(typed(&de, "€\n"), [100, 18, -18, -100, 28, -28]);
    }

    #[test]
    fn dead_keys_make_what_has_no_key_of_its_own() {
        let Some(de) = layout("de") else { return };
        assert_eq!(typed(&de, "^"), [41, -41, 57, -57]);
        assert_eq!(typed(&de, "éÀ"), [13, -13, 18, -18, 42, 13, -13, 30, -30, -42]);
        assert_eq!(typed(&de, "ä"), [40, -40]);
    }

    #[test]
    fn what_no_key_makes_is_said() {
        let us = Keymap::us();
        let said = us.text("aö€").unwrap_err().to_string();
        assert!(said.contains("layout \"us\" makes 'ö'"), "{said}");
        assert!(us.text("\u{7}").is_err());
    }

    #[test]
    fn keys_are_named_by_layout_place_or_modifier() {
        let us = Keymap::us();
        for (word, codes) in [
            ("a", &[30][..]),
            ("A", &[30]),
            ("ctrl+alt+delete", &[29, 56, 111]),
            ("Ctrl+Alt+F2", &[29, 56, 60]),
            ("ctrl+C", &[29, 46]),
            ("enter", &[28]),
            ("Return", &[28]),
            ("kpenter", &[96]),
            ("rightctrl", &[97]),
            ("super", &[125]),
            ("meta+r", &[125, 19]),
            ("ctrl+alt", &[29, 56]),
            ("exclam", &[42, 2]),
            ("shift+!", &[42, 2]),
            ("ctrl+plus", &[29, 42, 13]),
            ("ctrl+shift+ctrl+a", &[29, 42, 30]),
        ] {
            assert_eq!(us.keys(word).as_deref(), Ok(codes), "{word}");
        }
        for (word, says) in [
            ("foo", "unknown key \"foo\""),
            ("", "unknown key \"\""),
            ("ctrl+", "unknown key \"\""),
            ("ö", "the layout \"us\" has on it"),
            ("hyper+a", "unknown modifier \"hyper\"; there are: ctrl, alt"),
            ("a+b", "unknown modifier \"a\""),
        ] {
            let said = us.keys(word).unwrap_err().to_string();
            assert!(said.contains(says), "{word}: {said}");
        }
    }

    /// Without it `ctrl+z` of a German guest would be its `ctrl+y`.
    #[test]
    fn a_letter_is_where_the_layout_has_it() {
        let Some(de) = layout("de") else { return };
        assert_eq!(de.keys("ctrl+z"), Ok(vec![29, 21]));
        assert_eq!(de.keys("at"), Ok(vec![100, 16]));
        assert_eq!(de.keys("minus"), Ok(vec![53]));
    }

    proptest::proptest! {
        /// Whatever is typed, nothing goes down twice, and nothing stays down.
        #[test]
        fn all_that_goes_down_comes_up(text in "[\\PC\n\t]*") {
            let mut down = Vec::new();
            for input in Keymap::us().text(&text).unwrap_or_default() {
                let Input::Key { code, pressed } = input else { panic!("{input:?}") };
                let before = down.len();
                down.retain(|other| *other != code);
                assert_eq!(before - down.len(), usize::from(!pressed));
                down.extend(pressed.then_some(code));
            }
            assert_eq!(down, [0; 0]);
        }

        #[test]
        fn any_word_names_keys_or_none(word in "(ctrl|alt|[a-zA-Z0-9_]|\\PC|\\+)*") {
            if let Ok(codes) = Keymap::us().keys(&word) {
                assert!(!codes.is_empty());
            }
        }
    }
}
