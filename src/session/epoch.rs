//! From one backend to the next: the sink and its picture outlive both.

use super::Session;
use crate::port::{Sink, Source};
use crate::scanout::Input;

impl<K: Sink> Session<K> {
    /// Goes on with another source, in a new epoch. What the one before waited for is refused, its
    /// last picture stays until the first scanout of the new one, and nothing else of it is ever
    /// shown. What the caller does next is a [`turn`](Self::turn).
    ///
    /// May be called before the one before is [`lost`](Self::lost), too.
    pub fn reconnect(&mut self, source: Box<dyn Source>) {
        if self.lost.take().is_none() {
            self.handle(Input::Lost);
        }
        // Everything that it is owed is settled by now: its connection may end.
        self.source = source;
        self.sink.flush();
    }
}
