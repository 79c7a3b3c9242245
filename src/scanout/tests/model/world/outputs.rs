//! What the machine has done, and whether it was right.

use super::*;

impl World {
    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Import { sink, import, buffer } => {
                self.demand(self.is_current(buffer), STALE);
                self.sinks[sink.0 as usize].importing.push(import);
            }
            Output::Show { sink, commit, import, buffer, damage, .. } => {
                self.show(sink.0 as usize, commit, import, buffer, &damage);
            }
            Output::Copy { sink, target, buffer, damage } => {
                self.copy(sink.0 as usize, target, buffer, damage);
            }
            Output::ShowCopy { sink, commit, target, buffer, damage, .. } => {
                self.demand(self.is_current(buffer) && !self.is_gone(), STALE);
                let this = &mut self.sinks[sink.0 as usize];
                let picture = this.targets[usize::from(target)];
                let held = Held { commit, import: None, excused: false };
                this.held.push(held);
                this.direct = false;
                self.picture(sink.0 as usize, commit, picture, &damage);
            }
            Output::Blank(_) => {}
            Output::Ack { update, forced } => self.ack(update, forced),
            Output::Refuse(update) => {
                let owed = self.settled(update);
                let lost = self.lost || self.current.is_none();
                self.demand(owed.is_some_and(|owed| owed.late || lost), ONCE);
            }
            Output::Retire(storage) => {
                self.retired = true;
                let ino = storage.ino;
                let mut read = false;
                for sink in &mut self.sinks {
                    read |= sink.copying.as_ref().is_some_and(|copy| copy.ino == ino);
                    let of = |import: &ImportId| import.storage.ino == ino;
                    read |= sink.held.iter().any(|held| held.import.as_ref().is_some_and(of));
                    sink.imports.retain(|import| !of(import));
                    sink.importing.retain(|import| !of(import));
                }
                self.demand(!read, RETIRED);
                if self.current_ino() == Some(ino) && self.may_let_go() {
                    self.let_go = true;
                    let newest = self.memory(ino).tiles;
                    let kept = self.sinks.iter().all(|s| !s.is_seen() || s.surface == newest);
                    // Nobody looks where nothing is presented for so long.
                    self.demand(kept || self.now >= ms(100), LET_GO);
                }
            }
        }
    }

    /// Whether pages that are about to be replaced are still the guest's.
    pub(super) fn may_let_go(&self) -> bool {
        matches!(self.doing, Doing::Invalid(since) if self.now < since + ms(50))
    }

    /// Whether they are not any more.
    fn is_gone(&self) -> bool {
        matches!(self.doing, Doing::Invalid(_)) && !self.may_let_go()
    }

    fn is_current(&self, buffer: BufferId) -> bool {
        self.current.is_some_and(|(current, _)| current == buffer)
    }

    fn show(
        &mut self,
        sink: usize,
        commit: CommitId,
        import: ImportId,
        buffer: BufferId,
        damage: &Damage,
    ) {
        let leaving = matches!(self.doing, Doing::Invalid(_));
        self.demand(self.is_current(buffer) && !self.lost && !leaving, STALE);
        let drawing = self.doing == Doing::InPlace;
        let mut picture = self.memory(import.storage.ino).tiles;
        if drawing {
            picture[tile(self.frame + 1)] = TORN;
        }
        let surprise = self.flipped_last && self.swap.is_none();
        let this = &mut self.sinks[sink];
        let asked = this.may_tear();
        let known = this.imports.contains(&import);
        let earlier = this.held.iter().position(|held| held.import == Some(import));
        if let Some(earlier) = earlier {
            this.held.remove(earlier);
        }
        let again = earlier.is_some();
        this.held.push(Held { commit, import: Some(import), excused: false });
        this.direct = true;
        self.demand(known && (!again || asked), HANDLES);
        self.demand(!drawing || asked || surprise, TEARS);
        self.picture(sink, commit, picture, damage);
    }

    fn copy(&mut self, sink: usize, target: u8, buffer: BufferId, damage: Damage) {
        self.demand(self.is_current(buffer) && !self.is_gone(), STALE);
        let Some((_, slot)) = self.current else { return };
        let ino = self.slots[slot];
        let mut pixels = self.memory(ino).tiles;
        // The guest may draw there now, or does.
        let waits = self.owed.iter().any(|owed| owed.slot == slot);
        let draws = !matches!(self.doing, Doing::Announced | Doing::Invalid(_));
        let free = !waits && draws && !self.lost;
        let unguarded = free && self.swap != Some(Swap::Flip);
        let surprise = self.flipped_last && self.swap.is_none();
        if self.doing == Doing::InPlace {
            pixels[tile(self.frame + 1)] = TORN;
        }
        if unguarded && !surprise {
            let counted = self.machine.counts().unguarded_copies > 0;
            self.demand(counted && self.excuse, HIDDEN);
        }
        let this = &mut self.sinks[sink];
        let free = this.copying.is_none();
        let copying = Copying { target, ino, buffer, damage, pixels, excused: unguarded };
        this.copying = Some(copying);
        self.demand(free, HANDLES);
    }

    /// Something came to a screen.
    fn picture(&mut self, sink: usize, commit: CommitId, picture: Picture, damage: &Damage) {
        let this = &mut self.sinks[sink];
        this.newest = commit;
        for (tile, pixels) in this.surface.iter_mut().enumerate() {
            if covers(damage, tile) {
                *pixels = picture[tile];
            }
        }
        let surface = this.surface;
        let same = |(shown, new): (&u8, &u8)| shown == new || [*shown, *new].contains(&TORN);
        self.demand(surface.iter().zip(&picture).all(same), STALE);
        if surface.contains(&TORN) {
            return;
        }
        let frame = surface[0].max(surface[1]);
        self.demand(surface == super::picture(frame), TEARS);
        self.demand(frame >= self.sinks[sink].frame, BACK);
        self.sinks[sink].frame = frame;
    }

    fn settled(&mut self, update: UpdateId) -> Option<Owed> {
        let place = self.owed.iter().position(|owed| owed.update == update)?;
        for lent in self.lent.iter_mut().filter(|lent| **lent == Some(update)) {
            *lent = None;
        }
        Some(self.owed.remove(place))
    }

    fn ack(&mut self, update: UpdateId, forced: bool) {
        let Some(owed) = self.settled(update).filter(|owed| !owed.late) else {
            return self.fail(ONCE);
        };
        let late = self.now >= owed.at + ms(40);
        self.excuse |= late || self.machine.counts().dropped_frames > 0;
        let current = self.current_ino();
        if forced {
            let copies = self.sinks.iter().any(|sink| sink.copying.is_some());
            let held = |held: &Held| held.import.is_some();
            let reads = self.sinks.iter().any(|sink| sink.held.iter().any(held));
            self.demand(late && (copies || reads), FORCED);
            for sink in &mut self.sinks {
                sink.held.iter_mut().for_each(|held| held.excused = true);
                sink.copying.iter_mut().for_each(|copy| copy.excused = true);
            }
        } else if !late && owed.frame == self.frame && current.is_some() && !self.excuse {
            // In time, and nothing came after it: it is what everybody sees.
            let shown = |sink: &Sink| {
                !sink.open || sink.frame >= owed.frame || sink.surface.contains(&TORN)
            };
            self.demand(self.sinks.iter().all(shown), STALE);
        }
    }
}
