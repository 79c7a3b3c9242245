//! Sway's IPC: what `swaymsg` speaks, without a process a message.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::error::{Context, Error, Result};
use crate::wait::{Deadline, readable};

pub(super) const RUN_COMMAND: u32 = 0;
const SUBSCRIBE: u32 = 2;
pub(super) const GET_OUTPUTS: u32 = 3;
pub(super) const GET_TREE: u32 = 4;

const MAGIC: &[u8; 6] = b"i3-ipc";
/// Magic, length, kind.
const HEADER: usize = 14;
/// What is longer is none of sway's.
const LONGEST: usize = 16 << 20;

/// Sends one message and waits for its answer.
pub(super) fn ask(socket: &Path, kind: u32, payload: &str) -> Result<Value> {
    let stream = connect(socket)?;
    send(&stream, kind, payload)?;
    receive(&stream, Deadline::seconds(60))
}

/// What sway tells by itself.
#[derive(Debug)]
pub struct Events(UnixStream);

impl Events {
    pub(super) fn subscribe(socket: &Path, kinds: &[&str]) -> Result<Self> {
        let stream = connect(socket)?;
        send(&stream, SUBSCRIBE, &serde_json::json!(kinds).to_string())?;
        let answer = receive(&stream, Deadline::seconds(60))?;
        if answer["success"] != true {
            return Err(Error::new(format!("does not tell of {kinds:?}: {answer}")));
        }
        Ok(Self(stream))
    }

    /// The next event: `change` says what happened, `container`, `binding` or `current` to what.
    ///
    /// # Errors
    /// If none comes in time, or sway is gone.
    pub fn next(&mut self, deadline: Deadline) -> Result<Value> {
        receive(&self.0, deadline)
    }

    /// Passes events over until `wanted` takes one.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn wait<T>(
        &mut self,
        deadline: Deadline,
        mut wanted: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T> {
        loop {
            if let Some(value) = wanted(&self.next(deadline)?) {
                return Ok(value);
            }
        }
    }
}

fn connect(socket: &Path) -> Result<UnixStream> {
    UnixStream::connect(socket).context(format!("connecting to sway at {}", socket.display()))
}

fn send(mut stream: &UnixStream, kind: u32, payload: &str) -> Result<()> {
    let length = u32::try_from(payload.len()).context("asking sway")?;
    let header = [&MAGIC[..], &length.to_ne_bytes(), &kind.to_ne_bytes()].concat();
    let message = [&header, payload.as_bytes()].concat();
    stream.write_all(&message).context("asking sway")
}

fn receive(stream: &UnixStream, deadline: Deadline) -> Result<Value> {
    let header = exactly(stream, HEADER, deadline)?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let length = rest.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize);
    if magic != MAGIC || length > LONGEST {
        return Err(Error::new(format!("sway answers with {header:?}")));
    }
    let payload = exactly(stream, length, deadline)?;
    serde_json::from_slice(&payload).context("reading sway's answer")
}

fn exactly(mut stream: &UnixStream, count: usize, deadline: Deadline) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        if readable(&[stream.as_fd()], deadline)?.is_none() {
            return Err(Error::new("sway said nothing in time"));
        }
        match stream.read(&mut bytes[filled..]).context("reading from sway")? {
            0 => return Err(Error::new("sway closed the connection")),
            read => filled += read,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed_as_sway_frames_them() {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        send(&ours, GET_TREE, "{}").expect("sent");
        let mut bytes = [0; HEADER + 2];
        theirs.read_exact(&mut bytes).expect("whole");
        assert_eq!(bytes[..6], *b"i3-ipc");
        assert_eq!(bytes[6..14], [2u32.to_ne_bytes(), 4u32.to_ne_bytes()].concat());
        // It comes back in pieces.
        theirs.write_all(&bytes[..9]).expect("written");
        let rest = std::thread::spawn(move || theirs.write_all(&bytes[9..]));
        let answer = receive(&ours, Deadline::seconds(30)).expect("an answer");
        assert_eq!(answer, serde_json::json!({}));
        rest.join().expect("no panic").expect("written");
    }

    #[test]
    fn silence_an_end_and_nonsense_are_errors() {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let error = receive(&ours, Deadline::seconds(0)).expect_err("silent");
        assert!(error.to_string().contains("in time"), "{error}");
        theirs.write_all(b"HTTP/1.1 404 N").expect("written");
        assert!(receive(&ours, Deadline::seconds(30)).is_err());
        drop(theirs);
        let error = receive(&ours, Deadline::seconds(30)).expect_err("closed");
        assert!(error.to_string().contains("closed"), "{error}");
    }
}
