//! Pictures in udmabufs, and what the CPU copies of them.
#![cfg_attr(not(feature = "gpu"), allow(dead_code))]

use std::os::fd::AsFd;
use std::rc::Rc;

use fanlight::convert::blit::BlitError;
use fanlight::convert::cpu::{self, FORMATS, OUT_PIXEL, Reader, View};
use fanlight::frame::{
    DAMAGE_MAX, Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Storage, Transform,
};
use fanlight::port::{Buffer, next_buffer_id};
use fanlight::sys::{self, OwnMapping};
use fanlight_stage::{Error, Result};

use crate::stale::say;

pub(super) const SIZE: Size = Size { width: 70, height: 40 };
pub(super) const WHOLE: Rect = Rect { x: 0, y: 0, width: 70, height: 40 };
pub(super) const CROP: Rect = Rect { x: 5, y: 3, width: 41, height: 29 };
/// Half a sample of chroma sticks out on two sides.
const ODD: Size = Size { width: 53, height: 35 };
const ODD_CROP: Rect = Rect { x: 31, y: 7, width: 21, height: 27 };
/// What Mesa's software renderer reads in all versions that import anything.
const KNOWN: [Format; 7] = [
    Format::XRGB8888,
    Format::ARGB8888,
    Format::XBGR8888,
    Format::ABGR8888,
    Format::RGB565,
    Format::NV12,
    Format::YUYV,
];
/// What is in a target before anything is drawn.
pub(super) const BEFORE: u8 = 0x40;

/// A guest's picture of noise in a udmabuf.
pub(super) struct Guest {
    pub(super) storage: Rc<Storage>,
    pub(super) view: View,
}

impl Guest {
    pub(super) fn new(format: Format, visible: Rect, transform: Transform) -> Result<Self> {
        Self::sized(format, SIZE, visible, transform)
    }

    fn sized(format: Format, size: Size, visible: Rect, transform: Transform) -> Result<Self> {
        let mut planes = [Plane::default(); PLANES_MAX];
        let mut end = 4096;
        for (plane, samples) in planes.iter_mut().zip(format.samples()) {
            let stride = (samples.row(size.width) as u32).next_multiple_of(256);
            *plane = Plane { offset: end, stride };
            end += stride * samples.rows(size.height);
        }
        let bytes = sys::page_align(end.into());
        let memory = sys::own_memfd("guest", bytes).map_err(say)?;
        let mut seed = 0x2545_f491_u32;
        for byte in OwnMapping::new(&memory, bytes).map_err(say)?.bytes_mut() {
            seed = seed.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            *byte = (seed >> 24) as u8;
        }
        let dmabuf = sys::create_udmabuf(memory.as_fd(), 0, bytes).map_err(say)?;
        let storage = sys::storage(vec![dmabuf], sys::classify).map_err(say)?;
        let (modifier, plane_count) = (Modifier::LINEAR, format.samples().len() as u8);
        let layout = Layout { size, format, modifier, planes, plane_count };
        Ok(Self { storage: Rc::new(storage), view: View { layout, visible, transform } })
    }

    pub(super) fn buffer(&self) -> Buffer {
        let View { layout, visible, transform } = self.view;
        let storage = Rc::clone(&self.storage);
        Buffer { id: next_buffer_id(), storage, layout, visible, transform }
    }

    /// What the CPU copies of it, over what is there before.
    fn copied(&self, damage: &Damage) -> Result<Vec<u8>> {
        let Size { width, height } = self.view.size();
        let row = width as usize * OUT_PIXEL;
        let mut out = vec![BEFORE; row * height as usize];
        let reader = Reader::open(&self.storage).map_err(say)?;
        cpu::copy(&reader, &self.view, damage, &mut out, row).map_err(say)?;
        Ok(out)
    }

    /// Fails unless `drawn` has the colours that the CPU copies.
    pub(super) fn compare(&self, damage: &Damage, drawn: &[u8]) -> Result<()> {
        // Widening five bits rounds there and repeats bits here; what luma and chroma make is no
        // whole number, and rounded after other arithmetic. All else is exact.
        let format = self.view.layout.format;
        let most = u8::from(format == Format::RGB565 || format.is_yuv());
        let copied = self.copied(damage)?;
        let (copied, drawn) = (copied.as_chunks::<4>().0, drawn.as_chunks::<4>().0);
        let near = |a: &[u8; 4], b: &[u8; 4]| (0..3).all(|c| a[c].abs_diff(b[c]) <= most);
        if copied.len() != drawn.len() {
            return Err(Error::new(format!("{} pixels, not {}", drawn.len(), copied.len())));
        }
        match copied.iter().zip(drawn).position(|(a, b)| !near(a, b)) {
            None => Ok(()),
            Some(at) => Err(Error::new(format!(
                "pixel {at} is {:?}, not {:?}: {:?}, {damage:?}",
                drawn[at], copied[at], self.view
            ))),
        }
    }
}

pub(super) fn damages() -> [Damage; 2] {
    let mut rects = [Rect::default(); DAMAGE_MAX];
    rects[0] = Rect { x: 7, y: 4, width: 9, height: 5 };
    rects[1] = Rect { x: 30, y: 20, width: 500, height: 3 };
    [Damage::Whole, Damage::Rects { rects, count: 2 }]
}

/// Every format that the driver reads, in an even and an odd size, with every crop and flip; says which
/// formats it doesn't read.
pub(super) fn guests(
    mut import: impl FnMut(&Guest) -> std::result::Result<(), BlitError>,
) -> Result<Vec<Guest>> {
    let whole = Rect { width: ODD.width, height: ODD.height, ..WHOLE };
    let parts = [(SIZE, WHOLE), (SIZE, CROP), (ODD, whole), (ODD, ODD_CROP)];
    let mut guests = Vec::new();
    for format in FORMATS {
        match import(&Guest::new(format, WHOLE, Transform::Normal)?) {
            Ok(()) => {}
            Err(error) if KNOWN.contains(&format) => return Err(say(error)),
            Err(error) => {
                println!("SKIP {format}: {error}");
                continue;
            }
        }
        for (size, visible) in parts {
            for transform in [Transform::Normal, Transform::Flipped] {
                guests.push(Guest::sized(format, size, visible, transform)?);
            }
        }
    }
    Ok(guests)
}
