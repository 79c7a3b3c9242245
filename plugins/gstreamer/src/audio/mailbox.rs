//! What the guest plays, from the connection's thread to the streaming thread. The one never waits for the other: what
//! isn't taken in time is dropped, the oldest first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use fanlight::sound::{Format, Heard};
use gst::prelude::*;
use gst::{ClockId, ClockTime};

use super::timeline::SILENCE;
use super::voices::{Played, Voices};
use crate::end::End;
use crate::lock::lock;

/// How much may wait to be taken.
pub(super) const WAITING_MAX: ClockTime = ClockTime::from_seconds(1);

/// Samples that came at once.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) format: Format,
    pub(super) samples: Vec<u8>,
    /// When, in running time.
    pub(super) came: ClockTime,
}

impl Chunk {
    fn length(&self) -> ClockTime {
        ClockTime::try_from(self.format.time_of(self.samples.len())).unwrap_or(WAITING_MAX)
    }
}

/// What there is for the streaming thread.
#[derive(Debug)]
pub(super) enum Taken {
    Chunk(Chunk),
    /// Nothing yet; whether the guest plays.
    Nothing {
        plays: bool,
    },
    /// The element is to let go of its thread.
    Flushing,
    End(End),
}

/// Figures for the property `stats`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Frames of the guest's that were sent.
    pub(super) played: u64,
    /// Frames of silence that were.
    pub(super) silent: u64,
    /// Frames of the guest's that came too late, or weren't taken in time.
    pub(super) dropped: u64,
    /// Bytes of voices of which another was heard.
    pub(super) ignored: u64,
    /// How often the guest's connection was lost.
    pub(super) lost: u64,
}

#[derive(Debug, Default)]
struct State {
    voices: Voices,
    waiting: VecDeque<Chunk>,
    /// How long all that waits is.
    length: ClockTime,
    /// The pipeline plays: else what comes is of no use.
    playing: bool,
    flushing: bool,
    /// What voices the guest has is known, or that it isn't there.
    begun: bool,
    connected: bool,
    end: Option<End>,
    /// What the streaming thread waits for.
    due: Option<ClockId>,
    /// The longest chunk so far.
    longest: ClockTime,
    counts: Counts,
}

/// Shared by the element, its streaming thread and the connection's.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes the state and lets the streaming thread look.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let value = change(&mut state);
        let due = state.due.take();
        drop(state);
        self.changed.notify_all();
        if let Some(due) = due {
            due.unschedule();
        }
        value
    }

    /// The guest did this at that running time; whether chunks are longer from now on.
    pub(super) fn hear(&self, heard: &Heard<'_>, now: Option<ClockTime>) -> bool {
        self.change(|state| {
            let (format, mut samples) = match (state.voices.hear(heard), heard) {
                (None, _) => return false,
                (Some(Played::Ignored), Heard::Samples { samples, .. }) => {
                    state.counts.ignored += samples.len() as u64;
                    return false;
                }
                (Some(Played::Ignored), _) => return false,
                (Some(Played::Samples(format, samples)), _) => (format, samples),
            };
            let Some(came) = now.filter(|_| state.playing) else { return false };
            // Of more than can wait only the end is of use.
            let most = format.bytes_in(WAITING_MAX.into());
            let over = samples.len().saturating_sub(most);
            samples.drain(..over);
            state.counts.dropped += (over / format.frame()) as u64;
            let chunk = Chunk { format, samples, came };
            let length = chunk.length();
            state.length += length;
            state.waiting.push_back(chunk);
            while state.length > WAITING_MAX && state.waiting.len() > 1 {
                if let Some(oldest) = state.take() {
                    state.counts.dropped += (oldest.samples.len() / oldest.format.frame()) as u64;
                }
            }
            let longer = length > state.longest.max(SILENCE);
            state.longest = state.longest.max(length);
            longer
        })
    }

    /// The guest is there, or not; for its voices nobody has to wait.
    pub(super) fn set_connected(&self, connected: bool) {
        self.change(|state| {
            state.begun = true;
            state.counts.lost += u64::from(state.connected && !connected);
            state.connected = connected;
        });
    }

    /// Nothing comes any more.
    pub(super) fn end(&self, end: End) {
        self.change(|state| state.end = Some(end));
    }

    pub(super) fn set_flushing(&self, flushing: bool) {
        self.change(|state| {
            state.flushing = flushing;
            if flushing {
                state.forget();
            }
        });
    }

    pub(super) fn set_playing(&self, playing: bool) {
        self.change(|state| {
            state.playing = playing;
            if !playing {
                state.forget();
            }
        });
    }

    /// What there is; before the guest is there, or is known not to be, this waits. `flushes` is whether the pad does, as with
    /// frames.
    pub(super) fn take(&self, flushes: impl Fn() -> bool) -> Taken {
        let mut state = self.lock();
        loop {
            if state.flushing || flushes() {
                return Taken::Flushing;
            }
            if let Some(chunk) = state.take() {
                return Taken::Chunk(chunk);
            }
            if let Some(end) = &state.end {
                return Taken::End(end.clone());
            }
            if state.begun {
                return Taken::Nothing { plays: state.voices.format().is_some() };
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until `clock` says that time, or until something happens.
    pub(super) fn wait(&self, clock: &gst::Clock, until: ClockTime) {
        let id = ClockId::from(clock.new_single_shot_id(until));
        {
            let mut state = self.lock();
            if state.flushing || state.end.is_some() || !state.waiting.is_empty() {
                return;
            }
            state.due = Some(id.clone());
        }
        // One that was unscheduled before doesn't wait.
        let _ = id.wait();
        self.lock().due = None;
    }

    pub(super) fn is_flushing(&self) -> bool {
        self.lock().flushing
    }

    /// The format of the voice that is heard.
    pub(super) fn format(&self) -> Option<Format> {
        self.lock().voices.format()
    }

    /// The longest that one buffer takes to come, without jitter.
    pub(super) fn longest(&self) -> ClockTime {
        self.lock().longest.max(SILENCE)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.lock().counts);
    }

    pub(super) fn stats(&self) -> gst::Structure {
        let state = self.lock();
        gst::Structure::builder("application/x-fanlight-audio-stats")
            .field("connected", state.connected)
            .field("voices", u32::try_from(state.voices.count()).unwrap_or(u32::MAX))
            .field("frames", state.counts.played)
            .field("silent-frames", state.counts.silent)
            .field("dropped-frames", state.counts.dropped)
            .field("ignored-bytes", state.counts.ignored)
            .field("connections-lost", state.counts.lost)
            .build()
    }
}

impl State {
    fn take(&mut self) -> Option<Chunk> {
        let chunk = self.waiting.pop_front()?;
        self.length = self.length.saturating_sub(chunk.length());
        Some(chunk)
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.length = ClockTime::ZERO;
    }
}
