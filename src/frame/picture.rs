//! Pixels in memory of ours.

use super::{Rect, Size};

/// A picture in memory of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Its size.
    pub size: Size,
    /// Blue, green, red, and a byte that says nothing; rows top to bottom, `4 * width` bytes each.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Bytes of a pixel.
    pub const PIXEL: usize = 4;

    /// One of this size, all of it black.
    pub fn black(size: Size) -> Self {
        Self { size, pixels: vec![0; Self::PIXEL * size.width as usize * size.height as usize] }
    }

    /// The pixels of row `y`, which is below the picture's height.
    pub fn row(&self, y: u32) -> &[u8] {
        let length = self.row_length();
        &self.pixels[y as usize * length..][..length]
    }

    /// Blue, green and red of a pixel; `None` where the picture has none.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.size.width || y >= self.size.height {
            return None;
        }
        self.row(y)[x as usize * Self::PIXEL..].first_chunk().copied()
    }

    /// All of it.
    pub fn whole(&self) -> Rect {
        Rect { x: 0, y: 0, width: self.size.width, height: self.size.height }
    }

    /// The part of it that lies in `rect`; `None` where none does.
    pub fn crop(&self, rect: Rect) -> Option<Self> {
        let Rect { x, y, width, height } = rect.intersection(self.whole())?;
        let (from, length) = (x as usize * Self::PIXEL, width as usize * Self::PIXEL);
        let rows = (y..y + height).flat_map(|y| &self.row(y)[from..from + length]);
        Some(Self { size: Size { width, height }, pixels: rows.copied().collect() })
    }

    pub(crate) fn row_length(&self) -> usize {
        self.size.width as usize * Self::PIXEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_that_part_or_none() {
        let size = Size { width: 4, height: 3 };
        let pixels = (0..12_u8).flat_map(|i| [i; 4]).collect();
        let picture = Picture { size, pixels };
        let part = |x, y, width, height| {
            let part = picture.crop(Rect { x, y, width, height })?;
            let firsts: Vec<_> = part.pixels.iter().copied().step_by(4).collect();
            Some((part.size.width, part.size.height, firsts))
        };
        assert_eq!(part(1, 1, 2, 2), Some((2, 2, vec![5, 6, 9, 10])));
        // What lies outside is left out.
        assert_eq!(part(3, 2, 9, u32::MAX), Some((1, 1, vec![11])));
        assert_eq!(part(4, 0, 1, 1), None);
        assert_eq!(part(0, 0, 0, 3), None);
    }
}
