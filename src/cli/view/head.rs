//! One window, and the console that it shows.

use super::{ViewArgs, sound};
use crate::cli::Signals;
use crate::cli::exit::Failure;
use crate::cli::hud::Hud;
use crate::cli::reconnect::{self, Reconnect};
use crate::cli::screenshot::Screenshots;
use crate::cli::stats::Reporter;
use crate::cli::status::Status;
use crate::frame::{Size, SizeHint};
use crate::session::{Config, Options, Session, Turn};
use crate::sink::wayland::{Action, WaylandSink, WindowOptions};
use crate::source::{self, Opened, Uri};

/// A window that shows a console until either ends.
pub(super) struct Head<'a> {
    session: Session<WaylandSink>,
    reporter: Reporter,
    again: Option<Reconnect>,
    keep_open: bool,
    status: Status,
    hud: Hud,
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
        let mut hud = Hud::new(&console);
        if args.hud {
            hud.toggle(&mut session);
        }
        let again = || signals.waker().map(|waker| Reconnect::new(uri, &console, others, waker));
        Ok(Self {
            session,
            reporter: Reporter::new(args.common.stats, &console.uri),
            again: args.reconnect.then(again).transpose()?,
            keep_open: args.keep_open,
            status: Status::new(),
            hud,
            name: reconnect::name(&console).to_owned(),
            screenshots: Screenshots::new(signals.waker()?),
            signals,
            back: None,
        })
    }

    /// Lets the guest be heard, and hear, as far as that is wanted. The heads of one virtual machine have one sound.
    pub(super) fn with_sound(mut self, args: &ViewArgs) -> Self {
        sound::begin(&mut self.session, args);
        self
    }

    /// As one of several windows; `back` is called whenever it is connected again.
    pub(super) fn beside(self, back: impl Fn() + 'static) -> Self {
        let (reporter, status) = (self.reporter.beside(), self.status.beside());
        Self { reporter, status, back: Some(Box::new(back)), ..self }
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
        let Self {
            session,
            reporter,
            again,
            keep_open,
            status,
            hud,
            name,
            screenshots,
            signals,
            back,
        } = self;
        let retry = again.as_ref().and_then(Reconnect::due_in);
        let due = [reporter.due_in(), retry, status.due_in(), hud.due_in(), screenshots.due_in()];
        let turn = session.turn(due.into_iter().flatten().min(), Some(signals.fd()))?;
        reporter.report(&session.stats(), false)?;
        while let Some(action) = session.sink().wanted() {
            match action {
                Action::Hud => hud.toggle(session),
                Action::Screenshot => screenshots.take(session, name),
                Action::Mute => sound::toggle(session),
                // The window's own.
                Action::Grab | Action::Fullscreen => {}
            }
        }
        screenshots.step(session);
        let closed = session.closed();
        let ended = turn == Turn::Woken && signals.told() || closed == Some(None);
        if let Some(Some(reason)) = closed {
            let sentence = format!("the compositor ended the window: {reason}");
            return Ok(Some(Err(Failure::ended(sentence))));
        }
        let gone = |reason: &str| {
            Err(Failure::ended(format!("the virtual machine {name} is gone: {reason}")))
        };
        match (&mut *again, session.lost()) {
            // Its window goes as it came.
            (None, Some(source::CONSOLE_GONE)) if back.is_some() => return Ok(Some(Ok(()))),
            (None, Some(reason)) if ended == *keep_open => return Ok(Some(gone(reason))),
            _ if ended => return Ok(Some(Ok(()))),
            (Some(again), lost) => {
                let was_lost = lost.is_some();
                again.step(session);
                if was_lost && session.lost().is_none() {
                    back.iter().for_each(|tell| tell());
                }
            }
            (None, _) => {}
        }
        status.step(session, again.as_ref());
        hud.step(session);
        Ok(None)
    }
}
