//! The whole way on a bare machine: the QEMU source against a fake QEMU, a session, and the viewer
//! against a compositor inside the test (or the headless sink). Memfds stand in for dma-bufs; what
//! real ones do is tested in the rig.
#![cfg(feature = "wayland")]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "../support/alone.rs"]
mod alone;
#[path = "../support/compositor.rs"]
#[allow(dead_code)]
mod compositor;
#[path = "../support/fake_clipboard.rs"]
mod fake_clipboard;
#[path = "../support/fake_qemu.rs"]
mod fake_qemu;

#[cfg(all(feature = "wire", feature = "serve"))]
#[path = "../wire/backend.rs"]
#[allow(dead_code)]
mod backend;

mod clipboard;
mod clipboard_storms;
mod copies;
mod cursors;
mod direct;
mod dumps;
mod ends;
mod faults;
mod hostile;
mod input;
#[cfg(all(feature = "wire", feature = "serve"))]
mod input_wire;
mod keeper;
mod late;
mod layouts;
mod let_go;
#[cfg(all(feature = "wire", feature = "serve"))]
mod let_go_wire;
mod modes;
mod points;
mod reconnects;
mod refusals;
mod repack;
mod replaced;
mod resize;
mod script;
mod scripted;
mod spies;
mod stage;
mod tearing;
mod waits;
mod writers;

use fanlight::frame::{Format, Modifier};

const XR24: u32 = Format::XRGB8888.0;
