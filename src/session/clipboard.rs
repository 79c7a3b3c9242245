//! Between the clipboards of the host and the guest: each is told what happens at the other.

use super::Session;
use crate::frame::Clipboard;

impl<K> Session<K> {
    /// What happened at the host's clipboard, of which is kept whether it has a text, once it has said.
    pub(super) fn tell_guest(&mut self, happened: Clipboard) {
        match happened {
            Clipboard::Offered => self.host_text = Some(true),
            Clipboard::Withdrawn => self.host_text = Some(false),
            Clipboard::Wanted(_) => {}
        }
        self.source.clipboard(happened);
    }

    /// What a guest that is new here has missed.
    pub(super) fn tell_guest_again(&mut self) {
        match self.host_text {
            Some(true) => self.source.clipboard(Clipboard::Offered),
            Some(false) => self.source.clipboard(Clipboard::Withdrawn),
            None => {}
        }
    }
}
