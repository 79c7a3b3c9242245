//! A guest whose picture stays as it is, and that says so often, or as soon as it may, that it has drawn it anew: it takes
//! no time of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fanlight::frame::{
    BufferId, Format, Layout, Modifier, PLANES_MAX, Picture, Plane, Rect, Transform,
};
use fanlight::serve::{ConsoleId, Event, GuestMemory, Kind, Memory, Options, Server};
use fanlight::sys::{self, OwnMapping};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::Result;

/// Served by a thread of this process until this is dropped.
pub(crate) struct Guest {
    pub(crate) uri: String,
    /// Where its picture is, as the guest itself sees it.
    pub(crate) memory: OwnMapping,
    acks: Arc<Acks>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// When an update was acked, and how long that took.
pub(crate) type Ack = (Instant, Duration);

#[derive(Default)]
struct Acks {
    state: Mutex<AckState>,
    enough: Condvar,
}

#[derive(Default)]
struct AckState {
    all: Vec<Ack>,
    /// How many are waited for.
    wanted: usize,
}

impl Acks {
    /// Whoever waits is woken once: it takes a processor from what is measured.
    fn add(&self, ack: Ack) {
        let mut state = self.lock();
        state.all.push(ack);
        if state.all.len() == state.wanted {
            self.enough.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, AckState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// One that draws with so much time between two frames.
    pub(crate) fn start(
        folder: &Path,
        name: &str,
        picture: &Picture,
        period: Duration,
    ) -> Result<Self> {
        let path = folder.join(name);
        let patient = Options { answer_limit: Duration::from_secs(60), ..Options::default() };
        let mut server = Server::bind(&path, name, "", patient)?;
        let console = server.add_console(Kind::Graphic, "screen")?;
        let bytes = sys::page_align(picture.pixels.len() as u64);
        let ram = Arc::new(sys::own_memfd("guest-ram", bytes)?);
        let mut memory = OwnMapping::new(&*ram, bytes)?;
        memory.bytes_mut()[..picture.pixels.len()].copy_from_slice(&picture.pixels);
        let shown = match sys::udmabuf_available() {
            true => Memory::Guest(GuestMemory::new([(Arc::clone(&ram), 0, bytes)])?),
            false => Memory::Planes(vec![ram.try_clone()?]),
        };
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = picture.size.width * 4;
        let (size, format, modifier) = (picture.size, Format::XRGB8888, Modifier::LINEAR);
        let layout = Layout { size, format, modifier, planes, plane_count: 1 };
        let buffer = server.add_buffer(console, layout, shown)?;
        let whole = Rect { x: 0, y: 0, width: size.width, height: size.height };
        server.scanout(console, buffer, whole, Transform::Normal)?;
        let (acks, stop) =
            (Arc::new(Acks::default()), Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?));
        let mut drawing =
            Drawing { server, console, buffer, whole, period, owed: None, due: Instant::now() };
        let thread = thread::spawn({
            let (acks, stop) = (Arc::clone(&acks), Arc::clone(&stop));
            move || drawing.run(&acks, &stop)
        });
        let uri = format!("scanout:{}", path.display());
        Ok(Self { uri, memory, acks, stop, thread: Some(thread) })
    }

    /// The next so many acks.
    pub(crate) fn acks(&self, count: usize, patience: Duration) -> Result<Vec<Ack>> {
        let mut state = self.acks.lock();
        *state = AckState { all: Vec::with_capacity(count), wanted: count };
        let waits = |state: &mut AckState| state.all.len() < state.wanted;
        let waited = self.acks.enough.wait_timeout_while(state, patience, waits);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        match timeout.timed_out() {
            true => Err(format!("{} acks came in {patience:?}", state.all.len()).into()),
            false => Ok(std::mem::take(&mut state.all)),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let told = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        assert!(told.is_ok(), "an eventfd takes a number");
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Drawing {
    server: Server,
    console: ConsoleId,
    buffer: BufferId,
    whole: Rect,
    period: Duration,
    /// The update that is not acked yet, and since when.
    owed: Option<(u32, Instant)>,
    due: Instant,
}

impl Drawing {
    fn run(&mut self, acks: &Acks, stop: &OwnedFd) {
        let mut viewers = 0;
        while self.server.dispatch().is_ok() {
            while let Some(event) = self.server.next_event() {
                match event {
                    Event::Watched(_, count) => viewers = count,
                    Event::Answered { frame, .. } => {
                        if let Some((_, since)) = self.owed.take_if(|(owed, _)| *owed == frame) {
                            acks.add((Instant::now(), since.elapsed()));
                        }
                    }
                    _ => {}
                }
            }
            let idle = viewers == 0 || self.owed.is_some();
            let now = Instant::now();
            if !idle && now >= self.due {
                let Ok(frame) = self.server.update(self.console, self.buffer, &[self.whole]) else {
                    return;
                };
                self.owed = Some((frame, now));
                self.due = (self.due + self.period).max(now);
                continue;
            }
            let left = self.due.saturating_duration_since(now);
            let left = Timespec::try_from(left).ok().filter(|_| !idle);
            let mut fds = [self.server.as_fd(), stop.as_fd()]
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            // Interrupted: it is looked at once more.
            let _ = poll(&mut fds, left.as_ref());
            if !fds[1].revents().is_empty() {
                return;
            }
        }
    }
}
