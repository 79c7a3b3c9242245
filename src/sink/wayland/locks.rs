//! Caps Lock and Num Lock: on in the guest when they are on at the host.
//!
//! What the user presses at the window toggles both. So they are compared when the window gets the
//! keyboard, and where they differ the lock's key is pressed in the guest, once.

use super::State;
use crate::frame::{Input, Leds};

const KEY_CAPSLOCK: u32 = 58;
const KEY_NUMLOCK: u32 = 69;
/// The modifiers that they are: one by definition, the other in every keymap that is in use.
const CAPS: u32 = 1 << 1;
const NUM: u32 = 1 << 4;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Locks {
    host: Leds,
    /// `None`: it doesn't say.
    guest: Option<Leds>,
    /// The compositor says what its modifiers mean.
    keymap: bool,
    /// The window has got the keyboard, and they weren't compared since.
    due: bool,
    /// The compositor has said since then what is on.
    known: bool,
    /// What differed when the keys were pressed last. A guest without LEDs stays as it is, and is
    /// left alone then.
    tried: Option<(Leds, Leds)>,
}

impl Locks {
    pub(super) fn keymap(&mut self, is_one: bool) {
        if !is_one {
            tracing::warn!(
                "the compositor has no keymap, so nobody knows whether Caps Lock and Num Lock are on: \
                 the guest's stay as they are; all keys reach it as ever"
            );
        }
        self.keymap = is_one;
    }

    pub(super) fn enter(&mut self) {
        (self.due, self.known) = (true, false);
    }

    pub(super) fn leave(&mut self) {
        self.due = false;
    }

    pub(super) fn locked(&mut self, mods: u32) {
        self.host = Leds { num: mods & NUM != 0, caps: mods & CAPS != 0 };
        self.known = true;
    }

    fn lit(&mut self, leds: Option<Leds>) {
        if std::mem::replace(&mut self.guest, leds) != leds {
            self.tried = None;
        }
    }

    /// The keys to press, if it is time for that.
    fn differing(&mut self) -> impl Iterator<Item = u32> + use<> {
        let ready = self.due && self.known && self.keymap;
        let guest = self.guest.filter(|_| ready);
        self.due &= guest.is_none();
        let pair = guest.map(|guest| (self.host, guest)).filter(|(host, guest)| host != guest);
        let pair = pair.filter(|pair| self.tried != Some(*pair));
        self.tried = pair.or(self.tried);
        let keys = |(host, guest): (Leds, Leds)| {
            let caps = (host.caps != guest.caps).then_some(KEY_CAPSLOCK);
            [caps, (host.num != guest.num).then_some(KEY_NUMLOCK)]
        };
        pair.map(keys).into_iter().flatten().flatten()
    }
}

impl State {
    /// Which locks are on in the guest.
    pub(super) fn set_leds(&mut self, leds: Option<Leds>) {
        self.seat.locks.lit(leds);
        self.sync_locks();
    }

    pub(super) fn sync_locks(&mut self) {
        for code in self.seat.locks.differing() {
            for pressed in [true, false] {
                self.input(Input::Key { code, pressed });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Leds = Leds { num: false, caps: false };

    fn pressed(locks: &mut Locks) -> Vec<u32> {
        locks.differing().collect()
    }

    /// The window gets the keyboard while these are on at the host.
    fn focus(locks: &mut Locks, mods: u32) -> Vec<u32> {
        locks.enter();
        assert_eq!(pressed(locks), [0; 0], "nobody knows yet");
        locks.locked(mods);
        pressed(locks)
    }

    fn locks() -> Locks {
        let mut locks = Locks::default();
        locks.keymap(true);
        locks.lit(Some(NONE));
        locks
    }

    #[test]
    fn what_differs_is_pressed_when_the_window_gets_the_keyboard_and_only_then() {
        let mut locks = locks();
        assert_eq!(focus(&mut locks, NUM | CAPS), [KEY_CAPSLOCK, KEY_NUMLOCK]);
        locks.lit(Some(Leds { num: true, caps: true }));
        // The user presses Caps Lock: the guest sees that by itself.
        locks.locked(NUM);
        assert_eq!(pressed(&mut locks), [0; 0]);
        locks.leave();
        // Elsewhere it is pressed once more, and again.
        locks.lit(Some(Leds { num: true, caps: false }));
        assert_eq!(focus(&mut locks, NUM), [0; 0]);
        locks.leave();
        assert_eq!(focus(&mut locks, NUM | CAPS), [KEY_CAPSLOCK]);
    }

    #[test]
    fn a_guest_without_leds_is_asked_once() {
        let mut locks = locks();
        assert_eq!(focus(&mut locks, NUM), [KEY_NUMLOCK]);
        for _ in 0..3 {
            locks.lit(Some(NONE));
            locks.leave();
            assert_eq!(focus(&mut locks, NUM), [0; 0]);
        }
        locks.leave();
        assert_eq!(focus(&mut locks, CAPS), [KEY_CAPSLOCK], "something has changed");
    }

    #[test]
    fn a_guest_that_says_it_late_is_compared_then() {
        let mut locks = Locks::default();
        locks.keymap(true);
        assert_eq!(focus(&mut locks, CAPS), [0; 0]);
        locks.lit(Some(NONE));
        assert_eq!(pressed(&mut locks), [KEY_CAPSLOCK]);
        locks.lit(None);
        assert_eq!(pressed(&mut locks), [0; 0]);
    }

    #[test]
    fn without_a_keymap_nothing_is_pressed() {
        let mut locks = locks();
        locks.keymap(false);
        assert_eq!(focus(&mut locks, NUM | CAPS), [0; 0]);
    }
}
