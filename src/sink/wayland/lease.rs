//! Who may touch a wl_buffer's memory: from a commit to the release that answers it, the compositor.

use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::{Connection, QueueHandle};

use super::State;
use super::sync::BufferTimelines;
use crate::port::{CommitId, SinkEvent};

/// A commit that the compositor may still read, and what says when it no longer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// `wl_buffer.release`.
    Event(CommitId),
    /// A callback of the commit's own.
    Callback(CommitId),
    /// A point of the buffer's release timeline.
    Point(CommitId, u64),
}

impl Hold {
    fn commit(self) -> CommitId {
        match self {
            Self::Event(commit) | Self::Callback(commit) | Self::Point(commit, _) => commit,
        }
    }
}

/// A wl_buffer, and the commits of it that the compositor may still read. Destroyed on drop.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) buffer: WlBuffer,
    /// Only such a buffer may have explicit sync.
    pub(super) is_dmabuf: bool,
    /// In the order of the commits.
    pub(super) holds: Vec<Hold>,
    /// Made when they are first needed.
    pub(super) timelines: Option<Box<BufferTimelines>>,
}

impl Lease {
    pub(super) fn of_shm(buffer: WlBuffer) -> Self {
        Self::new(buffer, false)
    }

    pub(super) fn of_dmabuf(buffer: WlBuffer) -> Self {
        Self::new(buffer, true)
    }

    fn new(buffer: WlBuffer, is_dmabuf: bool) -> Self {
        Self { buffer, is_dmabuf, holds: Vec::new(), timelines: None }
    }

    pub(super) fn is_held(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Ends the holds that `ended` chooses, and gives their commits.
    pub(super) fn end(&mut self, mut ended: impl FnMut(&Hold) -> bool) -> Vec<CommitId> {
        self.holds.extract_if(.., |hold| ended(hold)).map(Hold::commit).collect()
    }

    /// Ends the holds whose points are signalled.
    pub(super) fn end_signalled(&mut self) -> Vec<CommitId> {
        let waits = self.holds.iter().any(|hold| matches!(hold, Hold::Point(..)));
        let timelines = self.timelines.as_ref().filter(|_| waits);
        let released = timelines.map_or(0, |timelines| timelines.released());
        self.end(|hold| matches!(hold, Hold::Point(_, point) if *point <= released))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

/// For every wl_buffer; whose it is is found by the object itself.
#[derive(Debug)]
pub(super) struct Leased;

impl Dispatch2<WlBuffer, State> for Leased {
    fn event(
        &self,
        state: &mut State,
        buffer: &WlBuffer,
        event: wl_buffer::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        if let wl_buffer::Event::Release = event {
            // Where the release is told in another way, this one says nothing.
            let by_event = |hold: &Hold| matches!(hold, Hold::Event(_));
            let lease = state.leases().find(|lease| lease.buffer == *buffer);
            let released = lease.map(|lease| lease.end(by_event)).unwrap_or_default();
            state.events.extend(released.into_iter().map(SinkEvent::Released));
        }
    }
}
