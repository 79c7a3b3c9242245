//! How a commit's release is told: by a point of a timeline (wp_linux_drm_syncobj_v1) or by a
//! callback of its own (`wl_surface.get_release`) where these are offered, else by
//! `wl_buffer.release`.
//!
//! Without explicit sync the compositor waits for the guest's writers by the fences that its dma-buf
//! carries, and `wl_buffer.release` says that it is done reading: neither has to be passed on by us.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Proxy, QueueHandle};
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_manager_v1::WpLinuxDrmSyncobjManagerV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_surface_v1::WpLinuxDrmSyncobjSurfaceV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_timeline_v1::WpLinuxDrmSyncobjTimelineV1;

use super::State;
use super::globals::Quiet;
use super::lease::{Lease, Until};
use super::wait::Wait;
use crate::port::CommitId;
use crate::sys::{SyncNode, Syncobj, export_sync_file};

/// Unreleased commits of one buffer; a compositor that keeps more is asked in the old way.
const HOLDS_MAX: usize = 64;
/// From this version on a surface has `get_release`.
const GET_RELEASE: u32 = 7;

/// A timeline: [`Syncobj`], or what a test passes in its place.
pub trait Timeline: Debug {
    /// A handle for the compositor.
    fn export(&self) -> io::Result<OwnedFd>;
    /// Signals `point`, and with it all before.
    fn signal(&self, point: u64) -> io::Result<()>;
    /// `point` is signalled when all have finished that the kernel knows to be writing to `dmabuf`.
    fn signal_after_writers(&self, point: u64, dmabuf: BorrowedFd<'_>) -> io::Result<()>;
    /// The last point that is signalled; 0 where none is.
    fn signalled(&self) -> io::Result<u64>;
    /// Adds to `eventfd` when `point` is signalled.
    fn notify(&self, point: u64, eventfd: BorrowedFd<'_>) -> io::Result<()>;
}

impl Timeline for Syncobj {
    fn export(&self) -> io::Result<OwnedFd> {
        self.export()
    }

    fn signal(&self, point: u64) -> io::Result<()> {
        self.signal(point)
    }

    fn signal_after_writers(&self, point: u64, dmabuf: BorrowedFd<'_>) -> io::Result<()> {
        self.signal_after(point, export_sync_file(dmabuf)?.as_fd())
    }

    fn signalled(&self) -> io::Result<u64> {
        self.signalled()
    }

    fn notify(&self, point: u64, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.notify(point, eventfd)
    }
}

/// What makes timelines: [`SyncNode`], or what a test passes in its place.
pub trait Timelines: Debug {
    /// One that has signalled nothing.
    fn timeline(&self) -> io::Result<Box<dyn Timeline>>;
}

impl Timelines for SyncNode {
    fn timeline(&self) -> io::Result<Box<dyn Timeline>> {
        Ok(Box::new(self.timeline()?))
    }
}

/// Finds what makes timelines, rather by the DRM device that the compositor uses (a `dev_t`).
pub type OpenTimelines = fn(Option<u64>) -> io::Result<Box<dyn Timelines>>;

/// Timelines of the kernel's.
///
/// # Errors
/// As [`SyncNode::open`].
pub fn kernel_timelines(device: Option<u64>) -> io::Result<Box<dyn Timelines>> {
    Ok(Box::new(SyncNode::open(device)?))
}

/// A timeline that the compositor has too.
#[derive(Debug)]
struct Shared {
    timeline: Box<dyn Timeline>,
    proxy: WpLinuxDrmSyncobjTimelineV1,
    /// The last point in use.
    point: u64,
}

impl Shared {
    /// The last point in use, in halves.
    fn halves(&self) -> (u32, u32) {
        ((self.point >> 32) as u32, self.point as u32)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.proxy.destroy();
    }
}

/// The timelines of one wl_buffer.
///
/// Two, because a point signals all before it: on one timeline the acquire point of a commit would
/// be the release of the one before, where a buffer is committed again.
#[derive(Debug)]
pub(super) struct BufferTimelines {
    acquire: Shared,
    release: Shared,
}

impl BufferTimelines {
    /// The last release point that is signalled.
    pub(super) fn released(&self) -> u64 {
        self.release.timeline.signalled().unwrap_or_else(|error| {
            tracing::warn!(%error, "a timeline can't be asked for its point");
            0
        })
    }
}

#[derive(Debug)]
struct Explicit {
    manager: WpLinuxDrmSyncobjManagerV1,
    timelines: Box<dyn Timelines>,
    /// While it exists every buffer needs its points, and none in memory of wl_shm may be attached.
    surface: Option<WpLinuxDrmSyncobjSurfaceV1>,
    /// The first commit since it exists.
    since: Option<CommitId>,
    broken: bool,
    /// Counts signalled release points.
    told: OwnedFd,
}

impl Explicit {
    fn new(
        manager: WpLinuxDrmSyncobjManagerV1,
        timelines: Box<dyn Timelines>,
        wait: &Wait,
    ) -> io::Result<Self> {
        let told = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        wait.add(told.as_fd())?;
        Ok(Self { manager, timelines, surface: None, since: None, broken: false, told })
    }

    fn share(&self, qh: &QueueHandle<State>) -> io::Result<Shared> {
        let timeline = self.timelines.timeline()?;
        let fd = timeline.export()?;
        let proxy = self.manager.import_timeline(fd.as_fd(), qh, Quiet);
        Ok(Shared { timeline, proxy, point: 0 })
    }

    /// Sets both points for the next commit of `surface`; says nothing to the compositor where that
    /// fails. Returns the release point.
    fn set_points(
        &mut self,
        surface: &WlSurface,
        lease: &mut Lease,
        commit: CommitId,
        writers: &[OwnedFd],
        qh: &QueueHandle<State>,
    ) -> io::Result<u64> {
        if lease.timelines.is_none() {
            let (acquire, release) = (self.share(qh)?, self.share(qh)?);
            lease.timelines = Some(Box::new(BufferTimelines { acquire, release }));
        }
        let Some(timelines) = &mut lease.timelines else { unreachable!("made above") };
        let BufferTimelines { acquire, release } = &mut **timelines;
        if writers.is_empty() {
            acquire.point += 1;
            acquire.timeline.signal(acquire.point)?;
        }
        for writer in writers {
            // The last point is signalled when all before it are, so that it waits for each fd's.
            acquire.point += 1;
            acquire.timeline.signal_after_writers(acquire.point, writer.as_fd())?;
        }
        release.point += 1;
        release.timeline.notify(release.point, self.told.as_fd())?;

        let surface = self.surface.get_or_insert_with(|| {
            self.since = Some(commit);
            self.manager.get_surface(surface, qh, Quiet)
        });
        let ((a_high, a_low), (r_high, r_low)) = (acquire.halves(), release.halves());
        surface.set_acquire_point(&acquire.proxy, a_high, a_low);
        surface.set_release_point(&release.proxy, r_high, r_low);
        Ok(release.point)
    }

    fn leave(&mut self) {
        if let Some(surface) = self.surface.take() {
            surface.destroy();
        }
    }
}

/// The ways in which releases are told.
#[derive(Debug, Default)]
pub(super) struct Releases(Option<Explicit>);

impl Releases {
    /// With explicit sync, where that can be had; then `wait` is for signalled points too.
    pub(super) fn new(
        manager: Option<&WpLinuxDrmSyncobjManagerV1>,
        open: OpenTimelines,
        device: Option<u64>,
        wait: &Wait,
    ) -> Self {
        let explicit = manager.and_then(|manager| {
            open(device)
                .and_then(|timelines| Explicit::new(manager.clone(), timelines, wait))
                .inspect_err(|error| tracing::info!(%error, "no explicit sync"))
                .ok()
        });
        Self(explicit)
    }

    /// Whether release points were signalled since it was asked last.
    pub(super) fn told(&self) -> bool {
        let Some(explicit) = &self.0 else { return false };
        loop {
            match rustix::io::read(&explicit.told, &mut [0; 8]) {
                Err(Errno::INTR) => {}
                read => return read.is_ok(),
            }
        }
    }

    /// Sees to it that the release of the next commit of `surface`, with `lease`'s buffer, is told.
    /// `writers` are the dma-bufs of the guest's in it.
    pub(super) fn expect(
        &mut self,
        surface: &WlSurface,
        lease: &mut Lease,
        commit: CommitId,
        writers: &[OwnedFd],
        qh: &QueueHandle<State>,
    ) {
        let crowded = lease.holds.len() >= HOLDS_MAX;
        if let Some(explicit) = &mut self.0 {
            if crowded && !explicit.broken {
                tracing::warn!("the compositor gives no buffer back; no more explicit sync");
                explicit.broken = true;
            }
            if lease.is_dmabuf && !explicit.broken {
                match explicit.set_points(surface, lease, commit, writers, qh) {
                    Ok(point) => return lease.hold(commit, Until::Point(point)),
                    Err(error) => {
                        tracing::warn!(%error, "no more explicit sync");
                        explicit.broken = true;
                    }
                }
            }
            explicit.leave();
        }
        if surface.version() >= GET_RELEASE && !crowded {
            surface.get_release(qh, ReleaseOf(commit));
            lease.hold(commit, Until::Callback);
        } else {
            lease.hold_by_event(commit);
        }
    }

    /// The commit before which whatever waits for `wl_buffer.release` is read no more, now that
    /// `presented` is on the screen: once explicit sync begins such events need not come.
    pub(super) fn unread_before(&self, presented: CommitId) -> Option<CommitId> {
        let since = self.0.as_ref()?.since?;
        (presented > since).then_some(since)
    }
}

impl Drop for Releases {
    fn drop(&mut self) {
        if let Some(explicit) = &mut self.0 {
            explicit.leave();
            explicit.manager.destroy();
        }
    }
}

/// For a release callback: the commit that it was asked for with.
#[derive(Debug)]
struct ReleaseOf(CommitId);

impl Dispatch2<WlCallback, State> for ReleaseOf {
    fn event(
        &self,
        state: &mut State,
        _: &WlCallback,
        event: wl_callback::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        let wl_callback::Event::Done { .. } = event else { return };
        state.end(|hold| hold.commit == self.0 && hold.until == Until::Callback);
    }
}
