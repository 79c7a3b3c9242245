//! A user's hands at a window on a real desktop, and what the Linux guest's kernel says of it: exactly
//! what was typed and moved, and nothing else.

#[path = "input/cursor.rs"]
pub(crate) mod cursor;
#[path = "input/grab.rs"]
pub(crate) mod grab;
#[path = "input/keyboard.rs"]
pub(crate) mod keyboard;
#[path = "input/pipeline.rs"]
pub(crate) mod pipeline;
#[path = "input/pointer.rs"]
pub(crate) mod pointer;

use fanlight_stage::line::{Command, Event};
use fanlight_stage::qmp::Qmp;
use fanlight_stage::sway::{Setup, Sway, Window, Windows};
use fanlight_stage::viewer::Viewer;
use fanlight_stage::virtual_input::{VirtualKeyboard, VirtualPointer, Wheel};
use fanlight_stage::{Error, Image, Result, pattern, picture};
use serde_json::json;

use crate::linux::{Lent, lend};
use crate::stills::soon;

/// Larger than the guest's screen, so that there is a desktop around the window.
const OUTPUT: (u32, u32) = (1280, 960);
/// Not what the guest's kernel takes the keyboard for: of keys' meanings nothing may come through.
const LAYOUT: &str = "fr";
/// What the compositor does with Super+F5 as long as it may.
const BINDING: &str = "bindsym Mod4+F5 nop";

/// A device of the machine's, as the guest's kernel calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Ps2Keyboard,
    Keyboard,
    Tablet,
    Mouse,
}

impl Device {
    fn name(self) -> &'static str {
        match self {
            Self::Ps2Keyboard => "AT Translated Set 2 keyboard",
            Self::Keyboard => "QEMU Virtio Keyboard",
            Self::Tablet => "QEMU Virtio Tablet",
            Self::Mouse => "QEMU Virtio Mouse",
        }
    }
}

/// What is done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Down(u32),
    Up(u32),
    /// Along an axis, by so much.
    By(u16, i32),
    /// On an axis, to there.
    At(u16, i32),
}

use Done::{At, By, Down, Up};

const X: u16 = 0;
const Y: u16 = 1;
const WHEEL: u16 = 8;

impl Done {
    fn read(event: Event) -> Option<Self> {
        Some(match (event.kind, event.value) {
            (1, 1) => Down(event.code.into()),
            (1, 0) => Up(event.code.into()),
            (2, by) => By(event.code, by),
            (3, at) => At(event.code, at),
            _ => return None,
        })
    }
}

/// Down and up again, each.
fn taps(codes: &[u32]) -> Vec<Done> {
    codes.iter().flat_map(|&code| [Down(code), Up(code)]).collect()
}

/// Down one after the other, and up in reverse.
fn chord(codes: &[u32]) -> Vec<Done> {
    let down = codes.iter().map(|&code| Down(code));
    down.chain(codes.iter().rev().map(|&code| Up(code))).collect()
}

/// The guest in a viewer on a desktop, and somebody at it.
struct Desk {
    viewer: Viewer,
    keyboard: VirtualKeyboard,
    pointer: VirtualPointer,
    sway: Sway,
    window: Window,
    devices: Vec<String>,
    linux: Lent,
}

/// Which of the machine's pointers QEMU uses from now on.
fn use_pointer(qmp: &mut Qmp, device: Device) -> Result<()> {
    let mice = qmp.execute("query-mice", &json!({}))?;
    let of_name = |mouse: &&serde_json::Value| mouse["name"] == device.name();
    let mouse = mice.as_array().and_then(|all| all.iter().find(of_name));
    let index = mouse.and_then(|mouse| mouse["index"].as_i64());
    let index = index.ok_or_else(|| Error::new(format!("{device:?} isn't among {mice}")))?;
    let set = json!({ "command-line": format!("mouse_set {index}") });
    qmp.execute("human-monitor-command", &set).map(drop)
}

/// A desktop that leaves windows their size.
fn desktop() -> Setup {
    Setup::new(OUTPUT, Windows::Floating).line(BINDING)
}

/// The guest with a keyboard, a tablet and a mouse by virtio; of the last two QEMU uses the tablet.
fn lend_with_tablet() -> Result<Lent> {
    let mut linux = lend()?;
    for module in ["evdev", "virtio_input"] {
        linux.qemu.line.tell(&Command::Load(module.to_owned()), soon())?;
    }
    use_pointer(&mut linux.qemu.qmp, Device::Tablet)?;
    Ok(linux)
}

impl Desk {
    /// The guest is as [`lend_with_tablet`] has it.
    fn start(name: &str, arguments: &[&str], setup: &Setup) -> Result<Self> {
        Self::start_with(name, arguments, setup, lend_with_tablet()?)
    }

    fn start_with(name: &str, arguments: &[&str], setup: &Setup, linux: Lent) -> Result<Self> {
        Self::open(setup, linux, |linux, sway| {
            Viewer::start(name, "qemu:linux", arguments, (&linux.bus, sway), &linux.dir)
        })
    }

    fn open(
        setup: &Setup,
        mut linux: Lent,
        viewer: impl FnOnce(&Lent, &Sway) -> Result<Viewer>,
    ) -> Result<Self> {
        let sway = setup.start(&linux.dir)?;
        // Before the window: whoever looks for a keyboard finds one.
        let keyboard = VirtualKeyboard::new(&sway, LAYOUT)?;
        let pointer = VirtualPointer::new(&sway, sway.size())?;
        let viewer = viewer(&linux, &sway)?;
        let window = sway.wait_window(soon(), |window| window.focused)?;
        viewer.wait_count("frames", 1, soon())?;
        let devices = linux.qemu.line.listen(soon())?;
        Ok(Self { viewer, keyboard, pointer, sway, window, devices, linux })
    }

    /// The next thing that is done with any device of the guest's.
    fn next(&mut self) -> Result<(Option<&str>, Option<Done>)> {
        let event = self.linux.qemu.line.event(soon());
        let event = event.map_err(|error| self.failure(&error.to_string()))?;
        let name = self.devices.get(event.device as usize).map(String::as_str);
        Ok((name, Done::read(event)))
    }

    /// Fails unless exactly this is done next, all of it with one device.
    fn expect(&mut self, device: Device, wanted: &[Done]) -> Result<()> {
        let mut came = Vec::new();
        for want in wanted {
            let next = self.next().map_err(|error| {
                Error::new(format!("{wanted:?} was wanted, {came:?} came: {error}"))
            })?;
            if next != (Some(device.name()), Some(*want)) {
                let what =
                    format!("{wanted:?} of {device:?} was wanted: {next:?} came after {came:?}");
                return Err(self.failure(&what));
            }
            came.push(*want);
        }
        Ok(())
    }

    /// A failure, with the end of the viewer's log; all logs are kept.
    fn failure(&self, what: &str) -> Error {
        self.viewer.failure(what)
    }

    /// Types a key past the viewer. What the guest says before it is all that it says of what came
    /// earlier.
    fn type_directly(&mut self) -> Result<()> {
        let key = |down| json!({ "type": "key", "data": { "down": down, "key": { "type": "qcode", "data": "spc" } } });
        let events = json!({ "events": [key(true), key(false)] });
        self.linux.qemu.qmp.execute("input-send-event", &events).map(drop)
    }

    /// Where the guest's picture of this number lies on the output, in device pixels, once it is there:
    /// every pixel as the guest drew it.
    fn find_picture(&mut self, frame: u32) -> Result<(f64, f64)> {
        self.linux.qemu.line.tell(&Command::Still(frame), soon())?;
        let (width, height) = self.linux.size;
        let known = pattern::expected(frame, width, height);
        // Beside the window, wherever it is: the desktop draws the pointer into the picture.
        let (right, bottom) = self.sway.size();
        self.pointer.to(f64::from(right) - 0.5, f64::from(bottom) - 0.5)?;
        self.await_picture(&known, "the guest's picture as it is")
    }

    /// Where that lies on the output, once it is there.
    fn await_picture(&mut self, known: &Image, what: &str) -> Result<(f64, f64)> {
        let deadline = soon();
        loop {
            let shot = self.sway.screenshot()?;
            if let Some((x, y)) = shot.find(known) {
                return Ok((x.into(), y.into()));
            }
            if deadline.left().is_zero() {
                picture::save(&shot, &self.linux.dir.path().join("screen.png"))?;
                return Err(self.failure(&format!("does not show {what}")));
            }
        }
    }

    /// Nothing else was done; ends the viewer.
    fn finish(mut self, keyboard: Device) -> Result<()> {
        self.type_directly()?;
        self.expect(keyboard, &taps(&[57]))?;
        self.viewer.finish(soon()).map(drop)
    }
}
