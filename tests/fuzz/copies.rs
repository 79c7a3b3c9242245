//! Copies by the CPU of what passed the check: pixel for pixel what a slow and plain copy gives.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use fanlight::convert::cpu::{CopyError, Reader, View, copy};
use fanlight::frame::{
    DAMAGE_MAX, Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform,
};
use fanlight::source::check::{bytes_per_pixel, check};
use fanlight::sys::{classify, own_memfd, storage};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::geometry::{format, rect};
use crate::tape::Tape;

/// Bytes of a guest's memory here.
const MEMORY: u64 = 1 << 16;
/// What is in our picture before the copy.
const BEFORE: u8 = 0xa5;
/// Bytes past each row of our picture.
const GAP: usize = 8;

#[test]
fn copies() {
    crate::fuzz::run("copies", compare);
}

/// Memory in which no two neighbours are alike, so that a byte from elsewhere shows.
fn memory(sealed: bool) -> (OwnedFd, Vec<u8>) {
    let fd = if sealed {
        own_memfd("guest", MEMORY).unwrap()
    } else {
        let fd = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, MEMORY).unwrap();
        fd
    };
    let bytes: Vec<u8> =
        (0..MEMORY as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = std::fs::File::from(fd);
    file.write_all_at(&bytes, 0).unwrap();
    (file.into(), bytes)
}

/// A picture of which most pass the check; every other ends where its memory does.
fn picture(tape: &mut Tape<'_>) -> (Layout, Rect) {
    let size = Size { width: 1 + tape.number() % 200, height: 1 + tape.number() % 100 };
    let format = format(tape);
    let bytes = bytes_per_pixel(format).unwrap_or(4);
    let stride = bytes * size.width + tape.number() % 300;
    let end = stride * (size.height - 1) + bytes * size.width;
    let room = (MEMORY as u32).saturating_sub(end);
    let offset = if tape.choose(2) == 0 { room } else { tape.number() % (room + 1) };
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0] = Plane { offset, stride };
    let modifiers = [Modifier::LINEAR; 8];
    let modifier = modifiers.get(tape.choose(9)).copied().unwrap_or(Modifier::INVALID);
    let plane_count = if tape.choose(16) == 15 { 2 } else { 1 };
    let (x, y) = (tape.number() % size.width, tape.number() % size.height);
    let width = size.width - x - tape.number() % (size.width - x);
    let height = size.height - y - tape.number() % (size.height - y);
    (Layout { size, format, modifier, planes, plane_count }, Rect { x, y, width, height })
}

fn damage(tape: &mut Tape<'_>) -> Damage {
    let count = tape.choose(DAMAGE_MAX + 2);
    if count > DAMAGE_MAX {
        return Damage::Whole;
    }
    let mut rects = [Rect::default(); DAMAGE_MAX];
    rects[..count].fill_with(|| rect(tape));
    Damage::Rects { rects, count: count as u8 }
}

pub(crate) fn compare(input: &[u8]) {
    static MEMORIES: LazyLock<[(OwnedFd, Vec<u8>); 2]> =
        LazyLock::new(|| [memory(true), memory(false)]);
    let mut tape = Tape::new(input);
    let (fd, bytes) = &MEMORIES[tape.choose(2)];
    let transform = [Transform::Normal, Transform::Flipped][tape.choose(2)];
    let (layout, visible) = picture(&mut tape);
    let damage = damage(&mut tape);
    if check(&layout, visible, &[MEMORY]).is_err() {
        return;
    }
    let storage = storage(vec![fd.try_clone().unwrap()], classify).unwrap();
    let reader = Reader::open(&storage).unwrap();
    let view = View { layout, visible, transform };
    let stride = visible.width as usize * 4 + GAP;
    let mut out = vec![BEFORE; stride * visible.height as usize];
    match copy(&reader, &view, &damage, &mut out, stride) {
        Ok(_) => assert_eq!(out, plain(&view, &damage, bytes, stride), "{view:?} {damage:?}"),
        Err(CopyError::Modifier(_)) => assert_ne!(layout.modifier, Modifier::LINEAR),
        Err(CopyError::Planes(count)) => assert_ne!(count, 1),
        Err(CopyError::Format(format)) => assert!(pixel(format, &[0; 4]).is_none()),
        Err(error) => panic!("{error} of {view:?}"),
    }
}

/// A pixel as it should come out, and how many bytes it takes.
fn pixel(format: Format, bytes: &[u8]) -> Option<([u8; 4], usize)> {
    Some(match format {
        Format::XRGB8888 | Format::ARGB8888 => ([bytes[0], bytes[1], bytes[2], bytes[3]], 4),
        Format::XBGR8888 | Format::ABGR8888 => ([bytes[2], bytes[1], bytes[0], bytes[3]], 4),
        Format::RGB565 => {
            let value = u32::from(bytes[0]) | u32::from(bytes[1]) << 8;
            // The top bits once more below, so that all of them is all of eight.
            let five = |v: u32| (v & 31) << 3 | (v & 31) >> 2;
            let six = |v: u32| (v & 63) << 2 | (v & 63) >> 4;
            ([five(value) as u8, six(value >> 5) as u8, five(value >> 11) as u8, 0xff], 2)
        }
        _ => return None,
    })
}

/// One pixel after the other.
fn plain(view: &View, damage: &Damage, bytes: &[u8], stride: usize) -> Vec<u8> {
    let View { layout, visible, transform } = view;
    let mut out = vec![BEFORE; stride * visible.height as usize];
    let damaged = |x: u32, y: u32| match damage {
        Damage::Whole => true,
        Damage::Rects { rects, count } => rects[..usize::from(*count)].iter().any(|r| {
            let inside = |at: u32, start: u32, length: u32| {
                at >= start && u64::from(at) < u64::from(start) + u64::from(length)
            };
            inside(x, r.x, r.width) && inside(y, r.y, r.height)
        }),
    };
    let size = pixel(layout.format, &[0; 4]).unwrap().1;
    for y in visible.y..visible.y + visible.height {
        for x in visible.x..visible.x + visible.width {
            if !damaged(x, y) {
                continue;
            }
            let plane = layout.planes[0];
            let from =
                plane.offset as usize + plane.stride as usize * y as usize + size * x as usize;
            let row = match transform {
                Transform::Normal => y - visible.y,
                Transform::Flipped => visible.height - 1 - (y - visible.y),
            };
            let to = row as usize * stride + (x - visible.x) as usize * 4;
            let (value, _) = pixel(layout.format, &bytes[from..from + size]).unwrap();
            out[to..to + 4].copy_from_slice(&value);
        }
    }
    out
}
