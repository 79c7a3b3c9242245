//! Sound: what a guest plays goes to the user's sound server, PulseAudio or PipeWire in its place.
//!
//! Each stream has a thread and a connection of its own, the connection only while something is to be heard.
//! Nobody who plays ever waits: what the server doesn't take in time is dropped, the oldest first.

mod server;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use server::{Connect, Stream};

/// How much sound may wait for the server: twice what it is asked to hold.
const WAITING_MAX: Duration = Duration::from_millis(80);
/// How long to wait before a server that isn't there is asked again.
const REST: Duration = Duration::from_secs(3);
/// Most channels, and most frames a second.
const CHANNELS_MAX: u8 = 8;
const RATE_MAX: u32 = 384_000;

/// How samples lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Of a sample: 8, 16 or 32.
    pub(crate) bits: u8,
    /// Whether they are signed.
    pub(crate) signed: bool,
    /// Whether they are floating-point numbers, of 32 bits.
    pub(crate) float: bool,
    /// Whether the first byte is the highest.
    pub(crate) big_endian: bool,
    /// Frames a second.
    pub(crate) rate: u32,
    /// Samples a frame.
    pub(crate) channels: u8,
}

impl Format {
    /// Bytes a frame.
    pub(crate) fn frame(&self) -> usize {
        usize::from(self.bits / 8) * usize::from(self.channels)
    }

    fn bytes_in(&self, time: Duration) -> usize {
        let frames = u128::from(self.rate) * time.as_micros() / 1_000_000;
        usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(self.frame())
    }

    fn is_possible(&self) -> bool {
        let sample = if self.float { self.bits == 32 } else { matches!(self.bits, 8 | 16 | 32) };
        let channels = (1..=CHANNELS_MAX).contains(&self.channels);
        sample && channels && (1..=RATE_MAX).contains(&self.rate)
    }

    /// Servers know samples of 8 bits without a sign and larger ones with one only.
    fn wants_flip(&self) -> bool {
        !self.float && self.signed == (self.bits == 8)
    }

    /// Gives each sample its sign, or takes it.
    fn flip_signs(&self, samples: &mut VecDeque<u8>, from: usize) {
        let bytes = usize::from(self.bits / 8);
        let highest = if self.big_endian { 0 } else { bytes - 1 };
        for at in (from + highest..samples.len()).step_by(bytes) {
            samples[at] ^= 0x80;
        }
    }
}

/// One stream of sound. Ends with this.
#[derive(Debug)]
pub(crate) struct Player(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the stream's thread.
    news: OwnedFd,
    format: Format,
}

#[derive(Debug)]
struct State {
    /// What was played and the server doesn't have yet: whole frames.
    waiting: VecDeque<u8>,
    /// Bytes that nobody will hear.
    dropped: u64,
    /// Of each channel, 255 is all of it; none: as it is.
    volume: Vec<u8>,
    /// The server is yet to be told of it.
    volume_changed: bool,
    playing: bool,
    muted: [bool; 2],
    ended: bool,
}

impl State {
    fn is_muted(&self) -> bool {
        self.muted.contains(&true)
    }
}

/// Who has muted a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Muted {
    /// The user, here.
    Here,
    /// The guest.
    There,
}

impl Player {
    /// For samples of that format; `None` where nobody can play them.
    ///
    /// # Errors
    /// If the system has no thread or no fd left.
    pub(crate) fn new(format: Format) -> io::Result<Option<Self>> {
        Self::with(format, Box::new(server::from_env))
    }

    fn with(format: Format, connect: Connect) -> io::Result<Option<Self>> {
        if !format.is_possible() {
            return Ok(None);
        }
        let state = State {
            waiting: VecDeque::new(),
            dropped: 0,
            volume: Vec::new(),
            volume_changed: false,
            playing: false,
            muted: [false; 2],
            ended: false,
        };
        let news = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { state: Mutex::new(state), news, format });
        let theirs = Arc::clone(&shared);
        let run = move || theirs.run(&connect);
        thread::Builder::new().name("fanlight-sound".to_owned()).spawn(run)?;
        Ok(Some(Self(shared)))
    }

    /// Plays these samples, as far as they are whole frames; never blocks.
    pub(crate) fn play(&self, samples: &[u8]) {
        let format = &self.0.format;
        let mut state = self.0.lock();
        if !state.playing || state.is_muted() {
            return;
        }
        let most = format.bytes_in(WAITING_MAX).max(format.frame());
        let whole = samples.len() - samples.len() % format.frame();
        // Of more than can wait only the end is of use.
        let used = &samples[whole.saturating_sub(most)..whole];
        let too_many = (state.waiting.len() + used.len()).saturating_sub(most);
        state.dropped += (too_many + whole - used.len()) as u64;
        state.waiting.drain(..too_many);
        let from = state.waiting.len();
        state.waiting.extend(used);
        if format.wants_flip() {
            format.flip_signs(&mut state.waiting, from);
        }
        drop(state);
        self.0.wake();
    }

    /// Whether anything is played at all: until then and from then on the server has no stream.
    pub(crate) fn set_playing(&self, playing: bool) {
        self.0.change(|state| state.playing = playing);
    }

    /// Nothing is heard while anybody has muted it.
    pub(crate) fn set_muted(&self, who: Muted, muted: bool) {
        self.0.change(|state| {
            state.muted[who as usize] = muted;
            if muted {
                state.waiting.clear();
            }
        });
    }

    /// How loud each channel is; 255 is as it was played.
    pub(crate) fn set_volume(&self, volume: &[u8]) {
        let channels = usize::from(self.0.format.channels);
        self.0.change(|state| {
            state.volume = volume.iter().copied().take(channels).collect();
            state.volume_changed = true;
        });
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.wake();
    }

    fn wake(&self) {
        // Where it is full it is readable.
        let _ = rustix::io::write(&self.news, &1_u64.to_ne_bytes());
    }

    /// Whether `until` came before anything was changed.
    fn wait(&self, until: Option<Instant>) -> bool {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let waited = poll(&mut [PollFd::new(&self.news, PollFlags::IN)], left.as_ref());
        self.hear();
        waited == Ok(0)
    }

    /// What has woken us is known.
    fn hear(&self) {
        // Where nothing has this fails.
        let _ = rustix::io::read(&self.news, &mut [0; 8]);
    }

    /// The stream's thread.
    fn run(&self, connect: &Connect) {
        let mut said = false;
        loop {
            let state = self.lock();
            if state.ended {
                return;
            }
            if state.waiting.is_empty() {
                drop(state);
                self.wait(None);
                continue;
            }
            drop(state);
            let played = connect().and_then(|socket| Stream::open(socket, &self.format));
            let played = played.and_then(|stream| stream.play(self));
            let Err(error) = played else { continue };
            // It is tried again as long as the guest plays, and nobody wants to read of that each time.
            if !std::mem::replace(&mut said, true) {
                tracing::info!(%error, "the guest can't be heard");
            }
            let until = Instant::now() + REST;
            while !self.wait(Some(until)) && !self.lock().ended {}
            self.lock().waiting.clear();
        }
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.news.as_fd()
    }
}

#[cfg(test)]
mod tests;
