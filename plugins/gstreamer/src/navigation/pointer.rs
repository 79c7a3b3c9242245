//! The mouse: where it is, its buttons and its wheel.

use fanlight::frame::{Input, NOTCH, Pointing, Size};

use super::Guest;

/// `BTN_LEFT` to `BTN_TASK`.
const BUTTONS: std::ops::RangeInclusive<u32> = 0x110..=0x117;

/// The mouse as the guest has it.
#[derive(Debug, Default)]
pub(super) struct Pointer {
    /// Where it was last, in pixels of the picture.
    last: Option<(f64, f64)>,
    /// What is left of a pixel, and of a step of the wheel.
    rest: (f64, f64),
    wheel_rest: (f64, f64),
    /// The most that the sender has said at once of its wheel.
    most: f64,
    down: Vec<u32>,
}

/// The pixel of the picture at a place, or the next one; `None` for a place that is none.
pub(super) fn pixel((x, y): (f64, f64), size: Size) -> Option<(u32, u32)> {
    let side = |at: f64, length: u32| {
        // Floats become the nearest integer that there is.
        (at.is_finite() && length > 0).then(|| (at as u32).min(length - 1))
    };
    Some((side(x, size.width)?, side(y, size.height)?))
}

/// Whole steps; what is left stays.
fn whole(rest: &mut f64, more: f64) -> i32 {
    *rest += more;
    let steps = rest.trunc();
    *rest -= steps;
    steps as i32
}

impl Pointer {
    /// It is at this place.
    pub(super) fn at(&mut self, x: f64, y: f64, guest: Guest, out: &mut Vec<Input>) {
        let Some((px, py)) = pixel((x, y), guest.size) else { return };
        let before = self.last.replace((x, y));
        match (guest.pointing, before) {
            (Pointing::Absolute, _) => out.push(Input::PointerAt { x: px, y: py }),
            (Pointing::Relative, Some((bx, by))) => self.pass(x - bx, y - by, out),
            // Where from it came nobody knows.
            (Pointing::Relative, None) => {}
        }
    }

    /// The same, where it is told with a button.
    pub(super) fn click_at(&mut self, x: f64, y: f64, guest: Guest, out: &mut Vec<Input>) {
        if self.last != Some((x, y)) {
            self.at(x, y, guest, out);
        }
    }

    /// It moved by so many pixels.
    pub(super) fn by(&mut self, dx: f64, dy: f64, guest: Guest, out: &mut Vec<Input>) {
        if !dx.is_finite() || !dy.is_finite() {
            return;
        }
        match guest.pointing {
            Pointing::Relative => self.pass(dx, dy, out),
            Pointing::Absolute => {
                let (width, height) = (f64::from(guest.size.width), f64::from(guest.size.height));
                let (x, y) = self.last.unwrap_or((width / 2.0, height / 2.0));
                let (x, y) = ((x + dx).clamp(0.0, width), (y + dy).clamp(0.0, height));
                self.at(x, y, guest, out);
            }
        }
    }

    fn pass(&mut self, dx: f64, dy: f64, out: &mut Vec<Input>) {
        let (dx, dy) = (whole(&mut self.rest.0, dx), whole(&mut self.rest.1, dy));
        if (dx, dy) != (0, 0) {
            out.push(Input::PointerBy { dx, dy });
        }
    }

    /// One of X11's numbers, of which four are the wheel's, or a `BTN_*`, which windows on Wayland send.
    pub(super) fn button(&mut self, button: i32, pressed: bool, out: &mut Vec<Input>) {
        let notch = |dx, dy| Input::Wheel { dx: dx * NOTCH, dy: dy * NOTCH };
        let code = match button {
            1 => 0x110,
            2 => 0x112,
            3 => 0x111,
            4 if pressed => return out.push(notch(0, -1)),
            5 if pressed => return out.push(notch(0, 1)),
            6 if pressed => return out.push(notch(-1, 0)),
            7 if pressed => return out.push(notch(1, 0)),
            8 => 0x113,
            9 => 0x114,
            other => match u32::try_from(other) {
                Ok(code) if BUTTONS.contains(&code) => code,
                _ => return,
            },
        };
        let at = self.down.iter().position(|down| *down == code);
        match (pressed, at) {
            (true, None) => self.down.push(code),
            (false, Some(at)) => drop(self.down.remove(at)),
            _ => return,
        }
        out.push(Input::Button { code, pressed });
    }

    /// A navigation event's scroll: up and to the left, in units that depend on the sender. One notch is 1 from GTK,
    /// 10 or 15 from Wayland's windows, 120 from Qt, Windows and (about) browsers; so the most that it ever said tells.
    pub(super) fn scroll(&mut self, dx: f64, dy: f64, out: &mut Vec<Input>) {
        if dx.is_finite() && dy.is_finite() {
            self.most = self.most.max(dx.abs()).max(dy.abs());
        }
        let notch = match self.most {
            ..4.0 => 1.0,
            ..60.0 => 10.0,
            _ => f64::from(NOTCH),
        };
        self.wheel(-dx, -dy, notch, out);
    }

    /// To the right and down; a notch is `notch`.
    pub(super) fn wheel(&mut self, dx: f64, dy: f64, notch: f64, out: &mut Vec<Input>) {
        if !dx.is_finite() || !dy.is_finite() {
            return;
        }
        // More than a hand can turn at once is a mistake, or meant ill.
        let most = f64::from(NOTCH) * 100.0;
        let steps = |delta: f64| (delta / notch * f64::from(NOTCH)).clamp(-most, most);
        let (dx, dy) =
            (whole(&mut self.wheel_rest.0, steps(dx)), whole(&mut self.wheel_rest.1, steps(dy)));
        if (dx, dy) != (0, 0) {
            out.push(Input::Wheel { dx, dy });
        }
    }

    pub(super) fn release_all(&mut self, out: &mut Vec<Input>) {
        let down = self.down.drain(..).rev();
        out.extend(down.map(|code| Input::Button { code, pressed: false }));
        self.last = None;
    }
}
