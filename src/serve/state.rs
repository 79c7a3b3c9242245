//! What there is to show, who watches it, and which updates have no answer yet.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use wayland_server::backend::ObjectId;
use wayland_server::{DisplayHandle, Resource};

use super::viewer::{Console, Frame, Held, Invalidation, Source, Watcher, say_gone, send_cursor};
use super::{Answer, ConsoleId, Event, Kind, Options, ServeError, Swap};
use crate::frame::{BufferId, Cursor, Layout, Rect, Transform};
use crate::protocol::server::guest_console_v1::{self as wire, GuestConsoleV1};
use crate::protocol::server::guest_scanout_manager_v1::GuestScanoutManagerV1;
use crate::protocol::{CURSOR_SIDE_MAX, DAMAGE_EVENTS_MAX, UPDATES_MAX};
use crate::sys;

#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) managers: Vec<GuestScanoutManagerV1>,
    pub(super) consoles: BTreeMap<u32, Console>,
    pub(super) events: VecDeque<Event>,
    pub(super) replacements: u64,
    handle: DisplayHandle,
    next_console: u32,
}

impl State {
    pub(super) fn new(handle: DisplayHandle, name: &str, uuid: &str, options: Options) -> Self {
        Self {
            options,
            name: name.to_owned(),
            uuid: uuid.to_owned(),
            managers: Vec::new(),
            consoles: BTreeMap::new(),
            events: VecDeque::new(),
            replacements: 0,
            handle,
            next_console: 0,
        }
    }

    pub(super) fn console(&mut self, id: ConsoleId) -> Result<&mut Console, ServeError> {
        self.consoles.get_mut(&id.0).ok_or(ServeError::NoConsole(id))
    }

    pub(super) fn add_console(&mut self, kind: Kind, label: &str) -> ConsoleId {
        let number = self.next_console;
        self.next_console += 1;
        self.consoles.insert(number, Console::new(kind, label));
        for manager in &self.managers {
            manager.console(number, kind.into(), label.to_owned());
            manager.done();
        }
        ConsoleId(number)
    }

    pub(super) fn remove_console(&mut self, id: ConsoleId) -> Result<(), ServeError> {
        while let Some(watcher) = self.console(id)?.watchers.last() {
            let object = watcher.console.id();
            self.stop(id, &object);
        }
        self.consoles.remove(&id.0);
        for manager in &self.managers {
            manager.console_gone(id.0);
            manager.done();
        }
        Ok(())
    }

    /// A viewer watches from now on: it gets what there is.
    pub(super) fn watch(&mut self, id: ConsoleId, object: GuestConsoleV1) {
        // It shows at once what is on the screen. A picture that can't be made fresh comes with its next update.
        let shown = self.consoles.get(&id.0).and_then(|console| console.shown);
        if let Some((buffer, ..)) = shown
            && let Err(error) = self.refresh(id, buffer)
        {
            tracing::warn!(%error, "what the console shows may be stale");
        }
        let Some(console) = self.consoles.get_mut(&id.0) else {
            object.gone();
            return;
        };
        let mut watcher = Watcher {
            console: object,
            buffers: HashMap::new(),
            alive: Arc::default(),
            unanswered: HashSet::new(),
            release_fence: None,
        };
        for (&buffer, held) in &console.buffers {
            watcher.announce(&self.handle, id, buffer, held);
        }
        let object = &watcher.console;
        if let Some(swap) = console.swap {
            object.swap(swap.into());
        }
        if let Some((pixels, cursor)) = &console.cursor {
            send_cursor(object, pixels, cursor);
        }
        if let Some((x, y, visible)) = console.cursor_at {
            object.cursor_at(x, y, visible.into());
        }
        watcher.show(console.shown);
        if console.dark {
            watcher.console.disabled();
        }
        console.watchers.push(watcher);
        self.events.push_back(Event::Watched(id, console.watchers.len()));
    }

    /// A viewer wants no more of a console, or is gone: what it owes counts as answered.
    pub(super) fn stop(&mut self, id: ConsoleId, object: &ObjectId) {
        let Some(console) = self.consoles.get_mut(&id.0) else { return };
        let Some(at) = console.watchers.iter().position(|w| w.console.id() == *object) else {
            return;
        };
        let watcher = console.watchers.remove(at);
        for buffer in watcher.buffers.values() {
            say_gone(buffer);
        }
        watcher.console.gone();
        let left = console.watchers.len();
        for frame in &mut console.frames {
            frame.waiting.remove(object);
        }
        if let Some(invalidation) = &mut console.invalidation {
            invalidation.waiting.remove(object);
        }
        self.conclude(id);
        self.events.push_back(Event::Watched(id, left));
    }

    /// Tells the author of every update and invalidation that nobody owes anything for.
    pub(super) fn conclude(&mut self, id: ConsoleId) {
        let Some(console) = self.consoles.get_mut(&id.0) else { return };
        let mut at = 0;
        while let Some(frame) = console.frames.get(at) {
            if !frame.waiting.is_empty() {
                at += 1;
                continue;
            }
            let Some(frame) = console.frames.remove(at) else { break };
            let answer = if frame.refused { Answer::Refused } else { Answer::Acked };
            self.events.push_back(frame.answered(id, answer));
        }
        if let Some(open) = &mut console.invalidation
            && open.waiting.is_empty()
            && open.due.take().is_some()
        {
            self.events.push_back(Event::Invalidated(id, true));
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let consoles = self.consoles.values();
        consoles
            .flat_map(|console| {
                let frames = console.frames.iter().map(|frame| frame.due);
                frames.chain(console.invalidation.as_ref().and_then(|open| open.due))
            })
            .min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        for (&number, console) in &mut self.consoles {
            let id = ConsoleId(number);
            while let Some(frame) = console.frames.pop_front_if(|frame| frame.due <= now) {
                self.events.push_back(frame.answered(id, Answer::TimedOut));
            }
            if let Some(open) = &mut console.invalidation
                && open.due.take_if(|due| *due <= now).is_some()
            {
                self.events.push_back(Event::Invalidated(id, false));
            }
        }
    }

    pub(super) fn add_buffer(
        &mut self,
        id: ConsoleId,
        layout: Layout,
        source: Source,
    ) -> Result<BufferId, ServeError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let handle = self.handle.clone();
        let console = self.console(id)?;
        let buffer = BufferId(NEXT.fetch_add(1, Ordering::Relaxed));
        let held = Held { layout, source };
        for watcher in &mut console.watchers {
            watcher.announce(&handle, id, buffer, &held);
        }
        console.buffers.insert(buffer, held);
        Ok(buffer)
    }

    pub(super) fn remove_buffer(
        &mut self,
        id: ConsoleId,
        buffer: BufferId,
    ) -> Result<(), ServeError> {
        let console = self.console(id)?;
        if !console.dark && console.shown.is_some_and(|(shown, ..)| shown == buffer) {
            return Err(ServeError::Shown(buffer));
        }
        console.buffers.remove(&buffer).ok_or(ServeError::NoBuffer(buffer))?;
        console.shown.take_if(|(shown, ..)| *shown == buffer);
        for watcher in &mut console.watchers {
            if let Some(object) = watcher.buffers.remove(&buffer) {
                say_gone(&object);
            }
        }
        Ok(())
    }

    pub(super) fn scanout(
        &mut self,
        id: ConsoleId,
        buffer: BufferId,
        visible: Rect,
        transform: Transform,
    ) -> Result<(), ServeError> {
        let console = self.console(id)?;
        let held = console.buffers.get(&buffer).ok_or(ServeError::NoBuffer(buffer))?;
        let size = held.layout.size;
        let within = |start: u32, length: u32, side: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
        };
        if !within(visible.x, visible.width, size.width)
            || !within(visible.y, visible.height, size.height)
        {
            return Err(ServeError::Picture("its visible part is empty or not within it"));
        }
        console.shown = Some((buffer, visible, transform));
        console.dark = false;
        for watcher in &console.watchers {
            watcher.show(console.shown);
        }
        Ok(())
    }

    /// Takes a buffer's pages anew if one was replaced, and says so.
    pub(super) fn refresh(&mut self, id: ConsoleId, buffer: BufferId) -> Result<(), ServeError> {
        let Options { make_dma_buf, check_freshness, .. } = self.options;
        let handle = self.handle.clone();
        let console = self.console(id)?;
        let held = console.buffers.get_mut(&buffer).ok_or(ServeError::NoBuffer(buffer))?;
        let Source::Guest(fresh) = &mut held.source else { return Ok(()) };
        if !check_freshness || !fresh.refresh(make_dma_buf)? {
            return Ok(());
        }
        let held = &console.buffers[&buffer];
        let shown = console.shown.filter(|(shown, ..)| *shown == buffer);
        for watcher in &mut console.watchers {
            let old = watcher.buffers.remove(&buffer);
            watcher.announce(&handle, id, buffer, held);
            if let (Some(old), Some(new)) = (old, watcher.buffers.get(&buffer)) {
                watcher.console.replaced(&old, new);
                watcher.show(shown);
                say_gone(&old);
            }
        }
        self.replacements += 1;
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        id: ConsoleId,
        buffer: BufferId,
        damage: &[Rect],
        acquire: Option<BorrowedFd<'_>>,
    ) -> Result<u32, ServeError> {
        let due = Instant::now() + self.options.answer_limit;
        let console = self.console(id)?;
        let size = console.buffers.get(&buffer).ok_or(ServeError::NoBuffer(buffer))?.layout.size;
        console.dark = false;
        let number = console.next_frame;
        console.next_frame = number.wrapping_add(1);
        let mut waiting = HashSet::new();
        // Cut to the buffer: no coordinate is then too large for the wire.
        let cut = |r: &Rect| {
            let side = |at: u32| i32::try_from(at).unwrap_or(i32::MAX);
            Rect::clipped(side(r.x), side(r.y), side(r.width), side(r.height), size)
        };
        let rects: Vec<Rect> = damage.iter().filter_map(cut).collect();
        let whole = rects.len() > DAMAGE_EVENTS_MAX;
        for watcher in &mut console.watchers {
            let Some(object) = watcher.buffers.get(&buffer) else { continue };
            if watcher.unanswered.len() >= UPDATES_MAX {
                watcher.console.post_error(
                    wire::Error::UnknownFrame,
                    format!("{UPDATES_MAX} updates have no answer: answer each once"),
                );
                continue;
            }
            if let Some(fence) = acquire {
                watcher.console.acquire_fence(fence);
            }
            for r in rects.iter().filter(|_| !whole) {
                let [x, y, width, height] =
                    [r.x, r.y, r.width, r.height].map(|at| i32::try_from(at).unwrap_or(i32::MAX));
                watcher.console.damage(x, y, width, height);
            }
            watcher.console.update(number, object);
            watcher.unanswered.insert(number);
            waiting.insert(watcher.console.id());
        }
        console.frames.push_back(Frame {
            number,
            waiting,
            refused: false,
            fences: Vec::new(),
            due,
        });
        self.conclude(id);
        Ok(number)
    }

    pub(super) fn swap(&mut self, id: ConsoleId, swap: Swap) -> Result<(), ServeError> {
        let console = self.console(id)?;
        console.swap = Some(swap);
        console.watchers.iter().for_each(|w| w.console.swap(swap.into()));
        Ok(())
    }

    pub(super) fn disable(&mut self, id: ConsoleId) -> Result<(), ServeError> {
        let console = self.console(id)?;
        console.dark = true;
        console.watchers.iter().for_each(|w| w.console.disabled());
        Ok(())
    }

    pub(super) fn set_cursor(&mut self, id: ConsoleId, cursor: &Cursor) -> Result<(), ServeError> {
        let size = cursor.size;
        let sides = [size.width, size.height];
        if !sides.iter().all(|side| (1..=CURSOR_SIDE_MAX).contains(side))
            || cursor.pixels.len() != 4 * size.width as usize * size.height as usize
        {
            return Err(ServeError::Picture("a cursor has sides of 1 to 512 and 4 bytes a pixel"));
        }
        let pixels = sys::sealed_copy("cursor", &cursor.pixels)
            .map_err(|source| ServeError::System { what: "a memfd", source })?;
        let console = self.console(id)?;
        console.watchers.iter().for_each(|w| send_cursor(&w.console, &pixels, cursor));
        console.cursor = Some((pixels, cursor.clone()));
        Ok(())
    }

    pub(super) fn move_cursor(
        &mut self,
        id: ConsoleId,
        x: i32,
        y: i32,
        visible: bool,
    ) -> Result<(), ServeError> {
        let console = self.console(id)?;
        console.cursor_at = Some((x, y, visible));
        console.watchers.iter().for_each(|w| w.console.cursor_at(x, y, visible.into()));
        Ok(())
    }

    pub(super) fn invalidate_begin(&mut self, id: ConsoleId) -> Result<(), ServeError> {
        let due = Some(Instant::now() + self.options.invalidate_limit);
        let console = self.console(id)?;
        console.end_invalidation();
        console.last_serial = console.last_serial.wrapping_add(1);
        let serial = console.last_serial;
        console.watchers.iter().for_each(|w| w.console.invalidate_begin(serial));
        let waiting = console.watchers.iter().map(|w| w.console.id()).collect();
        console.invalidation = Some(Invalidation { serial, waiting, due });
        self.conclude(id);
        Ok(())
    }

    pub(super) fn invalidate_end(&mut self, id: ConsoleId) -> Result<(), ServeError> {
        let console = self.console(id)?;
        console.end_invalidation();
        let Some((buffer, ..)) = console.shown else { return Ok(()) };
        let before = self.replacements;
        self.refresh(id, buffer)?;
        if self.replacements == before {
            let console = self.console(id)?;
            let shown = console.shown;
            console.watchers.iter().for_each(|w| w.show(shown));
        }
        Ok(())
    }
}
