//! A line of text by itself, for whoever paints it into something of his own.

use cosmic_text::Metrics;

use super::layout::{Kind, Painter};
use super::paint::{Canvas, PIXEL};
use crate::frame::Size;

/// In logical pixels, as [`WIDTH_MAX`].
const TITLE: Metrics = Metrics::new(14.0, 20.0);
/// More of a title no bar has room for.
const WIDTH_MAX: f32 = 1600.0;

/// How much of each pixel a text covers.
#[derive(Clone, Debug)]
pub struct Mask {
    size: Size,
    covers: Vec<u8>,
}

impl Mask {
    /// In device pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// From above, each from the left: 255 is all of a pixel.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.covers.chunks_exact(self.size.width as usize)
    }
}

impl Painter {
    /// A title, for a screen of so many device pixels for each logical one.
    pub fn title(&mut self, text: &str, scale: f32) -> Mask {
        let metrics = TITLE.scale(scale);
        let (text, width) = self.piece(Kind::Heading, text, metrics, WIDTH_MAX * scale);
        let size = Size {
            width: (width.ceil() as u32).max(1),
            height: (metrics.line_height.ceil() as u32).max(1),
        };
        let stride = size.width as usize * PIXEL;
        let mut pixels = vec![0; stride * size.height as usize];
        let mut canvas = Canvas { size, stride, out: &mut pixels };
        self.write(&text, (0.0, 0.0), [255; 4], &mut canvas);
        Mask { size, covers: pixels.as_chunks::<PIXEL>().0.iter().map(|pixel| pixel[3]).collect() }
    }
}
