//! How one sink comes to see the newest frame: directly or by a copy, from which handle, into which
//! target, and what that leaves it reading.

use std::time::Duration;

use super::{Announced, PROBATION_FRAMES, SinkId, Time};
use crate::frame::{BufferId, CommitId, Damage, ImportId, Layout, StorageId, TARGETS};

/// Imports a sink keeps; past that it copies.
const IMPORTS_MAX: usize = 16;
/// Storages that may be held past their end before a guest's every further one is copied.
pub(super) const HELD_MAX: usize = 4;
/// Flips in a row after which a guest counts as one that flips.
const FLIPS_TO_TRUST: u32 = 2;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Present {
    /// Direct where nothing tears, else a copy.
    #[default]
    Auto,
    /// Direct wherever the sink takes it; guests that draw in place may tear.
    Direct,
    /// Always a copy.
    Copy,
}

/// How a frame reaches the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The guest's own memory.
    Direct,
    /// Memory of ours.
    Copy,
}

/// Why it is done so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The user wanted it.
    Asked,
    /// The guest flips between buffers.
    Flips,
    /// The guest draws into the buffer that is shown.
    InPlace,
    /// The kernel makes readers wait for the guest.
    Fenced,
    /// The sink can't take the guest's memory.
    Refused,
    /// The CPU can't read the guest's memory.
    Unreadable,
    /// The sink lately released a frame past the deadline.
    Late,
    /// Nobody can see it.
    Hidden,
    /// Too much memory is held already.
    Crowded,
    /// The backend is gone.
    Lost,
}

/// What of the guest matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    pub(super) flips_in_row: u32,
    pub(super) crowded: bool,
    pub(super) lost: bool,
}

/// What can be done next.
pub(super) enum Step {
    /// Something is under way.
    Wait,
    /// Nobody looks and nothing is held: the frame counts as done.
    Skip,
    /// Everything is held: the frame is left out, and shown when something comes free.
    Drop,
    Import(ImportId),
    Show(ImportId),
    Copy(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Absent,
    Importing,
    Idle,
    /// Committed and not released. `again`: more than once, so that a release says nothing.
    Held {
        commit: CommitId,
        again: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Imported {
    storage: StorageId,
    layout: Layout,
    refused: bool,
    slots: [Slot; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    held: Option<CommitId>,
    superseded_at: Option<Time>,
    /// Which buffer it has pixels of, and what of them is old.
    of: Option<BufferId>,
    behind: Damage,
}

/// A copy that the sink is making.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Copying {
    target: u8,
    pub(super) buffer: BufferId,
    storage: StorageId,
    pub(super) frame: u64,
    pub(super) surface: Damage,
}

/// What the sink shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Committed {
    commit: CommitId,
    frame: u64,
    pub(super) slot: Option<ImportId>,
    target: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub(super) sink: SinkId,
    present: Present,
    imports: Vec<Imported>,
    targets: [Target; TARGETS],
    copying: Option<Copying>,
    pub(super) committed: Option<Committed>,
    /// What changed since the last commit.
    damage: Damage,
    /// When the newest frame is to be shown, if it isn't yet.
    due: Option<Time>,
    /// The newest frame that needs no more reading.
    pub(super) consumed: u64,
    presented: CommitId,
    /// The oldest commit that isn't presented yet, and since when.
    waiting: Option<(CommitId, Time)>,
    hidden: bool,
    stalled: bool,
    /// Something was skipped while nobody looked.
    unseen: bool,
    /// After a late release: frames released in time since.
    probation: Option<u32>,
    uncopyable: Option<BufferId>,
}

impl View {
    pub(super) fn new(sink: SinkId, present: Present) -> Self {
        let target = Target { held: None, superseded_at: None, of: None, behind: Damage::Whole };
        Self {
            sink,
            present,
            imports: Vec::new(),
            targets: [target.clone(), target.clone(), target],
            copying: None,
            committed: None,
            damage: Damage::NONE,
            due: None,
            consumed: 0,
            presented: CommitId(0),
            waiting: None,
            hidden: false,
            stalled: false,
            unseen: false,
            probation: None,
            uncopyable: None,
        }
    }

    pub(super) fn mode(&self, announced: &Announced, guest: &Guest) -> (Mode, Why) {
        let import = self.import_of(announced);
        if self.uncopyable == Some(announced.buffer) {
            (Mode::Direct, Why::Unreadable)
        } else if self.present == Present::Copy {
            (Mode::Copy, Why::Asked)
        } else if guest.lost {
            (Mode::Copy, Why::Lost)
        } else if import.is_some_and(|import| import.refused) {
            (Mode::Copy, Why::Refused)
        } else if self.is_hidden() {
            (Mode::Copy, Why::Hidden)
        } else if guest.crowded || (import.is_none() && self.imports.len() >= IMPORTS_MAX) {
            (Mode::Copy, Why::Crowded)
        } else if self.probation.is_some() {
            (Mode::Copy, Why::Late)
        } else if self.present == Present::Direct {
            (Mode::Direct, Why::Asked)
        } else if announced.fenced {
            (Mode::Direct, Why::Fenced)
        } else if guest.flips_in_row >= FLIPS_TO_TRUST {
            (Mode::Direct, Why::Flips)
        } else {
            (Mode::Copy, Why::InPlace)
        }
    }

    fn import_of(&self, announced: &Announced) -> Option<&Imported> {
        let Announced { storage, layout, .. } = *announced;
        self.imports.iter().find(|i| i.storage == storage && i.layout == layout)
    }

    fn is_hidden(&self) -> bool {
        self.hidden || self.stalled
    }

    /// Another buffer is current, to be shown by `due` at the latest.
    pub(super) fn new_buffer(&mut self, due: Time) {
        self.damage = Damage::Whole;
        self.due = Some(due);
    }

    /// Something changed in the current buffer, to be shown now.
    pub(super) fn expect(&mut self, damage: Damage, now: Time) {
        self.damage.merge(&damage);
        for target in &mut self.targets {
            target.behind.merge(&damage);
        }
        self.due = Some(now);
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(super) fn next_step(&mut self, announced: &Announced, guest: &Guest) -> Step {
        if self.copying.is_some() {
            return Step::Wait;
        }
        if self.is_hidden() && !self.holds_guest_memory() {
            return Step::Skip;
        }
        match self.mode(announced, guest).0 {
            Mode::Direct => self.direct_step(announced, guest),
            Mode::Copy => self.free_target().map_or(Step::Drop, Step::Copy),
        }
    }

    fn direct_step(&mut self, announced: &Announced, guest: &Guest) -> Step {
        let Announced { storage, layout, .. } = *announced;
        let known = self.imports.iter().position(|i| i.storage == storage && i.layout == layout);
        let index = known.unwrap_or_else(|| {
            let slots = [Slot::Absent, Slot::Absent];
            self.imports.push(Imported { storage, layout, refused: false, slots });
            self.imports.len() - 1
        });
        let in_place = guest.flips_in_row == 0;
        let shown = self.committed.as_ref().and_then(|shown| shown.slot);
        let import = &mut self.imports[index];
        if import.refused {
            return Step::Drop;
        }
        let named = |slot: usize| ImportId { storage, layout, slot: slot as u8 };
        if let Some(shown) =
            shown.filter(|s| in_place && (s.storage, s.layout) == (storage, layout))
        {
            return Step::Show(shown);
        }
        if let Some(idle) = import.slots.iter().position(|slot| *slot == Slot::Idle) {
            return Step::Show(named(idle));
        }
        if import.slots.contains(&Slot::Importing) {
            return Step::Wait;
        }
        match import.slots.iter().position(|slot| *slot == Slot::Absent) {
            Some(absent) => {
                import.slots[absent] = Slot::Importing;
                Step::Import(named(absent))
            }
            None => Step::Wait,
        }
    }

    /// A target that the sink doesn't hold; rather one that lacks less.
    fn free_target(&self) -> Option<u8> {
        let free = |t: &&usize| self.targets[**t].held.is_none();
        let lacks_all = |t: &usize| self.targets[*t].behind == Damage::Whole;
        let order = [0, 1, 2];
        order.iter().filter(free).min_by_key(|t| lacks_all(t)).map(|t| *t as u8)
    }

    /// What changed on the surface, for the commit that is about to be made.
    pub(super) fn take_damage(&mut self) -> Damage {
        self.due = None;
        std::mem::replace(&mut self.damage, Damage::NONE)
    }

    /// Starts a copy; returns what the target lacks.
    pub(super) fn begin_copy(&mut self, target: u8, announced: &Announced, frame: u64) -> Damage {
        let surface = self.take_damage();
        let Announced { buffer, storage, .. } = *announced;
        self.copying = Some(Copying { target, buffer, storage, frame, surface });
        let target = &mut self.targets[usize::from(target)];
        if target.of != Some(buffer) {
            target.of = Some(buffer);
            target.behind = Damage::Whole;
        }
        std::mem::replace(&mut target.behind, Damage::NONE)
    }

    pub(super) fn copied(&mut self, target: u8) -> Option<Copying> {
        let copy = self.copying.take_if(|copy| copy.target == target)?;
        self.consumed = self.consumed.max(copy.frame);
        Some(copy)
    }

    pub(super) fn copy_failed(&mut self, target: u8) {
        let Some(copy) = self.copying.take_if(|copy| copy.target == target) else { return };
        self.targets[usize::from(target)].of = None;
        self.uncopyable = Some(copy.buffer);
        self.damage.merge(&copy.surface);
        self.due.get_or_insert(Time::ZERO);
    }

    pub(super) fn imported(&mut self, import: ImportId, worked: bool) {
        let ImportId { storage, layout, slot } = import;
        let Some(known) =
            self.imports.iter_mut().find(|i| i.storage == storage && i.layout == layout)
        else {
            return;
        };
        let Some(slot @ Slot::Importing) = known.slots.get_mut(usize::from(slot)) else { return };
        *slot = if worked { Slot::Idle } else { Slot::Absent };
        known.refused |= !worked;
    }

    pub(super) fn commit(
        &mut self,
        commit: CommitId,
        frame: u64,
        slot: Option<ImportId>,
        target: Option<u8>,
        now: Time,
    ) {
        if let Some(shown) = self.committed.as_ref().and_then(|shown| shown.target) {
            self.targets[usize::from(shown)].superseded_at.get_or_insert(now);
        }
        if let Some(import) = slot
            && let Some(slot) = self.slot_mut(import)
        {
            *slot = Slot::Held { commit, again: matches!(slot, Slot::Held { .. }) };
        }
        if let Some(target) = target {
            let target = &mut self.targets[usize::from(target)];
            target.held = Some(commit);
            target.superseded_at = None;
        }
        self.committed = Some(Committed { commit, frame, slot, target });
        self.consumed = self.consumed.max(frame);
        self.waiting.get_or_insert((commit, now));
        self.unseen = false;
    }

    fn slot_mut(&mut self, import: ImportId) -> Option<&mut Slot> {
        let ImportId { storage, layout, slot } = import;
        let known = self.imports.iter_mut().find(|i| i.storage == storage && i.layout == layout)?;
        known.slots.get_mut(usize::from(slot))
    }

    pub(super) fn skip(&mut self, frame: u64) {
        self.consumed = frame;
        self.unseen = true;
        self.due = None;
    }

    pub(super) fn blank(&mut self) {
        self.committed = None;
        self.damage = Damage::Whole;
        self.due = None;
    }

    pub(super) fn released(&mut self, commit: CommitId, now: Time, deadline: Duration) {
        for slot in self.imports.iter_mut().flat_map(|import| &mut import.slots) {
            if *slot == (Slot::Held { commit, again: false }) {
                *slot = Slot::Idle;
            }
        }
        for target in self.targets.iter_mut().filter(|target| target.held == Some(commit)) {
            target.held = None;
            let late = target.superseded_at.is_some_and(|at| now > at + deadline);
            let in_time = self.probation.map(|in_time| if late { 0 } else { in_time + 1 });
            self.probation = in_time.filter(|&in_time| in_time < PROBATION_FRAMES);
        }
    }

    pub(super) fn presented(&mut self, commit: CommitId, now: Time) {
        self.presented = self.presented.max(commit);
        let newest = self.committed.as_ref().map_or(CommitId(0), |shown| shown.commit);
        if self.waiting.is_some_and(|(waiting, _)| waiting <= commit) {
            self.waiting = (newest > commit).then_some((newest, now));
        }
        // Another commit than theirs is on the screen: what was committed again is read no more.
        let shown = self.committed.as_ref().and_then(|shown| shown.slot);
        for import in &mut self.imports {
            for (i, slot) in import.slots.iter_mut().enumerate() {
                let named =
                    ImportId { storage: import.storage, layout: import.layout, slot: i as u8 };
                if let Slot::Held { commit: held, again: true } = *slot
                    && held < commit
                    && shown != Some(named)
                {
                    *slot = Slot::Idle;
                }
            }
        }
        if self.stalled {
            self.stalled = false;
            self.seen_again(now);
        }
    }

    pub(super) fn set_hidden(&mut self, hidden: bool, now: Time) {
        let was = self.is_hidden();
        self.hidden = hidden;
        if hidden && !was {
            self.let_go(now);
        } else if !hidden && was {
            self.seen_again(now);
        }
    }

    /// A commit that isn't presented for so long says that nobody sees it.
    pub(super) fn watch(&mut self, now: Time, stalled_after: Duration) {
        if !self.stalled && self.waiting.is_some_and(|(_, since)| now >= since + stalled_after) {
            self.stalled = true;
            self.let_go(now);
        }
    }

    /// One copy is shown, so that the guest's memory comes free.
    fn let_go(&mut self, now: Time) {
        if self.committed.as_ref().is_some_and(|shown| shown.slot.is_some()) {
            self.expect(Damage::Whole, now);
        }
    }

    fn seen_again(&mut self, now: Time) {
        if self.unseen && !self.is_hidden() {
            self.expect(Damage::Whole, now);
        }
    }

    /// The deadline of `frame` has come.
    pub(super) fn late(&mut self, frame: u64, now: Time) {
        let importing = self.imports.iter().any(|i| i.slots.contains(&Slot::Importing));
        let unshown = self.consumed < frame && importing;
        if self.holds_guest_memory() || unshown {
            self.probation = Some(0);
            self.let_go(now);
        }
    }

    /// Whether this view needs nothing more for `frame`; once that is `expired`, not even the copy
    /// that shall take the place of what the sink doesn't release.
    pub(super) fn is_done(&self, frame: u64, expired: bool) -> bool {
        self.consumed >= frame && !(expired && self.copying.is_some())
    }

    /// Whether it reads nothing that the guest may write once `frame`, drawn into `storage`, is acked:
    /// after a flip anything but the current buffer, else that too.
    pub(super) fn is_clear(
        &self,
        storage: StorageId,
        flip: bool,
        current: Option<&Announced>,
        guest: &Guest,
    ) -> bool {
        let now = current.map(|current| current.storage);
        let copying = self.copying.as_ref().map(|copy| copy.storage);
        if self.held().chain(copying).any(|read| Some(read) != now) {
            return false;
        }
        if flip || now != Some(storage) {
            return true;
        }
        if copying.is_some() {
            return false;
        }
        if !self.holds_guest_memory() {
            return true;
        }
        // In place: fine only where direct was chosen in spite of it, and then paced by the screen.
        let direct = current.is_some_and(|c| self.mode(c, guest).0 == Mode::Direct);
        direct && self.committed.as_ref().is_some_and(|shown| self.presented >= shown.commit)
    }

    /// The storages of unreleased commits.
    fn held(&self) -> impl Iterator<Item = StorageId> {
        let holds =
            |import: &&Imported| import.slots.iter().any(|slot| matches!(slot, Slot::Held { .. }));
        self.imports.iter().filter(holds).map(|import| import.storage)
    }

    fn holds_guest_memory(&self) -> bool {
        self.held().next().is_some()
    }

    /// Whether anything of this view reads `storage`.
    pub(super) fn reads(&self, storage: StorageId) -> bool {
        let copying = self.copying.as_ref().is_some_and(|copy| copy.storage == storage);
        copying || self.held().any(|held| held == storage)
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.imports.retain(|import| import.storage != storage);
    }

    pub(super) fn wakeup(&self, stalled_after: Duration) -> impl Iterator<Item = Time> {
        let waiting =
            self.waiting.filter(|_| !self.stalled).map(|(_, since)| since + stalled_after);
        self.due.into_iter().chain(waiting)
    }
}
