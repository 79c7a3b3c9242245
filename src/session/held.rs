//! What the user holds down, as the guest knows it.

use super::Session;
use crate::frame::{Device, FINGERS_MAX, Input, Touch};

/// Keys and buttons share one space of codes, of which evdev has so many.
const CODES: u32 = 0x300;
const WORDS: usize = (CODES / 64) as usize;

/// One bit a key, a button and a finger that is down in the guest.
#[derive(Debug, Default)]
pub(super) struct Held {
    keyboard: [u64; WORDS],
    pointer: [u64; WORDS],
    fingers: [u64; 1],
}

impl Held {
    /// Notes it, and says whether the guest is to hear of it: nothing goes down twice, nothing comes
    /// up that wasn't down, and no code is one that no key has.
    pub(super) fn note(&mut self, input: &Input) -> bool {
        let (bits, code, pressed) = match *input {
            Input::Key { code, pressed } => (&mut self.keyboard[..], code, pressed),
            Input::Button { code, pressed } => (&mut self.pointer[..], code, pressed),
            Input::Touch { finger, .. } if finger >= FINGERS_MAX => return false,
            Input::Touch { finger, how: Touch::Motion { .. } } => {
                return self.fingers[0] & (1 << finger) != 0;
            }
            Input::Touch { finger, how } => {
                (&mut self.fingers[..], finger, matches!(how, Touch::Down { .. }))
            }
            Input::PointerAt { .. } | Input::PointerBy { .. } | Input::Wheel { .. } => return true,
        };
        let Some(word) = bits.get_mut((code / 64) as usize) else { return false };
        let bit = 1 << (code % 64);
        let was = *word & bit != 0;
        *word = if pressed { *word | bit } else { *word & !bit };
        was != pressed
    }

    /// Takes one that is down on that device: the input that lets go of it.
    pub(super) fn let_go(&mut self, device: Device) -> Option<Input> {
        let bits = match device {
            Device::Keyboard => &mut self.keyboard[..],
            Device::Pointer => &mut self.pointer[..],
            Device::Touch => &mut self.fingers[..],
        };
        let (at, word) = (0..).zip(bits.iter_mut()).find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= *word - 1;
        let (code, pressed) = (at * 64 + bit, false);
        Some(match device {
            Device::Keyboard => Input::Key { code, pressed },
            Device::Pointer => Input::Button { code, pressed },
            Device::Touch => Input::Touch { finger: code, how: Touch::Cancel },
        })
    }
}

impl<K> Session<K> {
    /// What a user does, to the guest, unless it knows that already. What is down then is let go when the session
    /// ends.
    pub fn pass_on(&mut self, input: &Input) {
        if self.held.note(input) {
            self.source.send(input);
        }
    }

    /// Nothing stays down in the guest.
    pub(super) fn let_go_of_all(&mut self) {
        self.let_go(Device::Keyboard);
        self.let_go(Device::Pointer);
        self.let_go(Device::Touch);
    }

    /// Nothing on it stays down in the guest.
    pub(super) fn let_go(&mut self, device: Device) {
        while let Some(input) = self.held.let_go(device) {
            self.source.send(&input);
        }
    }
}

impl<K> Drop for Session<K> {
    fn drop(&mut self) {
        self.let_go_of_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: u32, pressed: bool) -> Input {
        Input::Key { code, pressed }
    }

    #[test]
    fn nothing_goes_down_twice_or_comes_up_unasked() {
        let mut held = Held::default();
        assert!(!held.note(&key(30, false)));
        assert!(held.note(&key(30, true)));
        assert!(!held.note(&key(30, true)));
        assert!(held.note(&key(30, false)));
        assert!(!held.note(&key(30, false)));
    }

    #[test]
    fn each_is_let_go_once_and_with_its_own_device() {
        let mut held = Held::default();
        for code in [0, 1, 63, 64, CODES - 1] {
            assert!(held.note(&key(code, true)));
        }
        assert!(held.note(&Input::Button { code: 0x110, pressed: true }));
        let keys: Vec<_> = std::iter::from_fn(|| held.let_go(Device::Keyboard)).collect();
        assert_eq!(keys, [0, 1, 63, 64, CODES - 1].map(|code| key(code, false)));
        let button = Input::Button { code: 0x110, pressed: false };
        assert_eq!(held.let_go(Device::Pointer), Some(button));
        assert_eq!(held.let_go(Device::Pointer), None);
    }

    #[test]
    fn fingers_move_only_while_they_are_down() {
        let touch = |finger, how| Input::Touch { finger, how };
        let (down, motion) = (Touch::Down { x: 1, y: 2 }, Touch::Motion { x: 3, y: 4 });
        let mut held = Held::default();
        assert!(!held.note(&touch(0, motion)) && !held.note(&touch(0, Touch::Up)));
        assert!(held.note(&touch(0, down)) && held.note(&touch(9, down)));
        assert!(!held.note(&touch(9, down)) && held.note(&touch(9, motion)));
        assert!(!held.note(&touch(FINGERS_MAX, down)) && !held.note(&touch(u32::MAX, motion)));
        assert!(held.note(&touch(0, Touch::Up)));
        assert_eq!(held.let_go(Device::Touch), Some(touch(9, Touch::Cancel)));
        assert_eq!(held.let_go(Device::Touch), None);
    }

    #[test]
    fn codes_that_no_key_has_are_dropped() {
        let mut held = Held::default();
        for code in [CODES, u32::MAX] {
            assert!(!held.note(&key(code, true)), "{code}");
        }
        assert_eq!(held.let_go(Device::Keyboard), None);
    }
}
