//! The few keys that mean something to the viewer itself.
//!
//! Ctrl+Alt+G grabs and lets go. Until it has grabbed, the compositor keeps some keys for itself, so that
//! others stand for them: Ctrl+Alt+End for Ctrl+Alt+Delete, Ctrl+Alt and a digit for Ctrl+Alt+F1 to F10.
//! Grabbed, every other key is the guest's as it is.

const KEY_1: u32 = 2;
const KEY_0: u32 = 11;
const KEY_LEFTCTRL: u32 = 29;
const KEY_G: u32 = 34;
const KEY_LEFTALT: u32 = 56;
const KEY_F1: u32 = 59;
const KEY_MINUS: u32 = 12;
const KEY_EQUAL: u32 = 13;
const KEY_F11: u32 = 87;
const KEY_F12: u32 = 88;
const KEY_RIGHTCTRL: u32 = 97;
const KEY_END: u32 = 107;
const KEY_DELETE: u32 = 111;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is the guest's, by this code.
    Guest(u32),
    /// Grabs, or lets go.
    Grab,
    /// Nothing.
    Nothing,
}

/// What is down, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Keys {
    ctrl: bool,
    alt: bool,
    /// The keyboard is grabbed.
    pub(super) grabbed: bool,
    /// A key that is down, and what it stands for.
    standing: Option<(u32, u32)>,
}

impl Keys {
    /// Nothing is down any more, for all that is known.
    pub(super) fn left(&mut self) {
        *self = Self::default();
    }

    /// A key goes down or comes up.
    pub(super) fn key(&mut self, code: u32, pressed: bool) -> Meaning {
        match code {
            KEY_LEFTCTRL | KEY_RIGHTCTRL => self.ctrl = pressed,
            KEY_LEFTALT => self.alt = pressed,
            _ => {}
        }
        if let Some((_, stands_for)) = self.standing.take_if(|(key, _)| !pressed && *key == code) {
            return Meaning::Guest(stands_for);
        }
        if !self.ctrl || !self.alt || !pressed {
            return Meaning::Guest(code);
        }
        if code == KEY_G {
            return Meaning::Grab;
        }
        match stands_for(code) {
            // One at a time.
            Some(_) if self.standing.is_some() => Meaning::Nothing,
            Some(stands_for) if !self.grabbed => {
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
    fn ctrl_alt_g_grabs_and_all_else_is_the_guests_then() {
        let mut keys = Keys::default();
        assert_eq!(keys.key(KEY_G, true), Meaning::Guest(KEY_G));
        typed(&mut keys, &[(KEY_G, false), (29, true), (56, true)]);
        assert_eq!(keys.key(KEY_G, true), Meaning::Grab);
        keys.grabbed = true;
        assert_eq!(keys.key(KEY_END, true), Meaning::Guest(KEY_END));
        assert_eq!(keys.key(KEY_END, false), Meaning::Guest(KEY_END));
        assert_eq!(keys.key(KEY_G, true), Meaning::Grab);
    }
}
