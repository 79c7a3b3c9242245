//! The user's hands in a real compositor: a virtual keyboard and a virtual pointer, by the protocols
//! that wlroots has for them (sway, not weston).
//!
//! A call returns when the compositor has done what was asked. Dropping one of them unplugs it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use wayland_client::globals::{GlobalList, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_keyboard::KeymapFormat;
use wayland_client::protocol::wl_pointer::{Axis, AxisSource, ButtonState};
use wayland_client::protocol::{wl_registry::WlRegistry, wl_seat::WlSeat};
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, delegate_noop};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;
use wayland_protocols_wlr::virtual_pointer::v1::client::zwlr_virtual_pointer_manager_v1::ZwlrVirtualPointerManagerV1;
use wayland_protocols_wlr::virtual_pointer::v1::client::zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1;

use crate::compositor::Compositor;
use crate::error::{Context, Error, Result};

/// Left and right of each modifier by evdev's codes, and its bit in a keymap's masks.
const MODIFIERS: [([u32; 2], u32); 5] =
    [([42, 54], 1), ([29, 97], 4), ([56, 56], 8), ([125, 126], 64), ([100, 100], 128)];

/// What one screen pixel is divided into for the places of a [`VirtualPointer`].
const FINE: f64 = 256.0;
/// What sway calls one notch of a wheel.
const UNITS_PER_NOTCH: f64 = 15.0;

/// A connection on which nothing is listened to.
#[derive(Debug)]
struct Link {
    queue: EventQueue<Deaf>,
    globals: GlobalList,
    start: Instant,
}

#[derive(Debug)]
struct Deaf;

impl Link {
    fn new(compositor: &impl Compositor) -> Result<Self> {
        let [(_, display), (_, folder)] = compositor.environment();
        let path = Path::new(&folder).join(display);
        let what = || format!("connecting to the compositor at {}", path.display());
        let socket = UnixStream::connect(&path).context(what())?;
        let connection = Connection::from_socket(socket).context(what())?;
        let (globals, queue) = registry_queue_init(&connection).context(what())?;
        Ok(Self { queue, globals, start: Instant::now() })
    }

    fn qh(&self) -> QueueHandle<Deaf> {
        self.queue.handle()
    }

    fn seat(&self) -> Result<WlSeat> {
        self.globals.bind(&self.qh(), 1..=1, ()).context("finding a seat")
    }

    /// Waits until the compositor has done all that was asked.
    fn settle(&mut self) -> Result<()> {
        self.queue.roundtrip(&mut Deaf).map(drop).context("asking the compositor")
    }

    /// In milliseconds.
    fn now(&self) -> u32 {
        self.start.elapsed().as_millis() as u32
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Deaf {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: <WlRegistry as wayland_client::Proxy>::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(Deaf: ignore WlSeat);
delegate_noop!(Deaf: ZwpVirtualKeyboardManagerV1);
delegate_noop!(Deaf: ZwpVirtualKeyboardV1);
delegate_noop!(Deaf: ZwlrVirtualPointerManagerV1);
delegate_noop!(Deaf: ZwlrVirtualPointerV1);

/// A keyboard whose keys are known by evdev's codes.
#[derive(Debug)]
pub struct VirtualKeyboard {
    link: Link,
    keyboard: ZwpVirtualKeyboardV1,
    down: Vec<u32>,
}

impl VirtualKeyboard {
    /// Plugs one in, with a layout by its name in xkb, such as `us` or `de(neo)`.
    ///
    /// # Errors
    /// If the compositor takes no virtual keyboards, or not that layout.
    pub fn new(compositor: &impl Compositor, layout: &str) -> Result<Self> {
        let mut link = Link::new(compositor)?;
        let manager: ZwpVirtualKeyboardManagerV1 =
            link.globals.bind(&link.qh(), 1..=1, ()).context("finding virtual keyboards")?;
        let keyboard = manager.create_virtual_keyboard(&link.seat()?, &link.qh(), ());
        // The compositor has the files that this names.
        let keymap = format!(
            "xkb_keymap {{\n\
             xkb_keycodes {{ include \"evdev+aliases(qwerty)\" }};\n\
             xkb_types {{ include \"complete\" }};\n\
             xkb_compat {{ include \"complete\" }};\n\
             xkb_symbols {{ include \"pc+{layout}+inet(evdev)\" }};\n\
             }};\n\0"
        );
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let memory = rustix::fs::memfd_create("keymap", flags).context("making a keymap")?;
        let mut file = File::from(memory);
        file.write_all(keymap.as_bytes()).context("making a keymap")?;
        keyboard.keymap(KeymapFormat::XkbV1.into(), file.as_fd(), keymap.len() as u32);
        link.settle()?;
        Ok(Self { link, keyboard, down: Vec::new() })
    }

    /// Presses or releases the key of this code.
    ///
    /// # Errors
    /// If the compositor is gone.
    pub fn key(&mut self, code: u32, pressed: bool) -> Result<()> {
        let before = self.modifiers();
        self.down.retain(|down| *down != code);
        if pressed {
            self.down.push(code);
        }
        self.keyboard.key(self.link.now(), code, pressed.into());
        // Compositors leave it to virtual keyboards to say what their keys do to the modifiers.
        let after = self.modifiers();
        if after != before {
            self.keyboard.modifiers(after, 0, 0, 0);
        }
        self.link.settle()
    }

    /// Presses it.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn press(&mut self, code: u32) -> Result<()> {
        self.key(code, true)
    }

    /// Releases it.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn release(&mut self, code: u32) -> Result<()> {
        self.key(code, false)
    }

    /// Presses these one after the other and releases them in reverse.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn chord(&mut self, codes: &[u32]) -> Result<()> {
        codes.iter().try_for_each(|code| self.press(*code))?;
        codes.iter().rev().try_for_each(|code| self.release(*code))
    }

    fn modifiers(&self) -> u32 {
        let held = |keys: &[u32; 2]| keys.iter().any(|key| self.down.contains(key));
        MODIFIERS.iter().filter(|(keys, _)| held(keys)).fold(0, |mask, (_, bit)| mask | bit)
    }
}

/// A pointer: a mouse that can also be put to any place.
#[derive(Debug)]
pub struct VirtualPointer {
    link: Link,
    pointer: ZwlrVirtualPointerV1,
    size: (u32, u32),
}

/// A direction in which a wheel turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wheel {
    /// Down is positive.
    Vertical,
    /// To the right is positive.
    Horizontal,
}

impl Wheel {
    fn axis(self) -> Axis {
        match self {
            Self::Vertical => Axis::VerticalScroll,
            Self::Horizontal => Axis::HorizontalScroll,
        }
    }
}

impl VirtualPointer {
    /// Plugs one in; `size` is that of all outputs together, in device pixels.
    ///
    /// # Errors
    /// If the compositor takes no virtual pointers.
    pub fn new(compositor: &impl Compositor, size: (u32, u32)) -> Result<Self> {
        let mut link = Link::new(compositor)?;
        let manager: ZwlrVirtualPointerManagerV1 =
            link.globals.bind(&link.qh(), 1..=2, ()).context("finding virtual pointers")?;
        let pointer = manager.create_virtual_pointer(Some(&link.seat()?), &link.qh(), ());
        link.settle()?;
        Ok(Self { link, pointer, size })
    }

    /// Puts it to a place, in device pixels; the middle of a pixel is at a half.
    ///
    /// # Errors
    /// If the place is not on an output, or the compositor is gone.
    pub fn to(&mut self, x: f64, y: f64) -> Result<()> {
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        if !(0.0..=width).contains(&x) || !(0.0..=height).contains(&y) {
            return Err(Error::new(format!("{x}, {y} is on no output")));
        }
        let [x, y, width, height] = [x, y, width, height].map(|n| (n * FINE) as u32);
        self.pointer.motion_absolute(self.link.now(), x, y, width, height);
        self.done()
    }

    /// Moves it, in logical pixels.
    ///
    /// # Errors
    /// If the compositor is gone.
    pub fn by(&mut self, dx: f64, dy: f64) -> Result<()> {
        self.pointer.motion(self.link.now(), dx, dy);
        self.done()
    }

    /// Presses or releases a button, by evdev's code.
    ///
    /// # Errors
    /// If the compositor is gone.
    pub fn button(&mut self, code: u32, pressed: bool) -> Result<()> {
        let state = if pressed { ButtonState::Pressed } else { ButtonState::Released };
        self.pointer.button(self.link.now(), code, state);
        self.done()
    }

    /// Presses and releases one.
    ///
    /// # Errors
    /// If the compositor is gone.
    pub fn click(&mut self, code: u32) -> Result<()> {
        self.button(code, true)?;
        self.button(code, false)
    }

    /// Turns a wheel by whole notches, as a mouse does.
    ///
    /// # Errors
    /// If the compositor is gone.
    pub fn wheel(&mut self, wheel: Wheel, notches: i32) -> Result<()> {
        let units = f64::from(notches) * UNITS_PER_NOTCH;
        self.pointer.axis_source(AxisSource::Wheel);
        self.pointer.axis_discrete(self.link.now(), wheel.axis(), units, notches);
        self.done()
    }

    /// Scrolls by so many units of the screen, as fingers on a touchpad do. (The protocol has no word
    /// for a wheel's parts of a notch.)
    ///
    /// # Errors
    /// If the compositor is gone.
    pub fn scroll(&mut self, wheel: Wheel, units: f64) -> Result<()> {
        self.pointer.axis_source(AxisSource::Finger);
        self.pointer.axis(self.link.now(), wheel.axis(), units);
        self.done()
    }

    fn done(&mut self) -> Result<()> {
        self.pointer.frame();
        self.link.settle()
    }
}
