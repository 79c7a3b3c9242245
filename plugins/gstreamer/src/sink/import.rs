//! A guest's memory as memories of GStreamer's.

use fanlight::frame::{CommitId, ImportId, Size};

use super::Takes;
use crate::caps::{Agreed, Picture};
use crate::memory::Lendable;

/// Memories of one import: sinks leave out a frame that comes in the memory of the one before, and hold two.
const MEMORIES_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Import {
    pub(super) id: ImportId,
    pub(super) memories: Vec<Lendable>,
    pub(super) agreed: Agreed,
    /// Of what is visible of it.
    pub(super) size: Size,
    /// That part's rows don't lie one after the other.
    pub(super) gaps: bool,
    /// Which memory was shown last.
    pub(super) last: usize,
}

impl Import {
    /// Whether downstream still takes it, in whatever way.
    pub(super) fn suits(&mut self, takes: &Takes) -> bool {
        self.agreed.again(&takes.caps) && takes.can_read(&self.agreed.caps, self.gaps)
    }

    /// Another part of it is visible now: whether downstream takes that too.
    pub(super) fn show_part(&mut self, part: &Picture, offers: gst::Caps, takes: &Takes) -> bool {
        let Ok(agreed) = Agreed::new(offers, &takes.caps) else { return false };
        (self.agreed, self.size, self.gaps) = (agreed, part.size, part.has_gaps());
        takes.can_read(&self.agreed.caps, self.gaps)
    }

    /// A memory of this import for the next frame. Sinks leave out a frame that comes in the memory of the one before
    /// (`again`), and keep what they have imported with the memory: so another than that, and else the same again.
    pub(super) fn lend(
        &mut self,
        commit: CommitId,
        again: bool,
        make: impl FnOnce() -> Option<Lendable>,
    ) -> Option<gst::Memory> {
        let count = self.memories.len();
        let others = (usize::from(again)..count).map(|i| (self.last + i) % count);
        for index in others {
            if let Some(memory) = self.memories[index].lend(commit) {
                self.last = index;
                return Some(memory);
            }
        }
        if count < MEMORIES_MAX {
            let made = make()?;
            let memory = made.lend(commit);
            self.memories.push(made);
            self.last = count;
            return memory;
        }
        self.memories[self.last].lend(commit)
    }
}

/// Memory of ours that copies are made in.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) size: Size,
    pub(super) memory: Lendable,
    /// `None`: to be agreed on when it is shown.
    pub(super) agreed: Option<Agreed>,
}
