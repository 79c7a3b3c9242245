//! The kernel's word that a screen came, went, or prefers another mode now.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::Result;

/// The kernel's own events, as opposed to those that udev passes on.
const KERNEL: u32 = 1;

/// A socket that gets them all.
#[derive(Debug)]
pub(crate) struct Hotplug(OwnedFd);

impl Hotplug {
    pub(crate) fn listen() -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::NETLINK;
        socket_with(family, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))
            .and_then(|fd| bind(&fd, &SocketAddrNetlink::new(0, KERNEL)).map(|()| Self(fd)))
            .map_err(|e| format!("the kernel's events can't be listened for: {e}"))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes what has come; whether any of it is about screens. Events that the socket had no room
    /// for may have been.
    pub(crate) fn told(&self) -> bool {
        let mut told = false;
        let mut event = [0; 4096];
        loop {
            match recv(&self.0, &mut event, RecvFlags::empty()) {
                Ok((length, _)) => {
                    let is_screen = |word: &[u8]| word == b"HOTPLUG=1";
                    told |= event[..length].split(|&byte| byte == 0).any(is_screen);
                }
                Err(rustix::io::Errno::NOBUFS) => told = true,
                Err(_) => return told,
            }
        }
    }
}
