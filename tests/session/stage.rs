//! A guest, a session and a compositor, moved on step by step.

use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

use fanlight::convert::blit::BlitError;
use fanlight::port::Source;
use fanlight::session::{Config, Options, Present, Session};
use fanlight::sink::wayland::{Means, OpenTimelines, WaylandSink, WindowOptions};
use fanlight::source::{self, Bus, Uri};
use fanlight::sys::{Classify, own_memfd};
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::net::sockopt::set_socket_send_buffer_size;
use zbus::Fd;

use crate::compositor::surfaces::{Attached, Commit, Pixels};
use crate::compositor::sync::stand_ins;
use crate::compositor::{Compositor, PATIENCE, Script, Server};
use crate::fake_qemu::{self, DMABUF2, FakeQemu, FakeQemus, FakeVm, LISTENER, VM};
use crate::script::{self, Guest};
use crate::spies::{Log, Seen, SpiedSink, SpiedSource};
use crate::{Modifier, XR24};

pub type Size = (u32, u32);

/// Arguments of `ScanoutDMABUF2`.
pub type V2<'a> =
    (Vec<Fd<'a>>, u32, u32, u32, u32, Vec<u32>, Vec<u32>, u32, u32, u32, u32, u64, bool);

/// Nothing happens because the machine is slow: a scanout is shown by its update only, and no
/// deadline comes.
pub const CALM: Config = Config {
    ack_deadline: Duration::from_secs(60),
    ack_after: Duration::ZERO,
    await_release: false,
    first_grace: Duration::from_secs(60),
    next_grace: Duration::from_secs(60),
    blank_after: Duration::from_secs(60),
    leave_within: Duration::from_secs(60),
};

/// As [`CALM`], but the first scanout is shown at once.
pub const AT_ONCE: Config = Config { first_grace: Duration::ZERO, ..CALM };

/// Memory of the guest.
pub struct Memory {
    pub file: File,
    pub size: Size,
}

impl Memory {
    pub fn new(size: Size) -> Self {
        let bytes = u64::from(size.0) * u64::from(size.1) * 4;
        let memory = Self { file: File::from(own_memfd("guest", bytes).unwrap()), size };
        memory.paint(0);
        memory
    }

    /// Paints it all over: each pixel says where it is, and in which picture.
    pub fn paint(&self, picture: u8) {
        self.paint_part(picture, (0, 0, self.size.0, self.size.1));
    }

    pub fn paint_part(&self, picture: u8, (x, y, width, height): (u32, u32, u32, u32)) {
        for y in y..y + height {
            let pixel = |x: u32| [x as u8, y as u8, picture, 0];
            let row: Vec<_> = (x..x + width).flat_map(pixel).collect();
            self.file.write_all_at(&row, u64::from(y * self.size.0 + x) * 4).unwrap();
        }
    }

    pub fn rows(&self) -> Vec<Vec<u8>> {
        let row = |y| {
            let mut row = vec![0; self.size.0 as usize * 4];
            self.file.read_exact_at(&mut row, u64::from(y * self.size.0) * 4).unwrap();
            row
        };
        (0..self.size.1).map(row).collect()
    }

    /// Has its inode, but nobody can read or map it.
    pub fn handle(&self) -> OwnedFd {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    pub fn inode(&self) -> (u64, u64) {
        inode(&self.file)
    }

    /// How many fds of this process lead to it.
    pub fn fds(&self) -> usize {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        // Others come and go meanwhile.
        let inodes = fds.filter_map(|fd| std::fs::metadata(fd.unwrap().path()).ok());
        inodes.filter(|stat| (stat.dev(), stat.ino()) == self.inode()).count()
    }
}

pub fn inode(fd: &impl AsFd) -> (u64, u64) {
    let stat = fstat(fd).unwrap();
    (stat.st_dev, stat.st_ino)
}

/// A whole linear XR24 buffer.
pub fn v2<'a>(fd: &'a impl AsFd, (width, height): Size) -> V2<'a> {
    let fds = vec![Fd::from(fd.as_fd())];
    let (offsets, strides) = (vec![0], vec![width * 4]);
    let invalid = Modifier::INVALID.0;
    (fds, 0, 0, width, height, offsets, strides, 1, XR24, width, height, invalid, false)
}

/// What is put together.
pub struct Setup {
    pub present: Present,
    pub config: Config,
    pub script: Script,
    pub classify: Classify,
    pub timelines: OpenTimelines,
    /// How long opening and each call may take.
    pub time_limit: Duration,
    /// The compositor's socket holds as little as the kernel allows, once there is a window.
    pub narrow: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let (config, script, classify) = (CALM, Script::default(), fake_qemu::classify);
        let (present, timelines) = (Present::Auto, stand_ins);
        let time_limit = source::Options::default().time_limit;
        Self { present, config, script, classify, timelines, time_limit, narrow: false }
    }
}

pub struct Stage {
    // First, so that the compositor still sees its end.
    pub session: Session<SpiedSink<WaylandSink>>,
    pub log: Log,
    pub compositor: Compositor,
    qemu: Option<FakeQemu>,
    /// What its QEMU is told.
    pub told: Option<FakeQemus>,
    /// Commits whose frame callback was answered.
    presented: usize,
}

impl Stage {
    /// With a QEMU.
    pub fn open(setup: Setup) -> Self {
        Self::open_vm(setup, VM)
    }

    /// With a QEMU of that kind.
    pub fn open_vm(setup: Setup, vm: FakeVm) -> Self {
        let (stream, listeners) = fake_qemu::p2p(vm);
        let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
        let options = source::Options { classify: setup.classify, time_limit: setup.time_limit };
        let source = source::open_stream(stream, &uri, &options).unwrap().source;
        Self { qemu: Some(listeners.next()), told: Some(listeners), ..Self::over(source, setup) }
    }

    /// With the next QEMU, in the place of the one before.
    pub fn reconnect(&mut self) {
        self.reconnect_and(|_| ());
    }

    /// The same; its QEMU is looked at before anything is said to it.
    pub fn reconnect_and<T>(&mut self, f: impl FnOnce(&FakeQemus) -> T) -> T {
        let (stream, listeners) = fake_qemu::p2p(VM);
        let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
        let options =
            source::Options { classify: fake_qemu::classify, ..source::Options::default() };
        let source = source::open_stream(stream, &uri, &options).unwrap().source;
        let updates = self.log.count(|seen| matches!(seen, Seen::Update(_))) as u64;
        let looked = f(&listeners);
        self.session.reconnect(Box::new(SpiedSource { source, log: self.log.clone(), updates }));
        self.qemu = Some(listeners.next());
        looked
    }

    /// With a guest that says what no QEMU does.
    pub fn scripted(setup: Setup) -> (Self, Guest) {
        let (source, guest) = script::guest();
        (Self::over(Box::new(source), setup), guest)
    }

    /// The same with another source than a QEMU.
    pub fn over(source: Box<dyn Source>, setup: Setup) -> Self {
        let (compositor, stream) = Compositor::start(setup.script);
        let means = Means {
            make_udmabuf: |_, _, _| Err(io::ErrorKind::Unsupported.into()),
            open_timelines: setup.timelines,
            open_blitter: |_| Err(BlitError::Open("none is wanted".to_owned())),
            ..Means::default()
        };
        let socket = stream.try_clone().unwrap();
        let sink = WaylandSink::over_with(stream, &WindowOptions::default(), means).unwrap();
        if setup.narrow {
            set_socket_send_buffer_size(&socket, 0).unwrap();
        }
        let log = Log::default();
        let source = Box::new(SpiedSource { source, log: log.clone(), updates: 0 });
        let sink = SpiedSink { sink, log: log.clone() };
        let options = Options { present: setup.present, config: setup.config };
        let session = Session::new(source, sink, options);
        Self { session, log, compositor, qemu: None, told: None, presented: 0 }
    }

    pub fn qemu(&mut self) -> &mut FakeQemu {
        self.qemu.as_mut().expect("QEMU is alive")
    }

    pub fn kill_qemu(&mut self) {
        self.qemu.take().expect("QEMU is alive").kill();
    }

    /// Lets the session work until there is something.
    pub fn until<T>(&mut self, what: &str, mut f: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = f(self) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}: {:?}", self.log.all());
            self.session.turn(Some(left), Some(self.compositor.news())).unwrap();
            // Where there was no news this fails.
            let _ = rustix::io::read(self.compositor.news(), &mut [0; 8]);
        }
    }

    /// Lets the session do all that can be done now: what QEMU has sent, and what the compositor says.
    pub fn settle(&mut self) {
        if let Some(qemu) = &mut self.qemu {
            // Answered when all before it was handled.
            qemu.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
        }
        self.session.turn(Some(Duration::ZERO), None).unwrap();
    }

    pub fn announce(&mut self, fd: &impl AsFd, size: Size) -> Result<(), String> {
        let reply = self.qemu().call(DMABUF2, "ScanoutDMABUF2", &v2(fd, size));
        reply.map(drop).map_err(|(_, text)| text)
    }

    pub fn update(&mut self, (x, y, width, height): (i32, i32, i32, i32)) -> NonZeroU32 {
        let update = self.qemu().send(LISTENER, "UpdateDMABUF", &(x, y, width, height));
        self.settle();
        update
    }

    /// Shows other memory, in QEMU's order: the scanout, `Disable`, the update.
    pub fn flip(&mut self, fd: &impl AsFd, size: Size) -> NonZeroU32 {
        let qemu = self.qemu();
        qemu.send(DMABUF2, "ScanoutDMABUF2", &v2(fd, size));
        qemu.send(LISTENER, "Disable", &());
        let whole = (0_i32, 0_i32, size.0 as i32, size.1 as i32);
        let update = qemu.send(LISTENER, "UpdateDMABUF", &whole);
        self.settle();
        update
    }

    pub fn is_acked(&mut self, update: NonZeroU32) -> bool {
        self.qemu().is_replied(update)
    }

    /// Waits for an update's ack.
    pub fn acked(&mut self, update: NonZeroU32) {
        self.until("an ack", |stage| stage.is_acked(update).then_some(()));
        self.qemu().reply(update).unwrap();
    }

    /// Waits until an update of a scripted guest's is acked.
    pub fn settled(&mut self, update: u64) {
        self.until("an ack", |stage| stage.log.has(Seen::Ack(update)).then_some(()));
    }

    /// How many commits gave the picture a buffer or took it away.
    pub fn shown(&self) -> usize {
        self.compositor.with(|server| server.surfaces.shown().len())
    }

    /// Waits for the `count`th of those, and says to it and all before that they are on the screen.
    pub fn commit(&mut self, count: usize) -> Commit {
        let commit = self.until("a commit", |stage| {
            stage
                .compositor
                .with(|server| server.surfaces.shown().get(count - 1).map(|&commit| commit.clone()))
        });
        let from = self.presented;
        self.presented = from.max(count);
        self.compositor.with(|server| {
            for commit in server.surfaces.shown().iter().take(count).skip(from) {
                commit.frame.as_ref().expect("each commit asks for a frame").done(0);
            }
        });
        let presented = self.presented as u64;
        self.until("the frame", |stage| {
            (stage.session.stats().commit_to_presented.count() >= presented).then_some(())
        });
        commit
    }

    /// As [`commit`](Self::commit), with the index of the buffer.
    pub fn frame(&mut self, count: usize) -> usize {
        let commit = self.commit(count);
        let Attached::Buffer(buffer) = commit.attached else { panic!("{commit:?}") };
        buffer
    }

    /// Lets the compositor release a buffer, and the session hear of it.
    pub fn release(&mut self, buffer: usize) {
        let released = |log: &Log| log.count(|seen| matches!(seen, Seen::Released(_)));
        let before = released(&self.log);
        self.compositor.with(|server| server.surfaces.buffers[buffer].buffer.release());
        self.until("the release", |stage| (released(&stage.log) > before).then_some(()));
    }

    /// Device and inode of the dma-buf behind a buffer; `None` where it is wl_shm.
    pub fn dmabuf(&self, buffer: usize) -> Option<(u64, u64)> {
        self.compositor.with(|server| match &server.surfaces.buffers[buffer].pixels {
            Pixels::Dmabuf { planes, .. } => Some(inode(&planes[0].fd)),
            Pixels::Shm { .. } => None,
            Pixels::Single(_) => panic!("the background is no picture"),
        })
    }

    /// The strides of the dma-buf behind a buffer, plane by plane.
    pub fn dmabuf_strides(&self, buffer: usize) -> Vec<u32> {
        self.compositor.with(|server| match &server.surfaces.buffers[buffer].pixels {
            Pixels::Dmabuf { planes, .. } => planes.iter().map(|plane| plane.stride).collect(),
            other => panic!("{other:?} is no dma-buf"),
        })
    }

    /// Blue, green and red of a buffer's pixels.
    pub fn pixels(&self, buffer: usize) -> Vec<Vec<[u8; 3]>> {
        colours(&self.compositor.with(|server| server.surfaces.buffers[buffer].rows()))
    }

    /// Whether the picture was ever taken away.
    pub fn was_blank(&self) -> bool {
        let null = |commit: &&Commit| commit.attached == Attached::Null;
        self.compositor.with(|server| server.surfaces.shown().iter().any(null))
    }

    /// How many fds of `memory` the compositor has.
    pub fn fds_of_compositor(&self, memory: &Memory) -> usize {
        let count = |server: &mut Server| {
            let planes = server.surfaces.buffers.iter().filter_map(|buffer| match &buffer.pixels {
                Pixels::Dmabuf { planes, .. } => Some(planes),
                _ => None,
            });
            planes.flatten().filter(|plane| inode(&plane.fd) == memory.inode()).count()
        };
        self.compositor.with(count)
    }

    /// Waits until nothing but the test and the compositor has an fd of `memory`; the test has `ours`.
    pub fn let_go_of(&mut self, memory: &Memory, ours: usize) {
        self.settle();
        let end = Instant::now() + PATIENCE;
        // A connection that ends closes what it had a moment later, and tells nobody.
        while memory.fds() > ours + self.fds_of_compositor(memory) {
            assert!(Instant::now() < end, "{} fds, the test has {ours}", memory.fds());
            std::thread::yield_now();
        }
    }
}

/// Blue, green and red; the fourth byte of a pixel means nothing.
pub fn colours(rows: &[Vec<u8>]) -> Vec<Vec<[u8; 3]>> {
    let row =
        |row: &Vec<u8>| row.as_chunks::<4>().0.iter().map(|&[b, g, r, _]| [b, g, r]).collect();
    rows.iter().map(row).collect()
}
