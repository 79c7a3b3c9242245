//! The picture that the guest is about to show, in memory of its own and in the guest's pixel format.

use font8x8::legacy::BASIC_LEGACY;

use crate::frame::{Format, Rect, Size};

/// Side of a character of the font.
pub(super) const GLYPH: u32 = 8;

/// How a colour is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixel {
    format: Format,
    /// Bytes a pixel.
    pub(super) bytes: usize,
    /// Which of them has the lowest bit of blue as its lowest bit.
    pub(super) blue: usize,
}

impl Pixel {
    pub(super) fn of(format: Format) -> Self {
        match format {
            Format::RGB565 => Self { format, bytes: 2, blue: 0 },
            Format::XBGR8888 | Format::ABGR8888 => Self { format, bytes: 4, blue: 2 },
            _ => Self { format, bytes: 4, blue: 0 },
        }
    }

    /// A colour of 0xRRGGBB in memory, opaque, with the lowest bit of blue free.
    fn encode(self, colour: u32, out: &mut [u8]) {
        let [blue, green, red, _] = colour.to_le_bytes();
        match self.format {
            Format::RGB565 => {
                let wide = |value: u8, bits: u32| u16::from(value) >> (8 - bits);
                let value = wide(red, 5) << 11 | wide(green, 6) << 5 | wide(blue, 5) & !1;
                out.copy_from_slice(&value.to_le_bytes());
            }
            Format::XBGR8888 | Format::ABGR8888 => {
                out.copy_from_slice(&[red, green, blue & !1, 0xff]);
            }
            _ => out.copy_from_slice(&[blue & !1, green, red, 0xff]),
        }
    }
}

/// A background, and what moves before it.
#[derive(Debug)]
pub(super) struct Canvas {
    size: Size,
    pixel: Pixel,
    background: Vec<u8>,
    bytes: Vec<u8>,
}

impl Canvas {
    /// `background` has a colour of 0xRRGGBB for each pixel, row by row.
    pub(super) fn new(size: Size, format: Format, background: &[u32]) -> Self {
        let pixel = Pixel::of(format);
        let mut bytes = vec![0; background.len() * pixel.bytes];
        for (out, colour) in bytes.chunks_exact_mut(pixel.bytes).zip(background) {
            pixel.encode(*colour, out);
        }
        Self { size, pixel, background: bytes.clone(), bytes }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn pixel(&self) -> Pixel {
        self.pixel
    }

    /// One row, without padding.
    pub(super) fn row(&self, y: u32) -> &[u8] {
        &self.bytes[self.span(0, self.size.width, y)]
    }

    /// Sets one pixel; what is outside is left out.
    pub(super) fn put(&mut self, x: u32, y: u32, colour: u32) {
        if x < self.size.width && y < self.size.height {
            let span = self.span(x, 1, y);
            self.pixel.encode(colour, &mut self.bytes[span]);
        }
    }

    /// Brings the background back.
    pub(super) fn restore(&mut self, rect: Rect) {
        let width = rect.width.min(self.size.width.saturating_sub(rect.x));
        for y in rect.y..(rect.y + rect.height).min(self.size.height) {
            let span = self.span(rect.x.min(self.size.width), width, y);
            self.bytes[span.clone()].copy_from_slice(&self.background[span]);
        }
    }

    /// Writes a character before the background, each dot `scale` pixels wide.
    pub(super) fn write(&mut self, character: u8, (x, y): (u32, u32), scale: u32, colour: u32) {
        self.restore(Rect { x, y, width: GLYPH * scale, height: GLYPH * scale });
        let glyph = BASIC_LEGACY.get(usize::from(character)).unwrap_or(&BASIC_LEGACY[0]);
        for (row, dots) in (0..).zip(glyph) {
            for column in (0..GLYPH).filter(|column| dots >> column & 1 == 1) {
                for (dx, dy) in (0..scale).flat_map(|dx| (0..scale).map(move |dy| (dx, dy))) {
                    self.put(x + column * scale + dx, y + row * scale + dy, colour);
                }
            }
        }
    }

    fn span(&self, x: u32, width: u32, y: u32) -> std::ops::Range<usize> {
        let at = |x: u32| (y as usize * self.size.width as usize + x as usize) * self.pixel.bytes;
        at(x)..at(x + width)
    }
}

/// A line of text that is drawn where it changed.
#[derive(Debug, Default)]
pub(super) struct Line {
    drawn: Vec<u8>,
    left: u32,
}

impl Line {
    /// Shows `text` in the middle of a row of pixels; characters past the edges are left out.
    pub(super) fn show(
        &mut self,
        canvas: &mut Canvas,
        text: &str,
        (y, scale, colour): (u32, u32, u32),
    ) {
        let width = GLYPH * scale;
        let most = (canvas.size().width / width) as usize;
        let text = &text.as_bytes()[..text.len().min(most)];
        let left = (canvas.size().width - width * text.len() as u32) / 2;
        if text.len() != self.drawn.len() || left != self.left {
            let rect = Rect { x: 0, y, width: canvas.size().width, height: width };
            canvas.restore(rect);
            self.drawn.clear();
            self.drawn.resize(text.len(), b' ');
            self.left = left;
        }
        for (i, (new, old)) in (0..).zip(text.iter().zip(&mut self.drawn)) {
            if new != old {
                canvas.write(*new, (left + i * width, y), scale, colour);
                *old = *new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 40, height: 10 };

    fn canvas(format: Format) -> Canvas {
        Canvas::new(SIZE, format, &[0x10_20_30; 400])
    }

    #[test]
    fn colours_lie_in_memory_as_the_format_says() {
        for (format, bytes) in [
            (Format::XRGB8888, &[0x40, 0x80, 0xf8, 0xff][..]),
            (Format::ARGB8888, &[0x40, 0x80, 0xf8, 0xff]),
            (Format::XBGR8888, &[0xf8, 0x80, 0x40, 0xff]),
            // 31, 32 and 8, little endian.
            (Format::RGB565, &[0x08, 0xfc]),
        ] {
            let mut canvas = canvas(format);
            canvas.put(1, 0, 0xf8_80_41);
            let n = bytes.len();
            assert_eq!(&canvas.row(0)[n..2 * n], bytes, "{format}");
            assert!(canvas.row(0)[canvas.pixel().blue] & 1 == 0, "the bit is free");
        }
    }

    #[test]
    fn text_that_changes_leaves_nothing_behind() {
        let mut canvas = canvas(Format::XRGB8888);
        let empty = canvas.bytes.clone();
        let mut line = Line::default();
        let mut show = |canvas: &mut Canvas, text| line.show(canvas, text, (1, 1, 0xff_ff_ff));
        show(&mut canvas, "12");
        let two = canvas.bytes.clone();
        assert_ne!(two, empty);
        show(&mut canvas, "345");
        show(&mut canvas, "1234567890");
        show(&mut canvas, "12");
        assert_eq!(canvas.bytes, two);
        show(&mut canvas, "");
        assert_eq!(canvas.bytes, empty);
    }

    #[test]
    fn what_is_outside_is_left_out() {
        let mut canvas = canvas(Format::XRGB8888);
        canvas.put(40, 0, 0);
        canvas.put(0, 10, 0);
        canvas.write(b'W', (38, 7), 3, 0);
        canvas.restore(Rect { x: 50, y: 9, width: 4, height: 4 });
        canvas.restore(Rect { x: 0, y: 0, width: 99, height: 99 });
        assert!(canvas.bytes == canvas.background);
    }
}
