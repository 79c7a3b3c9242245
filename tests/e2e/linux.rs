//! The Linux guest, which starts once for all tests that want it, while others run.

use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};

use fanlight_stage::bus::Bus;
use fanlight_stage::guests::Guests;
use fanlight_stage::line::Command;
use fanlight_stage::qemu::{Guest, Qemu, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Image, Result, pattern};
use std::sync::Arc;

use crate::login;
use crate::scene::await_screenshot;
use crate::stills::{bus, dumped, same, soon};

/// A guest on a bus of its own, called "linux".
pub(crate) struct Linux {
    pub(crate) qemu: Qemu,
    pub(crate) bus: Bus,
    pub(crate) dir: Arc<RunDir>,
    pub(crate) size: (u32, u32),
}

enum Shared {
    Starting(JoinHandle<Result<Linux>>),
    Ready(Box<Linux>),
    Failed(String),
    Ended,
}

static SHARED: OnceLock<Mutex<Shared>> = OnceLock::new();

fn start(gl: bool, blob: bool) -> Result<Linux> {
    let (dir, bus) = bus()?;
    let setup = Setup::new("linux", Guest::Linux(None)).on(&bus).gl(gl).blob(blob);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    let size = qemu.started()?;
    Ok(Linux { qemu, bus, dir, size })
}

/// Starts the shared one: gl=on, blob=true.
pub(crate) fn start_meanwhile() {
    SHARED.get_or_init(|| Mutex::new(Shared::Starting(thread::spawn(|| start(true, true)))));
}

/// The shared one, once it is there.
pub(crate) struct Lent(MutexGuard<'static, Shared>);

impl std::ops::Deref for Lent {
    type Target = Linux;
    fn deref(&self) -> &Linux {
        match &*self.0 {
            Shared::Ready(linux) => linux,
            _ => unreachable!("lent only when it is ready"),
        }
    }
}

impl std::ops::DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Linux {
        match &mut *self.0 {
            Shared::Ready(linux) => linux,
            _ => unreachable!("lent only when it is ready"),
        }
    }
}

pub(crate) fn lend() -> Result<Lent> {
    start_meanwhile();
    let shared = SHARED.get().ok_or_else(|| Error::new("nothing starts"))?;
    // A test that panicked leaves the guest as it was.
    let mut shared = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Shared::Starting(_) = &*shared
        && let Shared::Starting(thread) = std::mem::replace(&mut *shared, Shared::Ended)
    {
        *shared = match thread.join() {
            Ok(Ok(linux)) => Shared::Ready(Box::new(linux)),
            Ok(Err(error)) => Shared::Failed(error.to_string()),
            Err(_) => Shared::Failed("the thread that starts it panicked".to_owned()),
        };
    }
    match &*shared {
        Shared::Ready(_) => Ok(Lent(shared)),
        Shared::Failed(why) => Err(Error::new(why.clone())),
        Shared::Starting(_) | Shared::Ended => Err(Error::new("the Linux guest has ended")),
    }
}

/// Ends the shared one.
pub(crate) fn end() {
    if let Some(shared) = SHARED.get() {
        let mut shared = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *shared = Shared::Ended;
    }
}

impl Linux {
    /// The compositor's picture of the viewer, once it is `known`.
    fn viewed(&self, known: &Image) -> Result<()> {
        let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, self.size, &self.dir)?;
        let viewer =
            Viewer::start("view-linux", "qemu:linux", &[], (&self.bus, &weston), &self.dir)?;
        viewer.wait_count("frames", 1, soon())?;
        let shot = weston.screenshot()?;
        viewer.finish(soon())?;
        same("screenshot", &shot, known)
    }

    /// A still frame: dump, screenshot and, where QEMU has one, screendump.
    fn frame(&mut self, frame: u32) -> Result<()> {
        self.qemu.line.still(frame, soon())?;
        let (width, height) = self.size;
        let known = pattern::expected(frame, width, height);
        same("dump and pattern", &dumped("qemu:linux", &self.bus, &self.dir)?, &known)?;
        self.viewed(&known)?;
        match self.qemu.qmp.screendump() {
            Ok(screen) if (screen.width(), screen.height()) == self.size => {
                same("screendump and pattern", &screen, &known)
            }
            // QEMU has no picture of a scanout that lies in the guest's memory.
            _ => {
                println!("QEMU has no screendump here: compared with the guest's pattern only");
                Ok(())
            }
        }
    }

    /// The kernel's console: no pattern is known, so the two ways are compared with each other.
    fn text(&mut self) -> Result<()> {
        self.qemu.line.tell(&Command::Text("Fanlight was here".to_owned()), soon())?;
        let text = dumped("qemu:linux", &self.bus, &self.dir)?;
        let lit = text.pixels().iter().filter(|pixel| **pixel != [0; 3]).count();
        if lit < 200 {
            return Err(Error::new(format!("the console shows no text: {lit} pixels are lit")));
        }
        self.viewed(&text)
    }
}

pub(crate) fn still_and_text() -> Result<()> {
    let mut linux = lend()?;
    linux.frame(9)?;
    linux.text()
}

pub(crate) fn mode() -> Result<()> {
    let mut linux = lend()?;
    let (width, height) = linux.size;
    linux.qemu.line.tell(&Command::Mode { width: 800, height: 600 }, soon())?;
    linux.size = (800, 600);
    let small = linux.frame(21);
    linux.qemu.line.tell(&Command::Mode { width, height }, soon())?;
    linux.size = (width, height);
    small.and_then(|()| linux.frame(22))
}

impl Linux {
    /// Sets another mode under the eyes of a viewer, whose output has the new one's size.
    fn mode_while_viewing(&mut self, (width, height): (u32, u32), frame: u32) -> Result<()> {
        self.qemu.line.still(frame, soon())?;
        let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, (width, height), &self.dir)?;
        let viewer =
            Viewer::start("view-mode", "qemu:linux", &[], (&self.bus, &weston), &self.dir)?;
        viewer.wait_count("frames", 1, soon())?;
        let before = weston.screenshot()?;
        self.qemu.line.tell(&Command::Mode { width, height }, soon())?;
        self.size = (width, height);
        self.qemu.line.still(frame + 1, soon())?;
        let known = pattern::expected(frame + 1, width, height);
        if before.difference(&known).is_none() {
            return Err(Error::new("the picture before is the one after"));
        }
        // QEMU may say in between that the display is off.
        await_screenshot(&mut weston, &viewer, &known, |_| Ok(()))?;
        viewer.finish(soon())?;
        same("dump and pattern", &dumped("qemu:linux", &self.bus, &self.dir)?, &known)
    }
}

pub(crate) fn mode_while_viewing() -> Result<()> {
    let mut linux = lend()?;
    let (width, height) = linux.size;
    let seen = linux.mode_while_viewing((800, 600), 31);
    linux.qemu.line.tell(&Command::Mode { width, height }, soon())?;
    linux.size = (width, height);
    seen
}

fn stills(gl: bool, blob: bool) -> Result<Linux> {
    let mut linux = start(gl, blob)?;
    linux.frame(5)?;
    linux.text()?;
    Ok(linux)
}

pub(crate) fn long_gl_on() -> Result<()> {
    login::log_in(&mut stills(true, false)?)
}

/// QEMU 11.1 sends its standard input as the map's handle here, and then says nothing of what the guest draws into what is shown,
/// though its own screendump has it: who logs in sees an empty screen. What is flipped to comes.
pub(crate) fn long_gl_off_blob() -> Result<()> {
    stills(false, true).map(drop)
}

pub(crate) fn long_gl_off() -> Result<()> {
    login::log_in(&mut stills(false, false)?)
}
