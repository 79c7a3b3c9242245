//! What Fanlight's end-to-end tests and its demo start, and look at, on the test machine.
//!
//! - [`prepare`] makes the guests' images, once a build, of a Linux that has booted too; [`guests`] finds them and fits them.
//! - [`rundir`], [`child`], `ready` and [`wait`]: programs that end with their owner, whose output
//!   is kept where a test failed, and that are waited for by events.
//! - [`bus`], [`qemu`] (with [`qmp`] and [`guestline`]), [`weston`] and [`sway`] are the programs;
//!   [`compositor`] is what the last two have in common, [`virtual_input`] are a user's hands.
//! - [`sound`] is a sound server, with somebody who listens and somebody who speaks.
//! - [`picture`] reads screenshots, [`dmabuf`] what dma-bufs a process holds, [`versions`] what is
//!   installed.
//! - [`viewer`] runs `fanlight` itself, [`pipeline`] its GStreamer plugin, and [`demo`] shows it all.

mod booted;
pub mod bus;
pub mod child;
pub mod compositor;
pub mod demo;
pub mod dmabuf;
pub mod error;
pub mod guestline;
pub mod guests;
mod initramfs;
mod kernel;
pub mod picture;
pub mod pipeline;
pub mod prepare;
pub mod qemu;
pub mod qmp;
mod ready;
pub mod rundir;
pub mod sound;
pub mod sway;
pub mod versions;
pub mod viewer;
pub mod virtual_input;
pub mod wait;
pub mod weston;

pub use error::{Context, Error, Result};
pub use fanlight_guests::{Image, Rect, cursor, line, pattern};
