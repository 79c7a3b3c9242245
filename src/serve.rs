//! guest-scanout-v1 for authors of VMMs: show a guest's scanouts to viewers.
//!
//! A [`Server`] belongs to one thread of the author's and has none of its own: wait for its fd, call
//! [`dispatch`](Server::dispatch), take the [`Event`]s. No call blocks. `examples/backend.rs` is all
//! of it in under 100 lines.

mod dispatch;
mod error;
mod memory;
mod outbox;
mod socket;
mod state;
mod viewer;
mod words;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use wayland_server::Display;

pub use error::ServeError;
pub use memory::{GuestMemory, MakeDmaBuf};
pub use words::{Answer, ConsoleId, Credentials, Event, GuestInput, Kind, Memory, Options, Swap};

use crate::frame::{BufferId, Cursor, Layout, Rect, Transform};
use crate::protocol::server::guest_scanout_manager_v1::GuestScanoutManagerV1;
use crate::protocol::{BUFFERS_MAX, STRING_MAX, VERSION};
use outbox::{Outbox, Watch};
use socket::Listener;
use state::State;
use viewer::Source;

/// Viewers at one time.
const CLIENTS_MAX: usize = 16;

/// A backend's end of guest-scanout-v1.
#[derive(Debug)]
pub struct Server {
    // Viewers lose their connection before the socket goes.
    display: Display<State>,
    state: State,
    listener: Option<Listener>,
    dropped: Arc<AtomicBool>,
    outbox: Outbox,
    epoll: OwnedFd,
    timer: OwnedFd,
}

fn system(what: &'static str) -> impl Fn(rustix::io::Errno) -> ServeError {
    move |error| ServeError::System { what, source: error.into() }
}

impl Server {
    /// Listens at `path`, for this user only (mode 0600); the socket of a backend that has ended is
    /// replaced, and ours goes when this is dropped. `name` and `uuid` are the virtual machine's.
    ///
    /// # Errors
    /// If the path is in use or can't be used.
    pub fn bind(path: &Path, name: &str, uuid: &str, options: Options) -> Result<Self, ServeError> {
        let mut server = Self::new(name, uuid, options)?;
        let listener = Listener::bind(path)?;
        let (read, data) = (epoll::EventFlags::IN, epoll::EventData::new_u64(0));
        epoll::add(&server.epoll, &listener, data, read).map_err(system("epoll"))?;
        server.listener = Some(listener);
        Ok(server)
    }

    /// A server without a socket of its own, for viewers that come by [`add_viewer`](Self::add_viewer).
    ///
    /// # Errors
    /// If the system refuses an fd, or the texts are too long.
    pub fn new(name: &str, uuid: &str, options: Options) -> Result<Self, ServeError> {
        text(name)?;
        text(uuid)?;
        let display = Display::new().map_err(|error| ServeError::System {
            what: "a display",
            source: io::Error::other(error.to_string()),
        })?;
        let handle = display.handle();
        handle.create_global::<State, GuestScanoutManagerV1, ()>(VERSION, ());
        let state = State::new(handle, name, uuid, options);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll"))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(system("a timer"))?;
        let data = epoll::EventData::new_u64(0);
        for fd in [display.as_fd(), timer.as_fd()] {
            epoll::add(&epoll, fd, data, epoll::EventFlags::IN).map_err(system("epoll"))?;
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let outbox = Outbox::default();
        Ok(Self { display, state, listener: None, dropped, outbox, epoll, timer })
    }

    /// Takes in a viewer at the other end of `stream`, whoever that is.
    ///
    /// # Errors
    /// If the system refuses, or there are too many.
    pub fn add_viewer(&mut self, stream: UnixStream) -> Result<(), ServeError> {
        let failed = |source| ServeError::System { what: "a viewer", source };
        let mut count = 0;
        self.display.handle().backend_handle().with_all_clients(|_| count += 1);
        if count >= CLIENTS_MAX {
            return Err(failed(io::Error::other("there are too many")));
        }
        stream.set_nonblocking(true).map_err(failed)?;
        let twin = Arc::new(stream.try_clone().map_err(failed)?);
        let watch = Watch { dropped: Arc::clone(&self.dropped), stream: Arc::clone(&twin) };
        let client = self.display.handle().insert_client(stream, Arc::new(watch));
        self.outbox.add(client.map_err(failed)?.id(), twin);
        Ok(())
    }

    /// Does what viewers have asked for, and what is due. Never blocks.
    ///
    /// # Errors
    /// If the kernel refuses to say what has come; what a viewer does wrong ends only its connection.
    pub fn dispatch(&mut self) -> io::Result<()> {
        while let Some((stream, credentials)) = self.listener.as_ref().and_then(Listener::accept) {
            if !(self.state.options.allow)(&credentials) {
                tracing::warn!(?credentials, "a viewer of another user: refused");
            } else if let Err(error) = self.add_viewer(stream) {
                tracing::warn!(%error, "a viewer is not taken in");
            }
        }
        self.display.dispatch_clients(&mut self.state)?;
        self.state.expire(Instant::now());
        self.flush();
        Ok(())
    }

    /// What viewers said, oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        self.state.events.pop_front()
    }

    /// Adds a console; viewers see it at once. `label` is for people.
    ///
    /// # Errors
    /// If the label is too long.
    pub fn add_console(&mut self, kind: Kind, label: &str) -> Result<ConsoleId, ServeError> {
        text(label)?;
        let id = self.state.add_console(kind, label);
        self.flush();
        Ok(id)
    }

    /// Takes a console away, and its buffers.
    ///
    /// # Errors
    /// If there is none.
    pub fn remove_console(&mut self, console: ConsoleId) -> Result<(), ServeError> {
        self.state.remove_console(console)?;
        self.flush();
        Ok(())
    }

    /// Announces a buffer. Its id stays the same when its pages are replaced.
    ///
    /// # Errors
    /// If there are too many, the planes don't fit the memory's fds, or no dma-buf can be made.
    pub fn add_buffer(
        &mut self,
        console: ConsoleId,
        layout: Layout,
        memory: Memory,
    ) -> Result<BufferId, ServeError> {
        let planes = usize::from(layout.plane_count);
        if planes == 0 || planes > crate::frame::PLANES_MAX {
            return Err(ServeError::Picture("it has 1 to 4 planes"));
        }
        let count = self.state.console(console)?.buffers.len();
        if count >= BUFFERS_MAX / 2 {
            return Err(ServeError::TooManyBuffers(count));
        }
        let options = self.state.options;
        let source = match memory {
            Memory::Planes(fds) if fds.len() == 1 || fds.len() == planes => Source::Planes(fds),
            Memory::Planes(_) => return Err(ServeError::Picture("it has one fd a plane, or one")),
            Memory::Guest(guest) => Source::Guest(memory::Fresh::new(
                guest,
                options.make_dma_buf,
                options.check_freshness,
            )?),
        };
        let id = self.state.add_buffer(console, layout, source)?;
        self.flush();
        Ok(id)
    }

    /// Takes a buffer away that is not on the screen.
    ///
    /// # Errors
    /// If there is none, or it is on the screen.
    pub fn remove_buffer(&mut self, console: ConsoleId, id: BufferId) -> Result<(), ServeError> {
        self.state.remove_buffer(console, id)?;
        self.flush();
        Ok(())
    }

    /// From now on the console shows this part of this buffer, from fresh pages: viewers may show it
    /// before its next update. Of a frame that is finished [`flip`](Self::flip) says so too.
    ///
    /// # Errors
    /// If there is no such buffer, the part isn't within it, or it can't be made or proven fresh.
    pub fn scanout(
        &mut self,
        console: ConsoleId,
        buffer: BufferId,
        visible: Rect,
        transform: Transform,
    ) -> Result<(), ServeError> {
        self.state.refresh(console, buffer)?;
        self.state.scanout(console, buffer, visible, transform)?;
        self.flush();
        Ok(())
    }

    /// The guest finished a frame in `buffer`; no rectangles means that all of it changed. Returns
    /// the number that [`Event::Answered`] will have. Where a page of the buffer was replaced since
    /// the last one, the viewers get the new pages first.
    ///
    /// # Errors
    /// If there is no such buffer, or it can't be made or proven fresh; then nothing was said and
    /// no answer comes.
    pub fn update(
        &mut self,
        console: ConsoleId,
        buffer: BufferId,
        damage: &[Rect],
    ) -> Result<u32, ServeError> {
        self.update_after(console, buffer, damage, None)
    }

    /// As [`update`](Self::update), complete when `acquire`, a sync_file, has signalled.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_after(
        &mut self,
        console: ConsoleId,
        buffer: BufferId,
        damage: &[Rect],
        acquire: Option<BorrowedFd<'_>>,
    ) -> Result<u32, ServeError> {
        self.state.refresh(console, buffer)?;
        let frame = self.state.update(console, buffer, damage, acquire)?;
        self.flush();
        Ok(frame)
    }

    /// The guest flipped: it finished a frame in `buffer`, and from now on the console shows this part of
    /// it. As [`scanout`](Self::scanout) and [`update_after`](Self::update_after), but said in one: its
    /// pages are looked at once, and no viewer shows the frame before it knows that it is finished, and again then.
    ///
    /// # Errors
    /// As those.
    pub fn flip(
        &mut self,
        console: ConsoleId,
        buffer: BufferId,
        (visible, transform): (Rect, Transform),
        damage: &[Rect],
        acquire: Option<BorrowedFd<'_>>,
    ) -> Result<u32, ServeError> {
        self.state.refresh(console, buffer)?;
        self.state.scanout(console, buffer, visible, transform)?;
        let frame = self.state.update(console, buffer, damage, acquire)?;
        self.flush();
        Ok(frame)
    }

    /// How the guest draws; a hint.
    ///
    /// # Errors
    /// If there is no such console.
    pub fn swap(&mut self, console: ConsoleId, swap: Swap) -> Result<(), ServeError> {
        self.state.swap(console, swap)?;
        self.flush();
        Ok(())
    }

    /// The console is dark, until the next scanout or update.
    ///
    /// # Errors
    /// If there is no such console.
    pub fn disable(&mut self, console: ConsoleId) -> Result<(), ServeError> {
        self.state.disable(console)?;
        self.flush();
        Ok(())
    }

    /// The guest's cursor looks like this.
    ///
    /// # Errors
    /// If its sides or its pixels can't be, or no memfd can be made.
    pub fn set_cursor(&mut self, console: ConsoleId, cursor: &Cursor) -> Result<(), ServeError> {
        self.state.set_cursor(console, cursor)?;
        self.flush();
        Ok(())
    }

    /// The guest's cursor is here: its top left corner, in pixels of the visible picture.
    ///
    /// # Errors
    /// If there is no such console.
    pub fn move_cursor(
        &mut self,
        console: ConsoleId,
        x: i32,
        y: i32,
        visible: bool,
    ) -> Result<(), ServeError> {
        self.state.move_cursor(console, x, y, visible)?;
        self.flush();
        Ok(())
    }

    /// Pages of the console's buffers are about to be replaced: asks viewers to let go.
    /// [`Event::Invalidated`] says when. An invalidation that is open already is ended first.
    ///
    /// # Errors
    /// If there is no such console.
    pub fn invalidate_begin(&mut self, console: ConsoleId) -> Result<(), ServeError> {
        self.state.invalidate_begin(console)?;
        self.flush();
        Ok(())
    }

    /// They have been replaced: says the scanout again, from fresh pages where there is guest memory.
    ///
    /// # Errors
    /// If there is no such console, or its shown buffer can't be made fresh.
    pub fn invalidate_end(&mut self, console: ConsoleId) -> Result<(), ServeError> {
        self.state.invalidate_end(console)?;
        self.flush();
        Ok(())
    }

    /// How often a buffer's pages were found replaced and taken anew.
    pub fn replacements(&self) -> u64 {
        self.state.replacements
    }

    /// Sends what was said and sets the timer for what is due next.
    fn flush(&mut self) {
        self.outbox.flush(&mut self.display, self.epoll.as_fd());
        while self.dropped.swap(false, Ordering::Relaxed) {
            if let Err(error) = self.display.dispatch_clients(&mut self.state) {
                tracing::warn!(%error, "the viewers can't be looked at");
            }
            self.outbox.tidy(&self.display, self.epoll.as_fd());
            // Others may have been answered by that.
            self.outbox.flush(&mut self.display, self.epoll.as_fd());
        }
        let left = self.state.due().map(|at| {
            // Zero would stop the timer.
            at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1))
        });
        let left = left.unwrap_or(Duration::ZERO);
        let value =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        if let Err(error) = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once) {
            tracing::error!(%error, "the server's timer can't be set");
        }
    }
}

impl AsFd for Server {
    /// Readable when [`dispatch`](Server::dispatch) has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn text(text: &str) -> Result<(), ServeError> {
    if text.len() > STRING_MAX || text.contains('\0') {
        return Err(ServeError::Text(text.len()));
    }
    Ok(())
}
