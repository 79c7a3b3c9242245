//! Copies by the CPU: rows out of linear memory, upright and as XRGB8888, only where they changed.
//!
//! Guest memory is read once, into memory of ours, and only then looked at: what the guest writes
//! meanwhile can spoil a pixel but not a check.

mod packed;
mod reader;
mod yuv;

use std::io;

use crate::frame::{DAMAGE_MAX, Damage, Format, Layout, Modifier, Picture, Rect, Size, Transform};
use packed::Packed;
pub use reader::{Reader, Readers};
use yuv::Yuv;

/// Bytes of a pixel in everything that is copied.
pub const OUT_PIXEL: usize = Picture::PIXEL;

/// All that is read, where rows lie one after the other.
pub const FORMATS: [Format; 22] = [
    Format::XRGB8888,
    Format::ARGB8888,
    Format::XBGR8888,
    Format::ABGR8888,
    Format::RGBX8888,
    Format::RGBA8888,
    Format::BGRX8888,
    Format::BGRA8888,
    Format::RGB888,
    Format::BGR888,
    Format::RGB565,
    Format::XRGB2101010,
    Format::ARGB2101010,
    Format::XBGR2101010,
    Format::ABGR2101010,
    Format::XRGB16161616,
    Format::ARGB16161616,
    Format::XBGR16161616,
    Format::ABGR16161616,
    Format::NV12,
    Format::P010,
    Format::YUYV,
];

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
    /// Not as many planes as the format has.
    #[error("the CPU can't read pixels of format {format} in {count} planes")]
    Planes {
        /// The format.
        format: Format,
        /// How many there are.
        count: u8,
    },
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

/// How pixels are read.
#[derive(Clone, Copy)]
enum Pixels {
    Packed(Packed),
    Yuv(Yuv),
}

/// Whether the CPU can read memory that is laid out so, whoever has it.
///
/// # Errors
/// If it can't, with the reason.
pub fn can_read(layout: &Layout) -> Result<(), CopyError> {
    readable(layout).map(|_| ())
}

fn readable(layout: &Layout) -> Result<Pixels, CopyError> {
    let Layout { format, modifier, plane_count: count, .. } = *layout;
    if modifier != Modifier::LINEAR {
        return Err(CopyError::Modifier(modifier));
    }
    let packed = Packed::of(format).map(Pixels::Packed);
    let pixels = packed.or_else(|| Yuv::of(format).map(Pixels::Yuv));
    let pixels = pixels.ok_or(CopyError::Format(format))?;
    if usize::from(count) != format.samples().len() {
        return Err(CopyError::Planes { format, count });
    }
    Ok(pixels)
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
    let pixels = readable(&view.layout)?;
    let rows = reader.rows(&view.layout.planes)?;
    let mut bytes = 0;
    for rect in visible_damage(view, damage) {
        let length = rect.width as usize * OUT_PIXEL;
        for y in rect.y..rect.y + rect.height {
            let at = (view.visible.x + rect.x, view.visible.y + memory_row(view, y));
            let start = y as usize * out_stride + rect.x as usize * OUT_PIXEL;
            let row = &mut out[start..start + length];
            match pixels {
                Pixels::Packed(packed) => packed.read(&rows, at, row)?,
                Pixels::Yuv(yuv) => yuv.read(&rows, at, row)?,
            }
            bytes += length as u64;
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
    rects.into_iter().take(count).filter_map(move |rect| rect.seen(view.visible, view.transform))
}

#[cfg(test)]
mod tests;
