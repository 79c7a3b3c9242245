//! Text in panels and title bars: what they say is laid out and painted here, whoever shows it.
//!
//! A font is looked for when the first of them is painted, and only that one is opened.

mod font;
mod layout;
mod paint;
mod title;

pub use font::{FindFont, find_font};
pub use layout::{Page, Painter};
pub(crate) use paint::{Colour, PIXEL, over};
pub use title::Mask;

/// What a panel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panel {
    /// The same in a few words, for where no text can be painted.
    pub note: String,
    /// Line by line.
    pub lines: Vec<Line>,
}

/// A line of a panel. What doesn't fit is wrapped, or (in rows) ends in an ellipsis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// What it is about.
    Heading(String),
    /// A sentence.
    Text(String),
    /// What something is called, and its value, or values in columns of their own.
    Row(String, Vec<String>),
    /// What rows below are about, and what their columns are called.
    Columns(String, Vec<String>),
    /// Room between what doesn't belong together.
    Gap,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Nothing to write with.
    #[error(
        "no font was found to write in the window with, so its title says the most important; install \
         one, as DejaVu Sans or Noto Sans"
    )]
    NoFont,
    /// It can't be used.
    #[error(
        "the font {path} can't be read, so the window's title says the most important; install another"
    )]
    BadFont {
        /// Its file.
        path: String,
    },
}

#[cfg(test)]
mod tests;
