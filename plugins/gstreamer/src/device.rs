//! `fanlightdeviceprovider`: consoles of virtual machines as devices, while they come and go.

mod console;
mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// Tells which consoles there are.
    pub struct DeviceProvider(ObjectSubclass<imp::DeviceProvider>)
        @extends gst::DeviceProvider, gst::Object;
}

glib::wrapper! {
    /// A console that is there.
    pub struct Console(ObjectSubclass<console::Console>) @extends gst::Device, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::DeviceProvider::register(
        Some(plugin),
        "fanlightdeviceprovider",
        // Monitors ask all that have a rank.
        gst::Rank::PRIMARY,
        DeviceProvider::static_type(),
    )
}
