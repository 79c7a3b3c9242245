//! The ioctls of dma-buf and udmabuf (linux/dma-buf.h, linux/udmabuf.h).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, Updater, ioctl, opcode};

const UDMABUF_DEVICE: &str = "/dev/udmabuf";

#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

const UDMABUF_CREATE: Opcode = opcode::write::<UdmabufCreate>(b'u', 0x42);
const UDMABUF_FLAGS_CLOEXEC: u32 = 1;

const DMA_BUF_IOCTL_SYNC: Opcode = opcode::write::<u64>(b'b', 0);
const DMA_BUF_SYNC_READ: u64 = 1;
const DMA_BUF_SYNC_WRITE: u64 = 2;
const DMA_BUF_SYNC_START: u64 = 0;
const DMA_BUF_SYNC_END: u64 = 1 << 2;

#[repr(C)]
struct ExportSyncFile {
    flags: u32,
    fd: i32,
}

const DMA_BUF_IOCTL_EXPORT_SYNC_FILE: Opcode = opcode::read_write::<ExportSyncFile>(b'b', 2);

/// Whether `/dev/udmabuf` is there and we may use it.
pub fn udmabuf_available() -> bool {
    OpenOptions::new().read(true).write(true).open(UDMABUF_DEVICE).is_ok()
}

/// Makes a dma-buf of the pages that `memfd` has at `offset` now, for `size` bytes (both whole pages).
/// The memfd must be sealed against shrinking. The dma-buf keeps these very pages, also when the
/// memfd gets others.
pub fn create_udmabuf(memfd: BorrowedFd<'_>, offset: u64, size: u64) -> io::Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).open(UDMABUF_DEVICE)?;
    let request = UdmabufCreate {
        memfd: u32::try_from(memfd.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?,
        flags: UDMABUF_FLAGS_CLOEXEC,
        offset,
        size,
    };
    // SAFETY: the opcode carries the size of `UdmabufCreate`, which is laid out as the kernel's
    // struct udmabuf_create, and the ioctl answers with a new fd or an error.
    let fd = unsafe { ioctl(&device, ReturnsFd::<UDMABUF_CREATE, _>(request)) }?;
    Ok(fd)
}

/// Whole pages of a memfd.
#[derive(Clone, Copy, Debug)]
pub struct PageRange<'a> {
    /// The memfd, sealed against shrinking.
    pub memfd: BorrowedFd<'a>,
    /// Where it begins, in bytes: whole pages.
    pub offset: u64,
    /// Bytes: whole pages.
    pub len: u64,
}

/// Most ranges of one udmabuf, whatever the module's parameter says.
pub const RANGES_MAX: usize = 1 << 16;

/// struct udmabuf_create_list is this, and then its items.
type ListHead = [u32; 2];

const UDMABUF_CREATE_LIST: Opcode = opcode::write::<ListHead>(b'u', 0x43);

/// As [`create_udmabuf`], of several ranges one after the other.
pub fn create_udmabuf_list(ranges: &[PageRange<'_>]) -> io::Result<OwnedFd> {
    if ranges.len() > RANGES_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let device = OpenOptions::new().read(true).write(true).open(UDMABUF_DEVICE)?;
    // Head and items in one piece, aligned as the items want it: a head takes a third of an item.
    let mut list: Vec<u64> = Vec::with_capacity(1 + 3 * ranges.len());
    let pair = |low: u32, high: u32| {
        let [low, high] = [low.to_ne_bytes(), high.to_ne_bytes()];
        let mut both = [0; 8];
        both[..4].copy_from_slice(&low);
        both[4..].copy_from_slice(&high);
        u64::from_ne_bytes(both)
    };
    list.push(pair(UDMABUF_FLAGS_CLOEXEC, ranges.len() as u32));
    for range in ranges {
        let fd = range.memfd.as_raw_fd();
        let memfd = u32::try_from(fd).map_err(|_| io::ErrorKind::InvalidInput)?;
        list.extend([pair(memfd, 0), range.offset, range.len]);
    }
    // SAFETY: `list` is struct udmabuf_create_list: flags and count, then `count` items of memfd,
    // padding, offset and size, of 24 bytes each; it is alive until after the call, and the ioctl
    // reads as many items as the head says, writes nothing, and answers with a new fd or an error.
    let fd = unsafe { ioctl(&device, ListIoctl(list)) }?;
    Ok(fd)
}

struct ListIoctl(Vec<u64>);

// SAFETY: `as_ptr` points to the list, which lives as long as `self`; see `create_udmabuf_list`.
unsafe impl rustix::ioctl::Ioctl for ListIoctl {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        UDMABUF_CREATE_LIST
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        self.0.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(
        out: rustix::ioctl::IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<OwnedFd> {
        // SAFETY: the ioctl succeeded, so its result is an fd that belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(out as RawFd) })
    }
}

/// What the module udmabuf takes at most: ranges, and bytes; its defaults where it doesn't say.
pub fn udmabuf_limits() -> (usize, u64) {
    let parameter = |name: &str| {
        let path = format!("/sys/module/udmabuf/parameters/{name}");
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    let ranges = parameter("list_limit").unwrap_or(1024);
    (usize::try_from(ranges).unwrap_or(0), parameter("size_limit_mb").unwrap_or(64) << 20)
}

/// An ioctl that takes a struct and returns a new fd.
struct ReturnsFd<const OPCODE: Opcode, T>(T);

// SAFETY: `as_ptr` points to a live T for the length of the call, the opcode names T's size, and the
// kernel doesn't write to it (the only user is UDMABUF_CREATE, an _IOW).
unsafe impl<const OPCODE: Opcode, T> rustix::ioctl::Ioctl for ReturnsFd<OPCODE, T> {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(
        out: rustix::ioctl::IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<OwnedFd> {
        // SAFETY: the ioctl succeeded, so its result is an fd that belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(out as RawFd) })
    }
}

/// The time in which the CPU reads a dma-buf: waits for the writers that the kernel knows of, and
/// keeps caches coherent, until dropped. It excludes no writer that the kernel doesn't know of.
#[derive(Debug)]
pub struct ReadAccess<'a>(BorrowedFd<'a>);

impl<'a> ReadAccess<'a> {
    /// Begins it. Blocks while it is being written, as [`is_being_written`] says.
    pub fn begin(fd: &'a impl AsFd) -> io::Result<Self> {
        sync(fd.as_fd(), DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ)?;
        Ok(Self(fd.as_fd()))
    }
}

impl Drop for ReadAccess<'_> {
    fn drop(&mut self) {
        if let Err(error) = sync(self.0, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ) {
            tracing::warn!(%error, "the end of a dma-buf's CPU access was refused");
        }
    }
}

/// The time in which the CPU writes to a dma-buf of ours, through whatever mapping of its pages:
/// waits for the readers that the kernel knows of, and keeps caches coherent, until dropped.
#[derive(Debug)]
pub struct WriteAccess<'a>(BorrowedFd<'a>);

impl<'a> WriteAccess<'a> {
    /// Begins it.
    pub fn begin(fd: &'a impl AsFd) -> io::Result<Self> {
        sync(fd.as_fd(), DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE)?;
        Ok(Self(fd.as_fd()))
    }
}

impl Drop for WriteAccess<'_> {
    fn drop(&mut self) {
        if let Err(error) = sync(self.0, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE) {
            tracing::warn!(%error, "the end of a dma-buf's CPU access was refused");
        }
    }
}

/// Whether somebody whom the kernel knows of is still writing to `dmabuf`, which may take a GPU that
/// hangs many seconds. When that is over, the fd is readable.
pub fn is_being_written(dmabuf: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(dmabuf, PollFlags::IN)];
    Ok(restarted(|| poll(&mut fds, Some(&Timespec::default())))? == 0)
}

/// A sync_file of what the kernel knows to be writing to `dmabuf` now: a reader has to wait for it.
pub fn export_sync_file(dmabuf: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut export = ExportSyncFile { flags: DMA_BUF_SYNC_READ as u32, fd: -1 };
    // SAFETY: the opcode names the struct, which is laid out as struct dma_buf_export_sync_file.
    unsafe {
        ioctl(dmabuf, Updater::<DMA_BUF_IOCTL_EXPORT_SYNC_FILE, _>::new(&mut export))?;
    }
    // SAFETY: the call succeeded, so this is a new fd that belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(export.fd) })
}

fn sync(fd: BorrowedFd<'_>, flags: u64) -> io::Result<()> {
    // SAFETY: the opcode names a u64, as struct dma_buf_sync is, and the kernel only reads it.
    restarted(|| unsafe { ioctl(fd, Setter::<DMA_BUF_IOCTL_SYNC, u64>::new(flags)) })
}

/// How often a call is made that the kernel says shall be made again.
const TRIES_MAX: u32 = 32;

/// Makes a call again that a signal has interrupted, or that the kernel wants to be made again; not
/// for ever, so that nothing can keep us here.
fn restarted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES_MAX {
        match call() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Ok(call()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call that fails so often, and then doesn't; and how often it was made.
    fn fails(times: u32, how: Errno) -> (io::Result<u32>, u32) {
        let mut made = 0;
        let result = restarted(|| {
            made += 1;
            if made <= times { Err(how) } else { Ok(made) }
        });
        (result, made)
    }

    /// The user sees the frame as ever, the guest gets its ack: an access that a signal interrupts is
    /// begun again. Only a kernel that never relents is an error, and then the frame isn't copied.
    #[test]
    fn f05_44_an_interrupted_sync_is_made_again_and_not_for_ever() {
        for how in [Errno::INTR, Errno::AGAIN] {
            assert_eq!(fails(3, how).0.unwrap(), 4);
            let (result, made) = fails(u32::MAX, how);
            assert_eq!(result.unwrap_err().raw_os_error(), Some(how.raw_os_error()));
            assert_eq!(made, TRIES_MAX);
        }
        let (result, made) = fails(1, Errno::NOTTY);
        assert_eq!(result.unwrap_err().raw_os_error(), Some(Errno::NOTTY.raw_os_error()));
        assert_eq!(made, 1, "what is no dma-buf is not asked again");
    }
}
