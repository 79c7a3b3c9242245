//! What other threads tell the session's: releases, input, wishes. Never waits and, once warm, never allocates.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, mpsc};

use fanlight::frame::{CommitId, Input};
use fanlight::session::{Present, Stats};
use rustix::event::{EventfdFlags, eventfd};

use crate::lock::lock;

/// One thing that happened on another thread.
#[derive(Debug)]
pub(crate) enum News {
    /// Nobody has the memory of this commit any more.
    Returned(CommitId),
    /// This commit was pushed, or one after it.
    Pushed(CommitId),
    /// Frames are of no use for now, or are again.
    Paused(bool),
    /// Downstream takes something else than before.
    CapsChanged,
    /// Downstream wants the newest frame, though it may have had it.
    Redraw,
    /// Whoever opens the source has something to tell.
    Opened,
    /// How frames reach the pipeline from now on.
    Present(Present),
    /// Something was done downstream that concerns the guest.
    Input(Input),
    /// Somebody wants to know.
    Stats(mpsc::SyncSender<Option<Stats>>),
    /// The element stops.
    Stop,
}

/// A queue, and an fd that is readable while it holds something.
#[derive(Debug)]
pub(crate) struct Inbox {
    news: Mutex<VecDeque<News>>,
    fd: OwnedFd,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { news: Mutex::new(VecDeque::with_capacity(64)), fd })
    }

    /// From any thread, whatever locks it holds: nothing is called from in here.
    pub(crate) fn tell(&self, news: News) {
        let mut queue = lock(&self.news);
        let first = queue.is_empty();
        queue.push_back(news);
        drop(queue);
        // Else whoever waits was woken before, and looks until there is nothing more.
        if first {
            self.wake();
        }
    }

    /// What was taken too early comes before all else.
    pub(crate) fn put_back(&self, news: Vec<News>) {
        let mut queue = lock(&self.news);
        for news in news.into_iter().rev() {
            queue.push_front(news);
        }
        drop(queue);
        self.wake();
    }

    fn wake(&self) {
        // Where the counter is full the fd is readable.
        let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    pub(crate) fn take(&self) -> Option<News> {
        let mut queue = lock(&self.news);
        let news = queue.pop_front();
        if news.is_none() {
            // Under the lock, so that no wake-up for what comes next is lost. Fails where there was none.
            let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        }
        news
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
