//! Sound: what a guest plays, and what it records.
//!
//! It leads to the user's sound server (`voice`, feature `audio`), or to whoever listens (`source::listen`).

mod format;
#[cfg(feature = "audio")]
pub(crate) mod voice;

pub use format::Format;

use std::time::Instant;

/// Which way a stream of sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the guest to the user.
    Play,
    /// From the user to the guest.
    #[cfg_attr(not(feature = "audio"), expect(dead_code, reason = "it comes from a server"))]
    Record,
}

/// Who has muted a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Muted {
    /// The user, here.
    Here,
    /// The guest.
    There,
}

/// A line on which sound goes, from a guest or to it. Ends with this. No call blocks: QEMU waits meanwhile.
pub(crate) trait Line {
    /// Plays these samples, as far as they are whole frames.
    fn play(&self, samples: &[u8]);

    /// What was recorded since it was last asked for, whole frames and no more bytes than that.
    fn read(&self, bytes: usize) -> Vec<u8>;

    /// Whether it is played or recorded at all.
    fn set_running(&self, running: bool);

    /// Nothing is heard while anybody has muted it.
    fn set_muted(&self, who: Muted, muted: bool);

    /// How loud each channel is; 255 is as it was played.
    fn set_volume(&self, volume: &[u8]);
}

/// What whoever listens hears of a guest. A guest may have several voices, known by their numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard<'a> {
    /// It has this voice now, with samples of that format; one of the same number has ended.
    Voice {
        /// Its number.
        voice: u64,
        /// How its samples lie in memory; one that [is possible](Format::is_possible).
        format: Format,
    },
    /// The voice plays, or rests. A new one plays, as far as is known: QEMU may say otherwise only later.
    Running {
        /// Its number.
        voice: u64,
        /// Whether it plays.
        running: bool,
    },
    /// The guest has muted the voice, or not.
    Muted {
        /// Its number.
        voice: u64,
        /// Whether it is muted.
        muted: bool,
    },
    /// How loud the voice's channels are, as QEMU counts; 255 is as it was played. At first all are.
    Volume {
        /// Its number.
        voice: u64,
        /// Of each channel, from the first on.
        volume: &'a [u8],
    },
    /// The voice plays these samples. Muting and volume are not applied.
    Samples {
        /// Its number.
        voice: u64,
        /// Whole frames, one at least.
        samples: &'a [u8],
        /// When they came.
        at: Instant,
    },
    /// The voice has ended.
    Ended {
        /// Its number.
        voice: u64,
    },
    /// The virtual machine is gone, and why. The last that is heard.
    Lost(String),
}
