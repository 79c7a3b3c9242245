//! A source that is opened on a thread of its own, and again until it is back.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use tracing::debug;

use super::thread::spawn;
use super::{ConsoleInfo, Opened, Options, SourceError, Uri, open};

const DELAY_MIN: Duration = Duration::from_millis(250);
/// Also how long a connection has to hold before the next loss counts as a first one.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Wakes who waits, from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Opens what a URI names without anybody having to wait, at first and after each loss, with a pause
/// that grows up to five seconds.
pub struct Retry {
    uri: Uri,
    options: Options,
    delays: Delays,
    wake: Wake,
    step: Step,
}

impl std::fmt::Debug for Retry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retry").field("uri", &self.uri).field("delays", &self.delays).finish()
    }
}

enum Step {
    Up(Instant),
    Resting(Instant),
    /// A thread asks: it may take as long as opening may.
    Opening(Receiver<Result<Opened, SourceError>>),
}

impl Retry {
    /// Opens `uri` for the first time. `wake` is called when [`step`](Self::step) has something.
    pub fn open(uri: Uri, options: Options, wake: Wake) -> Self {
        let step = Step::Up(Instant::now());
        let mut retry = Self { uri, options, delays: Delays::default(), wake, step };
        retry.ask();
        retry
    }

    /// For what was opened already, as `asked`.
    pub fn of(asked: &Uri, console: &ConsoleInfo, options: Options, wake: Wake) -> Self {
        let uri = same_again(asked, &console.uri);
        Self { uri, options, delays: Delays::default(), wake, step: Step::Up(Instant::now()) }
    }

    /// What is asked for.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether what was opened last is not known to be lost.
    pub fn is_up(&self) -> bool {
        matches!(self.step, Step::Up(_))
    }

    /// It is lost: from now on it is asked for again.
    pub fn lost(&mut self) {
        if let Step::Up(since) = self.step {
            let now = Instant::now();
            let delay = self.delays.lost(now.saturating_duration_since(since));
            self.step = Step::Resting(now + delay);
        }
    }

    /// When [`step`](Self::step) has something to do, if it isn't woken before.
    pub fn due_in(&self) -> Option<Duration> {
        match self.step {
            Step::Resting(until) => Some(until.saturating_duration_since(Instant::now())),
            Step::Up(_) | Step::Opening(_) => None,
        }
    }

    /// Does what is due, and never waits: how a try ended, if one has.
    pub fn step(&mut self) -> Option<Result<Opened, SourceError>> {
        match &mut self.step {
            Step::Resting(until) if Instant::now() >= *until => {
                self.ask();
                None
            }
            Step::Up(_) | Step::Resting(_) => None,
            Step::Opening(opened) => match opened.try_recv() {
                Ok(Ok(opened)) => {
                    // What is back is the same console: another that is the only one by then isn't taken for it.
                    self.uri = same_again(&self.uri, &opened.console.uri);
                    self.step = Step::Up(Instant::now());
                    Some(Ok(opened))
                }
                Ok(Err(error)) => {
                    self.rest();
                    Some(Err(error))
                }
                Err(TryRecvError::Disconnected) => {
                    self.rest();
                    None
                }
                Err(TryRecvError::Empty) => None,
            },
        }
    }

    fn rest(&mut self) {
        self.step = Step::Resting(Instant::now() + self.delays.failed());
    }

    fn ask(&mut self) {
        let (tell, told) = channel();
        let (uri, options, wake) = (self.uri.clone(), self.options, Arc::clone(&self.wake));
        let asked = spawn("fanlight-open", move || {
            // Who doesn't want it any more doesn't listen.
            let _ = tell.send(open(&uri, &options));
            wake();
        });
        match asked {
            Ok(_) => self.step = Step::Opening(told),
            Err(error) => {
                debug!(%error, "no thread to connect on");
                self.rest();
            }
        }
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
#[derive(Debug, Default)]
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
