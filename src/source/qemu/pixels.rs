//! Pictures that come as bytes in messages: painted into memory of ours that can be announced.
//!
//! The connection's thread paints each message into a shadow in the order received, the session's
//! thread copies what changed from there into the memory that sinks see, in `poll`. So a slow session
//! costs one picture, not a queue of them, and a sink never meets a half painted message.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use crate::frame::{Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size};
use crate::source::check::{SIDE_MAX, bytes_per_pixel};
use crate::sys::{OwnMapping, own_memfd, page_align};

/// Rows of ours begin at multiples of this, which every GPU can import.
const STRIDE_ALIGN: u32 = 256;

/// The DRM format of a pixman format, or the sentence that names it.
pub(super) fn format(pixman: u32) -> Result<Format, String> {
    match pixman {
        0x2002_0888 => Ok(Format::XRGB8888),
        0x2002_8888 => Ok(Format::ARGB8888),
        0x1002_0565 => Ok(Format::RGB565),
        other => Err(format!(
            "pixman format {other:#010x} ({}) is not supported: x8r8g8b8, a8r8g8b8 and r5g6b5 are",
            pixman_name(other)
        )),
    }
}

/// What pixman calls a format: bits a pixel, order, and bits of alpha, red, green and blue.
fn pixman_name(code: u32) -> String {
    let shift = (code >> 22) & 3;
    let field = |low: u32, mask: u32| ((code >> low) & mask) << shift;
    let bits = field(24, 0xff);
    let [alpha, red, green, blue] = [12, 8, 4, 0].map(|low| field(low, 0xf));
    let unused = bits.saturating_sub(alpha + red + green + blue);
    let order: &[char] = match (code >> 16) & 0x3f {
        1 => &['a'],
        2 => &['a', 'r', 'g', 'b'],
        3 => &['a', 'b', 'g', 'r'],
        8 => &['b', 'g', 'r', 'a'],
        9 => &['r', 'g', 'b', 'a'],
        kind => return format!("{bits} bits a pixel, type {kind}"),
    };
    let name: String = order
        .iter()
        .map(|&channel| match channel {
            'a' if alpha == 0 && unused > 0 => ('x', unused),
            'a' => ('a', alpha),
            'r' => ('r', red),
            'g' => ('g', green),
            _ => ('b', blue),
        })
        .filter(|&(_, bits)| bits > 0)
        .map(|(channel, bits)| format!("{channel}{bits}"))
        .collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Pixels of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixels<'a> {
    pub(super) size: Size,
    pub(super) stride: u32,
    pub(super) format: Format,
    pub(super) bytes: &'a [u8],
}

impl Pixels<'_> {
    /// Checks that the bytes are as many as the rest says.
    pub(super) fn check(&self) -> Result<(), String> {
        let Size { width, height } = self.size;
        if ![width, height].iter().all(|side| (1..=SIDE_MAX).contains(side)) {
            return Err(format!("{width}x{height} pixels: each side must be 1 to {SIDE_MAX}"));
        }
        let row = u64::from(width) * u64::from(pixel(self.format));
        let stride = u64::from(self.stride);
        let needed = stride * u64::from(height - 1) + row;
        if stride < row {
            return Err(format!("rows of {stride} bytes can't hold {width} pixels"));
        }
        if (self.bytes.len() as u64) < needed {
            return Err(format!("{} bytes came, but {needed} are needed", self.bytes.len()));
        }
        Ok(())
    }
}

fn pixel(format: Format) -> u32 {
    bytes_per_pixel(format).unwrap_or(4)
}

type Shadow = Arc<Mutex<Vec<u8>>>;

/// The connection's side of a canvas.
#[derive(Debug)]
pub(super) struct Canvas {
    layout: Layout,
    shadow: Shadow,
    memfd: OwnedFd,
}

/// The session's side of it.
#[derive(Debug)]
pub(super) struct Painter {
    layout: Layout,
    shadow: Shadow,
    mapping: OwnMapping,
}

impl Canvas {
    /// Memory for pictures of this size and format.
    pub(super) fn new(size: Size, format: Format) -> io::Result<(Self, Painter)> {
        let stride = (size.width * pixel(format)).next_multiple_of(STRIDE_ALIGN);
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = stride;
        let layout = Layout { size, format, modifier: Modifier::LINEAR, planes, plane_count: 1 };
        let bytes = stride as usize * size.height as usize;
        let length = page_align(bytes as u64);
        let memfd = own_memfd("fanlight-canvas", length)?;
        let mapping = OwnMapping::new(&memfd, length)?;
        let shadow = Arc::new(Mutex::new(vec![0; bytes]));
        let painter = Painter { layout, shadow: Arc::clone(&shadow), mapping };
        Ok((Self { layout, shadow, memfd }, painter))
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether pictures of this size and format fit.
    pub(super) fn fits(&self, size: Size, format: Format) -> bool {
        (self.layout.size, self.layout.format) == (size, format)
    }

    /// An fd of the memory.
    pub(super) fn fd(&self) -> io::Result<OwnedFd> {
        self.memfd.try_clone()
    }

    /// Paints `part` of `pixels` (checked ones) so that its corner comes to `to`, which lies with all
    /// of `part` on the canvas.
    pub(super) fn paint(&self, pixels: &Pixels<'_>, part: Rect, to: (u32, u32)) {
        let bytes = pixel(self.layout.format) as usize;
        let row = part.width as usize * bytes;
        let stride = self.layout.planes[0].stride as usize;
        let mut shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
        for y in 0..part.height as usize {
            let from = (part.y as usize + y) * pixels.stride as usize + part.x as usize * bytes;
            let to = (to.1 as usize + y) * stride + to.0 as usize * bytes;
            shadow[to..to + row].copy_from_slice(&pixels.bytes[from..from + row]);
        }
    }
}

impl Painter {
    /// Brings `damage` up to date.
    pub(super) fn paint(&mut self, damage: &Damage) {
        let Size { width, height } = self.layout.size;
        let whole = [Rect { x: 0, y: 0, width, height }];
        let rects = match damage {
            Damage::Whole => &whole[..],
            Damage::Rects { rects, count } => &rects[..usize::from(*count)],
        };
        let bytes = pixel(self.layout.format) as usize;
        let stride = self.layout.planes[0].stride as usize;
        let shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = self.mapping.bytes_mut();
        for rect in rects {
            let row = rect.width as usize * bytes;
            for y in 0..rect.height as usize {
                let at = (rect.y as usize + y) * stride + rect.x as usize * bytes;
                ours[at..at + row].copy_from_slice(&shadow[at..at + row]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_or_named() {
        assert_eq!(format(0x2002_0888), Ok(Format::XRGB8888));
        assert_eq!(format(0x2002_8888), Ok(Format::ARGB8888));
        assert_eq!(format(0x1002_0565), Ok(Format::RGB565));
        for (code, name) in [
            (0x2003_0888, "x8b8g8r8"),
            (0x2008_8888, "b8g8r8a8"),
            (0x1002_0555, "x1r5g5b5"),
            (0x1802_0888, "r8g8b8"),
            (0x0801_8000, "a8"),
            (0x2002_2aaa, "a2r10g10b10"),
            (0xffff_ffff, "type 63"),
        ] {
            let error = format(code).unwrap_err();
            assert!(error.contains(name) && error.contains("0x"), "{error}");
        }
    }

    #[test]
    fn bytes_must_be_enough() {
        let size = Size { width: 3, height: 2 };
        let pixels = |stride, bytes| Pixels { size, stride, format: Format::RGB565, bytes };
        assert!(pixels(8, &[0; 14]).check().is_ok());
        assert!(pixels(8, &[0; 13]).check().is_err());
        assert!(pixels(5, &[0; 100]).check().is_err());
        assert!(pixels(u32::MAX, &[0; 100]).check().is_err());
    }
}
