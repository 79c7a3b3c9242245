//! A backend that replaces pages: what its viewer lets go of, and when it says so.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fanlight::frame::{BufferId, Rect, Size, Transform};
use fanlight::serve::{self, Answer, ConsoleId, Event, Kind, Server};
use fanlight::session::Present;

use crate::backend::{CALM, PATIENCE, layout, open_with, options, wait};
use crate::fake_qemu;
use crate::stage::{Memory, Setup, Stage, colours};

const SIZE: (u32, u32) = (64, 48);
const WHOLE: Rect = Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 };

/// A backend with one viewer, which shows its memory directly.
pub(crate) struct Backend {
    pub(crate) server: Server,
    console: ConsoleId,
    pub(crate) events: Vec<Event>,
    pub(crate) stage: Stage,
}

impl Backend {
    pub(crate) fn new(options_of_server: serve::Options, setup: Setup) -> Self {
        let mut server = Server::new("vm", "", options_of_server).unwrap();
        let console = server.add_console(Kind::Graphic, "screen").unwrap();
        let classify = fanlight::source::Options { classify: fake_qemu::classify, ..options() };
        let opened = open_with(&mut server, None, &classify).unwrap();
        let stage = Stage::over(opened.source, Setup { present: Present::Direct, ..setup });
        let mut backend = Self { server, console, events: Vec::new(), stage };
        backend.until(|event| matches!(event, Event::Watched(_, 1)));
        backend
    }

    pub(crate) fn add(&mut self, memory: &Memory) -> BufferId {
        let fd = memory.file.try_clone().unwrap().into();
        let size = Size { width: SIZE.0, height: SIZE.1 };
        let memory = serve::Memory::Planes(vec![fd]);
        self.server.add_buffer(self.console, layout(size), memory).unwrap()
    }

    pub(crate) fn show(&mut self, buffer: BufferId) -> u32 {
        self.server.scanout(self.console, buffer, WHOLE, Transform::Normal).unwrap();
        self.server.update(self.console, buffer, &[]).unwrap()
    }

    /// Lets all work until the server has said something.
    fn until(&mut self, wanted: impl Fn(&Event) -> bool) {
        let end = Instant::now() + PATIENCE;
        self.serve();
        while !self.events.iter().any(&wanted) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain: {:?}", self.events);
            self.stage.session.turn(Some(left), Some(self.server.as_fd())).unwrap();
            self.serve();
        }
    }

    /// Lets the server do what it can do now.
    fn serve(&mut self) {
        self.server.dispatch().unwrap();
        self.events.extend(std::iter::from_fn(|| self.server.next_event()));
    }

    pub(crate) fn answered(&mut self, frame: u32, wanted: Answer) {
        let is = |event: &Event| matches!(event, Event::Answered { frame: f, .. } if *f == frame);
        self.until(is);
        let found = self.events.iter().find(|event| is(event));
        let Some(Event::Answered { answer, .. }) = found else { unreachable!("it was waited for") };
        assert_eq!(*answer, wanted);
    }

    fn invalidated(&self) -> Vec<bool> {
        let ready = |event: &Event| match event {
            Event::Invalidated(_, ready) => Some(*ready),
            _ => None,
        };
        self.events.iter().filter_map(ready).collect()
    }
}

/// Without it a guest whose pages are replaced while its picture is direct and still would wait for
/// its viewer in vain, and its viewer show pages that are another's.
#[test]
fn a_still_picture_that_is_direct_is_let_go_in_time() {
    let mut backend = Backend::new(CALM, Setup::default());
    let (memory, other) = (Memory::new(SIZE), Memory::new(SIZE));
    let buffers = [backend.add(&memory), backend.add(&other)];
    memory.paint(7);
    let frame = backend.show(buffers[0]);
    let shown = backend.stage.frame(1);
    backend.answered(frame, Answer::Acked);
    assert_eq!(backend.stage.dmabuf(shown), Some(memory.inode()));

    backend.server.invalidate_begin(backend.console).unwrap();
    let copy = backend.stage.frame(2);
    assert_eq!(backend.stage.pixels(copy), colours(&memory.rows()));
    // All that was said until now was handled: it isn't ready while the compositor reads.
    backend.serve();
    assert!(backend.invalidated().is_empty());
    backend.stage.release(shown);
    backend.until(|event| matches!(event, Event::Invalidated(..)));
    assert_eq!(backend.invalidated(), [true], "no time limit came");
    // The test, the server and the viewer's wire have one each.
    backend.stage.let_go_of(&memory, 3);

    // Until the end nothing is shown that is announced, and its updates are refused.
    let frame = backend.show(buffers[1]);
    backend.answered(frame, Answer::Refused);
    let frame = backend.show(buffers[0]);
    backend.answered(frame, Answer::Refused);
    assert_eq!(backend.stage.shown(), 2);

    memory.paint(8);
    backend.server.invalidate_end(backend.console).unwrap();
    let frame = backend.server.update(backend.console, buffers[0], &[]).unwrap();
    let again = backend.stage.frame(3);
    backend.answered(frame, Answer::Acked);
    assert_eq!(backend.stage.dmabuf(again), Some(memory.inode()));
    assert_eq!(backend.stage.pixels(again), colours(&memory.rows()));
    assert!(!backend.stage.was_blank());
    assert_eq!(backend.stage.session.stats().counts.forced_acks, 0);
}

/// Without it a compositor that keeps what it has would keep the backend waiting, or leave the screen
/// with a picture of pages that are another's for longer than the next frame takes.
#[test]
fn a_compositor_that_does_not_let_go_is_not_waited_for() {
    let limit = serve::Options { invalidate_limit: Duration::from_millis(20), ..CALM };
    let mut backend = Backend::new(limit, Setup::default());
    let (memory, other) = (Memory::new(SIZE), Memory::new(SIZE));
    let buffers = [backend.add(&memory), backend.add(&other)];
    let frame = backend.show(buffers[0]);
    let shown = backend.stage.frame(1);
    backend.answered(frame, Answer::Acked);

    backend.server.invalidate_begin(backend.console).unwrap();
    let copy = backend.stage.frame(2);
    assert_eq!(backend.stage.dmabuf(copy), None);
    let end = Instant::now() + PATIENCE;
    while backend.invalidated().is_empty() {
        wait(&[backend.server.as_fd()], end, "the limit");
        backend.serve();
    }
    assert_eq!(backend.invalidated(), [false]);
    backend.server.invalidate_end(backend.console).unwrap();
    let frame = backend.show(buffers[1]);
    let next = backend.stage.frame(3);
    assert_eq!(backend.stage.dmabuf(next), Some(other.inode()));
    backend.stage.release(shown);
    backend.answered(frame, Answer::Acked);
    assert_eq!(backend.invalidated(), [false], "what is late is said to nobody");
}
