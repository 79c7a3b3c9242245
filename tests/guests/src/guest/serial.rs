//! The serial line to the test: whole lines in, whole lines out.

use std::fs::File;
use std::io::{Read, Write};

use fanlight_guests::line::Report;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::Result;
use crate::input::Input;
use crate::player::Player;

/// A line longer than this is no command; what came of it is dropped.
const LONGEST_LINE: usize = 4096;

/// The open port.
#[derive(Debug)]
pub(crate) struct Serial {
    port: File,
    /// The beginning of a line whose end has not come yet.
    pending: Vec<u8>,
}

impl Serial {
    /// Opens a serial port and makes it hand on bytes as they are.
    pub(crate) fn open(path: &str) -> Result<Self> {
        let failed = |what: &str, e: std::io::Error| format!("{path} can't be {what}: {e}");
        let port = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| failed("opened (no serial port?)", e))?;
        let mut modes = tcgetattr(&port).map_err(|e| failed("asked for its modes", e.into()))?;
        modes.make_raw();
        tcsetattr(&port, OptionalActions::Now, &modes).map_err(|e| failed("set up", e.into()))?;
        Ok(Self { port, pending: Vec::new() })
    }

    /// Waits for a command, for what the player waits for, for input, or until the player wants its turn.
    pub(crate) fn wait(&self, player: &Player, input: &Input) -> Result<()> {
        let mut fds = vec![PollFd::new(&self.port, PollFlags::IN)];
        fds.extend(player.awaited().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        fds.extend(input.devices().map(|device| PollFd::from_borrowed_fd(device, PollFlags::IN)));
        match poll(&mut fds, player.timeout().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(format!("poll failed: {e}")),
        }
    }

    /// The lines that have come since the last call, without waiting for more.
    pub(crate) fn lines(&mut self) -> Result<Vec<String>> {
        let mut fds = [PollFd::new(&self.port, PollFlags::IN)];
        let now = rustix::time::Timespec::default();
        match poll(&mut fds, Some(&now)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(e) => return Err(format!("poll failed: {e}")),
        }
        let mut bytes = [0; 256];
        let count =
            self.port.read(&mut bytes).map_err(|e| format!("the serial port failed: {e}"))?;
        self.pending.extend_from_slice(&bytes[..count]);
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|&b| b == b'\n') {
            let line = self.pending.drain(..=end).collect::<Vec<_>>();
            lines.push(String::from_utf8_lossy(&line).trim().to_owned());
        }
        if self.pending.len() > LONGEST_LINE {
            self.pending.clear();
        }
        Ok(lines)
    }

    /// Sends one line. A port that takes nothing has nobody to tell.
    pub(crate) fn report(&mut self, report: &Report) {
        let _ = writeln!(self.port, "{report}");
    }

    /// Waits until all is sent.
    pub(crate) fn drain(&self) {
        let _ = tcdrain(&self.port);
    }
}
