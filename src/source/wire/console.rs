//! What a backend says of one console and its buffers, checked and turned into events.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use wayland_client::Proxy;
use wayland_client::backend::ObjectId;

use super::acks::Acks;
use super::cursor::read_cursor;
use super::fence::{is_signalled, is_sync_file};
use crate::frame::{
    BufferId, Damage, Format, Layout, Memory, Modifier, PLANES_MAX, Plane, Rect, Size, StorageId,
    Transform,
};
use crate::port::{Ack, Announcement, Settle, SourceEvent, Swap, Verdict, next_buffer_id};
use crate::protocol::client::guest_buffer_v1::{self, GuestBufferV1};
use crate::protocol::client::guest_console_v1 as wire;
use crate::protocol::{BUFFERS_MAX, DAMAGE_EVENTS_MAX};
use crate::source::CONSOLE_GONE;
use crate::source::check::check;
use crate::sys::{self, Classify};

/// Events that the session hasn't taken; a backend that sends more is hung up on.
const QUEUE_MAX: usize = 4096;

/// What a backend did wrong.
pub(super) type Fault = String;

#[derive(Debug)]
pub(super) struct Console {
    classify: Classify,
    acks: Arc<Acks>,
    queue: VecDeque<Queued>,
    buffers: HashMap<ObjectId, Buffer>,
    damage: Damage,
    damage_events: usize,
    fence: Option<OwnedFd>,
    /// Pages are being replaced: until that is over nothing is announced to the session.
    invalid: bool,
    /// The invalidation that waits for us.
    invalidation: Option<u32>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "fences are rare, a box a frame is not")]
enum Queued {
    Event(SourceEvent),
    /// What follows waits for this.
    Fence(OwnedFd),
}

impl Queued {
    fn is_scanout_of(&self, storage: Option<StorageId>) -> bool {
        matches!(self, Self::Event(SourceEvent::Scanout(a)) if Some(a.storage.id) == storage)
    }
}

#[derive(Debug)]
struct Buffer {
    object: GuestBufferV1,
    fds: Vec<OwnedFd>,
    planes: [Plane; PLANES_MAX],
    layout: Option<Layout>,
    done: bool,
    gone: bool,
    /// The id of its last announcement.
    announced: Option<BufferId>,
    /// Whether that is what it was last shown as: updates of others are refused.
    shown: bool,
    storage: Option<StorageId>,
    /// The session has an fd of it.
    held: bool,
}

impl Console {
    pub(super) fn new(classify: Classify, acks: Arc<Acks>) -> Self {
        Self {
            classify,
            acks,
            queue: VecDeque::new(),
            buffers: HashMap::new(),
            damage: Damage::NONE,
            damage_events: 0,
            fence: None,
            invalid: false,
            invalidation: None,
        }
    }

    /// The next event for the session, in the backend's order.
    pub(super) fn next_event(&mut self) -> Option<SourceEvent> {
        loop {
            match self.queue.pop_front()? {
                Queued::Fence(fence) if !is_signalled(&fence) => {
                    self.queue.push_front(Queued::Fence(fence));
                    return None;
                }
                Queued::Fence(_) => {}
                Queued::Event(event) => {
                    if let SourceEvent::Scanout(announcement) = &event {
                        let id = announcement.storage.id;
                        let same = |b: &&mut Buffer| b.storage == Some(id);
                        self.buffers.values_mut().filter(same).for_each(|b| b.held = true);
                    }
                    return Some(event);
                }
            }
        }
    }

    /// Nobody asks any more: what waits is dropped, and with it the objects, which hold what holds this.
    pub(super) fn close(&mut self) {
        self.queue.clear();
        self.buffers.clear();
        self.fence = None;
    }

    /// Whether a buffer was named whose announcement isn't complete.
    pub(super) fn is_announcing(&self) -> bool {
        self.buffers.values().any(|buffer| !buffer.done && !buffer.gone)
    }

    /// What the next event waits for, if for anything but the backend.
    pub(super) fn fence(&self) -> Option<OwnedFd> {
        match self.queue.front() {
            Some(Queued::Fence(fence)) => fence.try_clone().ok(),
            _ => None,
        }
    }

    fn push(&mut self, event: SourceEvent) -> Result<(), Fault> {
        if self.queue.len() >= QUEUE_MAX {
            return Err("it sent more than can be taken".to_owned());
        }
        self.queue.push_back(Queued::Event(event));
        Ok(())
    }

    /// The session has dropped its fds of a storage.
    pub(super) fn retired(&mut self, storage: StorageId) {
        let acks = Arc::clone(&self.acks);
        for buffer in self.buffers.values_mut().filter(|b| b.storage == Some(storage)) {
            buffer.held = false;
            if buffer.gone {
                buffer.object.destroy();
            } else {
                acks.say(|console| console.release(&buffer.object));
            }
        }
        self.buffers.retain(|_, b| b.held || !b.gone || b.storage != Some(storage));
        self.answer_invalidation();
    }

    /// Says that nothing of ours reads, once it is so: the session has heard of it, answered every
    /// update before, and let go of every buffer.
    pub(super) fn answer_invalidation(&mut self) {
        if self.queue.is_empty()
            && self.acks.is_idle()
            && !self.buffers.values().any(|buffer| buffer.held)
            && let Some(serial) = self.invalidation.take()
        {
            self.acks.say(|console| console.invalidate_ready(serial));
        }
    }

    pub(super) fn buffer_event(
        &mut self,
        id: &ObjectId,
        event: guest_buffer_v1::Event,
    ) -> Result<(), Fault> {
        use guest_buffer_v1::Event;
        let Some(buffer) = self.buffers.get_mut(id) else { return Ok(()) };
        match event {
            Event::Gone => {
                buffer.gone = true;
                let (replaced, storage) = (buffer.announced, buffer.storage);
                // The session may have it, or be about to get it.
                if !buffer.held && !self.queue.iter().any(|queued| queued.is_scanout_of(storage)) {
                    buffer.object.destroy();
                    self.buffers.remove(id);
                }
                return replaced.map_or(Ok(()), |id| self.push(SourceEvent::Replaced(id)));
            }
            _ if buffer.done => return Err("it changed a buffer after it was done".to_owned()),
            Event::Plane { memory, offset, stride } => {
                let place = buffer.planes.get_mut(buffer.fds.len());
                *place.ok_or("it announced a buffer with more than 4 planes")? =
                    Plane { offset, stride };
                buffer.fds.push(memory);
            }
            Event::Layout { width, height, format, modifier_hi, modifier_lo } => {
                let layout = Layout {
                    size: Size { width, height },
                    format: Format(format),
                    modifier: Modifier(u64::from(modifier_hi) << 32 | u64::from(modifier_lo)),
                    planes: [Plane::default(); PLANES_MAX],
                    plane_count: 0,
                };
                if buffer.layout.replace(layout).is_some() {
                    return Err("it gave a buffer two layouts".to_owned());
                }
            }
            Event::Done => {
                let layout = buffer.layout.as_mut().ok_or("it gave a buffer no layout")?;
                layout.planes = buffer.planes;
                layout.plane_count = buffer.fds.len() as u8;
                buffer.done = true;
            }
        }
        Ok(())
    }

    pub(super) fn event(&mut self, event: wire::Event) -> Result<(), Fault> {
        use wire::Event;
        match event {
            Event::Buffer { id } => {
                if self.buffers.len() >= BUFFERS_MAX {
                    return Err(format!("it has more than {BUFFERS_MAX} buffers"));
                }
                let buffer = Buffer {
                    object: id.clone(),
                    fds: Vec::new(),
                    planes: [Plane::default(); PLANES_MAX],
                    layout: None,
                    done: false,
                    gone: false,
                    announced: None,
                    shown: false,
                    storage: None,
                    held: false,
                };
                self.buffers.insert(id.id(), buffer);
            }
            Event::Scanout { buffer, x, y, width, height, transform } => {
                let transform = match transform.into_result() {
                    Ok(wire::Transform::Flipped) => Transform::Flipped,
                    Ok(wire::Transform::Normal) => Transform::Normal,
                    Err(_) => return Err("it used a transform that isn't known".to_owned()),
                };
                self.scanout(&buffer.id(), Rect { x, y, width, height }, transform)?;
            }
            Event::Swap { mode } => match mode.into_result() {
                Ok(wire::Swap::Flip) => self.push(SourceEvent::Swap(Some(Swap::Flip)))?,
                Ok(wire::Swap::InPlace) => self.push(SourceEvent::Swap(Some(Swap::InPlace)))?,
                Ok(wire::Swap::Unknown) | Err(_) => self.push(SourceEvent::Swap(None))?,
            },
            Event::Replaced { old, new } => {
                self.alive(&new.id())?;
                if let Some(id) = self.alive(&old.id())?.announced {
                    self.push(SourceEvent::Replaced(id))?;
                }
            }
            Event::AcquireFence { fence } => {
                if !is_sync_file(&fence) {
                    return Err("it sent a fence that is no sync_file".to_owned());
                }
                self.fence = Some(fence);
            }
            Event::Damage { x, y, width, height } => {
                self.damage_events += 1;
                if self.damage_events > DAMAGE_EVENTS_MAX {
                    return Err(format!("it sent more than {DAMAGE_EVENTS_MAX} damages at once"));
                }
                // The buffer isn't known yet: its update cuts to it.
                let bounds = Size { width: u32::MAX, height: u32::MAX };
                self.damage.merge(&Damage::clamped(x, y, width, height, bounds));
            }
            Event::Update { frame, buffer } => self.update(frame, &buffer.id())?,
            Event::Disabled => self.push(SourceEvent::Disabled)?,
            Event::Cursor { pixels, width, height, hotspot_x, hotspot_y } => {
                let size = Size { width, height };
                let cursor = read_cursor(&pixels, size, (hotspot_x, hotspot_y))?;
                let same = |q: &&mut Queued| matches!(q, Queued::Event(SourceEvent::Cursor(_)));
                // Only the newest counts, so that they can't fill our memory.
                match self.queue.iter_mut().find(same) {
                    Some(old) => *old = Queued::Event(SourceEvent::Cursor(cursor)),
                    None => self.push(SourceEvent::Cursor(cursor))?,
                }
            }
            Event::CursorAt { x, y, visible } => {
                let at = SourceEvent::CursorAt { x, y, visible: visible != 0 };
                match self.queue.back_mut() {
                    Some(Queued::Event(last @ SourceEvent::CursorAt { .. })) => *last = at,
                    _ => self.push(at)?,
                }
            }
            Event::InvalidateBegin { serial } => {
                (self.invalid, self.invalidation) = (true, Some(serial));
                self.buffers.values_mut().for_each(|buffer| buffer.shown = false);
                self.push(SourceEvent::Invalidate)?;
            }
            Event::InvalidateEnd { .. } => (self.invalid, self.invalidation) = (false, None),
            Event::Gone => return Err(CONSOLE_GONE.to_owned()),
        }
        Ok(())
    }

    /// A buffer that may be named.
    fn alive(&mut self, id: &ObjectId) -> Result<&mut Buffer, Fault> {
        let buffer = self.buffers.get_mut(id).filter(|buffer| buffer.done && !buffer.gone);
        buffer.ok_or_else(|| "it named a buffer that is not complete, or gone".to_owned())
    }

    fn scanout(&mut self, id: &ObjectId, visible: Rect, up: Transform) -> Result<(), Fault> {
        let classify = self.classify;
        let invalid = self.invalid;
        let buffer = self.alive(id)?;
        buffer.shown = false;
        // It is said again when that is over.
        if invalid {
            return Ok(());
        }
        match buffer.announce(classify, visible, up) {
            Ok(announcement) => {
                (buffer.announced, buffer.shown) = (Some(announcement.buffer), true);
                buffer.storage = Some(announcement.storage.id);
                self.push(SourceEvent::Scanout(announcement))?;
            }
            // Its updates are refused; the next scanout may be better.
            Err(reason) => tracing::warn!(reason, "the backend's buffer can't be used"),
        }
        Ok(())
    }

    fn update(&mut self, frame: u32, id: &ObjectId) -> Result<(), Fault> {
        let damage = std::mem::replace(&mut self.damage, Damage::NONE);
        let any = std::mem::take(&mut self.damage_events) > 0;
        let fence = self.fence.take();
        let buffer = self.alive(id)?;
        let size = buffer.layout.as_ref().map(|layout| layout.size).unwrap_or_default();
        let announced = buffer.announced.filter(|_| buffer.shown);
        self.acks.owe(frame)?;
        let Some(buffer) = announced else {
            self.acks.settle(u64::from(frame), Verdict::Refused);
            return Ok(());
        };
        let damage = if any { cut(&damage, size) } else { Damage::Whole };
        let ack = Ack::new(Arc::clone(&self.acks) as Arc<dyn Settle>, u64::from(frame));
        if let Some(fence) = fence {
            self.queue.push_back(Queued::Fence(fence));
        }
        self.push(SourceEvent::Update { buffer, damage, ack })
    }
}

impl Buffer {
    fn announce(
        &self,
        classify: Classify,
        visible: Rect,
        transform: Transform,
    ) -> Result<Announcement, String> {
        let words = |error: &dyn std::error::Error| error.to_string();
        let mut layout = self.layout.ok_or("it has no layout")?;
        let fds = self.fds.iter().map(OwnedFd::try_clone).collect::<Result<Vec<_>, _>>();
        let storage = sys::storage(fds.map_err(|e| words(&e))?, classify).map_err(|e| words(&e))?;
        let linear = match &storage.memory {
            Memory::DmaBuf { exporter } => exporter == "udmabuf",
            Memory::Memfd { .. } => true,
        };
        if layout.modifier == Modifier::INVALID && linear {
            layout.modifier = Modifier::LINEAR;
        }
        let sizes = storage.fds.iter().map(|fd| classify(fd.as_fd()).map(|found| found.size));
        let sizes = sizes.collect::<Result<Vec<_>, _>>().map_err(|e| words(&e))?;
        check(&layout, visible, &sizes).map_err(|e| words(&e))?;
        Ok(Announcement { buffer: next_buffer_id(), storage, layout, visible, transform })
    }
}

/// What of a damage lies within a buffer; everything, where nothing does.
fn cut(damage: &Damage, size: Size) -> Damage {
    let Damage::Rects { rects, count } = damage else { return Damage::Whole };
    let side = |at: u32| i32::try_from(at).unwrap_or(i32::MAX);
    let mut sum = Damage::NONE;
    for r in &rects[..usize::from(*count)] {
        sum.merge(&Damage::clamped(side(r.x), side(r.y), side(r.width), side(r.height), size));
    }
    sum
}

#[cfg(test)]
mod tests;
