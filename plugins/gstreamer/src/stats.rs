//! The property `stats`.

use fanlight::session::{Histogram, Stats};

/// The session's figures as a structure; without a session only that there is none.
pub(crate) fn structure(stats: Option<&Stats>, overtaken: u64) -> gst::Structure {
    let builder = gst::Structure::builder("application/x-fanlight-stats");
    let Some(stats) = stats else { return builder.field("connected", false).build() };
    let Stats { counts, updates, mode, update_to_commit, commit_to_presented, update_to_ack } =
        stats;
    let (mode, why) = mode
        .map_or(("none", "nothing was announced yet"), |(mode, why)| (mode.word(), why.words()));
    let latency = |latency: &Histogram| {
        let us = |time: Option<std::time::Duration>| {
            time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
        };
        gst::Structure::builder("latency")
            .field("count", latency.count())
            .field_if_some("p50", us(latency.quantile(50)))
            .field_if_some("p99", us(latency.quantile(99)))
            .field_if_some("max", us(latency.max()))
            .build()
    };
    builder
        .field("connected", true)
        .field("frames", counts.frames)
        .field("updates", *updates)
        .field("bytes-copied", counts.bytes_copied)
        .field("imports", counts.imports)
        .field("cache-hits", counts.cache_hits)
        .field("flips", counts.flips)
        .field("in-place", counts.in_place)
        .field("replacements", counts.replacements)
        .field("refused-updates", counts.refused_updates)
        .field("forced-acks", counts.forced_acks)
        .field("dropped-frames", counts.dropped_frames)
        .field("overtaken-frames", overtaken)
        .field("unguarded-copies", counts.unguarded_copies)
        .field("mode", mode)
        .field("why", why)
        .field("update-to-commit", latency(update_to_commit))
        .field("commit-to-pushed", latency(commit_to_presented))
        .field("update-to-ack", latency(update_to_ack))
        .build()
}
