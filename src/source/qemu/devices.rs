//! What the guest's pointer understands, a place or a distance, and which LEDs of its keyboard are on.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::names::{KEYBOARD, MOUSE, PROPERTIES};
use super::screen::Letter;
use super::vm::{Properties, console_path, get, properties};
use crate::frame::{Leds, Pointing};
use crate::port::SourceEvent;
use crate::source::mailbox::Mailbox;

/// Signals that may wait to be looked at.
const SIGNALS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// LEDs, as QEMU counts them.
const NUM: u32 = 2;
const CAPS: u32 = 4;

/// The devices of a console, and who is to hear of them.
#[derive(Clone)]
pub(super) struct Devices {
    pub(super) link: Connection,
    pub(super) owner: Option<String>,
    pub(super) console: u32,
    pub(super) mailbox: Arc<Mailbox<Letter>>,
}

impl Devices {
    /// Tells what the mouse takes, first where it isn't a place, then whenever it changes.
    pub(super) async fn mouse(self) {
        let told = self.tell(MOUSE, Some(Pointing::default()), pointing, SourceEvent::Pointing);
        if let Err(error) = told.await {
            tracing::debug!(%error, "QEMU doesn't say what its mouse is: it is given places");
        }
    }

    /// Tells which LEDs are on, first and whenever that changes.
    pub(super) async fn leds(self) {
        if let Err(error) = self.tell(KEYBOARD, None, leds, SourceEvent::Leds).await {
            tracing::debug!(%error, "QEMU doesn't say which locks are on: they stay as they are");
        }
    }

    async fn tell<T: Copy + PartialEq>(
        &self,
        interface: &str,
        mut was: Option<T>,
        read: fn(&Properties) -> zbus::Result<T>,
        event: fn(T) -> SourceEvent,
    ) -> zbus::Result<()> {
        let Self { link, owner, console, mailbox } = self;
        let path = console_path(*console);
        // First, so that no change is missed.
        let mut rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(PROPERTIES)
            .member("PropertiesChanged")
            .path(path.as_str())
            .add_arg(interface);
        if let Some(owner) = owner {
            rule = rule.sender(owner.as_str());
        }
        let rule = rule.build()?;
        let mut signals = MessageStream::for_match_rule(rule, link, Some(SIGNALS_MAX)).await?;
        let mut now = read(&properties(link, owner.as_deref(), &path, interface).await?)?;
        loop {
            if was != Some(now) {
                // A guest that changes its mind all the time fills no memory.
                poll_fn(|cx| mailbox.poll_room(cx)).await;
                mailbox.push(Letter::Event(event(now)), |_, letter| Some(letter));
                was = Some(now);
            }
            let Some(signal) = poll_fn(|cx| Pin::new(&mut signals).poll_next(cx)).await else {
                return Ok(());
            };
            // What else has changed doesn't matter.
            now = changed(&signal?).and_then(|changed| read(&changed)).unwrap_or(now);
        }
    }
}

fn changed(signal: &Message) -> zbus::Result<Properties> {
    let (_, changed, _): (String, Properties, Vec<String>) = signal.body().deserialize()?;
    Ok(changed)
}

fn pointing(of_mouse: &Properties) -> zbus::Result<Pointing> {
    let absolute = get(of_mouse, "IsAbsolute")?;
    Ok(if absolute { Pointing::Absolute } else { Pointing::Relative })
}

fn leds(of_keyboard: &Properties) -> zbus::Result<Leds> {
    let on: u32 = get(of_keyboard, "Modifiers")?;
    Ok(Leds { num: on & NUM != 0, caps: on & CAPS != 0 })
}
