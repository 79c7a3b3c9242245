//! `view --reconnect`: a backend that went away is asked for again until it is back.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::Waker;
use super::status::sentence;
use crate::session::Session;
use crate::sink::wayland::WaylandSink;
use crate::source::{ConsoleInfo, Opened, Options, Retry, Uri};
use crate::text::{Line, Panel};

/// What the window is called while it shows `console`; with its number, where there are others.
pub(super) fn title(console: &ConsoleInfo, others: bool) -> String {
    match console.console {
        0 if !others => format!("{} – Fanlight", name(console)),
        // People count from one.
        number => format!("{} ({}) – Fanlight", name(console), u64::from(number) + 1),
    }
}

/// What sentences call the virtual machine.
pub(super) fn name(console: &ConsoleInfo) -> &str {
    if console.vm.is_empty() { "QEMU" } else { &console.vm }
}

/// Brings a session's backend back.
pub(super) struct Reconnect {
    retry: Retry,
    title: String,
    others: bool,
    /// Since the loss: how many tries failed, and why the last one did.
    failed: (u32, String),
}

impl Reconnect {
    /// For what was opened as `asked`. `waker` wakes who waits in the session's turn.
    /// `others`: the virtual machine has consoles besides.
    pub(super) fn new(asked: &Uri, console: &ConsoleInfo, others: bool, waker: Waker) -> Self {
        let wake = Arc::new(move || waker.wake());
        let retry = Retry::of(asked, console, Options::default(), wake);
        Self { retry, title: title(console, others), others, failed: Default::default() }
    }

    /// What the window says until it is back; `lost` is why it went.
    pub(super) fn status(&self, lost: &str) -> Panel {
        let mut lines = vec![Line::Heading("Reconnecting…".to_owned()), Line::Text(sentence(lost))];
        let (tries, why) = &self.failed;
        if *tries > 0 {
            let times = if *tries == 1 { "once" } else { &format!("{tries} times") };
            lines.extend([Line::Gap, Line::Text(sentence(&format!("tried {times}: {why}")))]);
        }
        Panel { note: "reconnecting…".to_owned(), lines }
    }

    /// When [`step`](Self::step) has something to do, if it isn't woken before.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.retry.due_in()
    }

    /// Does what is due, and never waits.
    pub(super) fn step(&mut self, session: &mut Session<WaylandSink>) {
        if let Some(reason) = session.lost().filter(|_| self.retry.is_up()) {
            warn!(reason, "{} is gone; waiting for it to come back", self.retry.uri());
            self.failed = Default::default();
            self.retry.lost();
        }
        match self.retry.step() {
            Some(Ok(Opened { source, console })) => {
                info!("{} is back", self.retry.uri());
                self.title = title(&console, self.others);
                session.sink().set_title(&self.title);
                session.reconnect(source);
            }
            Some(Err(error)) => {
                info!(%error, "{} is not back yet", self.retry.uri());
                self.failed = (self.failed.0 + 1, error.to_string());
            }
            None => {}
        }
    }
}
