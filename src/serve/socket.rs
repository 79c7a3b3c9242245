//! The socket that viewers connect to: ours alone, and gone when we are.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, fchmod, lstat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};

use super::{Credentials, ServeError};

/// How many may wait to be taken in.
const BACKLOG: i32 = 8;

#[derive(Debug)]
pub(super) struct Listener {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode of what we made there.
    made: (u64, u64),
}

impl Listener {
    pub(super) fn bind(path: &Path) -> Result<Self, ServeError> {
        let failed = |source: Errno| ServeError::Bind {
            path: path.to_owned(),
            source: io::Error::from(source),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        // Before bind, so that there is no moment in which others could connect.
        fchmod(&fd, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        match bind(&fd, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(path)?;
                bind(&fd, &address).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        let stat = lstat(path).map_err(failed)?;
        let listener = Self { fd, path: path.to_owned(), made: (stat.st_dev, stat.st_ino) };
        listen(&listener.fd, BACKLOG).map_err(failed)?;
        Ok(listener)
    }

    /// The next who connects, and who that is.
    pub(super) fn accept(&self) -> Option<(UnixStream, Credentials)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            let stream = match accept_with(&self.fd, flags) {
                Ok(stream) => stream,
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(Errno::AGAIN) => return None,
                Err(error) => {
                    tracing::warn!(%error, "a viewer can't be taken in");
                    return None;
                }
            };
            match rustix::net::sockopt::socket_peercred(&stream) {
                Ok(peer) => {
                    let credentials = Credentials {
                        pid: peer.pid.as_raw_nonzero().get(),
                        uid: peer.uid.as_raw(),
                        gid: peer.gid.as_raw(),
                    };
                    return Some((UnixStream::from(stream), credentials));
                }
                Err(error) => tracing::warn!(%error, "nobody says who a viewer is: dropped"),
            }
        }
    }
}

/// Removes the socket of a backend that has ended; one that lives is left alone.
fn remove_stale(path: &Path) -> Result<(), ServeError> {
    let failed = |source| ServeError::Bind { path: path.to_owned(), source };
    let stat = lstat(path).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(ServeError::NoSocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        _ => Err(ServeError::InUse { path: path.to_owned() }),
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // What another backend has put there meanwhile is not ours to remove.
        if lstat(&self.path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.made)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the socket stays behind");
        }
    }
}
