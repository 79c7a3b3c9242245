//! D-Bus by hand: what no library would send can be sent by it.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

pub const CALL: u8 = 1;
pub const ERROR: u8 = 3;
pub const NO_REPLY: u8 = 1;

/// Authenticates whoever is at the other end, as server.
pub fn authenticate(mut stream: &UnixStream) {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.extend(byte);
        if !line.ends_with(b"\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
        let text = text.trim_start_matches('\0').trim_end();
        let answer = match text.split(' ').next().unwrap() {
            "AUTH" => "OK 00112233445566778899aabbccddeeff\r\n",
            "NEGOTIATE_UNIX_FD" => "AGREE_UNIX_FD\r\n",
            "BEGIN" => return,
            other => panic!("{other} is no command here"),
        };
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// Arguments of a message, each put after the one before.
#[derive(Default)]
pub struct Body {
    pub signature: String,
    pub bytes: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

impl Body {
    pub fn u32(mut self, value: u32) -> Self {
        self.signature.push('u');
        self.word(value);
        self
    }

    pub fn i32(mut self, value: i32) -> Self {
        self.signature.push('i');
        self.word(value.cast_unsigned());
        self
    }

    pub fn bool(mut self, value: u32) -> Self {
        self.signature.push('b');
        self.word(value);
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.signature.push('t');
        align(&mut self.bytes, 8);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn string(mut self, text: &str) -> Self {
        self.signature.push('s');
        self.word(text.len() as u32);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
        self
    }

    pub fn array(mut self, bytes: &[u8]) -> Self {
        self.signature.push_str("ay");
        self.word(bytes.len() as u32);
        self.bytes.extend(bytes);
        self
    }

    pub fn words(mut self, of: char, values: &[u32]) -> Self {
        self.signature.extend(['a', of]);
        self.word(4 * values.len() as u32);
        values.iter().for_each(|value| self.word(*value));
        self
    }

    /// A handle: the number of an fd of the message, or of none.
    pub fn handle(mut self, index: u32) -> Self {
        self.signature.push('h');
        self.word(index);
        self
    }

    fn word(&mut self, value: u32) {
        align(&mut self.bytes, 4);
        self.bytes.extend(value.to_le_bytes());
    }
}

/// A method call.
pub struct Call<'a> {
    pub serial: u32,
    pub flags: u8,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
}

impl Call<'_> {
    pub fn bytes(&self, body: &Body) -> Vec<u8> {
        let mut bytes = vec![b'l', CALL, self.flags, 1];
        bytes.extend((body.bytes.len() as u32).to_le_bytes());
        bytes.extend(self.serial.to_le_bytes());
        bytes.extend([0; 4]);
        for (code, kind, text) in
            [(1, b'o', self.path), (2, b's', self.interface), (3, b's', self.member)]
        {
            align(&mut bytes, 8);
            bytes.extend([code, 1, kind, 0]);
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        if !body.signature.is_empty() {
            align(&mut bytes, 8);
            bytes.extend([8, 1, b'g', 0, body.signature.len() as u8]);
            bytes.extend(body.signature.as_bytes());
            bytes.push(0);
        }
        if !body.fds.is_empty() {
            align(&mut bytes, 8);
            bytes.extend([9, 1, b'u', 0]);
            bytes.extend((body.fds.len() as u32).to_le_bytes());
        }
        let fields = (bytes.len() - 16) as u32;
        bytes[12..16].copy_from_slice(&fields.to_le_bytes());
        align(&mut bytes, 8);
        bytes.extend(&body.bytes);
        bytes
    }
}

/// Sends what the socket takes of `bytes`, with `fds` at the first of them; how many that were.
pub fn send(stream: &UnixStream, bytes: &[u8], fds: &[OwnedFd]) -> rustix::io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, flags)
}

/// A message that came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub to: u32,
    pub kind: u8,
}

/// What has come from the other end, cut into messages.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    pub over: bool,
}

impl Inbox {
    /// Reads what there is.
    pub fn read(&mut self, stream: &UnixStream) {
        let mut bytes = [0; 4096];
        loop {
            match rustix::net::recv(stream, &mut bytes[..], rustix::net::RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.over = true,
                Ok((count, _)) => {
                    self.bytes.extend(&bytes[..count]);
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(_) => self.over = true,
            }
            return;
        }
    }

    /// The next whole message.
    pub fn next(&mut self) -> Option<Reply> {
        let word = |at: usize| {
            Some(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().unwrap()) as usize)
        };
        let fields_end = 16 + word(12)?;
        let length = fields_end.next_multiple_of(8) + word(4)?;
        if self.bytes.len() < length {
            return None;
        }
        let kind = self.bytes[1];
        let (mut at, mut to) = (16, 0);
        while at < fields_end {
            at = at.next_multiple_of(8);
            let code = self.bytes[at];
            at += 4;
            match self.bytes[at - 2] {
                b'u' => {
                    if code == 5 {
                        to = word(at)? as u32;
                    }
                    at += 4;
                }
                b'g' => at += 2 + usize::from(self.bytes[at]),
                _ => at += 5 + word(at)?,
            }
        }
        self.bytes.drain(..length);
        Some(Reply { to, kind })
    }
}
