//! The one shell around the machine: it tells the time, owns the fds, and makes the calls.
//!
//! One thread owns a session. It waits in [`turn`](Session::turn) for its source, its sink or the
//! next moment that the machine asked for; each event becomes one input of the machine, and its
//! outputs become calls, until nothing is left to do.
//!
//! Its clock is the kernel's monotonic one ([`Instant`]): nobody can set it, and it stands still while
//! the host is suspended, so that no deadline passes then.

mod clipboard;
mod epoch;
mod events;
mod held;
mod latency;
mod resize;
#[cfg(feature = "wayland")]
mod screenshot;
mod sound;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tracing::debug;

use crate::frame::{CommitId, SizeHint, Sound, Storage, StorageId, UpdateId};
use crate::port::{Ack, Buffer, Sink, Source, Verdict};
pub use crate::scanout::{Config, Mode, Present, Why};
use crate::scanout::{Counts, Input, Machine, Output, SinkId, Time};
use held::Held;
pub use latency::Histogram;
use resize::Resize;

/// Drivers whose dma-bufs carry the fences of what writes them, so that a reader waits for the guest.
const FENCING_EXPORTERS: &[&str] =
    &["i915", "xe", "amdgpu", "nouveau", "msm", "panfrost", "panthor", "v3d"];

/// Commits whose presentation is timed at once; older ones are forgotten.
const TIMED_COMMITS_MAX: usize = 16;

const SINK: SinkId = SinkId(0);

/// How a session goes about its work.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Direct, or by a copy.
    pub present: Present,
    /// The times that are kept.
    pub config: Config,
}

impl Default for Options {
    fn default() -> Self {
        Self { present: Present::Auto, config: Config::VIEWER }
    }
}

/// What a session did so far, and how.
#[derive(Clone, Debug)]
pub struct Stats {
    /// What happened.
    pub counts: Counts,
    /// Updates of the guest's, those that were refused too.
    pub updates: u64,
    /// How frames reach the sink now, and why; `None` before the first scanout.
    pub mode: Option<(Mode, Why)>,
    /// From an update to its commit.
    pub update_to_commit: Histogram,
    /// From a commit to the sink's word that it was taken for the screen.
    pub commit_to_presented: Histogram,
    /// From an update to its ack.
    pub update_to_ack: Histogram,
}

/// What a turn ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Events were handled, or the machine's next moment came.
    Worked,
    /// The caller's timeout came.
    TimedOut,
    /// The caller's own fd is readable.
    Woken,
}

/// A source, a sink, and the machine between them.
pub struct Session<K> {
    machine: Machine,
    source: Box<dyn Source>,
    sink: K,
    start: Instant,
    storages: HashMap<StorageId, Rc<Storage>>,
    current: Option<Buffer>,
    acks: HashMap<UpdateId, (Ack, Time)>,
    next_update: u64,
    resize: Resize,
    held: Held,
    host_text: Option<bool>,
    /// The last commit is of the present source, and nothing has blanked it.
    live: bool,
    sound: Sound,
    microphone: Sound,
    lost: Option<String>,
    closed: Option<Option<String>>,
    commits: VecDeque<(CommitId, Time)>,
    update_to_commit: Histogram,
    commit_to_presented: Histogram,
    update_to_ack: Histogram,
}

impl<K: std::fmt::Debug> std::fmt::Debug for Session<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("sink", &self.sink).field("current", &self.current).finish()
    }
}

impl<K: Sink> Session<K> {
    /// Joins a source and a sink. Time starts now.
    pub fn new(source: Box<dyn Source>, sink: K, options: Options) -> Self {
        let mut machine = Machine::new(options.config);
        machine.handle(Time::ZERO, Input::Attach(SINK, options.present));
        Self {
            machine,
            source,
            sink,
            start: Instant::now(),
            storages: HashMap::new(),
            current: None,
            acks: HashMap::new(),
            next_update: 1,
            resize: Resize::default(),
            held: Held::default(),
            host_text: None,
            live: false,
            sound: Sound::Off,
            microphone: Sound::Off,
            lost: None,
            closed: None,
            commits: VecDeque::with_capacity(TIMED_COMMITS_MAX),
            update_to_commit: Histogram::default(),
            commit_to_presented: Histogram::default(),
            update_to_ack: Histogram::default(),
        }
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut K {
        &mut self.sink
    }

    /// Whether the sink is gone: closed by the user, or with the reason why it broke.
    pub fn closed(&self) -> Option<Option<&str>> {
        self.closed.as_ref().map(Option::as_deref)
    }

    /// The buffer that the console shows.
    pub fn buffer(&self) -> Option<&Buffer> {
        self.current.as_ref()
    }

    /// Shows the guest in this way from now on: where that means a copy, one takes the place of the
    /// guest's memory at once; else the next frame is the first that is shown so. The picture stays
    /// meanwhile, and no ack waits for it.
    pub fn set_present(&mut self, present: Present) {
        self.handle(Input::SetPresent(SINK, present));
        self.sink.flush();
    }

    /// Asks the guest for a picture of this size, as the sink does when it has another.
    pub fn ask_size(&mut self, hint: SizeHint) {
        self.resize.want(hint, self.now());
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        Stats {
            counts: self.machine.counts(),
            updates: self.next_update - 1,
            mode: self.machine.mode(SINK),
            update_to_commit: self.update_to_commit.clone(),
            commit_to_presented: self.commit_to_presented.clone(),
            update_to_ack: self.update_to_ack.clone(),
        }
    }

    /// Waits for the next thing to happen, `timeout` at most, and does all that follows from it.
    /// Doesn't wait where something has happened already; returns early when `wake`, an fd of the
    /// caller's, is readable.
    ///
    /// # Errors
    /// If the kernel refuses to wait.
    pub fn turn(
        &mut self,
        timeout: Option<Duration>,
        wake: Option<BorrowedFd<'_>>,
    ) -> io::Result<Turn> {
        // What came before anybody waited, or by a call of the caller's to the sink.
        let worked = self.pump();
        let now = self.now();
        let machine = self.machine.wakeup().map(|at| at.saturating_sub(now));
        // The caller wants to look at what was done, before anything else may take its time.
        let no_time = worked.then_some(Duration::ZERO);
        let wait = [timeout, machine, self.resize.due_in(now), no_time].into_iter().flatten().min();
        // What is too long for it has no end.
        let until = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let source = self.source.fd();
        let mut fds = [source; 3];
        let mut count = 0;
        // A lost source and a closed sink are asked no more: they could stay readable for ever.
        let source = Some(source).filter(|_| self.lost.is_none());
        let sink = self.sink.fd().filter(|_| self.closed.is_none());
        for fd in [wake, source, sink].into_iter().flatten() {
            fds[count] = fd;
            count += 1;
        }
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let fds = &mut fds[..count];
        let ready = match poll(fds, until.as_ref()) {
            Ok(ready) => ready,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let woken = wake.is_some() && !fds[0].revents().is_empty();
        // What has arrived comes before what is late without it.
        self.pump();
        if self.handle_at(self.now(), Input::Tick) {
            self.pump();
        }
        if let Some(hint) = self.resize.take_due(self.now()) {
            self.source.resize(&hint);
        }
        Ok(if woken {
            Turn::Woken
        } else if ready == 0 && !worked && timeout.is_some() && wait == timeout {
            Turn::TimedOut
        } else {
            Turn::Worked
        })
    }

    /// How many frames the guest has finished, without those that were refused.
    pub fn finished(&self) -> u64 {
        (self.next_update - 1).saturating_sub(self.machine.counts().refused_updates)
    }

    fn now(&self) -> Time {
        self.start.elapsed()
    }

    /// Handles all that has arrived; says whether anything had.
    fn pump(&mut self) -> bool {
        let mut any = false;
        loop {
            // The sink first: what it has finished makes room for what comes.
            if self.closed.is_none()
                && let Some(event) = self.sink.poll()
            {
                self.sink_event(event);
            } else if self.lost.is_none()
                && let Some(event) = self.source.poll()
            {
                self.source_event(event);
            } else {
                break;
            }
            any = true;
        }
        self.sink.flush();
        any
    }

    fn handle(&mut self, input: Input) {
        self.handle_at(self.now(), input);
    }

    /// Says whether the machine asked for any call.
    fn handle_at(&mut self, now: Time, input: Input) -> bool {
        self.machine.handle(now, input);
        let mut any = false;
        while let Some(output) = self.machine.poll() {
            self.carry_out(output);
            any = true;
        }
        any
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Import { import, .. } => {
                if let Some(buffer) = &self.current {
                    self.sink.import(import, buffer);
                }
            }
            Output::Show { commit, import, damage, drawn, wanted, .. } => {
                self.time_commit(commit, drawn, wanted);
                if let Some(buffer) = &self.current {
                    self.sink.show(commit, import, buffer, &damage);
                }
            }
            Output::Copy { target, damage, .. } => {
                let finished = self.finished();
                if let Some(buffer) = &self.current {
                    self.sink.finished(finished);
                    self.sink.copy(target, buffer, &damage);
                }
            }
            Output::ShowCopy { commit, target, damage, drawn, wanted, .. } => {
                self.time_commit(commit, drawn, wanted);
                if let Some(buffer) = &self.current {
                    self.sink.show_copy(commit, target, buffer, &damage);
                }
            }
            Output::Blank(_) => self.blank(),
            Output::Ack { update, forced } => {
                if forced {
                    debug!(?update, "acked by force: the deadline has come");
                }
                self.settle(update, Verdict::Done);
            }
            Output::Refuse(update) => {
                debug!(?update, "refused: not for the current buffer");
                self.settle(update, Verdict::Refused);
            }
            Output::Retire(storage) => {
                self.sink.forget(storage);
                self.storages.remove(&storage);
                self.current.take_if(|buffer| buffer.storage.id == storage);
                self.source.retired(storage);
            }
        }
    }

    fn settle(&mut self, update: UpdateId, verdict: Verdict) {
        // What is sent before the ack must reach the compositor before the guest goes on.
        self.sink.flush();
        if let Some((ack, at)) = self.acks.remove(&update) {
            let after = self.now().saturating_sub(at);
            self.update_to_ack.record(after);
            self.sink.acked(self.start + at, after);
            ack.settle(verdict);
        }
    }
}
