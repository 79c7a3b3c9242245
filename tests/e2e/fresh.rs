//! The server's promise on real udmabufs: a picture in scattered guest pages, some of which are punched
//! out and filled again, reaches the viewer from the pages that the guest has now.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fanlight::frame::{
    BufferId, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform,
};
use fanlight::serve::{Answer, ConsoleId, Event, GuestMemory, Kind, Memory, Options, Server};
use fanlight::session::{self, Session};
use fanlight::sink::memory::{Frame, MemorySink};
use fanlight::source::{self, Uri};
use fanlight::sys;
use fanlight_stage::{Error, Image, Result, pattern};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};

use crate::stills::{same, soon};

pub(crate) const WIDTH: u32 = 640;
pub(crate) const HEIGHT: u32 = 480;
pub(crate) const STRIDE: u32 = WIDTH * 4;
pub(crate) const BYTES: u64 = (STRIDE * HEIGHT) as u64;

pub(crate) fn say(error: impl std::fmt::Display) -> Error {
    Error::new(error.to_string())
}

/// Guest RAM in which the picture's pages lie backwards, in runs.
pub(crate) struct Guest {
    pub(crate) ram: Arc<OwnedFd>,
    /// Bytes a run: whole pages.
    pub(crate) run: u64,
    pub(crate) runs: u64,
}

impl Guest {
    fn new(ram: OwnedFd, run: u64) -> Result<Self> {
        let runs = BYTES.div_ceil(run);
        ftruncate(&ram, runs * run).map_err(say)?;
        rustix::fs::fcntl_add_seals(&ram, rustix::fs::SealFlags::SHRINK).map_err(say)?;
        Ok(Self { ram: Arc::new(ram), run, runs })
    }

    /// Where a run of the picture lies.
    pub(crate) fn offset(&self, index: u64) -> u64 {
        (self.runs - 1 - index) * self.run
    }

    pub(crate) fn memory(&self) -> Result<GuestMemory> {
        let run = |i| (Arc::clone(&self.ram), self.offset(i), self.run);
        GuestMemory::new((0..self.runs).map(run)).map_err(say)
    }

    /// As a guest does it: through a mapping, because hugetlb knows no write.
    pub(crate) fn draw(&self, mapping: &mut sys::OwnMapping, frame: u32) -> Result<()> {
        let mut picture = vec![0; (self.runs * self.run) as usize];
        pattern::draw(frame, WIDTH, HEIGHT, STRIDE as usize, &mut picture)
            .ok_or_else(|| Error::new("the memory is too small for a frame"))?;
        for (i, piece) in picture.chunks(self.run as usize).enumerate() {
            let at = self.offset(i as u64) as usize;
            mapping.bytes_mut()[at..at + piece.len()].copy_from_slice(piece);
        }
        Ok(())
    }

    /// The picture as the guest has it now.
    pub(crate) fn picture(&self, mapping: &mut sys::OwnMapping) -> Result<Image> {
        let piece = |i| {
            let at = self.offset(i) as usize;
            mapping.bytes_mut()[at..at + self.run as usize].to_vec()
        };
        let bytes: Vec<u8> = (0..self.runs).flat_map(piece).collect();
        let image = Image::from_xrgb(WIDTH, HEIGHT, STRIDE as usize, &bytes);
        image.ok_or_else(|| Error::new("too few pixels"))
    }

    pub(crate) fn map(&self) -> Result<sys::OwnMapping> {
        sys::OwnMapping::new(&self.ram, self.runs * self.run).map_err(say)
    }

    pub(crate) fn punch(&self, index: u64) -> Result<()> {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.ram, how, self.offset(index), self.run).map_err(say)
    }
}

pub(crate) fn ordinary() -> Result<Guest> {
    let ram =
        memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(say)?;
    Guest::new(ram, sys::page_align(3))
}

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) console: ConsoleId,
    pub(crate) buffer: BufferId,
    /// Updates that have their answer.
    answers: Vec<(u32, Answer)>,
    /// What the viewer has shown, in its order; `None` answers a ring at `bell`.
    frames: Receiver<Option<Frame>>,
    bell: Arc<OwnedFd>,
}

impl Scene {
    /// The guest finishes a frame; what the viewer has then.
    pub(crate) fn frame(&mut self) -> Result<Image> {
        let number = self.server.update(self.console, self.buffer, &[]).map_err(say)?;
        self.answered(number)
    }

    /// The guest finishes a frame when `fence` signals; the number of its update.
    pub(crate) fn update_after(&mut self, fence: BorrowedFd<'_>) -> Result<u32> {
        self.server.update_after(self.console, self.buffer, &[], Some(fence)).map_err(say)
    }

    /// Whether an update has its answer, which must be an ack.
    pub(crate) fn is_answered(&mut self, number: u32) -> Result<bool> {
        self.server.dispatch().map_err(say)?;
        while let Some(event) = self.server.next_event() {
            if let Event::Answered { frame, answer, .. } = event {
                self.answers.push((frame, answer));
            }
        }
        match self.answers.iter().find(|(frame, _)| *frame == number) {
            None => Ok(false),
            Some((_, Answer::Acked)) => Ok(true),
            Some((_, answer)) => Err(say(format!("the update was answered by {answer:?}"))),
        }
    }

    /// Waits for an update's ack; what the viewer has then.
    pub(crate) fn answered(&mut self, number: u32) -> Result<Image> {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.is_answered(number)? {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new("the update was never answered"));
            }
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::from_borrowed_fd(self.server.as_fd(), PollFlags::IN)];
            poll(&mut fds, Some(&left)).map_err(say)?;
        }
        self.shown()?.ok_or_else(|| Error::new("the update was acked, and nothing shown"))
    }

    /// What the viewer showed last, since it was asked. It acks a frame before it hands it on, so it is
    /// asked.
    pub(crate) fn shown(&mut self) -> Result<Option<Image>> {
        ring(&self.bell)?;
        let mut last = None;
        while let Some(frame) = self.frames.recv_timeout(soon().left()).map_err(say)? {
            last = Some(frame);
        }
        let Some(last) = last else { return Ok(None) };
        let image = Image::from_xrgb(WIDTH, HEIGHT, STRIDE as usize, &last.pixels);
        image.map(Some).ok_or_else(|| Error::new("too few pixels"))
    }
}

fn ring(bell: &OwnedFd) -> Result<()> {
    rustix::io::write(bell, &1_u64.to_ne_bytes()).map(drop).map_err(say)
}

/// Shows guest memory to a headless viewer on a thread of its own, while `f` plays.
pub(crate) fn play(
    memory: GuestMemory,
    check_freshness: bool,
    f: impl FnOnce(&mut Scene) -> Result<()>,
) -> Result<()> {
    play_with(memory, Options { check_freshness, ..Options::default() }, f)
}

/// As [`play`], by a server with these options.
pub(crate) fn play_with(
    memory: GuestMemory,
    options: Options,
    f: impl FnOnce(&mut Scene) -> Result<()>,
) -> Result<()> {
    let options = Options { answer_limit: Duration::from_secs(20), ..options };
    let mut server = Server::new("guest", "", options).map_err(say)?;
    let console = server.add_console(Kind::Graphic, "screen").map_err(say)?;
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0].stride = STRIDE;
    let size = Size { width: WIDTH, height: HEIGHT };
    let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
    let layout = Layout { size, format, modifier, planes, plane_count: 1 };
    let buffer = server.add_buffer(console, layout, Memory::Guest(memory)).map_err(say)?;
    let whole = Rect { x: 0, y: 0, width: WIDTH, height: HEIGHT };
    server.scanout(console, buffer, whole, Transform::Normal).map_err(say)?;
    let (ours, theirs) = UnixStream::pair().map_err(say)?;
    server.add_viewer(theirs).map_err(say)?;
    let (sender, frames) = channel();
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(say)?);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let viewer = scope.spawn(|| -> std::result::Result<(), String> {
            let words = |error: &dyn std::fmt::Display| error.to_string();
            let uri = Uri::Scanout { path: "/guest".into(), console: None };
            let opened = source::open_stream(ours, &uri, &source::Options::default());
            let source = opened.map_err(|e| words(&e))?.source;
            let options = session::Options::default();
            let mut session = Session::new(source, MemorySink::default(), options);
            loop {
                let turn = session.turn(None, Some(bell.as_fd())).map_err(|e| words(&e))?;
                while let Some(frame) = session.sink().take_frame() {
                    let _ = sender.send(Some(frame));
                }
                if turn == session::Turn::Woken {
                    rustix::io::read(&*bell, &mut [0; 8]).map_err(|e| words(&e))?;
                    let _ = sender.send(None);
                    if over.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                }
            }
        });
        let mut scene =
            Scene { server, console, buffer, answers: Vec::new(), frames, bell: Arc::clone(&bell) };
        let watched = wait_for_viewer(&mut scene.server);
        let played = watched.and_then(|()| f(&mut scene));
        over.store(true, Ordering::Relaxed);
        ring(&bell)?;
        let viewed = viewer.join().map_err(|_| Error::new("the viewer panicked"))?;
        played.and(viewed.map_err(say))
    })
}

fn wait_for_viewer(server: &mut Server) -> Result<()> {
    loop {
        server.dispatch().map_err(say)?;
        if std::iter::from_fn(|| server.next_event()).any(|e| matches!(e, Event::Watched(_, 1))) {
            return Ok(());
        }
        let time = Timespec { tv_sec: 30, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(server.as_fd(), PollFlags::IN)];
        if poll(&mut fds, Some(&time)).map_err(say)? == 0 {
            return Err(Error::new("no viewer came"));
        }
    }
}

pub(crate) fn expect(what: &str, seen: &Image, frame: u32) -> Result<()> {
    same(what, seen, &pattern::expected(frame, WIDTH, HEIGHT))
}

/// Draws a frame into memory that holds nothing else.
pub(crate) fn draw(frame: u32, memory: &mut sys::OwnMapping) -> Result<()> {
    pattern::draw(frame, WIDTH, HEIGHT, STRIDE as usize, memory.bytes_mut())
        .ok_or_else(|| Error::new("the memory is too small for a frame"))
}

/// Twenty frames, a page going now and then: each whole, each replacement counted once.
pub(crate) fn replaced() -> Result<()> {
    let guest = ordinary()?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    play(guest.memory()?, true, |scene| {
        expect("frame 1", &scene.frame()?, 1)?;
        let mut punched = HashSet::new();
        for frame in 2..20 {
            if frame % 3 == 0 {
                guest.punch(u64::from(frame) * 7)?;
                punched.insert(frame);
            }
            guest.draw(&mut drawing, frame)?;
            expect(&format!("frame {frame}"), &scene.frame()?, frame)?;
            if scene.server.replacements() != punched.len() as u64 {
                let (seen, made) = (scene.server.replacements(), punched.len());
                return Err(say(format!("{seen} replacements were seen, {made} were made")));
            }
        }
        Ok(())
    })
}

/// The same without the check is stale, so that the test above can fail.
pub(crate) fn unchecked_is_stale() -> Result<()> {
    let guest = ordinary()?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    play(guest.memory()?, false, |scene| {
        expect("frame 1", &scene.frame()?, 1)?;
        (0..guest.runs).try_for_each(|i| guest.punch(i))?;
        guest.draw(&mut drawing, 2)?;
        expect("the stale frame", &scene.frame()?, 1)
    })
}

/// Memory of the backend's own is sealed once its udmabuf exists: no page of it can go.
pub(crate) fn owned_is_sealed() -> Result<()> {
    let len = sys::page_align(BYTES);
    let memfd = sys::own_memfd("own", len).map_err(say)?;
    let mut drawing = sys::OwnMapping::new(&memfd, len).map_err(say)?;
    let twin = memfd.try_clone().map_err(say)?;
    play(GuestMemory::owned(memfd, len).map_err(say)?, true, |scene| {
        for frame in 1..4 {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if fallocate(&twin, how, 0, len).is_ok() {
                return Err(Error::new("a page of sealed memory could be taken away"));
            }
            draw(frame, &mut drawing)?;
            expect(&format!("frame {frame}"), &scene.frame()?, frame)?;
        }
        Ok(())
    })
}

/// RAM of huge pages.
pub(crate) fn huge() -> Result<Guest> {
    let pool = "/proc/sys/vm/nr_hugepages";
    // Without the right to set it there may be some all the same.
    let _ = std::fs::write(pool, "8");
    let count = std::fs::read_to_string(pool).map_err(say)?;
    if count.trim().parse::<u32>().unwrap_or(0) < 4 {
        return Err(say(format!(
            "the machine has only {} huge pages: give it memory",
            count.trim()
        )));
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let ram = memfd_create("guest", flags | MemfdFlags::HUGE_2MB).map_err(say)?;
    Guest::new(ram, 2 << 20)
}

/// A udmabuf of huge pages, of which Linux 6.12 gave importers that use vmap the wrong ones: the user
/// sees the guest's, here by a mapping of the dma-buf, and others once one is replaced; the guest gets
/// its acks. (Nothing in the test machine reads by vmap, and its kernel is newer.)
pub(crate) fn huge_pages() -> Result<()> {
    let guest = huge()?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    play(guest.memory()?, true, |scene| {
        expect("frame 1", &scene.frame()?, 1)?;
        guest.draw(&mut drawing, 2)?;
        expect("frame 2", &scene.frame()?, 2)?;
        guest.punch(0)?;
        guest.draw(&mut drawing, 3)?;
        expect("frame 3, in another page", &scene.frame()?, 3)?;
        match scene.server.replacements() {
            1 => Ok(()),
            other => Err(say(format!("{other} replacements were seen, 1 was made"))),
        }
    })
}
