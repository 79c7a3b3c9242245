//! What the element and downstream agree on, and what is said when they can't.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::{VideoCropMeta, VideoMeta, VideoOverlayCompositionMeta};

use super::imp::{FanlightSrc, LATENCY_MAX, Running};
use crate::caps;
use crate::end::{End, Kind};
use crate::inbox::News;
use crate::log::CAT;
use crate::mailbox::Frame;
use crate::pad;
use crate::sink::Takes;
use crate::stream::Stream;

/// Frames in a row that downstream may refuse: what it said may be old by then, but not each time.
const REFUSALS_MAX: u32 = 8;

/// Whether downstream can make the picture of this frame's memory.
fn can_read(running: &Running, frame: &Frame) -> bool {
    let (caps, picture) = (&frame.agreed.caps, &frame.picture);
    let plain = picture.part.is_none() && !picture.has_gaps();
    plain || running.ways.downstream.get().is_none_or(|takes| takes.can_read(caps, picture).is_ok())
}

impl FanlightSrc {
    /// Asks what downstream takes, and tells the session.
    pub(super) fn ask_downstream(&self, running: &Running) {
        let pad = self.pad();
        let template = pad.pad_template_caps();
        let caps = pad.peer_query_caps(Some(&template));
        let known = running.ways.downstream.get();
        let (video_meta, crop_meta) =
            known.map_or((true, true), |takes| (takes.video_meta, takes.crop_meta));
        if running.ways.downstream.set(Takes { caps, video_meta, crop_meta }) {
            running.worker.tell(News::CapsChanged);
        }
    }

    /// Makes the frame's caps the pipeline's; `false` where downstream takes none of them any more, and the newest frame
    /// comes once more, as something else.
    pub(super) fn agree(
        &self,
        running: &Running,
        stream: &mut Stream,
        frame: &mut Frame,
    ) -> Result<bool, gst::FlowError> {
        if self.try_to_agree(running, stream, frame)? {
            self.tell_orientation(stream, frame);
            stream.refused = 0;
            return Ok(true);
        }
        stream.refused += 1;
        stream.repeat_nothing();
        if stream.refused >= REFUSALS_MAX {
            let what = format!("downstream refuses {}, which it said it takes", frame.agreed.caps);
            return Err(End::Failed(Kind::Format, what, String::new()).post(&*self.obj()));
        }
        running.worker.tell(News::Redraw);
        Ok(false)
    }

    /// As [`agree`](Self::agree), by others of the caps that the frame is offered as where downstream wants others by now.
    fn try_to_agree(
        &self,
        running: &Running,
        stream: &mut Stream,
        frame: &mut Frame,
    ) -> Result<bool, gst::FlowError> {
        let pad = self.pad();
        if pad.needs_reconfigure() {
            self.ask_downstream(running);
        } else if stream.caps.as_ref() == Some(&frame.agreed.caps) {
            return Ok(can_read(running, frame));
        }
        if let Some(takes) = running.ways.downstream.get()
            && !takes.caps.can_intersect(&frame.agreed.caps)
            && !frame.agreed.again(&takes.caps)
        {
            return Ok(false);
        }
        let caps = &frame.agreed.caps;
        gst::info!(CAT, imp = self, "caps are now {caps}");
        if !self.change_caps(caps) {
            // What was refused is the pad's now, and goes out before the next frame if nothing else does.
            stream.caps = None;
            if pad::flushes(&pad) {
                return Err(gst::FlowError::Flushing);
            }
            self.ask_downstream(running);
            return Ok(false);
        }
        stream.caps = Some(caps.clone());
        self.ask_allocation(running, stream, caps);
        Ok(can_read(running, frame))
    }

    /// Says which way up the pictures are, from this frame on.
    fn tell_orientation(&self, stream: &mut Stream, frame: &Frame) {
        if frame.picture.flipped == stream.flipped {
            return;
        }
        stream.flipped = frame.picture.flipped;
        let orientation = if stream.flipped { "flip-rotate-180" } else { "rotate-0" };
        let mut tags = gst::TagList::new();
        let list = tags.get_mut().expect("nobody else has it");
        list.add::<gst::tags::ImageOrientation>(&orientation, gst::TagMergeMode::Replace);
        let tag = gst::event::Tag::new(tags);
        // With the frame: before the first there is no segment yet.
        self.pad().add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
            pad.push_event(tag.clone());
            gst::PadProbeReturn::Remove
        });
    }

    /// Makes these the pipeline's caps; whether downstream takes them.
    fn change_caps(&self, caps: &gst::Caps) -> bool {
        let (element, pad) = (self.obj(), self.pad());
        let before = pad.current_caps();
        // An event that is refused only fails for whoever has it, and is kept to be sent again.
        let has = |caps: &gst::Caps| {
            pad.peer().is_none_or(|peer| peer.current_caps().as_ref() == Some(caps))
        };
        let change = |caps: &gst::Caps| element.set_caps(caps).is_ok() && has(caps);
        if before.as_ref() == Some(caps) && has(caps) || change(caps) {
            return true;
        }
        // From plain memory to dma-bufs `glupload` (of GStreamer 1.26) asks only the way of uploading that it goes, which takes none. It forgets that way
        // when its caps change: to the other name of the same bytes, in which no frame comes.
        let detour = before.filter(|_| caps::is_dmabuf(caps)).and_then(alias);
        detour.is_some_and(|detour| {
            gst::info!(CAT, imp = self, "they are refused, and tried once more by way of {detour}");
            change(&detour) && change(caps)
        })
    }

    /// Which metas downstream takes with these caps.
    fn ask_allocation(&self, running: &Running, stream: &mut Stream, caps: &gst::Caps) {
        let mut query = gst::query::Allocation::new(Some(caps), false);
        let answered = self.pad().peer_query(&mut query);
        let video_meta = answered && query.find_allocation_meta::<VideoMeta>().is_some();
        let overlays = query.find_allocation_meta::<VideoOverlayCompositionMeta>().is_some();
        stream.overlays = answered && overlays;
        if let Some(takes) = running.ways.downstream.get() {
            // Each is asked where it matters.
            let takes = if caps::is_dmabuf(caps) {
                let crop_meta = query.find_allocation_meta::<VideoCropMeta>().is_some();
                Takes { crop_meta: answered && crop_meta, ..takes }
            } else {
                Takes { video_meta, ..takes }
            };
            if running.ways.downstream.set(takes) {
                running.worker.tell(News::CapsChanged);
            }
        }
    }

    /// Notes how old a frame was when it went out: the least that the pipeline has to wait for any. `wait` is what any may
    /// wait for its turn besides.
    pub(super) fn took(&self, age: Duration, wait: Duration) {
        let age = gst::ClockTime::try_from(age).unwrap_or(LATENCY_MAX).min(LATENCY_MAX);
        let wait = gst::ClockTime::try_from(wait).unwrap_or_default();
        let known = gst::ClockTime::from_nseconds(self.latency.load(Ordering::Relaxed));
        if age + wait > known {
            let more = (age + age / 4).min(LATENCY_MAX) + wait;
            self.latency.store(more.nseconds(), Ordering::Relaxed);
            gst::info!(CAT, imp = self, "latency is now {more}");
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Without a bus nobody wants to know.
            let _ = self.obj().post_message(message);
        }
    }
}

/// A copy's caps by the other name that its bytes have.
fn alias(mut caps: gst::Caps) -> Option<gst::Caps> {
    let structure = caps.make_mut().structure_mut(0)?;
    let is_copy = structure.get::<&str>("format") == Ok("BGRx");
    structure.set("format", "BGRA");
    is_copy.then_some(caps)
}
