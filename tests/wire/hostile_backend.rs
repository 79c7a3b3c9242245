//! Backends that break the rules are left, with a sentence; what only fails a check is refused.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fanlight::port::{Source, SourceEvent, Verdict};
use fanlight::source::{self, SourceError};

use crate::backend::{PATIENCE, Picture, options, uri, wait};
use crate::viewer::{CONSOLE, MANAGER, Message, Peer, REGISTRY, SERVERS, ask, say, string};

const XR24: u32 = fanlight::frame::Format::XRGB8888.0;

/// A backend by hand, and our source at the other end.
pub struct Backend {
    pub peer: Peer,
    pub source: Box<dyn Source>,
}

fn greet(peer: &Peer, version: u32) {
    let mut global = vec![1];
    global.extend(string("guest_scanout_manager_v1"));
    global.push(version);
    peer.say(REGISTRY, 0, &global, None);
    peer.say(MANAGER, 0, &[string("vm"), string("")].concat(), None);
    peer.say(MANAGER, 1, &[vec![0, 0], string("screen")].concat(), None);
    peer.say(MANAGER, 3, &[], None);
}

impl Backend {
    pub fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut peer = Peer::new(ours);
        // All that it will be asked is known before.
        greet(&peer, 7);
        let source = source::open_stream(theirs, &uri(None), &options()).unwrap().source;
        peer.read();
        let bind = peer.next().into_iter().chain(peer.next()).find(|m| m.object == REGISTRY);
        let bind = bind.expect("it binds");
        assert_eq!(bind.words[bind.words.len() - 2..], [1, MANAGER], "the version both speak");
        Self { peer, source }
    }

    pub fn say(&self, opcode: u16, words: &[u32]) {
        self.peer.say(CONSOLE, opcode, words, None);
    }

    /// A whole buffer of 8x4 pixels.
    pub fn buffer(&self, id: u32, fd: BorrowedFd<'_>) {
        self.say(say::BUFFER, &[id]);
        self.peer.say(id, say::PLANE, &[0, 32], Some(fd));
        self.peer.say(id, say::LAYOUT, &[8, 4, XR24, 0, 0], None);
        self.peer.say(id, say::DONE, &[], None);
    }

    pub fn next(&mut self) -> SourceEvent {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(event) = self.source.poll() {
                return event;
            }
            wait(&[self.source.fd()], end, "an event");
        }
    }

    pub fn lost(&mut self) -> String {
        loop {
            if let SourceEvent::Lost(reason) = self.next() {
                assert!(self.source.poll().is_none(), "it is the last event");
                return reason;
            }
        }
    }

    /// The next request to the console.
    pub fn asked(&mut self) -> Message {
        let end = Instant::now() + PATIENCE;
        loop {
            self.peer.read();
            while let Some(message) = self.peer.next() {
                if message.object == CONSOLE {
                    return message;
                }
            }
            assert!(!self.peer.over, "it has hung up");
            wait(&[self.peer.stream.as_fd()], end, "a request");
        }
    }
}

fn breaks(what: impl FnOnce(&Backend), part: &str) {
    let mut backend = Backend::new();
    what(&backend);
    let lost = backend.lost();
    assert!(lost.contains(part), "{lost}");
}

fn memory() -> OwnedFd {
    Picture::new().fd()
}

/// Frame numbers that go back or wrap around. The user sees each frame; the guest gets the ack of that very one.
#[test]
fn f05_50_frame_numbers_at_the_end_and_back_at_the_start_are_as_good_as_others() {
    let mut backend = Backend::new();
    backend.buffer(SERVERS, memory().as_fd());
    backend.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
    let SourceEvent::Scanout(shown) = backend.next() else { panic!() };
    for frame in [1, u32::MAX, 0] {
        backend.say(say::UPDATE, &[frame, SERVERS]);
        let SourceEvent::Update { buffer, ack, .. } = backend.next() else { panic!() };
        assert_eq!(buffer, shown.buffer);
        // From any thread.
        std::thread::spawn(move || ack.settle(Verdict::Done)).join().unwrap();
        let asked = backend.asked();
        assert_eq!((asked.opcode, &asked.words[..]), (ask::ACK, &[frame][..]));
    }
    // Dropped, it acks all the same.
    backend.say(say::UPDATE, &[9, SERVERS]);
    drop(backend.next());
    assert_eq!(backend.asked().words, [9]);
}

/// The backend dies between a scanout and its update. The user gets the scanout, and is told why no more comes.
#[test]
fn f05_33_it_dies_in_the_middle_of_a_frame() {
    let mut backend = Backend::new();
    backend.buffer(SERVERS, memory().as_fd());
    backend.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
    backend.say(say::DAMAGE, &[0, 0, 1, 1]);
    backend.peer.stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(matches!(backend.next(), SourceEvent::Scanout(_)), "what it said before counts");
    let lost = backend.lost();
    assert!(lost.contains("shut down or killed"), "{lost}");
}

/// Geometry that overflows or lies outside, and fds that are no memory. The user keeps the last picture;
/// the guest gets a refusal for each update, and its next good buffer is shown.
#[test]
fn f05_23_buffers_that_fail_a_check_are_refused_and_the_display_stays() {
    let mut backend = Backend::new();
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let good = memory();
    type Case<'a> = (BorrowedFd<'a>, [u32; 2], [u32; 5], [u32; 4]);
    let layouts: [Case<'_>; 6] = [
        (pipe.as_fd(), [0, 32], [8, 4, XR24, 0, 0], [0, 0, 8, 4]),
        (null.as_fd(), [0, 32], [8, 4, XR24, 0, 0], [0, 0, 8, 4]),
        (good.as_fd(), [4095, 32], [8, 4, XR24, 0, 0], [0, 0, 8, 4]),
        (good.as_fd(), [0, 31], [8, 4, XR24, 0, 0], [0, 0, 8, 4]),
        (good.as_fd(), [0, 32], [0, u32::MAX, XR24, 0, 0], [0, 0, 8, 4]),
        (good.as_fd(), [0, 32], [8, 4, XR24, 0, 0], [7, 0, 2, 1]),
    ];
    for (i, (fd, plane, layout, part)) in layouts.into_iter().enumerate() {
        let (i, id) = (i as u32, SERVERS + i as u32);
        backend.say(say::BUFFER, &[id]);
        backend.peer.say(id, say::PLANE, &plane, Some(fd));
        backend.peer.say(id, say::LAYOUT, &layout, None);
        backend.peer.say(id, say::DONE, &[], None);
        let [x, y, width, height] = part;
        backend.say(say::SCANOUT, &[id, x, y, width, height, 0]);
        backend.say(say::UPDATE, &[i, id]);
        assert!(backend.source.poll().is_none(), "buffer {i}");
        let asked = backend.asked();
        assert_eq!((asked.opcode, &asked.words[..]), (ask::REFUSE, &[i][..]));
    }
    backend.buffer(SERVERS + 6, good.as_fd());
    backend.say(say::SCANOUT, &[SERVERS + 6, 0, 0, 8, 4, 0]);
    assert!(matches!(backend.next(), SourceEvent::Scanout(_)));
}

#[test]
fn objects_that_are_not_there() {
    breaks(|b| b.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]), "is not guest-scanout-v1");
    breaks(|b| b.say(say::UPDATE, &[1, 0]), "guest-scanout-v1");
    breaks(|b| b.say(99, &[]), "is not guest-scanout-v1");
    breaks(|b| b.say(say::BUFFER, &[SERVERS + 7]), "is not guest-scanout-v1");
    let early = |b: &Backend| {
        b.say(say::BUFFER, &[SERVERS]);
        b.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
    };
    breaks(early, "not complete");
    let late = |b: &Backend| {
        b.say(say::BUFFER, &[SERVERS]);
        b.peer.say(SERVERS, say::BUFFER_GONE, &[], None);
        b.say(say::UPDATE, &[1, SERVERS]);
    };
    breaks(late, "guest-scanout-v1");
}

#[test]
fn announcements_that_can_not_be() {
    let planes = |b: &Backend| {
        b.say(say::BUFFER, &[SERVERS]);
        for _ in 0..5 {
            b.peer.say(SERVERS, say::PLANE, &[0, 32], Some(memory().as_fd()));
        }
    };
    breaks(planes, "more than 4 planes");
    let layouts = |b: &Backend| {
        b.say(say::BUFFER, &[SERVERS]);
        b.peer.say(SERVERS, say::LAYOUT, &[8, 4, XR24, 0, 0], None);
        b.peer.say(SERVERS, say::LAYOUT, &[8, 4, XR24, 0, 0], None);
    };
    breaks(layouts, "two layouts");
    let none = |b: &Backend| {
        b.say(say::BUFFER, &[SERVERS]);
        b.peer.say(SERVERS, say::DONE, &[], None);
    };
    breaks(none, "no layout");
    let after = |b: &Backend| {
        b.buffer(SERVERS, memory().as_fd());
        b.peer.say(SERVERS, say::LAYOUT, &[9, 9, XR24, 0, 0], None);
    };
    breaks(after, "after it was done");
    let transform = |b: &Backend| {
        b.buffer(SERVERS, memory().as_fd());
        b.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 2]);
    };
    breaks(transform, "transform");
}

/// Without: a backend fills our memory or our fds.
#[test]
fn more_than_there_may_be() {
    let buffers = |b: &Backend| (0..65).for_each(|i| b.say(say::BUFFER, &[SERVERS + i]));
    breaks(buffers, "more than 64 buffers");
    let damage = |b: &Backend| (0..65).for_each(|_| b.say(say::DAMAGE, &[0, 0, 1, 1]));
    breaks(damage, "more than 64 damages");
    let updates = |b: &Backend| {
        b.buffer(SERVERS, memory().as_fd());
        b.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
        (0..257).for_each(|frame| b.say(say::UPDATE, &[frame, SERVERS]));
    };
    breaks(updates, "256 updates without an answer");
    let twice = |b: &Backend| {
        b.buffer(SERVERS, memory().as_fd());
        b.say(say::SCANOUT, &[SERVERS, 0, 0, 8, 4, 0]);
        (0..2).for_each(|_| b.say(say::UPDATE, &[5, SERVERS]));
    };
    breaks(twice, "frame number 5");
    let disabled = |b: &Backend| {
        use std::io::Write;
        let message = [CONSOLE.to_ne_bytes(), (8_u32 << 16 | 7).to_ne_bytes()].concat();
        (&b.peer.stream).write_all(&message.repeat(5000)).unwrap();
    };
    breaks(disabled, "more than can be taken");
}

#[test]
fn cursors_and_fences_that_are_none() {
    let cursor = |size: [u32; 2], fd: OwnedFd| {
        move |b: &Backend| {
            let words = [size[0], size[1], 0, 0];
            b.peer.say(CONSOLE, say::CURSOR, &words, Some(fd.as_fd()));
        }
    };
    breaks(cursor([0, 1], memory()), "cursor of 0x1");
    breaks(cursor([513, 1], memory()), "cursor of 513x1");
    breaks(cursor([64, 64], memory()), "too few pixels");
    breaks(cursor([1, 1], rustix::pipe::pipe().unwrap().0), "a pipe");
    let pipe = rustix::pipe::pipe().unwrap().0;
    breaks(|b| b.peer.say(CONSOLE, say::FENCE, &[], Some(pipe.as_fd())), "no sync_file");
}

#[test]
fn what_is_not_wayland_is_left_and_silence_has_an_end() {
    use std::io::Write;
    let mut backend = Backend::new();
    backend.peer.stream.write_all(&[0xff; 64]).unwrap();
    let lost = backend.lost();
    assert!(lost.contains("is not guest-scanout-v1"), "{lost}");
    let (_silent, theirs) = UnixStream::pair().unwrap();
    let short = source::Options { time_limit: Duration::from_millis(20), ..options() };
    let error = source::open_stream(theirs, &uri(None), &short).unwrap_err();
    assert!(matches!(error, SourceError::TimedOut(_)), "{error}");
}
