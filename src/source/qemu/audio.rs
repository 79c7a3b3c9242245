//! What the guest plays and records: `org.qemu.Display1.Audio`. QEMU calls listeners of ours, one for each,
//! on connections of their own, as it does for the picture.

mod voices;

use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use zbus::connection::Builder;
use zbus::{Connection, Fd, MessageStream};

use self::voices::Voices;
use super::names::{AUDIO, AUDIO_PATH};
use super::wait::{Bell, all, try_both};
use crate::frame::Sound;
use crate::sound::Direction;

/// What is wanted of it, by the session's thread.
#[derive(Debug, Default)]
pub(super) struct Shared {
    sound: Wanted,
    microphone: Wanted,
}

#[derive(Debug, Default)]
struct Wanted {
    now: Mutex<Sound>,
    bell: Bell,
}

impl Wanted {
    fn set(&self, sound: Sound) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = sound;
        self.bell.ring();
    }

    fn get(&self) -> Sound {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn changed(&self) {
        poll_fn(|cx| self.bell.poll_heard(cx)).await;
    }

    /// Lets QEMU call us from when that is wanted, until the connection ends.
    async fn serve(&self, direction: Direction, link: &Connection, owner: Option<&str>) {
        while self.get() == Sound::Off {
            self.changed().await;
        }
        match register(direction, link, owner).await {
            Ok(calls) => Voices::new(self, direction).serve(calls).await,
            // Most have none: it is asked for with -audiodev dbus.
            Err(error) => tracing::debug!(?direction, %error, "QEMU has no sound for us"),
        }
    }
}

impl Shared {
    pub(super) fn want(&self, sound: Sound) {
        self.sound.set(sound);
    }

    pub(super) fn want_microphone(&self, microphone: Sound) {
        self.microphone.set(microphone);
    }

    /// Lets the guest be heard, and hear, from when that is wanted, until the connection ends.
    pub(super) async fn serve(&self, link: &Connection, owner: Option<&str>) {
        all([
            Box::pin(self.sound.serve(Direction::Play, link, owner)),
            Box::pin(self.microphone.serve(Direction::Record, link, owner)),
        ])
        .await;
    }
}

/// As with the picture's listener, QEMU stands still until this end has authenticated.
async fn register(
    direction: Direction,
    link: &Connection,
    owner: Option<&str>,
) -> zbus::Result<MessageStream> {
    let method = match direction {
        Direction::Play => "RegisterOutListener",
        Direction::Record => "RegisterInListener",
    };
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = Fd::from(std::os::fd::OwnedFd::from(theirs));
    let ask = link.call_method(owner, AUDIO_PATH, Some(AUDIO), method, &theirs);
    let stream = Builder::unix_stream(ours).p2p().build_message_stream();
    let (_, stream) = try_both(ask, stream).await?;
    Ok(stream)
}
