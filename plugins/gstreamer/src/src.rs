//! `fanlightsrc`.

mod imp;
mod input;
mod negotiate;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// A live source of a virtual machine's screen.
    pub struct FanlightSrc(ObjectSubclass<imp::FanlightSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object,
        @implements gst::URIHandler;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "fanlightsrc", gst::Rank::NONE, FanlightSrc::static_type())
}
