//! The picture that the test guests draw, and how to read it back.
//!
//! Two guests draw it: the boot sector of `paint/paint.s` (in place, by VBE) and the Linux
//! program of `src/guest` (page flips, by KMS). [`pattern`] is its one definition: the Linux guest
//! draws with it, the tests read with it, and the boot sector repeats it in assembly, which the
//! tests hold to it pixel for pixel. [`mod@line`] is what guests and tests say to each other.
//! [`cursor`] is what the Linux guest shows above it.

pub mod cursor;
pub mod image;
pub mod line;
pub mod pattern;

pub use image::{Difference, Image, Rect};

/// The boot sector's source, for GNU `as --32` and `ld -m elf_i386 -Ttext 0x7c00 --oformat binary`.
pub const PAINT_SOURCE: &str = include_str!("../paint/paint.s");

/// The source of a boot sector that draws nothing, and is heard: assembled in the same way.
pub const SOUND_SOURCE: &str = include_str!("../sound/sound.s");
