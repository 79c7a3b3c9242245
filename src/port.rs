//! What the rooms say to each other.
//!
//! A source and a sink look alike from the session: an fd to wait on, and a queue to drain.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::frame::{
    BufferId, Clipboard, Cursor, Damage, Device, Input, Layout, Leds, Pointing, Rect, SizeHint,
    Sound, Storage, StorageId, Transform,
};
pub use crate::frame::{CommitId, ImportId, Swap, TARGETS};

/// Where frames come from.
pub trait Source {
    /// Readable when [`poll`](Self::poll) may have something.
    fn fd(&self) -> BorrowedFd<'_>;
    /// The next event, in the order in which the backend sent them; never blocks.
    fn poll(&mut self) -> Option<SourceEvent>;
    /// Passes on what the user did; what the backend can't take is dropped.
    fn send(&mut self, input: &Input);
    /// Tells the guest how large a picture is wanted; what the backend can't take is dropped.
    fn resize(&mut self, _hint: &SizeHint) {}
    /// What happened at the host's clipboard. Sources whose guest has none drop it.
    fn clipboard(&mut self, _happened: Clipboard) {}
    /// Whether the guest is heard from now on; at first it isn't. Sources without sound drop it.
    fn set_sound(&mut self, _sound: Sound) {}
    /// Whether the guest hears the user from now on; at first it doesn't. Sources without sound drop it.
    fn set_microphone(&mut self, _microphone: Sound) {}
    /// The session has dropped every fd of this storage, and nothing of ours reads it. It may be one
    /// that an earlier source of the session announced.
    fn retired(&mut self, _storage: StorageId) {}
}

/// What a backend tells.
#[derive(Debug)]
pub enum SourceEvent {
    /// From now on the console shows this.
    Scanout(Announcement),
    /// The guest finished a frame in `buffer`.
    Update {
        /// The buffer it was drawn into.
        buffer: BufferId,
        /// What changed.
        damage: Damage,
        /// The backend waits for this, if for anything.
        ack: Ack,
    },
    /// The pages of this buffer are no longer the guest's: it is never shown again.
    Replaced(BufferId),
    /// The pages of every buffer are about to be replaced: all that was announced is let go (see
    /// [`Source::retired`]), and the next [`Scanout`](Self::Scanout) is shown again.
    Invalidate,
    /// How the guest draws, where the backend knows; a hint.
    Swap(Option<Swap>),
    /// The console may have gone dark; [`Update`](Self::Update) or [`Scanout`](Self::Scanout) takes it back.
    Disabled,
    /// The guest's cursor looks like this now.
    Cursor(Cursor),
    /// The guest's cursor is here now: its top left corner, in pixels of the visible picture.
    CursorAt {
        /// From the left; may be negative.
        x: i32,
        /// From the top; may be negative.
        y: i32,
        /// Whether the guest shows a cursor at all.
        visible: bool,
    },
    /// What the guest's pointer understands now; at first a place.
    Pointing(Pointing),
    /// Which locks of its keyboard are on in the guest.
    Leds(Leds),
    /// What happened at the guest's clipboard.
    Clipboard(Clipboard),
    /// The backend is gone, and why. The last event.
    Lost(String),
}

/// A buffer that a console shows, checked by the source: the layout fits into the storage, and
/// `visible` lies within the layout and is not empty.
#[derive(Debug)]
pub struct Announcement {
    /// Its new id.
    pub buffer: BufferId,
    /// The memory. Owns its fds.
    pub storage: Storage,
    /// How to read it.
    pub layout: Layout,
    /// Which part of it is on the screen, as the rows lie in memory.
    pub visible: Rect,
    /// Which way up.
    pub transform: Transform,
}

/// Gives out buffer ids: one counter a process, so that ids of two connections never meet.
pub fn next_buffer_id() -> BufferId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    BufferId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How an update ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing of ours reads what the guest may write next (or the deadline came).
    Done,
    /// It was not for the current buffer.
    Refused,
}

/// Takes the verdicts of one backend connection.
pub trait Settle: Send + Sync {
    /// Called once for each update, from any thread; must not block.
    fn settle(&self, update: u64, verdict: Verdict);
}

/// The right to an ack. Dropping it acks, so that no error path leaves a guest waiting.
pub struct Ack {
    to: Option<Arc<dyn Settle>>,
    update: u64,
}

impl Ack {
    /// An ack that `to` waits for; `update` is `to`'s own number for it.
    pub fn new(to: Arc<dyn Settle>, update: u64) -> Self {
        Self { to: Some(to), update }
    }

    /// For updates that nobody waits for.
    pub fn none() -> Self {
        Self { to: None, update: 0 }
    }

    /// Whether anybody waits.
    pub fn is_owed(&self) -> bool {
        self.to.is_some()
    }

    /// Settles it.
    pub fn settle(mut self, verdict: Verdict) {
        if let Some(to) = self.to.take() {
            to.settle(self.update, verdict);
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to.settle(self.update, Verdict::Done);
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").field("update", &self.update).field("owed", &self.is_owed()).finish()
    }
}

/// An announcement as the session keeps it.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Its id.
    pub id: BufferId,
    /// The memory; alive as long as anybody holds this.
    pub storage: Rc<Storage>,
    /// How to read it.
    pub layout: Layout,
    /// Which part of it is on the screen, as the rows lie in memory.
    pub visible: Rect,
    /// Which way up.
    pub transform: Transform,
}

/// Where frames go. A sink does what it is told and decides nothing: no call blocks, and what takes
/// time is answered by an event.
pub trait Sink {
    /// Readable when [`poll`](Self::poll) may have something; `None` where events come only from calls.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// The next event; reads what has arrived and never blocks.
    fn poll(&mut self) -> Option<SinkEvent>;

    /// Sends off what the calls below have written.
    fn flush(&mut self);

    /// Makes the guest's own memory presentable: answers [`SinkEvent::Imported`] or
    /// [`SinkEvent::Refused`]. The sink keeps what it needs (an `Rc` of the storage, a handle) until
    /// [`forget`](Self::forget).
    fn import(&mut self, import: ImportId, buffer: &Buffer);

    /// Presents an imported storage. `damage` is what changed since the last commit.
    fn show(&mut self, commit: CommitId, import: ImportId, buffer: &Buffer, damage: &Damage);

    /// Copies `damage` of the visible part of `buffer`, upright, into the sink's own `target`
    /// (below [`TARGETS`]): answers [`SinkEvent::Copied`] or [`SinkEvent::CopyFailed`].
    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage);

    /// Presents `target`, which was copied from `buffer`. `damage`, in pixels of `buffer`, is what
    /// changed since the last commit.
    fn show_copy(&mut self, commit: CommitId, target: u8, buffer: &Buffer, damage: &Damage);

    /// How many frames the guest has finished so far, without those that were refused: the last of them is what
    /// the [`copy`](Self::copy) that comes next shows. Sinks that count none ignore it.
    fn finished(&mut self, _frames: u64) {}

    /// When the guest had finished the frame that `commit`, which comes next, shows; and since when it is
    /// wanted, which is later where it was shown before, or where nobody looked. Not called for what the
    /// guest has not finished: a scanout without an update. Sinks that keep no time ignore it.
    fn drawn(&mut self, _commit: CommitId, _at: Instant, _wanted: Instant) {}

    /// The guest may go on from the frame that it had finished then (see [`drawn`](Self::drawn)), for which it
    /// has waited so long. Sinks that keep no time ignore it.
    fn acked(&mut self, _drawn: Instant, _after: Duration) {}

    /// Shows nothing.
    fn blank(&mut self);

    /// Drops every import and mapping of `storage`. Called when nothing of the sink's reads it.
    fn forget(&mut self, storage: StorageId);

    /// The guest's cursor looks like this now; `None`: it has none of its own. Sinks without a cursor
    /// ignore it.
    fn set_cursor(&mut self, _cursor: Option<&Cursor>) {}

    /// The guest's cursor is here now (see [`SourceEvent::CursorAt`]).
    fn move_cursor(&mut self, _x: i32, _y: i32, _visible: bool) {}

    /// Which locks of its keyboard are on in the guest; `None`: it doesn't say.
    fn set_leds(&mut self, _leds: Option<Leds>) {}

    /// What the guest's pointer understands from now on.
    fn set_pointing(&mut self, _pointing: Pointing) {}

    /// What happened at the guest's clipboard. Sinks without one drop it.
    fn clipboard(&mut self, _happened: Clipboard) {}
}

/// What a sink tells.
#[derive(Debug)]
pub enum SinkEvent {
    /// [`Sink::import`] worked.
    Imported(ImportId),
    /// [`Sink::import`] didn't, and why; or what was imported can't be shown any more.
    Refused {
        /// What was to be imported.
        import: ImportId,
        /// For the user.
        reason: String,
    },
    /// [`Sink::copy`] is complete: nothing reads the guest's memory for it any more.
    Copied {
        /// Where to.
        target: u8,
        /// How many bytes were written.
        bytes: u64,
    },
    /// [`Sink::copy`] could not be done.
    CopyFailed {
        /// Where to.
        target: u8,
        /// For the user.
        reason: String,
    },
    /// What the sink takes has changed: what it refused may be tried again.
    OffersChanged,
    /// The sink wants the newest frame once more, whole: whoever it passes frames on to is another now.
    Redraw,
    /// Nothing reads this commit any more, nor an earlier one of the same import or target. Each
    /// commit is released at most once; one that was followed by another of the same need not be.
    Released(CommitId),
    /// This commit (or a later one) was taken for the screen.
    Presented(CommitId),
    /// Nobody can see the picture now, or somebody can again.
    Hidden(bool),
    /// A picture of this size would fill the sink. The guest may be told.
    Resized(SizeHint),
    /// The user did something that concerns the guest.
    Input(Input),
    /// That device is elsewhere now: what is held on it counts as let go.
    Left(Device),
    /// The user wants something of whoever runs the session; the sink says what.
    Wanted,
    /// What happened at the host's clipboard.
    Clipboard(Clipboard),
    /// The user closed the sink, or (with a reason) it broke. The last event.
    Closed(Option<String>),
}
