//! Access to a guest's memory: each byte is read once, out of mappings that can't fault or by system
//! call.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, pread};

use super::CopyError;
use crate::frame::{Memory, PLANES_MAX, Plane, Storage, StorageId};
use crate::sys::{Mapping, ReadAccess, classify, plane_size};

/// Access to one storage for reading; made once, used for every frame.
#[derive(Debug)]
pub struct Reader {
    /// One a file, in the order of the planes; a plane past the end lies in the first.
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    access: Access,
    /// Bytes, as they were announced then.
    size: u64,
}

#[derive(Debug)]
enum Access {
    DmaBuf {
        fd: OwnedFd,
        map: Mapping,
    },
    Sealed(Mapping),
    /// Memory that may be truncated under us, where a mapping could fault: read by system call.
    File(OwnedFd),
}

impl Reader {
    /// Prepares to read `storage`; holds fds or mappings of its own.
    pub fn open(storage: &Storage) -> Result<Self, CopyError> {
        let mut files = Vec::with_capacity(storage.fds.len());
        for (plane, fd) in storage.fds.iter().enumerate() {
            let size = plane_size(storage, plane)?;
            let access = if plane == 0 {
                Access::new(fd, &storage.memory, size)?
            } else {
                // Nobody has looked at it yet, and the first one's seals aren't its own.
                let identity = classify(fd.as_fd()).map_err(io::Error::other)?;
                Access::new(fd, &identity.memory, size)?
            };
            files.push(File { access, size });
        }
        if files.is_empty() { Err(CopyError::Short) } else { Ok(Self { files }) }
    }

    /// Whether some of `storage` can't be read, because a memfd has grown.
    fn is_outgrown(&self, storage: &Storage) -> bool {
        let mut files = self.files.iter().enumerate();
        files.any(|(plane, file)| plane_size(storage, plane).is_ok_and(|size| size > file.size))
    }

    /// Begins to read pixels that lie so.
    pub(super) fn rows(&self, planes: &[Plane; PLANES_MAX]) -> io::Result<Rows<'_>> {
        let mut access = [const { None }; PLANES_MAX];
        for (access, file) in access.iter_mut().zip(&self.files) {
            if let Access::DmaBuf { fd, .. } = &file.access {
                *access = Some(ReadAccess::begin(fd)?);
            }
        }
        Ok(Rows { files: &self.files, planes: *planes, _access: access })
    }
}

impl Access {
    fn new(fd: &OwnedFd, memory: &Memory, size: u64) -> io::Result<Self> {
        Ok(match memory {
            Memory::DmaBuf { .. } => {
                Self::DmaBuf { fd: fd.try_clone()?, map: Mapping::new(fd, size)? }
            }
            Memory::Memfd { shrink_sealed: true } => Self::Sealed(Mapping::new(fd, size)?),
            Memory::Memfd { shrink_sealed: false } => Self::File(fd.try_clone()?),
        })
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), CopyError> {
        match self {
            Self::DmaBuf { map, .. } | Self::Sealed(map) => {
                let offset = usize::try_from(offset).map_err(|_| CopyError::Short)?;
                if map.read(offset, out) { Ok(()) } else { Err(CopyError::Short) }
            }
            Self::File(fd) => read_exact_at(fd, offset, out),
        }
    }
}

fn read_exact_at(fd: &impl AsFd, mut offset: u64, mut out: &mut [u8]) -> Result<(), CopyError> {
    while !out.is_empty() {
        match pread(fd, &mut *out, offset) {
            Ok(0) => return Err(CopyError::Short),
            Ok(n) => {
                out = &mut out[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(CopyError::Io(error.into())),
        }
    }
    Ok(())
}

/// The readers of a sink: each storage's is opened at its first use.
#[derive(Debug, Default)]
pub struct Readers(Vec<(StorageId, Reader)>);

impl Readers {
    /// The reader of `storage`.
    pub fn of(&mut self, storage: &Storage) -> Result<&Reader, CopyError> {
        let index = match self.0.iter().position(|(id, _)| *id == storage.id) {
            Some(index) => {
                if self.0[index].1.is_outgrown(storage) {
                    self.0[index].1 = Reader::open(storage)?;
                }
                index
            }
            None => {
                self.0.push((storage.id, Reader::open(storage)?));
                self.0.len() - 1
            }
        };
        Ok(&self.0[index].1)
    }

    /// Closes the reader of `storage`, if there is one.
    pub fn forget(&mut self, storage: StorageId) {
        self.0.retain(|(id, _)| *id != storage);
    }
}

/// One stretch of reading, in which dma-bufs are the CPU's.
pub(super) struct Rows<'a> {
    files: &'a [File],
    planes: [Plane; PLANES_MAX],
    _access: [Option<ReadAccess<'a>>; PLANES_MAX],
}

impl Rows<'_> {
    /// Reads as much of a row of a plane as `out` takes, from `start` bytes on.
    pub(super) fn read(
        &self,
        plane: usize,
        row: u32,
        start: u64,
        out: &mut [u8],
    ) -> Result<(), CopyError> {
        let Plane { offset, stride } = self.planes[plane];
        let offset = (u64::from(stride) * u64::from(row)).checked_add(u64::from(offset) + start);
        let offset = offset.ok_or(CopyError::Short)?;
        self.files.get(plane).unwrap_or(&self.files[0]).access.read(offset, out)
    }
}
