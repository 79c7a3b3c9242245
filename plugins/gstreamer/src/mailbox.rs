//! The newest frame, on its way from the session's thread to the streaming thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fanlight::frame::{BufferId, CommitId, Damage, PLANES_MAX};

use crate::caps::{Agreed, Picture};
use crate::end::End;
use crate::lock::lock;

/// What a frame lies in, one after the other.
pub(crate) type Memories = [Option<gst::Memory>; PLANES_MAX];

/// One frame of the guest.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// One a dma-buf; but for planes that lie in several it is one.
    pub(crate) memories: Memories,
    pub(crate) agreed: Agreed,
    pub(crate) picture: Picture,
    /// The memory is a copy of ours that the CPU can read.
    pub(crate) copied: bool,
    pub(crate) commit: CommitId,
    pub(crate) buffer: BufferId,
    /// Since the last frame that was taken, in pixels of the picture.
    pub(crate) damage: Damage,
    /// When the guest had finished it.
    pub(crate) drawn: Instant,
    /// Since when it is wanted: then, or later where it comes once more or nobody took it.
    pub(crate) since: Instant,
    /// When it could be taken.
    pub(crate) ready: Instant,
}

/// When somebody who waits for a frame takes one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// Not before.
    pub(crate) from: Option<Instant>,
    /// Nothing by then is an answer too.
    pub(crate) until: Option<Instant>,
    /// From then on that the cursor moved is one.
    pub(crate) cursor_from: Option<Instant>,
}

/// What somebody who waits gets.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation a frame")]
pub(crate) enum Taken {
    Frame(Frame),
    /// No frame, and it is time, or the cursor moved.
    Due,
    /// Downstream takes something else, or is another.
    Renegotiate,
    Flushing,
    End(End),
}

/// Holds one frame: a newer one takes its place.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    frame: Option<Frame>,
    end: Option<End>,
    flushing: bool,
    renegotiate: bool,
    cursor_moved: bool,
    overtaken: u64,
}

impl State {
    fn has_frame(&self, times: &Times, now: Instant) -> bool {
        self.frame.is_some() && times.from.is_none_or(|from| from <= now)
    }

    fn is_due(&self, times: &Times, now: Instant) -> bool {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        passed(times.until) || self.cursor_moved && passed(times.cursor_from)
    }

    /// When there may be something though nothing happens.
    fn next(&self, times: &Times) -> Option<Instant> {
        let frame = times.from.filter(|_| self.frame.is_some());
        let cursor = times.cursor_from.filter(|_| self.cursor_moved);
        [times.until, frame, cursor].into_iter().flatten().min()
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn push(&self, mut frame: Frame) {
        let mut state = self.lock();
        let overtaken = state.frame.take();
        if let Some(overtaken) = &overtaken {
            state.overtaken += 1;
            if overtaken.buffer == frame.buffer {
                frame.damage.merge(&overtaken.damage);
            } else {
                frame.damage = Damage::Whole;
            }
        }
        state.frame = Some(frame);
        drop(state);
        self.news.notify_all();
        // Its memory goes home without the lock.
        drop(overtaken);
    }

    /// What waits is of no use any more: which frame that was.
    pub(crate) fn clear(&self) -> Option<CommitId> {
        let frame = self.lock().frame.take();
        frame.map(|frame| frame.commit)
    }

    /// There are no more frames; the first reason counts.
    pub(crate) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.news.notify_all();
    }

    pub(crate) fn set_flushing(&self, flushing: bool) {
        self.lock().flushing = flushing;
        self.news.notify_all();
    }

    /// Whoever waits for a frame is to ask downstream what it takes.
    pub(crate) fn renegotiate(&self) {
        self.lock().renegotiate = true;
        self.news.notify_all();
    }

    /// How many frames were overtaken before anybody took them.
    pub(crate) fn overtaken(&self) -> u64 {
        self.lock().overtaken
    }

    /// The cursor is elsewhere, or looks otherwise.
    pub(crate) fn cursor_moved(&self) {
        self.lock().cursor_moved = true;
        self.news.notify_all();
    }

    /// Waits for a frame, or for what else `times` says. `flushes` is whether the pad does, which is so before
    /// [`set_flushing`](Self::set_flushing) is told: that may be taken back before anybody here has seen it.
    pub(crate) fn take(&self, times: &Times, flushes: impl Fn() -> bool) -> Taken {
        let mut state = self.wait(times, &flushes);
        if state.flushing || flushes() {
            return Taken::Flushing;
        }
        if std::mem::take(&mut state.renegotiate) {
            return Taken::Renegotiate;
        }
        if state.has_frame(times, Instant::now())
            && let Some(frame) = state.frame.take()
        {
            state.cursor_moved = false;
            return Taken::Frame(frame);
        }
        if let Some(end) = state.end.clone().filter(|_| state.frame.is_none()) {
            return Taken::End(end);
        }
        state.cursor_moved = false;
        Taken::Due
    }

    fn wait(&self, times: &Times, flushes: &impl Fn() -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            // What came before the end is still of use.
            let ended = state.end.is_some() && state.frame.is_none();
            let told = state.flushing || flushes() || state.renegotiate || ended;
            if told || state.has_frame(times, now) || state.is_due(times, now) {
                return state;
            }
            state = match state.next(times) {
                Some(next) => {
                    let left = next.saturating_duration_since(now);
                    let waited = self.news.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GStreamer's base class tells of a flush and takes that back at once, however long the streaming thread takes to get
    /// here. Without: the element never stops.
    #[test]
    fn a_flush_that_nobody_has_seen_is_seen_at_the_pad() {
        let mailbox = Mailbox::default();
        mailbox.set_flushing(true);
        mailbox.set_flushing(false);
        assert!(matches!(mailbox.take(&Times::default(), || true), Taken::Flushing));
    }
}
