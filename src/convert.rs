//! Pixels from the guest's memory into ours, where a copy can't be avoided.

pub mod cpu;
