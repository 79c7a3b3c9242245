//! sync_files, as backends send them.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::readlinkat_raw;

/// The kernel signals every sync_file in the end; anything else could stop us for ever.
pub(super) fn is_sync_file(fd: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut room = [std::mem::MaybeUninit::uninit(); 64];
    let link = readlinkat_raw(rustix::fs::CWD, path, &mut room);
    link.is_ok_and(|(name, _)| name == b"anon_inode:sync_file")
}

/// Whether what it stands for has happened.
pub(super) fn is_signalled(fence: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fence, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}
