//! Pixels of luma and chroma, as ITU-R BT.601 has them in limited range: black is 16 and white 235 of
//! 255. Nobody says in which way a guest's are meant; this is what EGL takes where it isn't told.
//!
//! A sample of chroma is that of all pixels that it stands for; nothing is filtered between.

use super::reader::Rows;
use super::{CopyError, OUT_PIXEL};
use crate::frame::Format;

/// Pixels that are converted at once; even, so that no chunk but the first begins between two that
/// share a sample of chroma.
const CHUNK: usize = 512;
/// Most bytes of samples for so many pixels: two a pixel, and one pair more at an odd start.
const BYTES_MAX: usize = 2 * CHUNK + 4;

/// How luma and chroma lie.
#[derive(Clone, Copy)]
pub(super) enum Yuv {
    /// In two planes, eight bits each.
    Nv12,
    /// In two planes, the upper bits of sixteen.
    P010,
    /// By turns.
    Yuyv,
}

impl Yuv {
    pub(super) fn of(format: Format) -> Option<Self> {
        match format {
            Format::NV12 => Some(Self::Nv12),
            Format::P010 => Some(Self::P010),
            Format::YUYV => Some(Self::Yuyv),
            _ => None,
        }
    }

    /// Reads as many pixels of a row as `out` takes, from pixel `x` on.
    pub(super) fn read(
        self,
        rows: &Rows<'_>,
        (x, y): (u32, u32),
        out: &mut [u8],
    ) -> Result<(), CopyError> {
        let (mut luma, mut chroma) = ([0; BYTES_MAX], [0; BYTES_MAX]);
        let mut x = x as usize;
        for out in out.as_chunks_mut::<OUT_PIXEL>().0.chunks_mut(CHUNK) {
            let pair = x / 2;
            let pairs = (x + out.len()).div_ceil(2) - pair;
            let read = |plane, row, start: usize, memory: &mut [u8]| {
                rows.read(plane, row, start as u64, memory)
            };
            match self {
                Self::Nv12 => {
                    read(0, y, x, &mut luma[..out.len()])?;
                    read(1, y / 2, 2 * pair, &mut chroma[..2 * pairs])?;
                    let [cb, cr] = [0, 1].map(|at| every::<2>(&chroma, at));
                    convert(out, x, |i| luma[i].into(), cb, cr);
                }
                Self::P010 => {
                    read(0, y, 2 * x, &mut luma[..2 * out.len()])?;
                    read(1, y / 2, 4 * pair, &mut chroma[..4 * pairs])?;
                    let chroma = &chroma;
                    // In units of eight bits.
                    let wide = |memory: &[u8], at: usize| {
                        f32::from(u16::from_le_bytes([memory[at], memory[at + 1]])) / 256.0
                    };
                    let [cb, cr] = [0, 2].map(|at| move |pair: usize| wide(chroma, 4 * pair + at));
                    convert(out, x, |i| wide(&luma, 2 * i), cb, cr);
                }
                Self::Yuyv => {
                    read(0, y, 4 * pair, &mut luma[..4 * pairs])?;
                    let [cb, cr] = [1, 3].map(|at| every::<4>(&luma, at));
                    convert(out, x, |i| luma[2 * (i + x % 2)].into(), cb, cr);
                }
            }
            x += out.len();
        }
        Ok(())
    }
}

/// Byte `at` of every `N`.
fn every<const N: usize>(memory: &[u8], at: usize) -> impl Fn(usize) -> f32 {
    move |index| memory[N * index + at].into()
}

/// Converts pixels from `x` on, of which the first two share a sample of chroma if `x` is even.
fn convert(
    out: &mut [[u8; OUT_PIXEL]],
    x: usize,
    luma: impl Fn(usize) -> f32,
    blue: impl Fn(usize) -> f32,
    red: impl Fn(usize) -> f32,
) {
    for (index, out) in out.iter_mut().enumerate() {
        let pair = (index + x % 2) / 2;
        *out = colour(luma(index), blue(pair), red(pair));
    }
}

/// The nearest colour that there is, of samples in units of eight bits.
fn colour(luma: f32, blue: f32, red: f32) -> [u8; OUT_PIXEL] {
    // What red and blue are worth of luma; the rest is green.
    const RED: f32 = 0.299;
    const BLUE: f32 = 0.114;
    const GREEN: f32 = 1.0 - RED - BLUE;
    const LUMA_SCALE: f32 = 255.0 / 219.0;
    const CHROMA_SCALE: f32 = 255.0 / 112.0;
    let luma = (luma - 16.0) * LUMA_SCALE;
    let blue = (blue - 128.0) * (CHROMA_SCALE * (1.0 - BLUE));
    let red = (red - 128.0) * (CHROMA_SCALE * (1.0 - RED));
    let green = blue * (BLUE / GREEN) + red * (RED / GREEN);
    // What is past either end becomes that end.
    let level = |value: f32| (value + 0.5) as u8;
    [level(luma + blue), level(luma - green), level(luma + red), 0xff]
}
