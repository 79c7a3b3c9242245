//! A console as its viewers have it: their objects, and what they owe.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use wayland_server::backend::ObjectId;
use wayland_server::{DisplayHandle, Resource};

use super::memory::Fresh;
use super::state::State;
use super::{Answer, ConsoleId, Event, Kind, Swap};
use crate::frame::{BufferId, Cursor, Layout, Rect, Transform};
use crate::protocol::BUFFERS_MAX;
use crate::protocol::server::guest_buffer_v1::GuestBufferV1;
use crate::protocol::server::guest_console_v1::{self as wire, GuestConsoleV1};
use crate::protocol::server::guest_scanout_manager_v1;

#[derive(Debug)]
pub(super) struct Console {
    pub(super) kind: Kind,
    pub(super) label: String,
    pub(super) watchers: Vec<Watcher>,
    pub(super) buffers: BTreeMap<BufferId, Held>,
    pub(super) shown: Option<(BufferId, Rect, Transform)>,
    pub(super) dark: bool,
    pub(super) swap: Option<Swap>,
    pub(super) cursor: Option<(OwnedFd, Cursor)>,
    pub(super) cursor_at: Option<(i32, i32, bool)>,
    pub(super) frames: VecDeque<Frame>,
    pub(super) next_frame: u32,
    pub(super) invalidation: Option<Invalidation>,
    pub(super) last_serial: u32,
}

/// A buffer that isn't gone.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) layout: Layout,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    Planes(Vec<OwnedFd>),
    Guest(Fresh),
}

/// One viewer of one console.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) console: GuestConsoleV1,
    pub(super) buffers: HashMap<BufferId, GuestBufferV1>,
    /// Objects that it hasn't destroyed yet.
    pub(super) alive: Arc<AtomicU64>,
    pub(super) unanswered: HashSet<u32>,
    pub(super) release_fence: Option<OwnedFd>,
}

/// What a buffer's object carries.
#[derive(Debug)]
pub(super) struct BufferData {
    pub(super) console: ConsoleId,
    pub(super) gone: AtomicBool,
    pub(super) alive: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) number: u32,
    pub(super) waiting: HashSet<ObjectId>,
    pub(super) refused: bool,
    pub(super) fences: Vec<OwnedFd>,
    pub(super) due: Instant,
}

#[derive(Debug)]
pub(super) struct Invalidation {
    pub(super) serial: u32,
    pub(super) waiting: HashSet<ObjectId>,
    /// Until it was said that the author may go on.
    pub(super) due: Option<Instant>,
}

impl Console {
    pub(super) fn new(kind: Kind, label: &str) -> Self {
        Self {
            kind,
            label: label.to_owned(),
            watchers: Vec::new(),
            buffers: BTreeMap::new(),
            shown: None,
            dark: false,
            swap: None,
            cursor: None,
            cursor_at: None,
            frames: VecDeque::new(),
            next_frame: 1,
            invalidation: None,
            last_serial: 0,
        }
    }

    pub(super) fn end_invalidation(&mut self) {
        if let Some(open) = self.invalidation.take() {
            self.watchers.iter().for_each(|w| w.console.invalidate_end(open.serial));
        }
    }
}

impl Watcher {
    pub(super) fn announce(
        &mut self,
        handle: &DisplayHandle,
        id: ConsoleId,
        buffer: BufferId,
        held: &Held,
    ) {
        let Some(client) = self.console.client() else { return };
        if self.alive.load(Ordering::Relaxed) >= BUFFERS_MAX as u64 {
            let text = format!("{BUFFERS_MAX} buffers are not destroyed: destroy what is gone");
            self.console.post_error(wire::Error::Flood, text);
            return;
        }
        let alive = Arc::clone(&self.alive);
        let data = BufferData { console: id, gone: AtomicBool::new(false), alive };
        let version = self.console.version();
        let made = client.create_resource::<GuestBufferV1, _, State>(handle, version, data);
        let Ok(object) = made else { return };
        self.alive.fetch_add(1, Ordering::Relaxed);
        self.console.buffer(&object);
        for plane in 0..usize::from(held.layout.plane_count) {
            let fd = match &held.source {
                Source::Planes(fds) => fds.get(plane).unwrap_or(&fds[0]).as_fd(),
                Source::Guest(fresh) => fresh.dma_buf.as_fd(),
            };
            let place = held.layout.planes[plane];
            object.plane(fd, place.offset, place.stride);
        }
        let Layout { size, format, modifier, .. } = held.layout;
        let (high, low) = ((modifier.0 >> 32) as u32, modifier.0 as u32);
        object.layout(size.width, size.height, format.0, high, low);
        object.done();
        self.buffers.insert(buffer, object);
    }

    pub(super) fn show(&self, shown: Option<(BufferId, Rect, Transform)>) {
        let Some((buffer, r, transform)) = shown else { return };
        let Some(object) = self.buffers.get(&buffer) else { return };
        let transform = match transform {
            Transform::Normal => wire::Transform::Normal,
            Transform::Flipped => wire::Transform::Flipped,
        };
        self.console.scanout(object, r.x, r.y, r.width, r.height, transform);
    }
}

impl Frame {
    pub(super) fn answered(self, console: ConsoleId, answer: Answer) -> Event {
        Event::Answered { console, frame: self.number, answer, fences: self.fences }
    }
}

pub(super) fn say_gone(buffer: &GuestBufferV1) {
    if let Some(data) = buffer.data::<BufferData>() {
        data.gone.store(true, Ordering::Relaxed);
    }
    buffer.gone();
}

pub(super) fn send_cursor(console: &GuestConsoleV1, pixels: &OwnedFd, cursor: &Cursor) {
    let (x, y) = cursor.hotspot;
    console.cursor(pixels.as_fd(), cursor.size.width, cursor.size.height, x, y);
}

impl From<Kind> for guest_scanout_manager_v1::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Graphic => Self::Graphic,
            Kind::Text => Self::Text,
        }
    }
}

impl From<Swap> for wire::Swap {
    fn from(swap: Swap) -> Self {
        match swap {
            Swap::Flip => Self::Flip,
            Swap::InPlace => Self::InPlace,
        }
    }
}
