//! When samples are due: a stream without gaps, in step with the pipeline's clock.
//!
//! Times are the pipeline's running time. Where the next sample belongs is counted, not measured, so that jitter on the
//! way from QEMU is not heard. Silence stands where samples didn't come in time; what comes for a time that has passed is
//! dropped.

use fanlight::sound::Format;
use gst::ClockTime;

/// Length of a buffer of silence while the guest plays nothing.
pub(super) const SILENCE: ClockTime = ClockTime::from_mseconds(20);
/// Longest buffer of silence before what the guest plays.
const GAP_MAX: ClockTime = ClockTime::from_mseconds(100);
/// If the stream is that far ahead, the pipeline's time has begun anew.
const AHEAD_MAX: ClockTime = ClockTime::from_seconds(1);

/// Where a chunk of samples belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind so many bytes of silence.
    After(usize),
    /// Behind what was sent last.
    Here,
    /// Nowhere: its time is over.
    Late,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    format: Format,
    start: ClockTime,
    /// Since `start`.
    frames: u64,
    /// What was sent last was silence.
    resting: bool,
}

impl Timeline {
    pub(super) fn new(format: Format, start: ClockTime) -> Self {
        Self { format, start, frames: 0, resting: true }
    }

    /// Goes on in another format.
    pub(super) fn change(&mut self, format: Format) {
        *self = Self { format, start: self.next(), frames: 0, ..*self };
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// When the next sample is heard.
    pub(super) fn next(&self) -> ClockTime {
        self.start + self.length(self.frames)
    }

    /// Whether `now` is of another time than what was sent: then it is to be begun anew.
    pub(super) fn is_ahead(&self, now: ClockTime) -> bool {
        self.next() > now + AHEAD_MAX
    }

    /// Where so many bytes belong of which the last had just been played when they came.
    pub(super) fn place(&self, came: ClockTime, bytes: usize, tolerance: ClockTime) -> Place {
        let ideal = came.saturating_sub(self.length(self.frames_in(bytes)));
        let next = self.next();
        if next > ideal + tolerance {
            return Place::Late;
        }
        let gap = ideal.saturating_sub(next);
        // After a rest there is nothing to be joined to.
        if gap <= tolerance && !self.resting {
            return Place::Here;
        }
        match self.bytes_in(gap.min(GAP_MAX)) {
            0 => Place::Here,
            bytes => Place::After(bytes),
        }
    }

    /// When silence is due, if nothing comes until then.
    pub(super) fn due(&self, latency: ClockTime, plays: bool) -> ClockTime {
        self.next() + if plays { latency } else { SILENCE }
    }

    /// A buffer of silence.
    pub(super) fn silence(&self) -> usize {
        self.bytes_in(SILENCE).max(self.format.frame())
    }

    /// So many bytes are sent: from when on, and for how long.
    pub(super) fn send(&mut self, bytes: usize, resting: bool) -> (ClockTime, ClockTime) {
        let from = self.next();
        self.frames += self.frames_in(bytes);
        self.resting = resting;
        (from, self.next() - from)
    }

    fn frames_in(&self, bytes: usize) -> u64 {
        (bytes / self.format.frame()) as u64
    }

    fn length(&self, frames: u64) -> ClockTime {
        // Rates are never zero, and a stream ends before it is five hundred years old.
        let rate = u128::from(self.format.rate);
        let ns = u128::from(frames) * 1_000_000_000 / rate;
        ClockTime::from_nseconds(u64::try_from(ns).unwrap_or(u64::MAX / 2))
    }

    fn bytes_in(&self, time: ClockTime) -> usize {
        self.format.bytes_in(time.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        bits: 16,
        signed: true,
        float: false,
        big_endian: false,
        rate: 48_000,
        channels: 2,
    };
    const TOLERANCE: ClockTime = ClockTime::from_mseconds(40);

    fn ms(ms: u64) -> ClockTime {
        ClockTime::from_mseconds(ms)
    }

    /// Ten milliseconds.
    const CHUNK: usize = 480 * 4;

    #[test]
    fn jitter_is_not_heard() {
        let mut line = Timeline::new(FORMAT, ms(0));
        assert_eq!(line.place(ms(10), CHUNK, TOLERANCE), Place::Here);
        assert_eq!(line.send(CHUNK, false), (ms(0), ms(10)));
        for came in [60, 60, 61, 30, 60] {
            assert_eq!(line.place(ms(came), CHUNK, TOLERANCE), Place::Here, "{came}");
            let from = line.next();
            assert_eq!(line.send(CHUNK, false), (from, ms(10)));
        }
        assert_eq!(line.next(), ms(60));
    }

    #[test]
    fn what_is_missing_is_silence_and_what_comes_too_late_is_dropped() {
        let mut line = Timeline::new(FORMAT, ms(0));
        line.send(CHUNK, false);
        // 51 milliseconds between.
        assert_eq!(line.place(ms(71), CHUNK, TOLERANCE), Place::After(51 * 48 * 4));
        // More than one buffer of it.
        assert_eq!(line.place(ms(10_000), CHUNK, TOLERANCE), Place::After(100 * 48 * 4));
        line.send(50 * 48 * 4, true);
        assert_eq!(line.next(), ms(60));
        assert_eq!(line.place(ms(30), CHUNK, TOLERANCE), Place::Here);
        assert_eq!(line.place(ms(29), CHUNK, TOLERANCE), Place::Late);
    }

    /// After a rest samples are put where they belong.
    #[test]
    fn after_a_rest_samples_are_where_they_belong() {
        let mut line = Timeline::new(FORMAT, ms(0));
        line.send(line.silence(), true);
        assert_eq!(line.place(ms(35), CHUNK, TOLERANCE), Place::After(5 * 48 * 4));
        assert_eq!((line.due(ms(60), false), line.due(ms(60), true)), (ms(40), ms(80)));
    }

    #[test]
    fn no_fraction_is_lost() {
        let format = Format { rate: 44_100, ..FORMAT };
        let mut line = Timeline::new(format, ms(7));
        for _ in 0..4410 {
            line.send(10 * 4, false);
        }
        assert_eq!(line.next(), ms(1007));
        line.change(FORMAT);
        assert_eq!((line.next(), line.format()), (ms(1007), FORMAT));
        assert!(!line.is_ahead(ms(7)) && line.is_ahead(ms(6)));
    }
}
