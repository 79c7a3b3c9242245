//! Pixels of red, green and blue that lie together, in one plane.
//!
//! Ten and sixteen bits become the nearest of the 256 levels, as OpenGL has it: `v * 255 / 1023` and
//! `v * 255 / 65535`, which are never halfway between two. Five and six bits repeat their upper ones
//! below, so that all of them is all of eight; that is at most one level beside the nearest.

use super::reader::Rows;
use super::{CopyError, OUT_PIXEL};
use crate::frame::Format;

/// Pixels that are converted at once, where that needs memory between.
const CHUNK: usize = 512;
/// Most bytes of one.
const BYTES_MAX: usize = 8;

/// How a pixel is read.
#[derive(Clone, Copy)]
pub(super) enum Packed {
    /// Already blue, green, red, any.
    Bgrx,
    /// Red, green, blue, any.
    Rgbx,
    /// Any, blue, green, red.
    Xbgr,
    /// Any, red, green, blue.
    Xrgb,
    /// Blue, green, red, and the next.
    Bgr,
    /// Red, green, blue, and the next.
    Rgb,
    /// Five, six and five bits.
    Rgb565,
    /// Ten bits each, blue lowest.
    Bgr10,
    /// Ten bits each, red lowest.
    Rgb10,
    /// Sixteen bits each: blue, green, red, any.
    Bgrx16,
    /// Sixteen bits each: red, green, blue, any.
    Rgbx16,
}

impl Packed {
    pub(super) fn of(format: Format) -> Option<Self> {
        Some(match format {
            Format::XRGB8888 | Format::ARGB8888 => Self::Bgrx,
            Format::XBGR8888 | Format::ABGR8888 => Self::Rgbx,
            Format::RGBX8888 | Format::RGBA8888 => Self::Xbgr,
            Format::BGRX8888 | Format::BGRA8888 => Self::Xrgb,
            Format::RGB888 => Self::Bgr,
            Format::BGR888 => Self::Rgb,
            Format::RGB565 => Self::Rgb565,
            Format::XRGB2101010 | Format::ARGB2101010 => Self::Bgr10,
            Format::XBGR2101010 | Format::ABGR2101010 => Self::Rgb10,
            Format::XRGB16161616 | Format::ARGB16161616 => Self::Bgrx16,
            Format::XBGR16161616 | Format::ABGR16161616 => Self::Rgbx16,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::Rgb565 => 2,
            Self::Bgr | Self::Rgb => 3,
            Self::Bgrx | Self::Rgbx | Self::Xbgr | Self::Xrgb | Self::Bgr10 | Self::Rgb10 => 4,
            Self::Bgrx16 | Self::Rgbx16 => BYTES_MAX,
        }
    }

    /// Reads as many pixels of a row as `out` takes, from pixel `x` on.
    pub(super) fn read(
        self,
        rows: &Rows<'_>,
        (x, y): (u32, u32),
        out: &mut [u8],
    ) -> Result<(), CopyError> {
        let bytes = self.bytes();
        let start = u64::from(x) * bytes as u64;
        match self {
            Self::Bgrx => rows.read(0, y, start, out),
            Self::Rgbx => {
                rows.read(0, y, start, out)?;
                for pixel in out.as_chunks_mut::<OUT_PIXEL>().0 {
                    // As numbers, several are done at once; as bytes one after the other.
                    let value = u32::from_le_bytes(*pixel);
                    let outer = value & 0x00ff_00ff;
                    *pixel = (value & 0xff00_ff00 | outer.rotate_left(16)).to_le_bytes();
                }
                Ok(())
            }
            _ => {
                let mut memory = [0; CHUNK * BYTES_MAX];
                let mut start = start;
                for out in out.as_chunks_mut::<OUT_PIXEL>().0.chunks_mut(CHUNK) {
                    let memory = &mut memory[..out.len() * bytes];
                    rows.read(0, y, start, memory)?;
                    self.convert(memory, out);
                    start += memory.len() as u64;
                }
                Ok(())
            }
        }
    }

    fn convert(self, memory: &[u8], out: &mut [[u8; OUT_PIXEL]]) {
        match self {
            Self::Bgrx => each(memory, out, |pixel: [u8; 4]| pixel),
            Self::Rgbx => each(memory, out, |[r, g, b, x]: [u8; 4]| [b, g, r, x]),
            Self::Xbgr => each(memory, out, |[x, b, g, r]: [u8; 4]| [b, g, r, x]),
            Self::Xrgb => each(memory, out, |[x, r, g, b]: [u8; 4]| [b, g, r, x]),
            Self::Bgr => each(memory, out, |[b, g, r]: [u8; 3]| [b, g, r, 0xff]),
            Self::Rgb => each(memory, out, |[r, g, b]: [u8; 3]| [b, g, r, 0xff]),
            Self::Rgb565 => each(memory, out, |pixel| {
                let value = u16::from_le_bytes(pixel);
                let widen = |bits: u16, width: u32| {
                    let bits = bits & ((1 << width) - 1);
                    (bits << (8 - width) | bits >> (2 * width - 8)) as u8
                };
                [widen(value, 5), widen(value >> 5, 6), widen(value >> 11, 5), 0xff]
            }),
            Self::Bgr10 => each(memory, out, |pixel| {
                let [low, middle, high] = tens(pixel);
                [low, middle, high, 0xff]
            }),
            Self::Rgb10 => each(memory, out, |pixel| {
                let [low, middle, high] = tens(pixel);
                [high, middle, low, 0xff]
            }),
            Self::Bgrx16 => each(memory, out, |pixel| {
                let [b, g, r] = sixteens(pixel);
                [b, g, r, 0xff]
            }),
            Self::Rgbx16 => each(memory, out, |pixel| {
                let [r, g, b] = sixteens(pixel);
                [b, g, r, 0xff]
            }),
        }
    }
}

fn each<const N: usize>(
    memory: &[u8],
    out: &mut [[u8; OUT_PIXEL]],
    convert: impl Fn([u8; N]) -> [u8; OUT_PIXEL],
) {
    for (pixel, out) in memory.as_chunks().0.iter().zip(out) {
        *out = convert(*pixel);
    }
}

/// The nearest of the levels of eight bits, from the lowest ten bits up.
fn tens(pixel: [u8; 4]) -> [u8; 3] {
    let value = u32::from_le_bytes(pixel);
    [0, 10, 20].map(|shift| (((value >> shift & 0x3ff) * 255 + 511) / 1023) as u8)
}

/// The nearest of the levels of eight bits, in the order of memory.
fn sixteens([a, b, c, d, e, f, ..]: [u8; 8]) -> [u8; 3] {
    // 65535 is 257 times 255.
    [[a, b], [c, d], [e, f]].map(|pair| ((u32::from(u16::from_le_bytes(pair)) + 128) / 257) as u8)
}
