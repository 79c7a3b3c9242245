//! guest-scanout-v1, the viewer's end: a console of any backend that serves it.
//!
//! All that the backend says is handled where it is read, on the session's thread, bounded; verdicts go
//! straight to the socket, from any thread.

mod acks;
mod console;
mod cursor;
mod fence;
mod link;
mod watch;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wayland_client::Connection;
use wayland_client::backend::WaylandError;
use wayland_client::protocol::wl_display;

use self::link::{Link, Listed};
pub(super) use self::watch::watch;
use super::{ConsoleInfo, Opened, Options, SourceError, Uri};
use crate::frame::{Input, SizeHint, StorageId};
use crate::port::{Source, SourceEvent};

/// One console of one backend. The connection ends with it.
struct WireSource {
    connection: Connection,
    link: Arc<Link>,
    /// The fence that the next event waits for.
    waiting: Option<OwnedFd>,
    /// The last event was given out.
    over: bool,
}

impl Drop for WireSource {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl Source for WireSource {
    fn fd(&self) -> BorrowedFd<'_> {
        self.waiting.as_ref().map_or(self.link.ready(), AsFd::as_fd)
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        if self.over {
            return None;
        }
        let event = self.link.next_event().or_else(|| {
            self.read();
            self.link.next_event()
        });
        self.over = matches!(event, Some(SourceEvent::Lost(_)));
        if event.is_none() {
            self.link.answer_invalidation();
            self.link.flush();
        }
        self.waiting = self.link.fence();
        event
    }

    fn send(&mut self, input: &Input) {
        self.link.send(input);
    }

    fn resize(&mut self, hint: &SizeHint) {
        self.link.resize(hint);
    }

    fn retired(&mut self, storage: StorageId) {
        self.link.retired(storage);
    }
}

impl WireSource {
    /// Handles what has arrived.
    fn read(&self) {
        if self.link.fault().is_some() {
            return;
        }
        let Some(guard) = self.connection.prepare_read() else { return };
        // wayland-backend panics over messages of wl_display's that lack what they must have. It has
        // locks that are poisoned then: nothing is asked of it any more.
        match catch_unwind(AssertUnwindSafe(|| guard.read())) {
            Ok(read) => {
                self.link.check_fds();
                if let Err(error) = read {
                    self.link.broke(&error);
                }
            }
            Err(_) => self.link.give_up(NOT_OURS),
        }
    }

    /// Reads until `found` finds something.
    fn until<T>(
        &self,
        path: &Path,
        deadline: Instant,
        limit: Duration,
        mut found: impl FnMut(&Link) -> Option<T>,
    ) -> Result<T, SourceError> {
        loop {
            self.read();
            if let Some(value) = found(&self.link) {
                return Ok(value);
            }
            if let Some(reason) = self.link.fault() {
                return Err(SourceError::Wire { path: path.to_owned(), reason });
            }
            // An error is found again, with its reason, when it is read.
            let _ = self.connection.flush();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SourceError::TimedOut(limit));
            }
            let wait =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::new(&self.connection, PollFlags::IN)];
            match poll(&mut fds, Some(&wait)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(SourceError::System { what: "to wait", source: error.into() });
                }
            }
        }
    }
}

fn connect(path: &Path) -> Result<UnixStream, SourceError> {
    UnixStream::connect(path).map_err(|error| {
        SourceError::unreachable(path, &error, |path, reason| SourceError::NoBackend {
            path,
            reason,
        })
    })
}

/// Opens a console behind a socket.
pub(super) fn open(
    path: &Path,
    number: Option<u32>,
    options: &Options,
) -> Result<Opened, SourceError> {
    open_stream(connect(path)?, path, number, options)
}

/// As [`open`], at the other end of `stream`, which `path` names.
pub(super) fn open_stream(
    stream: UnixStream,
    path: &Path,
    number: Option<u32>,
    options: &Options,
) -> Result<Opened, SourceError> {
    let (source, consoles) = ask(stream, path, options)?;
    let console = match number {
        Some(number) => numbered(consoles, number)?,
        None => consoles
            .into_iter()
            .find(|console| console.kind == GRAPHIC)
            .ok_or(SourceError::NoPicture)?,
    };
    source.link.watch(&source.connection, console.console);
    source.link.flush();
    Ok(Opened { source: Box::new(source), console })
}

/// The consoles behind a socket, or the one of that number.
pub(super) fn list(
    path: &Path,
    number: Option<u32>,
    options: &Options,
) -> Result<Vec<ConsoleInfo>, SourceError> {
    let (_, consoles) = ask(connect(path)?, path, options)?;
    if consoles.is_empty() {
        return Err(SourceError::NoConsole(path.to_owned()));
    }
    match number {
        Some(number) => Ok(vec![numbered(consoles, number)?]),
        None => Ok(consoles),
    }
}

fn numbered(consoles: Vec<ConsoleInfo>, wanted: u32) -> Result<ConsoleInfo, SourceError> {
    let present = consoles.iter().map(|c| format!("{} ({})", c.console, c.label)).collect();
    let found = consoles.into_iter().find(|console| console.console == wanted);
    found.ok_or(SourceError::NoSuchConsole { wanted, present })
}

const GRAPHIC: &str = "Graphic";

/// Asks a backend for its consoles; it isn't told to show one yet.
fn ask(
    stream: UnixStream,
    path: &Path,
    options: &Options,
) -> Result<(WireSource, Vec<ConsoleInfo>), SourceError> {
    let limit = options.time_limit;
    let deadline = Instant::now() + limit;
    let failed = |source| SourceError::System { what: "a socket", source };
    stream.set_nonblocking(true).map_err(failed)?;
    let twin = stream.try_clone().map_err(failed)?;
    let connection = Connection::from_socket(stream)
        .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    let link = Arc::new(Link::new(twin, options.classify).map_err(failed)?);
    let source = WireSource { connection, link: Arc::clone(&link), waiting: None, over: false };
    let display = source.connection.display();
    let registry = wl_display::Request::GetRegistry {};
    let data: Arc<dyn wayland_client::backend::ObjectData> = Arc::clone(&link) as _;
    // The display is alive: it can't be refused.
    let _registry = source.connection.send_request(&display, registry, Some(data));
    let (vm, uuid, consoles) = source.until(path, deadline, limit, Link::consoles)?;
    Ok((source, infos(path, &vm, &uuid, consoles)))
}

/// What is known of each.
fn infos(path: &Path, vm: &str, uuid: &str, consoles: Vec<Listed>) -> Vec<ConsoleInfo> {
    let info = |console: Listed| ConsoleInfo {
        uri: Uri::Scanout { path: path.to_owned(), console: Some(console.number) },
        vm: vm.to_owned(),
        uuid: uuid.to_owned(),
        console: console.number,
        // A backend has a picture before it is asked for one.
        head: 0,
        label: console.label,
        kind: if console.graphic { GRAPHIC } else { "Text" }.to_owned(),
        width: 0,
        height: 0,
        backend: format!("guest-scanout-v1 at {}", path.display()),
    };
    consoles.into_iter().map(info).collect()
}

const NOT_OURS: &str =
    "the backend sent what is not guest-scanout-v1, so the connection was closed";

/// Why a connection ended, for the user.
fn sentence(error: &WaylandError) -> String {
    match error {
        WaylandError::Io(_) => {
            "the backend closed the connection: the virtual machine was shut down or killed"
                .to_owned()
        }
        WaylandError::Protocol(error) if error.object_interface.is_empty() => NOT_OURS.to_owned(),
        WaylandError::Protocol(error) => format!(
            "the backend closed the connection over {} (error {}): {}",
            error.object_interface, error.code, error.message
        ),
    }
}
