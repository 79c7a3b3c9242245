//! Several windows. Each has a thread, a connection to the compositor and a session of its own, so that
//! one that hangs holds up no other. The main thread waits for consoles that come, windows that end and
//! signals, and for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tracing::{info, warn};

use super::ViewArgs;
use super::head::Head;
use crate::cli::exit::Failure;
use crate::cli::{Signals, Stop, Waker};
use crate::sink::wayland::WindowOptions;
use crate::source::{self, Opened, Options, Present, Seen, SourceError, Uri, Watch};

/// Windows at one time: a backend that makes consoles without end fills no screen.
const WINDOWS_MAX: usize = 64;
/// How long windows may take to close when the program was told to end; one that hangs is left behind.
const FAREWELL: Duration = Duration::from_secs(3);

/// What threads tell the main one.
enum News {
    /// A window has ended.
    Ended(usize, Result<(), Failure>),
    /// One of this place is connected again.
    Back(usize),
    /// A place is watched again, or not.
    Watched(usize, Result<Box<dyn Watch>, SourceError>),
}

/// What was named: a console, or where consoles come and go.
struct Place {
    uri: Uri,
    watch: Option<Box<dyn Watch>>,
    /// Those of its consoles that have or had a window.
    shown: BTreeSet<String>,
}

/// A console among those of its virtual machine.
#[derive(Clone, Copy)]
struct Kin {
    /// There are others.
    others: bool,
    /// It is the first of them.
    first: bool,
}

struct Window {
    place: usize,
    uri: Uri,
    stop: Stop,
}

/// All windows.
pub(super) struct Heads<'a> {
    args: Arc<ViewArgs>,
    window: Arc<WindowOptions>,
    signals: &'a Signals,
    places: Vec<Place>,
    windows: BTreeMap<usize, Window>,
    next: usize,
    worst: Option<Failure>,
    tell: Sender<News>,
    told: Receiver<News>,
}

impl<'a> Heads<'a> {
    pub(super) fn new(
        args: &ViewArgs,
        window: WindowOptions,
        signals: &'a Signals,
    ) -> Result<Self, Failure> {
        if std::env::var_os("WAYLAND_SOCKET").is_some() {
            let sentence = "WAYLAND_SOCKET is one connection to the compositor, which several windows \
                            can't share; unset it, and set WAYLAND_DISPLAY";
            return Err(Failure::usage(std::io::Error::other(sentence)));
        }
        let (tell, told) = channel();
        let (args, window) = (Arc::new(args.clone()), Arc::new(window));
        let (places, windows, worst) = (Vec::new(), BTreeMap::new(), None);
        Ok(Self { args, window, signals, places, windows, next: 0, worst, tell, told })
    }

    /// Shows all that `uris` lead to, until the last window has ended.
    pub(super) fn run(mut self, uris: Vec<Uri>) -> Result<(), Failure> {
        for uri in uris {
            let place = self.places.len();
            let watch = self.args.all.then(|| source::watch(&uri, &Options::default()));
            let watch = watch.transpose()?;
            let watched = watch.is_some();
            self.places.push(Place { uri: uri.clone(), watch, shown: BTreeSet::new() });
            if watched {
                self.look(place)?;
                if !self.windows.values().any(|window| window.place == place) {
                    return Err(SourceError::NoGraphicConsole.into());
                }
            } else {
                let asked = uri.clone();
                let kin = Kin { others: false, first: true };
                self.open(place, &uri, kin, move || source::open(&asked, &Options::default()))?;
            }
        }
        while !self.windows.is_empty() {
            self.wait()?;
            if self.signals.told() {
                self.farewell();
                break;
            }
            for place in 0..self.places.len() {
                self.look(place)?;
            }
            self.read()?;
        }
        self.worst.take().map_or(Ok(()), Err)
    }

    /// Waits until something is to be done.
    fn wait(&self) -> Result<(), Failure> {
        let watches = self.places.iter().filter_map(|place| place.watch.as_ref());
        let fds = std::iter::once(self.signals.fd()).chain(watches.map(|watch| watch.fd()));
        let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }

    /// Opens windows for what has come to a place.
    fn look(&mut self, place: usize) -> Result<(), Failure> {
        while let Some(watch) = &mut self.places[place].watch {
            match watch.poll() {
                None => return Ok(()),
                Some(Seen::Lost(reason)) => {
                    // Its windows find out by themselves.
                    info!(reason, "{} is watched no more", self.places[place].uri);
                    self.places[place].watch = None;
                }
                Some(Seen::Consoles(mut present)) => {
                    present.retain(|one| one.console.kind == "Graphic");
                    self.show(place, &present)?;
                }
            }
        }
        Ok(())
    }

    fn show(&mut self, place: usize, present: &[Present]) -> Result<(), Failure> {
        let shown = &mut self.places[place].shown;
        // What went and comes back is shown again, also where its window was closed.
        shown.retain(|id| present.iter().any(|one| one.id == *id));
        for one in present {
            let uri = &one.console.uri;
            if !self.places[place].shown.insert(one.id.clone()) {
                continue;
            }
            // One that waits for it to come back takes it.
            if self.windows.values().any(|window| window.place == place && window.uri == *uri) {
                continue;
            }
            let kin = |other: &&Present| {
                (&other.console.vm, &other.console.uuid) == (&one.console.vm, &one.console.uuid)
            };
            let first = present.iter().find(kin).is_some_and(|first| first.id == one.id);
            let kin = Kin { others: present.iter().filter(kin).count() > 1, first };
            if self.args.reconnect && kin.others && one.is_shared() {
                let sentence = "--reconnect and --all can't be had together where all windows share one \
                                connection to QEMU: use a message bus (-display dbus), or one of the two";
                return Err(Failure::usage(std::io::Error::other(sentence)));
            }
            let one = one.clone();
            self.open(place, &uri.clone(), kin, move || one.open(&Options::default()))?;
        }
        Ok(())
    }

    /// Opens a window on a thread of its own.
    fn open(
        &mut self,
        place: usize,
        uri: &Uri,
        kin: Kin,
        open: impl FnOnce() -> Result<Opened, SourceError> + Send + 'static,
    ) -> Result<(), Failure> {
        if self.windows.len() >= WINDOWS_MAX {
            warn!("{WINDOWS_MAX} windows are open: {uri} gets none");
            return Ok(());
        }
        let failed = |error| Failure::failed("can't make a thread for a window", error);
        let theirs = Signals::unasked().map_err(failed)?;
        let window = Window { place, uri: uri.clone(), stop: theirs.stop()? };
        let number = self.next;
        self.next += 1;
        let (args, options) = (Arc::clone(&self.args), Arc::clone(&self.window));
        let (asked, teller) = (uri.clone(), self.teller()?);
        let run = move || {
            let back = teller.clone();
            let show = || {
                open().map_err(Failure::from).and_then(|opened| {
                    let head = Head::open(&args, &options, &asked, opened, kin.others, &theirs)?;
                    let head = if kin.first { head.with_sound(&args) } else { head };
                    head.beside(move || back.tell(News::Back(place))).run()
                })
            };
            // What has panicked said so, and ends with its window only.
            let panicked = |_| {
                Err(Failure::ended(
                    "a window ended by a mistake of Fanlight's: please report it".to_owned(),
                ))
            };
            let ended = catch_unwind(AssertUnwindSafe(show)).unwrap_or_else(panicked);
            teller.tell(News::Ended(number, ended));
        };
        thread::Builder::new().name("fanlight-window".to_owned()).spawn(run).map_err(failed)?;
        self.windows.insert(number, window);
        Ok(())
    }

    fn teller(&self) -> Result<Teller, Failure> {
        Ok(Teller { tell: self.tell.clone(), waker: self.signals.waker()? })
    }

    /// Handles what threads have told.
    fn read(&mut self) -> Result<(), Failure> {
        while let Ok(news) = self.told.try_recv() {
            match news {
                News::Ended(number, ended) => self.ended(number, ended),
                News::Back(place) if self.args.all && self.places[place].watch.is_none() => {
                    let (uri, teller) = (self.places[place].uri.clone(), self.teller()?);
                    thread::spawn(move || {
                        let watch = source::watch(&uri, &Options::default());
                        teller.tell(News::Watched(place, watch));
                    });
                }
                News::Back(_) => {}
                News::Watched(place, Ok(watch)) => {
                    self.places[place].watch = Some(watch);
                    self.look(place)?;
                }
                News::Watched(place, Err(error)) => {
                    warn!(%error, "what comes to {} is not seen any more", self.places[place].uri);
                }
            }
        }
        Ok(())
    }

    fn ended(&mut self, number: usize, ended: Result<(), Failure>) {
        self.windows.remove(&number);
        if let Err(failure) = ended {
            self.worst = Some(Failure::worse(self.worst.take(), failure));
        }
    }

    /// Closes all windows; does not wait for one that hangs.
    fn farewell(&mut self) {
        for window in self.windows.values() {
            window.stop.stop();
        }
        let until = Instant::now() + FAREWELL;
        while !self.windows.is_empty() && Instant::now() < until {
            match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(News::Ended(number, ended)) => self.ended(number, ended),
                Ok(News::Back(_) | News::Watched(..)) => {}
                Err(_) => break,
            }
        }
        if !self.windows.is_empty() {
            warn!("{} windows did not close in time, and are left behind", self.windows.len());
        }
    }
}

/// Tells the main thread, and wakes it.
#[derive(Clone)]
struct Teller {
    tell: Sender<News>,
    waker: Waker,
}

impl Teller {
    fn tell(&self, news: News) {
        // Where nobody listens any more the program ends.
        let _ = self.tell.send(news);
        self.waker.wake();
    }
}
