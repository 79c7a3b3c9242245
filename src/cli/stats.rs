//! `--stats`: what happened, once a second and at the end.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::StatsFormat;
use super::exit::{Failure, print};
use crate::session::{Histogram, Mode, Stats, Why};
use crate::source::Uri;

const PERIOD: Duration = Duration::from_secs(1);

/// Prints a session's figures when they are due.
pub(super) struct Reporter {
    format: Option<StatsFormat>,
    /// Whose figures they are.
    console: String,
    /// Whether others print theirs too.
    beside: bool,
    start: Instant,
    last: Instant,
    frames: u64,
}

impl Reporter {
    pub(super) fn new(format: Option<StatsFormat>, console: &Uri) -> Self {
        let now = Instant::now();
        let console = console.to_string();
        Self { format, console, beside: false, start: now, last: now, frames: 0 }
    }

    /// The same, among others.
    pub(super) fn beside(self) -> Self {
        Self { beside: true, ..self }
    }

    /// How long until the next figures are due; `None` if nobody wants them.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.format.map(|_| PERIOD.saturating_sub(self.last.elapsed()))
    }

    /// Prints them if they are due, or if they are the last.
    pub(super) fn report(&mut self, stats: &Stats, last: bool) -> Result<(), Failure> {
        let Some(format) = self.format else { return Ok(()) };
        let took = self.last.elapsed();
        if took < PERIOD && !last {
            return Ok(());
        }
        let frames = stats.counts.frames;
        // The last line is about the whole run, so that a script needs no other.
        let fps = if last {
            frames as f64 / self.start.elapsed().as_secs_f64()
        } else {
            (frames - self.frames) as f64 / took.as_secs_f64()
        };
        self.frames = frames;
        self.last = Instant::now();
        match format {
            StatsFormat::Json => {
                let mut figures = as_json(stats, fps, self.start.elapsed(), last);
                figures["console"] = self.console.as_str().into();
                print(figures)
            }
            StatsFormat::Text if self.beside => {
                print(format_args!("{}: {}", self.console, as_text(stats, fps)))
            }
            StatsFormat::Text => print(as_text(stats, fps)),
        }
    }
}

/// How frames reach the window, and why.
pub(super) fn mode_words(mode: Option<(Mode, Why)>) -> (&'static str, &'static str) {
    mode.map_or(("none", "nothing was announced yet"), |(mode, why)| (mode.word(), why.words()))
}

fn as_json(stats: &Stats, fps: f64, elapsed: Duration, last: bool) -> Value {
    let Stats { counts, updates, mode, update_to_commit, commit_to_presented, update_to_ack } =
        stats;
    let (mode, why) = mode_words(*mode);
    let us = |h: &Histogram, percent| h.quantile(percent).map(|took| took.as_micros() as u64);
    let latency = |h: &Histogram| {
        let max = h.max().map(|took| took.as_micros() as u64);
        json!({"count": h.count(), "p50": us(h, 50), "p99": us(h, 99), "max": max})
    };
    json!({
        "elapsed_s": (elapsed.as_secs_f64() * 1e3).round() / 1e3,
        "frames": counts.frames,
        "updates": updates,
        "fps": (fps * 1e2).round() / 1e2,
        "bytes_copied": counts.bytes_copied,
        "imports": counts.imports,
        "cache_hits": counts.cache_hits,
        "flips": counts.flips,
        "in_place": counts.in_place,
        "replacements": counts.replacements,
        "refused_updates": counts.refused_updates,
        "forced_acks": counts.forced_acks,
        "dropped_frames": counts.dropped_frames,
        "unguarded_copies": counts.unguarded_copies,
        "mode": mode,
        "why": why,
        "latency_us": {
            "update_to_commit": latency(update_to_commit),
            "commit_to_presented": latency(commit_to_presented),
            "update_to_ack": latency(update_to_ack),
        },
        "final": last,
    })
}

fn as_text(stats: &Stats, fps: f64) -> String {
    let (mode, why) = mode_words(stats.mode);
    let counts = &stats.counts;
    let mut line = format!(
        "{} frames ({fps:.1} fps), {mode}: {why}; {} flips, {} in place, {} B copied, \
         {} imports, {} cache hits, {} forced acks, {} dropped, {} refused",
        counts.frames,
        counts.flips,
        counts.in_place,
        counts.bytes_copied,
        counts.imports,
        counts.cache_hits,
        counts.forced_acks,
        counts.dropped_frames,
        counts.refused_updates,
    );
    for (name, histogram) in [
        ("update to commit", &stats.update_to_commit),
        ("commit to presented", &stats.commit_to_presented),
        ("update to ack", &stats.update_to_ack),
    ] {
        if let (Some(p50), Some(p99), Some(max)) =
            (histogram.quantile(50), histogram.quantile(99), histogram.max())
        {
            // Writing to a String can't fail.
            let _ = write!(line, "; {name} p50 {p50:?} p99 {p99:?} max {max:?}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_a_median_a_tail_and_a_worst() {
        let mut update_to_ack = Histogram::default();
        for ms in 1..=200 {
            update_to_ack.record(Duration::from_millis(ms));
        }
        let none = Histogram::default();
        let stats = Stats {
            counts: Default::default(),
            updates: 200,
            mode: None,
            update_to_commit: none.clone(),
            commit_to_presented: none,
            update_to_ack,
        };
        let took = Duration::from_secs(1);
        let latency = as_json(&stats, 0.0, took, true)["latency_us"].take();
        let acks = &latency["update_to_ack"];
        let us = |name: &str| acks[name].as_u64().unwrap_or_default();
        assert_eq!((us("count"), us("max")), (200, 200_000));
        assert!((100_000..113_000).contains(&us("p50")), "{acks}");
        assert!((198_000..=200_000).contains(&us("p99")), "{acks}");
        assert!(latency["update_to_commit"]["max"].is_null());
    }
}
