//! One sentence that says what failed, and what to do where that is known.

use std::fmt;

/// What failed, for a person to read.
#[derive(Debug)]
pub struct Error(String);

/// The result of anything that the stage does.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// From the whole sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// A program of a Debian package is not installed.
    #[must_use]
    pub fn missing(program: &str, package: &str) -> Self {
        Self(format!("{program} is missing; install the Debian package {package}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Puts what was attempted before the reason why it failed.
pub trait Context<T> {
    /// `what` is a clause such as "making DIR".
    ///
    /// # Errors
    /// The same failure, with `what` before it.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error(format!("{what} failed: {e}")))
    }
}
