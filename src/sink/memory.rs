//! The headless sink: each frame is read into memory of ours while the guest waits for its ack.

mod pool;
mod reading;

use std::collections::VecDeque;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::late::Late;
use crate::convert::cpu::View;
use crate::convert::cursor;
use crate::frame::{
    BufferId, CommitId, Cursor, Damage, ImportId, Layout, Memory, Picture, Pointing, StorageId,
    TARGETS,
};
use crate::port::{Buffer, Sink, SinkEvent};
use pool::Pool;
use reading::Reading;

const NOBODYS: &str = "the pool gives what nobody has";

/// A frame as it was read: its picture, and what is known of it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its pixels, which nobody changes any more.
    pub picture: Arc<Picture>,
    /// Counts the frames that were read, from 1; those that were left out aren't counted.
    pub number: u64,
    /// Counts those that the guest had finished before this one and that were left out.
    pub left_out: u64,
    /// Counts the connections to the backend, from 1.
    pub epoch: u32,
    /// Where it was read from.
    pub buffer: BufferId,
    /// The memory that this announced.
    pub storage: StorageId,
    /// What kind of memory that is. What comes as bytes in messages lies in a memfd of ours.
    pub memory: Memory,
    /// How it lay there.
    pub layout: Layout,
    /// What changed since the frame whose number is one less, in pixels of the picture.
    pub damage: Damage,
    /// When the guest had finished it; `None` for a screen that was found as it is.
    pub drawn: Option<Instant>,
    /// When all of it was read.
    pub read: Instant,
    /// By whom.
    pub read_by: ReadBy,
    /// How many bytes were read for it: only what has changed, where the rest was known.
    pub copied: u64,
    /// How long the guest waited for its ack; `None` where nobody waits.
    pub acked_after: Option<Duration>,
}

impl Deref for Frame {
    type Target = Picture;

    fn deref(&self) -> &Picture {
        &self.picture
    }
}

/// Who reads the guest's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadBy {
    /// The CPU, whatever it can.
    #[default]
    Cpu,
    /// The GPU, what that can't.
    Gpu,
}

/// What happens while frames aren't taken as fast as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The guest waits: its next frame is read at once, and acked when there is room. Its deadline holds.
    #[default]
    Wait,
    /// A few more are read, and those after them left out; the newest comes when there is room.
    Drop,
}

/// Keeps every frame that it is shown until somebody takes it.
#[derive(Debug)]
pub struct MemorySink {
    targets: [Target; TARGETS],
    pool: Pool,
    reading: Reading,
    frames: VecDeque<Frame>,
    /// How many there have been.
    number: u64,
    /// How many the guest had finished of its own, when the next copy was asked for and when the last was shown.
    finished: u64,
    shown_of: u64,
    left_out: u64,
    /// Why what the guest shows can't be read, unless it was read since.
    unreadable: Option<String>,
    /// How many connections there have been before.
    epochs: u32,
    events: VecDeque<SinkEvent>,
    late: Option<Late>,
    /// When the guest had finished what comes next.
    drawn: Option<Instant>,
    when_full: WhenFull,
    /// How many frames may wait to be taken.
    room: usize,
    /// What is told when there is room again.
    held: VecDeque<SinkEvent>,
    /// The last commit, which counts as shown until the next.
    shown: Option<CommitId>,
    cursor: Option<Pointer>,
    pointing: Pointing,
}

/// What a copy was made into.
#[derive(Debug, Default)]
struct Target {
    picture: Arc<Picture>,
    copied: u64,
    read_by: ReadBy,
    read: Option<Instant>,
    /// How many frames the guest had finished, with that one.
    finished: u64,
}

/// The guest's cursor, where frames are to have it.
#[derive(Debug, Default)]
struct Pointer {
    shape: Option<Cursor>,
    at: Option<(i32, i32)>,
}

/// One with room for as many frames as come: taking them is up to the caller, and so is the memory that they need
/// until then.
impl Default for MemorySink {
    fn default() -> Self {
        Self::new(WhenFull::Wait, usize::MAX)
    }
}

impl MemorySink {
    /// One where so many frames may wait to be taken, one at least, and what happens past that.
    pub fn new(when_full: WhenFull, room: usize) -> Self {
        Self {
            targets: Default::default(),
            pool: Pool::default(),
            reading: Reading::default(),
            frames: VecDeque::new(),
            number: 0,
            finished: 0,
            shown_of: 0,
            left_out: 0,
            unreadable: None,
            epochs: 0,
            events: VecDeque::new(),
            late: None,
            drawn: None,
            when_full,
            room: room.max(1),
            held: VecDeque::new(),
            shown: None,
            cursor: None,
            pointing: Pointing::default(),
        }
    }

    /// Has the guest's cursor drawn into the frames, where the guest has it then.
    pub fn draw_cursor(&mut self) {
        self.cursor.get_or_insert_default();
    }

    /// The oldest frame that wasn't taken yet.
    pub fn take_frame(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front();
        if self.frames.len() < self.room {
            self.events.append(&mut self.held);
        }
        frame
    }

    /// How many frames are there that show updates of the guest's, those that are only read included.
    pub fn waiting(&self) -> u64 {
        let read = self.held.iter().chain(&self.events);
        let read = read.filter(|event| matches!(event, SinkEvent::Copied { .. })).count();
        let late = usize::from(self.late.is_some());
        let drawn = self.frames.iter().filter(|frame| frame.drawn.is_some()).count();
        (drawn + read + late) as u64
    }

    /// Why what the guest shows now can't be read: there is no frame of it.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// What comes from now on is of another connection.
    pub fn next_epoch(&mut self) {
        self.epochs += 1;
        self.unreadable = None;
    }

    /// What the guest's pointer understands.
    pub fn pointing(&self) -> Pointing {
        self.pointing
    }

    /// Tells it, or keeps it until there is room.
    fn tell(&mut self, event: SinkEvent, waits: WhenFull) {
        let held = self.frames.len() >= self.room && self.when_full == waits;
        let queue = if held { &mut self.held } else { &mut self.events };
        queue.push_back(event);
    }

    fn copy_now(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        match self.copy_into(target, buffer, damage) {
            // The ack follows.
            Ok(bytes) => self.tell(SinkEvent::Copied { target, bytes }, WhenFull::Wait),
            Err(reason) => {
                self.unreadable = Some(reason.clone());
                self.events.push_back(SinkEvent::CopyFailed { target, reason });
            }
        }
    }

    fn copy_into(&mut self, target: u8, buffer: &Buffer, damage: &Damage) -> Result<u64, String> {
        let view = view(buffer);
        let size = view.size();
        let target = &mut self.targets[usize::from(target)];
        let mut damage = whole_if_all(&view, damage);
        if target.picture.size != size {
            self.pool.swap(&mut target.picture, size);
            damage = Damage::Whole;
        } else if Arc::get_mut(&mut target.picture).is_none() {
            // Somebody still has what was copied before: that is not written to.
            let before = Arc::clone(&target.picture);
            self.pool.swap(&mut target.picture, size);
            if damage != Damage::Whole {
                let picture = Arc::get_mut(&mut target.picture).expect(NOBODYS);
                picture.pixels.copy_from_slice(&before.pixels);
            }
        }
        let picture = Arc::get_mut(&mut target.picture).expect(NOBODYS);
        let stride = picture.row_length();
        let pixels = &mut picture.pixels;
        let (bytes, by) = self.reading.copy(&buffer.storage, &view, &damage, pixels, stride)?;
        (target.copied, target.read_by, target.read) = (bytes, by, Some(Instant::now()));
        target.finished = self.finished;
        Ok(bytes)
    }

    /// What was shown isn't any more, so that its target is the next but one: until then whoever took the frame has
    /// most likely done with it. While all targets are held the machine leaves frames out.
    fn release(&mut self) {
        if let Some(commit) = self.shown.take() {
            self.tell(SinkEvent::Released(commit), WhenFull::Drop);
        }
    }

    /// The picture of a target, with the cursor in it where that is wanted.
    fn picture(&mut self, target: usize) -> Arc<Picture> {
        let picture = &self.targets[target].picture;
        let Some(Pointer { shape: Some(shape), at: Some(at) }) = &self.cursor else {
            return Arc::clone(picture);
        };
        let mut with = Arc::default();
        self.pool.swap(&mut with, picture.size);
        let pixels = Arc::get_mut(&mut with).expect(NOBODYS);
        pixels.pixels.copy_from_slice(&picture.pixels);
        cursor::draw(shape, *at, pixels);
        self.pool.keep(&with);
        with
    }
}

fn view(buffer: &Buffer) -> View {
    let Buffer { layout, visible, transform, .. } = *buffer;
    View { layout, visible, transform }
}

/// Backends may have no other word for all of it than its rectangle: then nothing of what was there before is needed.
fn whole_if_all(view: &View, damage: &Damage) -> Damage {
    match *damage {
        Damage::Rects { rects, count }
            if rects[..usize::from(count)]
                .iter()
                .any(|rect| rect.intersection(view.visible) == Some(view.visible)) =>
        {
            Damage::Whole
        }
        other => other,
    }
}

impl Sink for MemorySink {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.late.as_ref().and_then(Late::fd)
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        if let Some(Late { target, buffer, damage }) = self.late.take_if(|late| late.is_due()) {
            self.copy_now(target, &buffer, &damage);
        }
        self.events.pop_front()
    }

    fn flush(&mut self) {}

    fn import(&mut self, import: ImportId, _: &Buffer) {
        let reason = "memory can only be copied into".to_owned();
        self.events.push_back(SinkEvent::Refused { import, reason });
    }

    fn show(&mut self, _: CommitId, import: ImportId, _: &Buffer, _: &Damage) {
        unreachable!("{import:?} was never imported");
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        self.late = Late::new(target, buffer, damage);
        if self.late.is_none() {
            self.copy_now(target, buffer, damage);
        }
    }

    fn finished(&mut self, frames: u64) {
        self.finished = frames;
    }

    fn drawn(&mut self, _: CommitId, at: Instant, _: Instant) {
        self.drawn = Some(at);
    }

    fn show_copy(&mut self, commit: CommitId, target: u8, buffer: &Buffer, damage: &Damage) {
        let picture = self.picture(usize::from(target));
        let Target { copied, read_by, read, finished, .. } = self.targets[usize::from(target)];
        self.number += 1;
        // A screen that is found as it is is none of those that were finished.
        let own = u64::from(self.drawn.is_some());
        self.left_out += finished.saturating_sub(self.shown_of).saturating_sub(own);
        self.shown_of = finished;
        self.unreadable = None;
        self.frames.push_back(Frame {
            picture,
            number: self.number,
            left_out: self.left_out,
            epoch: self.epochs + 1,
            buffer: buffer.id,
            storage: buffer.storage.id,
            memory: buffer.storage.memory.clone(),
            layout: buffer.layout,
            damage: damage.seen(buffer.visible, buffer.transform),
            drawn: self.drawn.take(),
            read: read.unwrap_or_else(Instant::now),
            read_by,
            copied,
            acked_after: None,
        });
        self.events.push_back(SinkEvent::Presented(commit));
        self.release();
        self.shown = Some(commit);
    }

    fn acked(&mut self, drawn: Instant, after: Duration) {
        let its = |frame: &&mut Frame| frame.drawn == Some(drawn);
        if let Some(frame) = self.frames.iter_mut().rev().find(its) {
            frame.acked_after = Some(after);
        }
    }

    fn blank(&mut self) {
        self.unreadable = None;
        self.release();
    }

    fn forget(&mut self, storage: StorageId) {
        self.reading.forget(storage);
    }

    fn set_cursor(&mut self, shape: Option<&Cursor>) {
        if let Some(pointer) = &mut self.cursor {
            pointer.shape = shape.cloned();
        }
    }

    fn set_pointing(&mut self, pointing: Pointing) {
        self.pointing = pointing;
    }

    fn move_cursor(&mut self, x: i32, y: i32, visible: bool) {
        if let Some(pointer) = &mut self.cursor {
            pointer.at = visible.then_some((x, y));
        }
    }
}
