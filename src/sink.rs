//! Where frames go.

pub mod memory;
