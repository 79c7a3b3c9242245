//! guest-scanout-v1, both ends: our server against our viewer, each against a peer that misbehaves.
//! Needs nothing of the machine: memfds stand in for dma-bufs. What real udmabufs do is tested in the
//! rig (`tests/e2e/fresh.rs`).
#![cfg(all(feature = "wire", feature = "serve"))]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "../support/alone.rs"]
mod alone;
mod backend;
mod faults;
mod frames;
mod fresh;
#[path = "../support/hoard.rs"]
mod hoard;
mod hostile_backend;
mod hostile_viewer;
mod leaks;
mod sockets;
mod traps;
mod viewer;
