//! The guest's cursor, drawn into a picture.

use crate::frame::{Cursor, Picture, Rect};

/// Draws `cursor` with its top left corner at `at`, in pixels of the picture; what lies outside of it is left out.
pub fn draw(cursor: &Cursor, at: (i32, i32), picture: &mut Picture) {
    let (width, height) = (cursor.size.width as i32, cursor.size.height as i32);
    let Some(seen) = Rect::clipped(at.0, at.1, width, height, picture.size) else { return };
    // Both are within the cursor, because `seen` is.
    let (left, top) =
        ((i64::from(seen.x) - i64::from(at.0)), (i64::from(seen.y) - i64::from(at.1)));
    let (from_row, to_row) = (cursor.size.width as usize * Picture::PIXEL, picture.row_length());
    let length = seen.width as usize * Picture::PIXEL;
    for y in 0..seen.height as usize {
        let from = (top as usize + y) * from_row + left as usize * Picture::PIXEL;
        let to = (seen.y as usize + y) * to_row + seen.x as usize * Picture::PIXEL;
        let Some(from) = cursor.pixels.get(from..from + length) else { return };
        let below = picture.pixels[to..to + length].as_chunks_mut::<4>().0;
        for (over, below) in from.as_chunks::<4>().0.iter().zip(below) {
            blend(*over, below);
        }
    }
}

/// Over what is below, premultiplied.
fn blend(over: [u8; 4], below: &mut [u8; 4]) {
    let left = 255 - u32::from(over[3]);
    for (below, over) in below.iter_mut().zip(&over[..3]) {
        let shines = (u32::from(*below) * left + 127) / 255;
        *below = u8::try_from(u32::from(*over) + shines).unwrap_or(u8::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Size;

    /// Two pixels across: one that covers, and one that lets half through.
    fn cursor() -> Cursor {
        let size = Size { width: 2, height: 1 };
        Cursor { size, hotspot: (0, 0), pixels: vec![10, 20, 30, 255, 50, 60, 70, 128] }
    }

    fn drawn(at: (i32, i32)) -> Vec<[u8; 3]> {
        let mut picture = Picture::black(Size { width: 3, height: 2 });
        picture.pixels.fill(100);
        draw(&cursor(), at, &mut picture);
        (0..2)
            .flat_map(|y| (0..3).map(move |x| (x, y)))
            .map(|(x, y)| picture.pixel(x, y).unwrap())
            .collect()
    }

    const BELOW: [u8; 3] = [100; 3];
    const COVERS: [u8; 3] = [10, 20, 30];
    const HALF: [u8; 3] = [100, 110, 120];

    #[test]
    fn it_lies_over_the_picture() {
        assert_eq!(drawn((1, 1)), [BELOW, BELOW, BELOW, BELOW, COVERS, HALF]);
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        assert_eq!(drawn((-1, 0)), [HALF, BELOW, BELOW, BELOW, BELOW, BELOW]);
        assert_eq!(drawn((2, 0)), [BELOW, BELOW, COVERS, BELOW, BELOW, BELOW]);
        for outside in [(3, 0), (-2, 0), (0, 2), (0, -1), (i32::MAX, i32::MIN), (i32::MIN, 0)] {
            assert_eq!(drawn(outside), [BELOW; 6], "{outside:?}");
        }
    }

    /// A guest's cursor may have fewer pixels than it says, and more light than there is.
    #[test]
    fn a_cursor_that_is_wrong_is_drawn_as_far_as_it_goes() {
        let mut picture = Picture::black(Size { width: 2, height: 2 });
        let size = Size { width: 2, height: 2 };
        let pixels = vec![255, 0, 0, 0, 9, 9, 9, 255];
        picture.pixels.fill(100);
        draw(&Cursor { size, hotspot: (0, 0), pixels }, (0, 0), &mut picture);
        assert_eq!(picture.pixels[..12], [255, 100, 100, 100, 9, 9, 9, 100, 100, 100, 100, 100]);
    }
}
