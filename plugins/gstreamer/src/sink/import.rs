//! A guest's memory as memories of GStreamer's.

use std::sync::Arc;

use fanlight::frame::{CommitId, ImportId, Layout, Memory, Modifier, Storage, Transform};
use fanlight::port::Buffer;
use fanlight::session::Present;

use super::files::Files;
use super::{GstSink, Takes};
use crate::caps::{self, Agreed, Picture};
use crate::inbox::Inbox;
use crate::mailbox::Memories;
use crate::memory::Lendable;

/// Memories of one import for each of its files: sinks leave out a frame that comes in the memory of the one before, and
/// hold two.
const SETS_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Import {
    pub(super) id: ImportId,
    /// How to read it, also where its guest hasn't said which modifier it has.
    pub(super) layout: Layout,
    pub(super) files: Files,
    /// Each has one a file.
    sets: Vec<Vec<Lendable>>,
    pub(super) agreed: Agreed,
    /// What is visible of it.
    pub(super) picture: Picture,
    /// Which set was shown last.
    last: usize,
    /// All are out, and one more was wanted.
    pub(super) exhausted: bool,
}

impl Import {
    /// Whether downstream still takes it, in whatever way.
    pub(super) fn suits(&mut self, takes: &Takes) -> bool {
        self.agreed.again(&takes.caps) && takes.can_read(&self.agreed.caps, &self.picture).is_ok()
    }

    /// Another part of it is visible now: whether downstream takes that too.
    pub(super) fn show_part(&mut self, part: &Picture, offers: gst::Caps, takes: &Takes) -> bool {
        let Ok(agreed) = Agreed::new(offers, &takes.caps) else { return false };
        (self.agreed, self.picture) = (agreed, *part);
        takes.can_read(&self.agreed.caps, part).is_ok()
    }

    /// Memories of this import for the next frame. Sinks leave out a frame that comes in the memory of the one before
    /// (`again`), and keep what they have imported with the memory: so others than those, and else the same again.
    pub(super) fn lend(
        &mut self,
        commit: CommitId,
        again: bool,
        storage: &Storage,
        inbox: &Arc<Inbox>,
    ) -> Option<Memories> {
        let count = self.sets.len();
        let others = (usize::from(again)..count).map(|i| (self.last + i) % count);
        for index in others {
            if let Some(memories) = lend(&self.sets[index], commit) {
                self.last = index;
                return Some(memories);
            }
        }
        if count < SETS_MAX {
            let made = self.files.memories(storage, inbox)?;
            let memories = lend(&made, commit);
            self.sets.push(made);
            self.last = count;
            return memories;
        }
        lend(&self.sets[self.last], commit)
    }
}

/// All or none.
fn lend(set: &[Lendable], commit: CommitId) -> Option<Memories> {
    if !set.iter().all(Lendable::is_home) {
        return None;
    }
    let mut memories = Memories::default();
    for (memory, lendable) in memories.iter_mut().zip(set) {
        *memory = lendable.lend(commit);
    }
    Some(memories)
}

impl GstSink {
    /// The guest's own memory, if downstream takes it.
    pub(super) fn imported(&mut self, id: ImportId, buffer: &Buffer) -> Result<Import, String> {
        let takes = self.ways.downstream.get().ok_or("downstream is not known yet")?;
        let layout = self.layout(buffer)?;
        let files = Files::of(&buffer.storage, &layout)
            .map_err(|error| format!("the system doesn't tell its dma-bufs apart ({error})"))?;
        let picture = files.picture(&layout, buffer).ok_or("its rows are too long")?;
        let agreed = self.agree(&layout, &picture, &takes)?;
        Ok(Import {
            id,
            layout,
            files,
            sets: Vec::new(),
            agreed,
            picture,
            last: 0,
            exhausted: false,
        })
    }

    /// How a guest's dma-buf is to be read: where its modifier isn't said, which GStreamer has no words for, as the GPU's
    /// driver says.
    fn layout(&mut self, buffer: &Buffer) -> Result<Layout, String> {
        let Buffer { storage, mut layout, transform, .. } = buffer.clone();
        if !matches!(storage.memory, Memory::DmaBuf { .. }) {
            return Err("it is no dma-buf".to_owned());
        }
        if transform == Transform::Flipped && self.manner.present != Present::Direct {
            return Err("it is upside down, which few elements look at (present=direct \
                        passes it on with an image-orientation tag)"
                .to_owned());
        }
        if layout.modifier == Modifier::INVALID {
            let found = self.gpu.get().and_then(|gpu| gpu.modifier(&storage, &layout));
            layout.modifier = found.map_err(|error| error.to_string())?;
        }
        Ok(layout)
    }

    /// What downstream would take memory as that is to be read so.
    pub(super) fn agree(
        &self,
        layout: &Layout,
        picture: &Picture,
        takes: &Takes,
    ) -> Result<Agreed, String> {
        let offers = caps::direct(layout, picture.size, self.manner.rate);
        let agreed = Agreed::new(offers, &takes.caps).map_err(|offers| {
            format!("downstream takes none of {offers}, it takes {}", takes.caps)
        })?;
        takes.can_read(&agreed.caps, picture)?;
        Ok(agreed)
    }
}
