//! How the program ends: one sentence, and a code that scripts can tell apart.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use crate::capture::{CaptureError, ConditionError, PictureError};
use crate::source::SourceError;

/// Why a verb could not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    sentence: String,
    /// Whether it was said already.
    said: bool,
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const TIMED_OUT: u8 = 3;
const DIFFERENT: u8 = 4;

impl Failure {
    /// Something broke; `what` says what, `error` why.
    pub(super) fn failed(what: impl Display, error: impl Error) -> Self {
        Self { code: FAILED, sentence: format!("{what}: {}", in_words(&error)), said: false }
    }

    /// The user has to ask for something else.
    pub(super) fn usage(error: impl Error) -> Self {
        Self { code: USAGE, sentence: in_words(&error), said: false }
    }

    /// The same, in these words.
    pub(super) fn wrong(sentence: &str) -> Self {
        Self { code: USAGE, sentence: sentence.to_owned(), said: false }
    }

    /// What goes to the standard output can't.
    pub(super) fn stdout(error: io::Error) -> Self {
        Self::failed("can't write to the standard output", error)
    }

    /// Something didn't come in time.
    pub(super) fn timed_out(sentence: String) -> Self {
        Self { code: TIMED_OUT, sentence, said: false }
    }

    /// A picture is not as it should be.
    pub(super) fn different(sentence: String) -> Self {
        Self { code: DIFFERENT, sentence, said: false }
    }

    /// Of several: what one says is said at once, and the worst is what the program ends with.
    pub(super) fn worse(worst: Option<Self>, next: Self) -> Self {
        // Several windows may end for one reason.
        if worst.as_ref().is_none_or(|worst| worst.sentence != next.sentence) {
            next.say();
        }
        let code = worst.map_or(next.code, |worst| worst.code.max(next.code));
        Self { code, said: true, ..next }
    }

    /// The same, and where that was.
    pub(super) fn at(self, place: &str) -> Self {
        Self { sentence: format!("{place}: {}", self.sentence), ..self }
    }

    /// The same, and more of it.
    pub(super) fn with(self, more: &str) -> Self {
        Self { sentence: self.sentence + more, ..self }
    }

    fn say(&self) {
        eprintln!("fanlight: {}", self.sentence);
    }

    /// All was said already.
    pub(super) fn found() -> Self {
        Self { code: FAILED, sentence: String::new(), said: true }
    }

    /// Something ended that the user wanted to go on.
    pub(super) fn ended(sentence: String) -> Self {
        Self { code: FAILED, sentence, said: false }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let code = if error.is_usage() { USAGE } else { FAILED };
        Self { code, sentence: in_words(&error), said: false }
    }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        match error {
            CaptureError::Source(error) => error.into(),
            CaptureError::Mask(error) => Self::usage(error),
            CaptureError::TimedOut { .. } | CaptureError::Unmet { .. } => {
                Self { code: TIMED_OUT, sentence: in_words(&error), said: false }
            }
            _ => Self { code: FAILED, sentence: in_words(&error), said: false },
        }
    }
}

impl From<ConditionError> for Failure {
    fn from(error: ConditionError) -> Self {
        match error {
            ConditionError::Picture(error) => error.into(),
            ConditionError::Text { .. } => Self::usage(error),
        }
    }
}

impl From<PictureError> for Failure {
    fn from(error: PictureError) -> Self {
        Self { code: FAILED, sentence: in_words(&error), said: false }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { code: FAILED, sentence: in_words(&error), said: false }
    }
}

/// An error and its causes, as one sentence.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

/// Says on stderr what went wrong, if anything did.
pub(super) fn report(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.said {
                failure.say();
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Writes to stdout; a reader that has gone away is no failure.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    use io::Write;
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::stdout(error)),
        _ => Ok(()),
    }
}
