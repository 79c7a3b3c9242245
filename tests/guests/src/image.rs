//! A picture of 8-bit red, green and blue, and exact comparison of two of them.

use std::fmt;

/// A rectangle in pixels from the top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// A picture: rows from the top, each pixel as red, green, blue.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    pixels: Vec<[u8; 3]>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

impl Image {
    /// A picture of one colour.
    #[must_use]
    pub fn new(width: u32, height: u32, colour: [u8; 3]) -> Self {
        let count = width as usize * height as usize;
        Self { width, height, pixels: vec![colour; count] }
    }

    /// A picture from its pixels, row by row.
    ///
    /// # Errors
    /// `None` if there are not exactly `width * height` pixels.
    #[must_use]
    pub fn from_pixels(width: u32, height: u32, pixels: Vec<[u8; 3]>) -> Option<Self> {
        let count = (width as usize).checked_mul(height as usize)?;
        (pixels.len() == count).then_some(Self { width, height, pixels })
    }

    /// A picture from rows of little-endian XRGB8888 that are `stride` bytes apart.
    ///
    /// # Errors
    /// `None` if the memory ends before the last pixel.
    #[must_use]
    pub fn from_xrgb(width: u32, height: u32, stride: usize, memory: &[u8]) -> Option<Self> {
        let row = width as usize * 4;
        let mut pixels = Vec::with_capacity(width as usize * height as usize);
        for y in 0..height as usize {
            let start = y.checked_mul(stride)?;
            let bytes = memory.get(start..start.checked_add(row)?)?;
            pixels.extend(bytes.chunks_exact(4).map(|p| [p[2], p[1], p[0]]));
        }
        Some(Self { width, height, pixels })
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[[u8; 3]] {
        &self.pixels
    }

    /// One row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, y: u32) -> &[[u8; 3]] {
        let start = y as usize * self.width as usize;
        &self.pixels[start..start + self.width as usize]
    }

    /// One pixel.
    ///
    /// # Panics
    /// If there is no such pixel.
    #[must_use]
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        self.row(y)[x as usize]
    }

    /// The part inside `rect`.
    ///
    /// # Errors
    /// `None` if `rect` is not wholly inside the picture.
    #[must_use]
    pub fn crop(&self, rect: Rect) -> Option<Self> {
        let right = rect.x.checked_add(rect.width).filter(|&r| r <= self.width)?;
        let bottom = rect.y.checked_add(rect.height).filter(|&b| b <= self.height)?;
        let mut pixels = Vec::with_capacity(rect.width as usize * rect.height as usize);
        for y in rect.y..bottom {
            pixels.extend_from_slice(&self.row(y)[rect.x as usize..right as usize]);
        }
        Some(Self { width: rect.width, height: rect.height, pixels })
    }

    /// Where `part` is in the picture, pixel for pixel: the first such place, from the left and the top.
    #[must_use]
    pub fn find(&self, part: &Self) -> Option<(u32, u32)> {
        let across = 0..=self.width.checked_sub(part.width)?;
        let down = 0..=self.height.checked_sub(part.height)?;
        let is_at = |x: u32, y: u32| {
            let (left, right) = (x as usize, (x + part.width) as usize);
            (0..part.height).all(|row| self.row(y + row)[left..right] == *part.row(row))
        };
        down.flat_map(|y| across.clone().map(move |x| (x, y))).find(|&(x, y)| is_at(x, y))
    }

    /// Paints `rect`, as far as it is inside, so that it no longer counts in a comparison.
    pub fn mask(&mut self, rect: Rect, colour: [u8; 3]) {
        let right = rect.x.saturating_add(rect.width).min(self.width);
        let bottom = rect.y.saturating_add(rect.height).min(self.height);
        for y in rect.y..bottom {
            for x in rect.x..right {
                self.pixels[y as usize * self.width as usize + x as usize] = colour;
            }
        }
    }

    /// Puts a picture, as far as it fits, with its top left corner at `x`, `y`.
    pub fn paste(&mut self, other: &Self, x: u32, y: u32) {
        let columns = other.width.min(self.width.saturating_sub(x)) as usize;
        let rows = other.height.min(self.height.saturating_sub(y));
        for row in 0..rows {
            let start = (y + row) as usize * self.width as usize + x as usize;
            self.pixels[start..start + columns].copy_from_slice(&other.row(row)[..columns]);
        }
    }

    /// The smallest rectangle around all that differs between two pictures of one size, such as
    /// the cell of a blinking text cursor; `None` if nothing does.
    ///
    /// # Panics
    /// If the sizes differ.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Option<Rect> {
        assert_eq!((self.width, self.height), (other.width, other.height), "sizes of pictures");
        let places = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        let differs = |&(x, y): &(u32, u32)| self.pixel(x, y) != other.pixel(x, y);
        let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
        for (x, y) in places.filter(differs) {
            (left, right) = (left.min(x), right.max(x + 1));
            (top, bottom) = (top.min(y), bottom.max(y + 1));
        }
        let rect = || Rect { x: left, y: top, width: right - left, height: bottom - top };
        (right > 0).then(rect)
    }

    /// What differs from `other`, `None` if nothing does.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        if (self.width, self.height) != (other.width, other.height) {
            return Some(Difference::Size {
                ours: (self.width, self.height),
                theirs: (other.width, other.height),
            });
        }
        let differs = |(a, b): (&[u8; 3], &[u8; 3])| a != b;
        let pairs = || self.pixels.iter().zip(&other.pixels);
        let first = pairs().position(differs)?;
        let column = (first % self.width as usize) as u32;
        let row = (first / self.width as usize) as u32;
        Some(Difference::Pixels {
            count: pairs().filter(|&pair| differs(pair)).count(),
            first: (column, row),
            ours: self.pixels[first],
            theirs: other.pixels[first],
        })
    }
}

/// How two pictures differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// In size: (width, height) of each.
    Size {
        /// Of the picture asked.
        ours: (u32, u32),
        /// Of the picture it was compared with.
        theirs: (u32, u32),
    },
    /// In some pixels.
    Pixels {
        /// How many differ.
        count: usize,
        /// The first that does, as (x, y).
        first: (u32, u32),
        /// Its colour in the picture asked.
        ours: [u8; 3],
        /// Its colour in the picture it was compared with.
        theirs: [u8; 3],
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { ours, theirs } => {
                write!(f, "size {}x{} against {}x{}", ours.0, ours.1, theirs.0, theirs.1)
            }
            Self::Pixels { count, first, ours, theirs } => write!(
                f,
                "{count} pixels differ, the first at {},{}: {ours:02x?} against {theirs:02x?}",
                first.0, first.1
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_names_count_and_first() {
        let one = Image::new(8, 4, [1, 2, 3]);
        let mut other = one.clone();
        assert_eq!(one.difference(&other), None);
        other.mask(Rect { x: 6, y: 2, width: 9, height: 1 }, [9, 9, 9]);
        let found = one.difference(&other);
        let want = Difference::Pixels { count: 2, first: (6, 2), ours: [1, 2, 3], theirs: [9; 3] };
        assert_eq!(found, Some(want));
        let smaller = other.crop(Rect { x: 6, y: 2, width: 2, height: 1 }).expect("inside");
        assert_eq!(smaller, Image::new(2, 1, [9, 9, 9]));
        assert!(matches!(one.difference(&smaller), Some(Difference::Size { .. })));
    }

    #[test]
    fn the_changed_rectangle_is_the_smallest() {
        let one = Image::new(8, 4, [1, 2, 3]);
        let mut other = one.clone();
        assert_eq!(one.changed(&other), None);
        let dots =
            [Rect { x: 2, y: 1, width: 1, height: 1 }, Rect { x: 5, y: 3, width: 1, height: 1 }];
        for dot in dots {
            other.mask(dot, [0; 3]);
        }
        assert_eq!(one.changed(&other), Some(Rect { x: 2, y: 1, width: 4, height: 3 }));
    }

    #[test]
    fn a_pasted_picture_is_cut_at_the_edges() {
        let mut sheet = Image::new(4, 3, [0; 3]);
        sheet.paste(&Image::new(3, 3, [7; 3]), 2, 1);
        let rect = sheet.changed(&Image::new(4, 3, [0; 3]));
        assert_eq!(rect, Some(Rect { x: 2, y: 1, width: 2, height: 2 }));
        sheet.paste(&Image::new(3, 3, [7; 3]), 9, 9);
    }

    #[test]
    fn a_part_is_found_where_it_is_whole() {
        let mut sheet = Image::new(8, 6, [0; 3]);
        let mut part = Image::new(3, 2, [7; 3]);
        part.mask(Rect { x: 2, y: 1, width: 1, height: 1 }, [9; 3]);
        assert_eq!(sheet.find(&part), None);
        sheet.mask(Rect { x: 0, y: 0, width: 4, height: 3 }, [7; 3]);
        sheet.paste(&part, 5, 4);
        assert_eq!(sheet.find(&part), Some((5, 4)));
        assert_eq!(sheet.find(&sheet), Some((0, 0)));
        assert_eq!(part.find(&sheet), None);
    }

    #[test]
    fn crop_outside_is_refused() {
        let image = Image::new(8, 4, [0; 3]);
        assert!(image.crop(Rect { x: 1, y: 0, width: 8, height: 4 }).is_none());
        assert!(image.crop(Rect { x: u32::MAX, y: 0, width: 8, height: 4 }).is_none());
    }

    #[test]
    fn xrgb_is_read_by_stride_and_never_past_the_end() {
        let memory = [3, 2, 1, 0, 0xee, 0xee, 6, 5, 4, 0];
        let image = Image::from_xrgb(1, 2, 6, &memory).expect("large enough");
        assert_eq!(image.pixels(), [[1, 2, 3], [4, 5, 6]]);
        assert!(Image::from_xrgb(1, 2, 6, &memory[..9]).is_none());
    }
}
