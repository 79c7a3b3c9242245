//! What the guest and its backend say, and what that changes.

use super::io::{Announced, Output, Time};
use super::mutation::Mutation;
use super::pages::Pages;
use super::{Current, Known, Machine, Pending, Rhythm, STORAGES_MAX, UPDATES_MAX};
use crate::frame::{BufferId, Damage, Swap, UpdateId};

impl Machine {
    pub(super) fn scanout(&mut self, now: Time, announced: Announced) {
        self.disabled_at = None;
        // The same memory under a new name: what was drawn there and isn't shown yet still is to be.
        let shown = self.current.as_ref().filter(|c| c.pages != Pages::Gone && !self.lost);
        let same = shown.is_some_and(|c| c.announced.storage == announced.storage);
        self.lost = false;
        self.frame += 1;
        let known = self.storages.iter().position(|s| s.id == announced.storage);
        if let Some(i) = known {
            self.storages.remove(i);
            self.counts.cache_hits += 1;
        }
        let Announced { buffer, storage, .. } = announced;
        self.storages.push(Known { id: storage, buffer, dead: false });
        self.counts.replacements += u64::from(self.current.is_some());
        self.current = Some(Current { announced, drawn: None, pages: Pages::Guests });
        let alive = self.storages.iter().filter(|s| !s.dead).count();
        if alive > STORAGES_MAX
            && let Some(oldest) = self.storages.iter_mut().find(|s| !s.dead)
        {
            oldest.dead = true;
        }
        for view in &mut self.views {
            if !same {
                // What was drawn before is never shown any more.
                view.consumed = view.consumed.max(self.frame - 1);
            }
            let grace = match view.committed {
                Some(_) => self.config.next_grace,
                None => self.config.first_grace,
            };
            view.new_buffer(storage, now + grace);
        }
    }

    pub(super) fn update(
        &mut self,
        now: Time,
        update: UpdateId,
        buffer: BufferId,
        damage: &Damage,
        owed: bool,
    ) {
        let current = match &mut self.current {
            Some(current)
                if (current.announced.buffer == buffer
                    || self.seeded.has(Mutation::UpdateOfAnyBuffer))
                    && current.pages == Pages::Guests
                    && !self.lost =>
            {
                current
            }
            _ => {
                self.counts.refused_updates += 1;
                self.outbox.push_back(Output::Refuse(update));
                return;
            }
        };
        self.disabled_at = None;
        self.frame += 1;
        // The first update of a buffer shows all of it: what lay in it before is not known.
        let other = self.seeded.has(Mutation::DamageOfAnotherBuffer);
        let damage = if current.drawn.is_none() && !other { &Damage::Whole } else { damage };
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
        // Whoever says how it swaps is believed.
        let flip = self.rhythm.swap.map_or(flip, |swap| swap == Swap::Flip);
        let pending = Pending { update, frame: self.frame, storage, at: now, flip, expired: false };
        self.updates.push_back(pending);
    }

    pub(super) fn lose(&mut self, now: Time) {
        self.lost = true;
        self.disabled_at = None;
        // Whoever comes next draws as it will, and may be given the same inodes.
        self.rhythm = Rhythm::default();
        for pending in self.updates.drain(..) {
            self.outbox.push_back(Output::Refuse(pending.update));
        }
        for storage in &mut self.storages {
            storage.dead = true;
        }
        for view in &mut self.views {
            // One last copy, while the memory can still be read.
            view.let_go(now);
        }
    }
}
