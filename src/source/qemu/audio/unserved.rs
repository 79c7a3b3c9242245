//! In place of `served.rs` in a build that knows no sound server.

use zbus::Connection;

use crate::frame::Sound;

/// Nothing is wanted of it.
#[derive(Debug, Default)]
pub(in crate::source::qemu) struct Shared {}

impl Shared {
    pub(in crate::source::qemu) fn want(&self, sound: Sound) {
        if sound == Sound::On {
            tracing::info!("this build has no sound: it is built with the feature `audio`");
        }
    }

    pub(in crate::source::qemu) fn want_microphone(&self, microphone: Sound) {
        self.want(microphone);
    }

    pub(in crate::source::qemu) async fn serve(&self, _: &Connection, _: Option<&str>) {}
}
