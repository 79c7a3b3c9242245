//! The guest's RAM: a memfd, as a VMM's is, whose pages a picture finds scattered.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};

use crate::serve::{GuestMemory, Memory, ServeError};
use crate::sys;

/// Pieces of RAM that a picture is in at most: half of what udmabuf takes by default.
const PIECES_MAX: u64 = 512;
/// Pages of a piece at least.
const PIECE_PAGES_MIN: u64 = 4;
/// The balloon takes one in so many pieces of RAM a frame: odd, so that it comes to each at a time when
/// another buffer is shown.
const SWEEP: u64 = 15;

/// Guest RAM that pictures take scattered pieces of.
#[derive(Debug)]
pub(super) struct Ram {
    memfd: Arc<OwnedFd>,
    /// Bytes a piece: whole pages.
    piece: u64,
    pieces: u64,
    /// Offsets of the pieces that hold no picture.
    free: Vec<u64>,
    swept: u64,
}

impl Ram {
    /// RAM that holds `pictures` of at most `bytes` each, and a quarter more.
    pub(super) fn new(bytes: u64, pictures: u64) -> io::Result<Self> {
        let page = sys::page_align(1);
        let piece = bytes.div_ceil(page).div_ceil(PIECES_MAX).max(PIECE_PAGES_MIN) * page;
        let pieces = bytes.div_ceil(piece) * pictures * 5 / 4;
        let memfd = Arc::new(sys::own_memfd("guest-ram", pieces * piece)?);
        let mut free: Vec<_> = (0..pieces).map(|index| index * piece).collect();
        shuffle(&mut free);
        Ok(Self { memfd, piece, pieces, free, swept: 0 })
    }

    /// Pages for a picture of that many bytes; `None` if there are too few.
    pub(super) fn take(&mut self, bytes: u64) -> Option<Pages> {
        let count = usize::try_from(bytes.div_ceil(self.piece)).ok()?;
        let left = self.free.len().checked_sub(count)?;
        let at = self.free.split_off(left);
        Some(Pages { memfd: Arc::clone(&self.memfd), piece: self.piece, at, scattered: true })
    }

    /// Takes pages back.
    pub(super) fn give_back(&mut self, pages: Pages) {
        // At the other end of the line, so that the next picture is elsewhere.
        self.free.splice(0..0, pages.at);
    }

    /// The balloon goes on through RAM: the next pieces of it lose their pages, but for those of `kept`.
    pub(super) fn sweep(&mut self, kept: Option<&Pages>) -> io::Result<()> {
        for _ in 0..self.pieces.div_ceil(SWEEP) {
            let at = self.swept % self.pieces * self.piece;
            self.swept += 1;
            if kept.is_none_or(|kept| !kept.at.contains(&at)) {
                punch(&self.memfd, at, self.piece)?;
            }
        }
        Ok(())
    }

    /// All of it loses its pages.
    pub(super) fn drop_all(&self) -> io::Result<()> {
        punch(&self.memfd, 0, self.pieces * self.piece)
    }
}

/// Where one picture is in memory, piece by piece.
#[derive(Debug)]
pub(super) struct Pages {
    memfd: Arc<OwnedFd>,
    piece: u64,
    /// Offset of each piece.
    at: Vec<u64>,
    scattered: bool,
}

impl Pages {
    /// A memfd of its own, in one piece, sealed against shrinking.
    pub(super) fn alone(bytes: u64) -> io::Result<Self> {
        Ok(Self::whole(sys::own_memfd("guest-picture", sys::page_align(bytes))?, bytes))
    }

    /// As [`alone`](Self::alone), but it may shrink.
    pub(super) fn unsealed(bytes: u64) -> io::Result<Self> {
        let memfd = memfd_create("guest-picture", MemfdFlags::CLOEXEC)?;
        ftruncate(&memfd, sys::page_align(bytes))?;
        Ok(Self::whole(memfd, bytes))
    }

    fn whole(memfd: OwnedFd, bytes: u64) -> Self {
        let piece = sys::page_align(bytes);
        Self { memfd: Arc::new(memfd), piece, at: vec![0], scattered: false }
    }

    /// What the server is given: pages to make a dma-buf of, or the memfd itself.
    pub(super) fn memory(&self) -> Result<Memory, ServeError> {
        if self.scattered {
            let piece = |&at: &u64| (Arc::clone(&self.memfd), at, self.piece);
            return GuestMemory::new(self.at.iter().map(piece)).map(Memory::Guest);
        }
        let failed = |source| ServeError::System { what: "an fd", source };
        Ok(Memory::Planes(vec![self.memfd.try_clone().map_err(failed)?]))
    }

    /// The guest stores bytes at this offset of the picture.
    pub(super) fn write(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (index, within) = (offset / self.piece, offset % self.piece);
            let at = usize::try_from(index).ok().and_then(|index| self.at.get(index));
            let at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
            let room = usize::try_from(self.piece - within).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            let wrote = rustix::io::pwrite(&self.memfd, now, at + within)?;
            bytes = if wrote == now.len() { later } else { &bytes[wrote..] };
            offset += wrote as u64;
        }
        Ok(())
    }

    /// The page at this offset of the picture (or its end) goes; a store brings another there.
    pub(super) fn punch_page(&self, offset: u64) -> io::Result<()> {
        let page = sys::page_align(1);
        let index = usize::try_from(offset / self.piece).unwrap_or(usize::MAX);
        let at = self.at.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
        punch(&self.memfd, at + offset % self.piece / page * page, page)
    }

    /// All its pages go.
    pub(super) fn punch_all(&self) -> io::Result<()> {
        self.at.iter().try_for_each(|&at| punch(&self.memfd, at, self.piece))
    }

    /// The picture's first bytes.
    #[cfg(test)]
    pub(super) fn read(&self, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for &at in &self.at {
            let mut piece = vec![0; self.piece as usize];
            rustix::io::pread(&self.memfd, &mut piece[..], at).unwrap();
            all.extend(piece);
        }
        all.truncate(len);
        all
    }

    /// A memfd that isn't sealed loses its end.
    pub(super) fn truncate(&self) -> io::Result<()> {
        Ok(ftruncate(&self.memfd, self.piece / 2)?)
    }
}

fn punch(memfd: &impl AsFd, offset: u64, len: u64) -> io::Result<()> {
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(memfd, how, offset, len)?)
}

/// Numbers without a pattern, the same at each run.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn shuffle(list: &mut [u64]) {
    let mut random = Random::new();
    for i in (1..list.len()).rev() {
        list.swap(i, random.below(i as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_scattered_and_whole() {
        let bytes = 300_000;
        let mut ram = Ram::new(bytes, 2).unwrap();
        let (one, two) = (ram.take(bytes).unwrap(), ram.take(bytes).unwrap());
        let Memory::Guest(memory) = one.memory().unwrap() else { panic!("guest RAM") };
        assert!(memory.pieces() > 10 && memory.len() >= bytes, "{memory:?}");
        let picture: Vec<u8> = (0..bytes).map(|at| (at / 3) as u8).collect();
        // In pieces that are none of the memory's.
        for (i, part) in picture.chunks(7001).enumerate() {
            one.write(i as u64 * 7001, part).unwrap();
            two.write(i as u64 * 7001, &vec![0xee; part.len()]).unwrap();
        }
        assert_eq!(one.read(picture.len()), picture);
        assert!(one.write(one.piece * one.at.len() as u64 - 1, &[1, 2]).is_err());
        let before = two.at.clone();
        ram.give_back(two);
        assert_ne!(ram.take(bytes).unwrap().at, before, "a new picture lies elsewhere");
    }

    #[test]
    fn large_pictures_stay_below_the_limit_of_udmabuf() {
        let bytes = 4096 * 4096 * 4;
        let mut ram = Ram::new(bytes, 4).unwrap();
        let Memory::Guest(memory) = ram.take(bytes).unwrap().memory().unwrap() else { panic!() };
        assert!(memory.pieces() <= PIECES_MAX as usize, "{}", memory.pieces());
    }

    #[test]
    fn what_is_taken_away_reads_as_zeros() {
        let mut ram = Ram::new(100_000, 1).unwrap();
        let pages = ram.take(100_000).unwrap();
        let fill = || pages.write(0, &[7; 100_000]).unwrap();
        let zeros = || pages.read(100_000).iter().filter(|byte| **byte == 0).count();
        fill();
        pages.punch_page(50_000).unwrap();
        assert_eq!(zeros() as u64, sys::page_align(1));
        fill();
        pages.punch_all().unwrap();
        assert_eq!(zeros(), 100_000);
        fill();
        (0..SWEEP).for_each(|_| ram.sweep(Some(&pages)).unwrap());
        assert_eq!(zeros(), 0, "but not where it is kept away");
        (0..SWEEP).for_each(|_| ram.sweep(None).unwrap());
        assert_eq!(zeros(), 100_000, "the balloon comes by everywhere");
        fill();
        ram.drop_all().unwrap();
        assert_eq!(zeros(), 100_000);
    }

    #[test]
    fn only_what_is_not_sealed_can_shrink() {
        assert!(Pages::alone(10_000).unwrap().truncate().is_err());
        let pages = Pages::unsealed(10_000).unwrap();
        pages.truncate().unwrap();
        let size = rustix::fs::fstat(&pages.memfd).unwrap().st_size;
        assert_eq!(size as u64, sys::page_align(10_000) / 2);
    }
}
