//! What the guest plays: `org.qemu.Display1.Audio`. QEMU calls a listener of ours on a connection of its
//! own, as it does for the picture.

use std::collections::HashMap;
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_core::Stream;
use zbus::connection::Builder;
use zbus::message::{Flags, Type};
use zbus::{Connection, Fd, Message, MessageStream, Variant};

use super::listener::{Refusal, arguments, done, failed, invalid, refuse};
use super::names::{
    AUDIO, AUDIO_OUT, AUDIO_OUT_PATH, AUDIO_PATH, PEER, PROPERTIES, UNKNOWN_METHOD, UNKNOWN_OBJECT,
};
use super::wait::{Bell, beside, try_both};
use crate::frame::Sound;
use crate::sound::{Format, Muted, Player};

/// Most voices of one virtual machine; each has a thread.
const VOICES_MAX: usize = 8;

/// What is wanted of it, by the session's thread.
#[derive(Debug, Default)]
pub(super) struct Shared {
    wanted: Mutex<Sound>,
    bell: Bell,
}

impl Shared {
    pub(super) fn want(&self, sound: Sound) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = sound;
        self.bell.ring();
    }

    fn wanted(&self) -> Sound {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the guest be heard, from when that is wanted, until the connection ends.
    pub(super) async fn serve(&self, link: &Connection, owner: Option<&str>) {
        while self.wanted() == Sound::Off {
            poll_fn(|cx| self.bell.poll_heard(cx)).await;
        }
        match register(link, owner).await {
            Ok(calls) => Voices::new(self).serve(calls).await,
            // Most have none: it is asked for with -audiodev dbus.
            Err(error) => tracing::debug!(%error, "QEMU has no sound for us"),
        }
    }
}

/// As with the picture's listener, QEMU stands still until this end has authenticated.
async fn register(link: &Connection, owner: Option<&str>) -> zbus::Result<MessageStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = Fd::from(std::os::fd::OwnedFd::from(theirs));
    let ask = link.call_method(owner, AUDIO_PATH, Some(AUDIO), "RegisterOutListener", &theirs);
    let stream = Builder::unix_stream(ours).p2p().build_message_stream();
    let (_, stream) = try_both(ask, stream).await?;
    Ok(stream)
}

async fn next(calls: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|cx| Pin::new(&mut *calls).poll_next(cx)).await
}

/// What the guest plays on, by QEMU's numbers.
struct Voices<'a> {
    shared: &'a Shared,
    players: HashMap<u64, Player>,
}

impl<'a> Voices<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, players: HashMap::new() }
    }

    async fn serve(mut self, mut calls: MessageStream) {
        let connection = Connection::from(&calls);
        // What is muted is so at once, whatever QEMU does.
        while let Some(Ok(call)) = beside(next(&mut calls), self.obey()).await {
            if call.message_type() != Type::MethodCall {
                continue;
            }
            let reply = self.handle(&call);
            if call.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
                continue;
            }
            let sent = match reply {
                Ok(reply) => beside(connection.send(&reply), self.obey()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "a reply about sound could not be sent");
            }
        }
    }

    /// Does what the session wants, without end.
    async fn obey(&self) {
        loop {
            poll_fn(|cx| self.shared.bell.poll_heard(cx)).await;
            let muted = self.shared.wanted() != Sound::On;
            self.players.values().for_each(|player| player.set_muted(Muted::Here, muted));
        }
    }

    fn handle(&mut self, call: &Message) -> zbus::Result<Message> {
        let header = call.header();
        let path = header.path().map_or("", |path| path.as_str());
        let interface = header.interface().map_or("", |name| name.as_str());
        let member = header.member().map_or("", |name| name.as_str());
        let result = match (interface, member) {
            (PEER, "Ping") => Ok(()),
            _ if path != AUDIO_OUT_PATH => {
                Err((UNKNOWN_OBJECT, format!("there is no object {path}: only {AUDIO_OUT_PATH}")))
            }
            (PROPERTIES, "GetAll") => {
                let none: &[&str] = &[];
                let all = HashMap::from([("Interfaces", Variant::new(none))]);
                return Message::method_return(&header).build(&all);
            }
            (AUDIO_OUT, "Init") => self.init(call),
            (AUDIO_OUT, "Fini") => arguments(call).map(|voice: u64| {
                self.players.remove(&voice);
            }),
            (AUDIO_OUT, "SetEnabled") => arguments(call).map(|(voice, enabled): (u64, bool)| {
                self.players.get(&voice).inspect(|player| player.set_playing(enabled));
            }),
            (AUDIO_OUT, "SetVolume") => self.set_volume(call),
            (AUDIO_OUT, "Write") => self.write(call),
            _ => Err((UNKNOWN_METHOD, format!("there is no method {interface}.{member}"))),
        };
        match result {
            Ok(()) => done(call),
            Err((name, text)) => {
                tracing::info!(%member, reason = %text, "a call about sound is refused");
                refuse(call, name, &text)
            }
        }
    }

    fn init(&mut self, call: &Message) -> Result<(), Refusal> {
        type Arguments = (u64, u8, bool, bool, u32, u8, u32, u32, bool);
        let (voice, bits, signed, float, rate, channels, frame, _, big_endian): Arguments =
            arguments(call)?;
        if self.players.len() >= VOICES_MAX && !self.players.contains_key(&voice) {
            return Err(failed(format!("{VOICES_MAX} voices are heard already")));
        }
        let format = Format { bits, signed, float, big_endian, rate, channels };
        tracing::debug!(voice, ?format, "the guest has a voice");
        let player = Player::new(format).map_err(|error| failed(error.to_string()))?;
        let player = player.ok_or_else(|| failed(format!("nobody can play {format:?}")))?;
        if frame as usize != format.frame() {
            return Err(failed(format!("{frame} bytes are no frame of {format:?}")));
        }
        player.set_muted(Muted::Here, self.shared.wanted() != Sound::On);
        // QEMU says only later whether it is enabled, and to who comes late never.
        player.set_playing(true);
        self.players.insert(voice, player);
        Ok(())
    }

    fn set_volume(&self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (voice, muted, volume): (u64, bool, &[u8]) = body.deserialize().map_err(invalid)?;
        if let Some(player) = self.players.get(&voice) {
            player.set_muted(Muted::There, muted);
            player.set_volume(volume);
        }
        Ok(())
    }

    fn write(&self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (voice, samples): (u64, &[u8]) = body.deserialize().map_err(invalid)?;
        if let Some(player) = self.players.get(&voice) {
            player.play(samples);
        }
        Ok(())
    }
}
