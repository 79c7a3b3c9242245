//! Does what a script says to a guest, step by step.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::evidence::Evidence;
use super::steps::{Act, Step};
use crate::capture::{Capture, CaptureError, Condition, Frame, PictureFormat, Watch};
use crate::cli::diff::{Wanted, marked_in};
use crate::cli::exit::{Failure, print};
use crate::cli::whole;
use crate::frame::{Input, Pointing};
use crate::session::Stats;

/// How long a guest that shows nothing is looked at before the first step.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Longer than any script runs.
const EVER: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// What has arrived within that is on the screen now.
const NOW: Duration = Duration::from_millis(1);

/// A guest, and what is known of it.
pub(super) struct Runner<'a> {
    guest: Capture,
    /// Readable when the user wants it to end.
    wake: BorrowedFd<'a>,
    evidence: Evidence,
    /// What was on the screen before the last thing that was done: what changes while it is done is a change.
    before: Option<Frame>,
    /// Until then nothing is sent.
    next: Option<Instant>,
}

impl<'a> Runner<'a> {
    /// Looks at the guest's screen first, if it shows one.
    pub(super) fn new(
        guest: Capture,
        wake: BorrowedFd<'a>,
        evidence: Evidence,
    ) -> Result<Self, Failure> {
        let mut runner = Self { guest, wake, evidence, before: None, next: None };
        match runner.guest.next_frame(FIRST_LOOK, Some(wake)) {
            // It may be readable by when that matters.
            Ok(_) | Err(CaptureError::TimedOut { .. } | CaptureError::Unreadable(_)) => Ok(runner),
            Err(error) => Err(error.into()),
        }
    }

    /// Does one; what goes wrong is said with its line, and with what is on the screen then.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let marked = self.evidence.marked(step.line);
        let done = match &step.act {
            Act::Send(inputs, pace) => self.send(inputs, *pace),
            Act::Pause(time) => self.during(*time).map_err(Failure::from),
            Act::Wait(condition, timeout) => self.wait(condition, *timeout, &marked),
            Act::Gone(timeout) => self.gone(*timeout),
            Act::Expect(wanted, timeout) => self.expect(wanted, *timeout, &marked),
            Act::Dump(path, format, timeout) => self.dump(path, *format, *timeout),
            Act::Print(text) => print(text),
        };
        done.map_err(|failure| {
            let old = self.guest.unreadable().is_some();
            self.evidence.of(failure, step.line, self.guest.last(), old)
        })
    }

    /// What happened so far.
    pub(super) fn stats(&self) -> Stats {
        self.guest.stats()
    }

    /// Takes frames for so long, so that no guest waits for us meanwhile.
    fn during(&mut self, time: Duration) -> Result<(), CaptureError> {
        self.guest.newest_at(Instant::now() + time.min(EVER), Some(self.wake)).map(drop)
    }

    fn send(&mut self, inputs: &[Input], pace: Duration) -> Result<(), Failure> {
        self.during(NOW)?;
        self.before = self.guest.last().cloned();
        for input in inputs {
            if let Some(next) = self.next {
                self.during(next.saturating_duration_since(Instant::now()))?;
            }
            if let Input::PointerAt { x, y } = *input {
                self.check_place(x, y)?;
            }
            self.guest.send(input);
            self.next = Some(Instant::now() + pace.min(EVER));
        }
        Ok(())
    }

    /// Fails where the pointer can't be told to go.
    fn check_place(&mut self, x: u32, y: u32) -> Result<(), Failure> {
        if self.guest.pointing() == Pointing::Relative {
            let sentence = "the guest's mouse can't be told a place: give the virtual machine a tablet \
                (-device usb-tablet or virtio-tablet-pci)";
            return Err(Failure::ended(sentence.to_owned()));
        }
        match self.guest.last().map(|frame| frame.size) {
            Some(size) if x >= size.width || y >= size.height => Err(Failure::ended(format!(
                "{x},{y} is outside of the guest's screen, which is {}x{}",
                size.width, size.height
            ))),
            _ => Ok(()),
        }
    }

    fn wait(
        &mut self,
        condition: &Condition,
        timeout: Duration,
        marked: &Path,
    ) -> Result<(), Failure> {
        let mut watch = Watch::new(condition);
        let mut met = false;
        let readable = self.guest.unreadable().is_none();
        if let (true, Some(before), Some(last)) = (readable, &self.before, self.guest.last()) {
            // Only what has become of it counts.
            let now = Instant::now();
            watch.look(&before.picture, now);
            met = watch.look(&last.picture, now);
        }
        if !met && let Err(error) = self.guest.wait(condition, timeout, Some(self.wake)) {
            let unmet = matches!(error, CaptureError::Unmet { .. });
            let last = self.guest.last().filter(|_| unmet);
            let differs = last.and_then(|last| watch.marked(&last.picture));
            return Err(match differs {
                Some(picture) => marked_in(error.into(), &picture, marked),
                None => error.into(),
            });
        }
        self.before = self.guest.last().cloned();
        Ok(())
    }

    fn gone(&mut self, timeout: Duration) -> Result<(), Failure> {
        match self.during(timeout) {
            Err(CaptureError::Lost(_)) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => Err(Failure::timed_out(format!(
                "the virtual machine did not end within {} s",
                timeout.as_secs_f32()
            ))),
        }
    }

    /// What is on the screen now; the first picture is waited for, and one that can be read.
    fn screen(&mut self, timeout: Duration) -> Result<Frame, CaptureError> {
        match self.guest.newest_at(Instant::now() + NOW, Some(self.wake))? {
            Some(frame) if self.guest.unreadable().is_none() => Ok(frame),
            _ => self.guest.next_frame(timeout, Some(self.wake)),
        }
    }

    fn expect(&mut self, wanted: &Wanted, timeout: Duration, marked: &Path) -> Result<(), Failure> {
        let screen = self.screen(timeout)?;
        wanted.check(&screen, "the guest's screen", Some(marked))
    }

    fn dump(
        &mut self,
        path: &Path,
        format: PictureFormat,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let screen = self.screen(timeout)?;
        whole::write(path, |out| format.write(&screen, out))
    }
}
