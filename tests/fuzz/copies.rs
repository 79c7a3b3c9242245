//! Copies by the CPU of what passed the check: pixel for pixel what a slow and plain copy gives.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use fanlight::convert::cpu::{CopyError, Reader, View, copy};
use fanlight::frame::{
    DAMAGE_MAX, Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Samples, Size, Transform,
};
use fanlight::source::check::check;
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
    let known = match format.samples() {
        [] => &[Samples { bytes: 4, across: 1, down: 1 }],
        known => known,
    };
    let gap = tape.number() % 300;
    let mut planes = [Plane::default(); PLANES_MAX];
    let mut end = 0;
    for (plane, samples) in planes.iter_mut().zip(known) {
        let row = samples.row(size.width) as u32;
        *plane = Plane { offset: end, stride: row + gap };
        end += plane.stride * (samples.rows(size.height) - 1) + row;
    }
    let room = (MEMORY as u32).saturating_sub(end);
    let offset = if tape.choose(2) == 0 { room } else { tape.number() % (room + 1) };
    for plane in &mut planes[..known.len()] {
        plane.offset += offset;
    }
    let modifiers = [Modifier::LINEAR; 8];
    let modifier = modifiers.get(tape.choose(9)).copied().unwrap_or(Modifier::INVALID);
    let plane_count = known.len() as u8 + u8::from(tape.choose(16) == 15);
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
        Ok(_) => {
            // What isn't a whole number is rounded in one way here and in another there.
            let most =
                u8::from(matches!(&layout.format.0.to_le_bytes(), b"NV12" | b"P010" | b"YUYV"));
            let plain = plain(&view, &damage, bytes, stride);
            let alike = out.iter().zip(&plain).all(|(have, want)| have.abs_diff(*want) <= most);
            assert!(alike, "{out:?}, not {plain:?}: {view:?} {damage:?}");
        }
        Err(CopyError::Modifier(_)) => assert_ne!(layout.modifier, Modifier::LINEAR),
        Err(CopyError::Planes { count, .. }) => {
            assert_ne!(usize::from(count), layout.format.samples().len());
        }
        Err(CopyError::Format(format)) => assert!(pixel(format, &planes_of(&[0; 8]), 0).is_none()),
        Err(error) => panic!("{error} of {view:?}"),
    }
}

/// Where each plane's sample begins.
type Planes<'a> = [&'a [u8]; PLANES_MAX];

fn planes_of(bytes: &[u8]) -> Planes<'_> {
    [bytes; PLANES_MAX]
}

/// A pixel as it should come out; `x` says which of those that share a sample.
fn pixel(format: Format, planes: &Planes<'_>, x: u32) -> Option<[u8; 4]> {
    let [bytes, chroma, ..] = *planes;
    let word = |at: usize| u32::from(bytes[at]) | u32::from(bytes[at + 1]) << 8;
    // The top bits once more below, so that all of them is all of eight.
    let widen = |v: u32, count: u32| {
        let v = v & ((1 << count) - 1);
        (v << (8 - count) | v >> (2 * count - 8)) as u8
    };
    // The nearest of 256 levels.
    let narrow = |v: u32, most: u32| ((2 * 255 * (v & most) + most) / (2 * most)) as u8;
    let sixteen = |at: usize| narrow(word(at), 65_535);
    let ten = |shift: u32| narrow((word(0) | word(2) << 16) >> shift, 1023);
    let wide = |bytes: &[u8], at: usize| i64::from(bytes[at]) | i64::from(bytes[at + 1]) << 8;
    let byte = |bytes: &[u8], at: usize| i64::from(bytes[at]) << 8;
    Some(match &format.0.to_le_bytes() {
        b"XR24" | b"AR24" => [bytes[0], bytes[1], bytes[2], bytes[3]],
        b"XB24" | b"AB24" => [bytes[2], bytes[1], bytes[0], bytes[3]],
        b"RX24" | b"RA24" => [bytes[1], bytes[2], bytes[3], bytes[0]],
        b"BX24" | b"BA24" => [bytes[3], bytes[2], bytes[1], bytes[0]],
        b"RG24" => [bytes[0], bytes[1], bytes[2], 0xff],
        b"BG24" => [bytes[2], bytes[1], bytes[0], 0xff],
        b"RG16" => {
            let value = word(0);
            [widen(value, 5), widen(value >> 5, 6), widen(value >> 11, 5), 0xff]
        }
        b"XR30" | b"AR30" => [ten(0), ten(10), ten(20), 0xff],
        b"XB30" | b"AB30" => [ten(20), ten(10), ten(0), 0xff],
        b"XR48" | b"AR48" => [sixteen(0), sixteen(2), sixteen(4), 0xff],
        b"XB48" | b"AB48" => [sixteen(4), sixteen(2), sixteen(0), 0xff],
        b"NV12" => bt601(byte(bytes, 0), byte(chroma, 0), byte(chroma, 1)),
        b"P010" => bt601(wide(bytes, 0), wide(chroma, 0), wide(chroma, 2)),
        b"YUYV" => bt601(byte(bytes, x as usize % 2 * 2), byte(bytes, 1), byte(bytes, 3)),
        _ => return None,
    })
}

/// Of samples of sixteen bits, in millionths.
fn bt601(luma: i64, blue: i64, red: i64) -> [u8; 4] {
    let (luma, blue, red) = (luma - (16 << 8), blue - (128 << 8), red - (128 << 8));
    let level = |blue_share: i64, red_share: i64| {
        let millionths = luma * 1_164_384 + blue * blue_share + red * red_share;
        ((millionths + 128_000_000).div_euclid(256_000_000)).clamp(0, 255) as u8
    };
    [level(2_017_232, 0), level(-391_762, -812_968), level(0, 1_596_027), 0xff]
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
    for y in visible.y..visible.y + visible.height {
        for x in visible.x..visible.x + visible.width {
            if !damaged(x, y) {
                continue;
            }
            let mut planes = planes_of(bytes);
            let places = layout.planes.iter().zip(layout.format.samples());
            for (from, (plane, samples)) in planes.iter_mut().zip(places) {
                let [across, down] = [samples.across, samples.down];
                let at = plane.offset + plane.stride * (y / down) + samples.bytes * (x / across);
                *from = &bytes[at as usize..];
            }
            let row = match transform {
                Transform::Normal => y - visible.y,
                Transform::Flipped => visible.height - 1 - (y - visible.y),
            };
            let to = row as usize * stride + (x - visible.x) as usize * 4;
            let value = pixel(layout.format, &planes, x).expect("it was copied");
            out[to..to + 4].copy_from_slice(&value);
        }
    }
    out
}
