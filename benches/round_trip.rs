//! From a backend's word that a frame is finished to the ack of it, all the way: socket, source, session,
//! a sink that does at once what it is told, and back. The session has a thread of its own, so that
//! every way has the two wake-ups that it has between two processes.
//!
//! `dbus` is QEMU's protocol. QEMU's end of it is done by hand, on the socket itself: what a D-Bus
//! library costs over there isn't counted, which is kinder to D-Bus than QEMU is.

// What it shares with tests is public there.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use divan::Bencher;
use fanlight::frame::{BufferId, CommitId, Damage, Format, ImportId, StorageId, Transform};
use fanlight::port::{Buffer, Sink, SinkEvent};
use fanlight::serve::{ConsoleId, Event, Kind, Memory, Server};
use fanlight::session::{Config, Present, Session};
use fanlight::source::{self, Bus, Opened, Uri};
use rustix::event::{EventfdFlags, eventfd};

#[allow(dead_code)]
#[path = "../tests/wire/backend.rs"]
mod backend;
#[allow(dead_code)]
#[path = "../tests/fuzz/dbus.rs"]
mod dbus;
#[path = "../tests/support/fake_qemu.rs"]
mod fake_qemu;

use backend::{CALM, PATIENCE, Picture, SIZE, WHOLE, layout, uri, wait};
use dbus::{Body, Call, ERROR, Inbox};

fn main() {
    divan::main();
}

/// guest-scanout-v1: update and ack.
#[divan::bench(sample_count = 10_000)]
fn guest_scanout_v1(bencher: Bencher<'_, '_>) {
    let mut scanout = Scanout::new();
    (0..100).for_each(|_| scanout.frame());
    bencher.bench_local(|| scanout.frame());
}

/// D-Bus: UpdateDMABUF and its reply.
#[divan::bench(sample_count = 10_000)]
fn dbus(bencher: Bencher<'_, '_>) {
    let mut qemu = Qemu::new();
    (0..100).for_each(|_| qemu.frame());
    bencher.bench_local(|| qemu.frame());
}

/// Does at once what it is told, and touches no pixel.
#[derive(Default)]
struct Instantly {
    events: VecDeque<SinkEvent>,
    shown: Option<CommitId>,
}

impl Instantly {
    fn commit(&mut self, commit: CommitId) {
        self.events.push_back(SinkEvent::Presented(commit));
        self.events.extend(self.shown.replace(commit).map(SinkEvent::Released));
    }
}

impl Sink for Instantly {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        self.events.pop_front()
    }

    fn flush(&mut self) {}

    fn import(&mut self, import: ImportId, _: &Buffer) {
        self.events.push_back(SinkEvent::Imported(import));
    }

    fn show(&mut self, commit: CommitId, _: ImportId, _: &Buffer, _: &Damage) {
        self.commit(commit);
    }

    fn copy(&mut self, target: u8, _: &Buffer, _: &Damage) {
        self.events.push_back(SinkEvent::Copied { target, bytes: 0 });
    }

    fn show_copy(&mut self, commit: CommitId, _: u8, _: &Buffer, _: &Damage) {
        self.commit(commit);
    }

    fn blank(&mut self) {}

    fn forget(&mut self, _: StorageId) {}
}

/// A viewer on a thread of its own, until this is dropped.
struct Viewer {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Viewer {
    fn new(open: impl FnOnce() -> Opened + Send + 'static) -> Self {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let calm = Duration::from_secs(60);
            let config = Config {
                ack_deadline: calm,
                first_grace: calm,
                next_grace: calm,
                blank_after: calm,
                ..Config::VIEWER
            };
            let options = fanlight::session::Options { present: Present::Auto, config };
            let mut session = Session::new(open().source, Instantly::default(), options);
            while session.turn(None, Some(stopped.as_fd())).unwrap()
                != fanlight::session::Turn::Woken
            {
                assert_eq!(session.lost(), None);
            }
            assert_eq!(session.stats().counts.forced_acks, 0, "every ack was due");
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()).unwrap();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the viewer failed");
    }
}

/// A backend that serves guest-scanout-v1.
struct Scanout {
    _viewer: Viewer,
    server: Server,
    console: ConsoleId,
    buffer: BufferId,
}

impl Scanout {
    fn new() -> Self {
        let mut server = Server::new("vm", "", CALM).unwrap();
        let console = server.add_console(Kind::Graphic, "screen").unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        server.add_viewer(theirs).unwrap();
        let _viewer =
            Viewer::new(|| source::open_stream(ours, &uri(None), &backend::options()).unwrap());
        let memory = Memory::Planes(vec![Picture::new().fd()]);
        let buffer = server.add_buffer(console, layout(SIZE), memory).unwrap();
        let mut scanout = Self { _viewer, server, console, buffer };
        scanout.until(|event| matches!(event, Event::Watched(..)));
        scanout.server.scanout(console, buffer, WHOLE, Transform::Normal).unwrap();
        scanout
    }

    fn frame(&mut self) {
        let frame = self.server.update(self.console, self.buffer, &[WHOLE]).unwrap();
        self.until(|event| matches!(event, Event::Answered { frame: f, .. } if *f == frame));
    }

    fn until(&mut self, is_it: impl Fn(&Event) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.server.dispatch().unwrap();
            while let Some(event) = self.server.next_event() {
                if is_it(&event) {
                    return;
                }
            }
            wait(&[self.server.as_fd()], end, "the viewer");
        }
    }
}

/// QEMU's end of a listener.
struct Qemu {
    viewer: Option<Viewer>,
    stream: UnixStream,
    inbox: Inbox,
    serial: u32,
}

impl Qemu {
    fn new() -> Self {
        let (link, sockets) = fake_qemu::p2p_sockets(fake_qemu::VM);
        let viewer = Viewer::new(|| {
            let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
            source::open_stream(link, &uri, &backend::options()).unwrap()
        });
        let stream = UnixStream::from(sockets.recv_timeout(PATIENCE).unwrap());
        dbus::authenticate(&stream);
        let mut qemu = Self { viewer: Some(viewer), stream, inbox: Inbox::default(), serial: 0 };
        let body = Body { fds: vec![Picture::new().fd()], ..Body::default() };
        let body = body.handle(0).u32(SIZE.width).u32(SIZE.height).u32(SIZE.width * 4);
        qemu.call("ScanoutDMABUF", &body.u32(Format::XRGB8888.0).u64(0).bool(0));
        qemu
    }

    fn frame(&mut self) {
        let body = Body::default().i32(0).i32(0);
        let body = body.i32(SIZE.width.cast_signed()).i32(SIZE.height.cast_signed());
        self.call("UpdateDMABUF", &body);
    }

    fn call(&mut self, member: &str, body: &Body) {
        self.serial += 1;
        let path = "/org/qemu/Display1/Listener";
        let call =
            Call { serial: self.serial, flags: 0, path, interface: fake_qemu::LISTENER, member };
        let bytes = call.bytes(body);
        assert_eq!(dbus::send(&self.stream, &bytes, &body.fds), Ok(bytes.len()));
        let end = Instant::now() + PATIENCE;
        loop {
            self.inbox.read(&self.stream);
            match self.inbox.next() {
                Some(reply) if reply.to == self.serial && reply.kind != ERROR => return,
                Some(reply) => panic!("{reply:?} to {member}"),
                None => wait(&[self.stream.as_fd()], end, "the reply"),
            }
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Before its connection is.
        self.viewer = None;
    }
}
