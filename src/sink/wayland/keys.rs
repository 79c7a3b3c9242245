//! The few keys that mean something to the viewer itself.
//!
//! Hotkeys do what they are for. Until the keyboard is grabbed the compositor keeps some keys for itself,
//! so that others stand for them: Ctrl+Alt+End for Ctrl+Alt+Delete, Ctrl+Alt and a digit for Ctrl+Alt+F1 to
//! F10. Grabbed, every key but the one that lets go is the guest's as it is.

use super::hotkeys::{Action, Down, Hotkey, Hotkeys, Mods};

const KEY_1: u32 = 2;
const KEY_0: u32 = 11;
const KEY_MINUS: u32 = 12;
const KEY_EQUAL: u32 = 13;
const KEY_F1: u32 = 59;
const KEY_F11: u32 = 87;
const KEY_F12: u32 = 88;
const KEY_END: u32 = 107;
const KEY_DELETE: u32 = 111;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is the guest's, by this code.
    Guest(u32),
    /// It is the viewer's.
    Viewer(Action),
    /// Nothing.
    Nothing,
}

/// What is down, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) hotkeys: Hotkeys,
    down: Down,
    /// The keyboard is grabbed.
    pub(super) grabbed: bool,
    /// The key of a hotkey that is down.
    own: Option<u32>,
    /// A key that is down, and what it stands for.
    standing: Option<(u32, u32)>,
}

impl Keys {
    pub(super) fn new(hotkeys: Hotkeys) -> Self {
        Self { hotkeys, ..Self::default() }
    }

    /// Nothing is down any more, for all that is known.
    pub(super) fn left(&mut self) {
        *self = Self::new(self.hotkeys);
    }

    /// A key goes down or comes up.
    pub(super) fn key(&mut self, code: u32, pressed: bool) -> Meaning {
        // Some compositors repeat by themselves.
        if self.own == Some(code) {
            self.own.take_if(|_| !pressed);
            return Meaning::Nothing;
        }
        let mods = self.down.mods();
        let action = self.hotkeys.action(Hotkey { mods, code });
        if let Some(action) = action.filter(|action| !self.grabbed || *action == Action::Grab)
            && pressed
        {
            self.own = Some(code);
            return Meaning::Viewer(action);
        }
        self.down.key(code, pressed);
        if let Some((_, stands_for)) = self.standing.take_if(|(key, _)| !pressed && *key == code) {
            return Meaning::Guest(stands_for);
        }
        match stands_for(code) {
            Some(stands_for) if pressed && !self.grabbed && mods.contain(Mods::CTRL_ALT) => {
                // One at a time.
                if self.standing.is_some() {
                    return Meaning::Nothing;
                }
                self.standing = Some((code, stands_for));
                Meaning::Guest(stands_for)
            }
            _ => Meaning::Guest(code),
        }
    }
}

fn stands_for(code: u32) -> Option<u32> {
    match code {
        KEY_END => Some(KEY_DELETE),
        KEY_1..=KEY_0 => Some(code - KEY_1 + KEY_F1),
        KEY_MINUS => Some(KEY_F11),
        KEY_EQUAL => Some(KEY_F12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &mut Keys, codes: &[(u32, bool)]) -> Vec<Meaning> {
        codes.iter().map(|&(code, pressed)| keys.key(code, pressed)).collect()
    }

    #[test]
    fn others_stand_for_what_the_compositor_keeps() {
        for (key, stands_for) in [(107, 111), (2, 59), (11, 68), (12, 87), (13, 88)] {
            let mut keys = Keys::default();
            // Also where Ctrl comes up first.
            let codes = [(97, true), (56, true), (key, true), (97, false), (key, false)];
            let expected = [97, 56, stands_for, 97, stands_for].map(Meaning::Guest);
            assert_eq!(typed(&mut keys, &codes), expected);
            assert_eq!(keys.key(key, true), Meaning::Guest(key));
        }
    }

    #[test]
    fn hotkeys_are_never_the_guests_but_while_grabbed_only_one_is_ours() {
        let (g, f11) = (34, 87);
        let mut keys = Keys::default();
        assert_eq!(typed(&mut keys, &[(g, true), (g, false)]), [Meaning::Guest(g); 2]);
        let viewer = Meaning::Viewer;
        // A compositor that repeats by itself.
        let fullscreen = [viewer(Action::Fullscreen), Meaning::Nothing, Meaning::Nothing];
        assert_eq!(typed(&mut keys, &[(f11, true), (f11, true), (f11, false)]), fullscreen);
        let both = [29, 56].map(Meaning::Guest);
        assert_eq!(typed(&mut keys, &[(29, true), (56, true)]), both);
        assert_eq!(keys.key(f11, true), Meaning::Guest(f11), "with modifiers it is another");
        assert_eq!(keys.key(g, true), viewer(Action::Grab));
        keys.grabbed = true;
        keys.key(g, false);
        for code in [KEY_END, 31] {
            assert_eq!(typed(&mut keys, &[(code, true), (code, false)]), [Meaning::Guest(code); 2]);
        }
        assert_eq!(keys.key(g, true), viewer(Action::Grab));
        keys.key(g, false);
        typed(&mut keys, &[(56, false), (29, false), (f11, false)]);
        assert_eq!(keys.key(f11, true), Meaning::Guest(f11));
    }

    #[test]
    fn a_modifier_of_its_own_can_be_the_hotkey() {
        let mut keys = Keys::new(Hotkeys::changed(["grab=rightctrl"]).unwrap());
        assert_eq!(keys.key(29, true), Meaning::Guest(29));
        assert_eq!(keys.key(97, true), Meaning::Guest(97), "not with the other one");
        typed(&mut keys, &[(97, false), (29, false)]);
        assert_eq!(typed(&mut keys, &[(97, true)]), [Meaning::Viewer(Action::Grab)]);
        // To the guest it isn't down, so that nothing stands for anything.
        typed(&mut keys, &[(56, true)]);
        assert_eq!(keys.key(KEY_END, true), Meaning::Guest(KEY_END));
    }

    #[test]
    fn what_is_freed_is_the_guests() {
        let words = ["grab=none", "fullscreen=none", "hud=none", "screenshot=none", "mute=none"];
        let mut keys = Keys::new(Hotkeys::changed(words).unwrap());
        for code in [29, 56, 34, 31, 87, 88] {
            assert_eq!(keys.key(code, true), Meaning::Guest(code));
        }
    }

    #[test]
    fn either_of_two_keys_keeps_a_modifier_down() {
        let mut keys = Keys::default();
        typed(&mut keys, &[(29, true), (97, true), (97, false), (56, true)]);
        assert_eq!(keys.key(34, true), Meaning::Viewer(Action::Grab));
    }
}
