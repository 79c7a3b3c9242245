//! In place of `audio.rs` in a build without sound.

use zbus::Connection;

use crate::frame::Sound;

/// Nothing is wanted of it.
#[derive(Debug, Default)]
pub(super) struct Shared {}

impl Shared {
    pub(super) fn want(&self, sound: Sound) {
        if sound == Sound::On {
            tracing::debug!("this build has no sound: it is built with the feature `audio`");
        }
    }

    pub(super) fn want_microphone(&self, microphone: Sound) {
        self.want(microphone);
    }

    pub(super) async fn serve(&self, _: &Connection, _: Option<&str>) {}
}
