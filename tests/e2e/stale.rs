//! The stale page: punched out and filled again, it is old in the dma-buf that was made before, and
//! new in a fresh one. Seen by the CPU, and by a compositor.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fanlight::frame::{
    BufferId, Damage, Format, Input, Layout, Modifier, PLANES_MAX, Plane, Rect as Area, Size,
    Transform,
};
use fanlight::port::{Ack, Announcement, Source, SourceEvent, next_buffer_id};
use fanlight::session::{Options, Present, Session};
use fanlight::sink::wayland::{WaylandSink, WindowOptions};
use fanlight::sys;
use fanlight_stage::compositor::Compositor as _;
use fanlight_stage::rundir::RunDir;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Result, pattern};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FallocateFlags, fallocate};

use crate::stills::{same, soon};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const STRIDE: u32 = WIDTH * 4;
const BYTES: u64 = (STRIDE * HEIGHT) as u64;

pub(crate) fn say(error: impl std::fmt::Display) -> Error {
    Error::new(error.to_string())
}

/// A backend in this process: it announces what the test tells it to.
struct Script {
    wake: OwnedFd,
    events: std::rc::Rc<std::cell::RefCell<VecDeque<SourceEvent>>>,
}

impl Source for Script {
    fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        self.events.borrow_mut().pop_front()
    }

    fn send(&mut self, _: &Input) {}
}

fn announce(buffer: BufferId, dma_buf: OwnedFd) -> Result<SourceEvent> {
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0].stride = STRIDE;
    let size = Size { width: WIDTH, height: HEIGHT };
    Ok(SourceEvent::Scanout(Announcement {
        buffer,
        storage: sys::storage(vec![dma_buf], sys::classify).map_err(say)?,
        layout: Layout {
            size,
            format: Format::XRGB8888,
            modifier: Modifier::LINEAR,
            planes,
            plane_count: 1,
        },
        visible: Area { x: 0, y: 0, width: WIDTH, height: HEIGHT },
        transform: Transform::Normal,
    }))
}

fn update(buffer: BufferId) -> SourceEvent {
    SourceEvent::Update { buffer, damage: Damage::Whole, ack: Ack::none() }
}

fn draw(frame: u32, memory: &mut sys::OwnMapping) -> Result<()> {
    pattern::draw(frame, WIDTH, HEIGHT, STRIDE as usize, memory.bytes_mut())
        .ok_or_else(|| Error::new("the memory is too small for a frame"))
}

pub(crate) fn shown_and_cured() -> Result<()> {
    // The guest's memory, its first frame, and a dma-buf of the pages that hold it.
    let len = sys::page_align(BYTES);
    let memory = sys::own_memfd("guest", len).map_err(say)?;
    let mut guest = sys::OwnMapping::new(&memory, len).map_err(say)?;
    draw(1, &mut guest)?;
    let old = sys::create_udmabuf(memory.as_fd(), 0, len).map_err(say)?;
    let through_old = sys::Mapping::new(&old, len).map_err(say)?;

    let dir = RunDir::new()?;
    let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, (WIDTH, HEIGHT), &dir)?;
    let display = &weston.environment()[0].1;
    let stream = UnixStream::connect(dir.path().join(display)).map_err(say)?;
    let window = WindowOptions { fullscreen: true, ..WindowOptions::default() };
    let sink = WaylandSink::over(stream, &window, sys::create_udmabuf).map_err(say)?;
    let events = std::rc::Rc::default();
    let wake = eventfd(0, EventfdFlags::CLOEXEC).map_err(say)?;
    let script = Script { wake, events: std::rc::Rc::clone(&events) };
    let options = Options { present: Present::Direct, ..Options::default() };
    let mut session = Session::new(Box::new(script), sink, options);
    let mut show = |event: SourceEvent, frame: u32| -> Result<()> {
        events.borrow_mut().push_back(event);
        let known = pattern::expected(frame, WIDTH, HEIGHT);
        let deadline = soon();
        loop {
            // Each turn ends with an event of the compositor's, or when nothing more comes.
            session.turn(Some(Duration::from_millis(50)), None).map_err(say)?;
            let shot = weston.screenshot()?;
            if deadline.left().is_zero() || shot.difference(&known).is_none() {
                return same("screenshot and pattern", &shot, &known);
            }
        }
    };
    let (first, second) = (next_buffer_id(), next_buffer_id());
    show(announce(first, old.try_clone().map_err(say)?)?, 1)?;

    // A balloon takes the pages; the guest touches them again and draws its second frame.
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&memory, punch, 0, len).map_err(say)?;
    draw(2, &mut guest)?;
    let mut seen = vec![0; BYTES as usize];
    if !through_old.read(0, &mut seen) {
        return Err(Error::new("the dma-buf is too small"));
    }
    let stale = fanlight_stage::Image::from_xrgb(WIDTH, HEIGHT, STRIDE as usize, &seen);
    let stale = stale.ok_or_else(|| Error::new("too few pixels"))?;
    same("the CPU through the old buffer", &stale, &pattern::expected(1, WIDTH, HEIGHT))?;
    // The update is for the old buffer: the compositor still sees the pages that are no longer
    // the guest's.
    show(update(first), 1)?;

    // The cure: the backend takes the pages again and says so.
    let fresh = sys::create_udmabuf(memory.as_fd(), 0, len).map_err(say)?;
    show(announce(second, fresh)?, 2)?;
    show(update(second), 2)
}
