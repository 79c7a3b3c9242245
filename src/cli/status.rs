//! What is said over the picture while it isn't the guest's.

use std::time::{Duration, Instant};

use super::reconnect::Reconnect;
use crate::session::Session;
use crate::sink::wayland::WaylandSink;
use crate::text::{Line, Panel};

/// A guest that changes its mode is dark for a moment, which needs no words.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the window's status.
pub(super) struct Status {
    shown: bool,
    /// Since when the guest could show something and doesn't.
    dark: Option<Instant>,
    /// That has been said.
    off: bool,
    /// There is a window; one of several isn't opened for a screen that may stay dark.
    window: bool,
}

impl Status {
    pub(super) fn new() -> Self {
        Self { shown: false, dark: Some(Instant::now()), off: false, window: true }
    }

    /// As that of one window of several.
    pub(super) fn beside(self) -> Self {
        Self { window: false, ..self }
    }

    /// When [`step`](Self::step) has something to do although nothing happens.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let since = self.dark.filter(|_| self.window && !self.off)?;
        Some(PATIENCE.saturating_sub(since.elapsed()))
    }

    /// Says what is to be said now, and takes it back when the guest's picture is there.
    pub(super) fn step(&mut self, session: &mut Session<WaylandSink>, again: Option<&Reconnect>) {
        let panel = if session.is_live() {
            (self.dark, self.off, self.window) = (None, false, true);
            if !std::mem::take(&mut self.shown) {
                return;
            }
            None
        } else if let Some(reason) = session.lost() {
            (self.dark, self.off) = (None, false);
            Some(again.map_or_else(|| ended(reason), |again| again.status(reason)))
        } else {
            let since = *self.dark.get_or_insert_with(Instant::now);
            // What nobody can see isn't shown, so that it can't be told apart.
            if self.off || !self.window || since.elapsed() < PATIENCE || session.sink().is_hidden()
            {
                return;
            }
            self.off = true;
            Some(off())
        };
        self.shown = panel.is_some();
        session.sink().set_status(panel);
    }
}

fn off() -> Panel {
    Panel {
        note: "display off".to_owned(),
        lines: vec![
            Line::Heading("Guest display off".to_owned()),
            Line::Text("The guest shows nothing. Its picture comes back by itself.".to_owned()),
        ],
    }
}

fn ended(reason: &str) -> Panel {
    Panel {
        note: "VM ended".to_owned(),
        lines: vec![Line::Heading("VM ended".to_owned()), Line::Text(sentence(reason))],
    }
}

/// What was said in the middle of a sentence, as one of its own.
pub(super) fn sentence(words: &str) -> String {
    let mut rest = words.chars();
    let first = rest.next().map(|first| first.to_uppercase().chain(rest).collect::<String>());
    let mut sentence = first.unwrap_or_default();
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said, line by line, and in the title.
    fn said(panel: &Panel) -> (Vec<&str>, &str) {
        assert!(matches!(panel.lines[0], Line::Heading(_)), "what it is about comes first");
        let lines = panel.lines.iter().map(|found| match found {
            Line::Heading(text) | Line::Text(text) => text.as_str(),
            other => panic!("{other:?}"),
        });
        (lines.collect(), &panel.note)
    }

    #[test]
    fn a_heading_says_what_is_and_a_sentence_why() {
        let sentence = "The guest shows nothing. Its picture comes back by itself.";
        assert_eq!(said(&off()), (vec!["Guest display off", sentence], "display off"));
        let ended = ended("QEMU closed the connection");
        assert_eq!(said(&ended), (vec!["VM ended", "QEMU closed the connection."], "VM ended"));
    }

    #[test]
    fn words_become_a_sentence() {
        assert_eq!(sentence("the backend is gone"), "The backend is gone.");
        assert_eq!(sentence("is it running?"), "Is it running?");
    }
}
