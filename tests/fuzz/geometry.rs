//! Arithmetic with what a peer says, against arithmetic that is slow and plain.

use std::os::fd::AsFd;

use fanlight::frame::{Cursor, Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size};
use fanlight::port::Announcement;
use fanlight::source::check::{SIDE_MAX, STRIDE_MAX, bytes_per_pixel, check};
use rustix::fs::fstat;

use crate::tape::Tape;

/// A format, by a letter or else as a number.
pub fn format(tape: &mut Tape<'_>) -> Format {
    const LETTERS: &[u8] = b"xabcgrn#dehijklmopqstuyz";
    let letter = tape.op(LETTERS).unwrap_or(b'x');
    FORMATS
        .iter()
        .find(|(known, _)| *known == letter)
        .map_or_else(|| Format(tape.number()), |(_, format)| *format)
}

const FORMATS: [(u8, Format); 23] = [
    (b'x', Format::XRGB8888),
    (b'a', Format::ARGB8888),
    (b'b', Format::XBGR8888),
    (b'c', Format::ABGR8888),
    (b'g', Format::RGB565),
    (b'r', Format::RGB888),
    (b'n', Format::NV12),
    (b'd', Format::RGBX8888),
    (b'e', Format::RGBA8888),
    (b'h', Format::BGRX8888),
    (b'i', Format::BGRA8888),
    (b'j', Format::BGR888),
    (b'k', Format::XRGB2101010),
    (b'l', Format::ARGB2101010),
    (b'm', Format::XBGR2101010),
    (b'o', Format::ABGR2101010),
    (b'q', Format::XRGB16161616),
    (b's', Format::ARGB16161616),
    (b't', Format::XBGR16161616),
    (b'u', Format::ABGR16161616),
    (b'p', Format::P010),
    (b'y', Format::YUYV),
    (b'z', Format(u32::from_le_bytes(*b"R8  "))),
];

/// How many bytes so many pixels beside each other take in a plane, and in how many rows they share
/// them; said once more, pixel by pixel. `None` for planes that we don't read ourselves.
fn row_and_share(format: Format, plane: usize, width: u32) -> Option<(u128, u32)> {
    let halves = u128::from(width / 2 + width % 2);
    let width = u128::from(width);
    match (&format.0.to_le_bytes(), plane) {
        (b"NV12", 0) => Some((width, 1)),
        (b"NV12", 1) => Some((halves * 2, 2)),
        (b"P010", 0) => Some((width * 2, 1)),
        (b"P010", 1) => Some((halves * 4, 2)),
        (b"YUYV", 0) => Some((halves * 4, 1)),
        (b"XR48" | b"AR48" | b"XB48" | b"AB48", 0) => Some((width * 8, 1)),
        (_, 0) => bytes_per_pixel(format).map(|bytes| (width * u128::from(bytes), 1)),
        _ => None,
    }
}

/// Any layout at all.
pub fn layout(tape: &mut Tape<'_>) -> Layout {
    let [width, height] = tape.numbers();
    let format = format(tape);
    let modifiers = [Modifier::LINEAR, Modifier::INVALID, Modifier(0x0100_0000_0000_0001)];
    let modifier = modifiers[tape.choose(3)];
    let plane_count = tape.number() as u8;
    let mut planes = [Plane::default(); PLANES_MAX];
    for plane in planes.iter_mut().take(usize::from(plane_count)) {
        *plane = Plane { offset: tape.number(), stride: tape.number() };
    }
    Layout { size: Size { width, height }, format, modifier, planes, plane_count }
}

pub fn rect(tape: &mut Tape<'_>) -> Rect {
    let [x, y, width, height] = tape.numbers();
    Rect { x, y, width, height }
}

/// Whether `inner` lies within, by arithmetic that nothing overflows.
fn lies_within(inner: Rect, size: Size) -> bool {
    let end = |start: u32, length: u32| u128::from(start) + u128::from(length);
    inner.width > 0
        && inner.height > 0
        && end(inner.x, inner.width) <= u128::from(size.width)
        && end(inner.y, inner.height) <= u128::from(size.height)
}

/// Whether a picture can be read without leaving its memory, said once more in plain words.
fn is_safe(layout: &Layout, visible: Rect, sizes: &[u64]) -> bool {
    let Size { width, height } = layout.size;
    let sides = [width, height].iter().all(|side| *side >= 1 && *side <= SIDE_MAX);
    let count = usize::from(layout.plane_count);
    if !sides || !(1..=PLANES_MAX).contains(&count) || !lies_within(visible, layout.size) {
        return false;
    }
    (0..count).all(|i| {
        let Plane { offset, stride } = layout.planes[i];
        let known = row_and_share(layout.format, i, width);
        // Of what we can't read ourselves it is the first row that has to be there.
        let (row, rows) = match known.filter(|_| layout.modifier == Modifier::LINEAR) {
            Some((row, share)) => (row, height / share + u32::from(height % share > 0)),
            None => (u128::from(stride), 1),
        };
        let size = if i < sizes.len() { sizes[i] } else { sizes.first().copied().unwrap_or(0) };
        (1..=STRIDE_MAX).contains(&stride)
            && row <= u128::from(stride)
            && u128::from(offset) + u128::from(stride) * u128::from(rows - 1) + row
                <= u128::from(size)
    })
}

/// What a source has announced can be read by whoever trusts it.
pub fn must_be_safe(announcement: &Announcement) {
    let Announcement { storage, layout, visible, .. } = announcement;
    let size = |fd: &std::os::fd::OwnedFd| fstat(fd.as_fd()).unwrap().st_size.unsigned_abs();
    let sizes: Vec<u64> = storage.fds.iter().map(size).collect();
    assert!(is_safe(layout, *visible, &sizes), "{announcement:?} of {sizes:?} bytes");
}

pub fn must_lie_within(damage: &Damage, size: Size) {
    if let Damage::Rects { rects, count } = damage {
        for rect in &rects[..usize::from(*count)] {
            assert!(lies_within(*rect, size), "{rect:?} of {size:?}");
        }
    }
}

pub fn must_be_cursor(cursor: &Cursor) {
    let Size { width, height } = cursor.size;
    assert!((1..=512).contains(&width) && (1..=512).contains(&height), "{width}x{height}");
    assert_eq!(cursor.pixels.len(), (width * height * 4) as usize);
}

/// The one check says yes exactly to what is safe.
#[test]
fn geometry_check() {
    crate::fuzz::run("geometry", compare);
}

pub(crate) fn compare(input: &[u8]) {
    let mut tape = Tape::new(input);
    let layout = layout(&mut tape);
    let visible = rect(&mut tape);
    let count = tape.choose(PLANES_MAX + 1);
    let sizes: Vec<u64> = (0..count)
        .map(|_| u64::from(tape.number()) << if tape.choose(2) == 1 { 20 } else { 0 })
        .collect();
    let verdict = check(&layout, visible, &sizes);
    let safe = is_safe(&layout, visible, &sizes);
    assert_eq!(verdict.is_ok(), safe, "{layout:?} {visible:?} {sizes:?}: {verdict:?}");
    if let Err(error) = verdict {
        assert!(!error.to_string().is_empty());
    }
}

/// Damage loses no pixel and gains none past the edge, whatever the rectangles.
#[test]
fn damage() {
    crate::fuzz::run("damage", add_up);
}

pub(crate) fn add_up(input: &[u8]) {
    const SIZE: Size = Size { width: 20, height: 16 };
    let mut tape = Tape::new(input);
    let mut sum = Damage::NONE;
    let mut plain = [[false; SIZE.width as usize]; SIZE.height as usize];
    for _ in 0..tape.choose(40) {
        let [x, y, width, height] = std::array::from_fn(|_| tape.signed());
        let damage = Damage::clamped(x, y, width, height, SIZE);
        let mut any = false;
        for (row, line) in plain.iter_mut().enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let inside = |at: usize, start: i32, length: i32| {
                    (i64::from(start)..i64::from(start) + i64::from(length)).contains(&(at as i64))
                };
                if inside(row, y, height) && inside(column, x, width) {
                    (*pixel, any) = (true, true);
                }
            }
        }
        assert_eq!(damage == Damage::Whole, !any, "{x} {y} {width} {height}");
        must_lie_within(&damage, SIZE);
        sum.merge(&damage);
    }
    must_lie_within(&sum, SIZE);
    let Damage::Rects { rects, count } = sum else { return };
    for (row, line) in plain.iter().enumerate() {
        for (column, _) in line.iter().enumerate().filter(|(_, pixel)| **pixel) {
            let (x, y) = (column as u32, row as u32);
            let covers =
                |r: &Rect| (r.x..r.x + r.width).contains(&x) && (r.y..r.y + r.height).contains(&y);
            assert!(rects[..usize::from(count)].iter().any(covers), "{x},{y} is lost");
        }
    }
}
