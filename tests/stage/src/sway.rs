//! A real desktop without a screen: sway, which takes a user's hands (see
//! [`virtual_input`](crate::virtual_input)), draws by the CPU, and says what becomes of its windows.
//!
//! It offers no linux-dmabuf there, so that its clients' pictures come by wl_shm.

mod ipc;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fanlight_guests::Image;
use serde_json::Value;

pub use self::ipc::Events;
use crate::child::{Child, run};
use crate::compositor::Compositor;
use crate::error::{Context, Error, Result};
use crate::picture;
use crate::rundir::RunDir;
use crate::wait::{Deadline, Watch, readable};

/// How windows are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// Windows have their own sizes, in the middle of the output.
    Floating,
    /// Windows share the output.
    Tiled,
    /// The newest window fills the output.
    Fullscreen,
}

/// A desktop to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    size: (u32, u32),
    scale: f64,
    outputs: u32,
    windows: Windows,
    lines: String,
}

impl Setup {
    /// A desktop with one output of so many device pixels, `HEADLESS-1`, at scale 1.
    #[must_use]
    pub fn new(size: (u32, u32), windows: Windows) -> Self {
        Self { size, scale: 1.0, outputs: 1, windows, lines: String::new() }
    }

    /// Device pixels a logical pixel. Where the size is no multiple of it, sway's logical size is
    /// rounded down, and places on the output are off by the rest.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// So many outputs, all alike, side by side.
    #[must_use]
    pub fn outputs(mut self, outputs: u32) -> Self {
        self.outputs = outputs;
        self
    }

    /// Adds a line to sway's configuration.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// Starts it; it takes clients, and its outputs are as asked, when this returns.
    ///
    /// # Errors
    /// If sway is missing or does not start; with the end of its log.
    pub fn start(&self, dir: &Arc<RunDir>) -> Result<Sway> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sway-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // A folder of its own: what it names its sockets is up to it.
        let folder = dir.path().join(format!("{name}.run"));
        std::fs::create_dir(&folder).context(format!("making {}", folder.display()))?;
        let config = folder.join("config");
        std::fs::write(&config, self.config()).context("writing sway's configuration")?;
        let mut command = Command::new("sway");
        command
            .arg("--config")
            .arg(&config)
            .current_dir(&folder)
            .env("XDG_RUNTIME_DIR", &folder)
            .envs([("WLR_BACKENDS", "headless"), ("WLR_RENDERER", "pixman")])
            .env("WLR_LIBINPUT_NO_DEVICES", "1")
            .env("WLR_HEADLESS_OUTPUTS", self.outputs.to_string());
        for theirs in ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY", "SWAYSOCK", "I3SOCK"] {
            command.env_remove(theirs);
        }
        let watch = Watch::new(&folder)?;
        let child = Child::spawn(&name, "sway", command, dir)?;
        let deadline = Deadline::seconds(120);
        let [display, socket] = sockets(&folder, &watch, &child, deadline)?;
        let (socket, dir) = (socket.into(), Arc::clone(dir));
        let sway = Sway { child, name, folder, display, socket, dir, size: self.size, shots: 0 };
        sway.await_outputs(self, deadline)?;
        Ok(sway)
    }

    fn config(&self) -> String {
        let (width, height) = self.size;
        let scale = self.scale;
        let windows = match self.windows {
            Windows::Floating => "for_window [app_id=\".*\"] floating enable\n",
            Windows::Tiled => "",
            Windows::Fullscreen => "for_window [app_id=\".*\"] fullscreen enable\n",
        };
        let lines = &self.lines;
        // The seat is named because sway locks no pointer on one without settings, and gives those by
        // itself only to one with a real device.
        format!(
            "xwayland disable\n\
             seat seat0 fallback true\n\
             output * mode --custom {width}x{height}@60Hz scale {scale}\n\
             default_border none\n\
             default_floating_border none\n\
             focus_follows_mouse no\n\
             mouse_warping none\n\
             {windows}{lines}\
             exec 'echo \"$WAYLAND_DISPLAY\" \"$SWAYSOCK\" > starts && mv starts started'\n"
        )
    }
}

/// Waits until it says what its sockets are called: Wayland's, and its own.
fn sockets(
    folder: &std::path::Path,
    watch: &Watch,
    child: &Child,
    deadline: Deadline,
) -> Result<[String; 2]> {
    loop {
        watch.clear()?;
        if let Ok(text) = std::fs::read_to_string(folder.join("started")) {
            let names = text.trim().split_once(' ');
            let (display, socket) = names.ok_or_else(|| child.failure("names no sockets"))?;
            return Ok([display.to_owned(), socket.to_owned()]);
        }
        match readable(&[watch.fd(), child.ended()], deadline)? {
            Some(0) => {}
            Some(_) => return Err(child.failure("ended at once")),
            None => return Err(child.failure("did not start in time")),
        }
    }
}

/// A running sway. Dropping it kills it.
#[derive(Debug)]
pub struct Sway {
    child: Child,
    name: String,
    folder: PathBuf,
    display: String,
    socket: PathBuf,
    dir: Arc<RunDir>,
    size: (u32, u32),
    shots: u32,
}

/// A window, in logical pixels of the desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its number, for `[con_id=…]`.
    pub id: u64,
    /// By which the desktop knows its program.
    pub app_id: String,
    /// Its title.
    pub title: String,
    /// Whether the keyboard is its.
    pub focused: bool,
    /// Whether it fills its output.
    pub fullscreen: bool,
    /// Where its left upper corner is.
    pub at: (i64, i64),
    /// Its size.
    pub size: (i64, i64),
}

impl Window {
    fn read(node: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rect = |name: &str| node["rect"][name].as_i64();
        Some(Self {
            id: node["id"].as_u64()?,
            // Only windows have one.
            app_id: node["app_id"].as_str()?.to_owned(),
            title: text(&node["name"]),
            focused: node["focused"].as_bool()?,
            fullscreen: node["fullscreen_mode"].as_i64()? != 0,
            at: (rect("x")?, rect("y")?),
            size: (rect("width")?, rect("height")?),
        })
    }
}

impl Sway {
    /// Its first output's size in device pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Does what `swaymsg COMMAND` does.
    ///
    /// # Errors
    /// If sway refuses it.
    pub fn command(&self, command: &str) -> Result<()> {
        let answer = self.ask(ipc::RUN_COMMAND, command)?;
        let refused = |one: &&Value| one["success"] != true;
        match answer.as_array().and_then(|all| all.iter().find(refused)) {
            Some(one) => Err(Error::new(format!("sway refuses `{command}`: {one}"))),
            None => Ok(()),
        }
    }

    /// What `swaymsg -t get_tree` prints.
    ///
    /// # Errors
    /// If sway does not answer.
    pub fn tree(&self) -> Result<Value> {
        self.ask(ipc::GET_TREE, "")
    }

    /// What `swaymsg -t get_outputs` prints.
    ///
    /// # Errors
    /// If sway does not answer.
    pub fn outputs(&self) -> Result<Value> {
        self.ask(ipc::GET_OUTPUTS, "")
    }

    /// The windows, also those that nobody sees.
    ///
    /// # Errors
    /// If sway does not answer.
    pub fn windows(&self) -> Result<Vec<Window>> {
        let tree = self.tree()?;
        let (mut found, mut nodes) = (Vec::new(), vec![&tree]);
        while let Some(node) = nodes.pop() {
            found.extend(Window::read(node));
            for children in [&node["nodes"], &node["floating_nodes"]] {
                nodes.extend(children.as_array().into_iter().flatten());
            }
        }
        Ok(found)
    }

    /// What sway tells from now on of these kinds of events, such as `["window", "binding"]`.
    ///
    /// # Errors
    /// If it knows one of them not.
    pub fn events(&self, kinds: &[&str]) -> Result<Events> {
        Events::subscribe(&self.socket, kinds).map_err(|error| self.failure(&error.to_string()))
    }

    /// Waits until there is a window that `wanted` takes: a new one, a title, the focus, fullscreen.
    /// (A change of its size alone is no event to sway.)
    ///
    /// # Errors
    /// If there is none at the deadline; the message names those that there are.
    pub fn wait_window(
        &self,
        deadline: Deadline,
        wanted: impl Fn(&Window) -> bool,
    ) -> Result<Window> {
        // First, so that nothing falls between.
        let mut events = self.events(&["window", "workspace"])?;
        loop {
            let windows = self.windows()?;
            if let Some(window) = windows.iter().find(|window| wanted(window)) {
                return Ok(window.clone());
            }
            events.next(deadline).map_err(|error| {
                self.failure(&format!("has no such window ({error}) but {windows:?}"))
            })?;
        }
    }

    /// The picture on the first output now, in device pixels, without the pointer.
    ///
    /// # Errors
    /// If grim is missing or fails.
    pub fn screenshot(&mut self) -> Result<Image> {
        self.screenshot_of("HEADLESS-1")
    }

    /// The same of any output.
    ///
    /// # Errors
    /// As [`screenshot`](Self::screenshot).
    pub fn screenshot_of(&mut self, output: &str) -> Result<Image> {
        self.shots += 1;
        let name = format!("{}-shot-{}", self.name, self.shots);
        let file = self.folder.join(format!("{name}.png"));
        let mut command = Command::new("grim");
        // Not packed: an emulated machine takes seconds for that.
        command.args(["-l", "0", "-o", output]).arg(&file).envs(self.environment());
        run(&name, "grim", command, &self.dir, Deadline::seconds(120))?;
        let image = picture::load(&file)?;
        std::fs::remove_file(&file).context(format!("removing {}", file.display()))?;
        Ok(image)
    }

    /// A failure, with the end of its log.
    #[must_use]
    pub fn failure(&self, what: &str) -> Error {
        self.child.failure(what)
    }

    fn ask(&self, kind: u32, payload: &str) -> Result<Value> {
        ipc::ask(&self.socket, kind, payload).map_err(|error| self.failure(&error.to_string()))
    }

    /// Waits until the outputs have the size and the scale that they are to have.
    fn await_outputs(&self, setup: &Setup, deadline: Deadline) -> Result<()> {
        let fine = |output: &Value| {
            let length = |name: &str| output["current_mode"][name].as_u64();
            let (width, height) = setup.size;
            let scale = output["scale"].as_f64().unwrap_or_default();
            output["active"] == true
                && [length("width"), length("height")] == [width, height].map(|n| Some(n.into()))
                && (scale - setup.scale).abs() < 0.01
        };
        let mut events = None;
        loop {
            let outputs = self.outputs()?;
            let count = outputs.as_array().map_or(0, |all| all.iter().filter(|o| fine(o)).count());
            if count == setup.outputs as usize {
                return Ok(());
            }
            match &mut events {
                None => events = Some(self.events(&["output"])?),
                Some(events) => events.next(deadline).map(drop).map_err(|error| {
                    self.failure(&format!("has other outputs ({error}): {outputs}"))
                })?,
            }
        }
    }
}

impl Compositor for Sway {
    fn environment(&self) -> [(&'static str, String); 2] {
        let folder = self.folder.to_string_lossy().into_owned();
        [("WAYLAND_DISPLAY", self.display.clone()), ("XDG_RUNTIME_DIR", folder)]
    }
}
