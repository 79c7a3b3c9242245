//! The one check of geometry that comes from a guest, and is therefore hostile.

use crate::frame::{Format, Layout, Modifier, PLANES_MAX, Rect, Samples, Size};

/// Longest side of a buffer, in pixels.
pub const SIDE_MAX: u32 = 16_384;

/// Longest row of a buffer, in bytes.
pub const STRIDE_MAX: u32 = 1 << 20;

/// What is wrong with an announced buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// A side is 0 or above [`SIDE_MAX`].
    #[error("the buffer is {}x{} pixels, but each side must be 1 to {SIDE_MAX}", .0.width, .0.height)]
    Size(Size),
    /// 0 planes, or above [`PLANES_MAX`].
    #[error("the buffer has {0} planes, but must have 1 to {PLANES_MAX}")]
    Planes(u32),
    /// The visible part is empty or goes past the buffer's edge.
    #[error("the visible part ({}x{} at {},{}) is empty or not within the buffer ({}x{})",
        .visible.width, .visible.height, .visible.x, .visible.y, .size.width, .size.height)]
    Visible {
        /// The part.
        visible: Rect,
        /// The buffer.
        size: Size,
    },
    /// A row is too short for its pixels, or above [`STRIDE_MAX`].
    #[error("plane {plane} has rows of {stride} bytes, but they must have {row} to {STRIDE_MAX}")]
    Stride {
        /// Which plane, from 0.
        plane: usize,
        /// Bytes from row to row.
        stride: u32,
        /// Fewest possible.
        row: u64,
    },
    /// The pixels go past the end of the memory.
    #[error("plane {plane} ends at byte {end}, but its memory has only {size}")]
    TooSmall {
        /// Which plane, from 0.
        plane: usize,
        /// Where the last pixel ends.
        end: u64,
        /// Bytes in the file.
        size: u64,
    },
}

/// Bytes a pixel of a format that has each pixel by itself, in one plane; `None` for all others.
pub fn bytes_per_pixel(format: Format) -> Option<u32> {
    match *format.samples() {
        [Samples { bytes, across: 1, down: 1 }] => Some(bytes),
        _ => None,
    }
}

/// Checks a buffer: sides, planes and rows within limits; `visible` within it and not empty; all its
/// pixels within its memory. `sizes` are the bytes of each file; a plane past the end lies in the first.
///
/// Of formats and modifiers that we don't read ourselves only the start of each plane can be
/// checked: whoever imports them knows the rest.
pub fn check(layout: &Layout, visible: Rect, sizes: &[u64]) -> Result<(), GeometryError> {
    let size = layout.size;
    if ![size.width, size.height].iter().all(|side| (1..=SIDE_MAX).contains(side)) {
        return Err(GeometryError::Size(size));
    }
    let count = usize::from(layout.plane_count);
    if count == 0 || count > PLANES_MAX {
        return Err(GeometryError::Planes(u32::from(layout.plane_count)));
    }
    let within = |start: u32, length: u32, side: u32| {
        length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
    };
    if !within(visible.x, visible.width, size.width)
        || !within(visible.y, visible.height, size.height)
    {
        return Err(GeometryError::Visible { visible, size });
    }
    let samples = if layout.modifier == Modifier::LINEAR { layout.format.samples() } else { &[] };
    for (plane, place) in layout.planes[..count].iter().enumerate() {
        let (offset, stride) = (u64::from(place.offset), u64::from(place.stride));
        let known = samples.get(plane);
        let shortest = known.map_or(1, |samples| samples.row(size.width));
        if stride < shortest || place.stride > STRIDE_MAX {
            return Err(GeometryError::Stride { plane, stride: place.stride, row: shortest });
        }
        // No overflow: 2^32 + 2^20 * 2^14 + 2^17 fits into 64 bits.
        let end = known.map_or(offset + stride, |samples| {
            offset + stride * u64::from(samples.rows(size.height) - 1) + shortest
        });
        let available = sizes.get(plane).or(sizes.first()).copied().unwrap_or(0);
        if end > available {
            return Err(GeometryError::TooSmall { plane, end, size: available });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Plane;

    fn layout(width: u32, height: u32, offset: u32, stride: u32) -> Layout {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0] = Plane { offset, stride };
        Layout {
            size: Size { width, height },
            format: Format::XRGB8888,
            modifier: Modifier::LINEAR,
            planes,
            plane_count: 1,
        }
    }

    fn whole(layout: &Layout) -> Rect {
        Rect { x: 0, y: 0, width: layout.size.width, height: layout.size.height }
    }

    fn try_it(layout: Layout, size: u64) -> Result<(), GeometryError> {
        check(&layout, whole(&layout), &[size])
    }

    #[test]
    fn the_last_pixel_must_lie_in_the_memory_but_the_last_padding_need_not() {
        assert_eq!(try_it(layout(4, 3, 8, 32), 8 + 32 * 2 + 16), Ok(()));
        let error = try_it(layout(4, 3, 8, 32), 8 + 32 * 2 + 15).unwrap_err();
        assert_eq!(error, GeometryError::TooSmall { plane: 0, end: 88, size: 87 });
    }

    #[test]
    fn sides_have_limits() {
        for (width, height) in
            [(0, 1), (1, 0), (SIDE_MAX + 1, 1), (1, SIDE_MAX + 1), (u32::MAX, u32::MAX)]
        {
            let error = try_it(layout(width, height, 0, STRIDE_MAX), u64::MAX).unwrap_err();
            assert!(matches!(error, GeometryError::Size(_)), "{error}");
        }
        assert_eq!(try_it(layout(SIDE_MAX, SIDE_MAX, u32::MAX, STRIDE_MAX), u64::MAX), Ok(()));
    }

    /// Without 64-bit arithmetic a picture of 2^32 bytes and one fits into a page.
    #[test]
    fn rule_14_nothing_overflows() {
        let error = try_it(layout(SIDE_MAX, SIDE_MAX, u32::MAX, STRIDE_MAX), u64::from(u32::MAX));
        assert!(matches!(error, Err(GeometryError::TooSmall { .. })), "{error:?}");
        let error = try_it(layout(4, 4, 0, u32::MAX), u64::MAX);
        assert!(matches!(error, Err(GeometryError::Stride { .. })), "{error:?}");
    }

    #[test]
    fn rows_hold_their_pixels() {
        let error = try_it(layout(4, 4, 0, 15), 4096).unwrap_err();
        assert_eq!(error, GeometryError::Stride { plane: 0, stride: 15, row: 16 });
    }

    #[test]
    fn the_visible_part_lies_within_and_is_not_empty() {
        let layout = layout(8, 8, 0, 32);
        for visible in [
            Rect { x: 0, y: 0, width: 0, height: 8 },
            Rect { x: 1, y: 0, width: 8, height: 8 },
            Rect { x: 0, y: u32::MAX, width: 8, height: 2 },
        ] {
            let error = check(&layout, visible, &[4096]).unwrap_err();
            assert!(matches!(error, GeometryError::Visible { .. }), "{error}");
        }
        let corner = Rect { x: 7, y: 7, width: 1, height: 1 };
        assert_eq!(check(&layout, corner, &[4096]), Ok(()));
    }

    #[test]
    fn planes_are_counted_and_found() {
        let mut two = layout(4, 4, 0, 16);
        two.format = Format(u32::from_le_bytes(*b"NV61"));
        two.plane_count = 2;
        two.planes[1] = Plane { offset: 64, stride: 16 };
        assert_eq!(check(&two, whole(&two), &[80]), Ok(()));
        let error = check(&two, whole(&two), &[4096, 79]).unwrap_err();
        assert_eq!(error, GeometryError::TooSmall { plane: 1, end: 80, size: 79 });
        for count in [0, 5, u8::MAX] {
            two.plane_count = count;
            let error = check(&two, whole(&two), &[4096]).unwrap_err();
            assert_eq!(error, GeometryError::Planes(u32::from(count)));
        }
    }

    #[test]
    fn each_plane_of_a_known_format_holds_its_samples() {
        let odd = |format, planes: &[(u32, u32)]| {
            let mut layout = layout(5, 3, 0, 0);
            layout.format = format;
            layout.plane_count = planes.len() as u8;
            for (plane, &(offset, stride)) in layout.planes.iter_mut().zip(planes) {
                *plane = Plane { offset, stride };
            }
            layout
        };
        for (format, planes, sizes) in [
            // Half a sample of chroma sticks out, to the right and at the bottom.
            (Format::NV12, &[(1, 5), (16, 6)][..], &[16 + 6 + 6][..]),
            (Format::NV12, &[(0, 8), (0, 8)], &[2 * 8 + 5, 8 + 6]),
            (Format::P010, &[(0, 10), (30, 12)], &[30 + 12 + 12]),
            (Format::YUYV, &[(4, 12)], &[4 + 3 * 12]),
            (Format::RGB888, &[(0, 15)], &[3 * 15]),
            (Format::XBGR16161616, &[(0, 40)], &[3 * 40]),
        ] {
            let layout = odd(format, planes);
            assert_eq!(check(&layout, whole(&layout), sizes), Ok(()), "{format}");
            for plane in 0..planes.len() {
                let mut short = sizes.to_vec();
                let last = sizes.len() - 1;
                short[plane.min(last)] -= 1;
                let error = check(&layout, whole(&layout), &short);
                assert!(matches!(error, Err(GeometryError::TooSmall { .. })), "{format}");
                let mut narrow = layout;
                narrow.planes[plane].stride = layout.format.samples()[plane].row(5) as u32 - 1;
                let error = check(&narrow, whole(&narrow), &[4096]);
                assert!(
                    matches!(error, Err(GeometryError::Stride { plane: at, .. }) if at == plane)
                );
            }
        }
    }

    #[test]
    fn an_unknown_format_is_checked_as_far_as_it_can_be() {
        let mut odd = layout(100, 100, 0, 4);
        odd.format = Format(u32::from_le_bytes(*b"VUY0"));
        assert_eq!(try_it(odd, 4), Ok(()));
        assert!(matches!(try_it(odd, 3), Err(GeometryError::TooSmall { .. })));
        odd.planes[0].stride = 0;
        assert!(matches!(try_it(odd, 4096), Err(GeometryError::Stride { .. })));
    }

    #[test]
    fn no_memory_is_too_small() {
        let layout = layout(1, 1, 0, 4);
        let error = check(&layout, whole(&layout), &[]).unwrap_err();
        assert!(matches!(error, GeometryError::TooSmall { size: 0, .. }), "{error}");
    }
}
