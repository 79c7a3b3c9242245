//! Our end of it: what QEMU says and asks, answered by hand, in the order received.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_core::Stream;
use zbus::message::Flags;
use zbus::{Message, MessageStream, Variant};

use super::{Inner, Peer, SELECTION, Shared, TEXT, TIME_LIMIT, on_thread};
use crate::frame::Clipboard;
use crate::port::SourceEvent;
use crate::source::pipe::{PipeError, Reader};
use crate::source::qemu::listener::{Answer, Refusal, arguments, done, failed, refuse};
use crate::source::qemu::names::{
    CLIPBOARD, FAILED, PEER, PROPERTIES, UNKNOWN_METHOD, UNKNOWN_PROPERTY,
};
use crate::source::qemu::screen::Letter;

/// How long QEMU stands still for a text of the host's; what comes later is kept for its next try.
const PATIENCE: Duration = Duration::from_millis(250);

/// What happened next.
enum Next {
    Received(Message),
    Read(Message, Result<String, PipeError>),
    Ended,
}

impl Peer {
    /// Answers until the connection ends.
    pub(super) async fn answer(&self, mut calls: MessageStream) {
        loop {
            let (call, answer) = match self.next(&mut calls).await {
                Next::Ended => return,
                Next::Received(call) => {
                    let answer = self.handle(&call);
                    (call, answer)
                }
                Next::Read(call, read) => {
                    let reply = match &read {
                        Ok(text) => give(&call, text),
                        Err(error) => {
                            tracing::warn!(%error, "the host's clipboard can't be given to the guest");
                            refuse(&call, FAILED, &error.to_string())
                        }
                    };
                    (call, Answer::Now(reply))
                }
            };
            let Answer::Now(reply) = answer else { continue };
            if call.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
                continue;
            }
            let sent = match reply {
                Ok(reply) => self.link.send(&reply).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "a reply about the clipboard could not be sent");
            }
        }
    }

    /// Calls are left where they are while the session doesn't keep up.
    async fn next(&self, calls: &mut MessageStream) -> Next {
        poll_fn(|cx| {
            let read = || self.shared.lock().answers.pop_front();
            if let Some((call, read)) = read() {
                return Poll::Ready(Next::Read(call, read));
            }
            if self.shared.answers.poll_heard(cx).is_ready() {
                // It may have rung for what is there no more.
                cx.waker().wake_by_ref();
            }
            if self.mailbox.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
            Pin::new(&mut *calls).poll_next(cx).map(|received| match received {
                Some(Ok(call)) => Next::Received(call),
                Some(Err(_)) | None => Next::Ended,
            })
        })
        .await
    }

    fn handle(&self, call: &Message) -> Answer {
        let header = call.header();
        let interface = header.interface().map_or("", |name| name.as_str());
        let member = header.member().map_or("", |name| name.as_str());
        let result = match (interface, member) {
            (PEER, "Ping") | (CLIPBOARD, "Unregister") => Ok(()),
            (PROPERTIES, "GetAll") => {
                let none: &[&str] = &[];
                let all = HashMap::from([("Interfaces", Variant::new(none))]);
                return Answer::Now(Message::method_return(&header).build(&all));
            }
            (PROPERTIES, "Get") => Err((UNKNOWN_PROPERTY, "ask for all of them".to_owned())),
            (CLIPBOARD, "Register") => {
                self.shared.lock().forgotten();
                self.shared.jobs.ring();
                Ok(())
            }
            (CLIPBOARD, "Grab") => self.grab(call),
            (CLIPBOARD, "Release") => arguments(call).map(|selection: u32| {
                if selection == SELECTION {
                    self.post(Clipboard::Withdrawn);
                }
            }),
            (CLIPBOARD, "Request") => match self.request(call) {
                Ok(answer) => return answer,
                Err(refusal) => Err(refusal),
            },
            _ => Err((UNKNOWN_METHOD, format!("there is no method {interface}.{member}"))),
        };
        Answer::Now(match result {
            Ok(()) => done(call),
            Err((name, text)) => {
                tracing::info!(%member, reason = %text, "a call about the clipboard is refused");
                refuse(call, name, &text)
            }
        })
    }

    fn grab(&self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (selection, serial, kinds): (u32, u32, Vec<&str>) =
            body.deserialize().map_err(|error| failed(error.to_string()))?;
        if selection == SELECTION && self.shared.lock().grabbed(serial) {
            let text = kinds.contains(&TEXT);
            self.post(if text { Clipboard::Offered } else { Clipboard::Withdrawn });
        }
        Ok(())
    }

    fn request(&self, call: &Message) -> Result<Answer, Refusal> {
        let body = call.body();
        let (selection, kinds): (u32, Vec<&str>) =
            body.deserialize().map_err(|error| failed(error.to_string()))?;
        let mut inner = self.shared.lock();
        if selection != SELECTION || !kinds.contains(&TEXT) || !inner.host {
            return Err(failed("the host's clipboard has nothing of that kind".to_owned()));
        }
        if let Some(text) = &inner.kept {
            return Ok(Answer::Now(give(call, text)));
        }
        let number = inner.text;
        if inner.reading == Some(number) {
            return Err(failed("the host's clipboard is still being read".to_owned()));
        }
        let busy = || failed("too many programs of the host take too long".to_owned());
        let leave = inner.thread().ok_or_else(busy)?;
        let (mut reader, theirs) = Reader::new().map_err(|error| failed(error.to_string()))?;
        inner.reading = Some(number);
        drop(inner);
        self.post(Clipboard::Wanted(theirs));
        let (shared, call) = (Arc::clone(&self.shared), call.clone());
        on_thread(move || {
            let _leave = leave;
            let asked = Instant::now();
            match reader.read(asked + PATIENCE) {
                Err(PipeError::Late) => {
                    shared.read(number, Some(call), Err(PipeError::Late));
                    shared.read(number, None, reader.read(asked + TIME_LIMIT));
                }
                read => shared.read(number, Some(call), read),
            }
        });
        Ok(Answer::Later)
    }

    fn post(&self, happened: Clipboard) {
        let letter = Letter::Event(SourceEvent::Clipboard(happened));
        self.mailbox.push(letter, |last, letter| match (&last, &letter) {
            // Only what it has now matters.
            (
                Letter::Event(SourceEvent::Clipboard(was)),
                Letter::Event(SourceEvent::Clipboard(is)),
            ) if !matches!(was, Clipboard::Wanted(_)) && !matches!(is, Clipboard::Wanted(_)) => {
                *last = letter;
                None
            }
            _ => Some(letter),
        });
    }
}

impl Shared {
    /// What came of reading that text of the host's, and the call that waits for it.
    fn read(&self, number: u64, call: Option<Message>, read: Result<String, PipeError>) {
        self.lock().read(number, call, read);
        self.answers.ring();
        self.jobs.ring();
    }
}

impl Inner {
    fn read(&mut self, number: u64, call: Option<Message>, read: Result<String, PipeError>) {
        if self.closed {
            return;
        }
        let goes_on = call.is_some() && matches!(read, Err(PipeError::Late));
        if self.reading == Some(number) && !goes_on {
            self.reading = None;
        }
        match (call, read) {
            (Some(call), read) => self.answers.push_back((call, read)),
            (None, Ok(text)) if self.text == number => {
                self.kept = Some(text);
                // QEMU doesn't ask twice for what it was refused, unless it is offered once more.
                self.untold |= self.ours;
            }
            (None, _) => {}
        }
    }
}

fn give(call: &Message, text: &str) -> zbus::Result<Message> {
    Message::method_return(&call.header()).build(&(TEXT, text.as_bytes()))
}
