//! The GPU, for what the CPU can't do.

use fanlight::convert::blit::{BlitError, Blitter, OpenBlitter};
use fanlight::frame::StorageId;

/// Looked for when it is needed first, because its driver takes a while to start, and most pipelines never need it.
#[derive(Debug)]
pub(super) struct Gpu {
    open: OpenBlitter,
    /// What was found, or why nothing was.
    found: Option<Result<Box<dyn Blitter>, BlitError>>,
}

impl Gpu {
    pub(super) fn new(open: OpenBlitter) -> Self {
        Self { open, found: None }
    }

    pub(super) fn get(&mut self) -> Result<&mut dyn Blitter, BlitError> {
        let open = self.open;
        match self.found.get_or_insert_with(|| open(None)) {
            Ok(gpu) => Ok(&mut **gpu),
            Err(error) => Err(error.clone()),
        }
    }

    /// It failed at what it must be able to do: it is not asked again.
    pub(super) fn give_up(&mut self, error: BlitError) {
        self.found = Some(Err(error));
    }

    pub(super) fn drop_target(&mut self, slot: u8) {
        if let Some(Ok(gpu)) = &mut self.found {
            gpu.drop_target(slot);
        }
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        if let Some(Ok(gpu)) = &mut self.found {
            gpu.forget(storage);
        }
    }
}
