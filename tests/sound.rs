//! What a guest plays and records, between a fake QEMU (`support/fake_audio.rs`) and a fake sound server
//! (`support/fake_sound.rs`). What real ones do is tested in the rig.

#[path = "support/alone.rs"]
#[allow(dead_code)]
mod alone;
#[path = "support/fake_audio.rs"]
mod fake_audio;
#[path = "support/fake_qemu.rs"]
mod fake_qemu;
#[path = "support/fake_sound.rs"]
mod fake_sound;

#[path = "sound/hostile.rs"]
mod hostile;
#[path = "sound/listening.rs"]
mod listening;
#[path = "sound/microphone.rs"]
mod microphone;
#[path = "sound/server.rs"]
mod server;

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use fake_audio::{FakeAudio, IN, Init, OUT, STEREO};
use fake_qemu::listener::FakeListener;
use fake_qemu::{FakeQemu, FakeVm, VM};
use fake_sound::Server;
use fanlight::frame::Sound;
use fanlight::port::Source;
use fanlight::source::{self, Bus, Options, Uri};

/// Where a test's sound server is.
const PULSE_SERVER: &str = "PULSE_SERVER";

/// A viewer's source, and both of its peers.
struct Stage {
    source: Box<dyn Source>,
    qemu: FakeQemu,
    audio: FakeAudio,
}

impl Stage {
    fn new() -> Self {
        let (stream, listeners) = fake_qemu::p2p(FakeVm { audio: true, ..VM });
        let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
        let options = Options { classify: fake_qemu::classify, ..Options::default() };
        let source = source::open_stream(stream, &uri, &options).unwrap().source;
        let audio = FakeAudio::at(listeners.connection());
        Self { source, qemu: listeners.next(), audio }
    }

    /// The guest is heard.
    fn heard() -> (Self, FakeListener) {
        let mut stage = Self::new();
        stage.source.set_sound(Sound::On);
        let out = stage.audio.registered(OUT);
        (stage, out)
    }
}

/// Where a test looks for its sound server. In the process of the test only.
fn server_path() -> PathBuf {
    let server = std::env::var(PULSE_SERVER).unwrap();
    server.strip_prefix("unix:").unwrap().into()
}

/// Runs a test in a process of its own, whose sound server is at a path where nothing is yet.
fn with_server_path(module: &str, name: &str, test: impl FnOnce()) {
    let folder = tempfile::tempdir().unwrap();
    let server = format!("unix:{}/native", folder.path().display());
    // The cookie of who runs the tests is nobody's business.
    let environment = [(PULSE_SERVER, server.as_str()), ("PULSE_COOKIE", "/dev/null")];
    alone::alone_with(module, name, &environment, test);
}

/// The same with a sound server, of which the test has the socket.
fn with_server(module: &str, name: &str, test: impl FnOnce(UnixListener)) {
    with_server_path(module, name, || test(UnixListener::bind(server_path()).unwrap()));
}

/// The next connection to the sound server.
fn next(server: &UnixListener) -> Server {
    Server::at(server.accept().unwrap().0)
}

/// The guest has a voice to play on.
fn init(out: &mut FakeListener, voice: Init) -> Result<(), String> {
    out.call(OUT, "Init", &voice).map(drop).map_err(|(_, text)| text)
}

/// The guest plays, and QEMU has its reply.
fn write(out: &mut FakeListener, voice: u64, samples: &[u8]) {
    out.call(OUT, "Write", &(voice, samples)).unwrap();
}

#[test]
fn what_a_guest_plays_is_heard() {
    with_server(module_path!(), "what_a_guest_plays_is_heard", |server| {
        let (_stage, mut out) = Stage::heard();
        init(&mut out, STEREO).unwrap();
        out.call(OUT, "SetVolume", &(1_u64, false, &[255_u8, 128][..])).unwrap();
        out.call(OUT, "SetEnabled", &(1_u64, true)).unwrap();
        let samples: Vec<u8> = (0..=255).collect();
        write(&mut out, 1, &samples);
        let mut server = next(&server);
        server.accept(10_000);
        assert_eq!(server.volume(), [0x10000, 0x8080]);
        assert_eq!(server.samples(256), samples);
        write(&mut out, 1, &samples[..64]);
        assert_eq!(server.samples(64), samples[..64]);
        out.call(OUT, "Fini", &1_u64).unwrap();
        server.expect_end();
    });
}

/// Before it is wanted nobody is asked for it, and what is muted isn't heard.
#[test]
fn nobody_asks_for_sound_that_is_not_wanted() {
    with_server(module_path!(), "nobody_asks_for_sound_that_is_not_wanted", |server| {
        let mut stage = Stage::new();
        assert!(stage.qemu.answers() && !stage.audio.is_called());
        stage.source.set_sound(Sound::Muted);
        let mut out = stage.audio.registered(OUT);
        init(&mut out, STEREO).unwrap();
        write(&mut out, 1, &[1; 400]);
        stage.source.set_sound(Sound::On);
        write(&mut out, 1, &[2; 400]);
        let mut server = next(&server);
        server.accept(400);
        assert_eq!(server.samples(400), [2; 400], "what was muted is heard by nobody");
        stage.source.set_sound(Sound::Muted);
        server.expect_end();
    });
}
