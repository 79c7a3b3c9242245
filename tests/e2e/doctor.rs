//! `fanlight doctor` where everything is real.

use fanlight_stage::compositor::Compositor;
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::qemu::{Guest, Setup};
use fanlight_stage::viewer::fanlight;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Result};
use serde_json::Value;

use crate::scene::SIZE;
use crate::stills::{bus, soon};

/// What the test machine has, by the names of the checks.
const FINE: [&str; 8] =
    ["linux", "udmabuf", "sync-file", "pagemap-scan", "wayland", "formats", "qemu", "qemu-display"];

pub(crate) fn everything() -> Result<()> {
    let (dir, bus) = bus()?;
    let paint = Guest::Paint(Paint { hold_ms: 0, frames: 1, ..Paint::default() });
    let mut qemu = Setup::new("paint", paint).on(&bus).gl(true).start(&Guests::find()?, &dir)?;
    qemu.line.done(soon())?;
    let weston = Weston::start(Shell::Kiosk, Renderer::Gl, SIZE, &dir)?;
    let mut command = fanlight(&bus);
    command.envs(weston.environment()).args(["doctor", "qemu:paint", "--json"]);
    let output = command
        .output()
        .map_err(|error| Error::new(format!("can't start the program: {error}")))?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::new(format!("it printed no JSON ({error}): {output:?}")))?;
    let wrong = |what: &str| Err(Error::new(format!("{what}: {report:#}")));
    if output.status.code() != Some(0) || report["works"] != true {
        return wrong("it says that something fails");
    }
    let no_findings = Vec::new();
    let findings = report["findings"].as_array().unwrap_or(&no_findings);
    let verdict = |check: &str| {
        let found = findings.iter().find(|finding| finding["check"] == check);
        found.and_then(|finding| finding["verdict"].as_str())
    };
    if let Some(check) = FINE.iter().find(|check| verdict(check) != Some("ok")) {
        return wrong(&format!("{check} is not ok"));
    }
    // Its virtio-gpu has no 3D.
    if verdict("render-node") != Some("info") {
        return wrong("the render node is not what it is");
    }
    // As every kernel has it, if nobody has changed it.
    if verdict("udmabuf-limits") != Some("warn") {
        return wrong("1024 pieces are not enough for 4K");
    }
    let console = findings.iter().find(|finding| finding["check"] == "console");
    if !console.is_some_and(|console| console["says"].to_string().contains("640x480")) {
        return wrong("the virtual machine is not seen");
    }
    Ok(())
}
