mod formats;

use super::*;
use crate::frame::{Plane, Storage};
use crate::sys::{OwnMapping, classify, own_memfd, storage};

const STRIDE: u32 = 64;

/// A memfd of 16 by 8 pixels whose every pixel of four bytes says where it is.
fn picture() -> (Storage, View) {
    let fd = own_memfd("test", 4096).unwrap();
    let mut map = OwnMapping::new(&fd, 4096).unwrap();
    for y in 0..8_u32 {
        for x in 0..16_u32 {
            let at = (y * STRIDE + x * 4) as usize;
            map.bytes_mut()[at..at + 4].copy_from_slice(&[x as u8, y as u8, 7, 9]);
        }
    }
    let storage = storage(vec![fd], classify).unwrap();
    let view = View {
        layout: Layout {
            size: Size { width: 16, height: 8 },
            format: Format::XRGB8888,
            modifier: Modifier::LINEAR,
            planes: [
                Plane { offset: 0, stride: STRIDE },
                Plane::default(),
                Plane::default(),
                Plane::default(),
            ],
            plane_count: 1,
        },
        visible: Rect { x: 0, y: 0, width: 16, height: 8 },
        transform: Transform::Normal,
    };
    (storage, view)
}

fn pixel(out: &[u8], width: u32, x: u32, y: u32) -> [u8; 4] {
    let at = ((y * width + x) * 4) as usize;
    out[at..at + 4].try_into().unwrap()
}

fn rects(list: &[Rect]) -> Damage {
    let mut rects = [Rect::default(); DAMAGE_MAX];
    rects[..list.len()].copy_from_slice(list);
    Damage::Rects { rects, count: list.len() as u8 }
}

#[test]
fn crop_is_cut_out() {
    let (storage, mut view) = picture();
    view.visible = Rect { x: 3, y: 2, width: 5, height: 4 };
    let mut out = vec![0; 5 * 4 * 4];
    let bytes =
        copy(&Reader::open(&storage).unwrap(), &view, &Damage::Whole, &mut out, 20).unwrap();
    assert_eq!(bytes, 80);
    assert_eq!(pixel(&out, 5, 0, 0), [3, 2, 7, 9]);
    assert_eq!(pixel(&out, 5, 4, 3), [7, 5, 7, 9]);
}

#[test]
fn flip_turns_rows_over_and_damage_with_them() {
    let (storage, mut view) = picture();
    view.transform = Transform::Flipped;
    let mut out = vec![0; 16 * 8 * 4];
    let top_in_memory = rects(&[Rect { x: 0, y: 0, width: 16, height: 1 }]);
    copy(&Reader::open(&storage).unwrap(), &view, &top_in_memory, &mut out, 64).unwrap();
    assert_eq!(pixel(&out, 16, 2, 7), [2, 0, 7, 9], "memory's first row is the picture's last");
    assert_eq!(pixel(&out, 16, 2, 0), [0; 4], "the rest stays as it was");
    copy(&Reader::open(&storage).unwrap(), &view, &Damage::Whole, &mut out, 64).unwrap();
    assert_eq!(pixel(&out, 16, 2, 0), [2, 7, 7, 9]);
}

#[test]
fn only_damage_is_copied_and_clipped_to_what_is_visible() {
    let (storage, mut view) = picture();
    view.visible = Rect { x: 4, y: 0, width: 4, height: 8 };
    let damage = rects(&[
        Rect { x: 0, y: 1, width: 6, height: 1 },
        Rect { x: 12, y: 0, width: 4, height: 8 },
        Rect { x: 7, y: 7, width: u32::MAX, height: u32::MAX },
    ]);
    let mut out = vec![0; 4 * 8 * 4];
    let bytes = copy(&Reader::open(&storage).unwrap(), &view, &damage, &mut out, 16).unwrap();
    assert_eq!(bytes, (2 + 1) * 4);
    assert_eq!(pixel(&out, 4, 0, 1), [4, 1, 7, 9]);
    assert_eq!(pixel(&out, 4, 3, 7), [7, 7, 7, 9]);
    assert_eq!(pixel(&out, 4, 2, 1), [0; 4]);
}

#[test]
fn formats_come_out_as_xrgb() {
    let (storage, mut view) = picture();
    view.layout.format = Format::ABGR8888;
    let mut out = vec![0; 16 * 8 * 4];
    copy(&Reader::open(&storage).unwrap(), &view, &Damage::Whole, &mut out, 64).unwrap();
    assert_eq!(pixel(&out, 16, 5, 3), [7, 3, 5, 9]);
}

#[test]
fn rgb565_widens_to_full_white() {
    let fd = own_memfd("test", 4096).unwrap();
    let mut map = OwnMapping::new(&fd, 4096).unwrap();
    map.bytes_mut()[..6].copy_from_slice(&[0xff, 0xff, 0x00, 0xf8, 0xe0, 0x07]);
    let storage = storage(vec![fd], classify).unwrap();
    let (_, mut view) = picture();
    view.layout.format = Format::RGB565;
    view.visible = Rect { x: 0, y: 0, width: 3, height: 1 };
    let mut out = vec![0; 12];
    copy(&Reader::open(&storage).unwrap(), &view, &Damage::Whole, &mut out, 12).unwrap();
    assert_eq!(out, [255, 255, 255, 255, 0, 0, 255, 255, 0, 255, 0, 255]);
}

#[test]
fn memory_that_shrank_is_an_error_not_a_fault() {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    let fd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 4096).unwrap();
    let storage = storage(vec![fd.try_clone().unwrap()], classify).unwrap();
    let reader = Reader::open(&storage).unwrap();
    let (_, view) = picture();
    let mut out = vec![0; 16 * 8 * 4];
    copy(&reader, &view, &Damage::Whole, &mut out, 64).unwrap();
    ftruncate(&fd, 100).unwrap();
    let error = copy(&reader, &view, &Damage::Whole, &mut out, 64).unwrap_err();
    assert!(matches!(error, CopyError::Short), "{error}");
}

#[test]
fn what_the_cpu_cannot_read_is_named() {
    let (storage, mut view) = picture();
    let reader = Reader::open(&storage).unwrap();
    let mut out = vec![0; 16 * 8 * 4];
    view.layout.modifier = Modifier(0x0100_0000_0000_0002);
    let error = copy(&reader, &view, &Damage::Whole, &mut out, 64).unwrap_err();
    assert!(error.to_string().contains("0x0100000000000002"), "{error}");
    view.layout.modifier = Modifier::LINEAR;
    view.layout.format = Format(u32::from_le_bytes(*b"YU12"));
    let error = copy(&reader, &view, &Damage::Whole, &mut out, 64).unwrap_err();
    assert_eq!(error.to_string(), "the CPU can't read pixels of format YU12");
    view.layout.format = Format::NV12;
    let error = copy(&reader, &view, &Damage::Whole, &mut out, 64).unwrap_err();
    assert_eq!(error.to_string(), "the CPU can't read pixels of format NV12 in 1 planes");
}
