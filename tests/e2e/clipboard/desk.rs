//! A desktop whose users copy and paste, with the programs that people use for it.

use std::process::Command;
use std::sync::Arc;

use fanlight_stage::bus::Bus;
use fanlight_stage::child::{Child, Output, run};
use fanlight_stage::compositor::Compositor;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::sway::{Setup, Sway, Windows};
use fanlight_stage::viewer::Viewer;
use fanlight_stage::virtual_input::VirtualKeyboard;
use fanlight_stage::{Context, Result};

use super::fake_clipboard::TEXT;
use crate::stills::{bus, soon};

const SCREEN: (u32, u32) = (800, 600);
/// Debian's package of wl-copy and wl-paste.
const PACKAGE: &str = "wl-clipboard";
/// What only the viewer calls what it has copied.
const OURS: &str = "application/x-fanlight-";
/// Evdev's code of the letter A.
const KEY_A: u32 = 30;

/// A desktop with a keyboard, without which no window has the clipboard.
pub(super) struct Desk {
    pub(super) sway: Sway,
    keyboard: VirtualKeyboard,
    pub(super) bus: Bus,
    pub(super) dir: Arc<RunDir>,
    /// How many programs were started.
    programs: u32,
    /// Who copied something serves it as long as it is what is copied.
    copiers: Vec<Child>,
}

impl Desk {
    pub(super) fn start() -> Result<Self> {
        let (dir, bus) = bus()?;
        let sway = Setup::new(SCREEN, Windows::Floating).start(&dir)?;
        let keyboard = VirtualKeyboard::new(&sway, "us")?;
        Ok(Self { sway, keyboard, bus, dir, programs: 0, copiers: Vec::new() })
    }

    /// A viewer; it has no window yet.
    pub(super) fn view(&self, name: &str, uri: &str, arguments: &[&str]) -> Result<Viewer> {
        Viewer::start(name, uri, arguments, (&self.bus, &self.sway), &self.dir)
    }

    /// Waits until the window of that machine has the keyboard.
    pub(super) fn focused(&self, machine: &str) -> Result<()> {
        let is_its = |title: &str| title.starts_with(machine);
        self.sway.wait_window(soon(), |window| window.focused && is_its(&window.title)).map(drop)
    }

    fn program(&mut self, program: &str, arguments: &[&str]) -> (String, Command) {
        self.programs += 1;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.sway.environment());
        (format!("{program}-{}", self.programs), command)
    }

    /// A user copies this, as something of that kind.
    pub(super) fn copy_as(&mut self, kind: &str, text: &str) -> Result<()> {
        let script = "exec wl-copy --foreground --type \"$0\" <\"$1\"";
        let file = self.dir.path().join(format!("copied-{}", self.programs));
        std::fs::write(&file, text).context("writing what is copied")?;
        let (name, mut command) = self.program("sh", &["-c", script, kind]);
        command.arg(file);
        self.copiers.push(Child::spawn(&name, PACKAGE, command, &self.dir)?);
        Ok(())
    }

    /// Who copied last.
    pub(super) fn copier(&mut self) -> &mut Child {
        self.copiers.last_mut().expect("somebody has copied")
    }

    pub(super) fn copy(&mut self, text: &str) -> Result<()> {
        self.copy_as("text/plain", text)
    }

    pub(super) fn clear(&mut self) -> Result<()> {
        let (name, command) = self.program("wl-copy", &["--clear"]);
        run(&name, PACKAGE, command, &self.dir, soon()).map(drop)
    }

    /// A user pastes; what it comes to is the program's output.
    pub(super) fn paste(&mut self) -> Result<Child> {
        let (name, command) = self.program("wl-paste", &["--no-newline", "--type", TEXT]);
        Child::spawn(&name, PACKAGE, command, &self.dir)
    }

    /// What there is to paste, by its names.
    pub(super) fn kinds(&mut self) -> Result<Vec<String>> {
        let (name, command) = self.program("wl-paste", &["--list-types"]);
        let mut child = Child::spawn(&name, PACKAGE, command, &self.dir)?;
        // It fails where there is nothing.
        child.wait(soon())?;
        Ok(child.output(Output::Out)?.lines().map(str::to_owned).collect())
    }

    /// A user types in the window. The desktop takes a copy of the guest's only by what the user did after the
    /// last copy of all.
    pub(super) fn tap(&mut self) -> Result<()> {
        self.keyboard.press(KEY_A)?;
        self.keyboard.release(KEY_A)
    }

    /// Waits until what the guest has copied is what is copied, or isn't any more.
    pub(super) fn await_guests(&mut self, is: bool) -> Result<()> {
        let deadline = soon();
        loop {
            let kinds = self.kinds()?;
            if kinds.iter().any(|kind| kind.starts_with(OURS)) == is {
                return Ok(());
            }
            if deadline.left().is_zero() {
                return Err(self.sway.failure(&format!("has this to paste: {kinds:?}")));
            }
        }
    }
}
