//! Whether the guest is heard.

use super::Session;
use crate::frame::Sound;

impl<K> Session<K> {
    /// Whether the guest is heard, also when its backend is another one later; at first it isn't.
    pub fn set_sound(&mut self, sound: Sound) {
        self.sound = sound;
        self.source.set_sound(sound);
    }

    /// Whether it is.
    pub fn sound(&self) -> Sound {
        self.sound
    }
}
