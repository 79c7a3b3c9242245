//! Where there is no sound: a QEMU without it, a sound server that isn't there, or goes. The guest and its picture
//! notice nothing, and the user is told once.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::*;

/// What the log says to who wants to know more (`-v`).
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Log {
    /// Of this process.
    fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
        log
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until it says something.
    fn wait(&self) {
        let (text, written) = &*self.0;
        let patience = Duration::from_secs(60);
        let text = text.lock().unwrap();
        let waited = written.wait_timeout_while(text, patience, |text| text.is_empty()).unwrap();
        assert!(!waited.1.timed_out(), "it says nothing");
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let (text, written) = &*self.0;
        let count = text.lock().unwrap().write(bytes);
        written.notify_all();
        count
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Most virtual machines have none.
#[test]
fn a_qemu_without_sound_is_not_worth_a_word() {
    with_server(module_path!(), "a_qemu_without_sound_is_not_worth_a_word", |_server| {
        let log = Log::start();
        let (stream, listeners) = fake_qemu::p2p(VM);
        let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
        let mut source = source::open_stream(stream, &uri, &Options::default()).unwrap().source;
        source.set_sound(Sound::On);
        let mut qemu = listeners.next();
        assert!(qemu.answers());
        drop(source);
        qemu.wait_closed();
        assert_eq!(log.lines(), [""; 0]);
    });
}

/// The listener of the sound goes, and that of the picture stays.
#[test]
fn the_picture_stays_when_the_sound_ends() {
    with_server(module_path!(), "the_picture_stays_when_the_sound_ends", |server| {
        let (mut stage, mut out) = Stage::heard();
        init(&mut out, STEREO).unwrap();
        write(&mut out, 1, &[1; 4]);
        let mut server = next(&server);
        server.accept(4);
        assert_eq!(server.samples(4), [1; 4]);
        out.kill();
        server.expect_end();
        assert!(stage.qemu.answers());
    });
}

/// Nobody is there; then somebody is, who dies; then another. As long as the guest plays it is tried again.
#[test]
fn a_server_is_asked_again_as_long_as_the_guest_plays() {
    let name = "a_server_is_asked_again_as_long_as_the_guest_plays";
    with_server_path(module_path!(), name, || {
        let log = Log::start();
        let (mut stage, mut out) = Stage::heard();
        init(&mut out, STEREO).unwrap();
        write(&mut out, 1, &[1; 400]);
        assert!(stage.qemu.answers());
        // It has looked, and found nobody.
        log.wait();
        let bind = || UnixListener::bind(server_path()).unwrap();
        let listener = bind();
        let mut connection = keep_playing(&mut out, &listener, 2);
        connection.accept(400);
        assert_eq!(connection.samples(400), [2; 400]);
        drop((connection, listener));
        std::fs::remove_file(server_path()).unwrap();
        let listener = bind();
        let mut connection = keep_playing(&mut out, &listener, 3);
        connection.accept(400);
        let samples = connection.samples(400);
        assert!(samples.iter().all(|sample| (2..=3).contains(sample)), "nothing older");
        let said = log.lines();
        assert!(said.len() == 1 && said[0].contains("the guest can't be heard"), "{said:#?}");
        assert!(said[0].contains("no sound server was found"), "{said:#?}");
    });
}

/// The guest plays, all the time, until somebody is there who takes it.
fn keep_playing(out: &mut FakeListener, listener: &UnixListener, value: u8) -> Server {
    let there = listener.try_clone().unwrap();
    let taken = std::thread::spawn(move || next(&there));
    while !taken.is_finished() {
        write(out, 1, &[value; 400]);
    }
    taken.join().unwrap()
}
