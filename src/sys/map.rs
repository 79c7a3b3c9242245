//! Mappings. Guest memory changes under us and is therefore never a slice; memory of ours is.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// A shared mapping, unmapped on drop.
#[derive(Debug)]
pub(super) struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and all access is through `&`/`&mut`.
unsafe impl Send for Region {}

impl Region {
    fn new(fd: &impl AsFd, len: u64, protection: ProtFlags) -> io::Result<Self> {
        Self::at(fd, 0, len, protection)
    }

    /// Maps a part of `fd`, to be read.
    pub(super) fn readable(fd: &impl AsFd, offset: u64, len: u64) -> io::Result<Self> {
        Self::at(fd, offset, len, ProtFlags::READ)
    }

    fn at(fd: &impl AsFd, offset: u64, len: u64, protection: ProtFlags) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel chooses a free address, so no memory of Rust's is replaced.
        let start =
            unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, fd, offset) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, len })
    }

    /// Where it begins; the memory is not to be touched through it.
    pub(super) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Tells the kernel about all of it; an advice that brings pages in, none that takes them away.
    pub(super) fn advise(&self, advice: Advice) -> io::Result<()> {
        // SAFETY: `start` and `len` are what mmap gave, and the callers' advices change no content.
        Ok(unsafe { madvise(self.start.as_ptr().cast(), self.len, advice) }?)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are what mmap gave, and no borrow outlives `self`.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.len) } {
            tracing::error!(%error, "a mapping could not be undone");
        }
    }
}

/// Memory of a guest, mapped to be read. The caller has made sure that it can't be truncated: a
/// dma-buf, or a memfd sealed against shrinking, of at least `len` bytes.
#[derive(Debug)]
pub struct Mapping(Region);

impl Mapping {
    /// Maps the first `len` bytes of `fd`.
    pub fn new(fd: &impl AsFd, len: u64) -> io::Result<Self> {
        Region::new(fd, len, ProtFlags::READ).map(Self)
    }

    /// Copies bytes out, from `offset` on, as many as `out` takes; false if that is past the end.
    ///
    /// Each byte is read once. Bytes that the guest writes meanwhile come as old or new.
    #[must_use]
    pub fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        if offset.checked_add(out.len()).is_none_or(|end| end > self.0.len) {
            return false;
        }
        // SAFETY: `offset + out.len()` lies within the mapping (checked above), so every pointer made
        // from it does.
        let from = unsafe { self.0.start.as_ptr().add(offset) };
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx") {
            // SAFETY: the range was checked above, and the processor's registers just now.
            unsafe { read_wide(from, out) };
            return true;
        }
        // SAFETY: the range was checked above.
        unsafe { read_eights(from, out) };
        true
    }
}

/// Reads by the processor's wide registers, several at a time: memory that no cache holds, as that of some GPUs, in fewer turns.
///
/// # Safety
/// `out.len()` bytes from `from` on must lie within a mapping, and the processor must have AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn read_wide(from: *const u8, out: &mut [u8]) {
    // SAFETY: as the caller has made sure; registers are but bits.
    unsafe { read_words::<[std::arch::x86_64::__m256i; 4]>(from, out, read_eights) };
}

/// Reads eight bytes at a time.
///
/// # Safety
/// `out.len()` bytes from `from` on must lie within a mapping.
unsafe fn read_eights(from: *const u8, out: &mut [u8]) {
    // SAFETY: as the caller has made sure; a number is but bits.
    unsafe { read_words::<u64>(from, out, read_bytes) };
}

/// Reads whole words where the mapping has them, and what is before and after them by `ends`.
///
/// # Safety
/// `out.len()` bytes from `from` on must lie within a mapping; any bits must be a `Word`, which has no others.
#[inline(always)]
unsafe fn read_words<Word: Copy>(
    from: *const u8,
    out: &mut [u8],
    ends: unsafe fn(*const u8, &mut [u8]),
) {
    let (head, out) = out.split_at_mut(from.align_offset(align_of::<Word>()).min(out.len()));
    // SAFETY: at most the end of the range that the caller knows to be mapped.
    let middle = unsafe { from.add(head.len()) }.cast::<Word>();
    let mut words = out.chunks_exact_mut(size_of::<Word>());
    let count = words.len();
    // SAFETY: `head` is the first part of the caller's range.
    unsafe { ends(from, head) };
    for (i, out) in words.by_ref().enumerate() {
        // SAFETY: within the caller's range, and aligned because `head` ends where words do; a
        // volatile read lets the compiler assume nothing of memory that others write.
        let word = unsafe { middle.add(i).read_volatile() };
        // SAFETY: `out` has as many bytes as a word, which `chunks_exact_mut` sees to.
        unsafe { out.as_mut_ptr().cast::<Word>().write_unaligned(word) };
    }
    // SAFETY: at most the end of the range that the caller knows to be mapped.
    let rest = unsafe { middle.add(count) }.cast();
    // SAFETY: what remains is the last part of the caller's range.
    unsafe { ends(rest, words.into_remainder()) };
}

/// Reads bytes one by one.
///
/// # Safety
/// `out.len()` bytes from `from` on must lie within a mapping.
unsafe fn read_bytes(from: *const u8, out: &mut [u8]) {
    for (i, byte) in out.iter_mut().enumerate() {
        // SAFETY: within the mapping, as the caller has made sure.
        *byte = unsafe { from.add(i).read_volatile() };
    }
}

/// Memory that we made ourselves and only we write to.
#[derive(Debug)]
pub struct OwnMapping(Region);

impl OwnMapping {
    /// Maps the first `len` bytes of `fd`, a memfd of ours ([`own_memfd`](crate::sys::own_memfd)) of at least that size.
    pub fn new(fd: &impl AsFd, len: u64) -> io::Result<Self> {
        Region::new(fd, len, ProtFlags::READ | ProtFlags::WRITE).map(Self)
    }

    /// Its bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the region is mapped for `len` bytes, can't shrink (sealed), and is written by
        // nobody else: peers get it to read, and a compositor is trusted not to write.
        unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::own_memfd;

    #[test]
    fn reads_what_was_written_and_nothing_past_the_end() {
        let fd = own_memfd("test", 4096).unwrap();
        let mut ours = OwnMapping::new(&fd, 4096).unwrap();
        for (i, byte) in ours.bytes_mut().iter_mut().enumerate() {
            *byte = i as u8;
        }
        let theirs = Mapping::new(&fd, 4096).unwrap();
        for (start, len) in (0..33).flat_map(|start| (0..200).map(move |len| (start, len))) {
            let whole =
                |out: &[u8]| out.iter().enumerate().all(|(i, &byte)| byte == (i + start) as u8);
            let mut out = vec![0; len];
            assert!(theirs.read(start, &mut out) && whole(&out));
            // As processors do it that have no wide registers.
            let mut out = vec![0; len];
            // SAFETY: the mapping is longer.
            unsafe { read_eights(theirs.0.start.as_ptr().add(start), &mut out) };
            assert!(whole(&out));
        }
        let mut out = [0; 19];
        assert!(theirs.read(4096 - 19, &mut out));
        assert!(!theirs.read(4096 - 18, &mut out));
        assert!(!theirs.read(usize::MAX, &mut out));
    }
}
