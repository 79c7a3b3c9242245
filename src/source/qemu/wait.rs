//! The little of async that the connection's thread needs.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::source::thread::spawn;

/// Rung from any thread, heard by one.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<(bool, Option<Waker>)>);

impl Bell {
    pub(super) fn ring(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once for each time that it was rung since it was last heard (at least).
    pub(super) fn poll_heard(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.0) {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// What `work` gives, or `None` if the bell rings first. What `work` can do without waiting it still does.
pub(super) async fn unless_rung<T>(bell: &Bell, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(value) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        bell.poll_heard(cx).map(|()| None)
    })
    .await
}

/// What `work` gives, or `None` where that takes longer. A connection has but one limit for all that it is asked.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = Arc::new(Bell::default());
    let rings = Arc::clone(&late);
    let (_ends, done) = channel::<()>();
    let clock = move || {
        if done.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            rings.ring();
        }
    };
    if let Err(error) = spawn("fanlight-clock", clock) {
        tracing::warn!(%error, "no thread to look at the clock");
        return None;
    }
    unless_rung(&late, work).await
}

/// What `work` gives; `other` is done at the same time, as far as it gets.
pub(super) async fn beside<T>(work: impl Future<Output = T>, other: impl Future<Output = ()>) -> T {
    let (mut work, mut other) = (pin!(work), pin!(other));
    let mut other_done = false;
    poll_fn(|cx| {
        other_done = other_done || other.as_mut().poll(cx).is_ready();
        work.as_mut().poll(cx)
    })
    .await
}

/// What the first of them gives that is done; where both are, `one`.
pub(super) async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Pending => other.as_mut().poll(cx),
        done => done,
    })
    .await
}

/// All of them at the same time.
pub(super) async fn all<const N: usize>(works: [Pin<Box<dyn Future<Output = ()> + '_>>; N]) {
    let mut works = works.map(Some);
    poll_fn(|cx| {
        for work in &mut works {
            work.take_if(|work| work.as_mut().poll(cx).is_ready());
        }
        if works.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Both at the same time; the first error ends it.
pub(super) async fn try_both<A, B, E>(
    a: impl Future<Output = Result<A, E>>,
    b: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    poll_fn(|cx| {
        if a_done.is_none()
            && let Poll::Ready(result) = a.as_mut().poll(cx)
        {
            match result {
                Ok(value) => a_done = Some(value),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if b_done.is_none()
            && let Poll::Ready(result) = b.as_mut().poll(cx)
        {
            match result {
                Ok(value) => b_done = Some(value),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        match (a_done.take(), b_done.take()) {
            (Some(a), Some(b)) => Poll::Ready(Ok((a, b))),
            (a, b) => {
                (a_done, b_done) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
