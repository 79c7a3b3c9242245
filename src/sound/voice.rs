//! Voices that lead to the user's sound server, PulseAudio or PipeWire in its place.
//!
//! Each voice has a thread and a connection of its own, the connection only while something is to be heard.
//! Nobody who plays or records ever waits: what isn't taken in time is dropped, the oldest first.

mod playing;
mod recording;
mod server;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{Direction, Format, Line, Muted};
use server::{Connect, Connection};

/// How much sound may wait to be taken: twice what the server is asked to hold.
const WAITING_MAX: Duration = Duration::from_millis(80);
/// How long to wait before a server that isn't there is asked again.
const REST: Duration = Duration::from_secs(3);

/// A stream of sound from or to the server. Ends with this.
#[derive(Debug)]
pub(crate) struct Voice(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the voice's thread.
    news: OwnedFd,
    format: Format,
    direction: Direction,
}

#[derive(Debug)]
struct State {
    /// Whole frames: what was played and the server doesn't have yet, or what was recorded and the guest hasn't.
    waiting: VecDeque<u8>,
    /// Bytes that nobody will hear.
    dropped: u64,
    /// Of each channel, 255 is all of it; none: as it is.
    volume: Vec<u8>,
    /// The server is yet to be told of it.
    volume_changed: bool,
    running: bool,
    muted: [bool; 2],
    /// Of what is recorded: whether it comes from a server.
    live: bool,
    /// Until when the guest has what it records.
    heard: Instant,
    ended: bool,
}

impl Format {
    /// Servers know samples of 8 bits without a sign and larger ones with one only.
    fn wants_flip(&self) -> bool {
        !self.float && self.signed == (self.bits == 8)
    }
}

impl State {
    fn is_muted(&self) -> bool {
        self.muted.contains(&true)
    }

    /// Keeps the newest of these samples, as far as they are whole frames, and of what was there before as
    /// much as may wait.
    fn keep(&mut self, format: &Format, samples: &[u8]) {
        let most = format.bytes_in(WAITING_MAX).max(format.frame());
        let whole = samples.len() - samples.len() % format.frame();
        // Of more than can wait only the end is of use.
        let used = &samples[whole.saturating_sub(most)..whole];
        let too_many = (self.waiting.len() + used.len()).saturating_sub(most);
        self.dropped += (too_many + whole - used.len()) as u64;
        self.waiting.drain(..too_many);
        let from = self.waiting.len();
        self.waiting.extend(used);
        if format.wants_flip() {
            format.flip_signs(self.waiting.range_mut(from..));
        }
    }

    /// What the server is to be told of the volume.
    fn take_volume(&mut self) -> Option<Vec<u8>> {
        let changed = std::mem::take(&mut self.volume_changed) && !self.volume.is_empty();
        changed.then(|| self.volume.clone())
    }
}

impl Voice {
    /// For samples of that format, which [is possible](Format::is_possible); as yet silent.
    ///
    /// # Errors
    /// If the system has no thread or no fd left.
    pub(crate) fn new(format: Format, direction: Direction) -> io::Result<Self> {
        Self::with(format, direction, Box::new(server::from_env))
    }

    fn with(format: Format, direction: Direction, connect: Connect) -> io::Result<Self> {
        let state = State {
            waiting: VecDeque::new(),
            dropped: 0,
            volume: Vec::new(),
            volume_changed: false,
            running: false,
            muted: [false; 2],
            live: false,
            heard: Instant::now(),
            ended: false,
        };
        let news = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { state: Mutex::new(state), news, format, direction });
        let theirs = Arc::clone(&shared);
        let run = move || theirs.run(&connect);
        thread::Builder::new().name("fanlight-sound".to_owned()).spawn(run)?;
        Ok(Self(shared))
    }
}

impl Line for Voice {
    fn play(&self, samples: &[u8]) {
        let mut state = self.0.lock();
        if !state.running || state.is_muted() {
            return;
        }
        state.keep(&self.0.format, samples);
        drop(state);
        self.0.wake();
    }

    /// While nothing is recorded, muted or for want of a server, it is silence as long as that took.
    fn read(&self, bytes: usize) -> Vec<u8> {
        let format = &self.0.format;
        let mut state = self.0.lock();
        let most = bytes - bytes % format.frame();
        let now = Instant::now();
        if state.live {
            state.heard = now;
            let count = most.min(state.waiting.len());
            return state.waiting.drain(..count).collect();
        }
        let oldest = now.checked_sub(WAITING_MAX).unwrap_or(now);
        let since = state.heard.max(oldest);
        let count = most.min(format.bytes_in(now.saturating_duration_since(since)));
        state.heard = since + format.time_of(count);
        format.silence(count)
    }

    /// Until it is so and from when it isn't, the server has no stream.
    fn set_running(&self, running: bool) {
        self.0.change(|state| state.running = running);
    }

    fn set_muted(&self, who: Muted, muted: bool) {
        self.0.change(|state| {
            state.muted[who as usize] = muted;
            if muted {
                state.waiting.clear();
                state.live = false;
            }
        });
    }

    fn set_volume(&self, volume: &[u8]) {
        let channels = usize::from(self.0.format.channels);
        self.0.change(|state| {
            state.volume = volume.iter().copied().take(channels).collect();
            state.volume_changed = true;
        });
    }
}

impl Drop for Voice {
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

    /// Waits for news.
    fn wait(&self, until: Option<Instant>) {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        // A signal is as good a reason to look as any.
        let _ = poll(&mut [PollFd::new(&self.news, PollFlags::IN)], left.as_ref());
        self.hear();
    }

    /// What has woken us is known.
    fn hear(&self) {
        // Where nothing has this fails.
        let _ = rustix::io::read(&self.news, &mut [0; 8]);
    }

    /// Whether the server is to have a stream.
    fn wants_stream(&self, state: &State) -> bool {
        match self.direction {
            Direction::Play => !state.waiting.is_empty(),
            Direction::Record => state.running && !state.is_muted(),
        }
    }

    /// The voice's thread.
    fn run(&self, connect: &Connect) {
        let mut said = false;
        loop {
            let state = self.lock();
            if state.ended {
                return;
            }
            if !self.wants_stream(&state) {
                drop(state);
                self.wait(None);
                continue;
            }
            drop(state);
            let connected = connect().and_then(Connection::open);
            let ended = connected.and_then(|server| match self.direction {
                Direction::Play => playing::serve(server, self),
                Direction::Record => recording::serve(server, self),
            });
            self.lock().live = false;
            let Err(error) = ended else { continue };
            // It is tried again as long as there is something to be heard, and nobody wants to read of that each time.
            if !std::mem::replace(&mut said, true) {
                match self.direction {
                    Direction::Play => tracing::info!(%error, "the guest can't be heard"),
                    Direction::Record => tracing::info!(%error, "the guest can't hear you"),
                }
            }
            let until = Instant::now() + REST;
            while Instant::now() < until && !self.lock().ended {
                self.wait(Some(until));
            }
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
