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
/// With the one before, where the first does.
const SAMPLES: usize = CHUNK + 2;

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
        let (mut luma, mut chroma) = ([0; 2 * SAMPLES], [0; 2 * SAMPLES]);
        let mut samples = Samples::new();
        let mut x = x as usize;
        for out in out.as_chunks_mut::<OUT_PIXEL>().0.chunks_mut(CHUNK) {
            let odd = x % 2;
            let (pair, count) = (x / 2, odd + out.len());
            let pairs = count.div_ceil(2);
            let read = |plane, row, start: usize, memory: &mut [u8]| {
                rows.read(plane, row, start as u64, memory)
            };
            match self {
                Self::Nv12 => {
                    let (luma, chroma) = (&mut luma[..count], &mut chroma[..2 * pairs]);
                    read(0, y, 2 * pair, luma)?;
                    read(1, y / 2, 2 * pair, chroma)?;
                    samples.put_luma(luma.iter().map(|&level| level.into()));
                    // As numbers, several are read at once; as bytes one after the other.
                    let both = chroma.as_chunks().0.iter().map(|both| u16::from_le_bytes(*both));
                    samples.put_chroma(both.map(|both| [both & 0xff, both >> 8].map(f32::from)));
                }
                Self::P010 => {
                    let (luma, chroma) = (&mut luma[..2 * count], &mut chroma[..4 * pairs]);
                    read(0, y, 4 * pair, luma)?;
                    read(1, y / 2, 4 * pair, chroma)?;
                    samples.put_luma(luma.as_chunks().0.iter().map(wide));
                    let both = chroma.as_chunks().0.as_chunks().0.iter();
                    samples.put_chroma(both.map(|[blue, red]| [wide(blue), wide(red)]));
                }
                Self::Yuyv => {
                    let luma = &mut luma[..4 * pairs];
                    read(0, y, 4 * pair, luma)?;
                    samples.put_luma(luma.as_chunks().0.iter().map(|&[level, _]| level.into()));
                    let both = luma.as_chunks().0.iter();
                    samples.put_chroma(both.map(|&[_, blue, _, red]| [blue.into(), red.into()]));
                }
            }
            samples.convert(odd, out);
            x += out.len();
        }
        Ok(())
    }
}

/// The upper bits of sixteen, in units of eight bits.
fn wide(sample: &[u8; 2]) -> f32 {
    f32::from(u16::from_le_bytes(*sample)) / 256.0
}

/// A sample of each for every pixel, in units of eight bits, from an even one on: each kind lies
/// together, so that several pixels are converted at once.
struct Samples {
    luma: [f32; SAMPLES],
    blue: [f32; SAMPLES],
    red: [f32; SAMPLES],
}

impl Samples {
    fn new() -> Self {
        Self { luma: [0.0; SAMPLES], blue: [0.0; SAMPLES], red: [0.0; SAMPLES] }
    }

    fn put_luma(&mut self, samples: impl Iterator<Item = f32>) {
        self.luma.iter_mut().zip(samples).for_each(|(place, sample)| *place = sample);
    }

    /// Of blue and red, for two pixels each.
    fn put_chroma(&mut self, samples: impl Iterator<Item = [f32; 2]>) {
        let places = self.blue.as_chunks_mut().0.iter_mut().zip(self.red.as_chunks_mut().0);
        places.zip(samples).for_each(|((blues, reds), [blue, red])| {
            (*blues, *reds) = ([blue; 2], [red; 2]);
        });
    }

    /// Converts as many as `out` takes, without the first where that is `odd`.
    fn convert(&self, odd: usize, out: &mut [[u8; OUT_PIXEL]]) {
        let chroma = self.blue[odd..].iter().zip(&self.red[odd..]);
        for ((out, luma), (blue, red)) in out.iter_mut().zip(&self.luma[odd..]).zip(chroma) {
            *out = colour(*luma, *blue, *red).to_le_bytes();
        }
    }
}

/// The nearest colour that there is.
fn colour(luma: f32, blue: f32, red: f32) -> u32 {
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
    // What is past either end becomes that end. From 2^23 on a float's lowest bits count ones: to add
    // that rounds, and of several at once, as a conversion would not.
    const ONES: f32 = (1 << 23) as f32;
    let level = |value: f32| (value.clamp(0.0, 255.0) + ONES).to_bits() & 0xff;
    let [blue, green, red] = [luma + blue, luma - green, luma + red].map(level);
    0xff << 24 | red << 16 | green << 8 | blue
}
