//! What a text or a word becomes at a keyboard: keys by their names, and, with the feature `typing`, by
//! what a keyboard layout has on them.

#[cfg(feature = "typing")]
mod dead;
#[cfg(feature = "typing")]
mod keymap;
pub mod names;
#[cfg(feature = "typing")]
mod text;
#[cfg(feature = "typing")]
mod us;

#[cfg(feature = "typing")]
pub use kbvm::Keysym;
#[cfg(feature = "typing")]
pub use keymap::{Keymap, NoLayout, Stroke, keysym};
#[cfg(feature = "typing")]
pub use text::TypingError;
