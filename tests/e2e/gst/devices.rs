//! The consoles of a real QEMU as devices of GStreamer's.

use fanlight_stage::child::Output;
use fanlight_stage::guests::Guests;
use fanlight_stage::qemu::{Guest, Setup};
use fanlight_stage::{Error, Result, pipeline};

use crate::stills::{bus, soon};

/// What the monitor says when it looks.
const FIRST: &str = "watching";

/// A virtual machine's console appears when it starts and goes when it ends, and again; what names it opens it.
pub(crate) fn come_and_go() -> Result<()> {
    let (dir, bus) = bus()?;
    let guests = Guests::find()?;
    let environment = [("DBUS_SESSION_BUS_ADDRESS", bus.address().to_owned())];
    let monitor = pipeline::devices("gst-devices", &environment, &dir)?;
    // The rest of the line that begins so, for the time that is said.
    let said = |begin: &str, times: usize| {
        let mut seen = 0;
        monitor.wait_line(Output::Out, soon(), |line| {
            // It is read from its first line each time.
            seen = if line == FIRST { 0 } else { seen };
            let rest = line.strip_prefix(begin);
            seen += usize::from(rest.is_some());
            rest.filter(|_| seen == times).map(str::to_owned)
        })
    };
    said(FIRST, 1)?;
    for round in 1..=2 {
        let mut qemu = Setup::new("seen", Guest::Firmware).on(&bus).start(&guests, &dir)?;
        let uri = said("added seen ", round)?;
        // With nobody connected QEMU doesn't look at its screen.
        qemu.qmp.screendump()?;
        let description = format!("fanlightsrc uri={uri} num-buffers=1 ! fakesink");
        pipeline::launch("gst-device", &description, &environment, &dir, soon())?;
        drop(qemu);
        let gone = said("removed seen ", round)?;
        if gone != uri {
            return Err(Error::new(format!("{uri} came, {gone} went")));
        }
    }
    Ok(())
}
