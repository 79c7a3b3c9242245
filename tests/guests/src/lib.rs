//! The picture that the test guests draw, and how to read it back.
//!
//! Two guests draw it: the boot sector of `paint/paint.s` (in place, by VBE) and the Linux
//! program of `src/guest` (page flips, by KMS). [`pattern`] is its one definition: the Linux guest
//! draws with it, the tests read with it, and the boot sector repeats it in assembly, which the
//! tests hold to it pixel for pixel. [`line`] is what guests and tests say to each other.

pub mod image;
pub mod line;
pub mod pattern;

pub use image::{Difference, Image, Rect};
