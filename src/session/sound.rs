//! Whether the guest is heard, and hears.

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

    /// Whether the guest hears the user, also when its backend is another one later; at first it doesn't.
    pub fn set_microphone(&mut self, microphone: Sound) {
        self.microphone = microphone;
        self.source.set_microphone(microphone);
    }

    /// Whether it does.
    pub fn microphone(&self) -> Sound {
        self.microphone
    }
}
