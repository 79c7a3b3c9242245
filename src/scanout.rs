//! The machine: who reads what, when the guest may go on, when memory is let go.
//!
//! It is pure. It knows ids, layouts and the time it is told; no fd, socket, clock or thread.
//!
//! **Every [`handle`](Machine::handle) is followed by a complete drain of
//! [`poll`](Machine::poll), and the outputs are carried out in their order.** Then the shell waits
//! for the next input, at most until [`wakeup`](Machine::wakeup), when it feeds [`Input::Tick`].
//!
//! A frame is a scanout or an update, counted by `frame`. Each sink has a `View`, which
//! brings the newest frame to its sink: directly, as the guest's own memory, or by a copy. An
//! update is acked when every view is done with its frame (`consumed`) and reads nothing that the
//! guest may write next (`clear`), or, forced, when its deadline has come.

mod imports;
mod io;
mod mode;
mod stats;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{BufferId, CommitId, Damage, StorageId, UpdateId};
pub use io::{Announced, Config, Input, Output, SinkId, Time};
use mode::Guest;
pub use mode::{Mode, Present, Why};
pub use stats::Counts;
use view::{Step, View};

/// Storages that are kept for when the guest comes back to them.
pub const STORAGES_MAX: usize = 8;
/// Storages that may be held past their end before a guest's every further one is copied.
const HELD_MAX: usize = 4;
/// Updates that may wait for their ack; past that the oldest is acked, forced.
pub const UPDATES_MAX: usize = 64;
/// What an ack may take beyond its deadline, to show the frame from a copy before it.
pub const FORCED_COPY_MS_MAX: u64 = 20;
/// Frames in a row that have to be released in time before a late sink is trusted again.
pub const PROBATION_FRAMES: u32 = 30;

/// An update whose ack is owed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    update: UpdateId,
    frame: u64,
    storage: StorageId,
    at: Time,
    flip: bool,
    expired: bool,
}

/// The buffer that the console shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Current {
    announced: Announced,
    /// When its newest update came.
    drawn: Option<Time>,
}

/// A storage that somebody may still hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    id: StorageId,
    /// Replaced, evicted, or of a lost connection: never committed again.
    dead: bool,
}

/// What the guest's updates say of how it draws.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Rhythm {
    last: Option<StorageId>,
    flips_in_row: u32,
    in_place: bool,
}

/// One scanout and the sinks that show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    config: Config,
    frame: u64,
    current: Option<Current>,
    lost: bool,
    /// The least recently announced first.
    storages: Vec<Known>,
    rhythm: Rhythm,
    updates: VecDeque<Pending>,
    views: Vec<View>,
    disabled_at: Option<Time>,
    next_commit: CommitId,
    counts: Counts,
    outbox: VecDeque<Output>,
    now: Time,
}

impl Machine {
    /// A machine without a scanout or a sink.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            frame: 0,
            current: None,
            lost: false,
            storages: Vec::new(),
            rhythm: Rhythm::default(),
            updates: VecDeque::new(),
            views: Vec::new(),
            disabled_at: None,
            next_commit: CommitId(1),
            counts: Counts::default(),
            outbox: VecDeque::new(),
            now: Time::ZERO,
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How `sink` shows the scanout now, and why.
    pub fn mode(&self, sink: SinkId) -> Option<(Mode, Why)> {
        let view = self.views.iter().find(|view| view.sink == sink)?;
        let current = self.current.as_ref()?;
        Some(view.mode(&current.announced, &self.guest()))
    }

    /// Whether an update waits for its ack.
    pub fn owes_acks(&self) -> bool {
        !self.updates.is_empty()
    }

    /// Takes one input. Times never go back.
    pub fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(now >= self.now, "time went back from {:?} to {now:?}", self.now);
        self.now = now;
        match input {
            Input::Attach(sink, present) => {
                let mut view = View::new(sink, present);
                if self.current.is_some() {
                    view.expect(Damage::Whole, now);
                }
                self.views.push(view);
            }
            Input::Detach(sink) => self.views.retain(|view| view.sink != sink),
            Input::Scanout(announced) => self.scanout(now, announced),
            Input::Replaced(buffer) => self.replaced(buffer),
            Input::Update { update, buffer, damage, owed } => {
                self.update(now, update, buffer, &damage, owed);
            }
            Input::Disabled => {
                self.disabled_at.get_or_insert(now);
            }
            Input::Lost => self.lose(now),
            Input::Imported(sink, import) => {
                self.with_view(sink, |view, _| view.imported(import, true));
            }
            Input::Refused(sink, import) => {
                self.with_view(sink, |view, _| view.imported(import, false));
            }
            Input::OffersChanged(sink) => {
                self.with_view(sink, |view, _| view.forget_refusals());
            }
            Input::Copied(sink, target, bytes) => self.copied(now, sink, target, bytes),
            Input::CopyFailed(sink, target) => {
                self.with_view(sink, |view, _| view.copy_failed(target));
            }
            Input::Released(sink, commit) => {
                self.with_view(sink, |view, config| {
                    view.released(commit, now, config.ack_deadline);
                });
            }
            Input::Presented(sink, commit) => {
                self.with_view(sink, |view, _| view.presented(commit, now));
            }
            Input::Hidden(sink, hidden) => {
                self.with_view(sink, |view, _| view.set_hidden(hidden, now));
            }
            Input::Tick => {}
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn wakeup(&self) -> Option<Time> {
        let acks = self.updates.iter().map(|p| p.at + self.patience(p));
        let blank = self.disabled_at.map(|at| at + self.config.blank_after);
        let stalled = self.config.stalled_after();
        let views = self.views.iter().flat_map(|view| view.wakeup(stalled));
        // What is past was tried already and waits for something else.
        acks.chain(blank).chain(views).filter(|&time| time > self.now).min()
    }

    /// How long an update waits for the next thing to happen to it.
    fn patience(&self, pending: &Pending) -> Duration {
        let copy = Duration::from_millis(FORCED_COPY_MS_MAX);
        if pending.expired { self.config.ack_deadline + copy } else { self.config.ack_deadline }
    }

    fn with_view(&mut self, sink: SinkId, f: impl FnOnce(&mut View, &Config)) {
        if let Some(view) = self.views.iter_mut().find(|view| view.sink == sink) {
            f(view, &self.config);
        }
    }

    fn scanout(&mut self, now: Time, announced: Announced) {
        self.disabled_at = None;
        self.lost = false;
        self.frame += 1;
        let known = self.storages.iter().position(|s| s.id == announced.storage);
        if let Some(i) = known {
            self.storages.remove(i);
            self.counts.cache_hits += 1;
        }
        self.storages.push(Known { id: announced.storage, dead: false });
        self.counts.replacements += u64::from(self.current.is_some());
        self.current = Some(Current { announced, drawn: None });
        let alive = self.storages.iter().filter(|s| !s.dead).count();
        if alive > STORAGES_MAX
            && let Some(oldest) = self.storages.iter_mut().find(|s| !s.dead)
        {
            oldest.dead = true;
        }
        for view in &mut self.views {
            // What was drawn before is never shown any more.
            view.consumed = view.consumed.max(self.frame - 1);
            let grace = match view.committed {
                Some(_) => self.config.next_grace,
                None => self.config.first_grace,
            };
            view.new_buffer(now + grace);
        }
    }

    fn replaced(&mut self, buffer: BufferId) {
        let Some(current) = &self.current else { return };
        if current.announced.buffer != buffer {
            return;
        }
        let storage = current.announced.storage;
        if let Some(known) = self.storages.iter_mut().find(|s| s.id == storage) {
            known.dead = true;
        }
    }

    fn update(
        &mut self,
        now: Time,
        update: UpdateId,
        buffer: BufferId,
        damage: &Damage,
        owed: bool,
    ) {
        let current = match &mut self.current {
            Some(current) if current.announced.buffer == buffer && !self.lost => current,
            _ => {
                self.counts.refused_updates += 1;
                self.outbox.push_back(Output::Refuse(update));
                return;
            }
        };
        self.disabled_at = None;
        self.frame += 1;
        // The first update of a buffer shows all of it: what lay in it before is not known.
        let damage = if current.drawn.is_none() { &Damage::Whole } else { damage };
        current.drawn = Some(now);
        let storage = current.announced.storage;
        let flip = self.rhythm.last.is_some_and(|last| last != storage);
        let in_place = self.rhythm.last == Some(storage);
        self.rhythm.last = Some(storage);
        self.counts.flips += u64::from(flip);
        self.rhythm.in_place = in_place;
        self.counts.in_place += u64::from(in_place);
        self.rhythm.flips_in_row =
            if flip { self.rhythm.flips_in_row.saturating_add(1) } else { 0 };
        for view in &mut self.views {
            view.expect(*damage, now);
        }
        if !owed {
            return;
        }
        if self.updates.len() == UPDATES_MAX
            && let Some(oldest) = self.updates.pop_front()
        {
            self.counts.forced_acks += 1;
            self.outbox.push_back(Output::Ack { update: oldest.update, forced: true });
        }
        let pending = Pending { update, frame: self.frame, storage, at: now, flip, expired: false };
        self.updates.push_back(pending);
    }

    fn lose(&mut self, now: Time) {
        self.lost = true;
        self.disabled_at = None;
        for pending in self.updates.drain(..) {
            self.outbox.push_back(Output::Refuse(pending.update));
        }
        for storage in &mut self.storages {
            storage.dead = true;
        }
        for view in &mut self.views {
            // One last copy, while the memory can still be read.
            if view.committed.as_ref().is_some_and(|shown| shown.slot.is_some()) {
                view.expect(Damage::Whole, now);
            }
        }
    }

    fn copied(&mut self, now: Time, sink: SinkId, target: u8, bytes: u64) {
        self.counts.bytes_copied += bytes;
        let Some(view) = self.views.iter_mut().find(|view| view.sink == sink) else { return };
        let Some(copy) = view.copied(target) else { return };
        // Begin, and retry: the buffer may have been replaced while the copy was made.
        // The new one is due already, whole.
        let Some(current) = self.current.as_ref().filter(|c| c.announced.buffer == copy.buffer)
        else {
            return;
        };
        let commit = take_next(&mut self.next_commit);
        self.counts.frames += 1;
        view.commit(commit, copy.frame, None, Some(target), now);
        self.outbox.push_back(Output::ShowCopy {
            sink,
            commit,
            target,
            buffer: copy.buffer,
            damage: copy.surface,
            drawn: current.drawn,
        });
    }

    /// What of the guest matters to how it is shown.
    fn guest(&self) -> Guest {
        Guest {
            flips_in_row: self.rhythm.flips_in_row,
            in_place: self.rhythm.in_place,
            crowded: self.storages.len() > STORAGES_MAX + HELD_MAX,
            lost: self.lost,
        }
    }

    /// Does all that can be done now.
    fn advance(&mut self, now: Time) {
        self.expire(now);
        self.blank(now);
        // Who needn't wait for a copy doesn't.
        self.settle(now, false);
        self.show(now);
        self.settle(now, true);
        self.retire();
    }

    fn expire(&mut self, now: Time) {
        let stalled = self.config.stalled_after();
        for view in &mut self.views {
            view.watch(now, stalled);
        }
        for pending in self.updates.iter_mut().filter(|p| !p.expired) {
            if now < pending.at + self.config.ack_deadline {
                continue;
            }
            pending.expired = true;
            for view in &mut self.views {
                view.late(pending.frame, now);
            }
        }
    }

    fn blank(&mut self, now: Time) {
        if self.disabled_at.is_none_or(|at| now < at + self.config.blank_after) {
            return;
        }
        self.disabled_at = None;
        for view in &mut self.views {
            if view.committed.is_some() {
                view.blank();
                self.outbox.push_back(Output::Blank(view.sink));
            }
        }
    }

    fn show(&mut self, now: Time) {
        let Some(current) = &self.current else { return };
        let announced = current.announced;
        let known = self.storages.iter().find(|s| s.id == announced.storage);
        if known.is_none_or(|storage| storage.dead && !self.lost) {
            return;
        }
        let guest = self.guest();
        for view in &mut self.views {
            // A second round: where one way turned out to be closed, the other is taken.
            for _ in 0..2 {
                if !view.is_due(now) {
                    break;
                }
                match view.next_step(&announced, &guest) {
                    Step::Wait => break,
                    Step::Skip => view.skip(self.frame),
                    Step::Drop => {
                        if view.consumed < self.frame {
                            self.counts.dropped_frames += 1;
                        }
                        view.consumed = self.frame;
                        break;
                    }
                    Step::Import(import) => {
                        self.counts.imports += 1;
                        self.outbox.push_back(Output::Import {
                            sink: view.sink,
                            import,
                            buffer: announced.buffer,
                        });
                        break;
                    }
                    Step::Show(import) => {
                        let commit = take_next(&mut self.next_commit);
                        self.counts.frames += 1;
                        let damage = view.take_damage();
                        view.commit(commit, self.frame, Some(import), None, now);
                        self.outbox.push_back(Output::Show {
                            sink: view.sink,
                            commit,
                            import,
                            buffer: announced.buffer,
                            damage,
                            drawn: current.drawn,
                        });
                        break;
                    }
                    Step::Copy(target) => {
                        let damage = view.begin_copy(target, &announced, self.frame);
                        self.outbox.push_back(Output::Copy {
                            sink: view.sink,
                            target,
                            buffer: announced.buffer,
                            damage,
                        });
                        break;
                    }
                }
            }
        }
    }

    /// Acks in the order of the updates: a later frame is never done before an earlier one. Those
    /// whose deadline has come are left to the end, after a copy was begun for them.
    fn settle(&mut self, now: Time, expired: bool) {
        let copy = Duration::from_millis(FORCED_COPY_MS_MAX);
        while let Some(first) = self.updates.front().filter(|first| expired || !first.expired) {
            let current = self.current.as_ref().map(|c| &c.announced);
            let guest = self.guest();
            let done = self.views.iter().all(|view| view.is_done(first.frame, first.expired));
            let clear = self
                .views
                .iter()
                .all(|view| view.is_clear(first.storage, first.flip, current, &guest));
            let out_of_time = now >= first.at + self.config.ack_deadline + copy;
            if !(done && (clear || first.expired) || out_of_time) {
                break;
            }
            let forced = !clear;
            self.counts.forced_acks += u64::from(forced);
            self.outbox.push_back(Output::Ack { update: first.update, forced });
            self.updates.pop_front();
        }
    }

    fn retire(&mut self) {
        let views = &mut self.views;
        let outbox = &mut self.outbox;
        self.storages.retain(|storage| {
            let keep = !storage.dead || views.iter().any(|view| view.reads(storage.id));
            if !keep {
                for view in &mut *views {
                    view.forget(storage.id);
                }
                outbox.push_back(Output::Retire(storage.id));
            }
            keep
        });
    }
}

fn take_next(next: &mut CommitId) -> CommitId {
    let commit = *next;
    next.0 += 1;
    commit
}

#[cfg(test)]
mod tests;
