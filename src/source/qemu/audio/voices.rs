//! The listeners that QEMU calls: `org.qemu.Display1.AudioOutListener` and `AudioInListener`.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use zbus::message::{Flags, Type};
use zbus::{Connection, Message, MessageStream, Variant};

use super::Outlet;
use crate::sound::{Direction, Format, Line, Muted};
use crate::source::qemu::listener::{Refusal, arguments, done, failed, invalid, refuse};
use crate::source::qemu::names::{
    AUDIO_IN, AUDIO_IN_PATH, AUDIO_OUT, AUDIO_OUT_PATH, PEER, PROPERTIES, UNKNOWN_METHOD,
    UNKNOWN_OBJECT,
};
use crate::source::qemu::wait::beside;

/// Most voices of one virtual machine in one direction; each has a thread.
const VOICES_MAX: usize = 8;

/// What the guest plays or records on, by QEMU's numbers.
pub(super) struct Voices<'a, O: Outlet> {
    outlet: &'a O,
    direction: Direction,
    voices: HashMap<u64, O::Voice>,
}

async fn next(calls: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|cx| Pin::new(&mut *calls).poll_next(cx)).await
}

impl<'a, O: Outlet> Voices<'a, O> {
    pub(super) fn new(outlet: &'a O, direction: Direction) -> Self {
        Self { outlet, direction, voices: HashMap::new() }
    }

    pub(super) async fn serve(mut self, mut calls: MessageStream) {
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

    /// Does what the user wants, without end.
    async fn obey(&self) {
        loop {
            poll_fn(|cx| self.outlet.poll_changed(cx)).await;
            let muted = self.outlet.is_muted();
            self.voices.values().for_each(|voice| voice.set_muted(Muted::Here, muted));
        }
    }

    fn handle(&mut self, call: &Message) -> zbus::Result<Message> {
        let (ours, at) = match self.direction {
            Direction::Play => (AUDIO_OUT, AUDIO_OUT_PATH),
            Direction::Record => (AUDIO_IN, AUDIO_IN_PATH),
        };
        let header = call.header();
        let path = header.path().map_or("", |path| path.as_str());
        let interface = header.interface().map_or("", |name| name.as_str());
        let member = header.member().map_or("", |name| name.as_str());
        let result = match (interface, member, self.direction) {
            (PEER, "Ping", _) => Ok(()),
            _ if path != at => {
                Err((UNKNOWN_OBJECT, format!("there is no object {path}: only {at}")))
            }
            (PROPERTIES, "GetAll", _) => {
                let none: &[&str] = &[];
                let all = HashMap::from([("Interfaces", Variant::new(none))]);
                return Message::method_return(&header).build(&all);
            }
            (_, "Init", _) if interface == ours => self.init(call),
            (_, "Fini", _) if interface == ours => arguments(call).map(|voice: u64| {
                self.voices.remove(&voice);
            }),
            (_, "SetEnabled", _) if interface == ours => {
                arguments(call).map(|(voice, enabled): (u64, bool)| {
                    self.voices.get(&voice).inspect(|voice| voice.set_running(enabled));
                })
            }
            (_, "SetVolume", _) if interface == ours => self.set_volume(call),
            (AUDIO_OUT, "Write", Direction::Play) => self.write(call),
            (AUDIO_IN, "Read", Direction::Record) => match self.read(call) {
                Ok(samples) => return Message::method_return(&header).build(&&samples[..]),
                Err(refusal) => Err(refusal),
            },
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
        if self.voices.len() >= VOICES_MAX && !self.voices.contains_key(&voice) {
            return Err(failed(format!("there are {VOICES_MAX} voices already")));
        }
        let format = Format { bits, signed, float, big_endian, rate, channels };
        tracing::debug!(voice, ?format, direction = ?self.direction, "the guest has a voice");
        if !format.is_possible() {
            return Err(failed(format!("no sound server knows {format:?}")));
        }
        if frame as usize != format.frame() {
            return Err(failed(format!("{frame} bytes are no frame of {format:?}")));
        }
        // One of the same number ends first.
        self.voices.remove(&voice);
        let opened = self.outlet.open(voice, format).map_err(|error| failed(error.to_string()))?;
        opened.set_muted(Muted::Here, self.outlet.is_muted());
        // QEMU says only later whether it plays. That it records is waited for.
        opened.set_running(self.direction == Direction::Play);
        self.voices.insert(voice, opened);
        Ok(())
    }

    fn set_volume(&self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (voice, muted, volume): (u64, bool, &[u8]) = body.deserialize().map_err(invalid)?;
        if let Some(voice) = self.voices.get(&voice) {
            voice.set_muted(Muted::There, muted);
            voice.set_volume(volume);
        }
        Ok(())
    }

    fn write(&self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (voice, samples): (u64, &[u8]) = body.deserialize().map_err(invalid)?;
        if let Some(voice) = self.voices.get(&voice) {
            voice.play(samples);
        }
        Ok(())
    }

    /// QEMU stands still meanwhile, takes what there is, and what it gets no samples of it asks for again. After an
    /// error it would take whatever lies in its buffer for samples.
    fn read(&self, call: &Message) -> Result<Vec<u8>, Refusal> {
        let (voice, bytes): (u64, u64) = arguments(call)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(self.voices.get(&voice).map_or_else(Vec::new, |voice| voice.read(bytes)))
    }
}
