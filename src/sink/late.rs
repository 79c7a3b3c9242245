//! Copies that wait for whoever is still drawing what they are to be made of.
//!
//! The kernel would let us wait for them in the middle of the copy, and every guest's ack with us.

use std::os::fd::{AsFd, BorrowedFd};

use crate::frame::{Damage, Memory};
use crate::port::Buffer;
use crate::sys::is_being_written;

/// A copy that is yet to be made. The machine asks for one at a time, and keeps its memory meanwhile.
#[derive(Debug)]
pub struct Late {
    /// Where to.
    pub target: u8,
    /// Where from.
    pub buffer: Buffer,
    /// What of it.
    pub damage: Damage,
}

impl Late {
    /// A copy that has to wait; `None` where it can be made at once.
    pub fn new(target: u8, buffer: &Buffer, damage: &Damage) -> Option<Self> {
        let waits = is_written(buffer);
        waits.then(|| Self { target, buffer: buffer.clone(), damage: *damage })
    }

    /// Whether it can be made.
    pub fn is_due(&self) -> bool {
        !is_written(&self.buffer)
    }

    /// Readable when it can be made.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.buffer.storage.fds.first().map(AsFd::as_fd)
    }
}

/// What can't be asked is not waited for.
fn is_written(buffer: &Buffer) -> bool {
    let Memory::DmaBuf { .. } = buffer.storage.memory else { return false };
    let dmabuf = buffer.storage.fds.first();
    dmabuf.is_some_and(|dmabuf| is_being_written(dmabuf.as_fd()).unwrap_or(false))
}
