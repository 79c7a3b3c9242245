//! The one place that says what kind of memory an fd is.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, SealFlags, SeekFrom, fcntl_get_seals, fstat, fstatfs, seek};

use crate::frame::{Memory, Storage, StorageId};

/// `DMA_BUF_MAGIC` of linux/magic.h: the file system that every dma-buf lives in.
const DMA_BUF_MAGIC: u64 = 0x444d_4142;
/// The file systems that every memfd lives in.
const TMPFS_MAGIC: u64 = 0x0102_1994;
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

/// What an fd turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// What kind of memory.
    pub memory: Memory,
}

/// Tells what an fd is: [`classify`], or what a test passes in its place.
pub type Classify = fn(BorrowedFd<'_>) -> Result<Identity, ClassifyError>;

/// Why an fd can't be a framebuffer.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// No fd came with the message.
    #[error("no file descriptor came with the buffer")]
    NoFd,
    /// Neither a dma-buf nor a file in memory.
    #[error("the file descriptor is neither a dma-buf nor a memfd, but {0}")]
    Other(&'static str),
    /// The kernel refused to tell.
    #[error("can't examine the buffer's file descriptor")]
    Io(#[from] io::Error),
}

/// Examines an fd: dma-bufs and files in memory are known by their file systems. To read a file of
/// any other could take as long as whoever serves it wants.
pub fn classify(fd: BorrowedFd<'_>) -> Result<Identity, ClassifyError> {
    let stat = fstat(fd).map_err(io::Error::from)?;
    let magic = fstatfs(fd).map_err(io::Error::from)?.f_type;
    // Negative where a magic number with its highest bit set comes in 32 bits.
    let magic = magic as u64 & u64::from(u32::MAX);
    if magic == DMA_BUF_MAGIC {
        let size = seek(fd, SeekFrom::End(0)).map_err(io::Error::from)?;
        let memory = Memory::DmaBuf { exporter: exporter(fd)? };
        return Ok(Identity { dev: stat.st_dev, ino: stat.st_ino, size, memory });
    }
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if ![TMPFS_MAGIC, HUGETLBFS_MAGIC].contains(&magic) => {
            Err(ClassifyError::Other("a file that is not in memory"))
        }
        FileType::RegularFile => {
            let seals = fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
            // A huge page that isn't there may not be to be had either: to touch it then is a fault.
            let shrink_sealed = seals.contains(SealFlags::SHRINK) && magic == TMPFS_MAGIC;
            let memory = Memory::Memfd { shrink_sealed };
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            Ok(Identity { dev: stat.st_dev, ino: stat.st_ino, size, memory })
        }
        FileType::CharacterDevice => Err(ClassifyError::Other("a character device")),
        FileType::Fifo => Err(ClassifyError::Other("a pipe")),
        FileType::Socket => Err(ClassifyError::Other("a socket")),
        FileType::Directory => Err(ClassifyError::Other("a directory")),
        _ => Err(ClassifyError::Other("something else")),
    }
}

/// The exporter's name from the fd's fdinfo; "unknown" where the kernel doesn't say.
fn exporter(fd: BorrowedFd<'_>) -> Result<String, ClassifyError> {
    let info = fs::read(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    Ok(exporter_in(&info).unwrap_or_else(|| "unknown".to_owned()))
}

/// The kernel's word about the exporter comes before the name that whoever has the dma-buf may give it:
/// any bytes, line ends included.
fn exporter_in(info: &[u8]) -> Option<String> {
    let mut lines = info.split(|byte| *byte == b'\n');
    let name = lines.find_map(|line| line.strip_prefix(b"exp_name:"))?;
    Some(String::from_utf8_lossy(name).trim().to_owned())
}

/// Makes a storage of the fds that came for its planes, in the order of the planes. A plane without
/// an fd of its own lies in the first one's file; fds of one file become one.
pub fn storage(fds: Vec<OwnedFd>, classify: Classify) -> Result<Storage, ClassifyError> {
    let identities =
        fds.iter().map(|fd| classify(fd.as_fd())).collect::<Result<Vec<_>, ClassifyError>>()?;
    let first = identities.first().ok_or(ClassifyError::NoFd)?.clone();
    let alike = identities.iter().all(|other| (other.dev, other.ino) == (first.dev, first.ino));
    let others = if alike {
        0
    } else {
        let mut digest = DefaultHasher::new();
        for identity in &identities[1..] {
            (identity.dev, identity.ino).hash(&mut digest);
        }
        digest.finish().max(1)
    };
    let keep = if alike { 1 } else { fds.len() };
    Ok(Storage {
        id: StorageId { dev: first.dev, ino: first.ino, others },
        memory: first.memory,
        size: first.size,
        fds: fds.into_iter().take(keep).collect(),
    })
}

/// The fd that a plane of a storage lies in.
pub fn plane_fd(storage: &Storage, plane: usize) -> BorrowedFd<'_> {
    storage.fds.get(plane).unwrap_or(&storage.fds[0]).as_fd()
}

/// How many bytes it has.
///
/// # Errors
/// If it has an fd of its own, and the kernel doesn't say.
pub fn plane_size(storage: &Storage, plane: usize) -> io::Result<u64> {
    match storage.fds.get(plane) {
        Some(fd) if plane > 0 => Ok(seek(fd, SeekFrom::End(0))?),
        _ => Ok(storage.size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::own_memfd;

    #[test]
    fn a_memfd_is_a_memfd() {
        let fd = own_memfd("test", 8192).unwrap();
        let identity = classify(fd.as_fd()).unwrap();
        assert_eq!(identity.size, 8192);
        assert_eq!(identity.memory, Memory::Memfd { shrink_sealed: true });
    }

    #[test]
    fn what_is_no_memory_is_named() {
        let null = fs::File::open("/dev/null").unwrap();
        let error = classify(null.as_fd()).unwrap_err();
        assert!(error.to_string().contains("a character device"), "{error}");
        let (pipe, _write) = rustix::pipe::pipe().unwrap();
        let error = classify(pipe.as_fd()).unwrap_err();
        assert!(error.to_string().contains("a pipe"), "{error}");
    }

    #[test]
    fn two_fds_of_one_file_are_one_storage() {
        let fd = own_memfd("test", 4096).unwrap();
        let twin = fd.try_clone().unwrap();
        let other = own_memfd("test", 4096).unwrap();
        let id = storage(vec![fd.try_clone().unwrap()], classify).unwrap().id;
        let joint = storage(vec![fd, twin], classify).unwrap();
        assert_eq!(joint.id, id);
        assert_eq!(joint.fds.len(), 1);
        let apart = storage(vec![joint.fds.into_iter().next().unwrap(), other], classify).unwrap();
        assert_ne!(apart.id, id);
        assert_eq!(apart.fds.len(), 2);
    }

    /// Without: a peer gives its dma-buf a name, and with it another exporter, or none that can be read.
    #[test]
    fn a_name_that_a_peer_gave_changes_nothing() {
        let kernel = b"pos:\t0\nflags:\t02\nsize:\t4096\ncount:\t2\nexp_name:\tudmabuf\n";
        for name in [&b""[..], b"name:\tx\n", b"name:\tx\nexp_name:\ti915\n", b"name:\t\xff\n"] {
            let info = [kernel, name].concat();
            assert_eq!(exporter_in(&info).as_deref(), Some("udmabuf"), "{}", info.escape_ascii());
        }
        assert_eq!(exporter_in(b"pos:\t0\n"), None);
        assert_eq!(exporter_in(b"exp_name:\t\xff\n").as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn no_fd_is_an_error() {
        assert!(matches!(storage(Vec::new(), classify), Err(ClassifyError::NoFd)));
    }
}
