//! Says which consoles `fanlightsrc` could show, and which come and go, as `gst-device-monitor-1.0 --follow Source/Video` does: a line each.
//!
//! ```sh
//! cargo run -p gst-plugin-fanlight --example devices
//! cargo rig vm -- devices
//! ```

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use gst::prelude::*;

fn main() -> ExitCode {
    match follow() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn follow() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstfanlight::plugin_register_static()?;
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Source/Video"), None).ok_or("no provider of devices")?;
    monitor.start()?;
    // Those that are there already are messages too.
    say("watching", None)?;
    for message in monitor.bus().iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::DeviceAdded(added) => say("added", Some(&added.device()))?,
            gst::MessageView::DeviceRemoved(removed) => say("removed", Some(&removed.device()))?,
            gst::MessageView::DeviceChanged(changed) => {
                say("changed", Some(&changed.device_changed().0))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What happened, what the device is called, and what opens it; other providers' devices are left out.
fn say(what: &str, device: Option<&gst::Device>) -> Result<(), Box<dyn Error>> {
    let Some(device) = device else { return Ok(writeln!(std::io::stdout(), "{what}")?) };
    let uri = device.properties().and_then(|known| known.get::<String>("uri").ok());
    if let Some(uri) = uri {
        writeln!(std::io::stdout(), "{what} {} {uri}", device.display_name())?;
    }
    Ok(())
}
