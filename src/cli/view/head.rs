//! One window, and the console that it shows.

use super::ViewArgs;
use crate::cli::Signals;
use crate::cli::exit::Failure;
use crate::cli::reconnect::{self, Reconnect};
use crate::cli::screenshot::Screenshots;
use crate::cli::stats::Reporter;
use crate::frame::{Size, SizeHint};
use crate::session::{Config, Options, Session, Turn};
use crate::sink::wayland::{Action, WaylandSink, WindowOptions};
use crate::source::{self, Opened, Uri};

/// A window that shows a console until either ends.
pub(super) struct Head<'a> {
    session: Session<WaylandSink>,
    reporter: Reporter,
    again: Option<Reconnect>,
    /// What sentences call the virtual machine.
    name: String,
    screenshots: Screenshots,
    signals: &'a Signals,
    /// Told each time that it is connected again.
    back: Option<Box<dyn Fn()>>,
}

/// What QEMU begins with for the first head, and what is asked for of one that is dark.
const FIRST_SIZE: Size = Size { width: 1280, height: 800 };

impl<'a> Head<'a> {
    /// Opens a window for `opened`, which was asked for as `uri`; `others`: its virtual machine has
    /// consoles besides.
    pub(super) fn open(
        args: &ViewArgs,
        window: &WindowOptions,
        uri: &Uri,
        opened: Opened,
        others: bool,
        signals: &'a Signals,
    ) -> Result<Self, Failure> {
        let Opened { source, console } = opened;
        let title = reconnect::title(&console, others);
        let sink = WaylandSink::connect(&WindowOptions { title, ..window.clone() })
            .map_err(|error| Failure::failed("can't open a window", error))?;
        let config = Config { ack_deadline: args.common.ack_deadline(), ..Config::VIEWER };
        let options = Options { present: args.present.into(), config };
        let mut session = Session::new(source, sink, options);
        if console.head > 0 && console.is_dark() {
            session.ask_size(SizeHint { size: FIRST_SIZE, mm: None });
        }
        let again = || signals.waker().map(|waker| Reconnect::new(uri, &console, others, waker));
        Ok(Self {
            session,
            reporter: Reporter::new(args.common.stats, &console.uri),
            again: args.reconnect.then(again).transpose()?,
            name: reconnect::name(&console).to_owned(),
            screenshots: Screenshots::default(),
            signals,
            back: None,
        })
    }

    /// As one of several windows; `back` is called whenever it is connected again.
    pub(super) fn beside(self, back: impl Fn() + 'static) -> Self {
        Self { reporter: self.reporter.beside(), back: Some(Box::new(back)), ..self }
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
        let Self { session, reporter, again, name, screenshots, signals, back } = self;
        let retry = again.as_ref().and_then(Reconnect::due_in);
        let due = [reporter.due_in(), retry].into_iter().flatten().min();
        let turn = session.turn(due, Some(signals.fd()))?;
        reporter.report(&session.stats(), false)?;
        while let Some(action) = session.sink().wanted() {
            match action {
                Action::Hud => {}
                Action::Screenshot => screenshots.take(session, name),
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
            (Some(again), lost) => {
                let was_lost = lost.is_some();
                again.step(session);
                if was_lost && session.lost().is_none() {
                    back.iter().for_each(|tell| tell());
                }
            }
            // Its window goes as it came.
            (None, Some(source::CONSOLE_GONE)) if back.is_some() => return Ok(Some(Ok(()))),
            (None, Some(reason)) => {
                let sentence = format!("the virtual machine {name} is gone: {reason}");
                return Ok(Some(Err(Failure::ended(sentence))));
            }
            (None, None) => {}
        }
        Ok(None)
    }
}
