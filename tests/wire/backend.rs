//! A backend, a session and the headless sink, all on the test's thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fanlight::frame::{
    BufferId, Format, Layout, Memory as Kind, Modifier, PLANES_MAX, Plane, Rect, Size, Transform,
};
use fanlight::serve::{self, Answer, ConsoleId, Event, Memory, Server};
use fanlight::session::{Config, Options, Present, Session};
use fanlight::sink::memory::MemorySink;
use fanlight::source::{self, Opened, SourceError, Uri};
use fanlight::sys::{self, ClassifyError, Identity, own_memfd};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Longer than anything here takes; past it the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SIZE: Size = Size { width: 8, height: 4 };
pub const WHOLE: Rect = Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height };

/// Memfds stand in for dma-bufs.
pub fn classify(fd: BorrowedFd<'_>) -> Result<Identity, ClassifyError> {
    let mut identity = sys::classify(fd)?;
    identity.memory = Kind::Memfd { shrink_sealed: true };
    Ok(identity)
}

/// No deadline comes because the machine is slow.
pub const CALM: serve::Options = serve::Options {
    allow: |_| true,
    answer_limit: Duration::from_secs(60),
    invalidate_limit: Duration::from_secs(60),
    make_dma_buf: |_| Err(io::Error::from(io::ErrorKind::Unsupported)),
    check_freshness: true,
};

pub fn layout(size: Size) -> Layout {
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0].stride = size.width * 4;
    let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
    Layout { size, format, modifier, planes, plane_count: 1 }
}

pub fn uri(console: Option<u32>) -> Uri {
    Uri::Scanout { path: "/test".into(), console }
}

pub struct Picture(pub std::fs::File);

impl Picture {
    pub fn new() -> Self {
        Self(own_memfd("picture", 4096).unwrap().into())
    }

    pub fn paint(&self, value: u8) {
        let bytes = SIZE.width as usize * SIZE.height as usize * 4;
        self.0.write_all_at(&vec![value; bytes], 0).unwrap();
    }

    pub fn fd(&self) -> OwnedFd {
        self.0.try_clone().unwrap().into()
    }
}

/// Waits until one of these is readable.
pub fn wait(fds: &[BorrowedFd<'_>], end: Instant, what: &str) {
    let left = end.saturating_duration_since(Instant::now());
    assert!(!left.is_zero(), "waited in vain for {what}");
    let until = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    let mut fds: Vec<_> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    assert_ne!(poll(&mut fds, Some(&until)), Ok(0), "waited in vain for {what}");
}

/// Does something that waits for the server, while that works on another thread.
pub fn while_serving<T>(server: &mut Server, f: impl FnOnce() -> T) -> T {
    let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + PATIENCE;
            loop {
                server.dispatch().unwrap();
                wait(&[server.as_fd(), stop.as_fd()], end, "the viewer");
                let mut fds = [PollFd::new(&stop, PollFlags::IN)];
                let none = Timespec { tv_sec: 0, tv_nsec: 0 };
                if poll(&mut fds, Some(&none)).unwrap() > 0 {
                    break;
                }
            }
        });
        let value = f();
        rustix::io::write(&stop, &1_u64.to_ne_bytes()).unwrap();
        value
    })
}

pub fn options() -> source::Options {
    source::Options { classify, time_limit: PATIENCE }
}

pub fn open(server: &mut Server, console: Option<u32>) -> Result<Opened, SourceError> {
    open_with(server, console, &options())
}

pub fn open_with(
    server: &mut Server,
    console: Option<u32>,
    options: &source::Options,
) -> Result<Opened, SourceError> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    server.add_viewer(theirs).unwrap();
    while_serving(server, || source::open_stream(ours, &uri(console), options))
}

pub struct Stage {
    pub server: Server,
    pub console: ConsoleId,
    pub session: Session<MemorySink>,
    pub events: Vec<Event>,
}

impl Stage {
    pub fn new(options: serve::Options) -> Self {
        let mut server = Server::new("vm", "0", options).unwrap();
        let console = server.add_console(serve::Kind::Graphic, "screen").unwrap();
        let opened = open(&mut server, None).unwrap();
        let calm = Duration::from_secs(60);
        let config = Config {
            ack_deadline: calm,
            ack_after: Duration::ZERO,
            await_release: false,
            first_grace: calm,
            next_grace: calm,
            blank_after: calm,
            leave_within: calm,
        };
        let options = Options { present: Present::Auto, config };
        let session = Session::new(opened.source, MemorySink::default(), options);
        let mut stage = Self { server, console, session, events: Vec::new() };
        stage.until("the viewer", |stage| {
            stage.events.iter().any(|event| matches!(event, Event::Watched(_, 1))).then_some(())
        });
        stage
    }

    /// Lets both work until there is something.
    pub fn until<T>(&mut self, what: &str, mut f: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            self.server.dispatch().unwrap();
            while let Some(event) = self.server.next_event() {
                self.events.push(event);
            }
            if let Some(found) = f(self) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}: {:?}", self.events);
            self.session.turn(Some(left), Some(self.server.as_fd())).unwrap();
        }
    }

    pub fn add(&mut self, picture: &Picture) -> BufferId {
        let memory = Memory::Planes(vec![picture.fd()]);
        self.server.add_buffer(self.console, layout(SIZE), memory).unwrap()
    }

    pub fn show(&mut self, buffer: BufferId) {
        self.server.scanout(self.console, buffer, WHOLE, Transform::Normal).unwrap();
    }

    pub fn answer(&mut self, frame: u32) -> Answer {
        let console = self.console;
        self.until("an answer", |stage| {
            stage.events.iter().find_map(|event| match event {
                Event::Answered { console: c, frame: f, answer, .. }
                    if (*c, *f) == (console, frame) =>
                {
                    Some(*answer)
                }
                _ => None,
            })
        })
    }

    pub fn update(&mut self, buffer: BufferId, damage: &[Rect]) -> u32 {
        self.server.update(self.console, buffer, damage).unwrap()
    }

    /// The newest frame that the sink was shown, by its first byte; all its pixels are alike.
    pub fn seen(&mut self) -> Option<u8> {
        let mut last = None;
        while let Some(frame) = self.session.sink().take_frame() {
            let first = frame.pixels[0];
            let pixels = frame.pixels.as_chunks::<4>().0;
            assert!(pixels.iter().all(|pixel| pixel[..3] == [first; 3]), "torn: {pixels:?}");
            last = Some(first);
        }
        last
    }
}
