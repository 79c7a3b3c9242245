//! A **stand-in** for the agent that runs in guests and shares their clipboard: it speaks the agent's protocol
//! to a real QEMU, whose other end of it is real. It drives a serial port of the machine itself, through
//! QEMU's `-qtest`, so that no system has to boot in the guest.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;

use fanlight_stage::qemu::Setup;
use fanlight_stage::wait::{Deadline, Lines};
use fanlight_stage::{Context, Error, Result};

/// The second serial port: its data, and whether there is some.
const DATA: u16 = 0x2f8;
const STATUS: u16 = 0x2fd;
/// Most bytes written before QEMU's answers are read.
const AT_ONCE: usize = 256;
/// Most bytes of a chunk, the port of the protocol on which clients talk, and the protocol's version.
const CHUNK: usize = 2048;
const CLIENT: u32 = 1;
const VERSION: u32 = 1;
/// Kinds of messages.
const TEXT: u32 = 4;
const CAPABILITIES: u32 = 6;
const GRAB: u32 = 7;
const REQUEST: u32 = 8;
const RELEASE: u32 = 9;
/// Text is sent when it is asked for; messages say of which clipboard they are; grabs have a number.
const CAPABLE: u32 = 1 << 5 | 1 << 6 | 1 << 17;
/// The clipboard of what was copied, in four bytes; and of all there is to copy, text.
const COPIED: [u8; 4] = [0; 4];
const UTF8: u32 = 1;

/// What QEMU tells it of the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A text is offered; the number of that.
    Offered(u32),
    /// There is none any more.
    Withdrawn,
    /// The guest's text is wanted.
    Wanted,
    /// The text that was asked for.
    Text(String),
}

pub(super) struct Agent {
    port: Lines,
    deadline: Deadline,
    /// Bytes of messages that came, without the heads of chunks.
    came: Vec<u8>,
}

/// Gives a machine what an agent needs, with a socket of that path.
pub(super) fn machine(setup: Setup, socket: &Path) -> Setup {
    let socket = format!("unix:{},server=on,wait=off", socket.display());
    let arguments = [
        "-chardev",
        "qemu-vdagent,id=agent,name=vdagent,clipboard=on",
        "-device",
        "isa-serial,chardev=agent,index=1",
        "-qtest",
        &socket,
        "-qtest-log",
        "/dev/null",
    ];
    arguments.into_iter().fold(setup, Setup::arg)
}

impl Agent {
    /// Says hello to QEMU.
    pub(super) fn start(socket: &Path, deadline: Deadline) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("connecting to QEMU's qtest")?;
        let mut agent = Self { port: Lines::new(stream), deadline, came: Vec::new() };
        let asks = 1_u32;
        agent.send(CAPABILITIES, &[asks.to_le_bytes(), CAPABLE.to_le_bytes()].concat())?;
        // What QEMU said before is skipped: of that the reset of the port may have lost something.
        let answer = [CLIENT, 28, VERSION, CAPABILITIES, 0, 0, 8, 0].map(u32::to_le_bytes).concat();
        let mut said = Vec::new();
        while !said.ends_with(&answer) {
            said.extend(agent.read(1)?);
        }
        let theirs = word(&agent.read(4)?, 0)?;
        if theirs & CAPABLE != CAPABLE {
            return Err(Error::new(format!("QEMU's end can only do {theirs:#x}")));
        }
        Ok(agent)
    }

    /// The guest copies a text.
    pub(super) fn copies(&mut self, number: u32) -> Result<()> {
        self.send(GRAB, &[COPIED, number.to_le_bytes(), UTF8.to_le_bytes()].concat())
    }

    /// The guest has nothing copied any more.
    pub(super) fn clears(&mut self) -> Result<()> {
        self.send(RELEASE, &COPIED)
    }

    /// The guest pastes: it asks for the host's text.
    pub(super) fn pastes(&mut self) -> Result<()> {
        self.send(REQUEST, &[COPIED, UTF8.to_le_bytes()].concat())
    }

    /// The guest's text, for who wants it.
    pub(super) fn gives(&mut self, text: &str) -> Result<()> {
        self.send(TEXT, &[&COPIED[..], &UTF8.to_le_bytes(), text.as_bytes()].concat())
    }

    /// What QEMU tells next.
    pub(super) fn told(&mut self) -> Result<Told> {
        let (kind, body) = self.message()?;
        if !body.starts_with(&COPIED) {
            return Err(Error::new(format!("QEMU tells of another clipboard: {kind} {body:?}")));
        }
        match kind {
            GRAB if word(&body, 8)? == UTF8 => Ok(Told::Offered(word(&body, 4)?)),
            RELEASE => Ok(Told::Withdrawn),
            REQUEST if word(&body, 4)? == UTF8 => Ok(Told::Wanted),
            TEXT if word(&body, 4)? == UTF8 => {
                Ok(Told::Text(String::from_utf8_lossy(&body[8..]).into_owned()))
            }
            _ => Err(Error::new(format!("QEMU tells what was not awaited: {kind} {body:?}"))),
        }
    }

    fn send(&mut self, kind: u32, body: &[u8]) -> Result<()> {
        let length = body.len() as u32;
        let head = [VERSION, kind, 0, 0, length].map(u32::to_le_bytes).concat();
        for chunk in [&head, body].concat().chunks(CHUNK) {
            let size = chunk.len() as u32;
            self.write(&[&[CLIENT, size].map(u32::to_le_bytes).concat(), chunk].concat())?;
        }
        Ok(())
    }

    /// The kind and the body of the next message.
    fn message(&mut self) -> Result<(u32, Vec<u8>)> {
        const HEAD: usize = 20;
        while self.came.len() < HEAD || self.came.len() < HEAD + word(&self.came, 16)? as usize {
            let head = self.read(8)?;
            let chunk = self.read(word(&head, 4)?)?;
            self.came.extend(chunk);
        }
        let rest = self.came.split_off(HEAD + word(&self.came, 16)? as usize);
        let message = std::mem::replace(&mut self.came, rest);
        Ok((word(&message, 4)?, message[HEAD..].to_vec()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for some in bytes.chunks(AT_ONCE) {
            let lines: String =
                some.iter().map(|byte| format!("outb {DATA:#x} {byte:#x}\n")).collect();
            self.port.stream().write_all(lines.as_bytes()).context("asking QEMU's qtest")?;
            some.iter().try_for_each(|_| self.answer().map(drop))?;
        }
        Ok(())
    }

    /// So many bytes, which may yet have to come.
    fn read(&mut self, count: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < count as usize {
            if self.input(STATUS)? & 1 == 1 {
                bytes.push(self.input(DATA)?);
            } else if self.deadline.left().is_zero() {
                return Err(Error::new("QEMU told the agent nothing in time"));
            }
        }
        Ok(bytes)
    }

    fn input(&mut self, port: u16) -> Result<u8> {
        let line = format!("inb {port:#x}\n");
        self.port.stream().write_all(line.as_bytes()).context("asking QEMU's qtest")?;
        let answer = self.answer()?;
        let value = answer.strip_prefix("OK 0x").and_then(|hex| u8::from_str_radix(hex, 16).ok());
        value.ok_or_else(|| Error::new(format!("QEMU's qtest answers {answer:?}")))
    }

    fn answer(&mut self) -> Result<String> {
        let answer = self.port.next(self.deadline)?;
        answer.ok_or_else(|| Error::new("QEMU's qtest answers nothing"))
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map(u32::from_le_bytes).ok_or_else(|| Error::new(format!("a short message: {bytes:?}")))
}
