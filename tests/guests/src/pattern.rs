//! A picture that says which frame it is, in every part of it.
//!
//! The picture is cut into tiles of 32×32 pixels, counted in rows from the top left; those that the
//! right or the bottom edge cuts are drawn as far as they go, but not read. Each tile:
//!
//! ```text
//! rows  0..4    the frame number, 32 bits
//! rows  4..28   the tile's colour
//! rows 28..32   a check word, 32 bits: frame * 0x9e3779b1 ^ (tile + 1) * 0x85ebca6b
//! ```
//!
//! A word is two rows of 16 cells of 2×2 pixels, lowest bit first: a 0 is the tile's colour, a 1
//! its shade (three quarters as bright). The colour is a wave that moves with the frame, so every
//! tile changes its colour with every frame; in the middle four large digits (a tile a dot) show
//! the frame number modulo 10000, and in the lowest row of tiles a mark moves on by a tile a frame.
//!
//! All of it is integer arithmetic on 32 bits, so that `paint/paint.s` can say the same. A tile is
//! read by its number and then compared with what that frame must look like, pixel for pixel.

pub mod lossy;

use std::collections::BTreeMap;
use std::fmt;

use crate::image::Image;

/// Edge of a tile in pixels.
pub const TILE: u32 = 32;

/// Rows of a tile that a word takes.
const STRIP: u32 = 4;

/// Digits of 3×5 dots, from the top left, highest bit first.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_001_001_001,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];

/// Tiles that four digits take, with a gap between two.
const DIGITS_WIDTH: u32 = 15;
const DIGITS_HEIGHT: u32 = 5;

/// How a picture of a size is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    columns: u32,
    rows: u32,
}

impl Grid {
    fn of(width: u32, height: u32) -> Self {
        Self { columns: width.div_ceil(TILE), rows: height.div_ceil(TILE) }
    }

    /// The words of a tile: the frame number and the check.
    fn words(self, frame: u32, tx: u32, ty: u32) -> [u32; 2] {
        let tile = ty * self.columns + tx;
        let check =
            frame.wrapping_mul(0x9e37_79b1) ^ tile.wrapping_add(1).wrapping_mul(0x85eb_ca6b);
        [frame, check]
    }

    /// The colour of a tile as 0xRRGGBB.
    fn colour(self, frame: u32, tx: u32, ty: u32) -> u32 {
        let phase = frame.wrapping_mul(4).wrapping_add(3 * tx + 2 * ty) & 63;
        let wave = phase.min(63 - phase);
        if self.is_lit(frame, tx, ty) {
            0xff_c0_40 - wave * 0x01_01_01
        } else {
            0x20_30_60 + wave * 0x01_03_03
        }
    }

    /// Whether the tile is a dot of a digit, or the mark.
    fn is_lit(self, frame: u32, tx: u32, ty: u32) -> bool {
        if ty == self.rows - 1 && tx == frame % self.columns {
            return true;
        }
        if self.columns < DIGITS_WIDTH || self.rows < DIGITS_HEIGHT {
            return false;
        }
        let x = tx.wrapping_sub((self.columns - DIGITS_WIDTH) / 2);
        let y = ty.wrapping_sub((self.rows - DIGITS_HEIGHT) / 2);
        if x >= DIGITS_WIDTH || y >= DIGITS_HEIGHT || x % 4 == 3 {
            return false;
        }
        let digit = frame / [1000, 100, 10, 1][(x / 4) as usize] % 10;
        DIGITS[digit as usize] >> (14 - (y * 3 + x % 4)) & 1 == 1
    }

    /// One row of a tile's 32 pixels as 0xRRGGBB.
    fn tile_row(self, frame: u32, tx: u32, ty: u32, row: u32) -> [u32; TILE as usize] {
        let colour = self.colour(frame, tx, ty);
        let [number, check] = self.words(frame, tx, ty);
        let half = match row {
            0..STRIP => number >> (row / 2 * 16),
            r if r >= TILE - STRIP => check >> ((r - (TILE - STRIP)) / 2 * 16),
            _ => 0,
        };
        std::array::from_fn(|x| if half >> (x / 2) & 1 == 1 { shade(colour) } else { colour })
    }
}

/// Three quarters as bright.
fn shade(colour: u32) -> u32 {
    colour - (colour >> 2 & 0x3f_3f_3f)
}

/// Draws `frame` into rows of little-endian XRGB8888 that are `stride` bytes apart.
///
/// # Errors
/// `None`, and nothing useful drawn, if the memory ends before the last pixel or a row is longer
/// than the stride.
#[must_use]
pub fn draw(frame: u32, width: u32, height: u32, stride: usize, memory: &mut [u8]) -> Option<()> {
    let grid = Grid::of(width, height);
    let length = width as usize * 4;
    if length > stride {
        return None;
    }
    for y in 0..height {
        let start = (y as usize).checked_mul(stride)?;
        let bytes = memory.get_mut(start..start.checked_add(length)?)?;
        for (tx, part) in (0..).zip(bytes.chunks_mut(TILE as usize * 4)) {
            let pixels = grid.tile_row(frame, tx, y / TILE, y % TILE);
            for (target, pixel) in part.chunks_exact_mut(4).zip(pixels) {
                target.copy_from_slice(&pixel.to_le_bytes());
            }
        }
    }
    Some(())
}

/// The picture of `frame`, to compare with.
#[must_use]
pub fn expected(frame: u32, width: u32, height: u32) -> Image {
    let grid = Grid::of(width, height);
    let mut pixels = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        for tx in 0..grid.columns {
            let visible = (width - tx * TILE).min(TILE) as usize;
            let row = grid.tile_row(frame, tx, y / TILE, y % TILE);
            pixels.extend(row[..visible].iter().map(|&p| rgb(p)));
        }
    }
    Image::from_pixels(width, height, pixels).expect("as many pixels as the size says")
}

fn rgb(colour: u32) -> [u8; 3] {
    [(colour >> 16) as u8, (colour >> 8) as u8, colour as u8]
}

/// The frame that one whole tile shows, `None` if any of its pixels is not of that frame.
fn read_tile(image: &Image, grid: Grid, tx: u32, ty: u32) -> Option<u32> {
    let (left, top) = (tx * TILE, ty * TILE);
    let colour = image.pixel(left, top + TILE / 2);
    let bits = (0..32).map(|bit| {
        let cell = image.pixel(left + bit % 16 * 2, top + bit / 16 * 2);
        u32::from(cell != colour) << bit
    });
    let frame = bits.sum();
    let matches = (0..TILE).all(|y| {
        let row = &image.row(top + y)[left as usize..(left + TILE) as usize];
        row.iter().zip(grid.tile_row(frame, tx, ty, y)).all(|(&seen, wanted)| seen == rgb(wanted))
    });
    matches.then_some(frame)
}

/// The frame numbers of all whole tiles of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiles {
    columns: u32,
    numbers: Vec<Option<u32>>,
}

impl Tiles {
    /// Reads every tile that no edge cuts.
    #[must_use]
    pub fn read(image: &Image) -> Self {
        let grid = Grid::of(image.width(), image.height());
        let (columns, rows) = (image.width() / TILE, image.height() / TILE);
        let places = (0..rows).flat_map(|ty| (0..columns).map(move |tx| (tx, ty)));
        let numbers = places.map(|(tx, ty)| read_tile(image, grid, tx, ty)).collect();
        Self { columns, numbers }
    }

    /// The number of every tile, row by row; `None` is a tile that is no frame's.
    #[must_use]
    pub fn numbers(&self) -> &[Option<u32>] {
        &self.numbers
    }

    /// The first tile, as (column, row) of tiles, whose number is lower than in `earlier`. Tiles
    /// that can't be read on either side are passed over.
    ///
    /// # Panics
    /// If the two pictures are not of one size.
    #[must_use]
    pub fn gone_back(&self, earlier: &Self) -> Option<(u32, u32)> {
        assert_eq!(
            (self.columns, self.numbers.len()),
            (earlier.columns, earlier.numbers.len()),
            "only pictures of one size can be compared"
        );
        let back = |(now, then): (&Option<u32>, &Option<u32>)| match (now, then) {
            (Some(now), Some(then)) => now < then,
            _ => false,
        };
        let index = self.numbers.iter().zip(&earlier.numbers).position(back)? as u32;
        Some((index % self.columns, index / self.columns))
    }
}

/// Why a picture is not one whole frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mixed {
    /// How many tiles show which frame.
    pub frames: BTreeMap<u32, usize>,
    /// Tiles that show no whole frame, as (column, row) of tiles.
    pub bad: Vec<(u32, u32)>,
    /// Whether the tiles agree and only what an edge cuts differs.
    pub edge: bool,
}

impl fmt::Display for Mixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.edge {
            return write!(f, "all tiles agree, but a tile cut by an edge differs");
        }
        write!(f, "{} tiles show no frame", self.bad.len())?;
        if let Some((x, y)) = self.bad.first() {
            write!(f, " (the first is tile {x},{y})")?;
        }
        for (frame, count) in self.frames.iter().take(8) {
            write!(f, ", {count} show frame {frame}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mixed {}

/// The number of the one frame that the whole picture shows, every pixel of it.
///
/// # Errors
/// [`Mixed`] if it shows parts of several frames, or anything else.
pub fn whole(image: &Image) -> Result<u32, Mixed> {
    let tiles = Tiles::read(image);
    let mut mixed = Mixed::default();
    for (index, number) in (0..).zip(&tiles.numbers) {
        match number {
            Some(frame) => *mixed.frames.entry(*frame).or_default() += 1,
            None => mixed.bad.push((index % tiles.columns, index / tiles.columns)),
        }
    }
    let mut frames = mixed.frames.keys();
    let (Some(&frame), None, true) = (frames.next(), frames.next(), mixed.bad.is_empty()) else {
        return Err(mixed);
    };
    if image.difference(&expected(frame, image.width(), image.height())).is_some() {
        mixed.edge = true;
        return Err(mixed);
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Rect;

    const SIZES: [(u32, u32); 4] = [(640, 480), (1024, 768), (800, 600), (64, 64)];

    #[test]
    fn every_size_reads_back() {
        for (width, height) in SIZES {
            for frame in [0, 1, 9, 1234, 0xffff_ffff] {
                assert_eq!(whole(&expected(frame, width, height)), Ok(frame), "{width}x{height}");
            }
        }
    }

    #[test]
    fn drawn_memory_is_the_expected_picture() {
        for (width, height) in SIZES {
            let stride = width as usize * 4 + 64;
            let mut memory = vec![0xee; stride * height as usize];
            draw(77, width, height, stride, &mut memory).expect("large enough");
            let image = Image::from_xrgb(width, height, stride, &memory).expect("large enough");
            assert_eq!(image.difference(&expected(77, width, height)), None);
            assert_eq!(memory[width as usize * 4], 0xee, "nothing past the end of a row");
        }
    }

    #[test]
    fn memory_that_is_too_small_is_refused() {
        let mut memory = vec![0; 64 * 4 * 64 - 1];
        assert_eq!(draw(1, 64, 64, 64 * 4, &mut memory), None);
        assert_eq!(draw(1, 64, 64, 64, &mut memory), None);
    }

    #[test]
    fn any_single_wrong_pixel_is_found() {
        let good = expected(5, 100, 70);
        for at in 0..100 * 70 {
            let (x, y) = (at % 100, at / 100);
            let mut image = good.clone();
            let [r, g, b] = image.pixel(x, y);
            image.mask(Rect { x, y, width: 1, height: 1 }, [r, g, b ^ 1]);
            assert!(whole(&image).is_err(), "pixel {x},{y}");
        }
    }

    #[test]
    fn a_torn_picture_names_both_frames() {
        for row in [96, 110] {
            let mut image = expected(8, 640, 480);
            let newer = expected(9, 640, 480);
            for y in 0..row {
                for x in 0..640 {
                    image.mask(Rect { x, y, width: 1, height: 1 }, newer.pixel(x, y));
                }
            }
            let mixed = whole(&image).expect_err("torn");
            assert_eq!(mixed.frames.keys().copied().collect::<Vec<_>>(), [8, 9]);
            assert_eq!(mixed.bad.is_empty(), row % TILE == 0);
        }
    }

    #[test]
    fn every_tile_changes_with_every_frame() {
        let grid = Grid::of(1024, 768);
        for frame in 0..64 {
            for (tx, ty) in (0..32).flat_map(|x| (0..24).map(move |y| (x, y))) {
                assert_ne!(grid.colour(frame, tx, ty), grid.colour(frame + 1, tx, ty));
            }
        }
    }

    #[test]
    fn a_tile_that_goes_back_is_named() {
        let earlier = Tiles::read(&expected(4, 96, 64));
        assert_eq!(Tiles::read(&expected(5, 96, 64)).gone_back(&earlier), None);
        assert_eq!(Tiles::read(&expected(3, 96, 64)).gone_back(&earlier), Some((0, 0)));
        let mut image = expected(4, 96, 64);
        let old = expected(3, 96, 64);
        for (x, y) in (64..96).flat_map(|x| (32..64).map(move |y| (x, y))) {
            image.mask(Rect { x, y, width: 1, height: 1 }, old.pixel(x, y));
        }
        assert_eq!(Tiles::read(&image).gone_back(&earlier), Some((2, 1)));
    }

    #[test]
    fn a_tile_in_another_place_is_no_tile() {
        let frame = expected(4, 96, 64);
        let part = frame.crop(Rect { x: 32, y: 0, width: 64, height: 64 }).expect("inside");
        assert!(whole(&part).is_err());
    }
}
