//! Against a **fake** of a sound server, for what a real one won't do on demand.

#[path = "../../../tests/support/fake_sound.rs"]
mod fake_sound;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};

use pulseaudio::protocol::{
    Command, MAX_VERSION, PulseError, write_ack_message, write_command_message, write_error,
};

use super::server::SoundError;
use super::*;
use crate::sound::format;
use fake_sound::{CHANNEL, Server};

const STEREO: Format =
    Format { bits: 16, signed: true, float: false, big_endian: false, rate: 48_000, channels: 2 };

/// A player, and its connections as it makes them.
fn player(format: Format) -> (Voice, Receiver<UnixStream>) {
    let (tell, told) = channel();
    let connect = move || {
        let (ours, theirs) = UnixStream::pair()?;
        tell.send(theirs).map_err(|_| SoundError::None)?;
        Ok(ours)
    };
    (Voice::with(format, Direction::Play, Box::new(connect)).unwrap(), told)
}

fn next(connections: &Receiver<UnixStream>) -> Server {
    Server::at(connections.recv().unwrap())
}

#[test]
fn what_is_played_arrives_as_the_server_has_room_for_it() {
    let (player, connections) = player(STEREO);
    let samples: Vec<u8> = (0..=255).cycle().take(4000).collect();
    player.set_running(true);
    player.play(&samples);
    let mut server = next(&connections);
    server.accept(1000);
    assert_eq!(server.samples(1000), samples[..1000]);
    server.request(3);
    server.request(2001);
    // Whole frames only.
    assert_eq!(server.samples(2004), samples[1000..3004]);
    server.request(4000);
    assert_eq!(server.samples(996), samples[3004..]);
    player.set_running(false);
    let (serial, command) = server.command();
    assert!(matches!(command, Command::DrainPlaybackStream(CHANNEL)), "{command:?}");
    write_ack_message(server.socket.get_mut(), serial).unwrap();
    server.expect_end();
}

#[test]
fn nothing_is_asked_of_a_server_before_there_is_a_sound() {
    let (player, connections) = player(STEREO);
    player.set_muted(Muted::Here, true);
    player.set_running(true);
    player.play(&[1; 400]);
    player.set_muted(Muted::Here, false);
    player.set_muted(Muted::There, true);
    player.play(&[2; 400]);
    player.set_muted(Muted::There, false);
    player.play(&[3; 400]);
    let mut server = next(&connections);
    server.accept(400);
    assert_eq!(server.samples(400), [3; 400], "what was muted is heard by nobody");
    player.set_muted(Muted::Here, true);
    server.expect_end();
    assert!(connections.try_recv().is_err());
}

#[test]
fn of_what_nobody_takes_the_newest_is_kept_and_nobody_waits() {
    let (player, connections) = player(STEREO);
    let server = silent(&player, &connections);
    let most = STEREO.bytes_in(WAITING_MAX);
    for second in 0..3_u8 {
        player.play(&vec![second; 48_000 * 4]);
        player.play(&[second + 100; 4]);
    }
    {
        let state = player.0.lock();
        assert_eq!(state.waiting.len(), most);
        let (old, new) = (state.waiting[most - 5], state.waiting[most - 1]);
        assert_eq!((old, new), (2, 102));
        assert_eq!(state.dropped as usize, 3 * (48_000 * 4 + 4) + 4 - most);
    }
    drop(server);
}

/// One that was connected to and never answers.
fn silent(player: &Voice, connections: &Receiver<UnixStream>) -> Server {
    player.set_running(true);
    player.play(&[0; 4]);
    next(connections)
}

#[test]
fn how_loud_it_is_the_server_is_told() {
    let (player, connections) = player(STEREO);
    player.set_running(true);
    player.set_volume(&[255, 0, 7]);
    player.play(&[0; 4]);
    let mut server = next(&connections);
    server.accept(4000);
    assert_eq!(server.volume(), [0x10000, 0]);
    assert_eq!(server.samples(4), [0; 4]);
}

#[test]
fn samples_get_the_signs_that_servers_know() {
    let flipped = |bits, signed, big_endian, samples: &[u8]| {
        let format = Format { bits, signed, big_endian, channels: 1, ..STEREO };
        let mut samples: VecDeque<u8> = samples.iter().copied().collect();
        if format.wants_flip() {
            format.flip_signs(samples.iter_mut());
        }
        Vec::from(samples)
    };
    assert_eq!(flipped(8, true, false, &[0x80, 0, 0x7f]), [0, 0x80, 0xff]);
    assert_eq!(flipped(8, false, false, &[1, 2]), [1, 2]);
    assert_eq!(flipped(16, false, false, &[1, 0x80, 2, 0]), [1, 0, 2, 0x80]);
    assert_eq!(flipped(16, false, true, &[0x80, 1]), [0, 1]);
    assert_eq!(flipped(32, false, false, &[1, 2, 3, 4]), [1, 2, 3, 0x84]);
    assert_eq!(flipped(16, true, false, &[1, 2]), [1, 2]);
}

#[test]
fn what_nobody_can_play_is_known() {
    for format in [
        Format { bits: 24, ..STEREO },
        Format { bits: 16, float: true, ..STEREO },
        Format { channels: 0, ..STEREO },
        Format { channels: format::CHANNELS_MAX + 1, ..STEREO },
        Format { rate: 0, ..STEREO },
        Format { rate: u32::MAX, ..STEREO },
    ] {
        assert!(!format.is_possible(), "{format:?}");
    }
}

/// The thread ends with its player, whatever its server does: else the test would not.
#[test]
fn a_server_that_refuses_lies_or_goes_is_left() {
    type Does = fn(&mut Server);
    let all: [Does; 4] = [
        |server| drop(server.command()),
        |server| {
            let (serial, _) = server.command();
            let error = PulseError::AccessDenied;
            write_error(server.socket.get_mut(), serial, &error).unwrap();
            server.expect_end();
        },
        |server| {
            use std::io::Write;
            server.socket.get_mut().write_all(&[0xff; 40]).unwrap();
            // Its last words may be unread.
            let _ = server.socket.read_to_end(&mut Vec::new());
        },
        |server| {
            server.accept(0);
            let killed = Command::PlaybackStreamKilled(CHANNEL);
            write_command_message(server.socket.get_mut(), u32::MAX, &killed, MAX_VERSION).unwrap();
            server.expect_end();
        },
    ];
    for does in all {
        let (player, connections) = player(STEREO);
        let mut server = silent(&player, &connections);
        does(&mut server);
        drop(server);
        drop(player);
        // The sender goes with the thread.
        assert!(connections.recv().is_err());
    }
}
