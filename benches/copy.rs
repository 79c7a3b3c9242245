//! What a copy by the CPU costs beside memcpy of the same bytes: a picture of 1920x1080 out of a guest's
//! memory into ours.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::BytesCount;
use fanlight::convert::cpu::{Reader, View, copy};
use fanlight::frame::{
    Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Storage, Transform,
};
use fanlight::sys::{OwnMapping, classify, own_memfd, storage};

const SIZE: Size = Size { width: 1920, height: 1080 };
const STRIDE: u32 = SIZE.width * 4;
const BYTES: usize = (STRIDE * SIZE.height) as usize;

fn main() {
    divan::main();
}

/// Memory to memory, all of it in one go.
#[divan::bench(sample_count = 500)]
fn memcpy(bencher: Bencher<'_, '_>) {
    let (_, mut guest) = guest();
    let mut out = vec![0; BYTES];
    let guest = &guest.bytes_mut()[..BYTES];
    bencher
        .counter(BytesCount::new(BYTES))
        .bench_local(|| black_box(&mut out).copy_from_slice(black_box(guest)));
}

/// XRGB8888, as it lies.
#[divan::bench(sample_count = 500)]
fn straight(bencher: Bencher<'_, '_>) {
    run(bencher, Format::XRGB8888, Transform::Normal);
}

/// Its lowest row first.
#[divan::bench(sample_count = 500)]
fn flipped(bencher: Bencher<'_, '_>) {
    run(bencher, Format::XRGB8888, Transform::Flipped);
}

/// Red and blue change places.
#[divan::bench(sample_count = 500)]
fn swapped(bencher: Bencher<'_, '_>) {
    run(bencher, Format::XBGR8888, Transform::Normal);
}

/// Ten bits become eight.
#[divan::bench(sample_count = 100)]
fn narrowed(bencher: Bencher<'_, '_>) {
    run(bencher, Format::XRGB2101010, Transform::Normal);
}

/// Luma and chroma become colours.
#[divan::bench(sample_count = 100)]
fn coloured(bencher: Bencher<'_, '_>) {
    run(bencher, Format::NV12, Transform::Normal);
}

fn guest() -> (Storage, OwnMapping) {
    let length = fanlight::sys::page_align(BYTES as u64);
    let fd = own_memfd("guest", length).unwrap();
    let mut mapping = OwnMapping::new(&fd, length).unwrap();
    mapping.bytes_mut().fill(7);
    (storage(vec![fd], classify).unwrap(), mapping)
}

fn run(bencher: Bencher<'_, '_>, format: Format, transform: Transform) {
    let (storage, _mapping) = guest();
    let reader = Reader::open(&storage).unwrap();
    let mut planes = [Plane::default(); PLANES_MAX];
    let mut end = 0;
    for (plane, samples) in planes.iter_mut().zip(format.samples()) {
        *plane = Plane { offset: end, stride: samples.row(SIZE.width) as u32 };
        end += plane.stride * samples.rows(SIZE.height);
    }
    let plane_count = format.samples().len() as u8;
    let layout = Layout { size: SIZE, format, modifier: Modifier::LINEAR, planes, plane_count };
    let visible = Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height };
    let view = View { layout, visible, transform };
    let mut out = vec![0; BYTES];
    bencher.counter(BytesCount::new(BYTES)).bench_local(|| {
        copy(&reader, &view, &Damage::Whole, black_box(&mut out), STRIDE as usize).unwrap()
    });
}
