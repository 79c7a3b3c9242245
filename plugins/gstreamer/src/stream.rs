//! What the streaming thread knows: which frame it pushed last and when the next one is due.

use std::time::{Duration, Instant};

use fanlight::frame::Size;
use gst::ClockTime;
use gst_video::{VideoCropMeta, VideoFrameFlags, VideoMeta};

use crate::caps::{self, Part, Rate};
use crate::cursor::Cursors;
use crate::mailbox::{Frame, Times};
use crate::meta;
use crate::settings::{CursorMode, EachFrame};

/// Between two frames that differ in nothing but where the cursor is.
const CURSOR_INTERVAL: Duration = Duration::from_millis(16);

/// The state of one run.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    rate: Rate,
    /// The pipeline's caps now.
    pub(crate) caps: Option<gst::Caps>,
    pub(crate) flipped: bool,
    /// Downstream takes overlays.
    pub(crate) overlays: bool,
    /// How many frames in a row it has refused.
    pub(crate) refused: u32,
    /// The last frame, where it may be sent again.
    last: Option<Frame>,
    /// What timestamps of frames refer to.
    reference: Option<gst::Caps>,
    pushed: Option<Instant>,
    pace: Option<Pace>,
}

/// A steady rate: frame `count` is due `count` intervals after the first.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    start: Instant,
    start_time: ClockTime,
    count: u32,
}

impl Pace {
    fn due(&self) -> Instant {
        self.start + self.interval * self.count
    }

    fn time(&self) -> ClockTime {
        self.start_time + ClockTime::try_from(self.interval * self.count).unwrap_or_default()
    }

    /// The frame that is due next; those whose time has passed are left out.
    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        let whole = passed / self.interval.as_nanos().max(1);
        self.count = u32::try_from(whole).unwrap_or(u32::MAX - 1).max(self.count) + 1;
    }
}

fn interval(rate: gst::Fraction) -> Option<Duration> {
    let (per, in_seconds) = (u32::try_from(rate.numer()).ok()?, u32::try_from(rate.denom()).ok()?);
    (per > 0).then(|| Duration::from_secs(u64::from(in_seconds)) / per)
}

impl Stream {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, ..Self::default() }
    }

    /// How long a frame may wait for its turn.
    pub(crate) fn wait(&self) -> Duration {
        self.rate.max.and_then(interval).unwrap_or_default()
    }

    /// Whether the cursor is sent with frames as the last one, or as `frame`.
    fn cursor(&self, settings: EachFrame, frame: Option<&Frame>) -> CursorMode {
        let copied = frame.or(self.last.as_ref()).is_some_and(|frame| frame.copied);
        match settings.cursor {
            CursorMode::Auto if self.overlays => CursorMode::Meta,
            CursorMode::Auto | CursorMode::Embed if copied => CursorMode::Embed,
            CursorMode::Auto | CursorMode::Embed => CursorMode::None,
            chosen => chosen,
        }
    }

    /// Goes by the rate of the caps.
    fn keep_pace(&mut self, now: Option<ClockTime>) {
        let paced = self.caps.as_ref().and_then(|caps| interval(caps::fixed_rate(caps)?));
        match (paced, &self.pace) {
            (None, _) => self.pace = None,
            (Some(interval), Some(pace)) if pace.interval == interval => {}
            (Some(interval), _) => {
                let start_time = now.unwrap_or_default();
                self.pace = Some(Pace { interval, start: Instant::now(), start_time, count: 0 });
            }
        }
    }

    /// When the next frame is taken, and how long somebody waits for one.
    pub(crate) fn times(&mut self, settings: EachFrame, now: Option<ClockTime>) -> Times {
        self.keep_pace(now);
        if let Some(pace) = self.pace {
            let due = Some(pace.due());
            // Before the first frame there is nothing to repeat.
            let until = due.filter(|_| self.last.is_some());
            return Times { from: due, until, cursor_from: None };
        }
        let from = self.rate.max.and_then(|rate| Some(self.pushed? + interval(rate)?));
        let until = settings.keepalive.and_then(|time| Some(self.pushed? + time));
        let moves = self.cursor(settings, None) != CursorMode::None;
        let cursor_from = self.pushed.map(|pushed| pushed + CURSOR_INTERVAL).filter(|_| moves);
        let last = self.last.is_some();
        Times {
            from,
            until: until.filter(|_| last),
            cursor_from: cursor_from.max(from).filter(|_| last),
        }
    }

    /// The last frame once more.
    pub(crate) fn again(&self) -> Option<Frame> {
        let mut frame = self.last.clone()?;
        frame.damage = fanlight::frame::Damage::NONE;
        frame.since = Instant::now();
        frame.ready = frame.since;
        Some(frame)
    }

    /// The last frame can't be sent any more.
    pub(crate) fn repeat_nothing(&mut self) {
        self.last = None;
    }

    /// A buffer of this frame. `now` is the running time.
    pub(crate) fn buffer(
        &mut self,
        frame: Frame,
        settings: EachFrame,
        cursors: &Cursors,
        now: Option<ClockTime>,
    ) -> gst::Buffer {
        let cursor = self.cursor(settings, Some(&frame));
        self.keep_pace(now);
        let at = Instant::now();
        self.pushed = Some(at);
        let age = ClockTime::try_from(frame.since.elapsed()).unwrap_or_default();
        let (pts, duration) = match &mut self.pace {
            Some(pace) => {
                let times = (pace.time(), ClockTime::try_from(pace.interval).ok());
                pace.advance(at);
                (now.map(|_| times.0), times.1)
            }
            None => (now.map(|now| now.saturating_sub(age)), None),
        };
        let mut buffer = gst::Buffer::new();
        {
            let buffer = buffer.get_mut().expect("nobody else has it");
            for memory in frame.memories.iter().flatten() {
                buffer.append_memory(memory.clone());
            }
            buffer.set_pts(pts);
            buffer.set_duration(duration);
            let picture = &frame.picture;
            let (size, planes) =
                (picture.part.map_or(picture.size, |part| part.of), picture.planes);
            // It fails for formats only that no picture has.
            let _ = VideoMeta::add_full(
                buffer,
                VideoFrameFlags::empty(),
                picture.format,
                size.width,
                size.height,
                &picture.offsets[..planes],
                &picture.strides[..planes],
            );
            if let Some(Part { x, y, .. }) = picture.part {
                let Size { width, height } = picture.size;
                VideoCropMeta::add(buffer, (x, y, width, height));
            }
            let reference = self.reference.get_or_insert_with(meta::reference);
            meta::add(buffer, &frame, reference);
            if cursor == CursorMode::Meta {
                cursors.attach(buffer);
            }
        }
        if cursor == CursorMode::Embed {
            buffer = cursors.drawn(buffer, &frame.agreed.caps);
        }
        let moves = cursor != CursorMode::None;
        let repeats = settings.keepalive.is_some() || self.pace.is_some() || moves;
        self.last = repeats.then_some(frame);
        buffer
    }
}
