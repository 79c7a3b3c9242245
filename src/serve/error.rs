//! What can go wrong for a backend: one sentence each, with what helps.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::ConsoleId;
use crate::frame::BufferId;

/// Why a call of the server's failed. Nothing was sent then, and the server goes on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket can't be made.
    #[error(
        "can't listen at {path} ({source}): choose a folder that belongs to this user, as $XDG_RUNTIME_DIR"
    )]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody listens there already.
    #[error("{path} is in use: another backend listens there; choose another path or end that one")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// There is something that isn't a socket.
    #[error("{path} exists and is no socket: remove it or choose another path")]
    NoSocket {
        /// Where.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("the system refused {what} ({source})")]
    System {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// No such console.
    #[error("there is no console {}: add it first", .0.0)]
    NoConsole(ConsoleId),
    /// No such buffer.
    #[error("the console has no buffer {}: add it first, and use it no more once it was removed", .0.0)]
    NoBuffer(BufferId),
    /// Too many at once.
    #[error("the console has {0} buffers already: remove one first")]
    TooManyBuffers(usize),
    /// A buffer that is on the screen.
    #[error("buffer {} is on the screen: show another one or disable the console first", .0.0)]
    Shown(BufferId),
    /// A label or a name that doesn't fit into a message.
    #[error("a text of {0} bytes: use at most 1024, without NUL")]
    Text(usize),
    /// Sizes, planes or the visible part can't be.
    #[error("the picture is impossible: {0}")]
    Picture(&'static str),
    /// Not whole pages.
    #[error(
        "guest memory is given in whole pages: offset {offset} and length {len} are not multiples of {page}"
    )]
    Unaligned {
        /// From the start of the memfd.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes a page.
        page: u64,
    },
    /// Seals that udmabuf won't have.
    #[error(
        "udmabuf takes only memfds sealed with F_SEAL_SHRINK and not against writing: seal the guest's memory so"
    )]
    Seals,
    /// Above `list_limit`.
    #[error(
        "the picture lies in {ranges} pieces of guest memory, and udmabuf takes {limit}: write {ranges} to \
         /sys/module/udmabuf/parameters/list_limit (or boot with udmabuf.list_limit={ranges})"
    )]
    TooScattered {
        /// After neighbours were joined.
        ranges: usize,
        /// The module's parameter.
        limit: usize,
    },
    /// Above `size_limit_mb`.
    #[error(
        "the picture has {mb} MiB, and udmabuf takes {limit_mb}: write {mb} to \
         /sys/module/udmabuf/parameters/size_limit_mb (or boot with udmabuf.size_limit_mb={mb})"
    )]
    TooLarge {
        /// Needed, rounded up.
        mb: u64,
        /// The module's parameter.
        limit_mb: u64,
    },
    /// The ioctl failed all the same.
    #[error("no dma-buf can be made of guest memory ({0}): {remedy}", remedy = udmabuf_remedy(.0))]
    Udmabuf(io::Error),
    /// No PAGEMAP_SCAN, or no more fds or memory for it.
    #[error("can't tell whether guest pages were replaced ({0}): {remedy}", remedy = freshness_remedy(.0))]
    Freshness(io::Error),
    /// The pages change all the time.
    #[error(
        "the guest's pages were replaced {0} times while a dma-buf was made of them: try again with the next frame"
    )]
    Restless(u32),
}

const MORE_FDS: &str = "let this process have more file descriptors (ulimit -n)";
const MORE_MEMORY: &str = "the guest's memory wants room that the host hasn't got";

fn udmabuf_remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => "load the module udmabuf",
        Some(Errno::ACCESS | Errno::PERM) => {
            "this user needs the rights to /dev/udmabuf (often those of the group kvm)"
        }
        Some(Errno::MFILE | Errno::NFILE) => MORE_FDS,
        Some(Errno::NOMEM) => MORE_MEMORY,
        Some(Errno::BADFD) => "guest memory has to be memfds",
        _ => "see what the kernel's log says of udmabuf",
    }
}

fn freshness_remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => MORE_FDS,
        Some(Errno::NOMEM) => MORE_MEMORY,
        _ => "that needs Linux 6.7 and /proc",
    }
}
