//! Pipelines of GStreamer's, with the plugin of this checkout.

use std::process::Command;
use std::sync::Arc;

use crate::child::{Child, run};
use crate::error::Result;
use crate::rundir::RunDir;
use crate::viewer::Viewer;
use crate::wait::Deadline;

/// Says where a missing program is; the plugin's example is in no package.
const PACKAGE: &str = "that has it; `cargo rig build` makes the plugin's own";

/// A running pipeline whose `fanlightsrc` says each second what it counts, as a viewer does. Its description is
/// cut into words at blanks, and none of them is quoted.
///
/// # Errors
/// If the program is missing.
pub fn start(
    name: &str,
    description: &str,
    environment: &[(&str, String)],
    dir: &Arc<RunDir>,
) -> Result<Viewer> {
    Ok(Viewer::of(Child::spawn(name, PACKAGE, command("launch", description, environment), dir)?))
}

/// GStreamer's own program, with a pipeline that has no `fanlightsrc`.
///
/// # Errors
/// If the program is missing.
pub fn spawn(
    name: &str,
    description: &str,
    environment: &[(&str, String)],
    dir: &Arc<RunDir>,
) -> Result<Child> {
    let command = command("gst-launch-1.0", description, environment);
    Child::spawn(name, "gstreamer1.0-tools", command, dir)
}

/// What says which consoles come and go, as GStreamer's devices.
///
/// # Errors
/// If the program is missing.
pub fn devices(name: &str, environment: &[(&str, String)], dir: &Arc<RunDir>) -> Result<Child> {
    Child::spawn(name, PACKAGE, command("devices", "", environment), dir)
}

/// Runs a pipeline to its end by GStreamer's own program: what that wrote to its standard output, and the name of
/// the file with the rest.
///
/// # Errors
/// If it fails, or is not done by the deadline; with the end of its log.
pub fn launch(
    name: &str,
    description: &str,
    environment: &[(&str, String)],
    dir: &Arc<RunDir>,
    deadline: Deadline,
) -> Result<String> {
    let command = command("gst-launch-1.0", description, environment);
    run(name, "gstreamer1.0-tools", command, dir, deadline)
}

fn command(program: &str, description: &str, environment: &[(&str, String)]) -> Command {
    let mut command = Command::new(program);
    command.args(description.split_whitespace());
    command.env("G_DEBUG", "fatal-warnings");
    command.env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}
