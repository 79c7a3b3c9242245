//! The guest's clipboard: `org.qemu.Display1.Clipboard`, of which QEMU has one and we have one. Either
//! grabs the other's when something was copied, and requests it when somebody pastes.
//!
//! QEMU's main loop stands still while it registers us and while it requests a text, so both are answered
//! soon, whatever the host's programs do.

mod answer;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::names::{CLIPBOARD, CLIPBOARD_PATH};
use super::screen::Letter;
use super::wait::{Bell, beside, within};
use crate::frame::Clipboard;
use crate::port::SourceEvent;
use crate::source::mailbox::Mailbox;
use crate::source::pipe::{PipeError, TEXT_MAX, write_text};
use crate::source::thread::spawn;

/// The one kind of text that QEMU knows.
const TEXT: &str = "text/plain;charset=utf-8";
/// The one clipboard of QEMU's that is shared: what was copied, not what is marked.
const SELECTION: u32 = 0;
/// Most that paste in the host and wait for the guest's text.
const PASTES_MAX: usize = 8;
/// Most threads that wait for programs of the host.
const THREADS_MAX: usize = 8;
/// How long one of them has to read a text.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// What the session's thread, the connection's and those that wait for pipes know of it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// There is something to tell QEMU.
    jobs: Bell,
    /// There is something to answer QEMU.
    answers: Bell,
}

#[derive(Debug, Default)]
struct Inner {
    /// The host has a text.
    host: bool,
    /// QEMU doesn't know yet whether it has.
    untold: bool,
    /// Which of the host's texts it is.
    text: u64,
    /// One that was asked for, and came too late to be the answer.
    kept: Option<String>,
    /// That one is being read.
    reading: Option<u64>,
    answers: VecDeque<(Message, Result<String, PipeError>)>,
    /// Where the guest's text is wanted.
    pastes: VecDeque<OwnedFd>,
    /// Of the last grab; the higher one wins, and of two that are equal ours.
    serial: u32,
    /// The last grab was ours.
    ours: bool,
    /// Nobody serves it.
    closed: bool,
    /// Each thread has one.
    threads: Arc<()>,
}

/// What QEMU is to be told or asked.
enum Job {
    Grab(u32),
    Release,
    Paste(OwnedFd),
}

impl Shared {
    /// What happened at the host's clipboard; never blocks.
    pub(super) fn take(&self, happened: Clipboard) {
        self.lock().take(happened);
        self.jobs.ring();
    }

    /// What the connection's thread says next; but not that the guest has copied what is overtaken.
    pub(super) fn next(&self, mailbox: &Mailbox<Letter>) -> Option<Letter> {
        loop {
            match mailbox.pop()? {
                Letter::Event(SourceEvent::Clipboard(happened)) if self.is_overtaken(&happened) => {
                }
                letter => return Some(letter),
            }
        }
    }

    /// Whether the host has copied something since, or is about to say so.
    fn is_overtaken(&self, happened: &Clipboard) -> bool {
        let inner = self.lock();
        !matches!(happened, Clipboard::Wanted(_)) && (inner.ours || (inner.untold && inner.host))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready once there is a host's clipboard: QEMU gives the guest's to one viewer at a time.
    async fn wanted(&self) {
        poll_fn(|cx| self.jobs.poll_heard(cx)).await;
    }

    async fn job(&self) -> Job {
        poll_fn(|cx| {
            if let Some(job) = self.lock().job() {
                return Poll::Ready(job);
            }
            if self.jobs.poll_heard(cx).is_ready() {
                // It may have rung for what is there no more.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

impl Inner {
    fn take(&mut self, happened: Clipboard) {
        match happened {
            // Whoever pastes gets nothing, and learns that at once.
            _ if self.closed => {}
            Clipboard::Wanted(pipe) if self.pastes.len() < PASTES_MAX => {
                self.pastes.push_back(pipe);
            }
            Clipboard::Wanted(_) => tracing::warn!("too many paste at once what the guest copied"),
            Clipboard::Offered | Clipboard::Withdrawn => {
                self.host = matches!(happened, Clipboard::Offered);
                self.untold = true;
                self.text += 1;
                self.kept = None;
            }
        }
    }

    fn job(&mut self) -> Option<Job> {
        if std::mem::take(&mut self.untold) {
            if self.host {
                self.serial = self.serial.saturating_add(1);
                self.ours = true;
                return Some(Job::Grab(self.serial));
            } else if std::mem::take(&mut self.ours) {
                return Some(Job::Release);
            }
        }
        self.pastes.pop_front().map(Job::Paste)
    }

    /// The guest has copied something; says whether that counts.
    fn grabbed(&mut self, serial: u32) -> bool {
        let counts = !self.ours || serial > self.serial;
        if counts {
            self.serial = serial;
            self.ours = false;
        }
        counts
    }

    /// The guest knows of no grab any more, as after a restart of what serves its clipboard.
    fn forgotten(&mut self) {
        self.serial = 0;
        self.ours = false;
        self.untold = self.host;
    }

    /// Leave to start one more thread, for as long as it is kept.
    fn thread(&self) -> Option<Arc<()>> {
        (Arc::strong_count(&self.threads) <= THREADS_MAX).then(|| Arc::clone(&self.threads))
    }
}

/// Nobody serves it any more, also where that ended half way: nobody waits in vain.
struct CloseOnDrop<'a>(&'a Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.closed = true;
        inner.pastes.clear();
        inner.answers.clear();
        inner.kept = None;
    }
}

/// Shares the clipboard with QEMU, from when the host's has something to say, until the connection ends;
/// unless another source has claimed it.
pub(super) async fn serve(
    shared: Arc<Shared>,
    claim: &AtomicBool,
    link: Connection,
    owner: Option<String>,
    mailbox: Arc<Mailbox<Letter>>,
) {
    let _closed = CloseOnDrop(&shared);
    shared.wanted().await;
    if claim.swap(true, Ordering::SeqCst) {
        return;
    }
    let peer = Peer { link, owner, mailbox, shared: Arc::clone(&shared) };
    match peer.calls().await {
        // QEMU calls us before it has answered that we may be called.
        Ok(calls) => beside(peer.tell(), peer.answer(calls)).await,
        Err(error) => tracing::info!(%error, "the guest's clipboard can't be shared"),
    }
}

/// The two ends.
struct Peer {
    link: Connection,
    owner: Option<String>,
    mailbox: Arc<Mailbox<Letter>>,
    shared: Arc<Shared>,
}

/// Calls a method of QEMU's end.
macro_rules! call {
    ($peer:ident, $method:literal, $body:expr) => {{
        let owner = $peer.owner.as_deref();
        $peer.link.call_method(owner, CLIPBOARD_PATH, Some(CLIPBOARD), $method, $body).await
    }};
}

impl Peer {
    /// What QEMU, and nobody else on its bus, calls on our end.
    async fn calls(&self) -> zbus::Result<MessageStream> {
        let mut rule = MatchRule::builder().msg_type(Type::MethodCall).path(CLIPBOARD_PATH);
        if let Some(owner) = &self.owner {
            rule = rule.sender(owner.as_str());
        }
        MessageStream::for_match_rule(rule.build()?, &self.link, None).await
    }

    async fn register(&self) -> zbus::Result<Message> {
        let registered = call!(self, "Register", &());
        if registered.is_err() && self.owner.is_none() {
            // Without a bus there is but one viewer, and QEMU doesn't notice when it goes: it is the one
            // before us who is registered still.
            call!(self, "Unregister", &())?;
            return call!(self, "Register", &());
        }
        registered
    }

    /// Tells QEMU what happens here; returns where that can't be.
    async fn tell(&self) {
        if let Err(error) = self.register().await {
            return tracing::info!(%error, "the guest's clipboard can't be shared: has another viewer got it?");
        }
        loop {
            let done = match self.shared.job().await {
                Job::Grab(serial) => call!(self, "Grab", &(SELECTION, serial, &[TEXT][..])),
                Job::Release => call!(self, "Release", &SELECTION),
                Job::Paste(pipe) => {
                    match self.guests_text().await {
                        Ok(reply) => self.paste(&reply, pipe),
                        Err(error) => tracing::warn!(%error, "the guest gives no text to paste"),
                    }
                    continue;
                }
            };
            if let Err(error) = done {
                tracing::info!(%error, "QEMU and we don't agree about the clipboard");
            }
        }
    }

    /// The guest's text. Of all calls this one depends on the guest: QEMU gives it five seconds before it
    /// answers for it (`ui/dbus-clipboard.c`), which may be longer than other calls' answers may take.
    async fn guests_text(&self) -> zbus::Result<Message> {
        let mut call = Message::method_call(CLIPBOARD_PATH, "Request").interface(CLIPBOARD);
        if let Some(owner) = &self.owner {
            call = call.destination(owner.as_str());
        }
        let call = call.build(&(SELECTION, &[TEXT][..]))?;
        let asked = Some(call.primary_header().serial_num());
        let mut messages = MessageStream::from(&self.link);
        self.link.send(&call).await?;
        let answer = poll_fn(|cx| {
            loop {
                match ready!(Pin::new(&mut messages).poll_next(cx)) {
                    Some(Ok(message)) if message.header().reply_serial() != asked => {}
                    end => return Poll::Ready(end),
                }
            }
        });
        match within(TIME_LIMIT, answer).await {
            Some(Some(Ok(error))) if error.message_type() == Type::Error => Err(error.into()),
            Some(Some(answer)) => answer,
            Some(None) => Err(io::Error::from(ErrorKind::BrokenPipe).into()),
            None => Err(io::Error::from(ErrorKind::TimedOut).into()),
        }
    }

    /// Gives the guest's text to who pastes it in the host.
    fn paste(&self, reply: &Message, pipe: OwnedFd) {
        let text = match text_of(reply) {
            Ok(text) => text,
            Err(reason) => return tracing::warn!(reason, "what the guest copied is not passed on"),
        };
        let Some(leave) = self.shared.lock().thread() else {
            return tracing::warn!("too many paste at once what the guest copied");
        };
        on_thread(move || {
            let _leave = leave;
            if let Err(error) = write_text(&pipe, &text, Instant::now() + TIME_LIMIT) {
                tracing::info!(%error, "what the guest copied was not read to its end");
            }
        });
    }
}

fn text_of(reply: &Message) -> Result<String, String> {
    let body = reply.body();
    let (kind, bytes): (&str, &[u8]) = body.deserialize().map_err(|error| error.to_string())?;
    if kind != TEXT {
        return Err(format!("it is {kind}, which was not asked for"));
    }
    if bytes.len() > TEXT_MAX {
        return Err(PipeError::TooLong.to_string());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(PipeError::NotText.to_string()),
    }
}

fn on_thread(work: impl FnOnce() + Send + 'static) {
    let started = spawn("fanlight-paste", work);
    if let Err(error) = started {
        tracing::warn!(%error, "no thread to paste on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guest_copied_counts_until_the_host_copies() {
        let shared = Shared::default();
        assert!(shared.lock().grabbed(1));
        let copied = Clipboard::Offered;
        assert!(!shared.is_overtaken(&copied));
        shared.take(Clipboard::Offered);
        assert!(shared.is_overtaken(&copied), "it is about to be told");
        assert!(matches!(shared.lock().job(), Some(Job::Grab(2))));
        assert!(shared.is_overtaken(&copied) && !shared.lock().grabbed(2));
        assert!(shared.lock().grabbed(3) && !shared.is_overtaken(&copied));
        shared.take(Clipboard::Withdrawn);
        assert!(!shared.is_overtaken(&copied));
    }

    #[test]
    fn programs_that_hang_get_so_many_threads_and_no_more() {
        let inner = Inner::default();
        let mut leaves: Vec<_> = (0..THREADS_MAX).map(|_| inner.thread().unwrap()).collect();
        assert!(inner.thread().is_none());
        leaves.pop();
        assert!(inner.thread().is_some());
    }
}
