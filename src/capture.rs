//! Frames of a guest for test suites and files: wait for one, write it as a picture, say whether it is as it should be.
//!
//! ```
//! use std::time::Duration;
//! use fanlight::capture::{Capture, Condition, Likeness, hash};
//!
//! // `qemu:my-vm`, say; this one draws a frame a second.
//! let mut guest = Capture::open(&"demo:?size=320x240&fps=1".parse()?, &Default::default())?;
//! let patience = Duration::from_secs(60);
//! // Nothing has changed for a while, but for a blinking cursor.
//! let screen = guest.wait_stable(Duration::from_millis(300), patience)?;
//! guest.assert_matches(&screen, &Likeness::default());
//! println!("{}x{} {}", screen.size.width, screen.size.height, hash(&screen));
//! // As text, `match:login.png:8` or `region:0,0,320,40:change` for example.
//! let next = guest.wait(&Condition::parse("change")?, patience, None)?;
//! assert!(guest.matches(&screen, &Likeness::default(), patience).is_err());
//! # assert!(next.number > screen.number);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No call polls: each waits for what the guest draws, and for as long as it is told at most.

mod compare;
mod condition;
#[cfg(feature = "pictures")]
mod hash;
#[cfg(feature = "pictures")]
mod picture;
mod watch;
mod y4m;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

pub use crate::frame::Picture;
use crate::frame::{Input, Pointing};
use crate::session::{Config, Options, Present, Session, Stats, Turn};
use crate::sink::memory::MemorySink;
pub use crate::sink::memory::{Frame, ReadBy, WhenFull};
use crate::source::{self, ConsoleInfo, SourceError, Uri};
pub use compare::{Difference, Likeness, MaskSize};
pub use condition::{CELL, Condition};
#[cfg(feature = "pictures")]
pub use condition::{ConditionError, parse_duration, parse_rect};
#[cfg(feature = "pictures")]
pub use hash::{Hash, hash};
#[cfg(feature = "pictures")]
pub use picture::{PictureError, PictureFormat, read_picture};
pub use watch::Watch;
pub use y4m::{Chroma, Rate, Y4m};

/// How long the screen that was found at the start waits for an update that would make it newer.
const FIRST_FRAME_GRACE: Duration = Duration::from_millis(200);
/// Frames that may wait to be taken before the guest has to.
const ROOM: usize = 2;
/// How long a first frame is waited for, where nobody says it.
const FIRST_FRAME_PATIENCE: Duration = Duration::from_secs(10);

/// How frames are taken.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    /// How the source is opened.
    pub source: source::Options,
    /// An update is acked after this, even if its frame could not be read by then.
    pub ack_deadline: Duration,
    /// Whether the guest's cursor is drawn into the frames, where the guest has it then. It moves no frame along: who
    /// wants to see it move needs a guest that draws.
    pub cursor: bool,
    /// What happens while frames aren't taken as fast as they come.
    pub when_full: WhenFull,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            source: source::Options::default(),
            ack_deadline: Config::VIEWER.ack_deadline,
            cursor: false,
            when_full: WhenFull::Wait,
        }
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
        "no {} frame came within {} s: the guest's screen did not change in that time",
        if *.seen { "further" } else { "first" }, .waited.as_secs_f32()
    )]
    TimedOut {
        /// How long was waited.
        waited: Duration,
        /// Whether any frame had come before.
        seen: bool,
    },
    /// What was waited for didn't become true in time.
    #[error("{wish} within {} s{}", .waited.as_secs_f32(), .last.as_deref().map(|last| format!(": {last}")).unwrap_or_default())]
    Unmet {
        /// What it was: "the screen was not still for 0.5 s", say.
        wish: String,
        /// How long was waited.
        waited: Duration,
        /// What of the last frame kept it from being so, where there is more to say.
        last: Option<String>,
    },
    /// What the guest shows can't be read: neither by the CPU nor by a GPU.
    #[error("the guest's screen can't be read: {0}")]
    Unreadable(String),
    /// A mask is for pictures of another size.
    #[error(transparent)]
    Mask(#[from] MaskSize),
    /// A picture is not as it should be.
    #[error("the screen is not as it should be: {0}")]
    Unlike(Difference),
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
    source: source::Options,
    last: Option<Frame>,
    /// How many of the frames that were taken are updates of the guest's.
    taken: u64,
}

impl Capture {
    /// Opens a console. Blocks as [`source::open`] does.
    ///
    /// # Errors
    /// If the console can't be opened.
    pub fn open(uri: &Uri, options: &CaptureOptions) -> Result<Self, CaptureError> {
        let opened = source::open(uri, &options.source)?;
        let config = Config {
            ack_deadline: options.ack_deadline,
            first_grace: FIRST_FRAME_GRACE,
            // From then on a frame is an update.
            next_grace: Duration::MAX / 2,
            ..Config::VIEWER
        };
        let mut sink = MemorySink::new(options.when_full, ROOM);
        if options.cursor {
            sink.draw_cursor();
        }
        let session = Session::new(opened.source, sink, Options { present: Present::Copy, config });
        Ok(Self { session, console: opened.console, source: options.source, last: None, taken: 0 })
    }

    /// Opens the console again, after its backend was lost. Blocks as [`source::open`] does. What is drawn then is
    /// of another [epoch](Frame::epoch); frames of the one before that weren't taken still are there.
    ///
    /// # Errors
    /// If the console can't be opened.
    pub fn reconnect(&mut self) -> Result<(), CaptureError> {
        let opened = source::open(&self.console.uri, &self.source)?;
        self.session.sink().next_epoch();
        self.session.reconnect(opened.source);
        self.console = opened.console;
        Ok(())
    }

    /// Whose screen it is.
    pub fn console(&self) -> &ConsoleInfo {
        &self.console
    }

    /// The next frame: at first the screen as it is now, then one an update, none left out.
    /// Gives up when `wake`, an fd of the caller's, is readable.
    ///
    /// # Errors
    /// If none comes in time, or ever.
    pub fn next_frame(
        &mut self,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<Frame, CaptureError> {
        match self.frame_within(timeout, wake)? {
            Some(frame) => Ok(frame),
            None => Err(self.unread().unwrap_or_else(|| self.timed_out(timeout))),
        }
    }

    /// The newest frame of those that come until then; `None` where none has come yet, ever. All of them are
    /// read. It is an old one where what the guest shows now is [unreadable](Self::unreadable).
    ///
    /// # Errors
    /// If none can come any more.
    pub fn newest_at(
        &mut self,
        at: Instant,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Frame>, CaptureError> {
        while self.frame_within(at.saturating_duration_since(Instant::now()), wake)?.is_some() {}
        Ok(self.last.clone())
    }

    /// Waits until that is so, and returns the frame of which it is. What was taken last is where it begins. A screen
    /// that can't be read is neither still nor like any picture.
    ///
    /// # Errors
    /// If it doesn't become so in time, or ever.
    pub fn wait(
        &mut self,
        condition: &Condition,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<Frame, CaptureError> {
        let start = Instant::now();
        let mut watch = Watch::new(condition);
        if let Some(last) = &self.last
            && watch.look(&last.picture, start)
            && self.unreadable().is_none()
        {
            return Ok(self.last.clone().expect("it was looked at"));
        }
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            let due = watch.due().filter(|_| self.unreadable().is_none());
            let due = due.map(|due| due.saturating_duration_since(Instant::now()));
            match self.frame_within(due.map_or(left, |due| due.min(left)), wake)? {
                // The guest goes on only now, so that what takes its time until here is none of its stillness.
                Some(frame) if watch.look(&frame.picture, Instant::now()) => return Ok(frame),
                None if watch.is_met(Instant::now()) && self.unreadable().is_none() => {
                    return Ok(self.last.clone().expect("it was looked at"));
                }
                _ => {}
            }
            if start.elapsed() >= timeout {
                if let Some(unread) = self.unread() {
                    return Err(unread);
                }
                let Some(last) = &self.last else { return Err(self.timed_out(timeout)) };
                let (wish, last) = (condition.unmet(), watch.lacks(&last.picture));
                return Err(CaptureError::Unmet { wish, waited: timeout, last });
            }
        }
    }

    /// Waits until nothing has changed for so long, but for what is no larger than a text's [`CELL`]: a cursor that
    /// blinks.
    ///
    /// # Errors
    /// If that doesn't become so in time, or ever.
    pub fn wait_stable(
        &mut self,
        lasts: Duration,
        timeout: Duration,
    ) -> Result<Frame, CaptureError> {
        self.wait(&Condition::stable(lasts), timeout, None)
    }

    /// Whether the screen is as it should be: what was taken last, else the first frame, which is waited for as long as
    /// `timeout`.
    ///
    /// # Errors
    /// How it differs ([`CaptureError::Unlike`]); or if there is no frame, or the mask is for none like it.
    pub fn matches(
        &mut self,
        wanted: &Picture,
        likeness: &Likeness,
        timeout: Duration,
    ) -> Result<(), CaptureError> {
        likeness.suits(wanted)?;
        let last = match &self.last {
            Some(last) => last.clone(),
            None => self.next_frame(timeout, None)?,
        };
        let difference = likeness.difference(wanted, &last);
        difference.map_or(Ok(()), |difference| Err(CaptureError::Unlike(difference)))
    }

    /// [`matches`](Self::matches), for tests.
    ///
    /// # Panics
    /// If it isn't as it should be, with what differs; or if there is no frame within ten seconds.
    #[track_caller]
    pub fn assert_matches(&mut self, wanted: &Picture, likeness: &Likeness) {
        if let Err(error) = self.matches(wanted, likeness, FIRST_FRAME_PATIENCE) {
            panic!("{error}");
        }
    }

    /// What was taken last.
    pub fn last(&self) -> Option<&Frame> {
        self.last.as_ref()
    }

    /// Why what the guest shows now can't be read: what was taken last is older.
    pub fn unreadable(&mut self) -> Option<&str> {
        self.session.sink().unreadable()
    }

    /// Passes it on to the guest, unless that is so already: no key goes down twice. What is still down when this is
    /// dropped is let go.
    pub fn send(&mut self, input: &Input) {
        self.session.pass_on(input);
    }

    /// What the guest's pointer understands.
    pub fn pointing(&mut self) -> Pointing {
        self.session.sink().pointing()
    }

    /// Does what the guest needs, without taking a frame, until `wake` is readable: for who has no room for more.
    ///
    /// # Errors
    /// If the kernel refuses to wait.
    pub fn serve(&mut self, wake: BorrowedFd<'_>) -> Result<(), CaptureError> {
        while self.session.turn(None, Some(wake))? != Turn::Woken {}
        Ok(())
    }

    /// Whether the backend is gone.
    pub fn is_lost(&self) -> bool {
        self.session.lost().is_some()
    }

    /// How many updates of the guest's have no frame, neither taken nor waiting: it didn't wait until there was room.
    pub fn left_out(&mut self) -> u64 {
        let there = self.session.sink().waiting();
        self.session.finished().saturating_sub(self.taken + there)
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.session.stats()
    }

    fn unread(&mut self) -> Option<CaptureError> {
        self.unreadable().map(|why| CaptureError::Unreadable(why.to_owned()))
    }

    fn timed_out(&self, waited: Duration) -> CaptureError {
        CaptureError::TimedOut { waited, seen: self.last.is_some() }
    }

    /// The next frame, if one comes in time.
    fn frame_within(
        &mut self,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Frame>, CaptureError> {
        let start = Instant::now();
        let mut turned = false;
        loop {
            if let Some(frame) = self.session.sink().take_frame() {
                self.taken += u64::from(frame.drawn.is_some());
                self.last = Some(frame.clone());
                return Ok(Some(frame));
            }
            if let Some(reason) = self.session.lost() {
                return Err(CaptureError::Lost(reason.to_owned()));
            }
            let left = timeout.saturating_sub(start.elapsed());
            // Who has no time to wait sees what has come all the same.
            if left.is_zero() && turned {
                return Ok(None);
            }
            if self.session.turn(Some(left), wake)? == Turn::Woken {
                return Err(CaptureError::Interrupted);
            }
            turned = true;
        }
    }
}
