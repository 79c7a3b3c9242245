//! Figures of a viewer's, in lines that `cargo rig test` shows: a line that begins with `REPORT`.

use serde_json::Value;

/// Reports the last figures of a viewer, after what was looked at.
pub(crate) fn report(what: &str, stats: &Value) {
    let acks = &stats["latency_us"]["update_to_ack"];
    let ms =
        |name: &str| acks[name].as_f64().map_or("?".to_owned(), |us| format!("{:.1}", us / 1e3));
    println!(
        "REPORT {what}: {} frames at {} fps, {} bytes copied, {} forced acks; update→ack p50 {} ms, p99 {} ms, \
         max {} ms of {}",
        stats["frames"],
        stats["fps"],
        stats["bytes_copied"],
        stats["forced_acks"],
        ms("p50"),
        ms("p99"),
        ms("max"),
        acks["count"]
    );
}
