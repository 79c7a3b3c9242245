//! Copies by another than the CPU: what whoever makes them has to do, into memory for others or into
//! ours.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::cpu::View;
use crate::frame::{Damage, Layout, Modifier, Size, Storage, StorageId};

/// Why there is no such copy. The CPU may still be able to make one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlitError {
    /// Nothing is there to draw with.
    #[error("no GPU makes the copies: {0}")]
    Open(String),
    /// This memory can't be read; other memory may. Shared, because it is said for each frame.
    #[error("the GPU can't read the guest's memory: {0}")]
    Import(Rc<str>),
    /// What isn't said of this memory can't be found out.
    #[error("how the guest's memory is laid out isn't said, and {0}")]
    Layout(String),
    /// There is no memory to draw into.
    #[error("the GPU gives no memory for a picture: {0}")]
    Target(String),
    /// It broke.
    #[error("the GPU could not draw: {0}")]
    Draw(String),
}

/// Memory that pictures are drawn into, for others to read.
#[derive(Debug)]
pub struct Target {
    /// How it is to be read: XRGB8888, in the size that was asked for.
    pub layout: Layout,
    /// One dma-buf a plane. Owned here; the blitter keeps its own.
    pub fds: Vec<OwnedFd>,
}

/// How far a blit is.
#[derive(Debug)]
pub enum Blit {
    /// All is drawn.
    Done,
    /// All is drawn, and the guest's memory read, when this becomes readable: a sync_file.
    When(OwnedFd),
}

/// What draws pictures: a GPU. A slot is a number below [`TARGETS`](crate::frame::TARGETS).
pub trait Blitter: Debug {
    /// Its name, for the user.
    fn name(&self) -> &str;

    /// Prepares to read `storage` in this way; what was prepared is kept until
    /// [`forget`](Self::forget), and what can't be is refused again at once.
    fn import(&mut self, storage: &Storage, layout: &Layout) -> Result<(), BlitError>;

    /// How `storage` is laid out, of which `layout` says only that its driver knows it
    /// ([`Modifier::INVALID`]). Takes a while: to be asked once, not for each frame.
    fn modifier(&mut self, storage: &Storage, layout: &Layout) -> Result<Modifier, BlitError>;

    /// Makes a target for `slot`, laid out as one of `modifiers`, in place of what the slot had.
    fn target(&mut self, slot: u8, size: Size, modifiers: &[Modifier])
    -> Result<Target, BlitError>;

    /// Gives up the target of `slot`, if there is one.
    fn drop_target(&mut self, slot: u8);

    /// Draws what changed of the visible picture, upright, into the target of `slot`, which has its
    /// size. `storage` was imported.
    fn blit(
        &mut self,
        slot: u8,
        storage: StorageId,
        view: &View,
        damage: &Damage,
    ) -> Result<Blit, BlitError>;

    /// Drops all that was imported of `storage`.
    fn forget(&mut self, storage: StorageId);
}

/// What brings pictures into memory of ours that the CPU can't read: a GPU.
pub trait Readback: Debug {
    /// Brings what changed of the visible picture, upright, into `out`: XRGB8888 of the visible size,
    /// `out_stride` bytes a row. Returns how many bytes were written. Waits for it, but not for ever.
    ///
    /// # Errors
    /// If this memory can't be read ([`BlitError::Import`]; other memory may), or it broke. `out` is
    /// as it was.
    ///
    /// # Panics
    /// If `out` is smaller than the picture: it is ours, so that is our bug.
    fn read(
        &mut self,
        storage: &Storage,
        view: &View,
        damage: &Damage,
        out: &mut [u8],
        out_stride: usize,
    ) -> Result<u64, BlitError>;

    /// Drops all that was imported of `storage`.
    fn forget(&mut self, storage: StorageId);
}

/// Finds what reads. Blocks for as long as its driver takes to start.
pub type OpenReadback = fn() -> Result<Box<dyn Readback>, BlitError>;

/// Finds what draws, rather the GPU that the compositor uses (a `dev_t`). Blocks for as long as its
/// driver takes to start.
pub type OpenBlitter = fn(Option<u64>) -> Result<Box<dyn Blitter>, BlitError>;

/// The GPU, where there is one and this was built to use it.
///
/// # Errors
/// If there is none.
#[cfg(feature = "gpu")]
pub fn gpu(device: Option<u64>) -> Result<Box<dyn Blitter>, BlitError> {
    super::gpu::open(device)
}

/// The first GPU, where there is one and this was built to use it.
///
/// # Errors
/// If there is none.
#[cfg(feature = "gpu")]
pub fn readback() -> Result<Box<dyn Readback>, BlitError> {
    super::gpu::open_readback()
}

/// None: this was built without.
///
/// # Errors
/// Always.
#[cfg(not(feature = "gpu"))]
pub fn gpu(_: Option<u64>) -> Result<Box<dyn Blitter>, BlitError> {
    Err(without())
}

/// None: this was built without.
///
/// # Errors
/// Always.
#[cfg(not(feature = "gpu"))]
pub fn readback() -> Result<Box<dyn Readback>, BlitError> {
    Err(without())
}

#[cfg(not(feature = "gpu"))]
fn without() -> BlitError {
    BlitError::Open("this was built without it (the feature `gpu`)".to_owned())
}
