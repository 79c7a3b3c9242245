//! The pointer over a guest that has a tablet: places, buttons, the wheel.

use fanlight_stage::{Error, Result};

use super::{At, By, Desk, Device, Down, Up, WHEEL, Wheel, X, Y, desktop};

/// Left, right, middle, side, extra.
const BUTTONS: [u32; 5] = [0x110, 0x111, 0x112, 0x113, 0x114];

/// What QEMU tells a tablet of the pixel `at` of so many.
fn on_axis(at: u32, pixels: u32) -> i32 {
    (i64::from(at) * 0x7fff / i64::from(pixels)) as i32
}

/// The desk with the pointer on the guest's picture, whose corner on the output is known.
pub(super) struct Pointing {
    pub(super) desk: Desk,
    corner: (f64, f64),
    /// What the guest's axes say.
    axes: (i32, i32),
}

impl Pointing {
    pub(super) fn start(mut desk: Desk, frame: u32) -> Result<Self> {
        let corner = desk.find_picture(frame)?;
        let mut pointing = Self { desk, corner, axes: (-1, -1) };
        // Whatever it was before, and once more.
        pointing.go(100, 200)?;
        let wanted = pointing.place(500, 400);
        pointing.go(500, 400)?;
        let mut axes = (-1, -1);
        while axes != wanted {
            match pointing.desk.next()? {
                (_, Some(At(X, x))) => axes.0 = x,
                (_, Some(At(Y, y))) => axes.1 = y,
                other => return Err(Error::new(format!("{other:?} is no place"))),
            }
        }
        pointing.axes = axes;
        Ok(pointing)
    }

    /// What the guest's axes say of its pixel.
    fn place(&self, x: u32, y: u32) -> (i32, i32) {
        let (width, height) = self.desk.linux.size;
        (on_axis(x, width), on_axis(y, height))
    }

    /// To the middle of a pixel of the guest's.
    fn go(&mut self, x: u32, y: u32) -> Result<()> {
        let (left, top) = self.corner;
        self.desk.pointer.to(left + f64::from(x) + 0.5, top + f64::from(y) + 0.5)
    }

    /// The guest is told of this pixel, and of no other.
    fn expect(&mut self, x: u32, y: u32) -> Result<()> {
        let (was, now) = (self.axes, self.place(x, y));
        self.axes = now;
        let mut wanted = Vec::new();
        if was.0 != now.0 {
            wanted.push(At(X, now.0));
        }
        if was.1 != now.1 {
            wanted.push(At(Y, now.1));
        }
        let told = self.desk.expect(Device::Tablet, &wanted);
        told.map_err(|error| Error::new(format!("at {x}, {y}: {error}")))
    }

    fn point(&mut self, x: u32, y: u32) -> Result<()> {
        self.go(x, y)?;
        self.expect(x, y)
    }

    /// The corners, the middle, and what is beside them.
    pub(super) fn tour(&mut self) -> Result<()> {
        let (width, height) = self.desk.linux.size;
        let (right, bottom) = (width - 1, height - 1);
        let corners = [(0, 0), (right, 0), (right, bottom), (0, bottom)];
        let inner = [(width / 2, height / 2), (width / 2 - 1, height / 2 + 1), (1, 1), (333, 77)];
        corners.into_iter().chain(inner).try_for_each(|(x, y)| self.point(x, y))
    }

    pub(super) fn click_each(&mut self, buttons: &[u32]) -> Result<()> {
        buttons.iter().try_for_each(|&button| {
            self.desk.pointer.click(button)?;
            self.desk.expect(Device::Tablet, &[Down(button), Up(button)])
        })
    }

    /// One notch, towards the user.
    pub(super) fn turn_wheel(&mut self) -> Result<()> {
        self.desk.pointer.wheel(Wheel::Vertical, 1)?;
        self.desk.expect(Device::Tablet, &[By(WHEEL, -1)])
    }
}

/// Every place is the guest's pixel under it, and the buttons and the wheel are what they are.
pub(crate) fn places_buttons_wheel() -> Result<()> {
    let mut at = Pointing::start(Desk::start("view-pointer", &[], &desktop())?, 51)?;
    at.tour()?;
    at.click_each(&BUTTONS)?;
    at.turn_wheel()?;
    at.desk.pointer.wheel(Wheel::Vertical, -3)?;
    at.desk.expect(Device::Tablet, &[By(WHEEL, 1); 3])?;
    // Three halves of a notch; what is left of them is not lost.
    for _ in 0..3 {
        at.desk.pointer.scroll(Wheel::Vertical, 5.0)?;
    }
    at.desk.expect(Device::Tablet, &[By(WHEEL, -1)])?;
    at.desk.pointer.scroll(Wheel::Vertical, 5.0)?;
    at.desk.expect(Device::Tablet, &[By(WHEEL, -1)])?;

    // A drag: also beside the window, where the nearest pixel counts.
    at.point(600, 300)?;
    at.desk.pointer.button(BUTTONS[0], true)?;
    at.desk.expect(Device::Tablet, &[Down(BUTTONS[0])])?;
    at.point(620, 310)?;
    let (width, height) = at.desk.sway.size();
    at.desk.pointer.to(f64::from(width) - 0.5, f64::from(height) - 0.5)?;
    let (right, bottom) = (at.desk.linux.size.0 - 1, at.desk.linux.size.1 - 1);
    at.expect(right, bottom)?;
    at.desk.pointer.button(BUTTONS[0], false)?;
    at.desk.expect(Device::Tablet, &[Up(BUTTONS[0])])?;

    at.desk.finish(Device::Keyboard)
}

/// Where three device pixels are two logical ones, a place is still exactly one pixel of the guest's.
pub(crate) fn fractional_scale() -> Result<()> {
    // So that sway's own logical size is whole.
    let setup = super::Setup::new((1536, 1152), super::Windows::Floating).scale(1.5);
    let mut at = Pointing::start(Desk::start("view-scaled", &[], &setup)?, 61)?;
    at.tour()?;
    at.desk.finish(Device::Keyboard)
}
