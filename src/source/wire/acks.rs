//! Verdicts, on their way to the backend.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::epoll;
use wayland_client::Proxy;
use wayland_client::backend::WaylandError;

use crate::port::{Settle, Verdict};
use crate::protocol::UPDATES_MAX;
use crate::protocol::client::guest_console_v1::GuestConsoleV1;

/// Requests that may wait for a backend that doesn't read.
const BACKLOG_MAX: u32 = 4096;

/// The updates of one console that have no answer, and the way to the backend. Requests never block:
/// what the socket doesn't take waits, and a backend that never reads is hung up on.
#[derive(Debug)]
pub(super) struct Acks {
    inner: Mutex<Inner>,
    socket: UnixStream,
    /// Readable when the backend has said something, and when it takes again what waits.
    ready: OwnedFd,
}

#[derive(Debug, Default)]
struct Inner {
    console: Option<GuestConsoleV1>,
    unanswered: HashSet<u32>,
    /// Requests since the socket took all there was.
    backlog: u32,
    /// The socket took not all there was.
    full: bool,
}

impl Acks {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&ready, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        Ok(Self { inner: Mutex::default(), socket, ready })
    }

    /// Where verdicts go.
    pub(super) fn watch(&self, console: GuestConsoleV1) {
        self.lock().console = Some(console);
    }

    /// Notes that an update waits; an error is the backend's fault.
    pub(super) fn owe(&self, frame: u32) -> Result<(), String> {
        let mut inner = self.lock();
        if inner.unanswered.len() >= UPDATES_MAX {
            return Err(format!("it has {UPDATES_MAX} updates without an answer"));
        }
        if !inner.unanswered.insert(frame) {
            return Err(format!("it used the frame number {frame} while it had no answer"));
        }
        Ok(())
    }

    /// Whether no update waits.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().unanswered.is_empty()
    }

    /// Says something to the console, if there is one.
    pub(super) fn say(&self, f: impl FnOnce(&GuestConsoleV1)) {
        let mut inner = self.lock();
        let Some(console) = &inner.console else { return };
        f(console);
        inner.backlog += 1;
        self.send(&mut inner);
        if inner.backlog > BACKLOG_MAX {
            self.hang_up();
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&self) {
        self.send(&mut self.lock());
    }

    fn send(&self, inner: &mut Inner) {
        let backend = inner.console.as_ref().and_then(|console| console.backend().upgrade());
        let Some(backend) = backend else { return };
        let full = match backend.flush() {
            Ok(()) => {
                inner.backlog = 0;
                false
            }
            Err(WaylandError::Io(error)) => error.kind() == io::ErrorKind::WouldBlock,
            // It is found again, with its reason, when the session reads.
            Err(WaylandError::Protocol(_)) => false,
        };
        if inner.full != full {
            inner.full = full;
            let mut events = epoll::EventFlags::IN;
            events.set(epoll::EventFlags::OUT, full);
            let data = epoll::EventData::new_u64(0);
            if let Err(error) = epoll::modify(&self.ready, &self.socket, data, events) {
                tracing::error!(%error, "the backend's socket can't be waited for");
            }
        }
    }

    /// Ends the connection: verdicts concern nobody any more.
    pub(super) fn close(&self) {
        self.lock().console = None;
        self.hang_up();
    }

    /// Ends the connection; what has come before it is still read.
    pub(super) fn hang_up(&self) {
        // It may have ended already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    pub(super) fn ready(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settle for Acks {
    fn settle(&self, update: u64, verdict: Verdict) {
        let Ok(frame) = u32::try_from(update) else { return };
        if self.lock().unanswered.remove(&frame) {
            self.say(|console| match verdict {
                Verdict::Done => console.ack(frame),
                Verdict::Refused => console.refuse(frame),
            });
        }
    }
}
