//! A private message bus.

use std::process::Command;
use std::sync::Arc;

use crate::child::{Child, Output};
use crate::error::{Context, Result};
use crate::rundir::RunDir;
use crate::wait::Deadline;

/// Everyone on this bus may do everything; nothing is started by it.
const CONFIG: &str = r#"<busconfig>
  <type>session</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// A running dbus-daemon.
#[derive(Debug)]
pub struct Bus {
    address: String,
    daemon: Child,
}

impl Bus {
    /// Starts one that nobody else knows; it takes calls when this returns.
    ///
    /// # Errors
    /// If dbus-daemon is missing or does not start.
    pub fn start(dir: &Arc<RunDir>) -> Result<Self> {
        let config = dir.path().join("bus.conf");
        let socket = dir.path().join("bus");
        let text = CONFIG.replace("@SOCKET@", &socket.to_string_lossy());
        std::fs::write(&config, text).context("writing the bus's configuration")?;
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg("--nopidfile").arg("--nosyslog").arg("--print-address");
        command.arg(format!("--config-file={}", config.display()));
        let daemon = Child::spawn("dbus-daemon", "dbus-daemon", command, dir)?;
        let address = daemon.wait_line(Output::Out, Deadline::seconds(30), |line| {
            line.starts_with("unix:").then(|| line.to_owned())
        })?;
        Ok(Self { address, daemon })
    }

    /// Its address, for `DBUS_SESSION_BUS_ADDRESS`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The daemon, to end it on purpose.
    pub fn daemon(&mut self) -> &mut Child {
        &mut self.daemon
    }
}
