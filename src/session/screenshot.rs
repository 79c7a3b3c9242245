//! The guest's picture as it is on the screen.

use super::Session;
use crate::frame::Picture;
use crate::sink::wayland::WaylandSink;

impl Session<WaylandSink> {
    /// The picture that the window shows, upright, in the guest's pixels; `None` where it shows none.
    ///
    /// It takes a copy's time, and the guest waits for no more: no ack is sent meanwhile. What is copied is a
    /// whole frame; only where a guest that draws in place is shown directly ([`Present::Direct`](super::Present)),
    /// or a GPU makes the copies, the guest's memory is read while the guest may write to it.
    ///
    /// # Errors
    /// If it can't be read, with the reason.
    pub fn screenshot(&mut self) -> Result<Option<Picture>, String> {
        let Self { machine, sink, .. } = self;
        let read = sink.read_shown(|storage| machine.is_guests(storage));
        read.map_err(|reason| format!("the guest's picture can't be read: {reason}"))
    }
}
