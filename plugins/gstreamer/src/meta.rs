//! What buffers carry besides their picture: which frame it is, what changed, and when the guest had finished it.

use std::time::Instant;

use fanlight::frame::{Damage, Rect, Transform};
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

/// What of a buffer's damage can be seen, in pixels of the picture: upright or, of memory that is passed on as it is,
/// as its rows lie.
pub(crate) fn visible(damage: &Damage, visible: &Rect, turned: Transform) -> Damage {
    let Damage::Rects { rects, count } = damage else { return Damage::Whole };
    let mut seen = Damage::NONE;
    for rect in &rects[..usize::from(*count)] {
        let (left, top) = (rect.x.max(visible.x), rect.y.max(visible.y));
        let right = (rect.x + rect.width).min(visible.x + visible.width);
        let bottom = (rect.y + rect.height).min(visible.y + visible.height);
        if left < right && top < bottom {
            let y = match turned {
                Transform::Normal => top - visible.y,
                Transform::Flipped => visible.y + visible.height - bottom,
            };
            let (width, height) = (right - left, bottom - top);
            seen.merge(&Damage::from(Rect { x: left - visible.x, y, width, height }));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_in_pixels_of_what_is_visible() {
        let part = Rect { x: 10, y: 20, width: 100, height: 50 };
        let damage = Damage::from(Rect { x: 0, y: 25, width: 15, height: 10 });
        let normal = visible(&damage, &part, Transform::Normal);
        assert_eq!(normal, Damage::from(Rect { x: 0, y: 5, width: 5, height: 10 }));
        let turned = visible(&damage, &part, Transform::Flipped);
        assert_eq!(turned, Damage::from(Rect { x: 0, y: 35, width: 5, height: 10 }));
        let beside = Damage::from(Rect { x: 0, y: 0, width: 10, height: 10 });
        assert!(visible(&beside, &part, Transform::Normal).is_empty());
        assert_eq!(visible(&Damage::Whole, &part, Transform::Normal), Damage::Whole);
    }
}
