//! Things that can be passed as an fd.

use std::fs::File;
use std::os::fd::OwnedFd;

use fanlight::sys::own_memfd;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::pipe::pipe;

/// How many kinds there are.
pub const KINDS: usize = 9;

/// Fds to pass, and a pipe that tells whether all that were passed are closed again.
pub struct Fds {
    pub picture: OwnedFd,
    large: u64,
    read: OwnedFd,
    write: Option<OwnedFd>,
}

impl Fds {
    /// The largest has `large` bytes, none of them in memory.
    pub fn new(large: u64) -> Self {
        let (read, write) = pipe().unwrap();
        Self { picture: own_memfd("picture", 8192).unwrap(), large, read, write: Some(write) }
    }

    /// An fd of this kind. 0 is good memory, the same each time.
    pub fn of(&self, kind: usize) -> OwnedFd {
        let sparse = |size| {
            let fd = memfd_create("sparse", MemfdFlags::CLOEXEC).unwrap();
            ftruncate(&fd, size).unwrap();
            fd
        };
        match kind % KINDS {
            0 => self.picture.try_clone().unwrap(),
            1 => own_memfd("other", 4096).unwrap(),
            2 => self.write.as_ref().unwrap().try_clone().unwrap(),
            3 => File::open("/dev/null").unwrap().into(),
            4 => sparse(0),
            5 => sparse(self.large),
            6 => File::open("/").unwrap().into(),
            7 => eventfd(0, EventfdFlags::CLOEXEC).unwrap(),
            _ => std::os::unix::net::UnixStream::pair().unwrap().0.into(),
        }
    }

    /// Fails if somebody still has one of the pipe's.
    pub fn none_is_left(mut self) {
        self.write = None;
        let mut fds = [PollFd::new(&self.read, PollFlags::IN)];
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&none)), Ok(1), "an fd that was passed is still open");
    }
}
