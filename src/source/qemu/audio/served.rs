//! The user hears the guest, and the guest the user, by way of the sound server.

use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use zbus::Connection;

use super::voices::Voices;
use super::{Outlet, register};
use crate::frame::Sound;
use crate::sound::voice::Voice;
use crate::sound::{Direction, Format};
use crate::source::qemu::wait::{Bell, all};

/// What is wanted of it, by the session's thread.
#[derive(Debug)]
pub(in crate::source::qemu) struct Shared {
    sound: Wanted,
    microphone: Wanted,
}

#[derive(Debug)]
struct Wanted {
    direction: Direction,
    now: Mutex<Sound>,
    bell: Bell,
}

impl Wanted {
    fn new(direction: Direction) -> Self {
        Self { direction, now: Mutex::default(), bell: Bell::default() }
    }

    fn set(&self, sound: Sound) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = sound;
        self.bell.ring();
    }

    fn get(&self) -> Sound {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets QEMU call us from when that is wanted, until the connection ends.
    async fn serve(&self, link: &Connection, owner: Option<&str>) {
        let direction = self.direction;
        while self.get() == Sound::Off {
            poll_fn(|cx| self.poll_changed(cx)).await;
        }
        match register(direction, link, owner).await {
            Ok(calls) => Voices::new(self, direction).serve(calls).await,
            // Most have none: it is asked for with -audiodev dbus.
            Err(error) => tracing::debug!(?direction, %error, "QEMU has no sound for us"),
        }
    }
}

impl Outlet for Wanted {
    type Voice = Voice;

    fn open(&self, _: u64, format: Format) -> io::Result<Voice> {
        Voice::new(format, self.direction)
    }

    fn is_muted(&self) -> bool {
        self.get() != Sound::On
    }

    fn poll_changed(&self, cx: &Context<'_>) -> Poll<()> {
        self.bell.poll_heard(cx)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self { sound: Wanted::new(Direction::Play), microphone: Wanted::new(Direction::Record) }
    }
}

impl Shared {
    pub(in crate::source::qemu) fn want(&self, sound: Sound) {
        self.sound.set(sound);
    }

    pub(in crate::source::qemu) fn want_microphone(&self, microphone: Sound) {
        self.microphone.set(microphone);
    }

    /// Lets the guest be heard, and hear, from when that is wanted, until the connection ends.
    pub(in crate::source::qemu) async fn serve(&self, link: &Connection, owner: Option<&str>) {
        all([
            Box::pin(self.sound.serve(link, owner)),
            Box::pin(self.microphone.serve(link, owner)),
        ])
        .await;
    }
}
