//! Fuzzing of everything that reads bytes or geometry of a peer. A target here reads its input as a
//! script ([`tape`]), lets a hostile peer act it out against the real thing, and looks whether what
//! must always be so is so.
//!
//! `support/fuzz.rs` runs them; CONTRIBUTING.md says how to go on guided by coverage, and what to do
//! with an input that was found.
#![cfg(all(feature = "wire", feature = "serve"))]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[allow(dead_code)]
#[path = "../wire/backend.rs"]
mod backend;
#[path = "../support/fuzz.rs"]
mod fuzz;
#[allow(dead_code)]
#[path = "../wire/viewer.rs"]
mod viewer;

mod clipboard;
mod copies;
mod dbus;
mod fds;
mod geometry;
mod names;
mod qemu;
mod qmp;
mod tape;
mod wire_backend;
mod wire_viewer;
