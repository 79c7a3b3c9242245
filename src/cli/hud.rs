//! `view --hud`: what happens, in a corner of the window.

use std::collections::VecDeque;
use std::env;
use std::time::{Duration, Instant};

use super::stats::mode_words;
use crate::frame::Memory;
use crate::port::Buffer;
use crate::session::{Histogram, Session, Stats};
use crate::sink::wayland::WaylandSink;
use crate::source::ConsoleInfo;
use crate::text::{Line, Panel};

const PERIOD: Duration = Duration::from_secs(1);
/// Latencies are those of so many periods: a tail takes some frames to be seen.
const PERIODS: usize = 10;

/// Fills the corner of the window, while it is wanted, and is idle else.
pub(super) struct Hud {
    /// What it shows of each end; `None` while it isn't wanted.
    ends: Option<Ends>,
    backend: String,
    /// The figures that were shown last, the newest at the end.
    before: VecDeque<(Instant, Stats)>,
}

struct Ends {
    compositor: String,
    /// `None` while nobody can see it.
    due: Option<Instant>,
}

impl Hud {
    pub(super) fn new(console: &ConsoleInfo) -> Self {
        Self { ends: None, backend: console.backend.clone(), before: VecDeque::new() }
    }

    /// Shows it if it isn't shown, and the other way round.
    pub(super) fn toggle(&mut self, session: &mut Session<WaylandSink>) {
        self.before.clear();
        if self.ends.take().is_some() {
            return session.sink().set_hud(None);
        }
        let now = Instant::now();
        let compositor = compositor(session.sink().peer());
        self.ends = Some(Ends { compositor, due: Some(now) });
        self.step(session);
    }

    /// How long until [`step`](Self::step) has something to do.
    pub(super) fn due_in(&self) -> Option<Duration> {
        Some(self.ends.as_ref()?.due?.saturating_duration_since(Instant::now()))
    }

    /// Shows the newest figures, if it is time for that.
    pub(super) fn step(&mut self, session: &mut Session<WaylandSink>) {
        let Some(ends) = &mut self.ends else { return };
        if session.sink().is_hidden() {
            ends.due = None;
            return;
        }
        let now = Instant::now();
        if ends.due.is_some_and(|due| now < due) {
            return;
        }
        ends.due = Some(now + PERIOD);
        let stats = session.stats();
        let panel = panel(&Figures {
            stats: &stats,
            last: self.before.back().map(|(at, stats)| (now.duration_since(*at), stats)),
            first: self.before.front().map(|(_, stats)| stats),
            buffer: session.buffer(),
            backend: &self.backend,
            compositor: &ends.compositor,
        });
        session.sink().set_hud(Some(panel));
        if self.before.len() == PERIODS {
            self.before.pop_front();
        }
        self.before.push_back((now, stats));
    }
}

/// What is known of who shows the window: it doesn't say its name.
fn compositor(peer: Option<String>) -> String {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let name = peer.or_else(|| set("XDG_CURRENT_DESKTOP")).unwrap_or_else(|| "unknown".to_owned());
    match set("WAYLAND_DISPLAY") {
        Some(display) => format!("{name} ({display})"),
        None => name,
    }
}

struct Figures<'a> {
    stats: &'a Stats,
    /// The figures before, and how long ago they were taken.
    last: Option<(Duration, &'a Stats)>,
    /// The oldest that are still of interest.
    first: Option<&'a Stats>,
    buffer: Option<&'a Buffer>,
    backend: &'a str,
    compositor: &'a str,
}

impl Figures<'_> {
    /// How much more of something there is each second; `None` before there are figures to compare with.
    fn rate(&self, of: fn(&Stats) -> u64) -> Option<f64> {
        let (took, before) = self.last?;
        let more = of(self.stats).saturating_sub(of(before));
        Some(more as f64 / took.as_secs_f64().max(f64::EPSILON))
    }

    fn latency(&self, label: &str, of: fn(&Stats) -> &Histogram) -> Line {
        let all = of(self.stats);
        let recent = self.first.map_or_else(|| all.clone(), |first| all.since(of(first)));
        let value = |percent| recent.quantile(percent).map_or_else(nothing, millis);
        Line::Row(label.to_owned(), vec![value(50), value(99)])
    }
}

fn panel(figures: &Figures<'_>) -> Panel {
    let row = |label: &str, value: String| Line::Row(label.to_owned(), vec![value]);
    let fps = |of: fn(&Stats) -> u64| {
        figures.rate(of).map_or_else(nothing, |rate| format!("{rate:.1} fps"))
    };
    let screen = fps(|stats| stats.commit_to_presented.count());
    let guest = fps(|stats| stats.counts.flips + stats.counts.in_place);
    let counts = &figures.stats.counts;
    let (mode, why) = mode_words(figures.stats.mode);
    let note = format!("{screen}, {mode}");

    let mut lines = vec![
        row("Guest draws", guest),
        row("Screen shows", screen),
        row("Mode", format!("{mode}: {why}")),
    ];
    if let Some(buffer) = figures.buffer {
        let size = buffer.layout.size;
        let (format, modifier) = (buffer.layout.format, buffer.layout.modifier);
        lines.push(row(
            "Picture",
            format!("{} × {}, {format}, {modifier}", size.width, size.height),
        ));
        lines.push(row("Memory", memory(buffer)));
    }
    let copied = figures.rate(|stats| stats.counts.bytes_copied);
    lines.push(row("Copied", copied.map_or_else(nothing, |rate| format!("{}/s", bytes(rate)))));
    for (label, count) in [
        ("Forced acks", counts.forced_acks),
        ("Dropped frames", counts.dropped_frames),
        ("Refused updates", counts.refused_updates),
    ] {
        // Good when there are none, and then nobody wants to read it.
        if count > 0 {
            lines.push(row(label, count.to_string()));
        }
    }
    lines.extend([
        Line::Gap,
        Line::Columns("Latency".to_owned(), vec!["p50".to_owned(), "p99".to_owned()]),
        figures.latency("Update to commit", |stats| &stats.update_to_commit),
        figures.latency("Commit to screen", |stats| &stats.commit_to_presented),
        figures.latency("Update to ack", |stats| &stats.update_to_ack),
        Line::Gap,
        row("Backend", figures.backend.to_owned()),
        row("Compositor", figures.compositor.to_owned()),
    ]);
    Panel { note, lines }
}

fn memory(buffer: &Buffer) -> String {
    let size = bytes(buffer.storage.size as f64);
    match &buffer.storage.memory {
        Memory::DmaBuf { exporter } => format!("dma-buf of {exporter}, {size}"),
        Memory::Memfd { .. } => format!("memfd, {size}"),
    }
}

fn nothing() -> String {
    "–".to_owned()
}

fn millis(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.1} ms") }
}

fn bytes(count: f64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.into_iter().find(|(_, unit)| count >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", count / unit),
        None => format!("{count:.0} B"),
    }
}
