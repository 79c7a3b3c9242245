//! What a sink does, and what comes of it in the end.

use super::*;

impl Sink {
    /// Whether it shows what a user sees and the CPU can read, whole.
    pub(super) fn is_seen(&self) -> bool {
        self.open && !self.hidden && !self.unreadable && !self.surface.contains(&TORN)
    }
}

impl World {
    pub(crate) fn copied(&mut self, sink: usize, worked: bool) {
        let this = &mut self.sinks[sink];
        let Some(copy) = this.copying.take() else { return };
        let id = this.id;
        if !worked {
            this.unreadable = true;
            self.excuse = true;
            self.input(Input::CopyFailed(id, copy.target));
            return;
        }
        for (tile, pixels) in this.targets[usize::from(copy.target)].iter_mut().enumerate() {
            if covers(&copy.damage, tile) {
                *pixels = copy.pixels[tile];
            }
        }
        self.input(Input::Copied(id, copy.target, 1));
    }

    pub(crate) fn imported(&mut self, sink: usize, worked: bool) {
        let this = &mut self.sinks[sink];
        let import = this.importing.remove(0);
        let id = this.id;
        if worked {
            this.imports.push(import);
            self.input(Input::Imported(id, import));
        } else {
            this.refused = true;
            self.input(Input::Refused(id, import));
        }
    }

    /// The commits that a compositor could release now, by their place.
    pub(crate) fn releasable(&self, sink: usize) -> Vec<usize> {
        let this = &self.sinks[sink];
        let old = |held: &Held| held.commit != this.newest;
        this.held
            .iter()
            .enumerate()
            .filter(move |(_, held)| old(held))
            .map(|(place, _)| place)
            .collect()
    }

    pub(crate) fn release(&mut self, sink: usize, place: usize) {
        let this = &mut self.sinks[sink];
        let held = this.held.remove(place);
        let id = this.id;
        self.input(Input::Released(id, held.commit));
    }

    pub(crate) fn may_present(&self, sink: usize) -> bool {
        let this = &self.sinks[sink];
        this.open && !this.hidden && this.newest > this.presented
    }

    pub(crate) fn present(&mut self, sink: usize) {
        let this = &mut self.sinks[sink];
        let newest = this.newest;
        this.presented = newest;
        let id = this.id;
        self.input(Input::Presented(id, newest));
    }

    pub(crate) fn hide(&mut self, sink: usize, hidden: bool) {
        self.excuse = true;
        self.sinks[sink].hidden = hidden;
        self.input(Input::Hidden(self.sinks[sink].id, hidden));
    }

    pub(crate) fn set_present(&mut self, sink: usize, present: Present) {
        self.excuse = true;
        self.sinks[sink].present = present;
        for held in &mut self.sinks[sink].held {
            // What was shown before may still tear as it was asked to.
            held.excused |= present != Present::Direct;
        }
        self.input(Input::SetPresent(self.sinks[sink].id, present));
    }

    pub(crate) fn detach(&mut self, sink: usize) {
        let this = &mut self.sinks[sink];
        (this.open, this.copying) = (false, None);
        this.held.clear();
        this.importing.clear();
        self.input(Input::Detach(self.sinks[sink].id));
    }

    pub(crate) fn is_copying(&self, sink: usize) -> bool {
        self.sinks[sink].copying.is_some()
    }

    pub(crate) fn tick(&mut self) -> bool {
        let Some(wakeup) = self.machine.wakeup() else { return false };
        self.demand(wakeup > self.now, HUNG);
        // Nobody looks where nothing is presented for so long.
        self.excuse |= wakeup >= ms(100);
        self.now = wakeup;
        self.input(Input::Tick);
        true
    }

    /// Whether every update is settled by time alone, if no sink ever does anything again.
    pub(crate) fn settles_alone(&self) -> Option<Broken> {
        let mut world = self.clone();
        for _ in 0..40 {
            if world.owed.is_empty() || !world.tick() {
                break;
            }
        }
        let end = self.owed.iter().map(|owed| owed.at + ms(60)).max();
        let in_time = end.is_none_or(|end| world.now <= end.max(self.now));
        world.demand(world.owed.is_empty() && in_time, HUNG);
        world.broken
    }

    /// Whether all ends well if every sink does what it shall.
    pub(crate) fn ends_well(&self) -> Option<Broken> {
        let mut world = self.clone();
        let may_let_go = world.may_let_go();
        for _ in 0..60 {
            let mut any = false;
            for sink in 0..world.sinks.len() {
                while !world.sinks[sink].importing.is_empty() {
                    world.imported(sink, true);
                    any = true;
                }
                if world.is_copying(sink) {
                    world.copied(sink, true);
                    any = true;
                }
                if world.may_present(sink) {
                    world.present(sink);
                    any = true;
                }
                while let Some(&place) = world.releasable(sink).first() {
                    world.release(sink, place);
                    any = true;
                }
            }
            if !any && !world.tick() {
                break;
            }
        }
        let newest = world.current_ino().map(|ino| world.memory(ino).tiles);
        let still = world.doing != Doing::InPlace && !world.lost;
        let still = still && !matches!(world.doing, Doing::Invalid(_));
        // What can be neither imported nor read is not to be shown.
        let able = |sink: &Sink| !(sink.unreadable && sink.refused);
        let seen =
            |sink: &Sink| able(sink) && sink.open && !sink.hidden && !sink.surface.contains(&TORN);
        let shown = |sink: &Sink| !seen(sink) || newest.is_none_or(|newest| sink.surface == newest);
        let fresh = !still || world.sinks.iter().all(shown);
        world.demand(fresh, STALE);
        let holds = |sink: &Sink| sink.held.iter().any(|held| held.import.is_some());
        let let_go = world.sinks.iter().all(|sink| !sink.is_seen() || !holds(sink));
        world.demand(let_go || !may_let_go, LET_GO);
        world.demand(world.owed.is_empty(), HUNG);
        world.broken
    }
}
