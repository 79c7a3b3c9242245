//! Whose the pages are: a backend may take them from the guest, at once or after a word before.

use super::Machine;
use super::io::Time;
use super::mutation::Mutation;
use crate::frame::{BufferId, StorageId};

/// Whose the pages of the current buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pages {
    Guests,
    /// The guest's until nothing reads them, and at most until then: one last copy may be made.
    Leaving(Time),
    /// No longer the guest's: what shows them goes on, but nothing shows, imports or copies them.
    Gone,
}

impl Pages {
    /// When they go, if they are about to.
    pub(super) fn until(self) -> Option<Time> {
        match self {
            Self::Leaving(until) => Some(until),
            Self::Guests | Self::Gone => None,
        }
    }
}

impl Machine {
    pub(super) fn replaced(&mut self, buffer: BufferId) {
        // A storage that was announced anew since then is spoken of by its new name.
        let Some(known) = self.storages.iter_mut().find(|s| s.buffer == buffer) else { return };
        if self.seeded.has(Mutation::CommitReplaced) {
            return;
        }
        known.dead = true;
        if self.rhythm.last == Some(known.id) {
            // What is drawn next may be the same picture of the guest's, in other pages: no flip.
            self.rhythm.last = None;
        }
        if self.current.as_ref().is_some_and(|c| c.announced.buffer == buffer) {
            self.current_is_gone();
        }
    }

    /// All that was announced is to be let go.
    pub(super) fn invalidate(&mut self, now: Time) {
        for storage in &mut self.storages {
            storage.dead = true;
        }
        self.rhythm.last = None;
        let until = now + self.config.leave_within;
        match &mut self.current {
            Some(current) if current.pages == Pages::Guests && !self.lost => {
                current.pages = Pages::Leaving(until);
            }
            _ => return,
        }
        if self.seeded.has(Mutation::InvalidAsReplaced) {
            return self.current_is_gone();
        }
        for view in &mut self.views {
            // One last copy, while the pages are still the guest's.
            view.let_go(now);
        }
    }

    /// What was not let go in time is gone all the same; what is being copied of it is thrown away.
    pub(super) fn leave(&mut self, now: Time) {
        let until = self.current.as_ref().and_then(|current| current.pages.until());
        if until.is_some_and(|until| now >= until) {
            self.current_is_gone();
        }
    }

    fn current_is_gone(&mut self) {
        if let Some(current) = &mut self.current {
            current.pages = Pages::Gone;
        }
        for view in &mut self.views {
            view.nothing_to_show(self.frame);
        }
    }

    /// Whether what is in a storage is the guest's, as far as anybody said.
    pub fn is_guests(&self, storage: StorageId) -> bool {
        self.storages.iter().any(|known| known.id == storage && !known.dead)
    }

    /// The storage that is kept, though its pages are about to go, until its last copy is begun.
    pub(super) fn last_copied(&self) -> Option<StorageId> {
        let current = self.current.as_ref().filter(|c| c.pages.until().is_some())?.announced;
        let awaits = self.views.iter().any(|view| view.awaits_copy(current.buffer, self.now));
        awaits.then_some(current.storage)
    }
}
