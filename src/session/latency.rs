//! How long things took, in fixed memory.

use std::time::Duration;

use super::{Session, TIMED_COMMITS_MAX};
use crate::frame::CommitId;
use crate::port::Sink;
use crate::scanout::Time;

/// Buckets an octave: figures are right to an eighth.
const STEPS: u64 = 8;
const BUCKETS: usize = 36 * STEPS as usize;

/// How long something took, in fixed memory: microseconds in buckets that grow with their value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    total: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0, longest: Duration::ZERO }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values, p50 {:?}, p99 {:?}", self.total, self.quantile(50), self.quantile(99))
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(us).min(BUCKETS - 1)] += 1;
        self.total += 1;
        self.longest = self.longest.max(took);
    }

    /// What was counted since it was as `earlier`, a clone of it; the longest is that of all time.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (count, before) in since.counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        since.total = self.total.saturating_sub(earlier.total);
        since
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The largest value, as it was; `None` without values.
    pub fn max(&self) -> Option<Duration> {
        (self.total > 0).then_some(self.longest)
    }

    /// The value below which `percent` of the values lie, to an eighth; `None` without values.
    pub fn quantile(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(i, &n)| {
            seen += u64::from(n);
            (seen >= wanted && self.total > 0)
                .then(|| Duration::from_micros(upper(i)).min(self.longest))
        })
    }
}

fn bucket(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let octave = us.ilog2() - STEPS.ilog2();
    // At most 61 octaves of 8 steps: fits.
    (u64::from(octave) * STEPS + (us >> octave)) as usize
}

/// The largest value that falls into bucket `i`.
fn upper(i: usize) -> u64 {
    let i = i as u64;
    if i < 2 * STEPS {
        return i;
    }
    let octave = i / STEPS - 1;
    ((i % STEPS + STEPS + 1) << octave) - 1
}

impl<K: Sink> Session<K> {
    /// A commit was taken for the screen.
    pub(super) fn time_presented(&mut self, commit: CommitId) {
        let now = self.now();
        while let Some((timed, at)) = self.commits.pop_front_if(|(c, _)| *c <= commit) {
            if timed == commit {
                self.commit_to_presented.record(now.saturating_sub(at));
            }
        }
    }

    /// Notes that and when it goes out, and how long after its frame was drawn: or, where that is shown once more or could
    /// not be shown, after it was `wanted`.
    pub(super) fn time_commit(&mut self, commit: CommitId, drawn: Option<Time>, wanted: Time) {
        self.live = self.lost.is_none();
        let now = self.now();
        if let Some(drawn) = drawn {
            let wanted = wanted.max(drawn);
            self.update_to_commit.record(now.saturating_sub(wanted));
            self.sink.drawn(commit, self.start + drawn, self.start + wanted);
        }
        if self.commits.len() == TIMED_COMMITS_MAX {
            self.commits.pop_front();
        }
        self.commits.push_back((commit, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_its_bucket() {
        for us in (0..100_000).chain([1 << 30, (1 << 36) + 7]) {
            let i = bucket(us);
            assert!(us <= upper(i), "{us} in bucket {i} up to {}", upper(i));
            assert!(i == 0 || us > upper(i - 1), "{us} above bucket {}", i - 1);
        }
    }

    #[test]
    fn quantiles_come_to_an_eighth() {
        let mut h = Histogram::default();
        assert_eq!((h.quantile(50), h.max()), (None, None));
        for ms in 1..=100 {
            h.record(Duration::from_millis(ms));
        }
        let p50 = h.quantile(50).unwrap().as_secs_f64();
        assert!((0.050..0.057).contains(&p50), "{p50}");
        let p99 = h.quantile(99).unwrap().as_secs_f64();
        assert!((0.099..0.112).contains(&p99), "{p99}");
        assert_eq!(h.max(), Some(Duration::from_millis(100)));
        assert!(h.quantile(100) <= h.max());
        let before = h.clone();
        h.record(Duration::from_millis(3));
        let since = h.since(&before);
        assert_eq!(since.count(), 1);
        assert!((3..4).contains(&since.quantile(99).unwrap().as_millis()), "{since:?}");
        h.record(Duration::MAX);
        assert_eq!(h.count(), 102);
    }
}
