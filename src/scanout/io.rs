//! What goes into the machine and what comes out of it.

use std::time::Duration;

use super::mode::Present;
use crate::frame::{
    BufferId, CommitId, Damage, ImportId, Layout, Rect, StorageId, Swap, Transform, UpdateId,
};

/// A point in time: since whatever start the shell chose.
pub type Time = Duration;

/// One sink of a scanout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(pub u32);

/// The times that the machine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// An update is acked after this, whatever still reads.
    pub ack_deadline: Duration,
    /// An update is acked no sooner than this, whatever nothing reads.
    pub ack_after: Duration,
    /// Whether a guest that draws in place into what is shown directly goes on when that was released; else when it is
    /// on the screen.
    pub await_release: bool,
    /// How long a scanout waits for its first update before it is shown without, where nothing is on
    /// the screen.
    pub first_grace: Duration,
    /// The same, where an earlier picture is.
    pub next_grace: Duration,
    /// The picture is blanked this long after the backend said that the console is off.
    pub blank_after: Duration,
    /// How long memory that is about to be replaced is still the guest's, where it isn't let go before.
    pub leave_within: Duration,
}

impl Config {
    /// What a viewer wants: the first picture at once; a flip, whose update follows within a
    /// millisecond, shown once instead of twice.
    pub const VIEWER: Self = Self {
        ack_deadline: Duration::from_millis(40),
        ack_after: Duration::ZERO,
        await_release: false,
        first_grace: Duration::ZERO,
        next_grace: Duration::from_millis(5),
        blank_after: Duration::from_millis(100),
        leave_within: Duration::from_millis(50),
    };

    /// How long a commit may wait to be presented before the sink counts as hidden.
    pub(super) fn stalled_after(&self) -> Duration {
        self.ack_deadline.max(Duration::from_millis(100))
    }
}

/// What the machine knows of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Announced {
    /// Its id.
    pub buffer: BufferId,
    /// The memory.
    pub storage: StorageId,
    /// How to read it.
    pub layout: Layout,
    /// What of it is on the screen.
    pub visible: Rect,
    /// Which way up.
    pub transform: Transform,
    /// Whether the kernel makes readers wait for whoever writes it.
    pub fenced: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A sink joined.
    Attach(SinkId, Present),
    /// The user wants this from now on.
    SetPresent(SinkId, Present),
    /// A sink left.
    Detach(SinkId),
    /// The console shows this now.
    Scanout(Announced),
    /// The pages of this buffer are no longer the guest's. What shows them now goes on until the next
    /// scanout; nothing shows or copies them any more.
    Replaced(BufferId),
    /// The pages of every buffer are about to be replaced: all that was announced is let go, what is
    /// shown directly after one last copy. The next scanout is shown again.
    Invalidate,
    /// How the guest goes on from its next update. `None`, as at first: that is told from its updates.
    Swap(Option<Swap>),
    /// The guest finished a frame.
    Update {
        /// Its id.
        update: UpdateId,
        /// Where it was drawn.
        buffer: BufferId,
        /// What changed.
        damage: Damage,
        /// Whether the backend waits.
        owed: bool,
    },
    /// The console may be off.
    Disabled,
    /// The backend is gone.
    Lost,
    /// An import worked.
    Imported(SinkId, ImportId),
    /// An import didn't.
    Refused(SinkId, ImportId),
    /// The sink takes something else than before: what it refused may be tried again.
    OffersChanged(SinkId),
    /// The sink wants the newest frame once more.
    Redraw(SinkId),
    /// A copy into this target is complete.
    Copied(SinkId, u8, u64),
    /// A copy into this target can't be done.
    CopyFailed(SinkId, u8),
    /// Nothing reads this commit any more.
    Released(SinkId, CommitId),
    /// This commit is on the screen.
    Presented(SinkId, CommitId),
    /// Nobody can see the sink now, or somebody can again.
    Hidden(SinkId, bool),
    /// Time has passed.
    Tick,
}

/// What the shell shall do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Make this presentable.
    Import {
        /// For whom.
        sink: SinkId,
        /// What.
        import: ImportId,
        /// By which announcement.
        buffer: BufferId,
    },
    /// Present an import.
    Show {
        /// To whom.
        sink: SinkId,
        /// The commit's id.
        commit: CommitId,
        /// What.
        import: ImportId,
        /// By which announcement.
        buffer: BufferId,
        /// What changed on the sink's surface.
        damage: Damage,
        /// When the update came that this shows; `None` for a scanout without one.
        drawn: Option<Time>,
        /// Since when it is wanted: later than that where it was shown before, or could not be.
        wanted: Time,
    },
    /// Copy into a target.
    Copy {
        /// For whom.
        sink: SinkId,
        /// Where to.
        target: u8,
        /// Where from.
        buffer: BufferId,
        /// What the target lacks.
        damage: Damage,
    },
    /// Present a target.
    ShowCopy {
        /// To whom.
        sink: SinkId,
        /// The commit's id.
        commit: CommitId,
        /// What.
        target: u8,
        /// Where it was copied from.
        buffer: BufferId,
        /// What changed on the sink's surface.
        damage: Damage,
        /// When the update came that this shows; `None` for a scanout without one.
        drawn: Option<Time>,
        /// Since when it is wanted, as in [`Show`](Self::Show).
        wanted: Time,
    },
    /// Show nothing.
    Blank(SinkId),
    /// The guest may go on.
    Ack {
        /// Which frame.
        update: UpdateId,
        /// Whether a reader was left.
        forced: bool,
    },
    /// The update was for another buffer than the current one, or its backend is gone.
    Refuse(UpdateId),
    /// Drop every fd of this storage, in all sinks and in the session. Nothing reads it.
    Retire(StorageId),
}
