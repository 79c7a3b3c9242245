//! One error for the whole rig: a sentence for the person who ran it, and the exit code.

use std::fmt::{self, Display};

/// The exit code of the rig's own failures; what runs in the machine uses all the others.
pub(crate) const FAILED: u8 = 125;
/// The exit code when a time limit was reached, as timeout(1) has it.
pub(crate) const TIMED_OUT: u8 = 124;

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    pub(crate) code: u8,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: FAILED }
    }

    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: TIMED_OUT }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Says what was being done when something failed.
pub(crate) trait Context<T> {
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::new(format!("{}: {error}", what())))
    }
}
