//! A machine that runs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fanlight_guests::line::Report;

use crate::child::Child;
use crate::error::Result;
use crate::guestline::GuestLine;
use crate::qmp::Qmp;
use crate::wait::Deadline;

/// What a Linux guest's boot may take, and then its start. Where all is emulated, on two processors, and other tests run
/// meanwhile, a minute is usual for the latter.
const BOOT_SECONDS: u64 = 120;
const START_SECONDS: u64 = 600;

/// A running machine. Dropping it kills it.
#[derive(Debug)]
pub struct Qemu {
    /// Our own QMP connection.
    pub qmp: Qmp,
    /// The guest's serial port.
    pub line: GuestLine,
    pub(super) qmp_socket: PathBuf,
    pub(super) child: Child,
    /// The mode in which the Linux guest is to begin.
    pub(super) mode: Option<(u32, u32)>,
    /// Whether it has booted before.
    pub(super) resumed: bool,
}

impl Qemu {
    /// A second QMP socket, for whoever wants one (`qmp:PATH`).
    #[must_use]
    pub fn qmp_socket(&self) -> &Path {
        &self.qmp_socket
    }

    /// Waits until the Linux guest's kernel is up.
    ///
    /// # Errors
    /// If it does not come up; with the end of QEMU's log.
    pub(crate) fn booted(&mut self) -> Result<()> {
        if self.resumed {
            return Ok(());
        }
        let deadline = Deadline::seconds(BOOT_SECONDS);
        let up = self.line.wait(deadline, |report| (*report == Report::Booted).then_some(()));
        up.map_err(|error| self.stands_still("boot", &error))
    }

    /// Waits until the Linux guest takes commands; gives the size of its screen.
    ///
    /// # Errors
    /// If it does not; with the end of QEMU's log.
    pub fn started(&mut self) -> Result<(u32, u32)> {
        let began = Instant::now();
        self.booted()?;
        let ready = self.line.start(self.mode, Deadline::seconds(START_SECONDS));
        println!("the Linux guest started in {} s", began.elapsed().as_secs());
        ready.map_err(|error| self.stands_still("start", &error))
    }

    fn stands_still(&mut self, what: &str, error: &crate::Error) -> crate::Error {
        let stands = self.stands();
        self.failure(&format!("does not {what}: {error}\n{stands}"))
    }

    /// Where its processors are, and a second later, as QEMU's monitor says.
    fn stands(&mut self) -> String {
        let command = serde_json::json!({"command-line": "info registers -a"});
        let mut ask = || match self.qmp.execute("human-monitor-command", &command) {
            Ok(said) => {
                let said = said.as_str().unwrap_or_default().to_owned();
                let wanted =
                    |line: &&str| ["CPU#", "RIP=", "EIP="].iter().any(|w| line.contains(w));
                said.lines().filter(wanted).collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string(),
        };
        let before = ask();
        std::thread::sleep(std::time::Duration::from_secs(1));
        format!("its processors are at\n{before}\nand a second later at\n{}", ask())
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// QEMU's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Puts the end of QEMU's log to a failure of the guest.
    #[must_use]
    pub fn failure(&self, what: &str) -> crate::Error {
        self.child.failure(what)
    }
}
