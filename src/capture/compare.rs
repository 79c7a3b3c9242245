//! Whether a picture is as it should be, and where it isn't.

use std::fmt;

use crate::frame::{Picture, Rect, Size};

/// How much a picture has to be like another: by default, exactly.
#[derive(Clone, Debug, Default)]
pub struct Likeness {
    /// By how much each of red, green and blue may differ, of 255.
    pub tolerance: u8,
    /// A picture of the same size: what is black in it may look like anything.
    pub mask: Option<Picture>,
}

/// How two pictures differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// They can't be compared pixel by pixel.
    Size {
        /// What was wanted.
        wanted: Size,
        /// What came.
        got: Size,
    },
    /// Some pixels differ by more than they may.
    Pixels {
        /// How many.
        count: u64,
        /// All of them are in here.
        within: Rect,
        /// The most by which a red, green or blue differs, of 255.
        most: u8,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { wanted, got } => {
                write!(f, "it is {}x{}, not ", got.width, got.height)?;
                write!(f, "{}x{}", wanted.width, wanted.height)
            }
            Self::Pixels { count, within: Rect { x, y, width, height }, most } => {
                let pixels = if *count == 1 { "pixel differs" } else { "pixels differ" };
                write!(f, "{count} {pixels}, by up to {most} of 255, ")?;
                write!(f, "in {width}x{height} at {x},{y}")
            }
        }
    }
}

/// A mask is for pictures of its own size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the mask is {}x{}, but the picture {}x{}: make one of the picture's size",
    .mask.width, .mask.height, .picture.width, .picture.height
)]
pub struct MaskSize {
    /// The mask's size.
    pub mask: Size,
    /// That of the picture that was wanted.
    pub picture: Size,
}

impl Likeness {
    /// Fails where [`mask`](Self::mask) can't be one for pictures like `wanted`.
    ///
    /// # Errors
    /// With both sizes.
    pub fn suits(&self, wanted: &Picture) -> Result<(), MaskSize> {
        match &self.mask {
            Some(mask) if mask.size != wanted.size => {
                Err(MaskSize { mask: mask.size, picture: wanted.size })
            }
            _ => Ok(()),
        }
    }

    /// How `got` differs from `wanted`; `None` where it is like it. A mask that doesn't
    /// [suit](Self::suits) counts only where it has pixels.
    pub fn difference(&self, wanted: &Picture, got: &Picture) -> Option<Difference> {
        if wanted.size != got.size {
            return Some(Difference::Size { wanted: wanted.size, got: got.size });
        }
        let Size { width, height } = wanted.size;
        let (mut count, mut most) = (0, 0);
        let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
        for y in 0..height {
            // Most rows are the same to the byte.
            if wanted.row(y) == got.row(y) {
                continue;
            }
            for x in 0..width {
                let Some(by) = self.by(x, y, wanted, got) else { continue };
                count += 1;
                most = most.max(by);
                (left, right) = (left.min(x), right.max(x + 1));
                (top, bottom) = (top.min(y), bottom.max(y + 1));
            }
        }
        let within = || Rect { x: left, y: top, width: right - left, height: bottom - top };
        (count > 0).then(|| Difference::Pixels { count, within: within(), most })
    }

    /// By how much a pixel differs, if that is more than it may.
    fn by(&self, x: u32, y: u32, wanted: &Picture, got: &Picture) -> Option<u8> {
        let any = self.mask.as_ref().and_then(|mask| mask.pixel(x, y)) == Some([0; 3]);
        let (wanted, got) = (wanted.pixel(x, y)?, got.pixel(x, y)?);
        let by = wanted.into_iter().zip(got).map(|(a, b)| a.abs_diff(b)).max()?;
        (!any && by > self.tolerance).then_some(by)
    }

    /// Both beside each other, and a third time what came, in grey, with all that differs in red.
    pub fn marked(&self, wanted: &Picture, got: &Picture) -> Picture {
        let height = wanted.size.height.max(got.size.height);
        let both = Size { width: wanted.size.width.max(got.size.width), height };
        let marks = self.marks(wanted, got, both);
        let widths = [wanted.size.width, got.size.width, both.width];
        let width = widths.iter().sum::<u32>() + 2 * GAP;
        let mut all = Picture {
            size: Size { width, height },
            pixels: BESIDE.repeat(width as usize * height as usize),
        };
        let mut at = 0;
        for pane in [wanted, got, &marks] {
            for y in 0..pane.size.height {
                let from = (y as usize * width as usize + at as usize) * Picture::PIXEL;
                let pane = pane.row(y);
                all.pixels[from..from + pane.len()].copy_from_slice(pane);
            }
            at += pane.size.width + GAP;
        }
        all
    }

    fn marks(&self, wanted: &Picture, got: &Picture, size: Size) -> Picture {
        let mark = |x, y| match got.pixel(x, y) {
            Some(colour) if wanted.pixel(x, y).is_some() => {
                if self.by(x, y, wanted, got).is_some() {
                    return RED;
                }
                // Dark enough for red to be seen, bright enough to know where it is.
                let [blue, green, red] = colour.map(u32::from);
                let grey = ((29 * blue + 150 * green + 77 * red) >> 9) as u8;
                [grey, grey, grey, 0]
            }
            _ => RED,
        };
        let rows = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
        Picture { size, pixels: rows.flat_map(|(x, y)| mark(x, y)).collect() }
    }
}

/// Between two pictures that stand beside each other.
const GAP: u32 = 8;
const BESIDE: [u8; Picture::PIXEL] = [0x60, 0x60, 0x60, 0];
const RED: [u8; Picture::PIXEL] = [0x20, 0x20, 0xff, 0];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of greys: a digit each.
    fn picture(rows: &[&str]) -> Picture {
        let size = Size { width: rows[0].len() as u32, height: rows.len() as u32 };
        let greys = rows.iter().flat_map(|row| row.bytes().map(|digit| (digit - b'0') * 10));
        // The byte that says nothing may be anything.
        let pixels = greys.enumerate().flat_map(|(i, grey)| [grey, grey, grey, i as u8]).collect();
        Picture { size, pixels }
    }

    fn difference(likeness: &Likeness, wanted: &[&str], got: &[&str]) -> Option<String> {
        likeness.difference(&picture(wanted), &picture(got)).map(|found| found.to_string())
    }

    #[test]
    fn the_same_is_the_same_whatever_the_unused_byte_is() {
        let mut other = picture(&["123", "456"]);
        other.pixels.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = 0xff);
        let exactly = Likeness::default();
        assert_eq!(exactly.difference(&picture(&["123", "456"]), &other), None);
    }

    #[test]
    fn what_differs_is_counted_and_framed() {
        let exactly = Likeness::default();
        let found = difference(&exactly, &["1111", "1111", "1111"], &["1111", "1131", "1511"]);
        let words = "2 pixels differ, by up to 40 of 255, in 2x2 at 1,1";
        assert_eq!(found.as_deref(), Some(words));
        let found = difference(&exactly, &["11"], &["12"]);
        assert_eq!(found.as_deref(), Some("1 pixel differs, by up to 10 of 255, in 1x1 at 1,0"));
        let found = difference(&exactly, &["11"], &["11", "11"]);
        assert_eq!(found.as_deref(), Some("it is 2x2, not 2x1"));
    }

    #[test]
    fn what_is_tolerated_or_masked_is_no_difference() {
        let (wanted, got) = (["1111"], ["1231"]);
        let nearly = Likeness { tolerance: 10, mask: None };
        let words = "1 pixel differs, by up to 20 of 255, in 1x1 at 2,0";
        assert_eq!(difference(&nearly, &wanted, &got).as_deref(), Some(words));
        let likeness = |mask| Likeness { tolerance: 0, mask: Some(picture(&[mask])) };
        assert_eq!(difference(&likeness("9009"), &wanted, &got), None);
        assert!(difference(&likeness("9019"), &wanted, &got).is_some());
        let suits = |mask| likeness(mask).suits(&picture(&wanted));
        assert_eq!(suits("9999"), Ok(()));
        let words = "the mask is 3x1, but the picture 4x1: make one of the picture's size";
        assert_eq!(suits("999").unwrap_err().to_string(), words);
    }

    #[test]
    fn differences_are_marked_beside_both() {
        let (wanted, got) = (picture(&["88", "88"]), picture(&["81", "88", "88"]));
        let marked = Likeness::default().marked(&wanted, &got);
        assert_eq!(marked.size, Size { width: 2 + 8 + 2 + 8 + 2, height: 3 });
        let at = |x, y| marked.pixel(x, y).unwrap();
        assert_eq!((at(0, 0), at(10, 0), at(11, 0)), ([80; 3], [80; 3], [10; 3]));
        // Beside and below them is neither.
        assert_eq!((at(2, 0), at(0, 2)), ([0x60; 3], [0x60; 3]));
        assert_eq!(
            (at(20, 0), at(21, 0), at(20, 2)),
            ([40; 3], [0x20, 0x20, 0xff], [0x20, 0x20, 0xff])
        );
    }
}
