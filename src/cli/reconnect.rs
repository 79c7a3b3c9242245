//! `view --reconnect`: a backend that went away is asked for again until it is back.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::Waker;
use super::status::sentence;
use crate::session::Session;
use crate::sink::wayland::WaylandSink;
use crate::source::{self, ConsoleInfo, Opened, Options, SourceError, Uri};
use crate::text::{Line, Panel};

const DELAY_MIN: Duration = Duration::from_millis(250);
/// Also how long a connection has to hold before the next loss counts as a first one.
const DELAY_MAX: Duration = Duration::from_secs(5);

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
    uri: Uri,
    title: String,
    others: bool,
    delays: Delays,
    /// Since the loss: how many tries failed, and why the last one did.
    failed: (u32, String),
    waker: Waker,
    step: Step,
}

enum Step {
    Up(Instant),
    Resting(Instant),
    /// A thread asks: it may take as long as opening may.
    Opening(Receiver<Result<Opened, SourceError>>),
}

impl Reconnect {
    /// For what was opened as `asked`. `waker` wakes who waits in the session's turn.
    /// `others`: the virtual machine has consoles besides.
    pub(super) fn new(asked: &Uri, console: &ConsoleInfo, others: bool, waker: Waker) -> Self {
        let title = title(console, others);
        let uri = same_again(asked, &console.uri);
        let (delays, failed) = Default::default();
        let step = Step::Up(Instant::now());
        Self { uri, title, others, delays, failed, waker, step }
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
        match self.step {
            Step::Resting(until) => Some(until.saturating_duration_since(Instant::now())),
            Step::Up(_) | Step::Opening(_) => None,
        }
    }

    /// Does what is due, and never waits.
    pub(super) fn step(&mut self, session: &mut Session<WaylandSink>) {
        let now = Instant::now();
        match &mut self.step {
            Step::Up(since) => {
                let Some(reason) = session.lost() else { return };
                warn!(reason, "{} is gone; waiting for it to come back", self.uri);
                self.failed = Default::default();
                let delay = self.delays.lost(now.saturating_duration_since(*since));
                self.step = Step::Resting(now + delay);
            }
            Step::Resting(until) if now >= *until => self.ask(),
            Step::Resting(_) => {}
            Step::Opening(opened) => match opened.try_recv() {
                Ok(Ok(Opened { source, console })) => {
                    info!("{} is back", self.uri);
                    self.title = title(&console, self.others);
                    session.sink().set_title(&self.title);
                    session.reconnect(source);
                    self.step = Step::Up(now);
                }
                Ok(Err(error)) => {
                    info!(%error, "{} is not back yet", self.uri);
                    self.failed = (self.failed.0 + 1, error.to_string());
                    self.step = Step::Resting(now + self.delays.failed());
                }
                Err(TryRecvError::Disconnected) => {
                    self.step = Step::Resting(now + self.delays.failed());
                }
                Err(TryRecvError::Empty) => {}
            },
        }
    }

    fn ask(&mut self) {
        let (tell, told) = channel();
        let (uri, waker) = (self.uri.clone(), self.waker.clone());
        let asked = thread::Builder::new().name("fanlight-open".to_owned()).spawn(move || {
            // Where the window was closed meanwhile nobody listens.
            let _ = tell.send(source::open(&uri, &Options::default()));
            waker.wake();
        });
        self.step = match asked {
            Ok(_) => Step::Opening(told),
            Err(error) => {
                debug!(%error, "no thread to connect again on");
                Step::Resting(Instant::now() + self.delays.failed())
            }
        };
    }
}

/// What names the same console after its backend was started again: what it was found to be, so that
/// another that happens to be the only one by then isn't taken for it. A unique bus name is never given
/// out again, so there what was asked for has to do.
fn same_again(asked: &Uri, found: &Uri) -> Uri {
    match found {
        Uri::Qemu { vm: Some(name), .. } if name.starts_with(':') => asked.clone(),
        found => found.clone(),
    }
}

/// How long to wait before the next try: twice as long each time.
#[derive(Default)]
struct Delays(Option<Duration>);

impl Delays {
    /// A connection is gone that was up for so long.
    fn lost(&mut self, up: Duration) -> Duration {
        if up >= DELAY_MAX {
            self.0 = None;
        }
        self.failed()
    }

    fn failed(&mut self) -> Duration {
        let delay = self.0.map_or(DELAY_MIN, |last| (2 * last).min(DELAY_MAX));
        self.0 = Some(delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_try_waits_twice_as_long_up_to_a_limit() {
        let mut delays = Delays::default();
        let ms = |delay: Duration| delay.as_millis();
        let mut all = vec![ms(delays.lost(DELAY_MAX))];
        all.extend((0..6).map(|_| ms(delays.failed())));
        assert_eq!(all, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        // One that comes back only to go at once is not asked four times a second.
        assert_eq!(ms(delays.lost(Duration::from_millis(10))), 5000);
        assert_eq!(ms(delays.lost(DELAY_MAX)), 250);
    }

    #[test]
    fn the_same_one_is_asked_for_again() {
        let again = |asked: &str, found: &str| {
            same_again(&asked.parse().unwrap(), &found.parse().unwrap()).to_string()
        };
        assert_eq!(again("qemu:", "qemu:a?console=0"), "qemu:a?console=0");
        assert_eq!(again("qemu:", "qemu::1.7?console=0"), "qemu:");
        assert_eq!(again("scanout:/a", "scanout:/a?console=2"), "scanout:/a?console=2");
    }
}
