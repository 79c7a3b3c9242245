//! Who may touch a wl_buffer's memory: from a commit to the release that answers it, the compositor.

use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::{Connection, QueueHandle};

use super::State;
use crate::port::{CommitId, SinkEvent};

/// A wl_buffer, and the commit of it that the compositor may still read. Destroyed on drop.
#[derive(Debug)]
pub(super) struct Lease {
    buffer: WlBuffer,
    commit: Option<CommitId>,
}

impl Lease {
    pub(super) fn new(buffer: WlBuffer) -> Self {
        Self { buffer, commit: None }
    }

    /// Its wl_buffer, to be attached for `commit`: a release that comes from now on is for that one.
    pub(super) fn commit(&mut self, commit: CommitId) -> &WlBuffer {
        self.commit = Some(commit);
        &self.buffer
    }

    pub(super) fn is_held(&self) -> bool {
        self.commit.is_some()
    }

    /// The commit that a release of `buffer` ends; `None` where it is another buffer's, or one too many.
    fn release(&mut self, buffer: &WlBuffer) -> Option<CommitId> {
        self.commit.take_if(|_| self.buffer == *buffer)
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
            let mut leases = state.imports.leases().chain(state.targets.leases());
            if let Some(commit) = leases.find_map(|lease| lease.release(buffer)) {
                state.events.push_back(SinkEvent::Released(commit));
            }
        }
    }
}
