//! Timelines of the DRM subsystem (drm_syncobj), by the ioctls of drm/drm.h.
//!
//! A timeline counts up; a *point* of it is signalled when its fence is, and all points before it
//! are. They are handed to others as fds, and belong to no device: any node makes them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use super::nodes::render_nodes;

#[repr(C)]
#[derive(Default)]
struct GetCap {
    capability: u64,
    value: u64,
}

#[repr(C)]
#[derive(Default)]
struct Create {
    handle: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Destroy {
    handle: u32,
    pad: u32,
}

/// As it was before the kernel gave it a point; the kernel takes both.
#[repr(C)]
#[derive(Default)]
struct Handle {
    handle: u32,
    flags: u32,
    fd: i32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct Transfer {
    from: u32,
    to: u32,
    from_point: u64,
    to_point: u64,
    flags: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct Array {
    handles: u64,
    points: u64,
    count: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Eventfd {
    handle: u32,
    flags: u32,
    point: u64,
    fd: i32,
    pad: u32,
}

const fn both<T>(number: u8) -> Opcode {
    opcode::read_write::<T>(b'd', number)
}

const GET_CAP: Opcode = both::<GetCap>(0x0c);
const CREATE: Opcode = both::<Create>(0xbf);
const DESTROY: Opcode = both::<Destroy>(0xc0);
const HANDLE_TO_FD: Opcode = both::<Handle>(0xc1);
const FD_TO_HANDLE: Opcode = both::<Handle>(0xc2);
const QUERY: Opcode = both::<Array>(0xcb);
const TRANSFER: Opcode = both::<Transfer>(0xcc);
const TIMELINE_SIGNAL: Opcode = both::<Array>(0xcd);
const EVENTFD: Opcode = both::<Eventfd>(0xcf);

const CAP_SYNCOBJ_TIMELINE: u64 = 0x14;
const IMPORT_SYNC_FILE: u32 = 1;

/// Makes the call that `$opcode` names, with a `$value` of the type that it was made for.
macro_rules! call {
    ($node:expr, $opcode:ident, $value:expr) => {{
        let value = $value;
        // SAFETY: the opcode carries the size of the struct, which is laid out as the kernel's, and
        // what the struct points to, if anything, lives until the call returns.
        unsafe { ioctl($node.as_fd(), Updater::<$opcode, _>::new(value)) }
    }};
}

/// A DRM node that timelines are made with.
#[derive(Clone, Debug)]
pub struct SyncNode(Rc<File>);

impl SyncNode {
    /// Opens the render node of `device`, a `dev_t`, or else the first whose driver has timelines.
    ///
    /// # Errors
    /// If there is none, or the kernel can't tell of signalled points by eventfd (before 6.6).
    pub fn open(device: Option<u64>) -> io::Result<Self> {
        let mut problem = io::Error::new(io::ErrorKind::NotFound, "there is no render node");
        for path in render_nodes(device)? {
            match Self::open_path(&path) {
                Ok(node) => return Ok(node),
                Err(error) => {
                    problem = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                }
            }
        }
        Err(problem)
    }

    fn open_path(path: &Path) -> io::Result<Self> {
        let node = Self(Rc::new(OpenOptions::new().read(true).write(true).open(path)?));
        let mut cap = GetCap { capability: CAP_SYNCOBJ_TIMELINE, value: 0 };
        call!(node.0, GET_CAP, &mut cap)?;
        if cap.value == 0 {
            let reason = "its driver has no timelines";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        // All that is needed later, once, so that it doesn't fail then.
        let (timeline, told) = (node.timeline()?, eventfd(0, EventfdFlags::CLOEXEC)?);
        timeline.notify(1, told.as_fd())?;
        timeline.signal(1)?;
        timeline.signalled()?;
        Ok(node)
    }

    /// A timeline of which no point is signalled.
    pub fn timeline(&self) -> io::Result<Syncobj> {
        let mut create = Create::default();
        call!(self.0, CREATE, &mut create)?;
        Ok(Syncobj { node: Rc::clone(&self.0), handle: create.handle })
    }

    fn of_sync_file(&self, sync_file: BorrowedFd<'_>) -> io::Result<Syncobj> {
        let empty = self.timeline()?;
        let mut import = Handle {
            handle: empty.handle,
            flags: IMPORT_SYNC_FILE,
            fd: sync_file.as_raw_fd(),
            pad: 0,
        };
        call!(self.0, FD_TO_HANDLE, &mut import)?;
        Ok(empty)
    }
}

/// A timeline. Destroyed on drop; who was handed an fd of it keeps it alive.
#[derive(Debug)]
pub struct Syncobj {
    node: Rc<File>,
    handle: u32,
}

impl Syncobj {
    /// A handle for another process.
    pub fn export(&self) -> io::Result<OwnedFd> {
        let mut export = Handle { handle: self.handle, fd: -1, ..Handle::default() };
        call!(self.node, HANDLE_TO_FD, &mut export)?;
        // SAFETY: the call succeeded, so this is a new fd that belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(export.fd) })
    }

    /// Signals `point`, and with it all before.
    pub fn signal(&self, point: u64) -> io::Result<()> {
        let mut array = self.array(&raw const point);
        Ok(call!(self.node, TIMELINE_SIGNAL, &mut array)?)
    }

    /// `point` is signalled when `sync_file` is, and all points before.
    pub fn signal_after(&self, point: u64, sync_file: BorrowedFd<'_>) -> io::Result<()> {
        let fence = SyncNode(Rc::clone(&self.node)).of_sync_file(sync_file)?;
        let mut transfer = Transfer {
            from: fence.handle,
            to: self.handle,
            to_point: point,
            ..Transfer::default()
        };
        Ok(call!(self.node, TRANSFER, &mut transfer)?)
    }

    /// The last point that is signalled; 0 where none is.
    pub fn signalled(&self) -> io::Result<u64> {
        let mut point = 0_u64;
        let mut array = self.array(&raw mut point);
        call!(self.node, QUERY, &mut array)?;
        Ok(point)
    }

    /// Adds 1 to `eventfd` when `point` is signalled, now or later, whoever does it.
    pub fn notify(&self, point: u64, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        let mut notify =
            Eventfd { handle: self.handle, point, fd: eventfd.as_raw_fd(), ..Eventfd::default() };
        Ok(call!(self.node, EVENTFD, &mut notify)?)
    }

    /// This timeline, and one point. Both have to live as long as the array is used.
    fn array(&self, point: *const u64) -> Array {
        let (handles, points) = ((&raw const self.handle) as u64, point as u64);
        Array { handles, points, count: 1, flags: 0 }
    }
}

impl Drop for Syncobj {
    fn drop(&mut self) {
        let mut destroy = Destroy { handle: self.handle, pad: 0 };
        if let Err(error) = call!(self.node, DESTROY, &mut destroy) {
            tracing::warn!(%error, "a timeline could not be destroyed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_are_as_large_as_the_kernels() {
        let sizes = [
            size_of::<GetCap>(),
            size_of::<Create>(),
            size_of::<Destroy>(),
            size_of::<Handle>(),
            size_of::<Transfer>(),
            size_of::<Array>(),
            size_of::<Eventfd>(),
        ];
        assert_eq!(sizes, [16, 8, 8, 16, 32, 24, 24]);
    }

    #[test]
    fn opcodes_are_as_in_drm_h() {
        assert_eq!(CREATE, 0xc008_64bf);
        assert_eq!(EVENTFD, 0xc018_64cf);
        assert_eq!(TIMELINE_SIGNAL, 0xc018_64cd);
    }
}
