//! What the guest records. Nobody listens unless the user has said so, and the guest wants it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

impl Stage {
    /// The guest may hear the user.
    fn hearing() -> (Self, FakeListener) {
        let mut stage = Self::new();
        stage.source.set_microphone(Sound::On);
        let input = stage.audio.registered(IN);
        (stage, input)
    }
}

/// The guest has a microphone, and records, or not.
fn microphone(input: &mut FakeListener, voice: Init, records: bool) {
    input.call(IN, "Init", &voice).unwrap();
    input.call(IN, "SetEnabled", &(voice.0, records)).unwrap();
}

/// What the guest records now, so many bytes at most.
fn read(input: &mut FakeListener, voice: u64, bytes: u64) -> Vec<u8> {
    input.call(IN, "Read", &(voice, bytes)).unwrap().body().deserialize().unwrap()
}

/// As QEMU does, again and again, until so much came that isn't silence.
fn hears(input: &mut FakeListener, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let end = Instant::now() + PATIENCE;
    while all.len() < bytes {
        assert!(Instant::now() < end, "it heard {} bytes", all.len());
        all.extend(read(input, 1, 1920).into_iter().filter(|&byte| byte != 0));
    }
    all
}

/// Whether nobody has connected to the sound server.
fn is_left_alone(server: &UnixListener) -> bool {
    server.set_nonblocking(true).unwrap();
    let alone = server.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    server.set_nonblocking(false).unwrap();
    alone
}

#[test]
fn what_the_user_says_is_heard_while_the_guest_records() {
    let name = "what_the_user_says_is_heard_while_the_guest_records";
    with_server(module_path!(), name, |listener| {
        let (_stage, mut input) = Stage::hearing();
        microphone(&mut input, STEREO, false);
        read(&mut input, 1, 1920);
        assert!(is_left_alone(&listener), "the guest does not record");
        input.call(IN, "SetVolume", &(1_u64, false, &[255_u8, 0][..])).unwrap();
        input.call(IN, "SetEnabled", &(1_u64, true)).unwrap();
        let mut server = next(&listener);
        server.accept_recording(&[]);
        assert_eq!(server.volume(), [0x10000, 0]);
        let said: Vec<u8> = (1..=240).collect();
        server.hear(&said);
        assert_eq!(hears(&mut input, 240), said);
        assert_eq!(read(&mut input, 1, 1920), b"", "and no more than that");
        input.call(IN, "SetEnabled", &(1_u64, false)).unwrap();
        server.expect_end();
        input.call(IN, "SetEnabled", &(1_u64, true)).unwrap();
        let mut server = next(&listener);
        server.accept_recording(&[]);
        assert_eq!(server.volume(), [0x10000, 0]);
        input.call(IN, "Fini", &1_u64).unwrap();
        server.expect_end();
        assert!(is_left_alone(&listener));
    });
}

#[test]
fn nobody_listens_unless_the_user_has_said_so() {
    let name = "nobody_listens_unless_the_user_has_said_so";
    with_server(module_path!(), name, |listener| {
        let (mut stage, mut out) = Stage::heard();
        init(&mut out, STEREO).unwrap();
        assert!(stage.qemu.answers() && !stage.audio.is_called());
        // Muted the guest has a microphone that hears nothing.
        stage.source.set_microphone(Sound::Muted);
        let mut input = stage.audio.registered(IN);
        microphone(&mut input, STEREO, true);
        read(&mut input, 1, 1920);
        assert!(is_left_alone(&listener));
        stage.source.set_microphone(Sound::On);
        let mut server = next(&listener);
        server.accept_recording(&[]);
        server.hear(&[7; 400]);
        assert_eq!(hears(&mut input, 400), [7; 400]);
        server.hear(&[8; 400]);
        stage.source.set_microphone(Sound::Muted);
        // Its last words may be unread.
        let _ = std::io::Read::read_to_end(&mut server.socket, &mut Vec::new());
        let rest = read(&mut input, 1, 1 << 20);
        assert!(rest.iter().all(|&byte| byte == 0), "what was said before is forgotten");
        // The guest's own switch does the same.
        stage.source.set_microphone(Sound::On);
        let mut server = next(&listener);
        server.accept_recording(&[]);
        input.call(IN, "SetVolume", &(1_u64, true, &[255_u8][..])).unwrap();
        let _ = std::io::Read::read_to_end(&mut server.socket, &mut Vec::new());
    });
}

/// The server sends what nobody reads. The guest gets the newest, no more than may wait.
#[test]
fn of_what_the_guest_does_not_read_the_newest_is_kept() {
    let name = "of_what_the_guest_does_not_read_the_newest_is_kept";
    with_server(module_path!(), name, |listener| {
        let (_stage, mut input) = Stage::hearing();
        microphone(&mut input, STEREO, true);
        let mut server = next(&listener);
        server.accept_recording(&[]);
        let second = vec![1_u8; 44_100 * 4];
        server.hear(&second);
        server.hear(&[2; 4]);
        // It is there when the newest is, and nothing is behind that.
        let mut all = Vec::new();
        while !all.ends_with(&[2; 4]) {
            all = read(&mut input, 1, u64::MAX);
            assert!(all.len() <= 3528 * 4, "80 milliseconds");
        }
    });
}

/// Sizes that are no whole frames, that no memory holds, and voices that aren't there. QEMU has its answer, which
/// is whole frames (it ends with an assertion after others) and never an error (it takes what lies in its buffer
/// for samples then).
#[test]
fn any_read_has_an_answer_of_whole_frames() {
    with_server(module_path!(), "any_read_has_an_answer_of_whole_frames", |listener| {
        let (_stage, mut input) = Stage::hearing();
        assert_eq!(read(&mut input, 1, 1920), b"");
        microphone(&mut input, STEREO, true);
        let mut server = next(&listener);
        server.accept_recording(&[1; 64]);
        assert_eq!(hears(&mut input, 64).len(), 64, "also what came with the stream");
        server.hear(&[1; 64]);
        for (bytes, most) in [(0, 0), (3, 0), (7, 4), (9, 8), (u64::MAX, 64)] {
            let count = read(&mut input, 1, bytes).len();
            assert!(count.is_multiple_of(4) && count <= most, "{bytes}: {count}");
        }
        input.call(IN, "Fini", &1_u64).unwrap();
        assert_eq!(read(&mut input, 1, 1920), b"");
        let wrong = (2, 7, true, false, 44_100, 2, 4, 0, false);
        input.call(IN, "Init", &wrong).unwrap_err();
        assert_eq!(read(&mut input, 2, 1920), b"");
        let (error, _) = input.call(IN, "Write", &(1_u64, &[0_u8][..])).unwrap_err();
        assert_eq!(error, "org.freedesktop.DBus.Error.UnknownMethod");
    });
}

/// The guest records silence, in the form that its samples have, as long as it takes.
#[test]
fn without_a_server_the_guest_records_silence() {
    with_server_path(module_path!(), "without_a_server_the_guest_records_silence", || {
        let (_stage, mut input) = Stage::hearing();
        let unsigned = (2, 16, false, false, 48_000, 1, 2, 96_000, false);
        for (voice, silence) in [(STEREO, [0, 0, 0, 0]), (unsigned, [0, 0x80, 0, 0x80])] {
            microphone(&mut input, voice, true);
            let mut all = Vec::new();
            while all.len() < 1024 {
                all.extend(read(&mut input, voice.0, 64));
            }
            assert!(all.chunks(4).all(|frame| *frame == silence[..frame.len()]), "{all:?}");
        }
    });
}
