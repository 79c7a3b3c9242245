//! The cursor that the Linux guest shows: a wedge with its tip at the top left, of which every pixel is
//! known, and whose hotspot isn't its tip.

use crate::Image;

/// Columns and rows, of which most are transparent: what virtio-gpu takes.
pub const SIDE: u32 = 64;

/// Where it points, in its own pixels.
pub const HOTSPOT: (i32, i32) = (3, 9);

/// The wedge's rows.
const LENGTH: u32 = 32;

/// Red, green, blue of a pixel; none where it is transparent.
fn pixel(x: u32, y: u32) -> Option<[u8; 3]> {
    (y < LENGTH && x <= y).then(|| [255, (7 * x) as u8, (7 * y) as u8])
}

fn pixels() -> impl Iterator<Item = (u32, u32, [u8; 3])> {
    let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
    places.filter_map(|(x, y)| Some((x, y, pixel(x, y)?)))
}

/// Draws it into memory of blue, green, red and alpha bytes that was zero. `None` if that is too small.
pub fn draw(stride: usize, memory: &mut [u8]) -> Option<()> {
    for (x, y, [red, green, blue]) in pixels() {
        let start = y as usize * stride + 4 * x as usize;
        memory.get_mut(start..start + 4)?.copy_from_slice(&[blue, green, red, 255]);
    }
    Some(())
}

/// A picture with it above, its top left corner at `x`, `y`, as far as it is inside.
#[must_use]
pub fn above(picture: &Image, x: i32, y: i32) -> Image {
    let mut pixels_of_both = picture.pixels().to_vec();
    for (dx, dy, colour) in pixels() {
        let place = (x.checked_add_unsigned(dx), y.checked_add_unsigned(dy));
        let (Some(x), Some(y)) = place else { continue };
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
        if x < picture.width() && y < picture.height() {
            pixels_of_both[(y * picture.width() + x) as usize] = colour;
        }
    }
    Image::from_pixels(picture.width(), picture.height(), pixels_of_both)
        .expect("as many pixels as before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_what_is_expected() {
        let stride = 4 * SIDE as usize + 16;
        let mut memory = vec![0; stride * SIDE as usize];
        assert_eq!(draw(stride, &mut memory), Some(()));
        let drawn = Image::from_xrgb(SIDE, SIDE, stride, &memory).expect("it is large enough");
        let black = Image::new(SIDE, SIDE, [0; 3]);
        assert_eq!(drawn.difference(&above(&black, 0, 0)), None);
        assert_eq!(draw(stride, &mut memory[..stride]), None);
    }

    #[test]
    fn it_is_cut_at_the_borders() {
        let black = Image::new(8, 8, [0; 3]);
        let at = |x, y| above(&black, x, y);
        assert_eq!(at(-2, -3).pixel(0, 0), [255, 14, 21]);
        assert_eq!(at(7, 7).pixel(7, 7), [255, 0, 0]);
        for (x, y) in [(8, 0), (0, -32), (i32::MIN, 0), (0, i32::MAX)] {
            assert_eq!(at(x, y).difference(&black), None, "{x}, {y}");
        }
    }
}
