//! Runs `fanlight` itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::bus::Bus;
use crate::child::{Child, Output, run};
use crate::compositor::Compositor;
use crate::error::{Context, Result};
use crate::rundir::RunDir;
use crate::wait::Deadline;

/// The program, where it is not `fanlight` on the path.
pub const FANLIGHT_ENV: &str = "FANLIGHT";

/// Says which Debian package a missing program is in; ours is in none.
const PACKAGE: &str = "that has it, or build it and name it in FANLIGHT";

/// The program with a bus to find guests on.
#[must_use]
pub fn fanlight(bus: &Bus) -> Command {
    let program = std::env::var_os(FANLIGHT_ENV).unwrap_or_else(|| "fanlight".into());
    let mut command = Command::new(program);
    command.env("DBUS_SESSION_BUS_ADDRESS", bus.address());
    command.env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY");
    command
}

/// A running `fanlight view … --stats=json`.
#[derive(Debug)]
pub struct Viewer {
    child: Child,
}

impl Viewer {
    /// Shows a guest in a compositor.
    ///
    /// # Errors
    /// If the program is missing.
    pub fn start(
        name: &str,
        uri: &str,
        arguments: &[&str],
        peers: (&Bus, &impl Compositor),
        dir: &Arc<RunDir>,
    ) -> Result<Self> {
        Self::start_with(name, uri, arguments, &[], peers, dir)
    }

    /// As [`start`](Self::start), with more in its environment.
    ///
    /// # Errors
    /// As that.
    pub fn start_with(
        name: &str,
        uri: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        (bus, compositor): (&Bus, &impl Compositor),
        dir: &Arc<RunDir>,
    ) -> Result<Self> {
        let mut command = fanlight(bus);
        command.envs(compositor.environment()).envs(environment.iter().copied());
        command.arg("view").arg(uri).arg("--stats=json").args(arguments);
        Ok(Self { child: Child::spawn(name, PACKAGE, command, dir)? })
    }

    /// What prints such lines as the program does, and ends as it does.
    #[must_use]
    pub fn of(child: Child) -> Self {
        Self { child }
    }

    /// Waits for statistics that `enough` is content with.
    ///
    /// # Errors
    /// If the viewer ends or the deadline passes first; with the end of its log.
    pub fn wait_stats(&self, deadline: Deadline, enough: impl Fn(&Value) -> bool) -> Result<Value> {
        self.child.wait_line(Output::Out, deadline, |line| {
            serde_json::from_str(line).ok().filter(|stats| enough(stats))
        })
    }

    /// The statistics that it printed last, if any.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn latest(&self) -> Result<Option<Value>> {
        let text = self.child.output(Output::Out)?;
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        Ok(whole.lines().rev().find_map(|line| serde_json::from_str(line).ok()))
    }

    /// Waits until a counter is at least this high.
    ///
    /// # Errors
    /// As [`Viewer::wait_stats`].
    pub fn wait_count(&self, counter: &str, least: u64, deadline: Deadline) -> Result<Value> {
        self.wait_stats(deadline, |stats| stats[counter].as_u64().is_some_and(|n| n >= least))
    }

    /// Ends the viewer: its last statistics.
    ///
    /// # Errors
    /// If it does not end well, or says nothing at the end.
    pub fn finish(mut self, deadline: Deadline) -> Result<Value> {
        let status = self.child.terminate(deadline)?;
        if !status.success() {
            return Err(self.child.failure(&format!("ended badly ({status})")));
        }
        self.wait_stats(deadline, |stats| stats["final"] == true)
    }

    /// A failure, with its last statistics and the end of its log; the logs will be kept.
    #[must_use]
    pub fn failure(&self, what: &str) -> crate::Error {
        let latest = self.latest().ok().flatten().unwrap_or_default();
        self.child.failure(&format!("{what}; it said last: {latest}"))
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

/// Dumps `count` frames of a guest to `folder` as `PREFIX-0001.png` and so on: the files.
///
/// # Errors
/// If `fanlight dump` fails or leaves fewer files.
pub fn dump(
    uri: &str,
    count: u32,
    (folder, prefix): (&Path, &str),
    bus: &Bus,
    dir: &Arc<RunDir>,
) -> Result<Vec<PathBuf>> {
    let mut command = fanlight(bus);
    command.arg("dump").arg(uri).arg("-n").arg(count.to_string()).args(["--timeout", "120"]);
    command.arg("-o").arg(folder.join(format!("{prefix}-%04d.png")));
    run(&format!("dump-{prefix}"), PACKAGE, command, dir, Deadline::seconds(180))?;
    let starts = format!("{prefix}-");
    let entries = std::fs::read_dir(folder).context(format!("reading {}", folder.display()))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&starts) && name.ends_with(".png")
        })
        .collect();
    files.sort();
    if files.len() != count as usize {
        let found = files.len();
        return Err(crate::Error::new(format!("dump left {found} files where {count} were due")));
    }
    Ok(files)
}

/// The consoles that `fanlight list --json` finds.
///
/// # Errors
/// If it fails, or prints no JSON.
pub fn list(bus: &Bus, dir: &Arc<RunDir>) -> Result<Value> {
    let mut command = fanlight(bus);
    command.args(["list", "--json"]);
    let text = run("list", PACKAGE, command, dir, Deadline::seconds(60))?;
    serde_json::from_str(&text).context("reading what `fanlight list --json` printed")
}

/// The program's version.
///
/// # Errors
/// If it fails.
pub fn version(bus: &Bus, dir: &Arc<RunDir>) -> Result<String> {
    let mut command = fanlight(bus);
    command.arg("--version");
    let text = run("version", PACKAGE, command, dir, Deadline::seconds(60))?;
    Ok(text.trim().to_owned())
}
