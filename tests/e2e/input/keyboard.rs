//! Keys: what is typed in a layout of France's reaches the guest as the keys that they are.

use std::ops::RangeInclusive;

use fanlight_stage::Result;
use fanlight_stage::line::Command;
use fanlight_stage::virtual_input::VirtualKeyboard;

use super::{Desk, Device, Down, LAYOUT, Up, chord, desktop, taps};
use crate::linux::lend;
use crate::stills::soon;

const KEY_A: u32 = 30;
const LEFTCTRL: u32 = 29;
const LEFTALT: u32 = 56;
const LEFTSHIFT: u32 = 42;
const RIGHTCTRL: u32 = 97;
const F2: u32 = 60;
const KEY_2: u32 = 3;
const END: u32 = 107;
const DELETE: u32 = 111;

/// The keys that QEMU's virtio keyboard has, by evdev's codes. (QEMU has no name for the others.)
const KEYS: [RangeInclusive<u32>; 14] = [
    1..=83,
    86..=89,
    91..=94,
    96..=111,
    113..=117,
    119..=119,
    121..=140,
    142..=143,
    155..=159,
    163..=166,
    172..=173,
    226..=226,
    // Once more the first, after all others.
    1..=1,
    KEY_A..=KEY_A,
];

/// Those that a PC's keyboard hasn't: line feed, and what Korean and Sun's keyboards have.
const NOT_PS2: [RangeInclusive<u32>; 3] = [101..=101, 122..=123, 129..=139];

/// So many keys are typed before the guest is heard: the queue of a PC's keyboard holds 16 bytes, and a key may take 8.
const AT_ONCE: usize = 2;

/// Types the keys while the viewer has grabbed, so that no key is anybody else's.
fn type_all(mut desk: Desk, device: Device, but: &[RangeInclusive<u32>]) -> Result<()> {
    desk.grab(device)?;
    let has = |code: &u32| !but.iter().any(|keys| keys.contains(code));
    let codes: Vec<u32> = KEYS.into_iter().flatten().filter(has).collect();
    for codes in codes.chunks(AT_ONCE) {
        codes.iter().try_for_each(|&code| desk.keyboard.chord(&[code]))?;
        desk.expect(device, &taps(codes))?;
    }
    desk.finish(device)
}

pub(crate) fn virtio() -> Result<()> {
    type_all(Desk::start("view-virtio", &[], &desktop())?, Device::Keyboard, &[])
}

/// Without the driver of the other keyboard QEMU gives the keys to the one that every PC has.
pub(crate) fn ps2() -> Result<()> {
    let mut linux = lend()?;
    for command in [Command::Load, Command::Unload] {
        linux.qemu.line.tell(&command("virtio_input".to_owned()), soon())?;
    }
    linux.qemu.line.tell(&Command::Load("evdev".to_owned()), soon())?;
    let desk = Desk::start_with("view-ps2", &[], &desktop(), linux)?;
    type_all(desk, Device::Ps2Keyboard, &NOT_PS2)
}

/// Keys that the window gives others' meaning, and keys that are down when the window is left.
pub(crate) fn stand_ins_and_focus() -> Result<()> {
    let mut desk = Desk::start("view-keys", &[], &desktop())?;
    // What the compositor or the desk's own keyboard would keep.
    desk.keyboard.chord(&[LEFTCTRL, LEFTALT, END])?;
    desk.expect(Device::Keyboard, &chord(&[LEFTCTRL, LEFTALT, DELETE]))?;
    desk.keyboard.chord(&[RIGHTCTRL, LEFTALT, KEY_2])?;
    desk.expect(Device::Keyboard, &chord(&[RIGHTCTRL, LEFTALT, F2]))?;

    desk.keyboard.press(LEFTSHIFT)?;
    desk.keyboard.press(KEY_A)?;
    desk.expect(Device::Keyboard, &[Down(LEFTSHIFT), Down(KEY_A)])?;
    desk.sway.command("workspace elsewhere")?;
    desk.expect(Device::Keyboard, &[Up(KEY_A), Up(LEFTSHIFT)])?;
    // What is typed elsewhere, and what was down before the window had the keyboard, isn't the guest's.
    desk.keyboard.chord(&[KEY_2])?;
    desk.sway.command("workspace back_and_forth")?;
    desk.sway.wait_window(soon(), |window| window.focused)?;
    desk.keyboard.release(KEY_A)?;
    desk.keyboard.release(LEFTSHIFT)?;
    desk.keyboard.chord(&[F2])?;
    desk.expect(Device::Keyboard, &taps(&[F2]))?;

    // A keyboard that is pulled out holds nothing any more.
    desk.keyboard.press(KEY_A)?;
    desk.expect(Device::Keyboard, &[Down(KEY_A)])?;
    desk.keyboard = VirtualKeyboard::new(&desk.sway, LAYOUT)?;
    desk.expect(Device::Keyboard, &[Up(KEY_A)])?;
    desk.finish(Device::Keyboard)
}

/// `--view-only`: nothing that is done at the window reaches the guest.
pub(crate) fn view_only() -> Result<()> {
    let mut desk = Desk::start("view-only", &["--view-only"], &desktop())?;
    let (left, top) = desk.find_picture(41)?;
    for (x, y) in [(10.5, 10.5), (300.5, 200.5)] {
        desk.pointer.to(left + x, top + y)?;
        desk.pointer.click(0x110)?;
    }
    desk.keyboard.chord(&[LEFTCTRL, LEFTALT, END])?;
    desk.keyboard.chord(&[KEY_A])?;
    // It hears of this after all that.
    desk.sway.command(&format!("[con_id={}] kill", desk.window.id))?;
    let status = desk.viewer.child().wait(soon())?;
    if !status.success() {
        return Err(desk.viewer.child().failure(&format!("ended badly ({status})")));
    }
    desk.type_directly()?;
    desk.expect(Device::Keyboard, &taps(&[57]))
}
