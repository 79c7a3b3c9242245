//! Explicit sync with timelines, fences and dma-bufs of the kernel's. No compositor of the rig has it, so
//! the other end is a compositor inside the test, whose timelines are reached by other code than ours.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use fanlight::frame::{Damage, Format, Layout, Memory, Modifier, Plane, Rect, Size, Transform};
use fanlight::port::{Buffer, CommitId, ImportId, Sink, SinkEvent, next_buffer_id};
use fanlight::serve::GuestMemory;
use fanlight::sink::wayland::{WaylandSink, WindowOptions};
use fanlight::sys::{self, SyncNode};
use fanlight_stage::{Error, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::compositor::surfaces::{Commit, Pixels};
use crate::compositor::{Compositor, PATIENCE, Script};
use crate::fresh;
use crate::stale::say;
use crate::vgem::Vgem;

const SIZE: Size = Size { width: 64, height: 64 };
const STRIDE: u32 = 256;

/// Shows real udmabufs to a compositor with explicit sync.
struct Stage {
    sink: WaylandSink,
    compositor: Compositor,
    commits: u64,
}

impl Stage {
    fn open() -> Result<Self> {
        let script = Script { syncobj: true, dmabuf: 5, ..Script::default() };
        let (compositor, stream) = Compositor::start(script);
        let options = WindowOptions::default();
        let sink = WaylandSink::over(stream, &options, sys::create_udmabuf).map_err(say)?;
        Ok(Self { sink, compositor, commits: 0 })
    }

    fn next(&mut self) -> Result<SinkEvent> {
        loop {
            if let Some(event) = self.sink.poll() {
                return Ok(event);
            }
            let fd = self.sink.fd().ok_or_else(|| Error::new("the sink has no fd"))?;
            let patience = Timespec::try_from(PATIENCE).map_err(say)?;
            if poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&patience)) == Ok(0) {
                return Err(Error::new("waited in vain for an event of the sink's"));
            }
        }
    }

    fn expect(&mut self, what: &str, is: impl Fn(&SinkEvent) -> bool) -> Result<()> {
        let event = self.next()?;
        if is(&event) { Ok(()) } else { Err(Error::new(format!("{event:?} in place of {what}"))) }
    }

    fn released(&mut self, commit: u64) -> Result<()> {
        let is = |event: &SinkEvent| matches!(event, SinkEvent::Released(c) if c.0 == commit);
        self.expect(&format!("the release of {commit}"), is)
    }

    fn import(&mut self, buffer: &Buffer) -> Result<()> {
        self.sink.import(import(buffer), buffer);
        self.sink.flush();
        self.expect("an import", |event| matches!(event, SinkEvent::Imported(_)))
    }

    /// Shows an import; the commit as the compositor saw it.
    fn show(&mut self, buffer: &Buffer) -> Commit {
        self.commits += 1;
        self.sink.show(CommitId(self.commits), import(buffer), buffer, &Damage::Whole);
        self.shown()
    }

    fn shown(&mut self) -> Commit {
        self.sink.flush();
        let count = self.commits as usize;
        self.compositor.wait("a commit", |server| {
            server.surfaces.shown().get(count - 1).map(|&commit| commit.clone())
        })
    }

    fn signal(&self, commit: &Commit) {
        self.compositor.with(|server| server.sync.signal(commit.points.release));
    }

    /// Fails unless the compositor may read at once, and nobody has released.
    fn ready(&self, commit: &Commit) -> Result<()> {
        self.is_signalled(commit, (true, false))
    }

    /// Fails unless just these points of acquire and release are signalled.
    fn is_signalled(&self, commit: &Commit, wanted: (bool, bool)) -> Result<()> {
        let (acquire, release) = (commit.points.acquire, commit.points.release);
        if acquire.is_none() || release.is_none() {
            return Err(Error::new(format!("no points: {commit:?}")));
        }
        let signalled = self
            .compositor
            .with(|server| (server.sync.is_signalled(acquire), server.sync.is_signalled(release)));
        if signalled == wanted {
            return Ok(());
        }
        Err(Error::new(format!("acquire and release are signalled: {signalled:?}, not {wanted:?}")))
    }
}

fn import(buffer: &Buffer) -> ImportId {
    ImportId { storage: buffer.storage.id, layout: buffer.layout, slot: 0 }
}

fn guest() -> Result<Buffer> {
    let len = sys::page_align(u64::from(STRIDE * SIZE.height));
    let memory = sys::own_memfd("guest", len).map_err(say)?;
    of_dmabuf(sys::create_udmabuf(memory.as_fd(), 0, len).map_err(say)?)
}

fn of_dmabuf(dmabuf: OwnedFd) -> Result<Buffer> {
    let storage = sys::storage(vec![dmabuf], sys::classify).map_err(say)?;
    if !matches!(storage.memory, Memory::DmaBuf { .. }) {
        return Err(Error::new(format!("{storage:?} is no dma-buf")));
    }
    let mut planes = [Plane::default(); _];
    planes[0].stride = STRIDE;
    let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
    let Size { width, height } = SIZE;
    Ok(Buffer {
        id: next_buffer_id(),
        storage: Rc::new(storage),
        layout: Layout { size: SIZE, format, modifier, planes, plane_count: 1 },
        visible: Rect { x: 0, y: 0, width, height },
        transform: Transform::Normal,
    })
}

/// The kernel's own behaviour, as it is relied on.
pub(crate) fn timelines() -> Result<()> {
    let node = SyncNode::open(None).map_err(say)?;
    let timeline = node.timeline().map_err(say)?;
    let told = eventfd(0, EventfdFlags::NONBLOCK).map_err(say)?;
    let count = || {
        let mut count = [0; 8];
        rustix::io::read(&told, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    };
    let is = |what: &str, seen: u64, wanted: u64| match seen == wanted {
        true => Ok(()),
        false => Err(Error::new(format!("{what}: {seen}, not {wanted}"))),
    };
    is("a new timeline is at", timeline.signalled().map_err(say)?, 0)?;
    for point in 1..=3 {
        timeline.notify(point, told.as_fd()).map_err(say)?;
    }
    is("told before any signal", count(), 0)?;
    timeline.signal(2).map_err(say)?;
    is("after point 2 the timeline is at", timeline.signalled().map_err(say)?, 2)?;
    is("told by point 2", count(), 2)?;
    timeline.notify(1, told.as_fd()).map_err(say)?;
    is("told of what was signalled before", count(), 1)?;
    // A dma-buf that nobody writes to has a fence that is signalled.
    let guest = guest()?;
    let fence = sys::export_sync_file(guest.storage.fds[0].as_fd()).map_err(say)?;
    timeline.signal_after(3, fence.as_fd()).map_err(say)?;
    is("after the fence the timeline is at", timeline.signalled().map_err(say)?, 3)?;
    is("told by the fence", count(), 1)
}

/// Two guest buffers and one of ours: points with each commit, releases in any order, never, late.
pub(crate) fn releases() -> Result<()> {
    let mut stage = Stage::open()?;
    let (one, two) = (guest()?, guest()?);
    stage.import(&one)?;
    stage.import(&two)?;
    let first = stage.show(&one);
    let second = stage.show(&two);
    let again = stage.show(&two);
    for commit in [&first, &second, &again] {
        stage.ready(commit)?;
    }
    stage.signal(&second);
    stage.released(2)?;
    stage.signal(&again);
    stage.released(3)?;

    // The first is not released yet; a copy comes meanwhile, in a udmabuf of ours.
    stage.sink.copy(0, &two, &Damage::Whole);
    stage.expect("a copy", |event| matches!(event, SinkEvent::Copied { target: 0, .. }))?;
    stage.sink.flush();
    stage.compositor.wait("the udmabuf", |server| server.dmabuf.creates.get(2).map(|_| ()));
    stage.commits += 1;
    // What was sent before the frame is handled with it.
    let frame = again.frame.ok_or_else(|| Error::new("no frame was asked for"))?;
    stage.compositor.with(|_| frame.done(0));
    stage.expect("a frame", |event| matches!(event, SinkEvent::Presented(CommitId(3))))?;
    stage.sink.show_copy(CommitId(stage.commits), 0, &two, &Damage::Whole);
    let copy = stage.shown();
    stage.ready(&copy)?;
    let pixels = stage.compositor.with(|server| {
        let last = server.surfaces.buffers.last();
        last.is_some_and(|buffer| matches!(buffer.pixels, Pixels::Dmabuf { .. }))
    });
    if !pixels {
        return Err(Error::new("the copy is in no udmabuf"));
    }
    stage.signal(&copy);
    stage.released(4)?;
    stage.signal(&first);
    stage.released(1)
}

/// The user sees the frame when its writer is done, and not before: the compositor gets the writer's fence
/// as the acquire point, and a copy is made only then. Nobody is held up by it meanwhile.
pub(crate) fn unsignalled() -> Result<()> {
    let vgem = Vgem::load()?;
    let mut stage = Stage::open()?;
    let drawing = vgem.drawing(SIZE)?;
    if drawing.stride != STRIDE {
        return Err(Error::new(format!("rows of {} bytes, not of {STRIDE}", drawing.stride)));
    }
    let guest = of_dmabuf(drawing.dmabuf.try_clone().map_err(say)?)?;
    stage.import(&guest)?;
    let draws = vgem.draw(&drawing)?;
    let commit = stage.show(&guest);
    stage.is_signalled(&commit, (false, false))?;
    stage.sink.copy(0, &guest, &Damage::Whole);
    if let Some(event) = stage.sink.poll() {
        return Err(Error::new(format!("{event:?} while it is drawn")));
    }
    stage.is_signalled(&commit, (false, false))?;
    vgem.finish(draws)?;
    stage.ready(&commit)?;
    stage.expect("a copy", |event| matches!(event, SinkEvent::Copied { .. }))?;
    stage.signal(&commit);
    stage.released(1)
}

/// An update with a fence that is not signalled yet is a frame only when it is: until then the viewer
/// shows and acks nothing, and then at once, woken by the fence alone.
pub(crate) fn acquire_fences() -> Result<()> {
    let vgem = Vgem::load()?;
    let gpu = vgem.drawing(SIZE)?;
    let len = sys::page_align(fresh::BYTES);
    let memfd = sys::own_memfd("guest", len).map_err(say)?;
    let mut picture = sys::OwnMapping::new(&memfd, len).map_err(say)?;
    fresh::draw(1, &mut picture)?;
    fresh::play(GuestMemory::owned(memfd, len).map_err(say)?, true, |scene| {
        fresh::expect("frame 1", &scene.frame()?, 1)?;
        let draws = vgem.draw(&gpu)?;
        let fence = sys::export_sync_file(gpu.dmabuf.as_fd()).map_err(say)?;
        let number = scene.update_after(fence.as_fd())?;
        // It answers when it has read all that was sent before it was asked.
        if scene.shown()?.is_some() || scene.is_answered(number)? {
            return Err(Error::new("the viewer did not wait for the fence"));
        }
        fresh::draw(2, &mut picture)?;
        vgem.finish(draws)?;
        fresh::expect("frame 2", &scene.answered(number)?, 2)?;
        // One that is signalled already costs nothing.
        fresh::draw(3, &mut picture)?;
        let number = scene.update_after(fence.as_fd())?;
        fresh::expect("frame 3", &scene.answered(number)?, 3)
    })
}
