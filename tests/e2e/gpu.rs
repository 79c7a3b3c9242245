//! Copies by the GPU, whose part Mesa's software renderer takes: what it draws out of real dma-bufs
//! into real dma-bufs is what the CPU copies.
#![cfg_attr(not(feature = "gpu"), allow(dead_code))]

#[path = "gpu/dump.rs"]
pub(crate) mod dump;
#[path = "gpu/guest.rs"]
mod guest;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use fanlight::convert::blit::{Blit, BlitError, Blitter, Readback, Target};
use fanlight::convert::cpu::OUT_PIXEL;
use fanlight::frame::{CommitId, Damage, Format, Layout, Modifier, Plane, Size, Transform};
use fanlight::port::{Sink, SinkEvent};
use fanlight::sink::wayland::{Means, OpenBlitter, WaylandSink, WindowOptions};
use fanlight::sys::{self, Mapping, OwnMapping, ReadAccess, WriteAccess};
use fanlight_stage::child::Output;
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::qemu::{Card, Guest as Drawing, Setup};
use fanlight_stage::viewer::Viewer;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Error, Result, pattern};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::compositor::dmabuf::{Answer, PlaneSeen};
use crate::compositor::surfaces::{Attached, Pixels};
use crate::compositor::{Compositor, PATIENCE, Script};
use crate::stale::say;
use crate::stills::{bus, same, soon};
use guest::{BEFORE, CROP, Guest, SIZE, WHOLE, damages, guests};

/// A node on which memory can be made without a GPU: the other kind of node lends none.
const NODE: &str = "/dev/dri/card0";
/// What a viewer's environment must have for its copies to be drawn.
pub(crate) const SOFTWARE: (&str, &str) = ("FANLIGHT_GPU", "software");

/// Fails unless that viewer, which says what it does (`-v`), draws all of its copies.
pub(crate) fn draws(viewer: &mut Viewer) -> Result<()> {
    let log = viewer.child().output(Output::Err)?;
    if log.contains("copies of dma-bufs are drawn") && !log.contains("the CPU copies") {
        return Ok(());
    }
    Err(viewer.child().failure("doesn't draw its copies"))
}

fn udmabuf(bytes: u64) -> std::io::Result<OwnedFd> {
    sys::create_udmabuf(sys::own_memfd("target", bytes)?.as_fd(), 0, bytes)
}

#[cfg(feature = "gpu")]
fn software(_: Option<u64>) -> std::result::Result<Box<dyn Blitter>, BlitError> {
    Ok(Box::new(fanlight::convert::gpu::Gpu::software(udmabuf)?))
}

#[cfg(feature = "gpu")]
fn software_readback() -> std::result::Result<Box<dyn Readback>, BlitError> {
    Ok(Box::new(fanlight::convert::gpu::Gpu::software(udmabuf)?))
}

#[cfg(not(feature = "gpu"))]
fn software_readback() -> std::result::Result<Box<dyn Readback>, BlitError> {
    fanlight::convert::blit::readback()
}

#[cfg(feature = "gpu")]
fn of_node(node: &Path) -> std::result::Result<Box<dyn Blitter>, BlitError> {
    use fanlight::convert::gpu::{Gpu, Renderer};
    Ok(Box::new(Gpu::of_node(node, Renderer::Any)?))
}

#[cfg(not(feature = "gpu"))]
fn software(device: Option<u64>) -> std::result::Result<Box<dyn Blitter>, BlitError> {
    fanlight::convert::blit::gpu(device)
}

#[cfg(not(feature = "gpu"))]
fn of_node(_: &Path) -> std::result::Result<Box<dyn Blitter>, BlitError> {
    fanlight::convert::blit::gpu(None)
}

/// The rows of a dma-buf, without what is between them.
fn pixels_of(fd: &OwnedFd, size: Size, plane: Plane) -> Result<Vec<u8>> {
    let (offset, stride) = (plane.offset as usize, plane.stride as usize);
    let map = Mapping::new(fd, (offset + stride * size.height as usize) as u64).map_err(say)?;
    let _access = ReadAccess::begin(fd).map_err(say)?;
    let row = size.width as usize * OUT_PIXEL;
    let mut pixels = vec![0; row * size.height as usize];
    for (y, row) in pixels.chunks_mut(row).enumerate() {
        if !map.read(offset + y * stride, row) {
            return Err(Error::new("the target is smaller than it is said to be"));
        }
    }
    Ok(pixels)
}

fn fill(target: &Target) -> Result<()> {
    let Layout { size, planes, .. } = target.layout;
    let bytes = u64::from(planes[0].stride) * u64::from(size.height);
    let mut map = OwnMapping::new(&target.fds[0], bytes).map_err(say)?;
    let _access = WriteAccess::begin(&target.fds[0]).map_err(say)?;
    map.bytes_mut().fill(BEFORE);
    Ok(())
}

fn await_readable(fd: BorrowedFd<'_>) -> Result<()> {
    let patience = Timespec::try_from(PATIENCE).map_err(say)?;
    match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&patience)) {
        Ok(1..) => Ok(()),
        other => Err(Error::new(format!("waited in vain ({other:?})"))),
    }
}

/// Draws all of them, and compares.
fn draw_all(gpu: &mut dyn Blitter) -> Result<()> {
    for guest in guests(|guest| gpu.import(&guest.storage, &guest.view.layout))? {
        let size = guest.view.size();
        gpu.import(&guest.storage, &guest.view.layout).map_err(say)?;
        let target = gpu.target(0, size, &[Modifier::LINEAR]).map_err(say)?;
        for damage in damages() {
            fill(&target)?;
            let blit = gpu.blit(0, guest.storage.id, &guest.view, &damage);
            if let Blit::When(fence) = blit.map_err(say)? {
                await_readable(fence.as_fd())?;
            }
            let drawn = pixels_of(&target.fds[0], size, target.layout.planes[0])?;
            guest.compare(&damage, &drawn)?;
        }
        gpu.forget(guest.storage.id);
    }
    Ok(())
}

/// Reads a guest's picture back over what is there before.
fn read(
    gpu: &mut dyn Readback,
    guest: &Guest,
    damage: &Damage,
) -> std::result::Result<Vec<u8>, BlitError> {
    let Size { width, height } = guest.view.size();
    let row = width as usize * OUT_PIXEL;
    let mut out = vec![BEFORE; row * height as usize];
    gpu.read(&guest.storage, &guest.view, damage, &mut out, row)?;
    Ok(out)
}

/// Out of udmabufs into memory of ours.
pub(crate) fn read_back() -> Result<()> {
    let mut gpu = match software_readback() {
        Ok(gpu) => gpu,
        Err(reason) => {
            return nothing_draws("gpu_reads_udmabufs_back_as_the_cpu_copies_them", &reason);
        }
    };
    for guest in guests(|guest| read(&mut *gpu, guest, &Damage::Whole).map(|_| ()))? {
        for damage in damages() {
            guest.compare(&damage, &read(&mut *gpu, &guest, &damage).map_err(say)?)?;
        }
        gpu.forget(guest.storage.id);
    }
    Ok(())
}

fn skip(name: &str, reason: &dyn std::fmt::Display) -> Result<()> {
    println!("SKIP {name}: {reason}");
    Ok(())
}

/// The rig's machine has what it takes: there it is a failure that nothing draws, of our shaders say.
fn nothing_draws(name: &str, reason: &BlitError) -> Result<()> {
    let in_rig = std::env::var("FANLIGHT_RIG").is_ok_and(|rig| rig == "vm");
    if in_rig && cfg!(feature = "gpu") { Err(say(reason)) } else { skip(name, reason) }
}

/// Out of udmabufs into udmabufs.
pub(crate) fn udmabufs() -> Result<()> {
    match software(None) {
        Ok(mut gpu) => draw_all(&mut *gpu),
        Err(reason) => nothing_draws("gpu_draws_udmabufs_as_the_cpu_copies_them", &reason),
    }
}

/// Out of udmabufs into memory that libgbm makes.
pub(crate) fn node() -> Result<()> {
    let name = "gpu_draws_into_memory_of_a_nodes";
    let mut gpu = match of_node(Path::new(NODE)) {
        Ok(gpu) => gpu,
        Err(reason) => return skip(name, &reason),
    };
    // Not every version of Mesa's software renderer takes, on a node, memory from elsewhere, or lends
    // its own.
    let guest = Guest::new(Format::XRGB8888, WHOLE, Transform::Normal)?;
    let imported = gpu.import(&guest.storage, &guest.view.layout);
    if let Err(reason) =
        imported.and_then(|()| gpu.target(0, SIZE, &[Modifier::LINEAR]).map(|_| ()))
    {
        return skip(name, &reason);
    }
    draw_all(&mut *gpu)
}

/// A sink that draws, and the compositor inside the test.
struct Stage {
    sink: WaylandSink,
    compositor: Compositor,
}

impl Stage {
    fn open(script: Script) -> Result<Self> {
        let (compositor, stream) = Compositor::start(script);
        let open_blitter: OpenBlitter = software;
        let means = Means { open_blitter, ..Means::default() };
        let sink = WaylandSink::over_with(stream, &WindowOptions::default(), means);
        Ok(Self { sink: sink.map_err(say)?, compositor })
    }

    fn next(&mut self) -> Result<SinkEvent> {
        loop {
            if let Some(event) = self.sink.poll() {
                return Ok(event);
            }
            await_readable(self.sink.fd().ok_or_else(|| Error::new("the sink has no fd"))?)?;
        }
    }

    /// Copies a guest's picture, shows it, and compares what the compositor has then. Says whether
    /// that is a dma-buf.
    fn show(&mut self, commit: u64, guest: &Guest) -> Result<bool> {
        let (buffer, target) = (guest.buffer(), (commit % 3) as u8);
        self.sink.copy(target, &buffer, &Damage::Whole);
        self.sink.flush();
        match self.next()? {
            SinkEvent::Copied { target: to, .. } if to == target => {}
            event => return Err(Error::new(format!("{event:?} in place of a copy"))),
        }
        self.sink.show_copy(CommitId(commit), target, &buffer, &Damage::Whole);
        self.sink.flush();
        let commit = self.compositor.wait("a commit", |server| {
            server.surfaces.shown().get(commit as usize - 1).map(|&commit| commit.clone())
        });
        let Attached::Buffer(shown) = commit.attached else {
            return Err(Error::new(format!("{commit:?} shows nothing")));
        };
        self.compositor.with(|server| {
            let seen = &server.surfaces.buffers[shown];
            // A dma-buf can't be read but through a mapping.
            let (pixels, is_dmabuf) = match &seen.pixels {
                Pixels::Dmabuf { planes, .. } => {
                    let PlaneSeen { fd, offset, stride, .. } = &planes[0];
                    let plane = Plane { offset: *offset, stride: *stride };
                    (pixels_of(fd, guest.view.size(), plane)?, true)
                }
                _ => (seen.rows().concat(), false),
            };
            guest.compare(&Damage::Whole, &pixels)?;
            Ok(is_dmabuf)
        })
    }
}

/// What was drawn is committed with points of timelines, which the compositor signals.
pub(crate) fn shown() -> Result<()> {
    if let Err(reason) = software(None) {
        return nothing_draws("gpu_copies_are_shown_with_points_of_real_timelines", &reason);
    }
    let mut stage = Stage::open(Script { syncobj: true, dmabuf: 5, ..Script::default() })?;
    for commit in 1..=3 {
        let guest = Guest::new(Format::XBGR8888, CROP, Transform::Flipped)?;
        if !stage.show(commit, &guest)? {
            return Err(Error::new("what was drawn came by wl_shm"));
        }
    }
    let points = stage.compositor.with(|server| {
        let shown: Vec<_> = server.surfaces.shown().into_iter().map(|c| c.points).collect();
        for points in &shown[..2] {
            server.sync.signal(points.release);
        }
        shown.iter().map(|points| server.sync.is_signalled(points.acquire)).collect::<Vec<_>>()
    });
    if points != [true; 3] {
        return Err(Error::new(format!("may be read at once: {points:?}")));
    }
    for commit in 1..=2 {
        match stage.next()? {
            SinkEvent::Released(CommitId(released)) if released == commit => {}
            event => return Err(Error::new(format!("{event:?} in place of {commit}'s release"))),
        }
    }
    Ok(())
}

/// The compositor takes neither the GPU's memory nor udmabufs: the picture comes by wl_shm.
pub(crate) fn refused() -> Result<()> {
    if let Err(reason) = software(None) {
        return nothing_draws("gpu_memory_that_is_refused_is_copied_by_the_cpu", &reason);
    }
    let mut stage = Stage::open(Script { answer: Answer::Failed, ..Script::default() })?;
    for commit in 1..=2 {
        let guest = Guest::new(Format::XRGB8888, WHOLE, Transform::Normal)?;
        if stage.show(commit, &guest)? {
            return Err(Error::new("a dma-buf came although it was refused"));
        }
    }
    let blank = stage.compositor.with(|server| {
        server.surfaces.shown().iter().any(|commit| commit.attached == Attached::Null)
    });
    if blank { Err(Error::new("there was no picture meanwhile")) } else { Ok(()) }
}

/// The viewer of a real guest in a real compositor.
pub(crate) fn weston() -> Result<()> {
    if let Err(reason) = software(None) {
        return nothing_draws("gpu_copies_reach_weston", &reason);
    }
    let (dir, bus) = bus()?;
    let paint = Paint { hold_ms: 0, frames: 3, ..Paint::default() };
    let setup = Setup::new("paint", Drawing::Paint(paint)).card(Card::Vga).on(&bus).gl(true);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    let frame = qemu.line.done(soon())?;
    let mut weston = Weston::start(Shell::Kiosk, Renderer::Gl, (640, 480), &dir)?;
    let mut viewer = Viewer::start_with(
        "view-gpu",
        "qemu:paint",
        &["-v", "--present", "copy"],
        &[SOFTWARE],
        (&bus, &weston),
        &dir,
    )?;
    viewer.wait_count("frames", 1, soon())?;
    same("screenshot and pattern", &weston.screenshot()?, &pattern::expected(frame, 640, 480))?;
    draws(&mut viewer)?;
    viewer.finish(soon()).map(|_| ())
}
