//! Guest memory that stays fresh: a dma-buf of the pages that the guest has now, and proof of that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{SealFlags, fcntl_get_seals};

use super::ServeError;
use crate::sys::{self, PageRange, Sentinel};

/// Makes a dma-buf of pages: [`sys::create_udmabuf_list`], or what a test passes in its place.
pub type MakeDmaBuf = fn(&[PageRange<'_>]) -> io::Result<OwnedFd>;

/// How often a dma-buf is made anew because a page went meanwhile.
const TRIES: u32 = 8;

/// Pages of guest RAM that hold a picture, in the order in which it runs through them.
#[derive(Debug)]
pub struct GuestMemory {
    ranges: Vec<Range>,
    owned: bool,
}

#[derive(Debug)]
struct Range {
    memfd: Arc<OwnedFd>,
    offset: u64,
    len: u64,
}

impl GuestMemory {
    /// Pages of memfds (shmem or hugetlb) that the guest's RAM is made of, sealed with
    /// `F_SEAL_SHRINK`: offsets and lengths in bytes, whole pages. Neighbours are joined.
    ///
    /// # Errors
    /// If they are no whole pages, none, or wrongly sealed.
    pub fn new(
        ranges: impl IntoIterator<Item = (Arc<OwnedFd>, u64, u64)>,
    ) -> Result<Self, ServeError> {
        let page = rustix::param::page_size() as u64;
        let mut joined: Vec<Range> = Vec::new();
        for (memfd, offset, len) in ranges {
            let whole = offset.is_multiple_of(page) && len.is_multiple_of(page) && len > 0;
            if !whole || offset.checked_add(len).is_none() {
                return Err(ServeError::Unaligned { offset, len, page });
            }
            match joined.last_mut() {
                Some(last)
                    if Arc::ptr_eq(&last.memfd, &memfd) && last.offset + last.len == offset =>
                {
                    last.len += len;
                }
                _ => {
                    let seals = fcntl_get_seals(&memfd).unwrap_or(SealFlags::empty());
                    let writes = SealFlags::WRITE | SealFlags::FUTURE_WRITE;
                    if !seals.contains(SealFlags::SHRINK) || seals.intersects(writes) {
                        return Err(ServeError::Seals);
                    }
                    joined.push(Range { memfd, offset, len });
                }
            }
        }
        if joined.is_empty() {
            return Err(ServeError::Picture("no memory was given"));
        }
        Ok(Self { ranges: joined, owned: false })
    }

    /// A memfd of the backend's own that holds nothing but one picture of `len` bytes (whole pages),
    /// sealed with `F_SEAL_SHRINK` and mapped writable already. The server seals it with
    /// `F_SEAL_FUTURE_WRITE` once its dma-buf exists: then no page of it can ever be replaced, so
    /// that nothing has to be checked, and no other buffer can be made of it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn owned(memfd: OwnedFd, len: u64) -> Result<Self, ServeError> {
        Ok(Self { owned: true, ..Self::new([(Arc::new(memfd), 0, len)])? })
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.len).sum()
    }

    /// Whether it has no bytes; never.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many pieces it is in, after neighbours were joined.
    pub fn pieces(&self) -> usize {
        self.ranges.len()
    }
}

/// A dma-buf of guest memory, and what watches it.
#[derive(Debug)]
pub(super) struct Fresh {
    memory: GuestMemory,
    /// None where nothing has to be watched.
    sentinel: Option<Sentinel>,
    pub(super) dma_buf: OwnedFd,
}

impl Fresh {
    /// Begin, and retry: the sentinels are there before the dma-buf is made and looked at after, so
    /// that a page that goes between is seen.
    pub(super) fn new(
        memory: GuestMemory,
        make: MakeDmaBuf,
        check: bool,
    ) -> Result<Self, ServeError> {
        let (sentinel, dma_buf) = take(&memory, make, check)?;
        if memory.owned {
            let memfd = memory.ranges[0].memfd.as_fd();
            sys::seal_future_write(memfd)
                .map_err(|source| ServeError::System { what: "a seal", source })?;
        }
        Ok(Self { memory, sentinel, dma_buf })
    }

    /// Takes the pages anew if one was replaced; says whether.
    pub(super) fn refresh(&mut self, make: MakeDmaBuf) -> Result<bool, ServeError> {
        if self.memory.owned || !is_missing(self.sentinel.as_ref())? {
            return Ok(false);
        }
        (self.sentinel, self.dma_buf) = take(&self.memory, make, true)?;
        Ok(true)
    }
}

fn is_missing(sentinel: Option<&Sentinel>) -> Result<bool, ServeError> {
    sentinel.map_or(Ok(false), |sentinel| sentinel.page_missing().map_err(ServeError::Freshness))
}

fn take(
    memory: &GuestMemory,
    make: MakeDmaBuf,
    check: bool,
) -> Result<(Option<Sentinel>, OwnedFd), ServeError> {
    let ranges: Vec<_> = memory
        .ranges
        .iter()
        .map(|r| PageRange { memfd: r.memfd.as_fd(), offset: r.offset, len: r.len })
        .collect();
    let (list_limit, size_limit) = sys::udmabuf_limits();
    let limit = list_limit.min(sys::RANGES_MAX);
    if ranges.len() > limit {
        return Err(ServeError::TooScattered { ranges: ranges.len(), limit });
    }
    if memory.len() > size_limit {
        let mb = memory.len().div_ceil(1 << 20);
        return Err(ServeError::TooLarge { mb, limit_mb: size_limit >> 20 });
    }
    for _ in 0..TRIES {
        let watched = check && !memory.owned;
        let sentinel = watched.then(|| Sentinel::new(&ranges)).transpose();
        let sentinel = sentinel.map_err(ServeError::Freshness)?;
        let dma_buf = make(&ranges).map_err(ServeError::Udmabuf)?;
        if !is_missing(sentinel.as_ref())? {
            return Ok((sentinel, dma_buf));
        }
    }
    Err(ServeError::Restless(TRIES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::own_memfd;
    use rustix::fs::{FallocateFlags, fallocate};
    use std::sync::atomic::{AtomicU32, Ordering};

    fn page() -> u64 {
        rustix::param::page_size() as u64
    }

    fn memfd(pages: u64) -> Arc<OwnedFd> {
        Arc::new(own_memfd("guest", pages * page()).unwrap())
    }

    fn punch(fd: &impl AsFd, offset: u64) {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(fd, how, offset, page()).unwrap();
    }

    fn stand_in(ranges: &[PageRange<'_>]) -> io::Result<OwnedFd> {
        ranges[0].memfd.try_clone_to_owned()
    }

    /// Whether this kernel can tell; says so where not.
    fn can_check() -> bool {
        let can = Fresh::new(GuestMemory::new([(memfd(1), 0, page())]).unwrap(), stand_in, true);
        if let Err(error) = &can {
            assert!(matches!(error, ServeError::Freshness(_)), "{error}");
            // libtest names its threads after the tests.
            eprintln!("SKIP {}: {error}", std::thread::current().name().unwrap_or_default());
        }
        can.is_ok()
    }

    #[test]
    fn neighbours_are_one_piece() {
        let (a, b) = (memfd(8), memfd(8));
        let list = [(&a, 0, 2), (&a, 2, 1), (&a, 4, 1), (&b, 5, 1), (&a, 5, 1), (&a, 6, 2)];
        let list = list.map(|(fd, at, len)| (Arc::clone(fd), at * page(), len * page()));
        let memory = GuestMemory::new(list).unwrap();
        assert_eq!((memory.pieces(), memory.len()), (4, 8 * page()));
    }

    /// `list_limit`, `size_limit_mb`, seals and whole pages, for each of which the kernel says the same
    /// EINVAL. The user sees nothing new; the author of the backend gets the remedy.
    #[test]
    fn f05_40_what_udmabuf_would_refuse_without_a_reason_is_refused_with_one() {
        let fd = memfd(4);
        let odd = GuestMemory::new([(Arc::clone(&fd), 1, page())]).unwrap_err();
        assert!(odd.to_string().contains("whole pages"), "{odd}");
        let (limit, bytes) = sys::udmabuf_limits();
        let scattered = (0..=limit).map(|i| (Arc::clone(&fd), (i as u64 % 2) * 2 * page(), page()));
        let error = Fresh::new(GuestMemory::new(scattered).unwrap(), stand_in, false).unwrap_err();
        assert!(error.to_string().contains("udmabuf/parameters/list_limit"), "{error}");
        let large = memfd(bytes / page() + 1);
        let large = GuestMemory::new([(large, 0, bytes + page())]).unwrap();
        let error = Fresh::new(large, stand_in, false).unwrap_err();
        assert!(error.to_string().contains("udmabuf/parameters/size_limit_mb"), "{error}");
        sys::seal_future_write(fd.as_fd()).unwrap();
        let error = GuestMemory::new([(fd, 0, page())]).unwrap_err();
        assert!(error.to_string().contains("F_SEAL_SHRINK"), "{error}");
    }

    /// Without: a page that was replaced is announced from the old memory; or every frame is
    /// announced anew.
    #[test]
    fn pages_are_taken_anew_exactly_when_one_was_replaced() {
        if !can_check() {
            return;
        }
        let fd = memfd(8);
        let memory = [(0, 2), (4, 2)].map(|(at, len)| (Arc::clone(&fd), at * page(), len * page()));
        let mut fresh = Fresh::new(GuestMemory::new(memory).unwrap(), stand_in, true).unwrap();
        for round in 0..50_u8 {
            rustix::io::pwrite(&fd, &[round; 100], 4 * page()).unwrap();
            assert!(!fresh.refresh(stand_in).unwrap(), "stores replace nothing");
        }
        for (at, ours) in [(0, true), (2, false), (3, false), (5, true), (7, false)] {
            punch(&fd, at * page());
            rustix::io::pwrite(&fd, &[1], at * page()).unwrap();
            assert_eq!(fresh.refresh(stand_in).unwrap(), ours, "page {at}");
            assert!(!fresh.refresh(stand_in).unwrap(), "and only once");
        }
    }

    /// Without: a dma-buf that mixes pages from before and after a punch counts as fresh.
    #[test]
    fn a_page_that_goes_while_the_dma_buf_is_made_is_seen() {
        if !can_check() {
            return;
        }
        fn racing(ranges: &[PageRange<'_>]) -> io::Result<OwnedFd> {
            let made = stand_in(ranges);
            punch(&ranges[0].memfd, ranges[0].offset);
            made
        }
        let memory = GuestMemory::new([(memfd(2), 0, 2 * page())]).unwrap();
        let error = Fresh::new(memory, racing, true).unwrap_err();
        assert!(matches!(error, ServeError::Restless(TRIES)), "{error}");
    }

    /// A page goes after the dma-buf took those before it and before it is complete, and is filled again.
    /// The user sees pages of one moment only, because the dma-buf is made once more; the guest notices
    /// nothing.
    #[test]
    fn f05_16_a_dma_buf_of_pages_of_two_moments_is_made_once_more() {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !can_check() {
            return;
        }
        /// Has what the pages had when each was taken.
        fn racing(ranges: &[PageRange<'_>]) -> io::Result<OwnedFd> {
            let first = MADE.fetch_add(1, Ordering::Relaxed) == 0;
            let mut bytes = Vec::new();
            for (i, range) in ranges.iter().enumerate() {
                let mut page = vec![0; range.len as usize];
                rustix::io::pread(range.memfd, &mut page, range.offset)?;
                bytes.extend(page);
                if first && i == 0 {
                    punch(&range.memfd, range.offset);
                    rustix::io::pwrite(range.memfd, &[2; 100], range.offset)?;
                    rustix::io::pwrite(range.memfd, &[2; 100], ranges[1].offset)?;
                }
            }
            sys::sealed_copy("copy", &bytes)
        }
        let fd = memfd(3);
        rustix::io::pwrite(&fd, &vec![1; 3 * page() as usize], 0).unwrap();
        let pieces = [2, 0].map(|at| (Arc::clone(&fd), at * page(), page()));
        let mut fresh = Fresh::new(GuestMemory::new(pieces).unwrap(), racing, true).unwrap();
        assert_eq!(MADE.load(Ordering::Relaxed), 2);
        let mut bytes = vec![0; 2 * page() as usize];
        rustix::io::pread(&fresh.dma_buf, &mut bytes, 0).unwrap();
        assert_eq!((bytes[0], bytes[page() as usize]), (2, 2), "both of the second moment");
        assert!(!fresh.refresh(racing).unwrap());
    }

    /// Many pieces, and a process that may have few fds: one fd is enough to watch them all.
    #[test]
    fn f05_40_memory_in_many_pieces_takes_few_fds() {
        if !can_check() {
            return;
        }
        let fd = memfd(400);
        let pieces = (0..200).map(|i| (Arc::clone(&fd), 2 * i * page(), page()));
        let fresh = Fresh::new(GuestMemory::new(pieces).unwrap(), stand_in, true).unwrap();
        // Other tests have sentinels too, but of few pieces.
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        let pagemaps = links.filter(|link| link.ends_with("pagemap")).count();
        assert!((1..100).contains(&pagemaps), "{pagemaps}");
        assert_eq!(fresh.memory.pieces(), 200);
    }

    #[test]
    fn memory_of_our_own_can_not_lose_a_page() {
        let fd = own_memfd("own", 2 * page()).unwrap();
        let mut ours = sys::OwnMapping::new(&fd, 2 * page()).unwrap();
        let twin = fd.try_clone().unwrap();
        let memory = GuestMemory::owned(fd, 2 * page()).unwrap();
        let mut fresh = Fresh::new(memory, stand_in, true).unwrap();
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        assert!(fallocate(&twin, how, 0, page()).is_err());
        ours.bytes_mut().fill(3);
        assert!(!fresh.refresh(stand_in).unwrap());
    }
}
