//! Whether the pages of a memfd are still those that they were: without rights, without touching them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::Advice;

use super::dmabuf::PageRange;
use super::map::Region;

/// Mappings that are populated once and never touched again. The kernel takes a page out of every
/// mapping before it leaves the memfd, and only a fault of this mapping would bring one back: so a
/// page that is missing here may have been replaced, and if none is missing, none was.
#[derive(Debug)]
pub struct Sentinel {
    regions: Vec<Region>,
    /// One for all: guest memory lies in hundreds of pieces, and a process may have a thousand fds.
    pagemap: File,
}

impl Sentinel {
    /// Maps and populates these pages. Allocates those that aren't there. Needs Linux 5.14. Takes one
    /// fd, however many ranges there are.
    pub fn new(ranges: &[PageRange<'_>]) -> io::Result<Self> {
        let watch = |range: &PageRange<'_>| {
            let region = Region::readable(&range.memfd, range.offset, range.len)?;
            region.advise(Advice::LinuxPopulateRead)?;
            Ok(region)
        };
        let regions = ranges.iter().map(watch).collect::<io::Result<_>>()?;
        Ok(Self { regions, pagemap: File::open("/proc/self/pagemap")? })
    }

    /// Whether a page was taken away since [`new`](Self::new). Needs Linux 6.7; some 50 µs for a
    /// picture of 1920x1080. May be wrong only in saying yes (the kernel reclaimed a page).
    pub fn page_missing(&self) -> io::Result<bool> {
        for region in &self.regions {
            if self.is_missing_in(region)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_missing_in(&self, region: &Region) -> io::Result<bool> {
        let start = region.address() as u64;
        let mut found = PageRegion::default();
        let mut scan = PmScanArg {
            size: size_of::<PmScanArg>() as u64,
            start,
            end: start + region.len() as u64,
            vec: &raw mut found as u64,
            vec_len: 1,
            max_pages: 1,
            category_inverted: PAGE_IS_PRESENT,
            category_mask: PAGE_IS_PRESENT,
            return_mask: PAGE_IS_PRESENT,
            ..PmScanArg::default()
        };
        // SAFETY: the opcode carries the size of `PmScanArg`, which is laid out as the kernel's
        // struct pm_scan_arg and says its size too; the kernel writes `walk_end` in it, and at most
        // `vec_len` = 1 region to `vec`, which is `found`, alive until after the call.
        unsafe { ioctl(self.pagemap.as_fd(), Updater::<PAGEMAP_SCAN, PmScanArg>::new(&mut scan)) }?;
        Ok(found.end > found.start)
    }
}

/// Bit of linux/fs.h.
const PAGE_IS_PRESENT: u64 = 1 << 3;

const PAGEMAP_SCAN: Opcode = opcode::read_write::<PmScanArg>(b'f', 16);

#[repr(C)]
#[derive(Default)]
struct PmScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

#[repr(C)]
#[derive(Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{OwnMapping, own_memfd};
    use rustix::fs::{FallocateFlags, fallocate};
    use std::os::fd::OwnedFd;

    const PAGES: u64 = 64;

    fn punch(fd: &impl AsFd, offset: u64, len: u64) {
        fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len).unwrap();
    }

    /// Pages 8 to 23, in two pieces.
    fn watch(fd: &OwnedFd, page: u64) -> Sentinel {
        let range = |at, len| PageRange { memfd: fd.as_fd(), offset: at * page, len: len * page };
        Sentinel::new(&[range(8, 4), range(12, 12)]).unwrap()
    }

    /// Without: a page that was replaced between two frames is shown from the old memory.
    #[test]
    fn a_page_punched_and_filled_again_is_seen_exactly_where_it_is_watched() {
        let page = rustix::param::page_size() as u64;
        let fd = own_memfd("test", PAGES * page).unwrap();
        let mut guest = OwnMapping::new(&fd, PAGES * page).unwrap();
        let watched = watch(&fd, page);
        if let Err(error) = watched.page_missing() {
            assert_eq!(error.raw_os_error(), Some(25), "{error}");
            let name = "a_page_punched_and_filled_again_is_seen_exactly_where_it_is_watched";
            eprintln!("SKIP {name}: this kernel has no PAGEMAP_SCAN (Linux 6.7)");
            return;
        }
        for round in 0..20 {
            guest.bytes_mut().fill(round);
            assert!(!watched.page_missing().unwrap(), "ordinary stores replace nothing");
        }
        punch(&fd, 7 * page, page);
        punch(&fd, 24 * page, page);
        assert!(!watched.page_missing().unwrap(), "its neighbours are not watched");
        for at in [8, 15, 23] {
            let watched = watch(&fd, page);
            assert!(!watched.page_missing().unwrap());
            punch(&fd, at * page, page);
            assert!(watched.page_missing().unwrap(), "page {at} is punched");
            guest.bytes_mut().fill(7);
            assert!(watched.page_missing().unwrap(), "page {at} is filled again, but by another");
        }
    }
}
