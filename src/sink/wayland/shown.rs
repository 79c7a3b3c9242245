//! What is on the screen, read back.

use std::borrow::Cow;

use super::super::late::Late;
use super::WaylandSink;
use super::targets;
use crate::convert::cpu::{self, OUT_PIXEL};
use crate::frame::{Damage, Picture, StorageId};
use crate::port::Buffer;

/// What the newest commit shows.
#[derive(Debug)]
pub(super) struct Shown {
    /// Our target that it was copied into; `None`: the guest's own memory.
    pub(super) copy: Option<u8>,
    /// The guest's memory, until that is let go.
    pub(super) buffer: Option<Buffer>,
}

/// Why it can't be read, as a sentence.
type Reason = Cow<'static, str>;

impl WaylandSink {
    /// The picture that was shown last, upright, in the guest's pixels; `None` where nothing is shown.
    ///
    /// It is whole: a copy is nobody's to write to but ours, and a guest that flips gets the memory on the
    /// screen back only by an ack, which isn't sent meanwhile. Only where a guest that draws in place is
    /// shown directly, or a GPU has copied, its own memory is read, and may be half drawn. Memory that
    /// `is_guests` says no of is not read.
    ///
    /// # Errors
    /// If it can't be read, with the reason.
    pub fn read_shown(
        &mut self,
        is_guests: impl FnOnce(StorageId) -> bool,
    ) -> Result<Option<Picture>, Reason> {
        let Some(shown) = &self.shown else { return Ok(None) };
        if let Some(frame) = shown.copy.and_then(|target| self.state.targets.read(target)) {
            return Ok(Some(frame));
        }
        let Some(buffer) = &shown.buffer else {
            return Err("it is in memory that only the GPU reads".into());
        };
        if !is_guests(buffer.storage.id) {
            return Err("its memory is no longer the guest's".into());
        }
        if Late::new(0, buffer, &Damage::Whole).is_some() {
            return Err("the guest is drawing into it; try again".into());
        }
        let view = targets::view(buffer);
        let size = view.size();
        let stride = size.width as usize * OUT_PIXEL;
        let mut pixels = vec![0; stride * size.height as usize];
        let read = cpu::Reader::open(&buffer.storage)
            .and_then(|reader| cpu::copy(&reader, &view, &Damage::Whole, &mut pixels, stride));
        read.map_err(|error| error.to_string())?;
        Ok(Some(Picture { size, pixels }))
    }
}
