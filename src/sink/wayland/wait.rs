//! What to wait for: what the compositor says, and whatever else tells of something.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// One fd for several; readable when there is something to do.
#[derive(Debug)]
pub(super) struct Wait {
    epoll: OwnedFd,
    for_room: bool,
}

impl Wait {
    /// For what arrives on `socket`.
    pub(super) fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let wait = Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, for_room: false };
        wait.add(socket)?;
        Ok(wait)
    }

    /// Also for what arrives here.
    pub(super) fn add(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(0), EventFlags::IN)?)
    }

    /// No longer for what arrives here.
    pub(super) fn remove(&self, fd: BorrowedFd<'_>) {
        // It was added, and is open: there is nothing to fail.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Also, or no longer, for when the socket takes more: a compositor that doesn't read leaves us
    /// with what it is to be told.
    pub(super) fn for_room(&mut self, socket: BorrowedFd<'_>, wanted: bool) -> io::Result<()> {
        if wanted != self.for_room {
            let room = if wanted { EventFlags::OUT } else { EventFlags::empty() };
            epoll::modify(&self.epoll, socket, EventData::new_u64(0), EventFlags::IN | room)?;
            self.for_room = wanted;
        }
        Ok(())
    }
}

impl AsFd for Wait {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
