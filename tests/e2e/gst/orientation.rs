//! A picture that lies upside down in the guest's memory: the sink turns it over, as a tag tells it.

use fanlight::frame::Transform;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Result, pattern, pipeline};

use super::guest::{Guest, Script};
use super::record::SIZE;
use super::{CALM, environment, report};
use crate::stills::{bus, soon};

const SCRIPT: Script = Script { modes: &[SIZE], transform: Transform::Flipped, ..Script::CALM };
/// Screenshots that have to be upright and whole.
const SHOTS: u64 = 3;

/// What is shown is upright, and nothing was copied for it.
pub(crate) fn upright() -> Result<()> {
    let (dir, _bus) = bus()?;
    let socket = dir.path().join("guest.sock");
    let guest = Guest::serve(SCRIPT, &socket)?;
    let output = (SIZE.width, SIZE.height);
    let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, output, &dir)?;
    let source =
        format!("fanlightsrc uri=scanout:{} present=direct ack-deadline={CALM}", socket.display());
    let description = format!("{source} ! waylandsink rotate-method=auto");
    let viewer = pipeline::start("gst-upright", &description, &environment(&weston), &dir)?;
    for shot in 1..=SHOTS {
        viewer.wait_count("flips", 4 * shot, soon())?;
        if let Err(mixed) = pattern::whole(&weston.screenshot()?) {
            return Err(viewer.failure(&format!("shows no upright frame: {mixed}")));
        }
    }
    let stats = viewer.finish(soon())?;
    report("waylandsink, upside down", &stats);
    guest.finish()?;
    match stats["bytes-copied"].as_u64() {
        Some(0) => Ok(()),
        copied => Err(Error::new(format!("{copied:?} bytes were copied: {stats}"))),
    }
}
