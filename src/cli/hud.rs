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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::frame::{
        BufferId, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Storage, StorageId,
        Transform,
    };
    use crate::session::{Mode, Why};

    /// A session that has done nothing yet.
    fn none() -> Stats {
        Stats {
            counts: Default::default(),
            updates: 0,
            mode: None,
            update_to_commit: Histogram::default(),
            commit_to_presented: Histogram::default(),
            update_to_ack: Histogram::default(),
        }
    }

    fn buffer(memory: Memory, format: Format, modifier: Modifier) -> Buffer {
        let size = Size { width: 1280, height: 800 };
        let id = StorageId { dev: 1, ino: 2, others: 0 };
        let planes = [Plane::default(); PLANES_MAX];
        Buffer {
            id: BufferId(1),
            storage: Rc::new(Storage { id, memory, size: 4_096_000, fds: Vec::new() }),
            layout: Layout { size, format, modifier, planes, plane_count: 1 },
            visible: Rect { x: 0, y: 0, width: 1280, height: 800 },
            transform: Transform::Normal,
        }
    }

    fn lines(panel: &Panel) -> Vec<String> {
        let line = |line: &Line| match line {
            Line::Heading(text) | Line::Text(text) => text.clone(),
            Line::Row(label, values) | Line::Columns(label, values) => {
                format!("{label}: {}", values.join(" | "))
            }
            Line::Gap => String::new(),
        };
        panel.lines.iter().map(line).collect()
    }

    #[test]
    fn all_that_happens_is_in_the_corner() {
        // What was slow before the last seconds is of no interest any more.
        let mut first = none();
        for _ in 0..10 {
            first.update_to_commit.record(Duration::from_millis(900));
        }
        let mut before = first.clone();
        (before.counts.flips, before.counts.in_place, before.counts.forced_acks) = (1000, 10, 2);
        before.counts.bytes_copied = 7_000_000;
        let mut now = before.clone();
        (now.counts.flips, now.counts.in_place) = (1090, 20);
        now.counts.bytes_copied += 5_000_000;
        now.mode = Some((Mode::Direct, Why::Flips));
        (0..98).for_each(|_| now.update_to_commit.record(Duration::from_millis(2)));
        (0..2).for_each(|_| now.update_to_commit.record(Duration::from_millis(40)));
        (0..60).for_each(|_| now.commit_to_presented.record(Duration::from_millis(8)));
        let udmabuf = Memory::DmaBuf { exporter: "udmabuf".to_owned() };
        let buffer = buffer(udmabuf, Format::XRGB8888, Modifier::LINEAR);
        let panel = panel(&Figures {
            stats: &now,
            last: Some((Duration::from_secs(2), &before)),
            first: Some(&first),
            buffer: Some(&buffer),
            backend: "QEMU on the session bus",
            compositor: "sway (wayland-1)",
        });
        assert_eq!(panel.note, "30.0 fps, direct");
        assert_eq!(
            lines(&panel),
            [
                "Guest draws: 50.0 fps",
                "Screen shows: 30.0 fps",
                "Mode: direct: the guest flips between buffers",
                "Picture: 1280 × 800, XR24, linear",
                "Memory: dma-buf of udmabuf, 4.1 MB",
                "Copied: 2.5 MB/s",
                "Forced acks: 2",
                "",
                "Latency: p50 | p99",
                // To an eighth, and never more than the longest.
                "Update to commit: 2.05 ms | 41.0 ms",
                "Commit to screen: 8.00 ms | 8.00 ms",
                "Update to ack: – | –",
                "",
                "Backend: QEMU on the session bus",
                "Compositor: sway (wayland-1)",
            ]
        );
    }

    #[test]
    fn a_copy_says_of_which_memory_and_why() {
        let mut now = none();
        now.mode = Some((Mode::Copy, Why::Refused));
        let memfd = Memory::Memfd { shrink_sealed: true };
        let figures = |buffer| {
            let (backend, compositor) = ("wire", "weston");
            let figures =
                Figures { stats: &now, last: None, first: None, buffer, backend, compositor };
            lines(&panel(&figures))
        };
        let implicit = buffer(memfd.clone(), Format::ABGR8888, Modifier::INVALID);
        let shown = figures(Some(&implicit));
        for line in [
            "Mode: copy: the guest's memory can't be shown as it is",
            "Picture: 1280 × 800, AB24, implicit",
            "Memory: memfd, 4.1 MB",
        ] {
            assert!(shown.iter().any(|shown| shown == line), "no \"{line}\" in {shown:?}");
        }
        let tiled = buffer(memfd, Format::NV12, Modifier(0x0100_0000_0000_0002));
        assert!(figures(Some(&tiled))[3].ends_with("NV12, 0x0100000000000002"));
    }

    /// In the first second there is nothing to compare with, and maybe no picture.
    #[test]
    fn what_is_not_known_yet_is_no_number() {
        let panel = panel(&Figures {
            stats: &none(),
            last: None,
            first: None,
            buffer: None,
            backend: "b",
            compositor: "c",
        });
        assert_eq!(panel.note, "–, none");
        assert_eq!(
            lines(&panel)[..4],
            [
                "Guest draws: –",
                "Screen shows: –",
                "Mode: none: nothing was announced yet",
                "Copied: –"
            ]
        );
    }

    #[test]
    fn amounts_are_as_people_read_them() {
        assert_eq!([0.0, 999.0, 1500.0, 2.5e9].map(bytes), ["0 B", "999 B", "1.5 kB", "2.5 GB"]);
        let us = |us| millis(Duration::from_micros(us));
        assert_eq!([us(1234), us(16_700)], ["1.23 ms", "16.7 ms"]);
    }
}
