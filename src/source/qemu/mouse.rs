//! What the guest's pointer understands: a place, or a distance.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::names::{MOUSE, PROPERTIES};
use super::screen::Letter;
use super::vm::{Properties, console_path, get, properties};
use crate::frame::Pointing;
use crate::port::SourceEvent;
use crate::source::mailbox::Mailbox;

/// Signals that may wait to be looked at.
const SIGNALS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Tells of it, first where it isn't a place, then whenever it changes.
pub(super) async fn watch(
    link: Connection,
    owner: Option<String>,
    console: u32,
    mailbox: Arc<Mailbox<Letter>>,
) {
    let path = console_path(console);
    if let Err(error) = tell(&link, owner.as_deref(), &path, &mailbox).await {
        tracing::debug!(%error, "QEMU doesn't say what its mouse is: it is given places");
    }
}

async fn tell(
    link: &Connection,
    owner: Option<&str>,
    path: &str,
    mailbox: &Mailbox<Letter>,
) -> zbus::Result<()> {
    // First, so that no change is missed.
    let mut rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface(PROPERTIES)
        .member("PropertiesChanged")
        .path(path)
        .add_arg(MOUSE);
    if let Some(owner) = owner {
        rule = rule.sender(owner);
    }
    let rule = rule.build()?;
    let mut signals = MessageStream::for_match_rule(rule, link, Some(SIGNALS_MAX)).await?;
    let mut was = Pointing::default();
    let mut now = pointing(&properties(link, owner, path, MOUSE).await?)?;
    loop {
        if now != was {
            // A guest that changes its mind all the time fills no memory.
            poll_fn(|cx| mailbox.poll_room(cx)).await;
            mailbox.push(Letter::Event(SourceEvent::Pointing(now)), |_, letter| Some(letter));
            was = now;
        }
        let Some(signal) = poll_fn(|cx| Pin::new(&mut signals).poll_next(cx)).await else {
            return Ok(());
        };
        // What else has changed doesn't matter.
        now = changed(&signal?).unwrap_or(now);
    }
}

fn changed(signal: &Message) -> zbus::Result<Pointing> {
    let body = signal.body();
    let (_, changed, _): (String, Properties, Vec<String>) = body.deserialize()?;
    pointing(&changed)
}

fn pointing(of_mouse: &Properties) -> zbus::Result<Pointing> {
    let absolute = get(of_mouse, "IsAbsolute")?;
    Ok(if absolute { Pointing::Absolute } else { Pointing::Relative })
}
