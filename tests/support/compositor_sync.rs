//! wp_linux_drm_syncobj_v1 of the compositor. Its timelines are the kernel's, reached by another
//! library than ours; or, where there is no DRM node, stand-ins within this process that do the same.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drm::control::{Device as _, syncobj};
use fanlight::sink::wayland::{Timeline, Timelines};
use fanlight::sys::own_memfd;
use rustix::fs::fstat;
use wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_manager_v1::{
    self as manager_v1, WpLinuxDrmSyncobjManagerV1,
};
use wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_surface_v1::{
    self as surface_v1, WpLinuxDrmSyncobjSurfaceV1,
};
use wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_timeline_v1::{
    self as timeline_v1, WpLinuxDrmSyncobjTimelineV1,
};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource};

use super::Server;
use super::surfaces::{Attached, Pixels};

const NODE: &str = "/dev/dri/renderD128";

/// A timeline of this process.
#[derive(Debug, Default)]
struct StandIn {
    signalled: u64,
    waiting: Vec<(u64, OwnedFd)>,
}

impl StandIn {
    fn signal(&mut self, point: u64) {
        self.signalled = self.signalled.max(point);
        for (_, told) in self.waiting.extract_if(.., |(waits, _)| *waits <= point) {
            rustix::io::write(told, &1_u64.to_ne_bytes()).unwrap();
        }
    }
}

type Shared = Arc<Mutex<StandIn>>;

/// By the inode of the memfd that is passed in place of a syncobj.
static STAND_INS: Mutex<Option<HashMap<u64, Shared>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Ours {
    shared: Shared,
    memfd: OwnedFd,
}

impl Timeline for Ours {
    fn export(&self) -> io::Result<OwnedFd> {
        self.memfd.try_clone()
    }

    fn signal(&self, point: u64) -> io::Result<()> {
        lock(&self.shared).signal(point);
        Ok(())
    }

    fn signal_after_writers(&self, point: u64, _: BorrowedFd<'_>) -> io::Result<()> {
        self.signal(point)
    }

    fn signalled(&self) -> io::Result<u64> {
        Ok(lock(&self.shared).signalled)
    }

    fn notify(&self, point: u64, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        let mut stand_in = lock(&self.shared);
        stand_in.waiting.push((point, eventfd.try_clone_to_owned()?));
        let signalled = stand_in.signalled;
        stand_in.signal(signalled);
        Ok(())
    }
}

#[derive(Debug)]
struct StandIns;

impl Timelines for StandIns {
    fn timeline(&self) -> io::Result<Box<dyn Timeline>> {
        let memfd = own_memfd("timeline", 4096)?;
        let shared = Shared::default();
        let inode = fstat(&memfd)?.st_ino;
        lock(&STAND_INS).get_or_insert_default().insert(inode, Arc::clone(&shared));
        Ok(Box::new(Ours { shared, memfd }))
    }
}

/// Timelines that are none of the kernel's.
#[allow(dead_code, reason = "each test crate uses its own part")]
pub fn stand_ins(_: Option<u64>) -> io::Result<Box<dyn Timelines>> {
    Ok(Box::new(StandIns))
}

/// A DRM node.
#[derive(Debug)]
struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

/// A timeline as it came.
#[derive(Debug)]
pub struct TimelineSeen {
    hold: Held,
    pub destroyed: bool,
}

#[derive(Debug)]
enum Held {
    Kernel(Card, syncobj::Handle),
    StandIn(Shared),
}

impl TimelineSeen {
    fn import(fd: &OwnedFd) -> Self {
        let inode = fstat(fd).unwrap().st_ino;
        let stand_in = lock(&STAND_INS).as_mut().and_then(|all| all.remove(&inode));
        let hold = if let Some(stand_in) = stand_in {
            Held::StandIn(stand_in)
        } else {
            let card = Card(OpenOptions::new().read(true).write(true).open(NODE).unwrap());
            let handle = card.fd_to_syncobj(fd.as_fd(), false).expect("a syncobj");
            Held::Kernel(card, handle)
        };
        Self { hold, destroyed: false }
    }

    /// The last point that is signalled.
    pub fn signalled(&self) -> u64 {
        match &self.hold {
            Held::StandIn(shared) => lock(shared).signalled,
            Held::Kernel(card, handle) => {
                let mut points = [0];
                card.syncobj_timeline_query(&[*handle], &mut points, false).unwrap();
                points[0]
            }
        }
    }

    pub fn signal(&self, point: u64) {
        match &self.hold {
            Held::StandIn(shared) => lock(shared).signal(point),
            Held::Kernel(card, handle) => {
                card.syncobj_timeline_signal(&[*handle], &[point]).unwrap();
            }
        }
    }
}

/// A timeline, by its index, and a point of it.
pub type Point = (usize, u64);

/// What a commit has of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Points {
    pub acquire: Option<Point>,
    pub release: Option<Point>,
}

#[derive(Debug, Default)]
pub struct Sync {
    pub timelines: Vec<TimelineSeen>,
    /// The surface that has explicit sync now.
    pub surface: Option<usize>,
    /// How often a surface got it.
    pub begun: u32,
    /// What was signalled must not be asked for again.
    released: HashMap<usize, u64>,
}

impl Sync {
    /// What would be a fatal error of the protocol.
    pub fn check(
        &mut self,
        surface: usize,
        attached: Attached,
        pixels: Option<&Pixels>,
        of: Points,
    ) {
        let attaches = matches!(attached, Attached::Buffer(_));
        if self.surface != Some(surface) {
            return assert_eq!(of, Points::default(), "points without a syncobj surface");
        }
        assert_eq!(of.acquire.is_some(), attaches, "an acquire point iff there is a buffer");
        assert_eq!(of.release.is_some(), attaches, "a release point iff there is a buffer");
        let (Some(acquire), Some(release)) = (of.acquire, of.release) else { return };
        assert!(acquire.0 != release.0 || acquire.1 < release.1, "points in conflict");
        let dmabuf = matches!(pixels, Some(Pixels::Dmabuf { .. }));
        assert!(dmabuf, "explicit sync for {pixels:?}");
        let before = self.released.insert(release.0, release.1);
        assert!(before.is_none_or(|before| before < release.1), "a release point twice");
    }

    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn is_signalled(&self, point: Option<Point>) -> bool {
        let (timeline, point) = point.expect("a point");
        self.timelines[timeline].signalled() >= point
    }

    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn signal(&self, point: Option<Point>) {
        let (timeline, point) = point.expect("a point");
        self.timelines[timeline].signal(point);
    }
}

impl Dispatch<WpLinuxDrmSyncobjManagerV1, ()> for Server {
    fn request(
        state: &mut Self,
        _: &Client,
        _: &WpLinuxDrmSyncobjManagerV1,
        request: manager_v1::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let sync = &mut state.sync;
        match request {
            manager_v1::Request::GetSurface { id, surface } => {
                let surface = *surface.data::<usize>().unwrap();
                assert_eq!(sync.surface.replace(surface), None, "it has explicit sync already");
                sync.begun += 1;
                init.init(id, surface);
            }
            manager_v1::Request::ImportTimeline { id, fd } => {
                init.init(id, sync.timelines.len());
                sync.timelines.push(TimelineSeen::import(&fd));
            }
            manager_v1::Request::Destroy => {}
            other => panic!("wp_linux_drm_syncobj_manager_v1: {other:?}"),
        }
    }
}

impl Dispatch<WpLinuxDrmSyncobjTimelineV1, usize> for Server {
    fn request(
        state: &mut Self,
        _: &Client,
        _: &WpLinuxDrmSyncobjTimelineV1,
        request: timeline_v1::Request,
        index: &usize,
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        let timeline_v1::Request::Destroy = request else { panic!("timeline: {request:?}") };
        state.sync.timelines[*index].destroyed = true;
    }
}

impl Dispatch<WpLinuxDrmSyncobjSurfaceV1, usize> for Server {
    fn request(
        state: &mut Self,
        _: &Client,
        _: &WpLinuxDrmSyncobjSurfaceV1,
        request: surface_v1::Request,
        index: &usize,
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        let points = state.surfaces.pending_points(*index);
        let (point, timeline, high, low) = match request {
            surface_v1::Request::SetAcquirePoint { timeline, point_hi, point_lo } => {
                (&mut points.acquire, timeline, point_hi, point_lo)
            }
            surface_v1::Request::SetReleasePoint { timeline, point_hi, point_lo } => {
                (&mut points.release, timeline, point_hi, point_lo)
            }
            surface_v1::Request::Destroy => {
                assert_eq!(*points, Points::default(), "points for a commit that never came");
                state.sync.surface = None;
                return;
            }
            other => panic!("wp_linux_drm_syncobj_surface_v1: {other:?}"),
        };
        let index = *timeline.data::<usize>().unwrap();
        *point = Some((index, u64::from(high) << 32 | u64::from(low)));
    }
}
