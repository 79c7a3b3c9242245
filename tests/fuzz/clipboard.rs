//! org.qemu.Display1.Clipboard at a QEMU that calls and answers anything, between programs of the host that
//! write anything and never read: each call has one answer, text comes out as it went in or not at all, and
//! whoever pastes comes to an end.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use fanlight::frame::Clipboard;
use fanlight::port::{Source, SourceEvent};
use fanlight::source::{self, Bus, Options, Uri};
use futures_core::Stream;
use rustix::pipe::{PipeFlags, pipe_with};
use zbus::message::{Flags, Type};
use zbus::{Connection, DynamicType, Message, MessageStream};

use crate::backend::PATIENCE;
use crate::qemu::fake_qemu;
use crate::tape::Tape;

const PATH: &str = "/org/qemu/Display1/Clipboard";
const CLIPBOARD: &str = "org.qemu.Display1.Clipboard";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PEER: &str = "org.freedesktop.DBus.Peer";
const INTERFACES: [&str; 4] = [CLIPBOARD, PROPERTIES, PEER, "org.freedesktop.DBus.Introspectable"];
const MEMBERS: [&str; 10] = [
    "Register",
    "Unregister",
    "Grab",
    "Release",
    "Request",
    "GetAll",
    "Get",
    "Set",
    "Ping",
    "Introspect",
];
const TEXT: &str = "text/plain;charset=utf-8";
/// Longest text that passes.
const LONGEST: usize = 1 << 20;
/// Most of what a script can make grow.
const PIPES_MAX: usize = 32;
const CALLS_MAX: usize = 200;

#[test]
fn clipboard() {
    crate::fuzz::run("clipboard", act);
}

struct Stage {
    connection: Connection,
    /// All that the viewer sends.
    sent: Receiver<Message>,
    source: Box<dyn Source>,
    /// Nobody waits for the next call's answer.
    quiet: bool,
    /// Calls that have no reply yet, and of which method they are.
    open: HashMap<NonZeroU32, &'static str>,
    calls: usize,
    /// The viewer's calls that have no reply yet.
    asks: Vec<Message>,
    /// What QEMU has answered when it was asked for the guest's text.
    answered: HashSet<Vec<u8>>,
    /// What the host's programs have written.
    written: HashSet<Vec<u8>>,
    /// Where the viewer wants the host's text.
    wanted: Vec<OwnedFd>,
    /// Ends of pipes with which nothing is done.
    idle: Vec<OwnedFd>,
    /// Those who write, and those who paste.
    writers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<Vec<u8>>>,
}

pub(crate) fn act(input: &[u8]) {
    let (link, qemus) = fake_qemu::p2p(fake_qemu::VM);
    let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
    let options = Options { time_limit: PATIENCE, ..Options::default() };
    let mut source = source::open_stream(link, &uri, &options).unwrap().source;
    let connection = qemus.connection();
    let mut stream = MessageStream::from(&connection);
    let (tell, sent) = channel();
    let listens = thread::spawn(move || {
        let mut next = || zbus::block_on(poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)));
        while let Some(Ok(message)) = next() {
            let _ = tell.send(message);
        }
    });
    source.clipboard(Clipboard::Withdrawn);
    let mut stage = Stage {
        connection,
        sent,
        source,
        quiet: false,
        open: HashMap::new(),
        calls: 0,
        asks: Vec::new(),
        answered: HashSet::new(),
        written: HashSet::new(),
        wanted: Vec::new(),
        idle: Vec::new(),
        writers: Vec::new(),
        readers: Vec::new(),
    };
    let mut tape = Tape::new(input);
    let registered = stage.register(&mut tape);
    while let Some(op) = tape.op(if registered { b"GLQRgwnONPhHAVE" } else { b"ONP" }) {
        stage.step(op, &mut tape);
    }
    stage.finish();
    listens.join().unwrap();
}

/// A text, or something that is none.
fn text(tape: &mut Tape<'_>) -> Vec<u8> {
    match tape.choose(8) {
        0 => b"plain".to_vec(),
        1 => "Grüße 🚀".as_bytes().to_vec(),
        2 => Vec::new(),
        3 => vec![0xff, 0xfe],
        4 => "ü".repeat(LONGEST / 2).into_bytes(),
        5 => vec![b'a'; LONGEST + 1],
        6 => vec![b'a'; tape.number() as usize % (2 * LONGEST)],
        _ => b"nul\0s".to_vec(),
    }
}

fn passes(text: &[u8]) -> bool {
    !text.is_empty() && text.len() <= LONGEST && std::str::from_utf8(text).is_ok()
}

/// Names of kinds, up to very many and very long ones.
fn names(tape: &mut Tape<'_>) -> Vec<String> {
    let count = tape.number() as usize % 16_384;
    let long = || "x".repeat((1 << 20) / (count + 1));
    let name = match tape.choose(4) {
        0 => TEXT.to_owned(),
        1 => "image/png".to_owned(),
        2 => String::new(),
        _ => long(),
    };
    let mut names = vec![name; count];
    if tape.choose(2) == 1 {
        names.push(TEXT.to_owned());
    }
    names
}

impl Stage {
    /// Whether the viewer has the guest's clipboard then.
    fn register(&mut self, tape: &mut Tape<'_>) -> bool {
        let how = tape.choose(4);
        self.asked("Register");
        if how == 0 {
            self.answer(&());
            return true;
        }
        // As where another viewer has it.
        self.refuse();
        self.asked("Unregister");
        if how == 1 {
            self.refuse();
            return false;
        }
        self.answer(&"anything");
        self.asked("Register");
        match how {
            2 => self.answer(&()),
            _ => self.refuse(),
        }
        how == 2
    }

    /// Waits until the viewer asks this.
    fn asked(&mut self, member: &str) {
        while self.asks.is_empty() {
            self.receive(&format!("{member} to be called"));
        }
        let header = self.asks[0].header();
        assert_eq!(header.member().unwrap().as_str(), member);
    }

    fn answer<B: serde::Serialize + DynamicType>(&mut self, body: &B) {
        if !self.asks.is_empty() {
            let ask = self.asks.remove(0);
            zbus::block_on(self.connection.reply(&ask.header(), body)).unwrap();
        }
    }

    fn refuse(&mut self) {
        if !self.asks.is_empty() {
            let (ask, name) = (self.asks.remove(0), "org.qemu.Display1.Error.Failed");
            zbus::block_on(self.connection.reply_error(&ask.header(), name, &"no")).unwrap();
        }
    }

    fn call<B>(&mut self, interface: &str, member: &'static str, body: &B)
    where
        B: serde::Serialize + DynamicType,
    {
        self.calls += 1;
        if self.calls > CALLS_MAX {
            return;
        }
        let mut builder = Message::method_call(PATH, member).interface(interface);
        let quiet = std::mem::take(&mut self.quiet);
        if quiet {
            builder = builder.with_flags(Flags::NO_REPLY_EXPECTED);
        }
        let call = builder.build(body).unwrap();
        if !quiet {
            self.open.insert(call.primary_header().serial_num(), member);
        }
        zbus::block_on(self.connection.send(&call)).unwrap();
    }

    /// Waits for something of the viewer's.
    fn receive(&mut self, what: &str) {
        if self.look() {
            return;
        }
        let message = self.sent.recv_timeout(PATIENCE);
        let message = message.unwrap_or_else(|_| panic!("no {what}; open: {:?}", self.open));
        self.take(&message);
    }

    /// Takes what there is; whether there was something of the viewer's.
    fn look(&mut self) -> bool {
        while let Some(event) = self.source.poll() {
            match event {
                SourceEvent::Clipboard(Clipboard::Wanted(pipe)) => self.wanted.push(pipe),
                SourceEvent::Lost(reason) => panic!("the connection is lost: {reason}"),
                _ => {}
            }
        }
        // A thread each.
        assert!(self.wanted.len() + self.idle.len() <= 2 * PIPES_MAX);
        let mut any = false;
        while let Ok(message) = self.sent.try_recv() {
            self.take(&message);
            any = true;
        }
        any
    }

    fn take(&mut self, message: &Message) {
        let (header, body) = (message.header(), message.body());
        match message.message_type() {
            Type::MethodCall if header.path().is_some_and(|path| path.as_str() == PATH) => {
                assert_eq!(header.interface().unwrap().as_str(), CLIPBOARD);
                match header.member().unwrap().as_str() {
                    "Register" | "Unregister" => {}
                    "Grab" => {
                        let (of, _, names): (u32, u32, Vec<&str>) = body.deserialize().unwrap();
                        assert_eq!((of, &names[..]), (0, &[TEXT][..]));
                    }
                    "Release" => assert_eq!(body.deserialize::<u32>().unwrap(), 0),
                    "Request" => {
                        let (of, names): (u32, Vec<&str>) = body.deserialize().unwrap();
                        assert_eq!((of, &names[..]), (0, &[TEXT][..]));
                    }
                    other => panic!("QEMU has no {other}"),
                }
                self.asks.push(message.clone());
            }
            Type::MethodReturn | Type::Error => {
                let member = self.open.remove(&header.reply_serial().unwrap());
                let member = member.unwrap_or_else(|| panic!("{message:?} answers nothing"));
                if message.message_type() == Type::Error {
                    assert!(!body.deserialize::<String>().unwrap().is_empty());
                } else if member == "Request" {
                    let (kind, text): (&str, Vec<u8>) = body.deserialize().unwrap();
                    assert_eq!(kind, TEXT);
                    assert!(
                        self.written.contains(&text),
                        "nobody wrote this: {} bytes",
                        text.len()
                    );
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, op: u8, tape: &mut Tape<'_>) {
        match op {
            b'G' => self.call(CLIPBOARD, "Grab", &(tape.number() % 3, tape.number(), names(tape))),
            b'L' => self.call(CLIPBOARD, "Release", &(tape.number() % 3)),
            b'Q' => self.call(CLIPBOARD, "Request", &(tape.number() % 3, names(tape))),
            b'R' => self.call(CLIPBOARD, "Register", &()),
            b'g' => self.call(CLIPBOARD, "Unregister", &()),
            // Any method with any arguments.
            b'w' => {
                let (interface, member) = (INTERFACES[tape.choose(4)], MEMBERS[tape.choose(10)]);
                match tape.choose(6) {
                    0 => self.call(interface, member, &()),
                    1 => self.call(interface, member, &tape.number()),
                    2 => self.call(interface, member, &CLIPBOARD),
                    3 => self.call(interface, member, &(tape.number(), TEXT)),
                    4 => self.call(interface, member, &(0_u32, tape.number(), &[7_u8; 7][..])),
                    _ => self.call(interface, member, &(TEXT, 1.5_f64, true, i64::MIN)),
                }
            }
            b'n' => self.quiet = true,
            b'O' => self.source.clipboard(Clipboard::Offered),
            b'N' => self.source.clipboard(Clipboard::Withdrawn),
            b'P' if self.readers.len() + self.idle.len() < PIPES_MAX => {
                let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
                match tape.choose(3) {
                    0 => self.readers.push(thread::spawn(move || {
                        let mut bytes = Vec::new();
                        File::from(pipe).read_to_end(&mut bytes).unwrap();
                        bytes
                    })),
                    1 => drop(pipe),
                    _ => self.idle.push(pipe),
                }
                self.source.clipboard(Clipboard::Wanted(theirs));
            }
            b'h' | b'H' => {
                self.look();
                if self.wanted.is_empty() {
                    return;
                }
                let (pipe, text) = (self.wanted.remove(0), text(tape));
                if passes(&text) {
                    self.written.insert(text.clone());
                }
                if op == b'h' {
                    // The viewer may have seen enough long before the end.
                    let write = move || drop(File::from(pipe).write_all(&text));
                    self.writers.push(thread::spawn(write));
                } else {
                    // Some of it fits in the pipe; the end never comes.
                    let half = text[..text.len().min(4096) / 2].to_vec();
                    if passes(&half) {
                        self.written.insert(half.clone());
                    }
                    let _ = rustix::io::write(&pipe, &half);
                    self.idle.push(pipe);
                }
            }
            b'A' => {
                self.look();
                let asks = self.asks.first();
                let asks = asks.and_then(|ask| Some(ask.header().member()?.as_str() == "Request"));
                if asks == Some(true) {
                    let text = text(tape);
                    self.answer(&(TEXT, &text[..]));
                    self.answered.insert(text);
                } else {
                    self.answer(&());
                }
            }
            b'V' => {
                self.look();
                match tape.choose(5) {
                    0 => self.refuse(),
                    1 => self.answer(&(TEXT, "text")),
                    2 => self.answer(&("text/html", &b"<b>"[..])),
                    3 => self.answer(&tape.number()),
                    _ => self.answer(&()),
                }
            }
            // What is asked is never answered.
            b'E' => {
                self.look();
                self.asks.truncate(0);
            }
            _ => {}
        }
        self.look();
    }

    /// Ends it: each call has its reply, and whoever pastes has a text that was given, or nothing.
    fn finish(mut self) {
        self.look();
        self.idle.clear();
        while !self.open.is_empty() {
            // Programs that are gone without a word.
            self.wanted.clear();
            self.receive("reply");
        }
        drop((self.source, self.wanted));
        self.writers.into_iter().for_each(|writer| writer.join().unwrap());
        for reader in self.readers {
            let pasted = reader.join().unwrap();
            let given = passes(&pasted) && self.answered.contains(&pasted);
            assert!(pasted.is_empty() || given, "nobody gave this: {} bytes", pasted.len());
        }
    }
}
