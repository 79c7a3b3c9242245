//! A pipeline's window: GStreamer's own sink says what is done in it, and the guest gets that.

use fanlight_stage::compositor::Compositor;
use fanlight_stage::{Result, pipeline};

use super::pointer::Pointing;
use super::{Desk, Device, desktop, lend_with_tablet};

/// The left and the right one.
const BUTTONS: [u32; 2] = [0x110, 0x111];

/// The picture is the guest's, pixel for pixel, and each place in it is the guest's pixel. (GStreamer's windows on Wayland say
/// nothing of keys: those have tests beside the plugin.)
pub(crate) fn window() -> Result<()> {
    let desk = Desk::open(&desktop(), lend_with_tablet()?, |linux, sway| {
        let gl = [("GST_GL_PLATFORM", "egl"), ("GST_GL_WINDOW", "wayland")];
        let bus = ("DBUS_SESSION_BUS_ADDRESS", linux.bus.address().to_owned());
        let environment = sway.environment().into_iter().chain([bus]);
        let environment = environment.chain(gl.map(|(name, value)| (name, value.to_owned())));
        // A window of GL that changes its size shows that with the next frame only.
        let description = "fanlightsrc uri=qemu:linux keepalive-time=1000 ! glimagesink";
        pipeline::start("gst-input", description, &environment.collect::<Vec<_>>(), &linux.dir)
    })?;
    // It comes small, in the middle of the desktop, and would grow out of that.
    let (width, height) = desk.linux.size;
    let place = format!("resize set {width} px {height} px, move position 0 0");
    desk.sway.command(&format!("[con_id={}] {place}", desk.window.id))?;
    let mut at = Pointing::start(desk, 71)?;
    at.tour()?;
    at.click_each(&BUTTONS)?;
    at.turn_wheel()?;
    at.desk.finish(Device::Keyboard)
}
