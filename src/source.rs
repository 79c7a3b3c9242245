//! Where frames come from: from a name to a [`Source`].

pub mod check;
#[cfg(feature = "demo")]
mod demo;
mod error;
mod libvirt;
mod listening;
mod mailbox;
mod pipe;
mod qemu;
mod retry;
mod thread;
mod uri;
mod watch;
#[cfg(feature = "wire")]
mod wire;

use std::fmt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub use error::SourceError;
pub use listening::{Listening, listen, listen_stream};
pub use retry::{Retry, Wake};
pub use uri::{Bus, FORMS, Uri, UriError};
pub use watch::{Present, Seen, Watch, watch, watch_bus};

use crate::port::Source;
use crate::sys::{Classify, classify};

/// How a source is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Tells what kind of memory an fd is.
    pub classify: Classify,
    /// How long opening may take.
    pub time_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { classify, time_limit: Duration::from_secs(10) }
    }
}

/// A console of a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleInfo {
    /// Opens it.
    pub uri: Uri,
    /// Name of the virtual machine.
    pub vm: String,
    /// Its UUID; zeros where it was given none.
    pub uuid: String,
    /// Number of the console.
    pub console: u32,
    /// Which output of its graphics device it is. All but the first, 0, stay dark in a guest until a
    /// viewer has said how large it wants their picture.
    pub head: u32,
    /// What the backend calls it.
    pub label: String,
    /// "Graphic" or "Text".
    pub kind: String,
    /// Pixels across, as the backend said when it was asked; 0 where it says that only to who watches.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Where it was found.
    pub backend: String,
}

impl ConsoleInfo {
    /// Whether its guest shows nothing there: QEMU has a sign of this size in its place.
    pub fn is_dark(&self) -> bool {
        (self.width, self.height) == (640, 480)
    }
}

/// An open source.
pub struct Opened {
    /// The source. Dropping it ends its connection.
    pub source: Box<dyn Source + Send>,
    /// Whose picture it is.
    pub console: ConsoleInfo,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("console", &self.console).finish_non_exhaustive()
    }
}

/// Opens what `uri` names. Blocks for `options.time_limit` at most.
pub fn open(uri: &Uri, options: &Options) -> Result<Opened, SourceError> {
    match uri {
        #[cfg(feature = "wire")]
        Uri::Scanout { path, console } => wire::open(path, *console, options),
        #[cfg(not(feature = "wire"))]
        Uri::Scanout { .. } => Err(SourceError::NotBuilt),
        #[cfg(feature = "demo")]
        Uri::Demo(settings) => demo::open(settings, options),
        #[cfg(not(feature = "demo"))]
        Uri::Demo(_) => Err(SourceError::NoDemo),
        Uri::Libvirt { .. } => libvirt::open(uri, options),
        other => qemu::open(qemu::Target::Uri(other.clone()), options),
    }
}

/// Opens a console at the other end of `stream`: of a backend that serves guest-scanout-v1, where `uri`
/// is `scanout:`; else of a QEMU, to which the other end was handed for its `@dbus-display` protocol. Blocks for `options.time_limit` at most. What `uri` says of the console
/// is respected; it is also what [`ConsoleInfo::uri`] will say.
pub fn open_stream(
    stream: UnixStream,
    uri: &Uri,
    options: &Options,
) -> Result<Opened, SourceError> {
    match uri {
        #[cfg(feature = "wire")]
        Uri::Scanout { path, console } => wire::open_stream(stream, path, *console, options),
        #[cfg(not(feature = "wire"))]
        Uri::Scanout { .. } => Err(SourceError::NotBuilt),
        Uri::Demo(_) => Err(SourceError::NoStream),
        other => qemu::open(qemu::Target::Stream(stream, other.clone()), options),
    }
}

/// Why a source is lost whose virtual machine goes on without that console.
pub const CONSOLE_GONE: &str = "the backend took the console away";

/// Why a connection is over whose fds didn't arrive.
const NO_FDS: &str = "file descriptors of the guest's buffers didn't arrive, because this process may have \
    no more: raise its limit (ulimit -n) and connect again";

/// Whether this process may open no more fds. The kernel then drops those that messages bring.
#[cfg(feature = "wire")]
fn out_of_fds() -> bool {
    use rustix::event::{EventfdFlags, eventfd};
    eventfd(0, EventfdFlags::CLOEXEC).is_err()
}

/// Every console that `uri` leads to: on a message bus those of every virtual machine, or of the one
/// that it names; else those of the machine behind the socket; of these the one that it names, if it
/// does. Through QMP this takes the place of whoever came that way before. Blocks for
/// `options.time_limit` at most.
///
/// # Errors
/// If nothing can be reached there, or there is none.
pub fn list(uri: &Uri, options: &Options) -> Result<Vec<ConsoleInfo>, SourceError> {
    match uri {
        #[cfg(feature = "wire")]
        Uri::Scanout { path, console } => wire::list(path, *console, options),
        #[cfg(not(feature = "wire"))]
        Uri::Scanout { .. } => Err(SourceError::NotBuilt),
        Uri::Qemu { .. } | Uri::Qmp { .. } => qemu::list(qemu::Target::Uri(uri.clone()), options),
        Uri::Libvirt { .. } => libvirt::list(uri, options),
        // It has one, and makes it.
        Uri::Demo(_) => Ok(vec![open(uri, options)?.console]),
    }
}
