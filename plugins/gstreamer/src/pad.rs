//! The one pad that a source has.

use gst::prelude::*;

/// It is there from the beginning, and may have any of these caps.
pub(crate) fn template(caps: &gst::Caps) -> gst::PadTemplate {
    let always = gst::PadPresence::Always;
    let template = gst::PadTemplate::new("src", gst::PadDirection::Src, always, caps);
    template.expect("its caps are valid")
}

/// Whether it sends nothing any more: it stops, or is flushed.
pub(crate) fn flushes(pad: &gst::Pad) -> bool {
    pad.pad_flags().contains(gst::PadFlags::FLUSHING)
}
