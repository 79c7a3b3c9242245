//! `fanlightaudiosrc`.

mod caps;
mod gain;
mod imp;
mod mailbox;
mod settings;
mod stream;
mod timeline;
mod voices;
mod worker;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// A live source of what a virtual machine plays.
    pub struct FanlightAudioSrc(ObjectSubclass<imp::FanlightAudioSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let kind = FanlightAudioSrc::static_type();
    gst::Element::register(Some(plugin), "fanlightaudiosrc", gst::Rank::NONE, kind)
}
