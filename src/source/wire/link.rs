//! The connection: from messages to the console that they are about.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wayland_client::backend::protocol::Message;
use wayland_client::backend::{Backend, ObjectData, ObjectId, WaylandError};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::{Connection, Proxy};

use super::acks::Acks;
use super::console::{Console, Fault};
use super::sentence;
use crate::frame::{Input, SizeHint, StorageId, Touch};
use crate::port::SourceEvent;
use crate::protocol::client::guest_buffer_v1::GuestBufferV1;
use crate::protocol::client::guest_console_v1::{self, GuestConsoleV1, State, Touch as Kind};
use crate::protocol::client::guest_scanout_manager_v1::{self, GuestScanoutManagerV1};
use crate::protocol::{MANAGER, SIDE_MAX, VERSION};
use crate::source::{CONSOLE_GONE, NO_FDS, out_of_fds};
use crate::sys::Classify;

/// Consoles that are listened to.
const CONSOLES_MAX: usize = 256;

/// Why a connection has ended that did so in the middle of an announcement.
const CUT_OFF: &str = "the connection ended in the middle of a buffer's announcement: the virtual machine was \
    killed, or the backend sent a buffer without its file descriptor";

/// A console that the backend has.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) number: u32,
    pub(super) graphic: bool,
    pub(super) label: String,
}

/// Receives every message of the connection.
#[derive(Debug)]
pub(super) struct Link {
    acks: Arc<Acks>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    console: Console,
    vm: (String, String),
    manager: Option<GuestScanoutManagerV1>,
    consoles: BTreeMap<u32, Listed>,
    listed: bool,
    /// The list is another than when it was last asked for.
    changed: bool,
    /// Why the connection is over.
    fault: Option<String>,
}

impl Link {
    pub(super) fn new(socket: UnixStream, classify: Classify) -> io::Result<Self> {
        let acks = Arc::new(Acks::new(socket)?);
        let console = Console::new(classify, Arc::clone(&acks));
        let inner = Inner {
            console,
            vm: Default::default(),
            manager: None,
            consoles: BTreeMap::new(),
            listed: false,
            changed: false,
            fault: None,
        };
        Ok(Self { acks, inner: Mutex::new(inner) })
    }

    /// Name and UUID of the virtual machine and its consoles, once they are all there.
    pub(super) fn consoles(&self) -> Option<(String, String, Vec<Listed>)> {
        let inner = self.lock();
        let (name, uuid) = inner.vm.clone();
        inner.listed.then(|| (name, uuid, inner.consoles.values().cloned().collect()))
    }

    /// The same, once each time that the backend has told another list.
    pub(super) fn changed(&self) -> Option<(String, String, Vec<Listed>)> {
        let changed = std::mem::take(&mut self.lock().changed);
        changed.then(|| self.consoles()).flatten()
    }

    /// Begins to watch a console.
    pub(super) fn watch(self: &Arc<Self>, connection: &Connection, number: u32) {
        let Some(manager) = self.lock().manager.clone() else { return };
        let request = guest_scanout_manager_v1::Request::GetConsole { number };
        let data = Arc::clone(self) as Arc<dyn ObjectData>;
        let made = connection.send_request(&manager, request, Some(data));
        if let Ok(console) = made.and_then(|id| GuestConsoleV1::from_id(connection, id)) {
            self.acks.watch(console);
        }
    }

    /// The next event for the session; after what was said before the end, why it ended.
    pub(super) fn next_event(&self) -> Option<SourceEvent> {
        let mut inner = self.lock();
        let event = inner.console.next_event();
        // What waits for a fence when all is over waits in vain.
        event.or_else(|| inner.fault.clone().map(SourceEvent::Lost))
    }

    pub(super) fn fence(&self) -> Option<OwnedFd> {
        self.lock().console.fence()
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    pub(super) fn flush(&self) {
        self.acks.flush();
    }

    /// Ends the connection for good. Each object has this as its data, so that what has objects and
    /// isn't dropped here would stay for ever, fds and all.
    pub(super) fn close(&self) {
        self.acks.close();
        let mut inner = self.lock();
        inner.manager = None;
        inner.console.close();
    }

    pub(super) fn hang_up(&self) {
        self.acks.hang_up();
    }

    /// Readable when there is something to read or to flush.
    pub(super) fn ready(&self) -> BorrowedFd<'_> {
        self.acks.ready()
    }

    /// Ends it for a reason that leaves nothing of the connection to be used.
    pub(super) fn give_up(&self, reason: &str) {
        self.lock().fault.get_or_insert_with(|| reason.to_owned());
        self.close();
    }

    pub(super) fn retired(&self, storage: StorageId) {
        self.lock().console.retired(storage);
    }

    pub(super) fn answer_invalidation(&self) {
        self.lock().console.answer_invalidation();
    }

    /// Where fds run out the kernel drops those that come, and the next ones would be taken for them:
    /// other memory than the backend means would be shown. An announcement that isn't complete is
    /// where that can be seen.
    pub(super) fn check_fds(&self) {
        let mut inner = self.lock();
        if inner.console.is_announcing() && out_of_fds() {
            inner.fault.get_or_insert_with(|| NO_FDS.to_owned());
            self.hang_up();
        }
    }

    /// Reading has failed.
    pub(super) fn broke(&self, error: &WaylandError) {
        if let WaylandError::Io(io) = error
            && io.kind() == std::io::ErrorKind::WouldBlock
        {
            return;
        }
        let mut inner = self.lock();
        let cut_off = matches!(error, WaylandError::Io(_)) && inner.console.is_announcing();
        let reason = || if cut_off { CUT_OFF.to_owned() } else { sentence(error) };
        inner.fault.get_or_insert_with(reason);
    }

    pub(super) fn send(&self, input: &Input) {
        let state = |pressed: bool| if pressed { State::Pressed } else { State::Released };
        self.acks.say(|console| match *input {
            Input::Key { code, pressed } => console.key(code, state(pressed)),
            Input::PointerAt { x, y } => console.pointer_at(x, y),
            Input::Button { code, pressed } => console.button(code, state(pressed)),
            Input::PointerBy { dx, dy } => console.pointer_by(dx, dy),
            Input::Wheel { dx, dy } => console.wheel(dx, dy),
            Input::Touch { finger, how } => {
                let (kind, x, y) = match how {
                    Touch::Down { x, y } => (Kind::Down, x, y),
                    Touch::Motion { x, y } => (Kind::Motion, x, y),
                    Touch::Up => (Kind::Up, 0, 0),
                    Touch::Cancel => (Kind::Cancel, 0, 0),
                };
                console.touch(kind, finger, x, y);
            }
        });
    }

    pub(super) fn resize(&self, hint: &SizeHint) {
        let [width, height] =
            [hint.size.width, hint.size.height].map(|side| side.clamp(1, SIDE_MAX));
        // The screen's rate isn't known.
        self.acks.say(|console| console.size_hint(width, height, 0));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(
        self: &Arc<Self>,
        connection: &Connection,
        message: Message<ObjectId, OwnedFd>,
    ) -> Result<(), Fault> {
        let strange = |error: wayland_client::DispatchError| error.to_string();
        let interface = message.sender_id.interface().name;
        let mut inner = self.lock();
        if inner.fault.is_some() {
            return Ok(());
        }
        if interface == GuestConsoleV1::interface().name {
            let (_, event) = GuestConsoleV1::parse_event(connection, message).map_err(strange)?;
            if matches!(event, guest_console_v1::Event::Gone) {
                inner.fault = Some(CONSOLE_GONE.to_owned());
                return Ok(());
            }
            return inner.console.event(event);
        }
        if interface == GuestBufferV1::interface().name {
            let (buffer, event) =
                GuestBufferV1::parse_event(connection, message).map_err(strange)?;
            return inner.console.buffer_event(&buffer.id(), event);
        }
        if interface == GuestScanoutManagerV1::interface().name {
            let (_, event) =
                GuestScanoutManagerV1::parse_event(connection, message).map_err(strange)?;
            return inner.manager_event(event);
        }
        let (registry, event) = WlRegistry::parse_event(connection, message).map_err(strange)?;
        if let wl_registry::Event::Global { name, interface, version } = event
            && interface == MANAGER
            && inner.manager.is_none()
        {
            let version = version.min(VERSION);
            let id = (GuestScanoutManagerV1::interface(), version);
            let bind = wl_registry::Request::Bind { name, id };
            let data = Arc::clone(self) as Arc<dyn ObjectData>;
            let made = connection.send_request(&registry, bind, Some(data));
            inner.manager = made.and_then(|id| GuestScanoutManagerV1::from_id(connection, id)).ok();
            // An error is found again when the session reads.
            let _ = connection.flush();
        }
        Ok(())
    }
}

impl Inner {
    fn manager_event(&mut self, event: guest_scanout_manager_v1::Event) -> Result<(), Fault> {
        use guest_scanout_manager_v1::{Event, Kind};
        match event {
            Event::Vm { name, uuid } => self.vm = (name, uuid),
            Event::Console { number, kind, label } => {
                if self.consoles.len() >= CONSOLES_MAX {
                    return Err(format!("it has more than {CONSOLES_MAX} consoles"));
                }
                let graphic = kind.into_result().is_ok_and(|kind| kind == Kind::Graphic);
                self.consoles.insert(number, Listed { number, graphic, label });
            }
            Event::ConsoleGone { number } => drop(self.consoles.remove(&number)),
            Event::Done => (self.listed, self.changed) = (true, true),
        }
        Ok(())
    }
}

impl ObjectData for Link {
    fn event(
        self: Arc<Self>,
        backend: &Backend,
        message: Message<ObjectId, OwnedFd>,
    ) -> Option<Arc<dyn ObjectData>> {
        let child = message
            .args
            .iter()
            .any(|arg| matches!(arg, wayland_client::backend::protocol::Argument::NewId(_)));
        let connection = Connection::from_backend(backend.clone());
        if let Err(fault) = self.handle(&connection, message) {
            let reason = format!("the backend broke guest-scanout-v1: {fault}");
            self.lock().fault = Some(reason);
            // So that reading ends, however much it goes on to send.
            self.hang_up();
        }
        child.then_some(self as Arc<dyn ObjectData>)
    }

    fn destroyed(&self, _: ObjectId) {}
}
