//! The same picture after a lossy coder had it: numbers are read by what is darker, colours count no more.

use super::{Grid, Mixed, STRIP, TILE};
use crate::image::Image;

/// A cell is a 1 if it is darker than this many eighths of its tile: the shade is six of them.
const DARK: u32 = 7;

/// The number of the one frame that all whole tiles show, each by its two words.
///
/// # Errors
/// [`Mixed`] if they show several frames, or one of them none.
pub fn read(image: &Image) -> Result<u32, Mixed> {
    let grid = Grid::of(image.width(), image.height());
    let mut mixed = Mixed::default();
    for ty in 0..image.height() / TILE {
        for tx in 0..image.width() / TILE {
            let words = [0, TILE - STRIP].map(|top| word(image, tx * TILE, ty * TILE, top));
            let [frame, _] = words;
            if words == grid.words(frame, tx, ty) {
                *mixed.frames.entry(frame).or_default() += 1;
            } else {
                mixed.bad.push((tx, ty));
            }
        }
    }
    match mixed.frames.first_key_value() {
        Some((&frame, _)) if mixed.frames.len() == 1 && mixed.bad.is_empty() => Ok(frame),
        _ => Err(mixed),
    }
}

/// The word at `top` of the tile at `left`, `up`.
fn word(image: &Image, left: u32, up: u32, top: u32) -> u32 {
    // What is between the words has the tile's colour.
    let ground = light(image, (left, up + 2 * STRIP), (TILE, TILE - 4 * STRIP));
    let area = TILE * (TILE - 4 * STRIP);
    let bits = (0..32).map(|bit| {
        let cell = light(image, (left + bit % 16 * 2, up + top + bit / 16 * 2), (2, 2));
        u32::from(cell * area * 8 < ground * 4 * DARK) << bit
    });
    bits.sum()
}

/// How light a part is: the sum of its pixels.
fn light(image: &Image, (left, top): (u32, u32), (width, height): (u32, u32)) -> u32 {
    let row = |y| &image.row(y)[left as usize..(left + width) as usize];
    let pixels = (top..top + height).flat_map(row);
    // By the weights of ITU-R BT.601, of 256 for a white pixel, and then of 16, so that sums stay small.
    pixels.map(|&[r, g, b]| (77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b)) >> 4).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Rect;
    use crate::pattern::expected;

    /// Each pixel changed by up to `most`, differently in each.
    fn noisy(image: &Image, most: u32) -> Image {
        let mut seed = 1_u32;
        let mut change = |value: u8| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let by = (seed >> 16) % (2 * most + 1);
            (u32::from(value) + by).saturating_sub(most).min(255) as u8
        };
        let pixels = image.pixels().iter().map(|pixel| pixel.map(&mut change)).collect();
        Image::from_pixels(image.width(), image.height(), pixels).expect("as many")
    }

    #[test]
    fn every_frame_is_read_with_and_without_noise() {
        for frame in [0, 1, 9, 31, 1234, 0xffff_ffff] {
            let image = expected(frame, 320, 240);
            assert_eq!(read(&image), Ok(frame));
            assert_eq!(read(&noisy(&image, 4)), Ok(frame), "noise");
        }
    }

    #[test]
    fn a_torn_picture_names_both_frames() {
        let (mut image, newer) = (expected(8, 128, 96), expected(9, 128, 96));
        for (x, y) in (0..128).flat_map(|x| (0..32).map(move |y| (x, y))) {
            image.mask(Rect { x, y, width: 1, height: 1 }, newer.pixel(x, y));
        }
        let mixed = read(&noisy(&image, 3)).expect_err("torn");
        assert_eq!(mixed.frames.keys().copied().collect::<Vec<_>>(), [8, 9]);
        assert!(mixed.bad.is_empty());
    }

    #[test]
    fn a_tile_torn_in_its_middle_is_no_frames() {
        let (mut image, newer) = (expected(8, 128, 96), expected(9, 128, 96));
        for (x, y) in (0..128).flat_map(|x| (0..16).map(move |y| (x, y))) {
            image.mask(Rect { x, y, width: 1, height: 1 }, newer.pixel(x, y));
        }
        assert_eq!(read(&image).expect_err("torn").bad, [(0, 0), (1, 0), (2, 0), (3, 0)]);
    }

    #[test]
    fn nothing_is_no_frame() {
        for grey in [0, 128, 255] {
            assert!(read(&Image::new(64, 64, [grey; 3])).is_err(), "{grey}");
        }
    }
}
