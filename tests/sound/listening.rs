//! What a guest plays, for whoever listens: no sound server has to do with it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use fake_qemu::Members;
use fanlight::sound::{Format, Heard};
use fanlight::source::{Listening, SourceError, listen, listen_stream};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const FORMAT: Format =
    Format { bits: 16, signed: true, float: false, big_endian: false, rate: 44_100, channels: 2 };

/// What was heard, samples and volumes as bytes.
#[derive(Debug, PartialEq)]
enum Event {
    Voice(u64, Format),
    Running(u64, bool),
    Muted(u64, bool),
    Volume(u64, Vec<u8>),
    Samples(u64, Vec<u8>, Instant),
    Ended(u64),
    Lost(String),
}

fn ear() -> (impl FnMut(Heard<'_>) + Send + 'static, Receiver<Event>) {
    let (tell, told) = channel();
    let ear = move |heard: Heard<'_>| {
        let event = match heard {
            Heard::Voice { voice, format } => Event::Voice(voice, format),
            Heard::Running { voice, running } => Event::Running(voice, running),
            Heard::Muted { voice, muted } => Event::Muted(voice, muted),
            Heard::Volume { voice, volume } => Event::Volume(voice, volume.to_vec()),
            Heard::Samples { voice, samples, at } => Event::Samples(voice, samples.to_vec(), at),
            Heard::Ended { voice } => Event::Ended(voice),
            Heard::Lost(reason) => Event::Lost(reason),
        };
        // The test may have heard enough.
        let _ = tell.send(event);
    };
    (ear, told)
}

/// On a fake bus with this one on it: who listens, what is heard, and QEMU's end.
fn listening(vm: FakeVm) -> (Result<Listening, SourceError>, Receiver<Event>, FakeListener) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let members = Members::of(vec![vm]);
    let qemus = fake_qemu::bus_of(&path, Arc::clone(&members));
    let (ear, heard) = ear();
    let uri = Uri::Qemu { bus: Bus::Unix(path), vm: None, console: None };
    let mut audio = None;
    let mut client = None;
    // Nobody on the bus says a word before the test listens.
    members.change(|_| {
        client = Some(thread::spawn(move || listen(&uri, &Options::default(), ear)));
        audio = Some(FakeAudio::at(qemus.connection()));
    });
    let out = audio.unwrap().registered(OUT);
    (client.unwrap().join().unwrap(), heard, out)
}

fn next_of(heard: &Receiver<Event>) -> Event {
    heard.recv_timeout(PATIENCE).expect("nothing is heard")
}

#[test]
fn who_listens_hears_what_a_guest_plays_and_when() {
    let (listening, heard, mut out) = listening(FakeVm { audio: true, ..VM });
    let listening = listening.unwrap();
    init(&mut out, STEREO).unwrap();
    assert_eq!(next_of(&heard), Event::Voice(1, FORMAT));
    assert_eq!(next_of(&heard), Event::Running(1, true));
    out.call(OUT, "SetVolume", &(1_u64, true, &[255_u8, 7][..])).unwrap();
    assert_eq!(next_of(&heard), Event::Muted(1, true));
    assert_eq!(next_of(&heard), Event::Volume(1, vec![255, 7]));
    let before = Instant::now();
    // Muted or not: that is for who listens to say.
    write(&mut out, 1, &[1, 2, 3, 4, 5]);
    let Event::Samples(1, samples, at) = next_of(&heard) else { panic!("samples are heard") };
    assert_eq!(samples, [1, 2, 3, 4], "whole frames");
    assert!((before..=Instant::now()).contains(&at));
    write(&mut out, 1, &[1, 2, 3]);
    write(&mut out, 9, &[1, 2, 3, 4]);
    out.call(OUT, "SetEnabled", &(1_u64, false)).unwrap();
    assert_eq!(next_of(&heard), Event::Running(1, false), "what is no frame and of no voice isn't");
    // One of the same number takes its place.
    init(&mut out, (1, 8, false, false, 8000, 1, 1, 8000, false)).unwrap();
    assert_eq!(next_of(&heard), Event::Ended(1));
    let format = Format { bits: 8, signed: false, rate: 8000, channels: 1, ..FORMAT };
    assert_eq!(next_of(&heard), Event::Voice(1, format));
    assert_eq!(next_of(&heard), Event::Running(1, true));
    drop(listening);
    out.wait_closed();
    assert_eq!(next_of(&heard), Event::Ended(1));
    assert_eq!(heard.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_qemu_that_ends_is_lost_to_who_listens() {
    let (listening, heard, mut out) = listening(FakeVm { audio: true, ..VM });
    let _listening = listening.unwrap();
    init(&mut out, STEREO).unwrap();
    out.kill();
    next_of(&heard);
    next_of(&heard);
    assert_eq!(next_of(&heard), Event::Ended(1));
    let Event::Lost(reason) = next_of(&heard) else { panic!("it is lost") };
    assert!(reason.contains("QEMU closed"), "{reason}");
}

/// What it can't be started for, and how it can be.
#[test]
fn a_qemu_without_sound_says_what_it_needs() {
    let (stream, _qemus) = fake_qemu::p2p(VM);
    let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
    let error = listen_stream(stream, &uri, &Options::default(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("-audiodev dbus"), "{error}");
    for uri in ["demo:", "scanout:/run/vm.sock"] {
        let error = listen(&uri.parse().unwrap(), &Options::default(), |_| {}).unwrap_err();
        assert!(matches!(error, SourceError::Silent(_)), "{error}");
    }
}

/// Formats that can't be are refused before anybody hears of them.
#[test]
fn who_listens_hears_nothing_that_cannot_be() {
    let (listening, heard, mut out) = listening(FakeVm { audio: true, ..VM });
    let _listening = listening.unwrap();
    for voice in
        [(1, 24, true, false, 44_100, 2, 6, 0, false), (1, 16, true, false, 0, 2, 4, 0, false)]
    {
        init(&mut out, voice).unwrap_err();
    }
    init(&mut out, STEREO).unwrap();
    assert_eq!(next_of(&heard), Event::Voice(1, FORMAT));
}
