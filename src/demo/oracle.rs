//! Pictures that say by themselves which frame they are, in every part, whatever they show.
//!
//! A picture is cut into tiles of 32×8 pixels, counted in rows from the top left. The lowest bit of
//! blue in the left 16 pixels of each row of a tile is one bit of a word, lowest first:
//!
//! ```text
//! bits 0..8    row r of 8: byte r of the frame number (4 bytes) and the buffer's number (4 bytes)
//! bits 8..16   a check byte of frame, buffer, tile and row
//! ```
//!
//! So each tile can be read by itself, each row of pixels tells one frame from another, and nobody
//! sees it. Where an edge leaves less than 8 rows or 16 pixels, nothing is read.
//!
//! Pictures of 5 bits of blue (RGB565) carry the bit there: [`read`] finds out which it is. Scaling
//! or blending loses it.

use std::collections::BTreeMap;
use std::fmt;

use crate::frame::Size;

/// Size of a tile in pixels.
pub const TILE: Size = Size { width: 32, height: 8 };

/// Pixels of a tile's row that carry a bit.
pub const MARK: u32 = 16;

/// Which frame a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The guest's number of the frame: each has one more than the one before.
    pub frame: u32,
    /// The guest's number of the buffer that it was drawn into: new with each that it makes.
    pub buffer: u32,
}

/// The word of one row of a tile. `columns` is how many tiles are beside each other, also a cut one.
pub fn word(seen: Seen, columns: u32, tx: u32, y: u32) -> u16 {
    let row = y % TILE.height;
    let bytes = (u64::from(seen.buffer) << 32 | u64::from(seen.frame)) >> (8 * row);
    let place = y * columns + tx + 1;
    let mut mixed = seen.frame.wrapping_mul(0x9e37_79b1)
        ^ seen.buffer.wrapping_mul(0x85eb_ca6b)
        ^ place.wrapping_mul(0xc2b2_ae35);
    mixed = (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d);
    (bytes & 0xff) as u16 | (mixed >> 24 << 8) as u16
}

/// How many tiles are beside each other, also a cut one.
pub fn columns(width: u32) -> u32 {
    width.div_ceil(TILE.width)
}

/// Why a picture is not one whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixed {
    /// How many tiles show which frame.
    pub tiles: BTreeMap<Seen, usize>,
    /// Tiles that show no frame, as (column, row) of tiles.
    pub bad: Vec<(u32, u32)>,
}

impl fmt::Display for Mixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tiles show no frame", self.bad.len())?;
        if let Some((x, y)) = self.bad.first() {
            write!(f, " (the first is {x},{y})")?;
        }
        for (seen, count) in self.tiles.iter().take(8) {
            write!(f, ", {count} show frame {} of buffer {}", seen.frame, seen.buffer)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mixed {}

/// Which frame a picture of `size` is; `blue` gives the blue (0 to 255) of the pixel at x, y.
///
/// # Errors
/// [`Mixed`] if it shows parts of several frames, or anything else.
pub fn read(size: Size, blue: impl Fn(u32, u32) -> u8) -> Result<Seen, Mixed> {
    let eight_bits = |x, y| blue(x, y) & 1 == 1;
    // However 5 bits were widened to 8, they are nearest to what they were.
    let five_bits = |x, y| ((u32::from(blue(x, y)) * 31 + 127) / 255) & 1 == 1;
    read_bits(size, eight_bits)
        .or_else(|mixed| read_bits(size, five_bits).map_err(|other| fewer_bad(mixed, other)))
}

fn fewer_bad(one: Mixed, other: Mixed) -> Mixed {
    if other.bad.len() < one.bad.len() { other } else { one }
}

fn read_bits(size: Size, bit: impl Fn(u32, u32) -> bool) -> Result<Seen, Mixed> {
    let mut mixed = Mixed { tiles: BTreeMap::new(), bad: Vec::new() };
    let full_columns = (size.width + TILE.width - MARK) / TILE.width;
    for ty in 0..size.height / TILE.height {
        for tx in 0..full_columns {
            match read_tile(columns(size.width), tx, ty, &bit) {
                Some(seen) => *mixed.tiles.entry(seen).or_default() += 1,
                None => mixed.bad.push((tx, ty)),
            }
        }
    }
    match mixed.tiles.first_key_value() {
        Some((&seen, _)) if mixed.tiles.len() == 1 && mixed.bad.is_empty() => Ok(seen),
        _ => Err(mixed),
    }
}

/// What one tile says, `None` if any of its rows says something else.
fn read_tile(columns: u32, tx: u32, ty: u32, bit: impl Fn(u32, u32) -> bool) -> Option<Seen> {
    let mut words = [0_u16; TILE.height as usize];
    for (y, word) in (ty * TILE.height..).zip(&mut words) {
        *word = (0..MARK).fold(0, |word, i| word | u16::from(bit(tx * TILE.width + i, y)) << i);
    }
    let bytes = words.map(|word| word as u8);
    let number = u64::from_le_bytes(bytes);
    let seen = Seen { frame: number as u32, buffer: (number >> 32) as u32 };
    let right = (ty * TILE.height..).zip(words).all(|(y, read)| read == word(seen, columns, tx, y));
    right.then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 112, height: 44 };

    /// The blue of a picture that carries `seen`, over something that moves.
    fn blues(size: Size, seen: Seen) -> Vec<u8> {
        let mut blues = Vec::new();
        for (y, x) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (y, x))) {
            let at = x % TILE.width;
            let base = ((x * 7 + y * 13) ^ seen.frame) as u8 & !1;
            let marked = word(seen, columns(size.width), x / TILE.width, y) >> at.min(15) & 1;
            blues.push(if at < MARK { base | marked as u8 } else { base });
        }
        blues
    }

    fn read_all(size: Size, blues: &[u8]) -> Result<Seen, Mixed> {
        read(size, |x, y| blues[(y * size.width + x) as usize])
    }

    #[test]
    fn what_was_drawn_is_read() {
        for frame in [0, 1, 255, 256, 0x1234_5678, u32::MAX] {
            let seen = Seen { frame, buffer: frame.wrapping_mul(3) };
            assert_eq!(read_all(SIZE, &blues(SIZE, seen)), Ok(seen));
        }
    }

    /// Every row of every tile tells a frame from the next, and a buffer from the next: a stale page
    /// is found however few rows it has.
    #[test]
    fn one_row_of_another_frame_is_found() {
        let now = Seen { frame: 1000, buffer: 7 };
        for then in [Seen { frame: 998, ..now }, Seen { buffer: 6, ..now }] {
            let (new, old) = (blues(SIZE, now), blues(SIZE, then));
            for y in 0..SIZE.height as usize / 8 * 8 {
                let row = y * SIZE.width as usize..(y + 1) * SIZE.width as usize;
                let mut mixed = new.clone();
                mixed[row.clone()].copy_from_slice(&old[row]);
                let error = read_all(SIZE, &mixed).unwrap_err();
                assert!(!error.bad.is_empty(), "row {y}: {error}");
            }
        }
    }

    #[test]
    fn a_torn_picture_names_both_frames() {
        let (one, two) = (Seen { frame: 8, buffer: 1 }, Seen { frame: 9, buffer: 2 });
        let mut mixed = blues(SIZE, one);
        let upper = 16 * SIZE.width as usize;
        mixed[..upper].copy_from_slice(&blues(SIZE, two)[..upper]);
        let error = read_all(SIZE, &mixed).unwrap_err();
        assert_eq!(error.tiles.keys().copied().collect::<Vec<_>>(), [one, two]);
        assert!(error.bad.is_empty());
        assert!(error.to_string().contains("frame 9 of buffer 2"), "{error}");
    }

    #[test]
    fn five_bits_are_found_however_they_were_widened() {
        let seen = Seen { frame: 77, buffer: 3 };
        let five = blues(SIZE, seen).iter().map(|blue| blue & 31).collect::<Vec<_>>();
        let repeated: Vec<u8> = five.iter().map(|blue| blue << 3 | blue >> 2).collect();
        let rounded: Vec<u8> =
            five.iter().map(|&blue| ((u32::from(blue) * 255 + 15) / 31) as u8).collect();
        assert_eq!(read_all(SIZE, &repeated), Ok(seen));
        assert_eq!(read_all(SIZE, &rounded), Ok(seen));
    }

    #[test]
    fn nothing_is_no_frame() {
        for blue in [0, 255, 128] {
            assert!(read(SIZE, |_, _| blue).is_err());
        }
        assert!(read(Size { width: 8, height: 8 }, |_, _| 0).unwrap_err().tiles.is_empty());
    }

    #[test]
    fn a_tile_in_another_place_is_no_tile() {
        let seen = Seen { frame: 4, buffer: 4 };
        let blues = blues(SIZE, seen);
        let part = Size { width: SIZE.width, height: SIZE.height - 8 };
        let error = read(part, |x, y| blues[((y + 8) * SIZE.width + x) as usize]).unwrap_err();
        assert!(error.tiles.is_empty(), "{error}");
    }
}
