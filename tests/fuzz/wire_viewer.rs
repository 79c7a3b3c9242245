//! guest-scanout-v1 from a viewer that says anything, beside one that keeps the rules: that one loses
//! nothing, and each update has one answer.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use fanlight::frame::{BufferId, Cursor, Size, Transform};
use fanlight::port::{Source, SourceEvent};
use fanlight::serve::{ConsoleId, Event, Kind, Memory, Server, Swap};

use crate::backend::{CALM, Picture, SIZE, WHOLE, layout, open};
use crate::fds::Fds;
use crate::geometry::{self, rect};
use crate::tape::Tape;
use crate::viewer::{CONSOLE, DISPLAY, MANAGER, Peer, REGISTRY, SERVERS, ask, string};

#[test]
fn wire_viewer() {
    crate::fuzz::run("wire-viewer", act);
}

struct Stage {
    server: Server,
    console: ConsoleId,
    good: Box<dyn Source>,
    bad: Peer,
    fds: Fds,
    buffers: Vec<BufferId>,
    /// How often each update was answered.
    answers: BTreeMap<(ConsoleId, u32), u32>,
    events: HashMap<&'static str, u32>,
}

pub(crate) fn act(input: &[u8]) {
    let mut server = Server::new("vm", "uuid", CALM).unwrap();
    let console = server.add_console(Kind::Graphic, "screen").unwrap();
    let good = open(&mut server, None).unwrap().source;
    let (ours, theirs) = UnixStream::pair().unwrap();
    server.add_viewer(theirs).unwrap();
    let mut stage = Stage {
        server,
        console,
        good,
        bad: Peer::new(ours),
        fds: Fds::new(1 << 40),
        buffers: Vec::new(),
        answers: BTreeMap::new(),
        events: HashMap::new(),
    };
    let mut tape = Tape::new(input);
    while let Some(op) = tape.op(b"hgardsyftkqzwioBSUFDXCAIEWNRLT") {
        stage.step(op, &mut tape);
        stage.turn();
    }
    stage.finish();
}

impl Stage {
    fn say(&self, opcode: u16, words: &[u32]) {
        self.bad.say(CONSOLE, opcode, words, None);
    }

    fn step(&mut self, op: u8, tape: &mut Tape<'_>) {
        match op {
            // What the viewer says.
            b'h' => {
                self.bad.say(DISPLAY, 1, &[REGISTRY], None);
                self.bind(1, 1, MANAGER);
                self.bad.say(MANAGER, 1, &[CONSOLE, 0], None);
            }
            b'g' => self.bad.say(MANAGER, 1, &tape.numbers::<2>(), None),
            b'i' => {
                let [name, version, id] = tape.numbers();
                self.bind(name, version, id);
            }
            b'a' => self.say(ask::ACK, &[tape.number()]),
            b'r' => self.say(ask::REFUSE, &[tape.number()]),
            b'd' => {
                let object = self.object(tape);
                self.bad.say(object, ask::DESTROY, &[], None);
            }
            b's' => self.say(ask::STOP, &[]),
            b'y' => self.say(ask::READY, &[tape.number()]),
            b'f' => {
                let fd = self.fd(tape);
                self.bad.say(CONSOLE, 2, &[], fd.as_ref().map(AsFd::as_fd));
            }
            b't' => self.say(ask::RELEASE, &[self.object(tape)]),
            b'k' => {
                let opcode = ask::SIZE_HINT + tape.choose(7) as u16;
                let words = tape.numbers::<4>();
                self.say(opcode, &words[..[3, 2, 2, 2, 2, 2, 4][usize::from(opcode - 7)]]);
            }
            b'q' => {
                let object = self.object(tape);
                let opcode = tape.number() as u16;
                let words = tape.numbers::<6>();
                let fd = self.fd(tape);
                let count = tape.choose(7);
                self.bad.say(object, opcode, &words[..count], fd.as_ref().map(AsFd::as_fd));
            }
            b'w' => {
                let [object, second] = tape.numbers();
                let bytes = [object.to_ne_bytes(), second.to_ne_bytes()].concat();
                let _ = (&self.bad.stream).write(&bytes);
            }
            b'z' => {
                let count = tape.choose(4097);
                let _ = (&self.bad.stream).write(tape.raw(count));
            }
            b'o' => {
                self.bad.read();
                while self.bad.next().is_some() {}
                self.bad.fds.clear();
            }
            // More than is taken.
            b'T' => {
                (0..300).for_each(|i| self.say(8, &[i, 1]));
                (0..300).for_each(|i| self.bad.say(MANAGER, 1, &[100 + i, 99], None));
            }
            _ => self.author(op, tape),
        }
    }

    /// What the backend does meanwhile, right or wrong.
    fn author(&mut self, op: u8, tape: &mut Tape<'_>) {
        let console = ConsoleId(tape.choose(8).saturating_sub(6) as u32);
        let at = tape.choose(self.buffers.len().max(1));
        let buffer = self.buffers.get(at).copied().unwrap_or(BufferId(0));
        let server = &mut self.server;
        let refused = match op {
            b'B' => {
                let memory = Memory::Planes(vec![Picture::new().fd()]);
                server.add_buffer(console, layout(SIZE), memory).map(|id| {
                    self.buffers.push(id);
                    let _ = server.scanout(console, id, WHOLE, Transform::Normal);
                })
            }
            b'N' => {
                let layout = geometry::layout(tape);
                let memory = Memory::Planes(vec![self.fds.of(tape.choose(9))]);
                server.add_buffer(console, layout, memory).map(|id| self.buffers.push(id))
            }
            b'S' => {
                let transform = [Transform::Normal, Transform::Flipped][tape.choose(2)];
                server.scanout(console, buffer, rect(tape), transform)
            }
            b'U' | b'F' => {
                let count = if op == b'F' { 257 } else { 1 };
                let damage: Vec<_> = (0..tape.choose(70)).map(|_| rect(tape)).collect();
                (0..count).try_for_each(|_| {
                    let frame = self.server.update(console, buffer, &damage)?;
                    let before = self.answers.insert((console, frame), 0);
                    assert_eq!(before, None, "frame {frame} is used twice");
                    self.turn();
                    Ok(())
                })
            }
            b'D' => server.remove_buffer(console, buffer).map(|()| {
                self.buffers.swap_remove(at);
            }),
            b'X' => server.disable(console),
            b'C' => {
                let [width, height] = tape.numbers();
                let pixels = vec![1; (tape.number() % (1 << 21)) as usize];
                let hotspot = (tape.signed(), tape.signed());
                server
                    .set_cursor(console, &Cursor { size: Size { width, height }, hotspot, pixels })
            }
            b'A' => server.move_cursor(console, tape.signed(), tape.signed(), tape.choose(2) == 1),
            b'I' => server.invalidate_begin(console),
            b'E' => server.invalidate_end(console),
            b'W' => server.swap(console, [Swap::Flip, Swap::InPlace][tape.choose(2)]),
            b'L' => server.add_console(Kind::Text, &"x".repeat(tape.choose(1100))).map(drop),
            // The first one stays: it is what the good viewer watches.
            _ => server.remove_console(ConsoleId(1 + tape.choose(3) as u32)),
        };
        if let Err(error) = refused {
            assert!(!error.to_string().is_empty());
        }
    }

    fn bind(&self, name: u32, version: u32, id: u32) {
        let words = [vec![name], string("guest_scanout_manager_v1"), vec![version, id]];
        self.bad.say(REGISTRY, 0, &words.concat(), None);
    }

    /// One of those that there may be, or any.
    fn object(&self, tape: &mut Tape<'_>) -> u32 {
        match tape.number() {
            small @ 0..=9 => small,
            server @ 10..=99 => SERVERS + (server - 10),
            other => other,
        }
    }

    fn fd(&self, tape: &mut Tape<'_>) -> Option<OwnedFd> {
        let kind = tape.number() as usize;
        (kind != 9).then(|| self.fds.of(kind))
    }

    /// Server and good viewer do what they have to do.
    fn turn(&mut self) {
        self.server.dispatch().unwrap();
        while let Some(event) = self.good.poll() {
            match event {
                SourceEvent::Scanout(announcement) => {
                    geometry::must_be_safe(&announcement);
                    let id = announcement.storage.id;
                    drop(announcement);
                    self.good.retired(id);
                }
                SourceEvent::Cursor(cursor) => geometry::must_be_cursor(&cursor),
                SourceEvent::Lost(reason) => panic!("the good viewer is thrown out: {reason}"),
                // Dropped, an update is acked.
                _ => {}
            }
        }
        self.server.dispatch().unwrap();
        let mut count = 0;
        while let Some(event) = self.server.next_event() {
            count += 1;
            assert!(count < 10_000, "events without an end");
            let name = match event {
                Event::Answered { console, frame, .. } => {
                    *self.answers.get_mut(&(console, frame)).expect("it was updated") += 1;
                    "answered"
                }
                Event::Watched(_, count) => {
                    assert!(count <= 3, "{count} viewers");
                    "watched"
                }
                Event::Invalidated(..) => "invalidated",
                Event::SizeHint(_, size, _) => {
                    let sides = [size.width, size.height];
                    assert!(sides.iter().all(|side| (1..=16_384).contains(side)), "{size:?}");
                    "size hint"
                }
                Event::Input(..) => "input",
            };
            *self.events.entry(name).or_default() += 1;
        }
    }

    /// When the bad viewer is gone every update is answered, once, and nothing of its is left.
    fn finish(mut self) {
        let _ = self.bad.stream.shutdown(Shutdown::Both);
        for _ in 0..3 {
            self.turn();
        }
        let open: Vec<_> = self.answers.iter().filter(|(_, count)| **count != 1).collect();
        assert!(open.is_empty(), "answers of frames: {open:?}; {:?}", self.events);
        // And the good one is still shown what there is.
        let memory = Memory::Planes(vec![Picture::new().fd()]);
        if let Ok(buffer) = self.server.add_buffer(self.console, layout(SIZE), memory) {
            self.server.scanout(self.console, buffer, WHOLE, Transform::Normal).unwrap();
            let frame = self.server.update(self.console, buffer, &[]).unwrap();
            self.answers.insert((self.console, frame), 0);
            self.turn();
            assert_eq!(self.answers[&(self.console, frame)], 1, "the good viewer answers");
        }
        drop((self.server, self.good, self.bad));
        self.fds.none_is_left();
    }
}
