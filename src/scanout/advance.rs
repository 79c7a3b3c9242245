//! What the machine does by itself once an input was taken: shows, acks, lets go.

use std::time::Duration;

use super::io::{Config, Output, Time};
use super::mutation::Mutation;
use super::pages::Pages;
use super::view::Step;
use super::{Current, FORCED_COPY_MS_MAX, Machine, Pending, take_next};
use crate::frame::Swap;

impl Machine {
    /// Does all that can be done now.
    pub(super) fn advance(&mut self, now: Time) {
        self.expire(now);
        self.blank(now);
        // Who needn't wait for a copy doesn't.
        self.settle(now, false);
        self.show(now);
        self.settle(now, true);
        self.retire();
    }

    pub(super) fn expire(&mut self, now: Time) {
        let stalled = self.config.stalled_after();
        for view in &mut self.views {
            view.watch(now, stalled);
        }
        if self.seeded.has(Mutation::NoDeadline) {
            return;
        }
        let guest = self.guest();
        let current = self.current.as_ref().map(|c| &c.announced);
        for pending in self.updates.iter_mut().filter(|p| !p.expired) {
            if now < pending.at + self.config.ack_deadline {
                continue;
            }
            pending.expired = true;
            for view in &mut self.views {
                let clear =
                    view.is_clear(pending.storage, pending.flip, current, &guest, &self.config);
                view.late(pending.frame, clear, now);
            }
        }
    }

    pub(super) fn blank(&mut self, now: Time) {
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

    pub(super) fn show(&mut self, now: Time) {
        let Some(current) = &self.current else { return };
        let announced = current.announced;
        let let_go = self.storages.iter().all(|s| s.id != announced.storage);
        if current.pages == Pages::Gone || let_go {
            return;
        }
        let guest = self.guest();
        let guarded = self.is_guarded(current);
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
                        let (damage, wanted) = view.take_damage();
                        view.commit(commit, self.frame, Some(import), None, now);
                        self.outbox.push_back(Output::Show {
                            sink: view.sink,
                            commit,
                            import,
                            buffer: announced.buffer,
                            damage,
                            drawn: current.drawn,
                            wanted,
                        });
                        break;
                    }
                    Step::Copy(target) => {
                        self.counts.unguarded_copies += u64::from(!guarded);
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

    /// Whether the guest can't be drawing what is current: it waits for an ack, or draws elsewhere, or
    /// is no more. A scanout is complete when it is announced.
    fn is_guarded(&self, current: &Current) -> bool {
        let flips = match self.rhythm.swap {
            Some(swap) => swap == Swap::Flip,
            None => self.rhythm.flips_in_row > 0,
        };
        let storage = current.announced.storage;
        let waits = self.updates.iter().any(|pending| pending.storage == storage);
        let hidden = self.seeded.has(Mutation::HideUnguarded);
        waits || flips || self.lost || current.drawn.is_none() || hidden
    }

    /// Acks in the order of the updates: a later frame is never done before an earlier one. Those
    /// whose deadline has come are left to the end, after a copy was begun for them.
    pub(super) fn settle(&mut self, now: Time, expired: bool) {
        let copy = Duration::from_millis(FORCED_COPY_MS_MAX);
        let Config { ack_after, ack_deadline, .. } = self.config;
        let may = |first: &&Pending| (expired || !first.expired) && now >= first.at + ack_after;
        while let Some(first) = self.updates.front().filter(may) {
            let current = self.current.as_ref().map(|c| &c.announced);
            let guest = self.guest();
            let done = self.views.iter().all(|view| view.is_done(first.frame, first.expired));
            let clear = self.views.iter().all(|view| {
                view.is_clear(first.storage, first.flip, current, &guest, &self.config)
            });
            let at_once = self.seeded.has(Mutation::AckAtOnce);
            let (done, clear) = (done || at_once, clear || at_once);
            let waits = !self.seeded.has(Mutation::NoDeadline);
            let out_of_time = waits && now >= first.at + ack_deadline + copy;
            if !(done && (clear || first.expired) || out_of_time) {
                break;
            }
            let forced = !clear;
            self.counts.forced_acks += u64::from(forced);
            self.outbox.push_back(Output::Ack { update: first.update, forced });
            self.updates.pop_front();
        }
    }

    pub(super) fn retire(&mut self) {
        let last = self.last_copied();
        let views = &mut self.views;
        let outbox = &mut self.outbox;
        self.storages.retain(|storage| {
            let reads = !self.seeded.has(Mutation::RetireWhileHeld);
            let reads = reads && views.iter().any(|view| view.reads(storage.id));
            let keep = !storage.dead || reads || last == Some(storage.id);
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
