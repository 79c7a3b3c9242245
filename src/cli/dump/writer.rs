//! Encodes and writes frames on threads of their own, so that the guest doesn't wait for that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use indicatif::ProgressBar;
use serde_json::Value;

use super::super::Waker;
use super::super::exit::Failure;
use super::super::whole::{self, Partial, unwritable};
use super::files::Files;
use super::format::Stream;
use super::manifest::{self, Clock, Manifest};
use crate::capture::{Frame, Hash, Rate, hash};
use crate::frame::Rect;

/// Bytes of frames that may wait to be written.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Frames that may, whatever their size.
const WAITING_MIN: usize = 2;
const WAITING_MAX: usize = 32;
/// Threads that encode.
const THREADS_MAX: usize = 4;

/// What becomes of each frame.
pub(super) struct Work {
    /// Where its picture goes.
    pub(super) files: Option<Files>,
    /// Which part of it.
    pub(super) crop: Option<Rect>,
    /// Whether its hash is printed.
    pub(super) print_hash: bool,
    /// Where it is described.
    pub(super) manifest: Option<Manifest>,
    /// Of a video.
    pub(super) rate: Rate,
    /// What is said of how far it is.
    pub(super) progress: ProgressBar,
}

/// One frame on its way.
struct Job {
    number: u64,
    /// How many were left out since the one before.
    left_out: u64,
    frame: Frame,
}

struct Shared {
    files: Option<Files>,
    crop: Option<Rect>,
    hashed: bool,
    described: bool,
    clock: Clock,
    waker: Waker,
    state: Mutex<State>,
}

struct State {
    waiting: usize,
    /// Whether somebody waits for room.
    awaited: bool,
    failure: Option<Failure>,
    /// The number of the frame whose words come next.
    next: u64,
    /// Those of frames that were done before it.
    early: BTreeMap<u64, Done>,
    manifest: Option<Manifest>,
    print_hash: bool,
    progress: ProgressBar,
}

/// What is to be said of a frame that was written.
struct Done {
    hash: Option<Hash>,
    line: Option<Value>,
}

/// The threads, and what waits for them.
pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    count: u64,
    left_out: u64,
}

/// All frames into one place.
enum Place {
    Stdout(Stream<BufWriter<File>>),
    File(Stream<Partial>, PathBuf),
}

impl Writer {
    /// `waker` wakes whoever waits for room.
    pub(super) fn start(work: Work, waker: Waker) -> Result<Self, Failure> {
        let Work { files, crop, print_hash, manifest, rate, progress } = work;
        let place = match &files {
            Some(files) if files.is_stream() => Some(match files.path(1) {
                None => Place::Stdout(files.format.stream(stdout()?, rate)),
                Some(path) => Place::File(files.format.stream(Partial::create(&path)?, rate), path),
            }),
            _ => None,
        };
        let described = manifest.is_some();
        let hashed = print_hash || described;
        let early = BTreeMap::new();
        let state = State {
            waiting: 0,
            awaited: false,
            failure: None,
            next: 1,
            early,
            manifest,
            print_hash,
            progress,
        };
        let state = Mutex::new(state);
        let clock = Clock::start();
        let shared = Arc::new(Shared { files, crop, hashed, described, clock, waker, state });
        let (jobs, received) = channel();
        let received = Arc::new(Mutex::new(received));
        // What goes into one place goes there in its order.
        let threads = if place.is_some() { 1 } else { threads() };
        let mut place = place;
        let threads = (0..threads).map(|_| {
            let (shared, received, place) =
                (Arc::clone(&shared), Arc::clone(&received), place.take());
            thread::Builder::new()
                .name("fanlight-write".to_owned())
                .spawn(move || shared.work(&received, place))
                .map_err(|error| Failure::failed("no thread to write frames on", error))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Self { shared, jobs: Some(jobs), threads, count: 0, left_out: 0 })
    }

    /// Whether as many frames wait as may; the waker tells when that is over.
    pub(super) fn is_full(&self, frame_bytes: usize) -> bool {
        let mut state = self.shared.lock();
        let most = (WAITING_BYTES_MAX / frame_bytes.max(1)).clamp(WAITING_MIN, WAITING_MAX);
        state.awaited = state.waiting >= most && state.failure.is_none();
        state.awaited
    }

    /// Whether a frame could not be written: [`finish`](Self::finish) says why.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.lock().failure.is_some()
    }

    /// The next one, after the others.
    pub(super) fn take(&mut self, frame: Frame) {
        let Some(jobs) = &self.jobs else { return };
        self.shared.lock().waiting += 1;
        self.count += 1;
        let left_out = frame.left_out.saturating_sub(self.left_out);
        self.left_out = frame.left_out;
        // Nobody receives it only where one has failed.
        let _ = jobs.send(Job { number: self.count, left_out, frame });
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What waits needn't be written any more.
    pub(super) fn abandon(&self, why: Failure) {
        self.shared.lock().failure.get_or_insert(why);
    }

    /// Waits until all is written.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.jobs = None;
        for thread in self.threads {
            thread.join().expect("the writer does not panic");
        }
        let mut state = self.shared.lock();
        state.progress.finish_and_clear();
        state.failure.take().map_or(Ok(()), Err)
    }
}

/// One is left for the guest's frames to be read.
fn threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_sub(1).clamp(1, THREADS_MAX)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, jobs: &Mutex<Receiver<Job>>, mut place: Option<Place>) {
        loop {
            let received = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = received else { break };
            let number = job.number;
            // Where one could not be written, the others are none that anybody waits for.
            let failed = self.lock().failure.is_some();
            let done = if failed { Ok(None) } else { self.write(&job, &mut place).map(Some) };
            drop(job);
            let mut state = self.lock();
            state.waiting -= 1;
            if let Err(failure) =
                done.and_then(|done| done.map_or(Ok(()), |done| state.say(number, done)))
            {
                state.failure.get_or_insert(failure);
            }
            // A frame that nobody waits for wakes nobody.
            let awaited = std::mem::take(&mut state.awaited) || state.failure.is_some();
            drop(state);
            if awaited {
                self.waker.wake();
            }
        }
        if let Some(place) = place
            && self.lock().failure.is_none()
            && let Err(failure) = place.finish()
        {
            self.lock().failure.get_or_insert(failure);
        }
    }

    fn write(&self, job: &Job, place: &mut Option<Place>) -> Result<Done, Failure> {
        let Job { number, left_out, ref frame } = *job;
        let cropped;
        let picture = match self.crop {
            None => &*frame.picture,
            Some(rect) => {
                let part = frame.picture.crop(rect);
                cropped = part.ok_or_else(|| outside(rect, frame.size))?;
                &cropped
            }
        };
        let hash = self.hashed.then(|| hash(picture));
        let path = self.files.as_ref().and_then(|files| files.path(number));
        match (place, &self.files, &path) {
            (Some(place), ..) => place.write(picture)?,
            (None, Some(files), Some(path)) => {
                whole::write(path, |out| files.format.write(picture, out))?;
            }
            _ => {}
        }
        let line = self.described.then(|| {
            let number = (number, left_out);
            manifest::line(number, frame, picture.size, hash, path.as_deref(), self.clock)
        });
        Ok(Done { hash, line })
    }
}

impl State {
    /// Says what is to be said of a frame once all of those before it is said.
    fn say(&mut self, number: u64, done: Done) -> Result<(), Failure> {
        self.early.insert(number, done);
        while let Some(Done { hash, line }) = self.early.remove(&self.next) {
            self.next += 1;
            self.progress.inc(1);
            if let Some((manifest, line)) = self.manifest.as_mut().zip(line) {
                manifest.write(&line)?;
            }
            if let Some(hash) = hash.filter(|_| self.print_hash) {
                writeln!(io::stdout().lock(), "{hash}").map_err(Failure::stdout)?;
            }
        }
        Ok(())
    }
}

impl Place {
    fn write(&mut self, picture: &crate::capture::Picture) -> Result<(), Failure> {
        match self {
            // Whoever reads it has all of it now, and not with the next one.
            Self::Stdout(stream) => {
                stream.write(picture).and_then(|()| stream.flush()).map_err(Failure::stdout)
            }
            Self::File(stream, path) => {
                stream.write(picture).map_err(|error| unwritable(path, error))
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(stream) => stream.finish().map(drop).map_err(Failure::stdout),
            Self::File(stream, path) => {
                stream.finish().map_err(|error| unwritable(&path, error))?.finish()
            }
        }
    }
}

/// Not Rust's own, which looks through all bytes for the end of a line, and keeps those after it.
fn stdout() -> Result<BufWriter<File>, Failure> {
    let fd = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::stdout)?;
    Ok(BufWriter::new(fd.into()))
}

fn outside(rect: Rect, size: crate::frame::Size) -> Failure {
    let Rect { x, y, width, height } = rect;
    Failure::ended(format!(
        "nothing of {width}x{height} at {x},{y} is on the screen, which is {}x{}: say another --crop",
        size.width, size.height
    ))
}
