//! One window, and the console that it shows.

use super::ViewArgs;
use crate::cli::Signals;
use crate::cli::exit::Failure;
use crate::cli::reconnect::{self, Reconnect};
use crate::cli::stats::Reporter;
use crate::session::{Config, Options, Session, Turn};
use crate::sink::wayland::{Action, WaylandSink, WindowOptions};
use crate::source::{Opened, Uri};

/// A window that shows a console until either ends.
pub(super) struct Head<'a> {
    session: Session<WaylandSink>,
    reporter: Reporter,
    again: Option<Reconnect>,
    /// What sentences call the virtual machine.
    name: String,
    signals: &'a Signals,
}

impl<'a> Head<'a> {
    /// Opens a window for `opened`, which was asked for as `uri`.
    pub(super) fn open(
        args: &ViewArgs,
        window: &WindowOptions,
        uri: &Uri,
        opened: Opened,
        signals: &'a Signals,
    ) -> Result<Self, Failure> {
        let Opened { source, console } = opened;
        let window = WindowOptions { title: reconnect::title(&console), ..window.clone() };
        let sink = WaylandSink::connect(&window)
            .map_err(|error| Failure::failed("can't open a window", error))?;
        let config = Config { ack_deadline: args.common.ack_deadline(), ..Config::VIEWER };
        let options = Options { present: args.present.into(), config };
        let again = || signals.waker().map(|waker| Reconnect::new(uri, &console, waker));
        Ok(Self {
            session: Session::new(source, sink, options),
            reporter: Reporter::new(args.common.stats),
            again: args.reconnect.then(again).transpose()?,
            name: reconnect::name(&console).to_owned(),
            signals,
        })
    }

    /// Shows it to the end.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let end = loop {
            if let Some(end) = self.turn()? {
                break end;
            }
        };
        self.reporter.report(&self.session.stats(), true)?;
        end
    }

    /// Waits for what happens next; how it ended, once it has.
    fn turn(&mut self) -> Result<Option<Result<(), Failure>>, Failure> {
        let Self { session, reporter, again, name, signals } = self;
        let retry = again.as_ref().and_then(Reconnect::due_in);
        let due = [reporter.due_in(), retry].into_iter().flatten().min();
        let turn = session.turn(due, Some(signals.fd()))?;
        reporter.report(&session.stats(), false)?;
        while let Some(action) = session.sink().wanted() {
            match action {
                Action::Hud => {}
                Action::Screenshot => {}
                // The window's own.
                Action::Grab | Action::Fullscreen => {}
            }
        }
        if turn == Turn::Woken && signals.told() {
            return Ok(Some(Ok(())));
        }
        if let Some(reason) = session.closed() {
            return Ok(Some(reason.map_or(Ok(()), |reason| {
                Err(Failure::ended(format!("the compositor ended the window: {reason}")))
            })));
        }
        match (again, session.lost()) {
            (Some(again), _) => again.step(session),
            (None, Some(reason)) => {
                let sentence = format!("the virtual machine {name} is gone: {reason}");
                return Ok(Some(Err(Failure::ended(sentence))));
            }
            (None, None) => {}
        }
        Ok(None)
    }
}
