//! The thread that a demo guest lives on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::guest::Guest;
use super::progress::Handle;
use super::settings::Settings;
use crate::serve::{Options, ServeError, Server};
use crate::sys;

/// Why there is no demo, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its server refused something.
    #[error("the demo's server: {0}")]
    Serve(#[from] ServeError),
    /// The system refused something.
    #[error("the system refused the demo {0} ({1})")]
    System(&'static str, io::Error),
    /// A bug.
    #[error("the demo's thread panicked: please report it")]
    Panicked,
}

impl DemoError {
    pub(super) fn memory(error: io::Error) -> Self {
        Self::System("memory", error)
    }
}

/// A running demo guest, on a thread of its own. Dropping it ends it, and waits for that.
#[derive(Debug)]
pub struct Demo {
    handle: Handle,
    dma_bufs: bool,
    viewers: Sender<UnixStream>,
    /// A byte in it wakes the guest, its end ends it; and it ends when the guest does.
    line: Option<UnixStream>,
    thread: Option<JoinHandle<Result<(), DemoError>>>,
}

impl Demo {
    /// One that is seen only by those who [`connect`](Self::connect).
    ///
    /// # Errors
    /// If the system refuses memory, a dma-buf, an fd or a thread.
    pub fn start(settings: &Settings) -> Result<Self, DemoError> {
        Self::run(settings, Server::new("demo", "", options(settings))?)
    }

    /// One that serves at a new socket at `path`, too; see [`Server::bind`].
    ///
    /// # Errors
    /// As [`start`](Self::start), and if the path can't be used.
    pub fn serve(settings: &Settings, path: &Path) -> Result<Self, DemoError> {
        Self::run(settings, Server::bind(path, "demo", "", options(settings))?)
    }

    fn run(settings: &Settings, server: Server) -> Result<Self, DemoError> {
        let system = |what| move |error| DemoError::System(what, error);
        let dma_bufs = sys::udmabuf_available();
        let handle = Handle::default();
        let guest = Guest::new(*settings, server, dma_bufs, handle.clone())?;
        let (ours, theirs) = UnixStream::pair().map_err(system("a socket"))?;
        let (viewers, arrived) = channel();
        let live = move || live(guest, &theirs, &arrived);
        let thread = std::thread::Builder::new().name("demo".to_owned()).spawn(live);
        let thread = thread.map_err(system("a thread"))?;
        Ok(Self { handle, dma_bufs, viewers, line: Some(ours), thread: Some(thread) })
    }

    /// What it means that [`shows_dma_bufs`](Self::shows_dma_bufs) says no.
    pub const NO_DMA_BUFS: &str = "the demo shows no dma-bufs, because /dev/udmabuf can't be used: it \
         shows memfds, and viewers copy them (load the module udmabuf, and join the group kvm)";

    /// Whether its pictures are dma-bufs of its RAM; where not, they are memfds, which viewers copy.
    pub fn shows_dma_bufs(&self) -> bool {
        self.dma_bufs
    }

    /// A look at it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The viewer's end of a new connection; it ends at once where there are too many.
    ///
    /// # Errors
    /// If the system refuses a socket.
    pub fn connect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        // Nobody takes it where the guest has ended: the other end then says so.
        let _ = self.viewers.send(theirs);
        if let Some(mut line) = self.line.as_ref() {
            let _ = io::Write::write(&mut line, &[0]);
        }
        Ok(ours)
    }

    /// Ends it; why it had ended by itself, if it had.
    ///
    /// # Errors
    /// What broke it.
    pub fn finish(mut self) -> Result<(), DemoError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), DemoError> {
        self.line = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or(Err(DemoError::Panicked))
    }
}

impl AsFd for Demo {
    /// Readable when it has ended by itself.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_ref().expect("it is there until the end").as_fd()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "the demo has failed");
        }
    }
}

fn options(settings: &Settings) -> Options {
    Options { check_freshness: settings.freshness, ..Options::default() }
}

/// The guest's life.
fn live(
    mut guest: Guest,
    line: &UnixStream,
    arrived: &Receiver<UnixStream>,
) -> Result<(), DemoError> {
    loop {
        let wait = guest.work()?;
        let timeout = wait.map(timespec);
        let mut fds = [PollFd::new(&guest.server, PollFlags::IN), PollFd::new(line, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(DemoError::System("to wait", error.into())),
        }
        let called = !fds[1].revents().is_empty();
        if called && is_over(line).map_err(|error| DemoError::System("a read", error))? {
            return Ok(());
        }
        for stream in arrived.try_iter() {
            if let Err(error) = guest.server.add_viewer(stream) {
                tracing::warn!(%error, "a viewer of the demo is turned away");
            }
        }
    }
}

fn is_over(mut line: &UnixStream) -> io::Result<bool> {
    match io::Read::read(&mut line, &mut [0; 64]) {
        Ok(count) => Ok(count == 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}
