//! Copies by the CPU: rows out of linear memory, upright and as XRGB8888, only where they changed.
//!
//! Guest memory is read once, into memory of ours, and only then looked at: what the guest writes
//! meanwhile can spoil a pixel but not a check.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, pread};

use crate::frame::{
    DAMAGE_MAX, Damage, Format, Layout, Memory, Modifier, Rect, Size, Storage, StorageId, Transform,
};
use crate::sys::{Mapping, ReadAccess};

/// Bytes of a pixel in everything that is copied.
pub const OUT_PIXEL: usize = 4;

/// How the visible picture lies in a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The whole buffer.
    pub layout: Layout,
    /// The part that is on the screen, as the rows lie in memory.
    pub visible: Rect,
    /// Which way up.
    pub transform: Transform,
}

impl View {
    /// The size of the picture.
    pub fn size(&self) -> Size {
        Size { width: self.visible.width, height: self.visible.height }
    }
}

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Rows don't lie one after the other.
    #[error("the CPU can't read memory laid out as modifier {0}, only a GPU can")]
    Modifier(Modifier),
    /// A pixel format that isn't known here.
    #[error("the CPU can't read pixels of format {0}")]
    Format(Format),
    /// More planes than one.
    #[error("the CPU can't read buffers of {0} planes")]
    Planes(u8),
    /// The memory ended before the picture did.
    #[error("the guest's memory is smaller than the picture that it announced")]
    Short,
    /// The kernel refused.
    #[error("the guest's memory can't be read ({0})")]
    Io(io::Error),
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Access to one storage for reading; made once, used for every frame.
#[derive(Debug)]
pub struct Reader {
    access: Access,
    /// Bytes of the storage, as it was announced then.
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
    /// Prepares to read `storage`; holds an fd or a mapping of its own.
    pub fn open(storage: &Storage) -> Result<Self, CopyError> {
        let fd = storage.fds.first().ok_or(CopyError::Short)?;
        let access = match storage.memory {
            Memory::DmaBuf { .. } => {
                Access::DmaBuf { fd: fd.try_clone()?, map: Mapping::new(fd, storage.size)? }
            }
            Memory::Memfd { shrink_sealed: true } => {
                Access::Sealed(Mapping::new(fd, storage.size)?)
            }
            Memory::Memfd { shrink_sealed: false } => Access::File(fd.try_clone()?),
        };
        Ok(Self { access, size: storage.size })
    }

    fn rows(&self) -> io::Result<Rows<'_>> {
        Ok(match &self.access {
            Access::DmaBuf { fd, map } => {
                Rows::Mapped { map, _access: Some(ReadAccess::begin(fd)?) }
            }
            Access::Sealed(map) => Rows::Mapped { map, _access: None },
            Access::File(fd) => Rows::File(fd),
        })
    }
}

/// The readers of a sink: each storage's is opened at its first use.
#[derive(Debug, Default)]
pub struct Readers(Vec<(StorageId, Reader)>);

impl Readers {
    /// The reader of `storage`.
    pub fn of(&mut self, storage: &Storage) -> Result<&Reader, CopyError> {
        let index = match self.0.iter().position(|(id, _)| *id == storage.id) {
            Some(index) => {
                // A memfd can grow.
                if self.0[index].1.size < storage.size {
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

/// One stretch of reading.
enum Rows<'a> {
    Mapped { map: &'a Mapping, _access: Option<ReadAccess<'a>> },
    File(&'a OwnedFd),
}

impl Rows<'_> {
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), CopyError> {
        match self {
            Rows::Mapped { map, .. } => {
                let offset = usize::try_from(offset).map_err(|_| CopyError::Short)?;
                if map.read(offset, out) { Ok(()) } else { Err(CopyError::Short) }
            }
            Rows::File(fd) => read_exact_at(fd, offset, out),
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

/// How a pixel is read.
#[derive(Clone, Copy)]
enum Pixel {
    /// Already blue, green, red, any.
    Bgrx,
    /// Red, green, blue, any.
    Rgbx,
    /// Five, six and five bits.
    Rgb565,
}

impl Pixel {
    fn of(format: Format) -> Result<Self, CopyError> {
        match format {
            Format::XRGB8888 | Format::ARGB8888 => Ok(Self::Bgrx),
            Format::XBGR8888 | Format::ABGR8888 => Ok(Self::Rgbx),
            Format::RGB565 => Ok(Self::Rgb565),
            other => Err(CopyError::Format(other)),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Bgrx | Self::Rgbx => 4,
            Self::Rgb565 => 2,
        }
    }

    /// Turns a row that was just read to the front of `row` into XRGB8888, in place.
    fn convert(self, row: &mut [u8]) {
        match self {
            Self::Bgrx => {}
            Self::Rgbx => {
                for pixel in row.as_chunks_mut::<4>().0 {
                    pixel.swap(0, 2);
                }
            }
            Self::Rgb565 => {
                // From the back, because pixels grow.
                for i in (0..row.len() / OUT_PIXEL).rev() {
                    let value = u16::from_le_bytes([row[2 * i], row[2 * i + 1]]);
                    let widen = |bits: u16, width: u32| {
                        let bits = bits & ((1 << width) - 1);
                        (bits << (8 - width) | bits >> (2 * width - 8)) as u8
                    };
                    let pixel =
                        [widen(value, 5), widen(value >> 5, 6), widen(value >> 11, 5), 0xff];
                    row[4 * i..4 * i + 4].copy_from_slice(&pixel);
                }
            }
        }
    }
}

/// Whether the CPU can read memory that is laid out so, whoever has it.
///
/// # Errors
/// If it can't, with the reason.
pub fn can_read(layout: &Layout) -> Result<(), CopyError> {
    readable(layout).map(|_| ())
}

fn readable(layout: &Layout) -> Result<Pixel, CopyError> {
    let Layout { format, modifier, plane_count, .. } = *layout;
    if modifier != Modifier::LINEAR {
        return Err(CopyError::Modifier(modifier));
    }
    if plane_count != 1 {
        return Err(CopyError::Planes(plane_count));
    }
    Pixel::of(format)
}

/// Copies what changed of the visible picture, upright, into `out`: XRGB8888 of the visible size,
/// `out_stride` bytes a row. Returns how many bytes were written.
///
/// # Errors
/// If the memory can't be read by the CPU, or not any more. `out` may then be half written.
///
/// # Panics
/// If `out` is smaller than the picture: it is ours, so that is our bug.
pub fn copy(
    reader: &Reader,
    view: &View,
    damage: &Damage,
    out: &mut [u8],
    out_stride: usize,
) -> Result<u64, CopyError> {
    let pixel = readable(&view.layout)?;
    let planes = view.layout.planes;
    let rows = reader.rows()?;
    let mut bytes = 0;
    for rect in visible_damage(view, damage) {
        let width = rect.width as usize;
        for y in rect.y..rect.y + rect.height {
            let memory_y = view.visible.y + memory_row(view, y);
            let memory_x = view.visible.x + rect.x;
            let offset = u64::from(planes[0].offset)
                + u64::from(planes[0].stride) * u64::from(memory_y)
                + u64::from(memory_x) * pixel.bytes() as u64;
            let start = y as usize * out_stride + rect.x as usize * OUT_PIXEL;
            let row = &mut out[start..start + width * OUT_PIXEL];
            rows.read(offset, &mut row[..width * pixel.bytes()])?;
            pixel.convert(row);
            bytes += row.len() as u64;
        }
    }
    Ok(bytes)
}

/// Which row of the visible rectangle in memory holds row `y` of the picture, or the other way round.
fn memory_row(view: &View, y: u32) -> u32 {
    match view.transform {
        Transform::Normal => y,
        Transform::Flipped => view.visible.height - 1 - y,
    }
}

/// The damage as rectangles of the visible picture, upright; empty ones are left out.
pub fn visible_damage(view: &View, damage: &Damage) -> impl Iterator<Item = Rect> + use<> {
    let view = *view;
    let (rects, count) = match *damage {
        Damage::Whole => ([view.visible; DAMAGE_MAX], 1),
        Damage::Rects { rects, count } => (rects, usize::from(count)),
    };
    rects.into_iter().take(count).filter_map(move |rect| {
        let seen = rect.intersection(view.visible)?;
        let y = seen.y - view.visible.y;
        let y = match view.transform {
            Transform::Normal => y,
            Transform::Flipped => view.visible.height - y - seen.height,
        };
        Some(Rect { x: seen.x - view.visible.x, y, ..seen })
    })
}

#[cfg(test)]
mod tests;
