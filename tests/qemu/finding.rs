//! Finding virtual machines on a bus, and a console of theirs.

use std::io::{BufRead, BufReader, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use fanlight::frame::{Clipboard, Input};
use fanlight::source::{Seen, SourceError, Watch};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::*;
use crate::fake_clipboard::FakeClipboard;
use crate::fake_qemu::FakeQemus;

const OTHER: FakeVm = FakeVm {
    owner: ":1.9",
    name: "other",
    uuid: "00000000-0000-0000-0000-000000000002",
    consoles: &["Text", "Graphic"],
    ..VM
};

fn on_bus(path: &Path, vm: Option<&str>, console: Option<u32>) -> Uri {
    Uri::Qemu { bus: Bus::Unix(path.to_owned()), vm: vm.map(str::to_owned), console }
}

#[test]
fn every_console_of_every_vm_is_listed_with_what_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listeners = fake_qemu::bus(&path, vec![VM, OTHER]);
    let list = source::list(&on_bus(&path, None, None), &options()).unwrap();
    let names: Vec<_> = list.iter().map(|c| (&c.vm[..], c.console, &c.kind[..])).collect();
    assert_eq!(names, [("fake", 0, "Graphic"), ("other", 0, "Text"), ("other", 1, "Graphic")]);
    let list_of = |vm, console| source::list(&on_bus(&path, vm, console), &options());
    assert_eq!(list_of(Some("other"), None).unwrap(), list[1..]);
    assert_eq!(list_of(Some("other"), Some(1)).unwrap(), list[2..]);
    for (vm, console, part) in [
        (Some("third"), None, "no virtual machine is called \"third\""),
        (None, Some(1), "2 virtual machines are here"),
        (Some("fake"), Some(1), "no console 1; it has: 0"),
    ] {
        let error = list_of(vm, console).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(part), "{error}");
    }
    for console in list {
        let opened = source::open(&console.uri, &options()).unwrap();
        assert_eq!(opened.console, console);
        let owner = if console.vm == "fake" { ":1.7" } else { ":1.9" };
        assert_eq!(listeners.next().registered, (owner.to_owned(), console.console));
    }
}

#[test]
fn a_vm_is_chosen_by_name_and_uuid_and_gives_its_first_graphic_console() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listeners = fake_qemu::bus(&path, vec![VM, OTHER]);
    for name in ["other", OTHER.uuid, ":1.9"] {
        let opened = source::open(&on_bus(&path, Some(name), None), &options()).unwrap();
        assert_eq!((&opened.console.vm[..], opened.console.console), ("other", 1));
        assert_eq!(listeners.next().registered, (":1.9".to_owned(), 1));
    }
}

#[test]
fn what_can_not_be_chosen_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let _listeners = fake_qemu::bus(&path, vec![VM, OTHER]);
    for (uri, part) in [
        (on_bus(&path, None, None), "2 virtual machines are here"),
        (on_bus(&path, Some("third"), None), "no virtual machine is called \"third\""),
        (on_bus(&path, Some("other"), Some(5)), "no console 5; it has: 0 (Text, VGA), 1"),
    ] {
        let error = source::open(&uri, &options()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn an_empty_bus_and_no_bus_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let error = source::open(&on_bus(&path, None, None), &options()).unwrap_err();
    assert!(matches!(error, SourceError::NoBus { .. }) && !error.is_usage(), "{error}");
    let _listeners = fake_qemu::bus(&path, Vec::new());
    let error = source::open(&on_bus(&path, None, None), &options()).unwrap_err();
    assert!(matches!(error, SourceError::NoVm(_)) && error.is_usage(), "{error}");
    let error = source::list(&on_bus(&path, None, None), &options()).unwrap_err();
    assert!(matches!(error, SourceError::NoVm(_)), "{error}");
}

#[test]
fn a_refused_listener_is_reported() {
    let (stream, _listeners) = fake_qemu::p2p(FakeVm { refuses: Some("taken"), ..VM });
    let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
    let error = source::open_stream(stream, &uri, &options()).unwrap_err();
    assert!(matches!(&error, SourceError::ListenerRefused(text) if text == "taken"), "{error}");
}

#[test]
fn a_vm_without_a_graphic_console_is_reported() {
    let (stream, _listeners) = fake_qemu::p2p(FakeVm { consoles: &["Text"], ..VM });
    let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
    let error = source::open_stream(stream, &uri, &options()).unwrap_err();
    assert!(matches!(error, SourceError::NoGraphicConsole), "{error}");
}

#[test]
fn a_silent_bus_runs_into_the_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let _silent = UnixListener::bind(&path).unwrap();
    let options = Options { time_limit: Duration::from_millis(200), ..options() };
    let error = source::open(&on_bus(&path, None, None), &options).unwrap_err();
    assert!(matches!(error, SourceError::TimedOut(_)), "{error}");
}

fn qmp(path: &Path) -> Uri {
    Uri::Qmp { path: path.to_owned(), console: None }
}

#[test]
fn qmp_that_is_not_there_or_not_qmp_or_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let error = source::open(&qmp(&path), &options()).unwrap_err();
    assert!(error.to_string().contains("-qmp unix:"), "{error}");
    let listener = UnixListener::bind(&path).unwrap();
    let limit = Options { time_limit: Duration::from_secs(1), ..options() };
    let error = source::open(&qmp(&path), &limit).unwrap_err();
    assert!(matches!(error, SourceError::QmpBusy { .. }), "{error}");
    drop(listener.accept().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| listener.accept().unwrap().0.write_all(b"220 smtp\r\n").unwrap());
        let error = source::open(&qmp(&path), &options()).unwrap_err();
        assert!(matches!(error, SourceError::Qmp { .. }), "{error}");
    });
}

/// Speaks QMP, badly: refuses `add_client` as QEMU does without `p2p=yes`.
#[test]
fn a_qemu_without_p2p_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut socket = listener.accept().unwrap().0;
            socket.write_all(b"{\"QMP\": {}}\r\n").unwrap();
            let lines = BufReader::new(socket.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let answer: &[u8] = if line.contains("add_client") {
                    b"{\"event\": \"STOP\"}\n{\"error\": {\"desc\": \"D-Bus display is not in use\"}}\n"
                } else {
                    b"{\"return\": {}}\n"
                };
                socket.write_all(answer).unwrap();
            }
        });
        let error = source::open(&qmp(&path), &options()).unwrap_err();
        assert!(
            matches!(&error, SourceError::NotP2p(text) if text.contains("not in use")),
            "{error}"
        );
        assert!(error.to_string().contains("p2p=yes"), "{error}");
    });
}

/// Speaks QMP to one client, and serves the socket that it hands over.
fn serve_qmp(listener: &UnixListener, vm: FakeVm) -> FakeQemus {
    let socket = listener.accept().unwrap().0;
    let mut handed = None;
    (&socket).write_all(b"{\"QMP\": {}}\r\n").unwrap();
    loop {
        let mut line = [0; 512];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut room);
        let mut parts = [IoSliceMut::new(&mut line)];
        // The client waits for each answer: a read is a command.
        let got = recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                handed = fds.next();
            }
        }
        (&socket).write_all(b"{\"return\": {}}\n").unwrap();
        if String::from_utf8_lossy(&line[..got.bytes]).contains("add_client") {
            let handed = handed.expect("an fd came before");
            return fake_qemu::p2p_over(UnixStream::from(handed), vm);
        }
    }
}

#[test]
fn a_machine_behind_qmp_is_listed_with_what_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    // Ends when the test's clients have come.
    let clients = thread::spawn(move || [0; 3].map(|_| serve_qmp(&listener, OTHER)));
    let list = source::list(&qmp(&path), &options()).unwrap();
    let names: Vec<_> = list.iter().map(|c| (&c.vm[..], c.console, &c.kind[..])).collect();
    assert_eq!(names, [("other", 0, "Text"), ("other", 1, "Graphic")]);
    let error = source::list(&Uri::Qmp { path, console: Some(2) }, &options()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("no console 2"), "{error}");
    let opened = source::open(&list[1].uri, &options()).unwrap();
    assert_eq!(opened.console, list[1]);
    let [_, _, opened_by] = clients.join().unwrap();
    assert_eq!(opened_by.next().registered.1, 1);
}

/// QEMU has one peer at a time: whoever came for a second head would cut the first one off from its input.
#[test]
fn all_heads_behind_qmp_share_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    let two = FakeVm { consoles: &["Graphic", "Graphic"], ..OTHER };
    let client = thread::spawn(move || serve_qmp(&listener, two));
    let mut watch = source::watch(&qmp(&path), &options()).unwrap();
    let Some(Seen::Consoles(present)) = watch.poll() else { panic!("it has consoles") };
    let qemu = client.join().unwrap();
    let mut heads: Vec<_> = present.iter().map(|one| one.open(&options()).unwrap()).collect();
    let registered = [qemu.next(), qemu.next()].map(|head| head.registered.1);
    assert_eq!(registered, [0, 1]);
    for head in &mut heads {
        head.source.send(&Input::Key { code: 30, pressed: true });
        assert_eq!(qemu.did(), ("Keyboard.Press".to_owned(), 30, 0));
    }
    // One of them has the clipboard, or each of QEMU's calls would have two answers.
    let guest = FakeClipboard::at(qemu.connection());
    heads[0].source.clipboard(Clipboard::Offered);
    guest.registered();
    guest.grabbed();
    heads[1].source.clipboard(Clipboard::Offered);
    heads[1].source.send(&Input::Key { code: 31, pressed: true });
    assert_eq!(qemu.did(), ("Keyboard.Press".to_owned(), 31, 0));
    drop((heads, present, watch));
    assert_eq!(qemu.try_did(), None);
    assert!(!guest.is_called());
}

/// Who waits for virtual machines begins where there is none.
#[test]
fn a_bus_is_watched_before_anybody_is_on_it() {
    let mut bus = fake_qemu::Bus::with(Vec::new());
    let uri: Uri = bus.uri().parse().unwrap();
    assert!(matches!(source::watch(&uri, &options()), Err(SourceError::NoVm(_))));
    let Uri::Qemu { bus: place, .. } = uri else { panic!("{uri}") };
    let mut watch = source::watch_bus(&place, &options()).unwrap();
    assert_eq!(names_of(&mut *watch), [""; 0]);
    bus.comes(VM);
    assert_eq!(names_of(&mut *watch), ["fake"]);
    bus.goes(&VM, Vec::new());
    assert_eq!(names_of(&mut *watch), [""; 0]);
}

/// Of the consoles that a watch tells of next.
fn names_of(watch: &mut dyn Watch) -> Vec<String> {
    loop {
        match watch.poll() {
            Some(Seen::Consoles(all)) => {
                return all.into_iter().map(|one| one.console.vm).collect();
            }
            Some(Seen::Lost(reason)) => panic!("{reason}"),
            None => {}
        }
        let mut fds = [PollFd::from_borrowed_fd(watch.fd(), PollFlags::IN)];
        let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
        assert_ne!(rustix::event::poll(&mut fds, Some(&minute)), Ok(0), "nothing is seen");
    }
}
