//! A queue from one thread to another, with an fd to wait on.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::event::{EventfdFlags, eventfd};

/// First in, first out. Its fd is readable exactly while something is in it.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    ready: OwnedFd,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<T>,
    /// The writer, when it waits for room.
    waiting: Option<Waker>,
}

/// From this many letters on the writer has to wait until the reader catches up.
const FULL: usize = 256;

impl<T> Mailbox<T> {
    pub(crate) fn new() -> io::Result<Self> {
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let inner = Mutex::new(Inner { queue: VecDeque::new(), waiting: None });
        Ok(Self { ready, inner })
    }

    /// Puts one in; `merge` may put it into the last one instead (and then returns `None`).
    pub(crate) fn push(&self, letter: T, merge: impl FnOnce(&mut T, T) -> Option<T>) {
        let mut inner = self.lock();
        let letter = match inner.queue.back_mut() {
            Some(last) => merge(last, letter),
            None => Some(letter),
        };
        let Some(letter) = letter else { return };
        inner.queue.push_back(letter);
        if inner.queue.len() == 1
            && let Err(error) = rustix::io::write(&self.ready, &1_u64.to_ne_bytes())
        {
            tracing::error!(%error, "an eventfd could not be signalled");
        }
    }

    /// Takes the oldest out; never blocks.
    pub(crate) fn pop(&self) -> Option<T> {
        let (letter, waker) = {
            let mut inner = self.lock();
            let letter = inner.queue.pop_front()?;
            if inner.queue.is_empty() {
                // It has a count, because something was in the queue: this can't block or fail.
                let _ = rustix::io::read(&self.ready, &mut [0; 8]);
            }
            let waker = if inner.queue.len() < FULL { inner.waiting.take() } else { None };
            (letter, waker)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(letter)
    }

    /// Ready when there is room for more.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.queue.len() < FULL {
            return Poll::Ready(());
        }
        inner.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> AsFd for Mailbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn readable<T>(mailbox: &Mailbox<T>) -> bool {
        let mut fds = [PollFd::new(mailbox, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    fn apart<T>(_: &mut T, letter: T) -> Option<T> {
        Some(letter)
    }

    #[test]
    fn the_fd_is_readable_exactly_while_something_is_there() {
        let mailbox = Mailbox::new().unwrap();
        assert!(!readable(&mailbox));
        mailbox.push(1, apart);
        mailbox.push(2, apart);
        assert!(readable(&mailbox));
        assert_eq!(mailbox.pop(), Some(1));
        assert!(readable(&mailbox));
        assert_eq!(mailbox.pop(), Some(2));
        assert!(!readable(&mailbox));
        assert_eq!(mailbox.pop(), None);
        mailbox.push(3, apart);
        assert!(readable(&mailbox));
    }

    #[test]
    fn what_can_be_merged_takes_no_room() {
        let mailbox = Mailbox::new().unwrap();
        for _ in 0..10 {
            mailbox.push(1, |last, letter| {
                *last += letter;
                None
            });
        }
        assert_eq!(mailbox.pop(), Some(10));
        assert_eq!(mailbox.pop(), None);
    }

    #[test]
    fn a_full_one_makes_the_writer_wait() {
        let mailbox = Mailbox::new().unwrap();
        let cx = Context::from_waker(Waker::noop());
        for i in 0..FULL {
            assert!(mailbox.poll_room(&cx).is_ready(), "{i}");
            mailbox.push(i, apart);
        }
        assert!(mailbox.poll_room(&cx).is_pending());
        assert_eq!(mailbox.pop(), Some(0));
        assert!(mailbox.poll_room(&cx).is_ready());
    }
}
