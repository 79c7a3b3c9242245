//! Every format against a slow and plain model: one pixel after the other, in floating point.

use std::os::fd::OwnedFd;

use super::*;
use crate::frame::PLANES_MAX;
use crate::sys::page_align;

/// What the memory holds of a colour: its bits, from the lowest one of the pixel up.
#[derive(Clone, Copy)]
struct Bits {
    low: u32,
    count: u32,
}

/// Where blue, green and red are, of pixels that lie together.
fn bits(format: Format) -> Option<[Bits; 3]> {
    let at = |lows: [u32; 3], count| Some(lows.map(|low| Bits { low, count }));
    match &format.0.to_le_bytes() {
        b"XR24" | b"AR24" | b"RG24" => at([0, 8, 16], 8),
        b"XB24" | b"AB24" | b"BG24" => at([16, 8, 0], 8),
        b"RX24" | b"RA24" => at([8, 16, 24], 8),
        b"BX24" | b"BA24" => at([24, 16, 8], 8),
        b"XR30" | b"AR30" => at([0, 10, 20], 10),
        b"XB30" | b"AB30" => at([20, 10, 0], 10),
        b"XR48" | b"AR48" => at([0, 16, 32], 16),
        b"XB48" | b"AB48" => at([32, 16, 0], 16),
        b"RG16" => Some([(0, 5), (5, 6), (11, 5)].map(|(low, count)| Bits { low, count })),
        _ => None,
    }
}

fn noise(seed: &mut u32) -> u32 {
    *seed = seed.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
    *seed >> 8
}

/// A guest's picture: each plane's bytes in a vector, and in memory where the layout has them.
struct Guest {
    storage: Storage,
    files: Vec<Vec<u8>>,
    view: View,
}

impl Guest {
    /// Noise, with a gap before each plane and after each row; in one file, or one for each plane.
    fn new(format: Format, size: Size, gap: u32, split: bool) -> Self {
        let mut planes = [Plane::default(); PLANES_MAX];
        let samples = format.samples();
        let mut ends = Vec::new();
        let mut end = 0;
        for (plane, samples) in planes.iter_mut().zip(samples) {
            let start = if split { 0 } else { end };
            let stride = samples.row(size.width) as u32 + gap;
            *plane = Plane { offset: start + 3 * gap, stride };
            // The last row ends with its last pixel.
            end = plane.offset + stride * samples.rows(size.height) - gap;
            ends.push(end);
        }
        if !split {
            ends = vec![end];
        }
        let mut seed = format.0 ^ size.width << 8 ^ gap;
        let files: Vec<Vec<u8>> =
            ends.iter().map(|end| (0..*end).map(|_| noise(&mut seed) as u8).collect()).collect();
        let fds = files.iter().map(|bytes| memory(bytes)).collect();
        let layout = Layout {
            size,
            format,
            modifier: Modifier::LINEAR,
            planes,
            plane_count: samples.len() as u8,
        };
        let visible = Rect { x: 0, y: 0, width: size.width, height: size.height };
        let view = View { layout, visible, transform: Transform::Normal };
        Self { storage: storage(fds, classify).unwrap(), files, view }
    }

    /// Bytes of a plane, from where its pixel lies.
    fn bytes(&self, plane: usize, x: u32, y: u32) -> &[u8] {
        let Plane { offset, stride } = self.view.layout.planes[plane];
        let samples = self.view.layout.format.samples()[plane];
        let at = offset + y / samples.down * stride + x / samples.across * samples.bytes;
        &self.files.get(plane).unwrap_or(&self.files[0])[at as usize..]
    }

    /// Blue, green and red of a pixel of the buffer, from 0 to 255.
    fn colour(&self, x: u32, y: u32) -> [f64; 3] {
        let format = self.view.layout.format;
        if let Some(bits) = bits(format) {
            let mut pixel = [0; 8];
            let length = format.samples()[0].bytes as usize;
            pixel[..length].copy_from_slice(&self.bytes(0, x, y)[..length]);
            let pixel = u64::from_le_bytes(pixel);
            return bits.map(|Bits { low, count }| {
                let all = (1_u64 << count) - 1;
                (pixel >> low & all) as f64 / all as f64 * 255.0
            });
        }
        let byte = |plane, at: u32| f64::from(self.bytes(plane, x, y)[at as usize]);
        let wide = |plane, at: u32| byte(plane, at + 1) + byte(plane, at) / 256.0;
        let [luma, blue, red] = match format {
            Format::NV12 => [byte(0, 0), byte(1, 0), byte(1, 1)],
            Format::P010 => [wide(0, 0), wide(1, 0), wide(1, 2)],
            Format::YUYV => [byte(0, x % 2 * 2), byte(0, 1), byte(0, 3)],
            other => panic!("{other} has no model"),
        };
        let luma = (luma - 16.0) * 1.164_383_561_643_835_6;
        let (blue, red) = (blue - 128.0, red - 128.0);
        [
            luma + 2.017_232_142_857_143 * blue,
            luma - 0.391_762_290_094_914 * blue - 0.812_967_647_237_771 * red,
            luma + 1.596_026_785_714_286 * red,
        ]
    }

    /// Copies, and compares each pixel with the model.
    fn compare(&self, damage: &Damage) {
        const BEFORE: u8 = 0x5a;
        let Self { view, storage, .. } = self;
        let Size { width, height } = view.size();
        let stride = width as usize * OUT_PIXEL + 8;
        let mut out = vec![BEFORE; stride * height as usize];
        copy(&Reader::open(storage).unwrap(), view, damage, &mut out, stride).unwrap();
        // Five and six bits aren't rounded, and halves aren't the same in all kinds of arithmetic.
        let exact = bits(view.layout.format).is_some_and(|[blue, ..]| blue.count >= 8);
        let within = if exact { 0.5 } else { 1.0 };
        for (y, row) in out.chunks(stride).enumerate() {
            let (row, gap) = row.split_at(stride - 8);
            assert_eq!(gap, [BEFORE; 8]);
            for (x, pixel) in row.as_chunks::<OUT_PIXEL>().0.iter().enumerate() {
                let (x, y) = (x as u32, y as u32);
                let from_top = match view.transform {
                    Transform::Normal => y,
                    Transform::Flipped => height - 1 - y,
                };
                let (in_x, in_y) = (view.visible.x + x, view.visible.y + from_top);
                if !contains(damage, in_x, in_y) {
                    assert_eq!(*pixel, [BEFORE; 4], "{view:?} at {x},{y} of {damage:?}");
                    continue;
                }
                let colour = self.colour(in_x, in_y);
                let near = (0..3)
                    .all(|c| (f64::from(pixel[c]) - colour[c].clamp(0.0, 255.0)).abs() <= within);
                assert!(near, "{pixel:?}, not {colour:?}: {view:?} at {x},{y} of {damage:?}");
            }
        }
    }
}

fn contains(damage: &Damage, x: u32, y: u32) -> bool {
    let Damage::Rects { rects, count } = damage else { return true };
    rects[..usize::from(*count)].iter().any(|rect| {
        (rect.x..rect.x + rect.width).contains(&x) && (rect.y..rect.y + rect.height).contains(&y)
    })
}

fn memory(bytes: &[u8]) -> OwnedFd {
    let length = page_align(bytes.len() as u64);
    let fd = own_memfd("guest", length).unwrap();
    OwnMapping::new(&fd, length).unwrap().bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    fd
}

/// Some of a picture, none of it, and all of it.
fn damages(size: Size) -> [Damage; 4] {
    let (x, y) = (size.width / 3, size.height / 2);
    let part = Rect { x, y, width: size.width - x, height: size.height - y };
    let pixel = Rect { x: size.width - 1, y: 0, width: 1, height: 1 };
    [Damage::Whole, Damage::NONE, rects(&[part]), rects(&[pixel, part])]
}

/// Sizes that are odd, that are one pixel, and that are longer than what is converted at once.
const SIZES: [(u32, u32); 6] = [(1, 1), (2, 2), (3, 5), (16, 8), (7, 1), (1030, 3)];

#[test]
fn every_format_is_what_the_model_says() {
    for format in FORMATS {
        for (width, height) in SIZES {
            let size = Size { width, height };
            for (gap, split) in [(0, false), (4, true), (13, false)] {
                let mut guest = Guest::new(format, size, gap, split);
                for transform in [Transform::Normal, Transform::Flipped] {
                    guest.view.transform = transform;
                    for damage in damages(size) {
                        guest.compare(&damage);
                    }
                }
            }
        }
    }
}

/// Where two pixels share a sample of chroma, a picture may begin or end between them.
#[test]
fn a_part_may_begin_at_any_pixel() {
    let size = Size { width: 9, height: 7 };
    for format in FORMATS {
        let mut guest = Guest::new(format, size, 5, true);
        for (x, y) in (0..4).flat_map(|x| (0..4).map(move |y| (x, y))) {
            for (width, height) in [(1, 1), (2, 3), (5, 2), (4, 3)] {
                guest.view.visible = Rect { x, y, width, height };
                for damage in damages(size) {
                    guest.compare(&damage);
                }
            }
        }
    }
}

#[test]
fn every_level_of_ten_and_of_sixteen_bits_is_rounded_to_the_nearest() {
    for (format, most) in [(Format::XBGR2101010, 1023), (Format::XBGR16161616, 65_535)] {
        let size = Size { width: 1024, height: (most + 1) / 1024 };
        let mut guest = Guest::new(format, size, 0, false);
        let pixel = format.samples()[0].bytes as usize;
        for (value, bytes) in guest.files[0].chunks_mut(pixel).enumerate() {
            bytes[..2].copy_from_slice(&(value as u16).to_le_bytes());
        }
        guest.storage = storage(vec![memory(&guest.files[0])], classify).unwrap();
        guest.compare(&Damage::Whole);
    }
}

#[test]
fn black_white_and_what_is_past_them() {
    let copied = |luma, blue, red| {
        let mut guest = Guest::new(Format::YUYV, Size { width: 2, height: 1 }, 0, false);
        guest.files[0] = vec![luma, blue, luma, red];
        guest.storage = storage(vec![memory(&guest.files[0])], classify).unwrap();
        let mut out = [0; 8];
        let reader = Reader::open(&guest.storage).unwrap();
        copy(&reader, &guest.view, &Damage::Whole, &mut out, 8).unwrap();
        assert_eq!(out[..4], out[4..]);
        [out[0], out[1], out[2], out[3]]
    };
    assert_eq!(copied(16, 128, 128), [0, 0, 0, 255]);
    assert_eq!(copied(235, 128, 128), [255, 255, 255, 255]);
    assert_eq!(copied(0, 128, 128), [0, 0, 0, 255]);
    assert_eq!(copied(255, 255, 255), [255, 125, 255, 255]);
    // BT.601's red.
    assert_eq!(copied(81, 90, 240), [0, 0, 254, 255]);
}

/// The second plane's file is smaller than it is said to be, or not to be mapped.
#[test]
fn each_plane_is_read_from_its_own_file() {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    let guest = Guest::new(Format::NV12, Size { width: 4, height: 4 }, 0, true);
    let can_shrink = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&can_shrink, 4096).unwrap();
    let fds = vec![memory(&guest.files[0]), can_shrink.try_clone().unwrap()];
    let storage = storage(fds, classify).unwrap();
    let mut readers = Readers::default();
    let mut out = [0; 64];
    let mut try_it =
        || copy(readers.of(&storage).unwrap(), &guest.view, &Damage::Whole, &mut out, 16);
    assert_eq!(try_it().unwrap(), 64);
    ftruncate(&can_shrink, 7).unwrap();
    assert!(matches!(try_it(), Err(CopyError::Short)));
    ftruncate(&can_shrink, 4096).unwrap();
    assert_eq!(try_it().unwrap(), 64);
}
