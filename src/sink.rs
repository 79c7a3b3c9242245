//! Where frames go. Each sink presents what the session tells it to, and says when it is done with it.

pub mod late;
pub mod memory;
#[cfg(feature = "wayland")]
pub mod wayland;
