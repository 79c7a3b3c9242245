//! One end of the wire by hand, message by message: what no library would send can be sent by it.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use fanlight::serve::{Event, Server};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::backend::{PATIENCE, wait};

pub const DISPLAY: u32 = 1;
pub const REGISTRY: u32 = 2;
pub const MANAGER: u32 = 3;
pub const CONSOLE: u32 = 4;
/// The first id that a server gives out.
pub const SERVERS: u32 = 0xff00_0000;

/// Opcodes, in the order of the XML.
pub mod ask {
    pub const DESTROY: u16 = 0;
    pub const STOP: u16 = 1;
    pub const ACK: u16 = 3;
    pub const REFUSE: u16 = 4;
    pub const RELEASE: u16 = 5;
    pub const READY: u16 = 6;
    pub const SIZE_HINT: u16 = 7;
    pub const KEY: u16 = 8;
    pub const TOUCH: u16 = 13;
}

pub mod say {
    pub const BUFFER: u16 = 0;
    pub const SCANOUT: u16 = 1;
    pub const FENCE: u16 = 4;
    pub const DAMAGE: u16 = 5;
    pub const UPDATE: u16 = 6;
    pub const CURSOR: u16 = 8;
    pub const GONE: u16 = 12;
    pub const PLANE: u16 = 0;
    pub const LAYOUT: u16 = 1;
    pub const DONE: u16 = 2;
    pub const BUFFER_GONE: u16 = 3;
}

/// A string as it is on the wire.
pub fn string(text: &str) -> Vec<u32> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    let mut words = vec![bytes.len() as u32];
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    words.extend(bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_ne_bytes(word)));
    words
}

#[derive(Debug)]
pub struct Message {
    pub object: u32,
    pub opcode: u16,
    pub words: Vec<u32>,
}

pub struct Peer {
    pub stream: UnixStream,
    bytes: Vec<u8>,
    pub fds: VecDeque<OwnedFd>,
    pub over: bool,
}

impl Peer {
    pub fn new(stream: UnixStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self { stream, bytes: Vec::new(), fds: VecDeque::new(), over: false }
    }

    /// Says something; what nobody takes any more is lost.
    pub fn say(&self, object: u32, opcode: u16, words: &[u32], fd: Option<BorrowedFd<'_>>) {
        let size = (8 + 4 * words.len()) as u32;
        let mut bytes = object.to_ne_bytes().to_vec();
        bytes.extend((size << 16 | u32::from(opcode)).to_ne_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        let fds: Vec<_> = fd.into_iter().collect();
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let flags = SendFlags::NOSIGNAL;
        let _ = sendmsg(&self.stream, &[IoSlice::new(&bytes)], &mut ancillary, flags);
    }

    /// Reads what has come, without waiting.
    pub fn read(&mut self) {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(28))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut room);
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let count = match recvmsg(&self.stream, &mut parts, &mut ancillary, flags) {
                Ok(message) => message.bytes,
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => 0,
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            self.over |= count == 0;
            if count == 0 {
                return;
            }
            self.bytes.extend_from_slice(&bytes[..count]);
        }
    }

    /// The next message that has come.
    pub fn next(&mut self) -> Option<Message> {
        let words = self.bytes.as_chunks::<4>().0;
        let object = u32::from_ne_bytes(*words.first()?);
        let second = u32::from_ne_bytes(*words.get(1)?);
        let size = (second >> 16) as usize;
        let body = words.get(2..size / 4)?;
        let words = body.iter().map(|&word| u32::from_ne_bytes(word)).collect();
        self.bytes.drain(..size);
        Some(Message { object, opcode: second as u16, words })
    }
}

/// A viewer by hand, and the server that it talks to.
pub struct Viewer {
    pub peer: Peer,
    pub messages: VecDeque<Message>,
}

impl Viewer {
    /// Connects and watches console 0.
    pub fn new(server: &mut Server) -> Self {
        let mut viewer = Self::bound(server, 1);
        viewer.peer.say(MANAGER, 1, &[CONSOLE, 0], None);
        viewer.until(server, "the console", |_, event| {
            matches!(event, Some(Event::Watched(..))).then_some(())
        });
        viewer
    }

    /// Connects and binds the manager in that version.
    pub fn bound(server: &mut Server, version: u32) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        server.add_viewer(theirs).unwrap();
        let peer = Peer::new(ours);
        peer.say(DISPLAY, 1, &[REGISTRY], None);
        let mut bind = vec![1];
        bind.extend(string("guest_scanout_manager_v1"));
        bind.extend([version, MANAGER]);
        peer.say(REGISTRY, 0, &bind, None);
        Self { peer, messages: VecDeque::new() }
    }

    /// Lets the server work, and takes what it says, until there is something.
    pub fn until<T>(
        &mut self,
        server: &mut Server,
        what: &str,
        mut f: impl FnMut(&mut Self, Option<&Event>) -> Option<T>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            server.dispatch().unwrap();
            self.peer.read();
            while let Some(message) = self.peer.next() {
                self.messages.push_back(message);
            }
            while let Some(event) = server.next_event() {
                if let Some(found) = f(self, Some(&event)) {
                    return found;
                }
            }
            if let Some(found) = f(self, None) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}: {:?}", self.messages.back());
            if !self.peer.over {
                wait(&[server.as_fd(), self.peer.stream.as_fd()], end, what);
            }
        }
    }

    /// Waits for one message, and takes it and all before it.
    pub fn message(&mut self, server: &mut Server, object: u32, opcode: u16) -> Message {
        self.until(server, "a message", |viewer, _| {
            let at = viewer.messages.iter().position(|m| (m.object, m.opcode) == (object, opcode));
            viewer.messages.drain(..=at?).next_back()
        })
    }

    /// Waits until the server has ended the connection; the error's object and code.
    pub fn thrown_out(&mut self, server: &mut Server) -> Option<(u32, u32)> {
        self.until(server, "the end", |viewer, _| viewer.peer.over.then_some(()));
        let error = self.messages.iter().find(|m| (m.object, m.opcode) == (DISPLAY, 0));
        error.map(|message| (message.words[0], message.words[1]))
    }
}

/// How many fds of this process lead to the same file.
pub fn inodes(file: &std::fs::File) -> usize {
    use std::os::unix::fs::MetadataExt;
    let wanted = file.metadata().unwrap();
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    // Others come and go meanwhile.
    let stats = fds.filter_map(|fd| std::fs::metadata(fd.unwrap().path()).ok());
    stats.filter(|stat| (stat.dev(), stat.ino()) == (wanted.dev(), wanted.ino())).count()
}
