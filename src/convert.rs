//! Pixels from the guest's memory into ours, where a copy can't be avoided.

pub mod blit;
pub mod cpu;
pub mod cursor;
#[cfg(feature = "gpu")]
pub mod gpu;
