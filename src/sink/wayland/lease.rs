//! Who may touch a wl_buffer's memory: from a commit to the release that answers it, the compositor.

use std::collections::VecDeque;

use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::{Connection, QueueHandle};

use super::State;
use super::sync::BufferTimelines;
use crate::port::{CommitId, SinkEvent};

/// What says that the compositor reads a commit no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// `wl_buffer.release`.
    Event,
    /// Nothing: the buffer was committed again before its release, and an event names no commit. It
    /// is read no more when something else is on the screen.
    Replacement,
    /// A callback of the commit's own.
    Callback,
    /// A point of the buffer's release timeline.
    Point(u64),
}

/// A commit that the compositor may still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) commit: CommitId,
    pub(super) until: Until,
    /// It is read no more, but an earlier one is.
    over: bool,
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

    /// The compositor will read `commit`, the newest.
    pub(super) fn hold(&mut self, commit: CommitId, until: Until) {
        self.holds.push(Hold { commit, until, over: false });
    }

    /// As [`hold`](Self::hold), where only an event will tell.
    pub(super) fn hold_by_event(&mut self, commit: CommitId) {
        let told_by_events =
            |hold: &Hold| matches!(hold.until, Until::Event | Until::Replacement) && !hold.over;
        let before = self.holds.len();
        self.holds.retain(|hold| !told_by_events(hold));
        let again = self.holds.len() < before;
        self.hold(commit, if again { Until::Replacement } else { Until::Event });
    }

    /// Ends the holds that `ended` chooses; tells of each commit whose earlier ones have ended too.
    pub(super) fn end(&mut self, ended: impl Fn(&Hold) -> bool, events: &mut VecDeque<SinkEvent>) {
        for hold in &mut self.holds {
            hold.over |= ended(hold);
        }
        let over = self.holds.iter().take_while(|hold| hold.over).count();
        events.extend(self.holds.drain(..over).map(|hold| SinkEvent::Released(hold.commit)));
    }

    /// As [`end`](Self::end) of the holds whose points are signalled.
    pub(super) fn end_signalled(&mut self, events: &mut VecDeque<SinkEvent>) {
        let waits = self.holds.iter().any(|hold| matches!(hold.until, Until::Point(_)));
        let timelines = self.timelines.as_ref().filter(|_| waits);
        let released = timelines.map_or(0, |timelines| timelines.released());
        self.end(|hold| matches!(hold.until, Until::Point(point) if point <= released), events);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

impl State {
    /// Ends the commits that `ended` chooses.
    pub(super) fn end(&mut self, ended: impl Fn(&Hold) -> bool) {
        let Self { imports, targets, events, .. } = self;
        for lease in imports.leases().chain(targets.leases()) {
            lease.end(&ended, events);
        }
    }

    /// Tells of all whose release points were signalled.
    pub(super) fn release_signalled(&mut self) {
        if self.releases.told() {
            let Self { imports, targets, events, .. } = self;
            for lease in imports.leases().chain(targets.leases()) {
                lease.end_signalled(events);
            }
        }
    }

    /// Ends what no event tells the end of, now that `presented` is on the screen: what was committed
    /// again, and what explicit sync has left without an event.
    pub(super) fn release_before(&mut self, presented: CommitId) {
        let since = self.releases.unread_before(presented);
        self.end(|hold| match hold.until {
            Until::Replacement => hold.commit < presented,
            Until::Event => since.is_some_and(|since| hold.commit < since),
            Until::Callback | Until::Point(_) => false,
        });
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
        let wl_buffer::Event::Release = event else { return };
        let State { imports, targets, events, .. } = state;
        let lease = imports.leases().chain(targets.leases()).find(|lease| lease.buffer == *buffer);
        if let Some(lease) = lease {
            // Where the release is told in another way, this one says nothing.
            lease.end(|hold| hold.until == Until::Event, events);
        }
    }
}
