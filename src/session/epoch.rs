//! From one backend to the next: the sink and its picture outlive both. And whose picture it is.

use tracing::info;

use super::Session;
use super::held::Held;
use crate::frame::{Clipboard, Pointing};
use crate::port::{Sink, Source};
use crate::scanout::Input;

impl<K: Sink> Session<K> {
    /// The backend is gone, and with it what its clipboard had.
    pub(super) fn lose(&mut self, reason: String) {
        info!(reason, "the backend is gone");
        self.lost = Some(reason);
        self.sink.clipboard(Clipboard::Withdrawn);
        self.handle(Input::Lost);
    }

    /// Goes on with another source, in a new epoch. What the one before waited for is refused, its
    /// last picture stays until the first scanout of the new one, and nothing else of it is ever
    /// shown. What the caller does next is a [`turn`](Self::turn).
    ///
    /// May be called before the one before is [`lost`](Self::lost), too.
    pub fn reconnect(&mut self, source: Box<dyn Source>) {
        if self.lost.take().is_none() {
            self.sink.clipboard(Clipboard::Withdrawn);
            self.handle(Input::Lost);
        }
        // Everything that it is owed is settled by now: its connection may end.
        self.source = source;
        self.source.set_sound(self.sound);
        self.source.set_microphone(self.microphone);
        self.tell_guest_again();
        // It knows of nothing that is held, and has said nothing of its cursor.
        self.held = Held::default();
        self.sink.set_cursor(None);
        self.sink.set_pointing(Pointing::default());
        self.live = false;
        self.sink.set_leds(None);
        self.sink.flush();
    }

    /// Why the backend is gone, once it is.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Whether the sink shows the guest's picture: false before there is one, while the guest's display
    /// is off, and of what a lost backend has left.
    pub fn is_live(&self) -> bool {
        self.live && self.lost.is_none()
    }

    pub(super) fn blank(&mut self) {
        self.live = false;
        self.sink.blank();
    }
}
