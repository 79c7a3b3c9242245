//! What a demo guest did so far, for whoever wants to know on another thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::frame::{Format, Size};

/// Buffers that are remembered.
const BUFFERS_MAX: usize = 1024;

/// What a demo guest did so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The newest frame that it finished, from 1 on.
    pub frame: u32,
    /// The newest frame whose update all viewers acked.
    pub acked: u32,
    /// Updates that were acked.
    pub acks: u64,
    /// Updates that were not answered within a second: the guest went on all the same.
    pub late: u64,
    /// Updates that a viewer refused.
    pub refused: u64,
    /// How often the server found pages replaced, and took them anew.
    pub replaced: u64,
    /// How often the guest did what its mode is named for.
    pub events: u64,
    /// How many watch.
    pub viewers: usize,
    /// Frames in the last second.
    pub fps: f32,
    /// The last 1024 buffers that it made, oldest first.
    pub buffers: VecDeque<Announced>,
}

/// A buffer that a demo guest made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Its number, as the picture says it: 1 is the first.
    pub buffer: u32,
    /// Its size.
    pub size: Size,
    /// Its pixels.
    pub format: Format,
}

/// A look at a demo guest, from any thread, also after it has ended.
#[derive(Clone, Debug, Default)]
pub struct Handle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Handle {
    /// What it did so far.
    pub fn progress(&self) -> Progress {
        self.lock().clone()
    }

    /// Waits until it did enough; `None` if it didn't within `limit`.
    pub fn wait(&self, limit: Duration, enough: impl Fn(&Progress) -> bool) -> Option<Progress> {
        let end = Instant::now() + limit;
        let mut progress = self.lock();
        while !enough(&progress) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.0.changed.wait_timeout(progress, left);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(progress.clone())
    }

    pub(super) fn note<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        let value = change(&mut self.lock());
        self.0.changed.notify_all();
        value
    }

    pub(super) fn announced(&self, announced: Announced) {
        self.note(|progress| {
            if progress.buffers.len() == BUFFERS_MAX {
                progress.buffers.pop_front();
            }
            progress.buffers.push_back(announced);
        });
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Whether it made such a buffer, as far as it is remembered.
    pub fn announced(&self, buffer: u32, size: Size) -> bool {
        self.buffers.iter().any(|known| known.buffer == buffer && known.size == size)
    }
}
