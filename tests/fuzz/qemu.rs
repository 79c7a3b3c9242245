//! org.qemu.Display1.Listener called by a QEMU that passes anything: each call has one answer, and the
//! pixels that came in messages are on the canvas, byte for byte.

#[path = "../support/fake_qemu.rs"]
pub(crate) mod fake_qemu;

#[path = "qemu_pixels.rs"]
mod pixels;

use std::collections::{HashMap, HashSet};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use fanlight::frame::{BufferId, Size};
use fanlight::port::{Ack, Source, SourceEvent, Verdict};
use fanlight::source::{self, Bus, Options, Uri};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::backend::PATIENCE;
use crate::dbus::{Body, Call, ERROR, Inbox, NO_REPLY, authenticate, send};
use crate::fds::Fds;
use crate::geometry;
use crate::tape::Tape;
use pixels::{Canvas, pixman};

const PATH: &str = "/org/qemu/Display1/Listener";
const INTERFACES: [&str; 6] = [
    fake_qemu::LISTENER,
    fake_qemu::MAP,
    fake_qemu::DMABUF2,
    "org.freedesktop.DBus.Properties",
    "org.freedesktop.DBus.Introspectable",
    "org.freedesktop.DBus.Peer",
];
const MEMBERS: [&str; 17] = [
    "Scanout",
    "Update",
    "ScanoutDMABUF",
    "UpdateDMABUF",
    "Disable",
    "MouseSet",
    "CursorDefine",
    "ScanoutMap",
    "UpdateMap",
    "ScanoutDMABUF2",
    "Get",
    "GetAll",
    "Introspect",
    "Ping",
    "Set",
    "x",
    "Hello",
];

#[test]
fn qemu_listener() {
    crate::fuzz::run("qemu-listener", act);
}

struct Stage {
    stream: UnixStream,
    inbox: Inbox,
    source: Box<dyn Source>,
    fds: Fds,
    serial: u32,
    flags: u8,
    /// Calls that have no reply yet.
    open: HashSet<u32>,
    /// How calls were answered: whether with an error.
    replies: HashMap<u32, bool>,
    known: HashMap<BufferId, Size>,
    acks: Vec<Ack>,
    canvas: Option<Canvas>,
    /// Whether what was announced last is the canvas.
    painting: bool,
    /// Whether what was announced last was taken.
    shown: bool,
    memory: Option<(OwnedFd, usize)>,
    wild: bool,
    lost: bool,
}

pub(crate) fn act(input: &[u8]) {
    let (link, sockets) = fake_qemu::p2p_sockets(fake_qemu::VM);
    let stream = std::thread::spawn(move || {
        let stream = UnixStream::from(sockets.recv().unwrap());
        authenticate(&stream);
        stream
    });
    let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
    let options = Options { time_limit: PATIENCE, ..Options::default() };
    let source = source::open_stream(link, &uri, &options).unwrap().source;
    let mut stage = Stage {
        stream: stream.join().unwrap(),
        inbox: Inbox::default(),
        source,
        fds: Fds::new(1 << 40),
        serial: 0,
        flags: 0,
        open: HashSet::new(),
        replies: HashMap::new(),
        known: HashMap::new(),
        acks: Vec::new(),
        canvas: None,
        painting: false,
        shown: false,
        memory: None,
        wild: false,
        lost: false,
    };
    let mut tape = Tape::new(input);
    while let Some(op) = tape.op(b"SPD2UMNXmckgwzn") {
        stage.step(op, &mut tape);
        if stage.lost || stage.inbox.over {
            break;
        }
    }
    stage.finish();
}

impl Stage {
    fn call(&mut self, interface: &str, member: &str, body: &Body) -> u32 {
        self.serial += 1;
        let flags = std::mem::take(&mut self.flags);
        let call = Call { serial: self.serial, flags, path: PATH, interface, member };
        if flags & NO_REPLY == 0 {
            self.open.insert(self.serial);
        }
        self.send(&call.bytes(body), &body.fds);
        self.serial
    }

    fn send(&mut self, mut bytes: &[u8], mut fds: &[OwnedFd]) {
        let end = Instant::now() + PATIENCE;
        while !bytes.is_empty() && !self.inbox.over {
            match send(&self.stream, bytes, fds) {
                Ok(count) => (bytes, fds) = (&bytes[count..], &[]),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, end),
                Err(_) => self.inbox.over = true,
            }
        }
    }

    /// Takes in what has come from both sides; waits, if nothing has.
    fn wait(&mut self, for_stream: PollFlags, end: Instant) {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "it hangs; calls without a reply: {:?}", self.open);
        let until = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [
            PollFd::new(&self.stream, PollFlags::IN | for_stream),
            PollFd::from_borrowed_fd(self.source.fd(), PollFlags::IN),
        ];
        poll(&mut fds, Some(&until)).unwrap();
        self.take();
    }

    fn take(&mut self) {
        while let Some(event) = self.source.poll() {
            self.check(event);
        }
        self.inbox.read(&self.stream);
        while let Some(reply) = self.inbox.next() {
            let waited = self.open.remove(&reply.to);
            assert!(waited || self.wild, "{reply:?} answers nothing");
            self.replies.insert(reply.to, reply.kind == ERROR);
        }
    }

    /// Whether a call was answered with an error; waits for that.
    fn is_refused(&mut self, serial: u32) -> Option<bool> {
        let end = Instant::now() + PATIENCE;
        while self.open.contains(&serial) && !self.inbox.over && !self.wild {
            self.wait(PollFlags::empty(), end);
        }
        // What a call did that may be any is not known.
        self.replies.get(&serial).copied().filter(|_| !self.wild)
    }

    fn check(&mut self, event: SourceEvent) {
        assert!(!self.lost, "{event:?} comes after the last event");
        match event {
            SourceEvent::Scanout(announcement) => {
                geometry::must_be_safe(&announcement);
                let new = self.known.insert(announcement.buffer, announcement.layout.size);
                assert!(new.is_none(), "an id is used twice");
                let stride = announcement.layout.planes[0].stride as usize;
                let fd = announcement.storage.fds.into_iter().next().unwrap();
                self.memory = Some((fd, stride));
            }
            SourceEvent::Update { buffer, damage, ack } => {
                geometry::must_lie_within(&damage, self.known[&buffer]);
                self.acks.push(ack);
            }
            SourceEvent::Cursor(cursor) => geometry::must_be_cursor(&cursor),
            SourceEvent::Lost(reason) => {
                assert!(!reason.is_empty());
                self.lost = true;
            }
            _ => {}
        }
    }

    fn fd(&self, tape: &mut Tape<'_>) -> Vec<OwnedFd> {
        let kind = tape.number() as usize;
        if kind == 9 { Vec::new() } else { vec![self.fds.of(kind)] }
    }

    fn step(&mut self, op: u8, tape: &mut Tape<'_>) {
        match op {
            b'S' => self.scanout(tape),
            b'P' => self.update(tape),
            b'D' => {
                let mut body = Body { fds: self.fd(tape), ..Body::default() }.handle(tape.number());
                for _ in 0..3 {
                    body = body.u32(tape.number());
                }
                let body = body.u32(geometry::format(tape).0);
                let body = body.u64(u64::from(tape.number())).bool(tape.number());
                self.announce(fake_qemu::LISTENER, "ScanoutDMABUF", &body);
            }
            b'2' => {
                let fds = (0..tape.choose(6)).flat_map(|_| self.fd(tape)).collect();
                let mut list =
                    |count: usize| -> Vec<u32> { (0..count).map(|_| tape.number()).collect() };
                let counts: [u32; 3] = list(3).try_into().unwrap();
                let [handles, offsets, strides] = counts.map(|count| list(count as usize % 8));
                let mut body = Body { fds, ..Body::default() }.words('h', &handles);
                for _ in 0..4 {
                    body = body.u32(tape.number());
                }
                body = body.words('u', &offsets).words('u', &strides).u32(tape.number());
                body = body.u32(geometry::format(tape).0).u32(tape.number()).u32(tape.number());
                let body = body.u64(u64::from(tape.number()) << 28).bool(tape.number());
                self.announce(fake_qemu::DMABUF2, "ScanoutDMABUF2", &body);
            }
            b'M' => {
                let body = Body { fds: self.fd(tape), ..Body::default() }.handle(tape.number());
                let body = body.u32(tape.number()).u32(tape.number()).u32(tape.number());
                let body = body.u32(tape.number()).u32(pixman(tape));
                self.announce(fake_qemu::MAP, "ScanoutMap", &body);
            }
            b'U' | b'N' | b'm' => {
                let (interface, member, count) = match op {
                    b'U' => (fake_qemu::LISTENER, "UpdateDMABUF", 4),
                    b'N' => (fake_qemu::MAP, "UpdateMap", 4),
                    _ => (fake_qemu::LISTENER, "MouseSet", 3),
                };
                let body = (0..count).fold(Body::default(), |body, _| body.i32(tape.signed()));
                let asks = self.flags == 0;
                let serial = self.call(interface, member, &body);
                // The reply to UpdateDMABUF is the ack, unless there is nothing to ack.
                if asks && (op == b'N' || (op == b'U' && !self.shown)) {
                    let Some(refused) = self.is_refused(serial) else { return };
                    assert_eq!(refused, !self.shown, "{member}");
                }
            }
            b'X' => drop(self.call(fake_qemu::LISTENER, "Disable", &Body::default())),
            b'c' => {
                let mut body = Body::default();
                for _ in 0..4 {
                    body = body.i32(tape.signed());
                }
                let body = body.array(&vec![7; tape.number() as usize % (1 << 21)]);
                self.call(fake_qemu::LISTENER, "CursorDefine", &body);
            }
            b'k' => {
                self.take();
                let at = tape.choose(self.acks.len().max(1));
                if at < self.acks.len() {
                    let verdicts = [Verdict::Done, Verdict::Refused];
                    self.acks.swap_remove(at).settle(verdicts[tape.choose(2)]);
                }
            }
            b'g' => {
                let body = Body::default().string(INTERFACES[tape.choose(6)]);
                self.call(INTERFACES[3], "GetAll", &body);
                let body = body.string("Interfaces");
                self.call(INTERFACES[3], "Get", &body);
            }
            // Any method with any arguments.
            b'w' => {
                self.painting = false;
                let interface = INTERFACES[tape.choose(6)];
                let member = MEMBERS[tape.choose(17)];
                let fds = (0..tape.choose(17)).flat_map(|_| self.fd(tape)).collect();
                let kinds = tape.choose(20);
                let signature = tape.raw(kinds);
                let letter =
                    |byte: &u8| char::from(b"uitbhsaydnqxgov(){}"[usize::from(*byte) % 19]);
                let signature = signature.iter().map(letter).collect();
                let count = tape.choose(64);
                let bytes = tape.raw(count).to_vec();
                // A signature that is none ends the connection.
                self.wild = true;
                self.call(interface, member, &Body { signature, bytes, fds });
            }
            b'z' => {
                self.wild = true;
                let count = tape.choose(300);
                let bytes = tape.raw(count).to_vec();
                self.send(&bytes, &[]);
            }
            _ => self.flags = NO_REPLY,
        }
    }

    fn announce(&mut self, interface: &str, member: &str, body: &Body) {
        self.flags = 0;
        self.painting = false;
        let serial = self.call(interface, member, body);
        let Some(refused) = self.is_refused(serial) else { return };
        self.shown = !refused;
    }

    /// Ends it: each call has its reply, the end is told, no fd is left.
    fn finish(mut self) {
        self.take();
        self.flags = 0;
        let ping = self.call(INTERFACES[5], "Ping", &Body::default());
        self.is_refused(ping);
        self.take();
        self.acks.clear();
        let end = Instant::now() + PATIENCE;
        while !self.wild && !self.lost && !self.inbox.over && !self.open.is_empty() {
            self.wait(PollFlags::empty(), end);
            self.acks.clear();
        }
        assert!(self.wild || self.open.is_empty(), "without a reply: {:?}", self.open);
        let _ = self.stream.shutdown(Shutdown::Write);
        while !self.lost {
            let fd = PollFd::from_borrowed_fd(self.source.fd(), PollFlags::IN);
            let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            assert_eq!(poll(&mut [fd], Some(&patience)), Ok(1), "nobody says that it is over");
            self.take();
        }
        drop((self.source, self.stream, self.memory, self.acks));
        self.fds.none_is_left();
    }
}
