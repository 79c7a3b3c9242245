//! What buffers carry besides their picture: which frame it is, what changed, and when the guest had finished it.

use std::time::Instant;

use fanlight::frame::Damage;
use gst::ClockTime;
use gst::meta::CustomMeta;
use rustix::time::{ClockId, clock_gettime};

use crate::mailbox::Frame;

/// The name of the custom meta (`GstCustomMeta`). Its structure has
/// - `serial`, a `guint64`: counts the frames, strictly increasing; the same when a frame is sent again;
/// - `damage`, an array of `gint`: x, y, width and height in pixels of each rectangle that has changed since
///   the buffer before; without it everything may have.
pub const FRAME_META: &str = "FanlightFrameMeta";

/// Of the `GstReferenceTimestampMeta` that says when the guest had finished a frame: nanoseconds of the host's
/// CLOCK_MONOTONIC.
pub(crate) fn reference() -> gst::Caps {
    gst::Caps::new_empty_simple("timestamp/x-fanlight-monotonic")
}

pub(crate) fn register() {
    if !CustomMeta::is_registered(FRAME_META) {
        CustomMeta::register(FRAME_META, &[]);
    }
}

pub(crate) fn add(buffer: &mut gst::BufferRef, frame: &Frame, reference: &gst::Caps) {
    if let Some(drawn) = monotonic(frame.drawn) {
        gst::ReferenceTimestampMeta::add(buffer, reference, drawn, ClockTime::NONE);
    }
    let Ok(mut meta) = CustomMeta::add(buffer, FRAME_META) else { return };
    let structure = meta.mut_structure();
    structure.set("serial", frame.commit.0);
    if let Damage::Rects { rects, count } = frame.damage {
        let sides = rects[..usize::from(count)].iter().flat_map(|r| [r.x, r.y, r.width, r.height]);
        let sides = sides.map(|side| i32::try_from(side).unwrap_or(i32::MAX));
        structure.set("damage", gst::Array::new(sides));
    }
}

/// The same moment on the clock that other processes have too.
fn monotonic(at: Instant) -> Option<ClockTime> {
    let now = clock_gettime(ClockId::Monotonic);
    let now = ClockTime::from_seconds(u64::try_from(now.tv_sec).ok()?)
        + ClockTime::from_nseconds(u64::try_from(now.tv_nsec).ok()?);
    Some(now.saturating_sub(ClockTime::try_from(at.elapsed()).ok()?))
}
