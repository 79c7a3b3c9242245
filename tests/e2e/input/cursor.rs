//! The guest's cursor, as sway shows it.

use fanlight_stage::line::Command;
use fanlight_stage::{Result, cursor, pattern};

use super::{Desk, desktop};
use crate::stills::soon;

const FRAME: u32 = 71;

/// A guest that shows a picture and a cursor of which every pixel is known.
struct Shown {
    desk: Desk,
    corner: (f64, f64),
}

impl Shown {
    fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let mut desk = Desk::start(name, arguments, &desktop())?;
        let corner = desk.find_picture(FRAME)?;
        Ok(Self { desk, corner })
    }

    /// The guest shows its cursor with its top left corner there, or none.
    fn tell(&mut self, place: Option<(i32, i32)>) -> Result<()> {
        self.desk.linux.qemu.line.tell(&Command::Cursor(place), soon())
    }

    /// Waits until the window shows the guest's picture with the cursor's corner there, and not a pixel
    /// of it anywhere else.
    fn expect(&mut self, place: Option<(i32, i32)>) -> Result<()> {
        let (width, height) = self.desk.linux.size;
        let plain = pattern::expected(FRAME, width, height);
        let known = place.map_or_else(|| plain.clone(), |(x, y)| cursor::above(&plain, x, y));
        self.desk.await_picture(&known, &format!("the cursor at {place:?}")).map(drop)
    }
}

/// Above the picture the desktop's pointer is the guest's cursor, with its hotspot where it points.
pub(crate) fn is_the_pointer() -> Result<()> {
    let mut shown = Shown::start("view-cursor", &[])?;
    shown.tell(Some((10, 10)))?;
    for (x, y) in [(300, 200), (2, 4)] {
        let (left, top) = shown.corner;
        shown.desk.pointer.to(left + f64::from(x) + 0.5, top + f64::from(y) + 0.5)?;
        // Wherever the guest has it.
        shown.expect(Some((x - cursor::HOTSPOT.0, y - cursor::HOTSPOT.1)))?;
    }
    shown.tell(None)?;
    shown.expect(None)?;
    shown.desk.viewer.finish(soon()).map(drop)
}

/// Where the pointer isn't the guest's, its cursor is drawn where the guest has it.
pub(crate) fn is_drawn() -> Result<()> {
    let mut shown = Shown::start("view-drawn-cursor", &["--view-only"])?;
    let (width, height) = shown.desk.linux.size;
    let corner = (width as i32 - 10, height as i32 - 20);
    for place in [(200, 150), (-2, -5), corner] {
        shown.tell(Some(place))?;
        shown.expect(Some(place))?;
    }
    shown.tell(None)?;
    shown.expect(None)?;
    shown.desk.viewer.finish(soon()).map(drop)
}
