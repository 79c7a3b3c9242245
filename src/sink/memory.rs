//! The headless sink: each frame is read into memory of ours while the guest waits for its ack.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use super::late::Late;
use crate::convert::cpu::{self, CopyError, OUT_PIXEL, Readers, View};
use crate::frame::{CommitId, Damage, ImportId, Size, StorageId, TARGETS};
use crate::port::{Buffer, Sink, SinkEvent};

/// A picture in memory of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its size.
    pub size: Size,
    /// Blue, green, red, and a byte that says nothing; rows top to bottom, `4 * width` bytes each.
    pub pixels: Vec<u8>,
}

/// Keeps every frame that it is shown until somebody takes it.
#[derive(Debug, Default)]
pub struct MemorySink {
    targets: [Option<Frame>; TARGETS],
    readers: Readers,
    frames: VecDeque<Frame>,
    events: VecDeque<SinkEvent>,
    late: Option<Late>,
}

impl MemorySink {
    /// The oldest frame that wasn't taken yet. Taking them is up to the caller, and so is the memory
    /// that they need until then.
    pub fn take_frame(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    fn copy_now(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        let done = match self.copy_into(target, buffer, damage) {
            Ok(bytes) => SinkEvent::Copied { target, bytes },
            Err(error) => SinkEvent::CopyFailed { target, reason: error.to_string() },
        };
        self.events.push_back(done);
    }

    fn copy_into(
        &mut self,
        target: u8,
        buffer: &Buffer,
        damage: &Damage,
    ) -> Result<u64, CopyError> {
        let Buffer { storage, layout, visible, transform, .. } = buffer;
        let view = View { layout: *layout, visible: *visible, transform: *transform };
        let reader = self.readers.of(storage)?;
        let size = view.size();
        let stride = size.width as usize * OUT_PIXEL;
        let frame = &mut self.targets[usize::from(target)];
        if frame.as_ref().is_none_or(|frame| frame.size != size) {
            *frame = Some(Frame { size, pixels: vec![0; stride * size.height as usize] });
        }
        let pixels = &mut frame.as_mut().expect("made above").pixels;
        cpu::copy(reader, &view, damage, pixels, stride)
    }
}

impl Sink for MemorySink {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.late.as_ref().and_then(Late::fd)
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        if let Some(Late { target, buffer, damage }) = self.late.take_if(|late| late.is_due()) {
            self.copy_now(target, &buffer, &damage);
        }
        self.events.pop_front()
    }

    fn flush(&mut self) {}

    fn import(&mut self, import: ImportId, _: &Buffer) {
        let reason = "memory can only be copied into".to_owned();
        self.events.push_back(SinkEvent::Refused { import, reason });
    }

    fn show(&mut self, _: CommitId, import: ImportId, _: &Buffer, _: &Damage) {
        unreachable!("{import:?} was never imported");
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        self.late = Late::new(target, buffer, damage);
        if self.late.is_none() {
            self.copy_now(target, buffer, damage);
        }
    }

    fn show_copy(&mut self, commit: CommitId, target: u8, _: &Buffer, _: &Damage) {
        // A copy is kept, so that the target has its pixels for what changes next.
        self.frames.extend(self.targets[usize::from(target)].clone());
        self.events.push_back(SinkEvent::Presented(commit));
        self.events.push_back(SinkEvent::Released(commit));
    }

    fn blank(&mut self) {}

    fn forget(&mut self, storage: StorageId) {
        self.readers.forget(storage);
    }
}
