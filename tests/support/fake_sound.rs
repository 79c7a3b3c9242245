//! A **fake**: a sound server's end of one connection, for what a real one won't do on demand. It says what
//! PulseAudio does, in its protocol, when the test says so.

// Each test crate uses its own part of it.
#![allow(dead_code)]

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use pulseaudio::protocol::{
    AuthReply, Command, CommandReply, CreatePlaybackStreamReply, CreateRecordStreamReply,
    Descriptor, DescriptorFlags, MAX_VERSION, Request, SetClientNameReply, TagStructWrite, Volume,
    read_command_message, read_descriptor, write_command_message, write_descriptor,
    write_reply_message,
};

/// What it calls a stream.
pub(crate) const CHANNEL: u32 = 5;

pub(crate) struct Server {
    pub(crate) socket: BufReader<UnixStream>,
}

fn write_samples(to: &mut impl Write, samples: &[u8]) {
    for block in samples.chunks(1024) {
        let (length, flags) = (block.len() as u32, DescriptorFlags::empty());
        let head = Descriptor { length, channel: CHANNEL, offset: 0, flags };
        write_descriptor(to, &head).unwrap();
        to.write_all(block).unwrap();
    }
}

impl Server {
    pub(crate) fn at(socket: UnixStream) -> Self {
        Self { socket: BufReader::new(socket) }
    }

    pub(crate) fn command(&mut self) -> (u32, Command) {
        read_command_message(&mut self.socket, MAX_VERSION).unwrap()
    }

    /// Answers until it is asked for a stream.
    fn greet(&mut self) -> (u32, Command) {
        let (serial, command) = self.command();
        // PulseAudio takes no other length, also of who has none.
        assert!(matches!(&command, Command::Auth(said) if said.cookie.len() == 256), "{command:?}");
        self.reply(serial, &AuthReply { version: MAX_VERSION, ..AuthReply::default() });
        let (serial, command) = self.command();
        assert!(matches!(command, Command::SetClientName(_)), "{command:?}");
        self.reply(serial, &SetClientNameReply { client_id: 1 });
        self.command()
    }

    fn reply<R: CommandReply + TagStructWrite>(&mut self, serial: u32, reply: &R) {
        write_reply_message(self.socket.get_mut(), serial, reply, MAX_VERSION).unwrap();
    }

    /// Answers until there is a stream to play, for which there is so much room.
    pub(crate) fn accept(&mut self, room: u32) {
        let (serial, command) = self.greet();
        let Command::CreatePlaybackStream(params) = command else { panic!("{command:?}") };
        assert_eq!(params.sample_spec.channels, params.channel_map.num_channels());
        let reply = CreatePlaybackStreamReply {
            channel: CHANNEL,
            requested_bytes: room,
            sample_spec: params.sample_spec,
            channel_map: params.channel_map,
            ..CreatePlaybackStreamReply::default()
        };
        self.reply(serial, &reply);
    }

    /// Answers until there is a stream that records, and has recorded this already.
    pub(crate) fn accept_recording(&mut self, heard: &[u8]) {
        let (serial, command) = self.greet();
        let Command::CreateRecordStream(params) = command else { panic!("{command:?}") };
        assert_eq!(params.sample_spec.channels, params.channel_map.num_channels());
        let reply = CreateRecordStreamReply {
            channel: CHANNEL,
            sample_spec: params.sample_spec,
            channel_map: params.channel_map,
            ..CreateRecordStreamReply::default()
        };
        let mut at_once = Vec::new();
        write_reply_message(&mut at_once, serial, &reply, MAX_VERSION).unwrap();
        write_samples(&mut at_once, heard);
        self.socket.get_mut().write_all(&at_once).unwrap();
    }

    /// The microphone hears this.
    pub(crate) fn hear(&mut self, samples: &[u8]) {
        write_samples(self.socket.get_mut(), samples);
    }

    pub(crate) fn request(&mut self, length: u32) {
        let request = Command::Request(Request { channel: CHANNEL, length });
        write_command_message(self.socket.get_mut(), u32::MAX, &request, MAX_VERSION).unwrap();
    }

    /// The next samples, which are so many bytes.
    pub(crate) fn samples(&mut self, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < bytes {
            let head = read_descriptor(&mut self.socket).unwrap();
            assert_eq!(head.channel, CHANNEL);
            let mut block = vec![0; head.length as usize];
            self.socket.read_exact(&mut block).unwrap();
            all.extend(block);
        }
        assert_eq!(all.len(), bytes);
        all
    }

    /// How loud each channel of the stream is to be, of 0x10000.
    pub(crate) fn volume(&mut self) -> Vec<u32> {
        let said = match self.command().1 {
            Command::SetSinkInputVolume(said) | Command::SetSourceOutputVolume(said) => said,
            other => panic!("{other:?}"),
        };
        said.volume.channels().iter().map(Volume::as_u32).collect()
    }

    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.socket.read(&mut [0; 64]).unwrap(), 0, "it hangs up");
    }
}
