//! The pixels of the frame. Lengths are logical, from the corner of the window that is inside of it.

use super::look::{Button, Colours};
use crate::frame::Size;
use crate::text::{Colour, Mask, PIXEL, over};

/// How high the title bar is: at the usual scales as many whole device pixels, so that the picture below it
/// isn't between two.
pub(super) const BAR: u32 = 36;
/// How far the shadow reaches.
pub(super) const SHADOW: u32 = 24;
const RADIUS: f32 = 10.0;
/// So far the shadow lies below what throws it.
const SINKS: f32 = 2.0;
/// How dark it is where it is darkest.
const DARK: f32 = 0.38;
/// Of the line around the window.
const LINE: f32 = 0.30;
/// Beyond this from a corner nothing changes along an edge.
const CORNER: f32 = SHADOW as f32 + RADIUS + SINKS + 2.0;

pub(super) const BUTTON: f32 = 24.0;
const ICON: f32 = 4.5;
const STROKE: f32 = 1.5;
/// A title that is too long fades away.
const FADE: f32 = 24.0;

/// A part of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) size: Size,
}

/// The four edges and the bar, around a window of that size.
pub(super) fn places(Size { width, height }: Size) -> [Place; 5] {
    let (far, bar) = (SHADOW as i32, BAR as i32);
    let place = |x, y, width, height| Place { x, y, size: Size { width, height } };
    let along = width.saturating_add(2 * SHADOW);
    let down = height.saturating_add(BAR);
    let [right, below] = [width, height].map(|length| i32::try_from(length).unwrap_or(i32::MAX));
    [
        place(-far, -bar - far, along, SHADOW),
        place(-far, -bar, SHADOW, down),
        place(right, -bar, SHADOW, down),
        place(-far, below, along, SHADOW),
        place(0, -bar, width, BAR),
    ]
}

/// What casts the shadow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outline {
    /// Of the window inside.
    pub(super) size: Size,
    /// It ends at other windows, or at the screen's edges.
    pub(super) square: bool,
    pub(super) active: bool,
}

impl Outline {
    /// How deep inside a point is; negative outside.
    fn depth(&self, x: f32, y: f32, above: f32, below: f32) -> f32 {
        let (bar, height) = (BAR as f32, self.size.height as f32);
        let half = (self.size.width as f32 / 2.0, (height + bar) / 2.0);
        let y = y + bar - half.1;
        let radius = if y < 0.0 { above } else { below };
        let dx = (x - half.0).abs() - (half.0 - radius);
        let dy = y.abs() - (half.1 - radius);
        radius - (dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0))
    }

    /// How dark it is outside.
    fn shade(&self, x: f32, y: f32) -> f32 {
        let radius = if self.square { 0.0 } else { RADIUS };
        let line = (1.0 + self.depth(x, y, radius, 0.0)).clamp(0.0, 1.0) * LINE;
        if self.square {
            return line;
        }
        let depth = self.depth(x, y - SINKS, RADIUS, RADIUS);
        let near = (1.0 + depth / (SHADOW as f32 - SINKS)).clamp(0.0, 1.0);
        let dark = if self.active { DARK } else { DARK / 2.0 };
        line.max(dark * near.powi(3))
    }
}

/// What is painted on: a part of the frame.
pub(super) struct Canvas<'a> {
    pub(super) place: Place,
    /// In device pixels.
    pub(super) size: Size,
    pub(super) stride: usize,
    pub(super) out: &'a mut [u8],
}

impl Canvas<'_> {
    /// Device pixels for a logical one.
    fn scale(&self) -> (f32, f32) {
        let along = |device: u32, logical: u32| device as f32 / logical.max(1) as f32;
        let Size { width, height } = self.place.size;
        (along(self.size.width, width), along(self.size.height, height))
    }

    fn pixel(&mut self, x: u32, y: u32) -> Option<&mut [u8; PIXEL]> {
        let at = y as usize * self.stride + x as usize * PIXEL;
        self.out.get_mut(at..at + PIXEL)?.try_into().ok()
    }

    /// The shadow, and on it what throws it, where that is here.
    pub(super) fn ground(&mut self, outline: &Outline, colour: Colour) {
        let scale = self.scale();
        let radius = if outline.square { 0.0 } else { RADIUS };
        let straight = |from: f32, to: f32| from + CORNER..to - CORNER;
        let across = straight(0.0, outline.size.width as f32);
        let down = straight(-(BAR as f32), outline.size.height as f32);
        let mut above_is_same = false;
        for row in 0..self.size.height {
            let y = self.place.y as f32 + (row as f32 + 0.5) / scale.1;
            let is_straight = down.contains(&y);
            if is_straight && above_is_same {
                let to = row as usize * self.stride;
                self.out.copy_within(to - self.stride..to, to);
                continue;
            }
            above_is_same = is_straight;
            let mut same: Option<[u8; PIXEL]> = None;
            for column in 0..self.size.width {
                let x = self.place.x as f32 + (column as f32 + 0.5) / scale.0;
                let is_straight = across.contains(&x);
                let painted = same.filter(|_| is_straight).unwrap_or_else(|| {
                    let mut pixel = [0; PIXEL];
                    let cover = outline.depth(x, y, radius, 0.0) * scale.0 + 0.5;
                    if cover < 1.0 {
                        over(&mut pixel, [0, 0, 0, 255], outline.shade(x, y));
                    }
                    over(&mut pixel, colour, cover.clamp(0.0, 1.0));
                    pixel
                });
                same = is_straight.then_some(painted);
                if let Some(pixel) = self.pixel(column, row) {
                    *pixel = painted;
                }
            }
        }
    }

    /// Lays a colour over what is within `reach` of a point of this part, as far as `depth` (in logical pixels, from the
    /// point) says that it is inside.
    fn draw(
        &mut self,
        at: (f32, f32),
        reach: f32,
        colour: Colour,
        depth: impl Fn(f32, f32) -> f32,
    ) {
        let scale = self.scale();
        let span = |at: f32, scale: f32, most: u32| {
            let [from, to] = [at - reach, at + reach + 1.0 / scale].map(|edge| edge * scale);
            from.max(0.0) as u32..(to.max(0.0) as u32).min(most)
        };
        for row in span(at.1, scale.1, self.size.height) {
            for column in span(at.0, scale.0, self.size.width) {
                let x = (column as f32 + 0.5) / scale.0 - at.0;
                let y = (row as f32 + 0.5) / scale.1 - at.1;
                let cover = (depth(x, y) * scale.0 + 0.5).clamp(0.0, 1.0);
                if cover > 0.0
                    && let Some(pixel) = self.pixel(column, row)
                {
                    over(pixel, colour, cover);
                }
            }
        }
    }

    /// A line along the bottom: the picture begins there.
    pub(super) fn line(&mut self, colour: Colour) {
        let thick = self.scale().1.round().max(1.0) as u32;
        for row in self.size.height.saturating_sub(thick)..self.size.height {
            for column in 0..self.size.width {
                if let Some(pixel) = self.pixel(column, row) {
                    over(pixel, colour, 1.0);
                }
            }
        }
    }

    /// A button whose middle is there, and what it is for.
    pub(super) fn button(
        &mut self,
        (button, restores): (Button, bool),
        at: (f32, f32),
        colours: &Colours,
        hovered: bool,
    ) {
        let ground = if hovered { colours.hovered } else { colours.button };
        self.draw(at, BUTTON / 2.0, ground, |x, y| BUTTON / 2.0 - x.hypot(y));
        let half = STROKE / 2.0;
        let square = |x: f32, y: f32, edge: f32| half - (x.abs().max(y.abs()) - edge).abs();
        self.draw(at, BUTTON / 2.0, colours.icon, |x, y| match button {
            Button::Close => {
                // Two diagonals, as far as their ends.
                let (along, beside) = (x.abs().max(y.abs()) - ICON, (x.abs() - y.abs()).abs());
                (half - beside * std::f32::consts::FRAC_1_SQRT_2).min(-along)
            }
            Button::Maximize if restores => square(x, y, ICON - 1.5),
            Button::Maximize => square(x, y, ICON),
            Button::Minimize => (half - (y - ICON + half).abs()).min(ICON - x.abs()),
        });
    }

    /// The title: in the middle where `room` (from, to) lets it be, else from its beginning.
    pub(super) fn title(&mut self, title: &Mask, room: (f32, f32), colour: Colour) {
        let scale = self.scale().0;
        let (from, to) = (room.0 * scale, room.1 * scale);
        let Size { width, height } = title.size();
        let middle = (self.size.width as f32 - width as f32) / 2.0;
        let x = middle.min(to - width as f32).max(from).round();
        let y = (self.size.height as i64 - i64::from(height)) / 2;
        let fades = x + width as f32 > to;
        for (row, covers) in title.rows().enumerate() {
            let Ok(row) = u32::try_from(y + row as i64) else { continue };
            if row >= self.size.height {
                break;
            }
            for (column, cover) in covers.iter().enumerate() {
                let column = x + column as f32;
                if column >= to.min(self.size.width as f32) {
                    break;
                }
                let fade = if fades { ((to - column) / (FADE * scale)).min(1.0) } else { 1.0 };
                if *cover > 0
                    && let Some(pixel) = self.pixel(column as u32, row)
                {
                    over(pixel, colour, fade * f32::from(*cover) / 255.0);
                }
            }
        }
    }
}
