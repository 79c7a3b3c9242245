//! A process without file descriptors.

use std::os::fd::OwnedFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes every fd that the process may open but `left`; dropping what is returned gives them back.
pub(crate) fn take_all_fds(left: usize) -> Vec<OwnedFd> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..limit }).unwrap();
    let take = || std::fs::File::open("/dev/null").map(OwnedFd::from);
    let mut hoard: Vec<_> = std::iter::from_fn(|| take().ok()).collect();
    hoard.truncate(hoard.len() - left);
    hoard
}
