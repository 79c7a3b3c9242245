//! How samples lie in memory.

use std::time::Duration;

/// Most channels, and most frames a second.
pub(crate) const CHANNELS_MAX: u8 = 8;
const RATE_MAX: u32 = 384_000;

/// How samples lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Of a sample: 8, 16 or 32.
    pub bits: u8,
    /// Whether they are signed.
    pub signed: bool,
    /// Whether they are floating-point numbers, of 32 bits.
    pub float: bool,
    /// Whether the first byte is the highest.
    pub big_endian: bool,
    /// Frames a second.
    pub rate: u32,
    /// Samples a frame.
    pub channels: u8,
}

impl Format {
    /// Bytes a frame.
    pub fn frame(&self) -> usize {
        usize::from(self.bits / 8) * usize::from(self.channels)
    }

    /// Bytes of all frames that are over in that time.
    pub fn bytes_in(&self, time: Duration) -> usize {
        let frames = u128::from(self.rate) * time.as_nanos() / 1_000_000_000;
        usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(self.frame())
    }

    /// How long so many bytes take, rounded up.
    pub fn time_of(&self, bytes: usize) -> Duration {
        let frames = (bytes / self.frame()) as u64;
        let rate = u64::from(self.rate);
        let rest = (frames % rate * 1_000_000_000).div_ceil(rate);
        Duration::from_secs(frames / rate) + Duration::from_nanos(rest)
    }

    /// Whether sound servers and the like know such samples.
    pub fn is_possible(&self) -> bool {
        let sample = if self.float { self.bits == 32 } else { matches!(self.bits, 8 | 16 | 32) };
        let channels = (1..=CHANNELS_MAX).contains(&self.channels);
        sample && channels && (1..=RATE_MAX).contains(&self.rate)
    }

    /// Gives each of these samples its sign, or takes it.
    pub(super) fn flip_signs<'a>(&self, samples: impl Iterator<Item = &'a mut u8>) {
        let bytes = usize::from(self.bits / 8);
        let highest = if self.big_endian { 0 } else { bytes - 1 };
        for byte in samples.skip(highest).step_by(bytes) {
            *byte ^= 0x80;
        }
    }

    /// So many bytes in which nothing is to be heard.
    pub fn silence(&self, bytes: usize) -> Vec<u8> {
        let mut samples = vec![0; bytes];
        if !self.signed && !self.float {
            self.flip_signs(samples.iter_mut());
        }
        samples
    }
}
