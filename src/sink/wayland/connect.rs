//! Finds the compositor's socket, and what can go wrong until there is a window.

mod survey;

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};

pub use survey::Survey;
use wayland_client::backend::WaylandError as WireError;

use wayland_client::globals::{BindError, GlobalError};
use wayland_client::{Connection, DispatchError};

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum WaylandError {
    /// Nothing says which compositor.
    #[error(
        "WAYLAND_DISPLAY is not set, so there is no compositor to show a window; start this inside a \
         Wayland session, or use `fanlight dump` to get frames without one"
    )]
    NoDisplay,
    /// Nothing says where its socket is.
    #[error(
        "XDG_RUNTIME_DIR is not set to an absolute path, so the compositor's socket can't be found; \
         set it to the session's runtime folder, usually /run/user/UID"
    )]
    NoRuntimeDir,
    /// WAYLAND_SOCKET does not hold an open socket.
    #[error("WAYLAND_SOCKET is set, but is not the number of an open socket; unset it")]
    BadSocket,
    /// Nobody answers there.
    #[error(
        "no compositor answers at {path} ({source}); start it, or set WAYLAND_DISPLAY to one that runs"
    )]
    Unreachable {
        /// The socket.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A protocol that a window can't do without.
    #[error(
        "the compositor does not offer {interface} version {version}, without which there is no \
         window; use a desktop compositor, or `fanlight dump` to get frames without one"
    )]
    Missing {
        /// The protocol's name.
        interface: &'static str,
        /// The oldest version that would do.
        version: u32,
    },
    /// No screen has that name.
    #[error("no screen is called \"{wanted}\"; {}", known(.present))]
    NoOutput {
        /// The name.
        wanted: String,
        /// The names that there are.
        present: Vec<String>,
    },
    /// It ended the connection before there was a window.
    #[error("the window could not be opened: {0}; the compositor's log may say more")]
    Lost(String),
    /// It took the connection and then said nothing, or stopped in the middle.
    #[error(
        "the compositor did not answer within {0:?}: it hangs, or something else listens there; end it \
         and start it again, or set WAYLAND_DISPLAY to another one"
    )]
    Silent(Duration),
    /// No fd or no thread to wait for it with.
    #[error(
        "the system gives nothing more to wait for the compositor with ({0}); end other programs"
    )]
    System(io::Error),
    /// No memory for the window's black background.
    #[error("no memory for the window's background")]
    Memory(#[from] io::Error),
}

fn known(names: &[String]) -> String {
    match names {
        [] => "the compositor names none: leave the name out".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    }
}

/// Connects to the compositor that the environment names.
pub(super) fn connect() -> Result<Connection, WaylandError> {
    if env::var_os("WAYLAND_SOCKET").is_some() {
        // An inherited socket; the library also takes care of the variable.
        return Connection::connect_to_env().map_err(|_| WaylandError::BadSocket);
    }
    let path = socket_path(env::var_os("WAYLAND_DISPLAY"), env::var_os("XDG_RUNTIME_DIR"))?;
    let unreachable =
        |source| WaylandError::Unreachable { path: path.display().to_string(), source };
    over(UnixStream::connect(&path).map_err(unreachable)?)
}

/// Speaks Wayland over `stream`.
pub(super) fn over(stream: UnixStream) -> Result<Connection, WaylandError> {
    Connection::from_socket(stream).map_err(|error| WaylandError::Lost(error.to_string()))
}

/// Does what waits for the compositor without a limit, `limit` at most.
pub(super) fn in_time<T>(
    connection: &Connection,
    limit: Duration,
    open: impl FnOnce() -> Result<T, WaylandError>,
) -> Result<T, WaylandError> {
    let socket = connection.as_fd().try_clone_to_owned().map_err(WaylandError::System)?;
    let (opened, watch) = channel::<()>();
    thread::scope(|scope| {
        let watchdog = thread::Builder::new().spawn_scoped(scope, move || {
            let late = watch.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                // Whoever reads or writes there finds its end. It may have ended by itself.
                let _ = shutdown(&socket, Shutdown::Both);
            }
            late
        });
        let watchdog = watchdog.map_err(WaylandError::System)?;
        let result = open();
        drop(opened);
        match watchdog.join() {
            Ok(true) => Err(WaylandError::Silent(limit)),
            _ => result,
        }
    })
}

fn socket_path(
    display: Option<OsString>,
    runtime_dir: Option<OsString>,
) -> Result<PathBuf, WaylandError> {
    let display = PathBuf::from(display.filter(|d| !d.is_empty()).ok_or(WaylandError::NoDisplay)?);
    if display.is_absolute() {
        return Ok(display);
    }
    let runtime_dir = runtime_dir.map(PathBuf::from).filter(|dir| dir.is_absolute());
    Ok(runtime_dir.ok_or(WaylandError::NoRuntimeDir)?.join(display))
}

/// What ended a connection, for the user.
pub(super) fn wire_reason(error: &WireError) -> String {
    match error {
        WireError::Protocol(error) => format!(
            "the compositor ended the connection with error {} on {}: {}",
            error.code, error.object_interface, error.message
        ),
        WireError::Io(error) => match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => "the compositor closed the connection".to_owned(),
            _ => format!("the connection to the compositor broke: {error}"),
        },
    }
}

/// As [`wire_reason`].
pub(super) fn dispatch_reason(error: &DispatchError) -> String {
    match error {
        DispatchError::Backend(error) => wire_reason(error),
        DispatchError::BadMessage { interface, .. } => {
            format!("the compositor sent a malformed message of {interface}")
        }
    }
}

impl From<DispatchError> for WaylandError {
    fn from(error: DispatchError) -> Self {
        Self::Lost(dispatch_reason(&error))
    }
}

impl From<BindError> for WaylandError {
    fn from(error: BindError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<GlobalError> for WaylandError {
    fn from(error: GlobalError) -> Self {
        Self::Lost(match error {
            GlobalError::Backend(error) => wire_reason(&error),
            error => error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(display: Option<&str>, runtime_dir: Option<&str>) -> Result<PathBuf, String> {
        socket_path(display.map(Into::into), runtime_dir.map(Into::into))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_socket_is_where_the_environment_says() {
        assert_eq!(path(Some("wl-1"), Some("/run/u")), Ok("/run/u/wl-1".into()));
        assert_eq!(path(Some("/tmp/wl"), None), Ok("/tmp/wl".into()));
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert!(path(None, Some("/run/u")).unwrap_err().contains("WAYLAND_DISPLAY is not set"));
        assert!(path(Some(""), Some("/run/u")).unwrap_err().contains("WAYLAND_DISPLAY is not set"));
        assert!(path(Some("wl-1"), None).unwrap_err().contains("XDG_RUNTIME_DIR is not set"));
        assert!(path(Some("wl-1"), Some("u")).unwrap_err().contains("XDG_RUNTIME_DIR is not set"));
    }
}
