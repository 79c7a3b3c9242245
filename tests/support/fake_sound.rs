//! A **fake**: a sound server's end of one connection, for what a real one won't do on demand. It says what
//! PulseAudio does, in its protocol, when the test says so.

// Each test crate uses its own part of it.
#![allow(dead_code)]

use std::io::{BufReader, Read};
use std::os::unix::net::UnixStream;

use pulseaudio::protocol::{
    AuthReply, Command, CreatePlaybackStreamReply, MAX_VERSION, Request, SetClientNameReply,
    Volume, read_command_message, read_descriptor, write_command_message, write_reply_message,
};

/// What it calls a stream.
pub(crate) const CHANNEL: u32 = 5;

pub(crate) struct Server {
    pub(crate) socket: BufReader<UnixStream>,
}

impl Server {
    pub(crate) fn at(socket: UnixStream) -> Self {
        Self { socket: BufReader::new(socket) }
    }

    pub(crate) fn command(&mut self) -> (u32, Command) {
        read_command_message(&mut self.socket, MAX_VERSION).unwrap()
    }

    /// Answers until there is a stream, for which there is so much room.
    pub(crate) fn accept(&mut self, room: u32) {
        let (serial, command) = self.command();
        assert!(matches!(command, Command::Auth(_)), "{command:?}");
        let reply = AuthReply { version: MAX_VERSION, ..AuthReply::default() };
        write_reply_message(self.socket.get_mut(), serial, &reply, MAX_VERSION).unwrap();
        let (serial, command) = self.command();
        assert!(matches!(command, Command::SetClientName(_)), "{command:?}");
        let reply = SetClientNameReply { client_id: 1 };
        write_reply_message(self.socket.get_mut(), serial, &reply, MAX_VERSION).unwrap();
        let (serial, command) = self.command();
        let Command::CreatePlaybackStream(params) = command else { panic!("{command:?}") };
        assert_eq!(params.sample_spec.channels, params.channel_map.num_channels());
        let reply = CreatePlaybackStreamReply {
            channel: CHANNEL,
            requested_bytes: room,
            sample_spec: params.sample_spec,
            channel_map: params.channel_map,
            ..CreatePlaybackStreamReply::default()
        };
        write_reply_message(self.socket.get_mut(), serial, &reply, MAX_VERSION).unwrap();
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
        let (_, command) = self.command();
        let Command::SetSinkInputVolume(said) = command else { panic!("{command:?}") };
        said.volume.channels().iter().map(Volume::as_u32).collect()
    }

    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.socket.read(&mut [0; 64]).unwrap(), 0, "it hangs up");
    }
}
