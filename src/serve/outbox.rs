//! What was said and not sent yet: a viewer whose socket is full gets the rest when it has read.

use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::epoll;
use wayland_server::Display;
use wayland_server::backend::{ClientData, ClientId, DisconnectReason};

use super::state::State;

/// Notes that a client is gone, also where its socket was full.
pub(super) struct Watch {
    pub(super) dropped: Arc<AtomicBool>,
    pub(super) stream: Arc<UnixStream>,
}

impl ClientData for Watch {
    fn disconnected(&self, _: ClientId, reason: DisconnectReason) {
        tracing::debug!(?reason, "a viewer is gone");
        // The display looks again only at clients whose socket has something to say.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.dropped.store(true, Ordering::Relaxed);
    }
}

/// The viewers' sockets.
#[derive(Debug, Default)]
pub(super) struct Outbox(Vec<Viewer>);

#[derive(Debug)]
struct Viewer {
    id: ClientId,
    stream: Arc<UnixStream>,
    /// It took not all there was, and is waited for.
    full: bool,
}

impl Outbox {
    pub(super) fn add(&mut self, id: ClientId, stream: Arc<UnixStream>) {
        self.0.push(Viewer { id, stream, full: false });
    }

    /// Sends what waits. `ready`, an epoll, is readable when a viewer that was full takes more. One
    /// that stays full is dropped when there is more for it than is kept.
    pub(super) fn flush(&mut self, display: &mut Display<State>, ready: BorrowedFd<'_>) {
        for viewer in &mut self.0 {
            let sent = display.backend().flush(Some(viewer.id.clone()));
            // Other errors are found again, with their end of the connection, when it is read.
            let full = sent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            viewer.wait(full, ready);
        }
    }

    /// Forgets who is gone.
    pub(super) fn tidy(&mut self, display: &Display<State>, ready: BorrowedFd<'_>) {
        let handle = display.handle().backend_handle();
        self.0.retain_mut(|viewer| {
            let there = handle.get_client_data(viewer.id.clone()).is_ok();
            if !there {
                viewer.wait(false, ready);
            }
            there
        });
    }
}

impl Viewer {
    /// From now on `ready` looks at whether the socket takes more, or no longer does.
    fn wait(&mut self, full: bool, ready: BorrowedFd<'_>) {
        if self.full == full {
            return;
        }
        self.full = full;
        let changed = if full {
            let (out, data) = (epoll::EventFlags::OUT, epoll::EventData::new_u64(0));
            epoll::add(ready, &*self.stream, data, out)
        } else {
            epoll::delete(ready, &*self.stream)
        };
        if let Err(error) = changed {
            tracing::error!(%error, "a viewer's socket can't be waited for");
        }
    }
}
