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

mod advance;
mod guest;
mod imports;
mod io;
mod mode;
mod mutation;
mod pages;
mod stats;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{BufferId, CommitId, Damage, StorageId, Swap, UpdateId};
pub use io::{Announced, Config, Input, Output, SinkId, Time};
use mode::{FLIPS_TO_TRUST, Guest};
pub use mode::{Mode, Present, Why};
use mutation::{Mutation, Seeded};
use pages::Pages;
pub use stats::Counts;
use view::View;

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
    pages: Pages,
}

/// A storage that somebody may still hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    id: StorageId,
    /// Its latest announcement.
    buffer: BufferId,
    /// Replaced, evicted, or of a lost connection: never committed again.
    dead: bool,
}

/// What the guest's updates say of how it draws.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Rhythm {
    /// What the backend said of it.
    swap: Option<Swap>,
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
    seeded: Seeded,
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
            seeded: Seeded::default(),
        }
    }

    /// One that does something wrong.
    #[cfg(test)]
    fn mutated(config: Config, mutation: Option<Mutation>) -> Self {
        Self { seeded: Seeded::with(mutation), ..Self::new(config) }
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
        self.leave(now);
        match input {
            Input::Attach(sink, present) => {
                let mut view = View::new(sink, present, self.seeded);
                if self.current.is_some() {
                    view.expect(Damage::Whole, now);
                }
                self.views.push(view);
            }
            Input::SetPresent(sink, present) => self.set_present(now, sink, present),
            Input::Detach(sink) => self.views.retain(|view| view.sink != sink),
            Input::Scanout(announced) => self.scanout(now, announced),
            Input::Replaced(buffer) => self.replaced(buffer),
            Input::Invalidate => self.invalidate(now),
            Input::Swap(swap) => self.rhythm.swap = swap,
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
            Input::Redraw(sink) => self.with_view(sink, |view, _| view.redraw(now)),
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
        let waits = !self.seeded.has(Mutation::NoDeadline);
        let updates = self.updates.iter().filter(|_| waits);
        let acks = updates.flat_map(|p| [p.at + self.patience(p), p.at + self.config.ack_after]);
        let blank = self.disabled_at.map(|at| at + self.config.blank_after);
        let stalled = self.config.stalled_after();
        let views = self.views.iter().flat_map(|view| view.wakeup(stalled));
        let leaving = self.current.as_ref().and_then(|current| current.pages.until());
        // What is past was tried already and waits for something else.
        acks.chain(blank).chain(views).chain(leaving).filter(|&time| time > self.now).min()
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

    fn copied(&mut self, now: Time, sink: SinkId, target: u8, bytes: u64) {
        self.counts.bytes_copied += bytes;
        let Some(view) = self.views.iter_mut().find(|view| view.sink == sink) else { return };
        let Some(copy) = view.copied(target) else { return };
        // Begin, and retry: the buffer may have been replaced while the copy was made.
        // The new one is due already, whole.
        let other = |c: &Current| {
            c.announced.buffer != copy.buffer && !self.seeded.has(Mutation::ShowOvertakenCopy)
        };
        let gone = |c: &Current| c.pages == Pages::Gone && !self.seeded.has(Mutation::ShowLateCopy);
        let Some(current) = self.current.as_ref().filter(|c| !other(c) && !gone(c)) else {
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
            wanted: copy.wanted,
        });
    }

    fn set_present(&mut self, now: Time, sink: SinkId, present: Present) {
        let guest = self.guest();
        let announced = self.current.as_ref().map(|c| c.announced);
        self.with_view(sink, |view, _| view.set_present(present, announced.as_ref(), &guest, now));
    }

    /// What of the guest matters to how it is shown.
    fn guest(&self) -> Guest {
        Guest {
            flips: match self.rhythm.swap {
                Some(swap) => swap == Swap::Flip,
                None => self.rhythm.flips_in_row >= FLIPS_TO_TRUST,
            },
            in_place: self.rhythm.in_place && self.rhythm.swap != Some(Swap::Flip),
            crowded: self.storages.len() > STORAGES_MAX + HELD_MAX,
            lost: self.lost,
            leaving: self.current.as_ref().is_some_and(|c| c.pages.until().is_some()),
        }
    }
}

fn take_next(next: &mut CommitId) -> CommitId {
    let commit = *next;
    next.0 += 1;
    commit
}

#[cfg(test)]
mod tests;
