//! guest-scanout-v1 from a backend that says anything, in any order, against the viewer's real end.

use std::collections::HashMap;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fanlight::frame::{BufferId, Input, Size, StorageId};
use fanlight::port::{Ack, Source, SourceEvent, Verdict};
use fanlight::session::{Config, Present, Session};
use fanlight::sink::memory::MemorySink;
use fanlight::source::{self, Options, SourceError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::backend::{PATIENCE, uri};
use crate::fds::Fds;
use crate::geometry;
use crate::tape::Tape;
use crate::viewer::{CONSOLE, DISPLAY, MANAGER, Peer, REGISTRY, SERVERS, ask, say, string};

/// What wayland's own objects say.
const ERROR: u16 = 0;
const DELETE_ID: u16 = 1;

#[test]
fn wire_backend() {
    crate::fuzz::run("wire-backend", act);
}

/// The same, all the way into the pixels of the headless sink.
#[test]
fn wire_backend_session() {
    crate::fuzz::run("wire-backend", |input| act_for(input, true));
}

/// Before a console is watched.
#[test]
fn wire_greeting() {
    crate::fuzz::run("wire-greeting", greet);
}

fn connect(ours: UnixStream) -> Result<source::Opened, SourceError> {
    // The real eyes: a memfd is a memfd, and nothing else is memory.
    source::open_stream(ours, &uri(None), &Options { time_limit: PATIENCE, ..Options::default() })
}

fn welcome(peer: &Peer) {
    let global = [vec![1], string("guest_scanout_manager_v1"), vec![1]].concat();
    peer.say(REGISTRY, 0, &global, None);
    peer.say(MANAGER, 0, &[string("vm"), string("")].concat(), None);
    peer.say(MANAGER, 1, &[vec![0, 0], string("screen")].concat(), None);
    peer.say(MANAGER, 3, &[], None);
}

pub(crate) fn greet(input: &[u8]) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let peer = Peer::new(ours);
    let mut tape = Tape::new(input);
    while let Some(op) = tape.op(b"wgvcnderz") {
        match op {
            b'w' => welcome(&peer),
            b'g' => {
                let names = ["guest_scanout_manager_v1", "wl_compositor", ""];
                let words = [
                    vec![tape.number()],
                    string(names[tape.choose(names.len())]),
                    vec![tape.number()],
                ];
                peer.say(REGISTRY, 0, &words.concat(), None);
            }
            b'v' => {
                let text = "x".repeat(tape.choose(5000));
                peer.say(MANAGER, 0, &[string(&text), string("uuid")].concat(), None);
            }
            b'c' => {
                let text = "x".repeat(tape.choose(5000));
                peer.say(MANAGER, 1, &[tape.numbers::<2>().to_vec(), string(&text)].concat(), None);
            }
            // More than anybody has.
            b'n' => (0..300)
                .for_each(|i| peer.say(MANAGER, 1, &[vec![i, 1], string("")].concat(), None)),
            b'd' => peer.say(MANAGER, 3, &[], None),
            b'e' => peer.say(MANAGER, 2, &[tape.number()], None),
            b'r' => {
                let [object, opcode] = tape.numbers();
                let words = tape.numbers::<3>();
                peer.say(object, opcode as u16, &words[..tape.choose(4)], None);
            }
            _ => {
                let count = tape.choose(64);
                let _ = (&peer.stream).write(tape.raw(count));
            }
        }
    }
    // So that nobody waits for more.
    peer.stream.shutdown(Shutdown::Write).unwrap();
    match connect(theirs) {
        Ok(opened) => drop(opened),
        Err(SourceError::TimedOut(_)) => panic!("it waits for who has hung up"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Who watches.
enum End {
    Source(Box<dyn Source>),
    Session(Box<Session<MemorySink>>),
}

struct Stage {
    peer: Peer,
    end: End,
    fds: Fds,
    /// Buffers that were announced to the session, and the size of each.
    known: HashMap<BufferId, Size>,
    storages: Vec<StorageId>,
    acks: Vec<Ack>,
    /// How often the backend said an update of this number.
    said: HashMap<u32, u32>,
    /// It sent what is perhaps no message.
    wild: bool,
    lost: bool,
}

pub(crate) fn act(input: &[u8]) {
    act_for(input, false);
}

fn act_for(input: &[u8], session: bool) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let peer = Peer::new(ours);
    welcome(&peer);
    let source = connect(theirs).unwrap().source;
    let end = if session {
        let calm = Duration::from_secs(60);
        let config = Config {
            ack_deadline: calm,
            first_grace: calm,
            next_grace: calm,
            blank_after: calm,
            ..Config::VIEWER
        };
        let options = fanlight::session::Options { present: Present::Auto, config };
        End::Session(Box::new(Session::new(source, MemorySink::default(), options)))
    } else {
        End::Source(source)
    };
    let mut stage = Stage {
        peer,
        end,
        // A picture of 16384x16384 pixels is none to copy in a test.
        fds: Fds::new(if session { 1 << 20 } else { 1 << 40 }),
        known: HashMap::new(),
        storages: Vec::new(),
        acks: Vec::new(),
        said: HashMap::new(),
        wild: false,
        lost: false,
    };
    let mut tape = Tape::new(input);
    while let Some(op) = tape.op(b"tbpldgsurmxcaiefwknRBGEDVhzXyF") {
        stage.step(op, &mut tape);
    }
    stage.finish();
}

impl Stage {
    fn say(&self, opcode: u16, words: &[u32]) {
        self.peer.say(CONSOLE, opcode, words, None);
    }

    /// A buffer's object. Most scripts have a few.
    fn object(tape: &mut Tape<'_>) -> u32 {
        SERVERS.wrapping_add(tape.number() % 80)
    }

    fn step(&mut self, op: u8, tape: &mut Tape<'_>) {
        match op {
            b't' => self.take(),
            b'b' => self.say(say::BUFFER, &[Self::object(tape)]),
            b'p' => {
                let id = Self::object(tape);
                let fd = self.fd(tape);
                self.peer.say(id, say::PLANE, &tape.numbers::<2>(), fd.as_ref().map(AsFd::as_fd));
            }
            b'l' => {
                let id = Self::object(tape);
                let [width, height] = tape.numbers();
                let words = [width, height, geometry::format(tape).0, tape.number(), tape.number()];
                self.peer.say(id, say::LAYOUT, &words, None);
            }
            b'd' => self.peer.say(Self::object(tape), say::DONE, &[], None),
            b'g' => self.peer.say(Self::object(tape), say::BUFFER_GONE, &[], None),
            // A whole good buffer of 8x4 pixels, shown.
            b'B' => {
                let id = Self::object(tape);
                self.say(say::BUFFER, &[id]);
                let fd = self.fds.of(0);
                self.peer.say(id, say::PLANE, &[0, 32], Some(fd.as_fd()));
                let format = fanlight::frame::Format::XRGB8888.0;
                self.peer.say(id, say::LAYOUT, &[8, 4, format, 0, 0], None);
                self.peer.say(id, say::DONE, &[], None);
                self.say(say::SCANOUT, &[id, 0, 0, 8, 4, 0]);
            }
            b's' => {
                let id = Self::object(tape);
                let [x, y, width, height, transform] = tape.numbers();
                self.say(say::SCANOUT, &[id, x, y, width, height, transform]);
            }
            b'w' => self.say(2, &[tape.number()]),
            b'r' => self.say(3, &[Self::object(tape), Self::object(tape)]),
            b'f' => {
                let fd = self.fd(tape);
                self.peer.say(CONSOLE, say::FENCE, &[], fd.as_ref().map(AsFd::as_fd));
            }
            b'm' => self.say(say::DAMAGE, &tape.numbers::<4>()),
            b'u' => {
                let frame = tape.number();
                *self.said.entry(frame).or_default() += 1;
                self.say(say::UPDATE, &[frame, Self::object(tape)]);
            }
            // As many frames as there are numbers.
            b'F' => {
                let id = Self::object(tape);
                for frame in 1000..1300 {
                    *self.said.entry(frame).or_default() += 1;
                    self.say(say::UPDATE, &[frame, id]);
                    if frame % 100 == 0 {
                        self.take();
                    }
                }
            }
            b'x' => self.say(7, &[]),
            b'c' => {
                let fd = self.fd(tape);
                let words = tape.numbers::<4>();
                self.peer.say(CONSOLE, say::CURSOR, &words, fd.as_ref().map(AsFd::as_fd));
            }
            b'a' => self.say(9, &tape.numbers::<3>()),
            b'i' => self.say(10, &[tape.number()]),
            b'e' => self.say(11, &[tape.number()]),
            b'G' => self.say(say::GONE, &[]),
            b'V' => self.peer.say(MANAGER, 2, &[tape.number()], None),
            b'k' => {
                let at = tape.choose(self.acks.len().max(1));
                if at < self.acks.len() {
                    let ack = self.acks.swap_remove(at);
                    let verdicts = [Verdict::Done, Verdict::Refused];
                    ack.settle(verdicts[tape.choose(2)]);
                }
            }
            b'R' => {
                let at = tape.choose(self.storages.len().max(1));
                if let (End::Source(source), Some(storage)) = (&mut self.end, self.storages.get(at))
                {
                    source.retired(*storage);
                }
            }
            b'n' => self.input(tape),
            b'E' => {
                let words =
                    [vec![tape.number(), tape.number()], string("an error that it made up")];
                self.peer.say(DISPLAY, ERROR, &words.concat(), None);
            }
            b'D' => self.peer.say(DISPLAY, DELETE_ID, &[tape.number()], None),
            b'h' => {
                self.wild = true;
                let [object, second] = tape.numbers();
                let bytes = [object.to_ne_bytes(), second.to_ne_bytes()].concat();
                let _ = (&self.peer.stream).write(&bytes);
            }
            b'y' => {
                self.wild = true;
                let id = Self::object(tape);
                let opcode = tape.number() as u16;
                let words = tape.numbers::<6>();
                let fd = self.fd(tape);
                let count = tape.choose(7);
                self.peer.say(id, opcode, &words[..count], fd.as_ref().map(AsFd::as_fd));
            }
            b'X' => drop(self.peer.stream.shutdown(Shutdown::Both)),
            _ => {
                self.wild = true;
                let count = tape.choose(4097);
                let _ = (&self.peer.stream).write(tape.raw(count));
            }
        }
    }

    /// An fd of some kind, or none: then the one of the next message is taken for this one's.
    fn fd(&mut self, tape: &mut Tape<'_>) -> Option<OwnedFd> {
        let kind = tape.number() as usize;
        self.wild |= kind == 9;
        (kind != 9).then(|| self.fds.of(kind))
    }

    fn input(&mut self, tape: &mut Tape<'_>) {
        let [code, other] = tape.numbers();
        if let End::Source(source) = &mut self.end {
            source.send(&Input::Key { code, pressed: true });
            source.send(&Input::PointerAt { x: code, y: other });
            source.send(&Input::Button { code, pressed: false });
        }
    }

    /// Lets the viewer read what has come.
    fn take(&mut self) {
        match &mut self.end {
            End::Session(session) => {
                session.turn(Some(Duration::ZERO), None).unwrap();
                while let Some(frame) = session.sink().take_frame() {
                    let Size { width, height } = frame.size;
                    assert_eq!(frame.pixels.len() as u64, u64::from(width) * u64::from(height) * 4);
                }
            }
            End::Source(source) => {
                let events: Vec<_> = std::iter::from_fn(|| source.poll()).take(20_000).collect();
                assert!(events.len() < 20_000, "events without an end");
                events.into_iter().for_each(|event| self.check(event));
            }
        }
    }

    fn is_ready(&self) -> bool {
        let End::Source(source) = &self.end else { return false };
        let mut fds = [PollFd::from_borrowed_fd(source.fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    }

    fn check(&mut self, event: SourceEvent) {
        assert!(!self.lost, "{event:?} comes after the last event");
        match event {
            SourceEvent::Scanout(announcement) => {
                geometry::must_be_safe(&announcement);
                self.storages.push(announcement.storage.id);
                let new = self.known.insert(announcement.buffer, announcement.layout.size);
                assert!(new.is_none(), "an id is used twice");
            }
            SourceEvent::Update { buffer, damage, ack } => {
                geometry::must_lie_within(&damage, self.known[&buffer]);
                assert!(ack.is_owed());
                self.acks.push(ack);
            }
            SourceEvent::Replaced(buffer) => assert!(self.known.contains_key(&buffer)),
            SourceEvent::Cursor(cursor) => geometry::must_be_cursor(&cursor),
            SourceEvent::Leds(_) => panic!("it has no word for them"),
            SourceEvent::Invalidate
            | SourceEvent::Swap(_)
            | SourceEvent::Pointing(_)
            | SourceEvent::Clipboard(_)
            | SourceEvent::Disabled
            | SourceEvent::CursorAt { .. } => {}
            SourceEvent::Lost(reason) => {
                assert!(!reason.is_empty());
                self.lost = true;
            }
        }
    }

    /// Ends it: whatever was said, each update has one answer, and no fd is left.
    fn finish(mut self) {
        self.take();
        self.acks.clear();
        self.take();
        self.peer.read();
        // What the socket didn't take comes when it is asked to.
        while self.is_ready() && !self.lost {
            self.take();
            self.peer.read();
        }
        let mut answers: HashMap<u32, u32> = HashMap::new();
        while let Some(message) = self.peer.next() {
            if message.object == CONSOLE && [ask::ACK, ask::REFUSE].contains(&message.opcode) {
                *answers.entry(message.words[0]).or_default() += 1;
            }
        }
        if !self.wild {
            for (frame, count) in &answers {
                assert!(self.said.get(frame) >= Some(count), "frame {frame} has {count} answers");
            }
        }
        if let End::Source(_) = self.end
            && !self.wild
            && !self.lost
        {
            let wrong: Vec<_> =
                self.said.iter().filter(|(f, n)| answers.get(f) != Some(n)).collect();
            assert!(wrong.is_empty(), "said, and not as often answered: {wrong:?}");
        }
        drop((self.end, self.peer));
        self.fds.none_is_left();
    }
}
