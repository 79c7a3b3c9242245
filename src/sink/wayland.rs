//! The viewer: a window of a Wayland compositor.
//!
//! The guest's memory is attached as it is, where the compositor takes it; else its picture is
//! copied into memory of ours. Nothing here decides which: the machine does.

mod background;
mod calls;
mod clipboard;
mod connect;
mod cursor;
mod dmabuf;
mod drawing;
mod events;
mod fit;
mod frame;
mod globals;
mod grab;
mod hints;
mod hotkeys;
mod imports;
mod keys;
mod lease;
mod locks;
mod options;
mod outputs;
mod panels;
mod seat;
mod sheet;
mod shown;
mod sizing;
mod sync;
mod targets;
mod touch;
mod wait;
mod window;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use wayland_client::backend::{ReadEventsGuard, WaylandError as WireError};
use wayland_client::globals::registry_queue_init;
use wayland_client::{Connection, EventQueue, QueueHandle};

pub use connect::{Survey, WaylandError};
pub use fit::Fit;
pub use frame::{Button, Buttons, FindLook, Look, find_look};
pub use hotkeys::{Action, Hotkey, HotkeyError, Hotkeys};
pub use options::{Content, Means, WindowOptions};
pub use sync::{OpenTimelines, Timeline, Timelines, kernel_timelines};
pub use targets::MakeUdmabuf;

use super::late::Late;
pub use crate::convert::blit::OpenBlitter;
use crate::frame::Damage;
use crate::port::{Buffer, SinkEvent};
use clipboard::Clipboard;
use connect::{dispatch_reason, wire_reason};
use cursor::Cursors;
use dmabuf::Offer;
use frame::Frame;
use globals::Globals;
use imports::Imports;
use outputs::Outputs;
use seat::Seat;
use shown::Shown;
use sync::Releases;
use targets::{Peer, Targets};
use wait::Wait;
use window::Window;

/// A compositor that talks without end is interrupted after so many reads.
const READS_MAX: u32 = 64;

/// A window that shows frames.
///
/// Calls can leave events behind that its fd says nothing of: poll it after calls, and before the
/// first wait.
#[derive(Debug)]
pub struct WaylandSink {
    state: State,
    wait: Wait,
    late: Option<Late>,
    shown: Option<Shown>,
    queue: EventQueue<State>,
    qh: QueueHandle<State>,
    // Last, so that what the others say when they are dropped is still sent.
    connection: FlushOnDrop,
}

/// What the events of the compositor change.
#[derive(Debug)]
struct State {
    globals: Globals,
    outputs: Outputs,
    offer: Offer,
    imports: Imports,
    targets: Targets,
    releases: Releases,
    // Before the window, above which it is.
    cursors: Cursors,
    /// `None` only while it is opened.
    window: Option<Window>,
    seat: Seat,
    clipboard: Clipboard,
    hidden: bool,
    /// To be told; nothing is added after the last one.
    events: VecDeque<SinkEvent>,
    closed: bool,
    /// Whatever was offered until then is not a change.
    opened: bool,
}

smithay_client_toolkit::delegate_dispatch2!(State);

impl State {
    /// Tells of a copy that was begun, once it is complete.
    fn finish_copy(&mut self, qh: &QueueHandle<Self>) {
        let peer = Peer { globals: &self.globals, offer: &self.offer, qh };
        self.events.extend(self.targets.finish(peer));
    }

    fn close(&mut self, reason: Option<String>) {
        if !self.closed {
            self.closed = true;
            self.events.push_back(SinkEvent::Closed(reason));
        }
    }
}

impl WaylandSink {
    /// Opens a window at the compositor that the environment names. It shows up with the first
    /// picture. Blocks until the compositor has answered, `options.time_limit` at most.
    ///
    /// # Errors
    /// If there is no compositor, or none that answers, or it lacks what a window needs.
    pub fn connect(options: &WindowOptions) -> Result<Self, WaylandError> {
        Self::open(connect::connect()?, options, Means::default())
    }

    /// As [`connect`](Self::connect), over a socket that is connected to a compositor, and with
    /// another maker of udmabufs. For tests.
    ///
    /// # Errors
    /// If the compositor lacks what a window needs.
    pub fn over(
        stream: UnixStream,
        options: &WindowOptions,
        make_udmabuf: MakeUdmabuf,
    ) -> Result<Self, WaylandError> {
        Self::over_with(stream, options, Means { make_udmabuf, ..Means::default() })
    }

    /// What the user has asked for by a hotkey and the sink doesn't do by itself, in order. There may be
    /// something after each [`SinkEvent::Wanted`], which ends a session's turn.
    pub fn wanted(&mut self) -> Option<Action> {
        self.state.seat.wanted.pop_front()
    }

    /// As [`over`](Self::over), and with other means.
    ///
    /// # Errors
    /// If the compositor lacks what a window needs.
    pub fn over_with(
        stream: UnixStream,
        options: &WindowOptions,
        means: Means,
    ) -> Result<Self, WaylandError> {
        Self::open(connect::over(stream)?, options, means)
    }

    fn open(
        connection: Connection,
        options: &WindowOptions,
        means: Means,
    ) -> Result<Self, WaylandError> {
        let talk = || Self::talk(&connection, options, means);
        let (mut state, queue) = connect::in_time(&connection, options.time_limit, talk)?;
        // Only now it is known which device the compositor works with.
        let (syncobj, device) = (state.globals.syncobj.as_ref(), state.offer.device());
        let wait = Wait::new(queue.as_fd()).map_err(WaylandError::System)?;
        state.releases = Releases::new(syncobj, means.open_timelines, device, &wait);
        if state.globals.dmabuf.is_some() {
            state.targets.use_gpu(means.open_blitter, device, &wait);
        }
        let qh = queue.handle();
        Ok(Self {
            state,
            wait,
            late: None,
            shown: None,
            queue,
            qh,
            connection: FlushOnDrop(connection),
        })
    }

    /// Opens the window, up to the compositor's first answer.
    fn talk(
        connection: &Connection,
        options: &WindowOptions,
        Means { make_udmabuf, find_font, find_look, .. }: Means,
    ) -> Result<(State, EventQueue<State>), WaylandError> {
        let (globals, mut queue) = registry_queue_init::<State>(connection)?;
        let qh = queue.handle();
        let mut state = State {
            globals: Globals::bind(&globals, &qh)?,
            outputs: Outputs::bind(&globals, &qh),
            offer: Offer::default(),
            imports: Imports::default(),
            targets: Targets::new(make_udmabuf),
            releases: Releases::default(),
            cursors: Cursors::new(connection.display()),
            window: None,
            seat: Seat::bind(&globals, &qh, options),
            clipboard: Clipboard::default(),
            hidden: false,
            events: VecDeque::new(),
            closed: false,
            opened: false,
        };
        state.bind_clipboard(&globals, &qh, options);
        let output = match &options.output {
            Some(wanted) => {
                queue.roundtrip(&mut state)?;
                let found = state.outputs.named(wanted);
                let wanted = wanted.clone();
                Some(found.map_err(|present| WaylandError::NoOutput { wanted, present })?)
            }
            None => None,
        };
        let frame = Frame::new(find_look, find_font);
        let window = Window::new(&state.globals, &qh, options, output, frame, find_font)?;
        if let Some(dmabuf) = &state.globals.dmabuf {
            Offer::subscribe(dmabuf, window.picture(), &qh);
        }
        state.window = Some(window);
        state.moved(&qh);
        queue.roundtrip(&mut state)?;
        state.opened = true;
        Ok((state, queue))
    }

    /// Reads and handles what has arrived.
    fn pump(&mut self) {
        for _ in 0..READS_MAX {
            let arrived = match self.queue.prepare_read().map(ReadEventsGuard::read) {
                // What was read by somebody else is yet to be handled.
                None | Some(Ok(_)) => true,
                Some(Err(error)) if would_block(&error) => false,
                Some(Err(error)) => return self.state.close(Some(wire_reason(&error))),
            };
            if let Err(error) = self.queue.dispatch_pending(&mut self.state) {
                return self.state.close(Some(dispatch_reason(&error)));
            }
            if !arrived {
                return;
            }
        }
    }

    fn copy_now(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        let State { globals, offer, targets, events, .. } = &mut self.state;
        let peer = Peer { globals, offer, qh: &self.qh };
        events.extend(targets.copy(target, buffer, damage, peer));
    }

    /// Makes the copy that waited, if its time has come.
    fn copy_late(&mut self) {
        if let Some(late) = self.late.take_if(|late| late.is_due()) {
            if let Some(fd) = late.fd() {
                self.wait.remove(fd);
            }
            self.copy_now(late.target, &late.buffer, &late.damage);
        }
    }
}

fn would_block(error: &WireError) -> bool {
    matches!(error, WireError::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Sends the last words of a connection.
#[derive(Debug)]
struct FlushOnDrop(Connection);

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        // Where it can't be sent the socket's end says the same.
        let _ = self.0.flush();
    }
}
