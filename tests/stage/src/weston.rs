//! A real compositor without a screen, and its own pictures.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fanlight_guests::Image;

use crate::child::{Child, Output, run};
use crate::compositor::Compositor;
use crate::error::{Context, Error, Result};
use crate::picture;
use crate::ready::spawn_ready;
use crate::rundir::RunDir;
use crate::wait::Deadline;

/// How windows are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// The newest window fills the output: exact pixels where the sizes agree.
    Kiosk,
    /// Windows have their own sizes, on an empty desktop.
    Desktop,
}

/// What composes the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renderer {
    /// OpenGL ES; takes dma-bufs.
    Gl,
    /// The CPU; offers no linux-dmabuf.
    Pixman,
}

impl Renderer {
    fn name(self) -> &'static str {
        match self {
            Self::Gl => "gl",
            Self::Pixman => "pixman",
        }
    }
}

const CONFIG: &str = "[core]
idle-time=0
require-input=false

[shell]
background-color=0xff1b2430
panel-position=none
locking=false
animation=none
startup-animation=none
close-animation=none
";

/// A running weston. Dropping it kills it.
#[derive(Debug)]
pub struct Weston {
    child: Child,
    display: String,
    dir: Arc<RunDir>,
    shots: u32,
}

impl Weston {
    /// Starts one with an output of this size; it takes clients when this returns.
    ///
    /// # Errors
    /// If weston is missing or does not start; with the end of its log.
    pub fn start(
        shell: Shell,
        renderer: Renderer,
        (width, height): (u32, u32),
        dir: &Arc<RunDir>,
    ) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let display = format!("weston-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let config = dir.path().join("weston.ini");
        std::fs::write(&config, CONFIG).context("writing weston's configuration")?;
        let shell = match shell {
            Shell::Kiosk => "kiosk",
            Shell::Desktop => "desktop",
        };
        let mut command = Command::new("weston");
        command
            .args(["--backend=headless", "--debug", "--modules=systemd-notify.so"])
            .arg(format!("--renderer={}", renderer.name()))
            .arg(format!("--shell={shell}"))
            .arg(format!("--width={width}"))
            .arg(format!("--height={height}"))
            .arg(format!("--socket={display}"))
            .arg(format!("--config={}", config.display()))
            .env("XDG_RUNTIME_DIR", dir.path())
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("DISPLAY");
        let child = spawn_ready(&display, "weston", command, dir, Deadline::seconds(120))?;
        Ok(Self { child, display, dir: Arc::clone(dir), shots: 0 })
    }

    /// The picture on the output now, as the compositor itself reads it back.
    ///
    /// # Errors
    /// If weston's screenshooter is missing or fails.
    pub fn screenshot(&mut self) -> Result<Image> {
        self.shots += 1;
        let name = format!("{}-shot-{}", self.display, self.shots);
        // The file is named after the second; a folder of its own has only one.
        let folder = self.dir.path().join(&name);
        std::fs::create_dir(&folder).context(format!("making {}", folder.display()))?;
        let mut command = Command::new("weston-screenshooter");
        command.current_dir(&folder).envs(self.environment());
        run(&name, "weston", command, &self.dir, Deadline::seconds(120))?;
        let image = only_png(&folder)?;
        std::fs::remove_dir_all(&folder).context(format!("removing {}", folder.display()))?;
        Ok(image)
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What its log says behind `label`, such as "GL renderer:".
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn says(&self, label: &str) -> Result<Option<String>> {
        let log = self.child.output(Output::Err)?;
        // After the time in brackets, or after blanks: "GL version:" is not "EGL version:".
        let entry = |line: &str| {
            let text = line.split_once("] ").map_or(line, |(_, text)| text);
            Some(text.trim().strip_prefix(label)?.trim().to_owned())
        };
        Ok(log.lines().find_map(entry))
    }
}

impl Compositor for Weston {
    fn environment(&self) -> [(&'static str, String); 2] {
        let folder = self.dir.path().to_string_lossy().into_owned();
        [("WAYLAND_DISPLAY", self.display.clone()), ("XDG_RUNTIME_DIR", folder)]
    }
}

fn only_png(folder: &Path) -> Result<Image> {
    let entries = std::fs::read_dir(folder).context(format!("reading {}", folder.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_png = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "png");
    let path = paths.find(is_png);
    picture::load(&path.ok_or_else(|| Error::new("weston-screenshooter left no picture"))?)
}
