//! Which of a guest's frames are taken.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::capture::{Capture, CaptureError, Condition, Frame, MaskSize, Rate, parse_duration};

/// As the flag has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Every {
    /// Each that the guest finishes.
    Update,
    /// Each that looks different from the one before.
    Change,
    /// The newest, so often.
    Time(Rate),
}

/// What a video has without a steady pace.
pub(super) const VIDEO: Rate = Rate { frames: 60, seconds: 1 };

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// Reads `update`, `change`, `100ms`, `60fps`, `30000/1001fps`.
pub(super) fn every(text: &str) -> Result<Every, String> {
    let wrong = || format!("\"{text}\" is no pace: write update, change, 100ms or 60fps");
    match text {
        "update" => return Ok(Every::Update),
        "change" => return Ok(Every::Change),
        _ => {}
    }
    let rate = match text.strip_suffix("fps") {
        Some(rate) => {
            let (frames, seconds) = rate.split_once('/').unwrap_or((rate, "1"));
            let number = |text: &str| text.parse().map_err(|_| wrong());
            Rate { frames: number(frames)?, seconds: number(seconds)? }
        }
        None => {
            let period = parse_duration(text).map_err(|_| wrong())?;
            let nanos = u64::try_from(period.as_nanos()).map_err(|_| wrong())?;
            let shared = shared(nanos, SECOND);
            let part = |of: u64| u32::try_from(of / shared).map_err(|_| wrong());
            Rate { frames: part(SECOND)?, seconds: part(nanos)? }
        }
    };
    if rate.frames == 0 || rate.seconds == 0 || rate.frames / rate.seconds > 1000 {
        return Err(wrong());
    }
    Ok(Every::Time(rate))
}

/// The largest number that divides both.
fn shared(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { shared(b, a % b) }
}

impl Every {
    /// The pace of a video that is written so.
    pub(super) fn rate(self) -> Rate {
        match self {
            Self::Time(rate) => rate,
            Self::Update | Self::Change => VIDEO,
        }
    }
}

/// Takes them.
#[derive(Debug)]
pub(super) struct Pace {
    every: Every,
    /// What is to be different.
    change: Condition,
    /// When the first was taken, and how many since.
    ticks: Option<(Instant, u64)>,
}

impl Pace {
    /// `change` says what counts as one.
    pub(super) fn new(every: Every, change: Condition) -> Self {
        Self { every, change, ticks: None }
    }

    /// Fails where what counts as a change can't be told of such screens.
    pub(super) fn suits(&self, first: &Frame) -> Result<(), MaskSize> {
        if self.every == Every::Change { self.change.suits_screen(first) } else { Ok(()) }
    }

    /// The next frame; which it is after what was waited for is taken is the caller's.
    pub(super) fn next(
        &mut self,
        capture: &mut Capture,
        timeout: Duration,
        wake: BorrowedFd<'_>,
    ) -> Result<Frame, CaptureError> {
        if capture.last().is_none() {
            return capture.next_frame(timeout, Some(wake));
        }
        match self.every {
            Every::Update => capture.next_frame(timeout, Some(wake)),
            Every::Change => capture.wait(&self.change, timeout, Some(wake)),
            Every::Time(rate) => {
                let (start, count) = *self.ticks.get_or_insert((Instant::now(), 0));
                let at = start + after(rate, count + 1);
                let newest = capture.newest_at(at, Some(wake))?;
                // Not before it has come: who was interrupted asks for the same again.
                self.ticks = Some((start, count + 1));
                Ok(newest.expect("there was one before"))
            }
        }
    }

    /// A time has gone by without a frame, because there was no room for one.
    pub(super) fn skip(&mut self) {
        if let (Every::Time(rate), Some((start, count))) = (self.every, self.ticks) {
            let passed = start.elapsed().as_nanos() * u128::from(rate.frames);
            let due = passed / (u128::from(rate.seconds) * u128::from(SECOND));
            self.ticks = Some((start, count.max(u64::try_from(due).unwrap_or(u64::MAX))));
        }
    }
}

/// When the frame of this number is due after the first.
fn after(rate: Rate, count: u64) -> Duration {
    let nanos = u128::from(count) * u128::from(rate.seconds) * u128::from(SECOND);
    Duration::from_nanos(u64::try_from(nanos / u128::from(rate.frames)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(frames: u32, seconds: u32) -> Every {
        Every::Time(Rate { frames, seconds })
    }

    #[test]
    fn paces_are_read() {
        for (text, wanted) in [
            ("update", Every::Update),
            ("change", Every::Change),
            ("100ms", time(10, 1)),
            ("1.5s", time(2, 3)),
            ("5s", time(1, 5)),
            ("1min", time(1, 60)),
            ("60fps", time(60, 1)),
            ("30000/1001fps", time(30_000, 1001)),
        ] {
            assert_eq!(every(text), Ok(wanted), "{text}");
        }
        for text in ["", "often", "100", "0fps", "fps", "1/0fps", "2000fps", "1us", "-1s"] {
            assert!(every(text).unwrap_err().contains("no pace: write update"), "{text}");
        }
    }

    #[test]
    fn a_second_has_all_its_frames() {
        let rate = Rate { frames: 30_000, seconds: 1001 };
        assert_eq!(after(rate, 30_000), Duration::from_secs(1001));
        assert_eq!(after(rate, 1), Duration::from_nanos(33_366_666));
        assert!(after(rate, u64::MAX) > Duration::from_secs(1 << 30));
    }
}
