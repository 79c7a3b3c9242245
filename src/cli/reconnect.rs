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

/// That it is lost, and how many tries to have it back have failed; `why` the last one did.
fn waiting(lost: &str, tries: u32, why: &str) -> Panel {
    let mut lines = vec![Line::Heading("Reconnecting…".to_owned()), Line::Text(sentence(lost))];
    if tries > 0 {
        let times = if tries == 1 { "once" } else { &format!("{tries} times") };
        lines.extend([Line::Gap, Line::Text(sentence(&format!("tried {times}: {why}")))]);
    }
    Panel { note: "reconnecting…".to_owned(), lines }
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
        let (tries, why) = &self.failed;
        waiting(lost, *tries, why)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_reads_why_it_went_and_why_it_is_not_back() {
        let heading = Line::Heading("Reconnecting…".to_owned());
        let text = |text: &str| Line::Text(text.to_owned());
        let gone = || vec![heading.clone(), text("The connection was closed.")];
        let said = |tries, why| waiting("the connection was closed", tries, why);
        assert_eq!(said(0, "").lines, gone());
        let once = [Line::Gap, text("Tried once: no QEMU is on the bus.")];
        assert_eq!(said(1, "no QEMU is on the bus").lines, [gone(), once.to_vec()].concat());
        let often = [Line::Gap, text("Tried 7 times: is it running?")];
        assert_eq!(said(7, "is it running?").lines, [gone(), often.to_vec()].concat());
        assert_eq!(said(7, "").note, "reconnecting…");
    }

    #[test]
    fn a_window_is_called_after_its_virtual_machine() {
        let console = |vm: &str, console| ConsoleInfo {
            uri: "qemu:".parse().unwrap(),
            vm: vm.to_owned(),
            uuid: String::new(),
            console,
            head: 0,
            label: String::new(),
            kind: "Graphic".to_owned(),
            width: 640,
            height: 480,
            backend: String::new(),
        };
        assert_eq!(title(&console("vm", 0), false), "vm – Fanlight");
        assert_eq!(title(&console("vm", 0), true), "vm (1) – Fanlight");
        assert_eq!(title(&console("", 2), false), "QEMU (3) – Fanlight");
    }
}
