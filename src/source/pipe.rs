//! Pipes to whoever pastes and from whoever has copied. Both ends may be anybody's, who may read or
//! write for ever or not at all: each has a limit and a deadline, and a thread of its own waits for it.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

/// Longest text that passes, in bytes.
pub(crate) const TEXT_MAX: usize = 1 << 20;

/// Why a text did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PipeError {
    /// The other end takes too long; who goes on may still get it.
    Late,
    /// Longer than [`TEXT_MAX`].
    TooLong,
    /// It isn't UTF-8.
    NotText,
    /// The other end has closed before there was anything.
    Nothing,
    System(Errno),
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("the other end took too long"),
            Self::TooLong => write!(f, "it is longer than {TEXT_MAX} bytes"),
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::Nothing => f.write_str("the other end had nothing to say"),
            Self::System(errno) => write!(f, "the system refused ({errno})"),
        }
    }
}

impl From<Errno> for PipeError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Reads one text.
#[derive(Debug)]
pub(crate) struct Reader {
    pipe: OwnedFd,
    bytes: Vec<u8>,
}

impl Reader {
    /// With the other end of its pipe.
    pub(crate) fn new() -> Result<(Self, OwnedFd), PipeError> {
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        // Ours only: programs that copy expect to be able to wait for theirs.
        set_nonblocking(&pipe)?;
        Ok((Self { pipe, bytes: Vec::new() }, theirs))
    }

    /// Waits for its end until then; may be called again where that was too [`Late`](PipeError::Late).
    pub(crate) fn read(&mut self, until: Instant) -> Result<String, PipeError> {
        let mut block = [0; 16 * 1024];
        loop {
            match read(&self.pipe, &mut block) {
                Ok(0) if self.bytes.is_empty() => return Err(PipeError::Nothing),
                Ok(0) => {
                    let bytes = std::mem::take(&mut self.bytes);
                    return String::from_utf8(bytes).map_err(|_| PipeError::NotText);
                }
                Ok(n) if self.bytes.len() + n > TEXT_MAX => return Err(PipeError::TooLong),
                Ok(n) => self.bytes.extend_from_slice(&block[..n]),
                Err(Errno::AGAIN) => wait(&self.pipe, PollFlags::IN, until)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            // One that never ends is no reason to stay, either.
            if Instant::now() >= until {
                return Err(PipeError::Late);
            }
        }
    }
}

/// Writes `text` into `pipe` and closes it.
pub(crate) fn write_text(pipe: &OwnedFd, text: &str, until: Instant) -> Result<(), PipeError> {
    set_nonblocking(pipe)?;
    let mut left = text.as_bytes();
    while !left.is_empty() {
        match write(pipe, left) {
            Ok(n) => left = &left[n..],
            Err(Errno::AGAIN) => wait(pipe, PollFlags::OUT, until)?,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn set_nonblocking(pipe: &impl AsFd) -> Result<(), PipeError> {
    Ok(fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?)
}

fn wait(pipe: &OwnedFd, what: PollFlags, until: Instant) -> Result<(), PipeError> {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(|_| PipeError::Late)?;
    match poll(&mut [PollFd::new(pipe, what)], Some(&left)) {
        Ok(0) => Err(PipeError::Late),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// What a peer that writes this and closes is taken for.
    fn said(bytes: &'static [u8]) -> Result<String, PipeError> {
        let (mut reader, theirs) = Reader::new().unwrap();
        let peer = thread::spawn(move || {
            let mut left = bytes;
            while let Ok(n) = write(&theirs, left)
                && n > 0
            {
                left = &left[n..];
            }
        });
        let text = reader.read(soon());
        drop(reader);
        peer.join().unwrap();
        text
    }

    #[test]
    fn text_comes_through_and_nothing_else() {
        assert_eq!(said("Grüße".as_bytes()).unwrap(), "Grüße");
        assert_eq!(said(b"\xff\xfe"), Err(PipeError::NotText));
        assert_eq!(said(b""), Err(PipeError::Nothing));
    }

    #[test]
    fn the_longest_text_passes_and_one_byte_more_does_not() {
        static LONG: [u8; TEXT_MAX + 1] = [b'a'; TEXT_MAX + 1];
        assert_eq!(said(&LONG[1..]).unwrap().len(), TEXT_MAX);
        assert_eq!(said(&LONG), Err(PipeError::TooLong));
    }

    #[test]
    fn who_never_ends_is_left_and_what_came_is_kept() {
        let (mut reader, theirs) = Reader::new().unwrap();
        write(&theirs, b"one ").unwrap();
        assert_eq!(reader.read(Instant::now()), Err(PipeError::Late));
        write(&theirs, b"two").unwrap();
        drop(theirs);
        assert_eq!(reader.read(soon()).unwrap(), "one two");
    }

    #[test]
    fn who_never_reads_is_left_and_who_has_gone_too() {
        let long = "a".repeat(TEXT_MAX);
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        assert_eq!(write_text(&theirs, &long, Instant::now()), Err(PipeError::Late));
        drop(pipe);
        assert_eq!(write_text(&theirs, &long, soon()), Err(PipeError::System(Errno::PIPE)));
    }

    #[test]
    fn a_long_text_goes_through_a_short_pipe() {
        let long = "ab".repeat(TEXT_MAX / 2);
        let (mut reader, theirs) = Reader::new().unwrap();
        let writer = thread::spawn({
            let long = long.clone();
            move || write_text(&theirs, &long, soon())
        });
        assert!(reader.read(soon()).unwrap() == long);
        writer.join().unwrap().unwrap();
    }
}
