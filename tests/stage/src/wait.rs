//! Waiting for events, never longer than a deadline.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::time::Timespec;

use crate::error::{Context, Error, Result};

/// A line longer than this is an error of whoever sends it.
const LONGEST_LINE: usize = 16 << 20;

/// A time to be done by.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// So many seconds from now.
    #[must_use]
    pub fn seconds(seconds: u64) -> Self {
        Self::after(Duration::from_secs(seconds))
    }

    /// How long that is from now, zero once it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Waits until one of `fds` is readable (or at its end) and says which; `None` at the deadline.
///
/// # Errors
/// If poll fails.
pub fn readable(fds: &[BorrowedFd<'_>], deadline: Deadline) -> Result<Option<usize>> {
    let mut polled: Vec<_> =
        fds.iter().map(|&fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    loop {
        let timeout = Timespec::try_from(deadline.left()).context("setting a time limit")?;
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(polled.iter().position(|fd| !fd.revents().is_empty())),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("poll"),
        }
    }
}

/// Tells when something happens to a file or in a folder.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Watches a file for writes, or a folder for new names. Make it before looking, so that
    /// nothing falls between.
    ///
    /// # Errors
    /// If there is no such file, or no more inotify instances.
    pub fn new(path: &Path) -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let fd = inotify::init(flags).context("inotify_init")?;
        let what = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::CLOSE_WRITE;
        inotify::add_watch(&fd, path, what).context(format!("watching {}", path.display()))?;
        Ok(Self(fd))
    }

    /// What becomes readable.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forgets what has happened so far.
    ///
    /// # Errors
    /// If reading the events fails.
    pub fn clear(&self) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.0, &mut buffer) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(e) => return Err(e).context("reading inotify"),
            }
        }
    }
}

/// Lines from a socket, each waited for.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    pending: Vec<u8>,
}

impl Lines {
    /// Reads from this socket.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// The socket, to write to.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// The next line, without its end; `None` if none came before the deadline.
    ///
    /// # Errors
    /// If the other end has closed the socket, or sends a line without end.
    pub fn next(&mut self, deadline: Deadline) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.pending.iter().position(|&b| b == b'\n') {
                let line = self.pending.drain(..=end).collect::<Vec<_>>();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if self.pending.len() > LONGEST_LINE {
                return Err(Error::new("the other end sends a line without end"));
            }
            if readable(&[self.stream.as_fd()], deadline)?.is_none() {
                return Ok(None);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).context("reading a socket")? {
                0 => return Err(Error::new("the other end closed the socket")),
                count => self.pending.extend_from_slice(&bytes[..count]),
            }
        }
    }
}
