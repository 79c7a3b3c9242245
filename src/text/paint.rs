//! Paints what is laid out: a dark, rounded, slightly transparent panel with light text on it.

use cosmic_text::{Buffer, SwashContent, SwashImage};

use super::layout::{Kind, Page, Painter};
use crate::frame::Size;

/// Blue, green, red, alpha, the colours multiplied by the alpha: what Wayland calls ARGB8888.
pub(crate) const PIXEL: usize = 4;

/// In logical pixels.
const RADIUS: f32 = 9.0;

/// Red, green, blue, alpha.
pub(crate) type Colour = [u8; 4];

const GROUND: Colour = [20, 21, 26, 222];
const EDGE: Colour = [255, 255, 255, 26];

impl Kind {
    fn colour(self) -> Colour {
        match self {
            Self::Heading => [255, 255, 255, 255],
            Self::Value => [238, 240, 244, 255],
            Self::Text => [198, 202, 210, 255],
            Self::Label => [148, 155, 168, 255],
        }
    }
}

impl Painter {
    /// Paints all of a page: rows of `stride` bytes, each pixel blue, green, red and alpha, premultiplied.
    /// What `out` has no room for is left out.
    pub fn paint(&mut self, page: &Page, out: &mut [u8], stride: usize) {
        let mut canvas = Canvas { size: page.size, stride, out };
        canvas.panel(page.scale);
        for piece in &page.pieces {
            self.write(&piece.text, (piece.x, piece.y), piece.kind.colour(), &mut canvas);
        }
    }

    /// Paints a text that is laid out, from that corner on.
    pub(super) fn write(
        &mut self,
        text: &Buffer,
        (x, y): (f32, f32),
        colour: Colour,
        canvas: &mut Canvas<'_>,
    ) {
        for run in text.layout_runs() {
            for glyph in run.glyphs {
                let at = glyph.physical((x, y + run.line_y), 1.0);
                let image = self.glyphs.get_image(&mut self.fonts, at.cache_key);
                if let Some(image) = image {
                    canvas.glyph(image, (at.x, at.y), colour);
                }
            }
        }
    }
}

pub(super) struct Canvas<'a> {
    pub(super) size: Size,
    pub(super) stride: usize,
    pub(super) out: &'a mut [u8],
}

impl Canvas<'_> {
    fn pixel(&mut self, x: i64, y: i64) -> Option<&mut [u8; PIXEL]> {
        let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        if x >= self.size.width || y >= self.size.height {
            return None;
        }
        let at = y as usize * self.stride + x as usize * PIXEL;
        self.out.get_mut(at..at + PIXEL)?.try_into().ok()
    }

    /// The ground that text is on, and a thin edge around it, seen on dark pictures too.
    fn panel(&mut self, scale: f32) {
        let Size { width, height } = self.size;
        let (radius, line) = (RADIUS * scale, scale.round().max(1.0));
        let mut ground = [0; PIXEL];
        over(&mut ground, GROUND, 1.0);
        // Most of it needs no geometry.
        let rim = radius.ceil() as u32;
        let (across, down) = (rim..width.saturating_sub(rim), rim..height.saturating_sub(rim));
        for y in 0..height {
            for x in 0..width {
                if across.contains(&x) && down.contains(&y) {
                    let Some(pixel) = self.pixel(x.into(), y.into()) else { return };
                    *pixel = ground;
                    continue;
                }
                let inside = depth((x, y), self.size, radius);
                let Some(pixel) = self.pixel(x.into(), y.into()) else { return };
                *pixel = [0; PIXEL];
                over(pixel, GROUND, coverage(inside));
                let edge = coverage(inside) - coverage(inside - line);
                if edge > 0.0 {
                    over(pixel, EDGE, edge);
                }
            }
        }
    }

    fn glyph(&mut self, image: &SwashImage, (x, y): (i32, i32), colour: Colour) {
        let placement = image.placement;
        let (left, top) =
            (i64::from(x) + i64::from(placement.left), i64::from(y) - i64::from(placement.top));
        let pixels = (0..i64::from(placement.height))
            .flat_map(|y| (0..i64::from(placement.width)).map(move |x| (x, y)));
        match image.content {
            SwashContent::Mask => {
                for ((x, y), &cover) in pixels.zip(&image.data) {
                    if let Some(pixel) = self.pixel(left + x, top + y) {
                        over(pixel, colour, f32::from(cover) / 255.0);
                    }
                }
            }
            // Three masks side by side, or colours of the font's own.
            SwashContent::SubpixelMask | SwashContent::Color => {
                for ((x, y), rgba) in pixels.zip(image.data.as_chunks::<4>().0) {
                    if let Some(pixel) = self.pixel(left + x, top + y) {
                        over(pixel, *rgba, 1.0);
                    }
                }
            }
        }
    }
}

/// How deep inside of a rounded rectangle the middle of a pixel is; negative outside of it.
fn depth((x, y): (u32, u32), size: Size, radius: f32) -> f32 {
    let half = (size.width as f32 / 2.0, size.height as f32 / 2.0);
    let radius = radius.min(half.0).min(half.1);
    // From the middle of the corner's circle; negative along the straight edges.
    let dx = (x as f32 + 0.5 - half.0).abs() - (half.0 - radius);
    let dy = (y as f32 + 0.5 - half.1).abs() - (half.1 - radius);
    let outside = dx.max(0.0).hypot(dy.max(0.0));
    radius - (outside + dx.max(dy).min(0.0))
}

fn coverage(depth: f32) -> f32 {
    (depth + 0.5).clamp(0.0, 1.0)
}

/// Lays a colour over a pixel.
pub(crate) fn over(pixel: &mut [u8; PIXEL], [red, green, blue, alpha]: Colour, cover: f32) {
    let cover = cover * f32::from(alpha) / 255.0;
    for (below, above) in pixel.iter_mut().zip([blue, green, red, 255]) {
        *below = (f32::from(above) * cover + f32::from(*below) * (1.0 - cover)).round() as u8;
    }
}
