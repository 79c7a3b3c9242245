//! A guest's picture, as the CPU reads it and as the GPU imports it.

use crate::convert::cpu::{self, FORMATS, OUT_PIXEL, Reader, View};
use crate::frame::{
    DAMAGE_MAX, Damage, Format, Layout, Memory, Modifier, PLANES_MAX, Plane, Rect, Size, Storage,
    Transform,
};
use crate::sys::{OwnMapping, classify, own_memfd, page_align, storage};

pub(super) const SIZE: Size = Size { width: 70, height: 40 };
pub(super) const WHOLE: Rect = Rect { x: 0, y: 0, width: 70, height: 40 };
pub(super) const CROP: Rect = Rect { x: 5, y: 3, width: 41, height: 29 };
/// Half a sample of chroma sticks out on two sides.
const ODD: Size = Size { width: 53, height: 35 };
/// Each plane begins at a multiple of this.
const PLANE_ALIGN: u32 = 256;
/// What is in a target before anything is drawn: green.
pub(super) const BEFORE: [u8; 4] = [0, 0xff, 0, 0xff];

/// A guest's picture, in a memfd.
pub(super) struct Guest {
    pub(super) memory: OwnMapping,
    /// As what the CPU reads.
    pub(super) storage: Storage,
    /// As what the GPU imports.
    pub(super) dmabuf: Storage,
    pub(super) view: View,
}

impl Guest {
    /// Noise in XRGB8888, all of it to be seen.
    pub(super) fn plain(offset: u32, stride: u32) -> Self {
        let (size, format) = (SIZE, Format::XRGB8888);
        Self::new(format, size, offset, |_| stride, (WHOLE, Transform::Normal))
    }

    /// Noise, whose first plane begins at `offset`, and whose rows are as long as `stride_of` has
    /// it, who is told how long they must be.
    pub(super) fn new(
        format: Format,
        size: Size,
        offset: u32,
        stride_of: impl Fn(u32) -> u32,
        (visible, transform): (Rect, Transform),
    ) -> Self {
        let mut planes = [Plane::default(); PLANES_MAX];
        let mut end = offset;
        for (plane, samples) in planes.iter_mut().zip(format.samples()) {
            let offset = end.next_multiple_of(PLANE_ALIGN);
            *plane = Plane { offset, stride: stride_of(samples.row(size.width) as u32) };
            end = offset + plane.stride * samples.rows(size.height);
        }
        let bytes = page_align(end.into());
        let fd = own_memfd("guest", bytes).unwrap();
        let mut memory = OwnMapping::new(&fd, bytes).unwrap();
        // Noise, so that a pixel from the wrong place is a wrong pixel.
        let mut seed = 0x2545_f491_u32;
        for byte in memory.bytes_mut() {
            seed = seed.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            *byte = (seed >> 24) as u8;
        }
        let (modifier, plane_count) = (Modifier::LINEAR, format.samples().len() as u8);
        let layout = Layout { size, format, modifier, planes, plane_count };
        let storage = storage(vec![fd.try_clone().unwrap()], classify).unwrap();
        let (id, size, fds) = (storage.id, storage.size, vec![fd]);
        let dmabuf =
            Storage { id, size, fds, memory: Memory::DmaBuf { exporter: "udmabuf".into() } };
        Self { memory, storage, dmabuf, view: View { layout, visible, transform } }
    }

    /// What the CPU copies of it, over what is there before.
    fn copied(&self, damage: &Damage) -> Vec<[u8; 4]> {
        let Size { width, height } = self.view.size();
        let mut out = BEFORE.repeat((width * height) as usize);
        let reader = Reader::open(&self.storage).unwrap();
        cpu::copy(&reader, &self.view, damage, &mut out, width as usize * OUT_PIXEL).unwrap();
        out.as_chunks().0.to_vec()
    }

    /// Fails unless `drawn` has the colours that the CPU copies.
    pub(super) fn assert_drawn(&self, damage: &Damage, drawn: &[[u8; 4]]) {
        let (width, format) = (self.view.visible.width as usize, self.view.layout.format);
        // Widening five bits rounds there and repeats bits here; what luma and chroma make is no whole
        // number, and rounded after other arithmetic. All else is exact.
        let most = u8::from(format == Format::RGB565 || format.is_yuv());
        let copied = self.copied(damage);
        assert_eq!(copied.len(), drawn.len());
        for (index, (want, have)) in copied.iter().zip(drawn).enumerate() {
            let near = (0..3).all(|c| want[c].abs_diff(have[c]) <= most);
            assert!(
                near,
                "{have:?} in place of {want:?} at {},{} of {:?}, {damage:?}",
                index % width,
                index / width,
                self.view
            );
        }
    }
}

/// Every format in even and odd sizes, with and without offset, crop and flip.
pub(super) fn guests(stride_of: impl Fn(u32) -> u32) -> Vec<Guest> {
    let mut guests = Vec::new();
    for format in FORMATS {
        for (size, crop) in [(SIZE, CROP), (ODD, Rect { x: 31, y: 7, width: 21, height: 27 })] {
            let whole = Rect { width: size.width, height: size.height, ..WHOLE };
            for visible in [whole, crop] {
                for transform in [Transform::Normal, Transform::Flipped] {
                    for offset in [0, 4096] {
                        let seen = (visible, transform);
                        guests.push(Guest::new(format, size, offset, &stride_of, seen));
                    }
                }
            }
        }
    }
    guests
}

pub(super) fn damages() -> [Damage; 3] {
    let mut rects = [Rect::default(); DAMAGE_MAX];
    rects[0] = Rect { x: 7, y: 4, width: 9, height: 5 };
    // Partly outside of the crop, and partly outside of everything.
    rects[1] = Rect { x: 30, y: 20, width: 500, height: 3 };
    [Damage::Whole, Damage::Rects { rects, count: 2 }, Damage::NONE]
}

pub(super) fn skip(name: &str, reason: &str) {
    println!("SKIP {name}: {reason}");
}
