//! How one sink comes to see the newest frame: directly or by a copy, from which handle, into which
//! target, and what that leaves it reading.

use std::time::Duration;

use super::PROBATION_FRAMES;
use super::imports::{Imports, Way};
use super::io::{Announced, Config, SinkId, Time};
use super::mode::{Guest, Mode, Present, Why};
use super::mutation::{Mutation, Seeded};
use crate::frame::{BufferId, CommitId, Damage, ImportId, StorageId, TARGETS};

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
    /// Since when it is wanted.
    pub(super) wanted: Time,
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
    imports: Imports,
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
    seeded: Seeded,
}

impl View {
    pub(super) fn new(sink: SinkId, present: Present, seeded: Seeded) -> Self {
        let target = Target { held: None, superseded_at: None, of: None, behind: Damage::Whole };
        Self {
            sink,
            present,
            imports: Imports::default(),
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
            seeded,
        }
    }

    pub(super) fn mode(&self, announced: &Announced, guest: &Guest) -> (Mode, Why) {
        let Announced { storage, layout, .. } = *announced;
        if guest.lost {
            (Mode::Copy, Why::Lost)
        } else if guest.leaving {
            (Mode::Copy, Why::Leaving)
        } else if self.uncopyable == Some(announced.buffer) {
            (Mode::Direct, Why::Unreadable)
        } else if self.present == Present::Copy {
            (Mode::Copy, Why::Asked)
        } else if self.imports.is_refused(storage, layout) {
            (Mode::Copy, Why::Refused)
        } else if self.is_hidden() {
            (Mode::Copy, Why::Hidden)
        } else if guest.crowded || self.imports.is_full_for(storage, layout) {
            (Mode::Copy, Why::Crowded)
        } else if self.probation.is_some() {
            (Mode::Copy, Why::Late)
        } else if self.present == Present::Direct {
            (Mode::Direct, Why::Asked)
        } else if announced.fenced {
            (Mode::Direct, Why::Fenced)
        } else if guest.flips {
            (Mode::Direct, Why::Flips)
        } else {
            (Mode::Copy, Why::InPlace)
        }
    }

    fn is_hidden(&self) -> bool {
        self.hidden || self.stalled
    }

    /// Another buffer is current, to be shown by `due` at the latest.
    pub(super) fn new_buffer(&mut self, storage: StorageId, due: Time) {
        if self.seeded.has(Mutation::ReadersByBuffer) {
            self.imports.let_all_go(|held| held == storage);
        }
        if !self.seeded.has(Mutation::DamageOfAnotherBuffer) {
            self.damage = Damage::Whole;
        }
        self.due = Some(due);
    }

    /// What is current can't be shown, and never will.
    pub(super) fn nothing_to_show(&mut self, frame: u64) {
        self.consumed = frame;
        self.due = None;
    }

    /// The user wants this from now on. Where that means a copy, one takes the place of the guest's
    /// memory at once.
    pub(super) fn set_present(
        &mut self,
        present: Present,
        announced: Option<&Announced>,
        guest: &Guest,
        now: Time,
    ) {
        self.present = present;
        if announced.is_some_and(|announced| self.mode(announced, guest).0 == Mode::Copy) {
            self.let_go(now);
        }
    }

    /// Something changed in the current buffer, to be shown now.
    pub(super) fn expect(&mut self, damage: Damage, now: Time) {
        self.damage.merge(&damage);
        for target in &mut self.targets {
            if self.seeded.has(Mutation::TargetsForgetDamage) {
                target.behind = damage;
            } else {
                target.behind.merge(&damage);
            }
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
            Mode::Copy if self.uncopyable == Some(announced.buffer) => Step::Drop,
            Mode::Copy => self.free_target().map_or(Step::Drop, Step::Copy),
        }
    }

    fn direct_step(&mut self, announced: &Announced, guest: &Guest) -> Step {
        let Announced { storage, layout, .. } = *announced;
        let shown = self.committed.as_ref().and_then(|shown| shown.slot);
        if let Some(shown) = shown
            && (shown.storage, shown.layout) == (storage, layout)
            && guest.in_place
            && !self.imports.is_refused(storage, layout)
        {
            // In place: the same handle again, whatever the sink has released.
            return Step::Show(shown);
        }
        match self.imports.way(storage, layout) {
            Way::Show(import) => Step::Show(import),
            Way::Import(import) => Step::Import(import),
            Way::Wait => Step::Wait,
            Way::Refused => Step::Drop,
        }
    }

    /// A target that the sink doesn't hold; rather one that lacks less.
    fn free_target(&self) -> Option<u8> {
        let free = |t: &&usize| self.targets[**t].held.is_none();
        let lacks_all = |t: &usize| self.targets[*t].behind == Damage::Whole;
        let order = [0, 1, 2];
        order.iter().filter(free).min_by_key(|t| lacks_all(t)).map(|t| *t as u8)
    }

    /// What changed on the surface, for the commit that is about to be made, and since when that is wanted.
    pub(super) fn take_damage(&mut self) -> (Damage, Time) {
        let wanted = self.due.take().unwrap_or_default();
        (std::mem::replace(&mut self.damage, Damage::NONE), wanted)
    }

    /// Starts a copy; returns what the target lacks.
    pub(super) fn begin_copy(&mut self, target: u8, announced: &Announced, frame: u64) -> Damage {
        let (surface, wanted) = self.take_damage();
        let Announced { buffer, storage, .. } = *announced;
        self.copying = Some(Copying { target, buffer, storage, frame, surface, wanted });
        let target = &mut self.targets[usize::from(target)];
        if target.of != Some(buffer) {
            target.of = Some(buffer);
            if !self.seeded.has(Mutation::DamageOfAnotherBuffer) {
                target.behind = Damage::Whole;
            }
        }
        std::mem::replace(&mut target.behind, Damage::NONE)
    }

    pub(super) fn copied(&mut self, target: u8) -> Option<Copying> {
        self.copying.take_if(|copy| copy.target == target)
    }

    pub(super) fn copy_failed(&mut self, target: u8) {
        let Some(copy) = self.copying.take_if(|copy| copy.target == target) else { return };
        self.targets[usize::from(target)].of = None;
        self.uncopyable = Some(copy.buffer);
        self.damage.merge(&copy.surface);
        self.due.get_or_insert(Time::ZERO);
    }

    pub(super) fn imported(&mut self, import: ImportId, worked: bool) {
        self.imports.imported(import, worked);
    }

    /// What was refused may be tried again, with the next frame.
    pub(super) fn forget_refusals(&mut self) {
        self.imports.forget_refusals();
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
        if let Some(import) = slot {
            self.imports.commit(import, commit);
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
        self.imports.released(commit);
        if self.seeded.has(Mutation::ReleaseOfAnyCommit) {
            self.imports.let_all_go(|_| true);
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

    /// A commit that isn't presented for so long says that nobody sees it. Not the first: to open a
    /// window takes what it takes.
    pub(super) fn watch(&mut self, now: Time, stalled_after: Duration) {
        let watched = self.watched().is_some_and(|since| now >= since + stalled_after);
        if watched && !self.stalled {
            self.stalled = true;
            self.let_go(now);
        }
    }

    /// Since when a commit waits to be presented, where that means anything.
    fn watched(&self) -> Option<Time> {
        let waiting = self.waiting.filter(|_| self.presented > CommitId(0))?;
        Some(waiting.1)
    }

    /// One copy is shown, so that the guest's memory comes free; the one that is being made is as good.
    pub(super) fn let_go(&mut self, now: Time) {
        let direct = self.committed.as_ref().is_some_and(|shown| shown.slot.is_some());
        if direct && self.copying.is_none() {
            self.expect(Damage::Whole, now);
        }
    }

    /// Whether a copy of `buffer` is due that hasn't begun.
    pub(super) fn awaits_copy(&self, buffer: BufferId, now: Time) -> bool {
        self.is_due(now) && self.uncopyable != Some(buffer)
    }

    /// What is shown is wanted once more; what is due is as good.
    pub(super) fn redraw(&mut self, now: Time) {
        if self.committed.is_some() && self.copying.is_none() {
            self.expect(Damage::Whole, now);
        }
    }

    fn seen_again(&mut self, now: Time) {
        if self.unseen && !self.is_hidden() {
            self.expect(Damage::Whole, now);
        }
    }

    /// The deadline of `frame` has come. `clear`: not because of what this view reads.
    pub(super) fn late(&mut self, frame: u64, clear: bool, now: Time) {
        let unshown = self.consumed < frame && self.imports.any_importing();
        if self.holds_guest_memory() && !clear || unshown {
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
        config: &Config,
    ) -> bool {
        let now = current.map(|current| current.storage);
        let copying = self.copying.as_ref().map(|copy| copy.storage);
        let copying = copying.filter(|_| !self.seeded.has(Mutation::CopyIsNoReader));
        if self.seeded.has(Mutation::AckWhenPresented)
            && self.committed.as_ref().is_some_and(|shown| self.presented >= shown.commit)
        {
            return true;
        }
        if self.imports.held().chain(copying).any(|read| Some(read) != now) {
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
        if config.await_release {
            return false;
        }
        // In place: fine only where direct was chosen in spite of it, and then paced by the screen.
        let direct = current.is_some_and(|c| self.mode(c, guest).0 == Mode::Direct);
        direct && self.committed.as_ref().is_some_and(|shown| self.presented >= shown.commit)
    }

    fn holds_guest_memory(&self) -> bool {
        self.imports.held().next().is_some()
    }

    /// Whether anything of this view reads `storage`.
    pub(super) fn reads(&self, storage: StorageId) -> bool {
        let copying = self.copying.as_ref().is_some_and(|copy| copy.storage == storage);
        copying || self.imports.held().any(|held| held == storage)
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.imports.forget(storage);
        // What is on the screen stays, but its handle is none any more.
        if let Some(shown) = &mut self.committed {
            shown.slot = shown.slot.filter(|slot| slot.storage != storage);
        }
    }

    pub(super) fn wakeup(&self, stalled_after: Duration) -> impl Iterator<Item = Time> {
        let waiting = self.watched().filter(|_| !self.stalled).map(|since| since + stalled_after);
        self.due.into_iter().chain(waiting)
    }
}
