//! The keyboard for the guest alone, and the pointer for a guest whose mouse knows no places.

use fanlight_stage::Result;
use fanlight_stage::sway::Events;
use fanlight_stage::wait::Deadline;

use super::{By, Desk, Device, Down, Up, WHEEL, X, Y, chord, desktop, taps, use_pointer};
use crate::stills::soon;

const LEFT: u32 = 0x110;
const LEFTCTRL: u32 = 29;
const LEFTALT: u32 = 56;
const KEY_A: u32 = 30;
const KEY_G: u32 = 34;
const F5: u32 = 63;
const LEFTMETA: u32 = 125;
const NOTE: &str = "Ctrl+Alt+G";

impl Desk {
    /// Waits until the title says that it has grabbed, or no longer.
    fn await_note(&self, grabbed: bool) -> Result<()> {
        self.sway.wait_window(soon(), |window| window.title.contains(NOTE) == grabbed).map(drop)
    }

    /// Ctrl+Alt+G: the guest sees Ctrl and Alt, which are let go, and no G.
    fn grab_key(&mut self, keyboard: Device) -> Result<()> {
        self.keyboard.chord(&[LEFTCTRL, LEFTALT, KEY_G])?;
        self.expect(keyboard, &[Down(LEFTCTRL), Down(LEFTALT), Up(LEFTCTRL), Up(LEFTALT)])
    }

    /// Grabs.
    pub(super) fn grab(&mut self, keyboard: Device) -> Result<()> {
        self.grab_key(keyboard)?;
        self.await_note(true)
    }

    /// Clicks until the viewer has grabbed: QEMU may not have told it yet that there is a mouse. What
    /// the guest was told until then doesn't count.
    fn grab_by_click(&mut self) -> Result<()> {
        let deadline = soon();
        let mut events = self.sway.events(&["window"])?;
        loop {
            self.pointer.click(LEFT)?;
            let title = |event: &serde_json::Value| {
                event["container"]["name"].as_str().is_some_and(|name| name.contains(NOTE))
            };
            let told = events.wait(Deadline::seconds(2), |event| title(event).then_some(()));
            if told.is_ok() {
                break;
            }
            if deadline.left().is_zero() {
                return Err(self.failure("does not grab by a click"));
            }
        }
        self.keyboard.chord(&[KEY_A])?;
        while self.next()? != (Some(Device::Keyboard.name()), Some(Up(KEY_A))) {}
        Ok(())
    }

    /// Lets go.
    fn let_go(&mut self) -> Result<()> {
        self.grab_key(Device::Keyboard)?;
        self.await_note(false)
    }

    /// What the compositor has a binding for.
    fn shortcut(&mut self) -> Result<()> {
        self.keyboard.chord(&[LEFTMETA, F5])
    }
}

fn run(bindings: &mut Events) -> Result<()> {
    bindings.wait(soon(), |event| (event["change"] == "run").then_some(()))
}

/// The compositor's shortcuts are its own until the viewer has grabbed, and again when it lets go.
pub(crate) fn shortcuts() -> Result<()> {
    let mut desk = Desk::start("view-shortcuts", &[], &desktop())?;
    let mut bindings = desk.sway.events(&["binding"])?;
    desk.shortcut()?;
    run(&mut bindings)?;
    desk.expect(Device::Keyboard, &taps(&[LEFTMETA]))?;

    desk.grab(Device::Keyboard)?;
    desk.shortcut()?;
    desk.expect(Device::Keyboard, &chord(&[LEFTMETA, F5]))?;

    desk.let_go()?;
    // Of those that were typed while it had grabbed none was run: this is the next.
    desk.sway.command("bindsym Mod4+F5 nop last")?;
    desk.shortcut()?;
    let next = bindings.next(soon())?;
    if next["binding"]["command"] != "nop last" {
        return Err(fanlight_stage::Error::new(format!(
            "a shortcut was run while grabbed: {next}"
        )));
    }
    desk.expect(Device::Keyboard, &taps(&[LEFTMETA]))?;
    desk.finish(Device::Keyboard)
}

/// A guest with a mouse: a click gives it the pointer, which then stays in its place and only tells how
/// much it was moved; Ctrl+Alt+G takes it back.
pub(crate) fn relative() -> Result<()> {
    let mut desk = Desk::start("view-mouse", &[], &desktop())?;
    let (left, top) = desk.find_picture(71)?;
    desk.pointer.to(left + 300.5, top + 200.5)?;
    use_pointer(&mut desk.linux.qemu.qmp, Device::Mouse)?;
    let seen = desk.relative(left, top);
    use_pointer(&mut desk.linux.qemu.qmp, Device::Tablet)?;
    seen?;
    desk.finish(Device::Keyboard)
}

impl Desk {
    fn relative(&mut self, left: f64, top: f64) -> Result<()> {
        self.grab_by_click()?;
        self.pointer.by(7.0, -3.0)?;
        self.expect(Device::Mouse, &[By(X, 7), By(Y, -3)])?;
        // Halves add up.
        self.pointer.by(0.5, 0.0)?;
        self.pointer.by(0.5, 0.0)?;
        self.expect(Device::Mouse, &[By(X, 1)])?;
        // Further than the output is wide: it is locked, or the click would go elsewhere.
        self.pointer.by(-3000.0, 0.0)?;
        self.expect(Device::Mouse, &[By(X, -3000)])?;
        self.pointer.click(LEFT)?;
        self.expect(Device::Mouse, &[Down(LEFT), Up(LEFT)])?;
        self.pointer.wheel(super::Wheel::Vertical, -1)?;
        self.expect(Device::Mouse, &[By(WHEEL, 1)])?;
        self.keyboard.chord(&[KEY_A])?;
        self.expect(Device::Keyboard, &taps(&[KEY_A]))?;

        self.let_go()?;
        // Free: no way that it goes means anything to the mouse.
        self.pointer.to(left + 400.5, top + 300.5)?;
        self.pointer.by(5.0, 5.0)?;
        self.keyboard.chord(&[KEY_A])?;
        self.expect(Device::Keyboard, &taps(&[KEY_A]))
    }
}
