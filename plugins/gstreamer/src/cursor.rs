//! The guest's cursor, which comes apart from its picture.

use std::sync::{Mutex, MutexGuard};

use fanlight::frame::{Cursor, Size};
use gst_video::{
    VideoFormat, VideoFrameFlags, VideoFrameRef, VideoInfo, VideoMeta, VideoOverlayComposition,
    VideoOverlayCompositionMeta, VideoOverlayFormatFlags, VideoOverlayRectangle,
};

use crate::lock::lock;

/// The cursor as the session's thread knows it.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Its picture, and how large that is; `None`: the guest has none of its own.
    looks: Option<(VideoOverlayRectangle, Size)>,
    visible: bool,
    at: (i32, i32),
}

impl Cursors {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    pub(crate) fn set(&self, cursor: Option<&Cursor>) {
        let looks = cursor.and_then(|cursor| Some((rectangle(cursor)?, cursor.size)));
        self.lock().looks = looks;
    }

    pub(crate) fn move_to(&self, x: i32, y: i32, visible: bool) {
        let mut state = self.lock();
        (state.at, state.visible) = ((x, y), visible);
    }

    /// What is to be laid over a frame now, if anything.
    fn overlay(&self) -> Option<VideoOverlayComposition> {
        let state = self.lock();
        let (looks, size) = state.looks.as_ref().filter(|_| state.visible)?;
        let mut here = looks.copy();
        let (x, y) = state.at;
        here.get_mut()?.set_render_rectangle(x, y, size.width, size.height);
        VideoOverlayComposition::new([&here]).ok()
    }

    /// Lets downstream lay it over the frame.
    pub(crate) fn attach(&self, buffer: &mut gst::BufferRef) {
        if let Some(overlay) = self.overlay() {
            VideoOverlayCompositionMeta::add(buffer, &overlay);
        }
    }

    /// The frame in memory of its own, with the cursor drawn into it; as it was where that can't be done.
    pub(crate) fn drawn(&self, buffer: gst::Buffer, caps: &gst::Caps) -> gst::Buffer {
        let Some(overlay) = self.overlay() else { return buffer };
        let drawn = || {
            let info = VideoInfo::from_caps(caps).ok()?;
            let mut copy = buffer.copy_deep().ok()?;
            let mut frame = VideoFrameRef::from_buffer_ref_writable(copy.get_mut()?, &info).ok()?;
            overlay.blend(&mut frame).ok()?;
            drop(frame);
            Some(copy)
        };
        drawn().unwrap_or(buffer)
    }
}

/// The cursor's picture, at the origin; `None` where a guest's size and pixels don't agree.
fn rectangle(cursor: &Cursor) -> Option<VideoOverlayRectangle> {
    let Cursor { size: Size { width, height }, pixels, .. } = cursor;
    let (width, height) = (*width, *height);
    if pixels.is_empty() || pixels.len() as u64 != u64::from(width) * u64::from(height) * 4 {
        return None;
    }
    let mut buffer = gst::Buffer::from_mut_slice(pixels.clone());
    let flags = VideoFrameFlags::empty();
    VideoMeta::add(buffer.get_mut()?, flags, VideoFormat::Bgra, width, height).ok()?;
    let flags = VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA;
    Some(VideoOverlayRectangle::new_raw(&buffer, 0, 0, width, height, flags))
}
