//! Memory of our own that can be shown to others.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

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

/// Makes it impossible to take a page away from a memfd of ours, or to write to it by a new mapping;
/// mappings that can write stay so. Comes after the udmabufs of it, because none can be made then.
pub fn seal_future_write(memfd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_add_seals(memfd, SealFlags::FUTURE_WRITE)?)
}

/// A memfd with these bytes, as [`own_memfd`] makes it: compositors map what they get for writing too.
pub fn memfd_of(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = own_memfd(name, bytes.len() as u64)?;
    let mut at = 0;
    while at < bytes.len() {
        at += rustix::io::pwrite(&fd, &bytes[at..], at as u64)?;
    }
    Ok(fd)
}

/// A memfd with these bytes, which nobody can change any more.
pub fn sealed_copy(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_of(name, bytes)?;
    fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(fd)
}
