//! A window into a virtual machine: the guest's framebuffer, as the dma-buf that it already is.
//!
//! One way leads through the house:
//!
//! ```text
//!             announcements, updates             show, copy
//!   source ──────────────────────────► session ─────────────► sink
//!          ◄──────────────────────────  machine ◄─────────────
//!             acks, input                        releases, input
//! ```
//!
//! - [`frame`] has the nouns, [`port`] what the rooms say to each other.
//! - `source` is where frames come from: QEMU over D-Bus, or any backend over guest-scanout-v1.
//! - `protocol` is guest-scanout-v1, `serve` its other end: a library for authors of VMMs.
//! - `scanout` is the machine: pure, it decides what is shown how, and when the guest may go on.
//! - `session` is the one shell around it: it owns the fds and makes the calls.
//! - `sink` is where frames go: a Wayland window, or memory.
//! - `convert` copies pixels where a copy can't be avoided; `sys` speaks to the kernel.
//! - `demo` is a simulated guest, to look at and to test with.
//! - `sound` is what a guest plays and records, and where that goes.
//! - `text` lays out and paints what the viewer itself says.
//! - `typing` is keys: what they are called, and which of them type a text.
//! - `capture` takes frames for test suites.

pub mod capture;
#[cfg(feature = "cli")]
pub mod cli;
pub mod convert;
pub mod demo;
pub mod frame;
pub mod port;
#[cfg(any(feature = "wire", feature = "serve"))]
pub mod protocol;
pub mod scanout;
#[cfg(feature = "serve")]
pub mod serve;
pub mod session;
pub mod sink;
pub mod sound;
pub mod source;
pub mod sys;
#[cfg(feature = "wayland")]
pub mod text;
pub mod typing;
