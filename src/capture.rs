//! Frames of a guest for test suites and files: wait for one, write it as a picture.
//!
//! ```no_run
//! use std::time::Duration;
//! use fanlight::capture::{Capture, PictureFormat};
//!
//! let mut guest = Capture::open(&"qemu:my-vm".parse()?, &Default::default())?;
//! let screen = guest.next_frame(Duration::from_secs(10), None)?;
//! PictureFormat::Png.write(&screen, std::fs::File::create("screen.png")?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compare;
#[cfg(feature = "pictures")]
mod picture;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::session::{Config, Options, Present, Session, Stats, Turn};
pub use crate::sink::memory::Frame;
use crate::sink::memory::MemorySink;
use crate::source::{self, ConsoleInfo, SourceError, Uri};
pub use compare::{Difference, Likeness, MaskSize};
#[cfg(feature = "pictures")]
pub use picture::{PictureError, PictureFormat, read_picture};

/// How long the screen that was found at the start waits for an update that would make it newer.
const FIRST_FRAME_GRACE: Duration = Duration::from_millis(200);

/// How frames are taken.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    /// How the source is opened.
    pub source: source::Options,
    /// An update is acked after this, even if its frame could not be read by then.
    pub ack_deadline: Duration,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self { source: source::Options::default(), ack_deadline: Config::VIEWER.ack_deadline }
    }
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source could not be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// None came in time.
    #[error(
        "no {} frame came within {} s: the guest's screen did not change; raise --timeout, or ask \
         for fewer frames",
        if *.seen { "further" } else { "first" }, .waited.as_secs_f32()
    )]
    TimedOut {
        /// How long was waited.
        waited: Duration,
        /// Whether any frame had come before.
        seen: bool,
    },
    /// The backend is gone.
    #[error("the virtual machine is gone ({0})")]
    Lost(String),
    /// The caller's own fd became readable.
    #[error("interrupted")]
    Interrupted,
    /// The kernel refused to wait.
    #[error("can't wait for the virtual machine")]
    Wait(#[from] io::Error),
}

/// A console whose frames are read into memory, each while the guest waits for it.
#[derive(Debug)]
pub struct Capture {
    session: Session<MemorySink>,
    console: ConsoleInfo,
    seen: bool,
}

impl Capture {
    /// Opens a console. Blocks as [`source::open`] does.
    pub fn open(uri: &Uri, options: &CaptureOptions) -> Result<Self, CaptureError> {
        let opened = source::open(uri, &options.source)?;
        let config = Config {
            ack_deadline: options.ack_deadline,
            first_grace: FIRST_FRAME_GRACE,
            // From then on a frame is an update.
            next_grace: Duration::MAX / 2,
            ..Config::VIEWER
        };
        let options = Options { present: Present::Copy, config };
        let session = Session::new(opened.source, MemorySink::default(), options);
        Ok(Self { session, console: opened.console, seen: false })
    }

    /// Whose screen it is.
    pub fn console(&self) -> &ConsoleInfo {
        &self.console
    }

    /// The next frame: at first the screen as it is now, then one an update, none left out.
    /// Gives up when `wake`, an fd of the caller's, is readable.
    pub fn next_frame(
        &mut self,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<Frame, CaptureError> {
        let start = Instant::now();
        loop {
            if let Some(frame) = self.session.sink().take_frame() {
                self.seen = true;
                return Ok(frame);
            }
            if let Some(reason) = self.session.lost() {
                return Err(CaptureError::Lost(reason.to_owned()));
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(CaptureError::TimedOut { waited: timeout, seen: self.seen });
            }
            if self.session.turn(Some(left), wake)? == Turn::Woken {
                return Err(CaptureError::Interrupted);
            }
        }
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.session.stats()
    }
}
