//! Memory of our own that can be shown to others.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// A memfd of `size` bytes that can't shrink any more, so that whoever maps it can't fault, and from
/// which a udmabuf can be made when `size` is whole pages.
pub fn own_memfd(name: &str, size: u64) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&fd, size)?;
    fcntl_add_seals(&fd, SealFlags::SHRINK)?;
    Ok(fd)
}

/// `size` rounded up to whole pages.
pub fn page_align(size: u64) -> u64 {
    size.next_multiple_of(rustix::param::page_size() as u64)
}
