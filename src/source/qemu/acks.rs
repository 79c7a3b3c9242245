//! Replies that wait for a verdict.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use zbus::Message;

use super::wait::Bell;
use crate::port::{Ack, Settle, Verdict};

/// Most updates that may wait at once. QEMU has one or a few; more is an attack on our memory.
const PENDING_MAX: usize = 1024;

/// The `UpdateDMABUF` calls of one connection that have no reply yet.
#[derive(Debug, Default)]
pub(super) struct Acks {
    inner: Mutex<Inner>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Inner {
    /// Numbers given out so far.
    last: u64,
    pending: HashMap<u64, Message>,
    settled: VecDeque<(Message, Verdict)>,
    closed: bool,
}

impl Acks {
    /// Keeps `call` until its ack is settled; `None` when there are too many already.
    pub(super) fn owe(self: &Arc<Self>, call: Message) -> Option<Ack> {
        let mut inner = self.lock();
        if inner.pending.len() >= PENDING_MAX {
            return None;
        }
        inner.last += 1;
        let update = inner.last;
        inner.pending.insert(update, call);
        Some(Ack::new(Arc::<Self>::clone(self), update))
    }

    /// The next call to reply to.
    pub(super) fn poll_settled(&self, cx: &Context<'_>) -> Poll<(Message, Verdict)> {
        loop {
            if let Some(settled) = self.lock().settled.pop_front() {
                return Poll::Ready(settled);
            }
            if self.bell.poll_heard(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// The connection is gone: from now on verdicts concern nobody.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.pending.clear();
        inner.settled.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settle for Acks {
    fn settle(&self, update: u64, verdict: Verdict) {
        {
            let mut inner = self.lock();
            let Some(call) = inner.pending.remove(&update) else { return };
            if inner.closed {
                return;
            }
            inner.settled.push_back((call, verdict));
        }
        self.bell.ring();
    }
}
