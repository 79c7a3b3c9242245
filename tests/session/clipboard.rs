//! Text on its way from the host's clipboard to the guest's, and back. The programs that copy and paste are
//! the test's: most of what they do here no honest one does.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fanlight::port::{Sink, SinkEvent};
use fanlight::sink::wayland::{WaylandSink, WindowOptions};

use crate::compositor::{Compositor, Script, Server};
use crate::fake_clipboard::{FakeClipboard, Pasted, TEXT};
use crate::stage::{Setup, Stage};

/// As `TEXT_MAX` of the source has it.
const LONGEST: usize = 1 << 20;

/// A guest and a host that have a clipboard each, and the window has the keyboard.
pub(crate) fn shared() -> (Stage, FakeClipboard) {
    shared_within(Setup::default().time_limit)
}

pub(crate) fn shared_within(time_limit: Duration) -> (Stage, FakeClipboard) {
    let (mut stage, guest) = open_within(time_limit);
    stage.settle();
    guest.registered();
    stage.until_told("a keyboard", |server| server.seat.keyboard.is_some().then_some(()));
    stage.compositor.with(|server| server.focus(&[]));
    (stage, guest)
}

fn open() -> (Stage, FakeClipboard) {
    open_within(Setup::default().time_limit)
}

fn open_within(time_limit: Duration) -> (Stage, FakeClipboard) {
    let script = Script { clipboard: true, ..Script::default() };
    let stage = Stage::open(Setup { script, time_limit, ..Setup::default() });
    let connection = stage.told.as_ref().unwrap().connection();
    (stage, FakeClipboard::at(connection))
}

impl Stage {
    /// Lets the session work until a thread has what it waits for.
    pub(crate) fn join<T>(&mut self, what: &str, thread: JoinHandle<T>) -> T {
        let mut thread = Some(thread);
        self.until(what, |stage| {
            // It may end without the session's doing.
            stage.compositor.nudge();
            thread.take_if(|thread| thread.is_finished())
        })
        .join()
        .unwrap()
    }

    /// Lets the session work until the compositor was told something.
    fn until_told<T>(&mut self, what: &str, mut f: impl FnMut(&mut Server) -> Option<T>) -> T {
        self.until(what, |stage| stage.compositor.with(&mut f))
    }

    /// What the window is asked for by the guest: under which name, and where to.
    pub(crate) fn asked(&mut self) -> (String, File) {
        let (name, pipe) = self.until_told("a paste", |server| server.data.pastes.pop());
        (name, File::from(pipe))
    }

    /// What a program of the host's gets that pastes under that name.
    pub(crate) fn pasted(&mut self, name: &str) -> JoinHandle<Vec<u8>> {
        let pipe = self.compositor.with(|server| server.host_pastes(name));
        self.settle();
        read_all(pipe)
    }

    /// The compositor has not taken what the guest has copied, for the so manieth time.
    fn refused(&mut self, times: usize) {
        let refused = |server: &mut Server| (server.data.refused == times).then_some(());
        self.until_told("a refusal", refused);
        self.settle();
    }

    pub(crate) fn host_copies(&mut self, names: &[&str]) {
        self.compositor.with(|server| server.host_copies(names));
        self.settle();
    }

    /// The guest's is what is copied in the host, by that serial number.
    pub(crate) fn guests_is_copied(&mut self) -> u32 {
        self.until_told("a copy", |server| server.data.copied.as_ref().map(|copied| copied.1))
    }
}

fn read_all(pipe: OwnedFd) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        File::from(pipe).read_to_end(&mut bytes).unwrap();
        bytes
    })
}

pub(crate) fn text(text: &str) -> Pasted {
    Ok((TEXT.to_owned(), text.as_bytes().to_vec()))
}

#[test]
fn what_the_host_copied_is_pasted_in_the_guest_and_read_only_then() {
    let (mut stage, guest) = shared();
    stage.host_copies(&["image/png", "text/plain", TEXT, "UTF8_STRING"]);
    assert_eq!(guest.grabbed(), 1);
    assert!(stage.compositor.with(|server| server.data.pastes.is_empty()), "nobody has asked");
    let pastes = guest.guest_pastes();
    let (name, mut pipe) = stage.asked();
    assert_eq!(name, TEXT, "the clearest of its names");
    pipe.write_all("Grüße".as_bytes()).unwrap();
    drop(pipe);
    assert_eq!(stage.join("the text", pastes), text("Grüße"));
    stage.compositor.with(Server::host_clears);
    stage.settle();
    guest.answer(&guest.called("Release"), &());
}

#[test]
fn what_the_guest_copied_is_pasted_in_the_host_and_asked_for_only_then() {
    let (mut stage, guest) = shared();
    guest.guest_copies(1, &[TEXT]);
    assert_eq!(stage.guests_is_copied(), 1, "the serial number of the focus");
    assert!(!guest.is_called(), "nobody has asked");
    let pasted = stage.pasted("UTF8_STRING");
    let request = guest.called("Request");
    assert_eq!(request.body().deserialize::<(u32, Vec<String>)>().unwrap(), (0, vec![TEXT.into()]));
    guest.answer(&request, &(TEXT, "Grüße".as_bytes()));
    assert_eq!(stage.join("the text", pasted), "Grüße".as_bytes());
    // What else it may call it nobody has offered.
    let pipe = stage.compositor.with(|server| server.host_pastes("image/png"));
    assert_eq!(stage.join("nothing", read_all(pipe)), b"");
    guest.guest_copies(2, &["image/png"]);
    stage.until_told("no text", |server| server.data.copied.is_none().then_some(()));
}

#[test]
fn neither_is_told_what_it_has_said_itself() {
    let (mut stage, guest) = shared();
    stage.host_copies(&[TEXT]);
    assert_eq!(guest.grabbed(), 1);
    guest.guest_copies(2, &[TEXT]);
    stage.guests_is_copied();
    // The compositor says so to whoever has the keyboard, which is us; and so it does again and again.
    stage.compositor.with(|server| {
        server.unfocus();
        server.focus(&[]);
    });
    stage.settle();
    // Nothing was told the guest meanwhile, because this is the next: higher than its own.
    stage.host_copies(&[TEXT]);
    assert_eq!(guest.grabbed(), 3);
    let one = |server: &mut Server| (server.data.offers == 1).then_some(());
    stage.until_told("the others to be given back", one);
}

#[test]
fn of_two_that_cross_the_higher_counts_and_of_equals_ours() {
    let (mut stage, guest) = shared();
    for expected in 1..=2 {
        stage.host_copies(&[TEXT]);
        assert_eq!(guest.grabbed(), expected);
    }
    guest.guest_copies(1, &[TEXT]);
    guest.guest_copies(2, &[TEXT]);
    stage.settle();
    assert!(stage.compositor.with(|server| server.data.copied.is_none()));
    guest.guest_copies(u32::MAX, &[TEXT]);
    stage.guests_is_copied();
    stage.host_copies(&[TEXT]);
    assert_eq!(guest.grabbed(), u32::MAX);
}

#[test]
fn what_is_copied_without_the_keyboard_waits_for_it_and_then_wins() {
    let (mut stage, guest) = shared();
    stage.compositor.with(|server| server.unfocus());
    stage.settle();
    guest.guest_copies(1, &[TEXT]);
    stage.settle();
    assert!(stage.compositor.with(|server| server.data.copied.is_none()), "it may not");
    stage.compositor.with(|server| {
        // Compositors say it before or after; of what this says the guest must not hear.
        server.offer(&[TEXT]);
        server.focus(&[]);
        server.offer(&[TEXT]);
    });
    stage.guests_is_copied();
    stage.settle();
    let pasted = stage.pasted(TEXT);
    guest.answer(&guest.called("Request"), &(TEXT, &b"guest"[..]));
    assert_eq!(stage.join("the text", pasted), b"guest");
}

/// A compositor takes a copy only by something that the user did after whatever was copied last. Without this
/// the guest would lose what it has copied, to what it has copied it over.
#[test]
fn what_the_compositor_does_not_take_waits_for_the_users_next_doing() {
    let (mut stage, guest) = shared();
    let refuses = |server: &mut Server| {
        server.host_copies(&[TEXT]);
        server.data.oldest = 3;
    };
    stage.compositor.with(refuses);
    stage.settle();
    assert_eq!(guest.grabbed(), 1);
    guest.guest_copies(2, &[TEXT]);
    stage.refused(1);
    stage.compositor.with(|server| server.key(30, true));
    assert_eq!(stage.guests_is_copied(), 3, "the serial number of the key");
    // What the host copies meanwhile is newer.
    stage.host_copies(&[TEXT]);
    assert_eq!(guest.grabbed(), 3);
    stage.compositor.with(|server| server.data.oldest = 9);
    guest.guest_copies(4, &[TEXT]);
    stage.refused(2);
    stage.host_copies(&[TEXT]);
    assert_eq!(guest.grabbed(), 5);
    // A click is as good as a key.
    stage.compositor.with(|server| server.data.oldest = 5);
    guest.guest_copies(6, &[TEXT]);
    stage.refused(3);
    stage.compositor.with(|server| server.button(0x110, true));
    assert_eq!(stage.guests_is_copied(), 5, "the serial number of the click");
    // But it isn't tried for ever: then the host's counts.
    stage.host_copies(&[TEXT]);
    assert_eq!(guest.grabbed(), 7);
    stage.compositor.with(|server| server.data.oldest = 9);
    guest.guest_copies(8, &[TEXT]);
    stage.refused(4);
    stage.compositor.with(|server| server.key(30, true));
    stage.refused(5);
    assert_eq!(guest.grabbed(), 9);
}

#[test]
fn a_guest_that_forgot_is_told_again() {
    let (mut stage, guest) = shared();
    stage.host_copies(&[TEXT]);
    stage.host_copies(&[TEXT]);
    assert_eq!((guest.grabbed(), guest.grabbed()), (1, 2));
    guest.tell("Register", &());
    assert_eq!(guest.grabbed(), 1);
}

/// Without a bus QEMU doesn't notice that the viewer before has gone.
#[test]
fn who_was_registered_before_us_is_unregistered() {
    let (mut stage, guest) = open();
    stage.settle();
    guest.refuse(&guest.called("Register"));
    guest.answer(&guest.called("Unregister"), &());
    guest.registered();
}

#[test]
fn a_clipboard_that_cannot_be_had_is_no_reason_to_end() {
    let (mut stage, guest) = open();
    stage.settle();
    for method in ["Register", "Unregister"] {
        guest.refuse(&guest.called(method));
    }
    stage.until_told("a keyboard", |server| server.seat.keyboard.is_some().then_some(()));
    stage.compositor.with(|server| {
        server.focus(&[]);
        server.host_copies(&[TEXT]);
    });
    stage.settle();
    assert!(!guest.is_called());
}

#[test]
fn a_machine_that_ends_takes_its_text_along_and_the_next_is_told_of_ours() {
    let (mut stage, guest) = shared();
    guest.guest_copies(1, &[TEXT]);
    stage.guests_is_copied();
    stage.kill_qemu();
    stage.until_told("nothing copied", |server| server.data.copied.is_none().then_some(()));
    stage.host_copies(&[TEXT]);
    let guest = stage.reconnect_and(|qemus| FakeClipboard::at(qemus.connection()));
    stage.settle();
    guest.registered();
    assert_eq!(guest.grabbed(), 1);
}

#[test]
fn a_text_that_is_too_long_or_no_text_is_not_passed_on() {
    let (mut stage, guest) = shared();
    let wrong = [vec![b'a'; LONGEST + 1], vec![0xff], vec![]];
    for (bytes, reason) in wrong.into_iter().zip(["longer than", "not UTF-8", "nothing to say"]) {
        stage.host_copies(&[TEXT]);
        guest.grabbed();
        let pastes = guest.guest_pastes();
        let (_, mut pipe) = stage.asked();
        // The other end may be closed long before the end.
        let writes = thread::spawn(move || drop(pipe.write_all(&bytes)));
        let error = stage.join("a refusal", pastes).unwrap_err();
        assert!(error.contains(reason), "{error}");
        writes.join().unwrap();
    }
    guest.guest_copies(9, &[TEXT]);
    stage.guests_is_copied();
    let answers: [(&str, &[u8]); 3] =
        [(TEXT, &vec![b'a'; LONGEST + 1]), (TEXT, &[0xff]), ("text/html", b"a")];
    for answer in answers {
        let pasted = stage.pasted(TEXT);
        guest.answer(&guest.called("Request"), &answer);
        assert_eq!(stage.join("nothing", pasted), b"");
    }
    let pasted = stage.pasted(TEXT);
    guest.refuse(&guest.called("Request"));
    assert_eq!(stage.join("nothing", pasted), b"");
    // The longest that passes.
    let long = vec![b'a'; LONGEST];
    let pasted = stage.pasted(TEXT);
    guest.answer(&guest.called("Request"), &(TEXT, &long[..]));
    assert!(stage.join("the text", pasted) == long);
}

/// QEMU stands still meanwhile.
#[test]
fn a_program_that_says_nothing_is_not_waited_for_but_heard() {
    let (mut stage, guest) = shared();
    stage.host_copies(&[TEXT]);
    guest.grabbed();
    let pastes = guest.guest_pastes();
    let (_, mut pipe) = stage.asked();
    let error = stage.join("a refusal", pastes).unwrap_err();
    assert!(error.contains("took too long"), "{error}");
    // Nor is it asked twice at a time.
    let pastes = guest.guest_pastes();
    let error = stage.join("a refusal", pastes).unwrap_err();
    assert!(error.contains("still being read"), "{error}");
    pipe.write_all(b"late").unwrap();
    drop(pipe);
    // QEMU doesn't ask again by itself.
    assert_eq!(guest.grabbed(), 2, "it is offered once more");
    let pastes = guest.guest_pastes();
    assert_eq!(stage.join("what it said at last", pastes), text("late"));
    assert!(stage.compositor.with(|server| server.data.pastes.is_empty()), "it was asked once");
    // It isn't kept for longer than it is what is copied.
    stage.host_copies(&[TEXT]);
    guest.grabbed();
    let pastes = guest.guest_pastes();
    drop(stage.asked());
    assert!(stage.join("a refusal", pastes).is_err());
}

#[test]
fn who_asks_for_what_is_not_there_is_refused() {
    let (mut stage, guest) = shared();
    let pastes = guest.guest_pastes();
    let error = stage.join("a refusal", pastes).unwrap_err();
    assert!(error.contains("nothing of that kind"), "{error}");
    stage.host_copies(&["image/png"]);
    let pastes = guest.guest_pastes();
    assert!(stage.join("a refusal", pastes).is_err());
    assert!(!guest.is_called(), "there was no text");
}

#[test]
fn who_only_looks_has_no_clipboard() {
    for options in [
        WindowOptions { view_only: true, ..WindowOptions::default() },
        WindowOptions { clipboard: false, ..WindowOptions::default() },
    ] {
        let script = Script { clipboard: true, ..Script::default() };
        let (compositor, stream) = Compositor::start(script);
        let mut sink = WaylandSink::over(stream, &options, |_, _, _| unreachable!()).unwrap();
        assert!(!matches!(sink.poll(), Some(SinkEvent::Clipboard(_))));
        drop(sink);
        compositor.wait("the end", |server| server.gone.then_some(()));
        compositor.with(|server| assert!(server.data.device.is_none()));
    }
}
