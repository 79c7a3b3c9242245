//! Pictures without dma-bufs: mapped memory, and bytes in messages.

use std::fs::File;

use fanlight::frame::{Format, Memory, Size, Storage};
use fanlight::port::Announcement;
use fanlight::sys::{Mapping, OwnMapping};
use zbus::Fd;

use super::*;
use crate::fake_qemu::MAP;

const X8R8G8B8: u32 = 0x2002_0888;

/// The pixels of a 32 bit picture, row after row.
fn read(shown: &Announcement) -> Vec<u32> {
    let Storage { fds, size, .. } = &shown.storage;
    let mapping = Mapping::new(&fds[0], *size).unwrap();
    let (Size { width, height }, plane) = (shown.layout.size, shown.layout.planes[0]);
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let mut pixel = [0; 4];
            let at = plane.offset + y * plane.stride + x * 4;
            assert!(mapping.read(at as usize, &mut pixel));
            pixels.push(u32::from_le_bytes(pixel));
        }
    }
    pixels
}

/// Bytes of a picture whose pixels count from `first`, with `padding` bytes after each row.
fn counting(width: u32, height: u32, first: u32, padding: usize) -> Vec<u8> {
    let row = |y: u32| {
        let pixels = (0..width).flat_map(move |x| (first + y * width + x).to_le_bytes());
        pixels.chain(std::iter::repeat_n(0xee, padding)).collect::<Vec<_>>()
    };
    (0..height).flat_map(row).collect()
}

#[test]
fn a_picture_in_messages_is_painted() {
    let (mut source, mut qemu) = new();
    let bytes = counting(5, 3, 100, 4);
    qemu.call(LISTENER, "Scanout", &(5_u32, 3_u32, 24_u32, X8R8G8B8, &bytes[..])).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.layout.format, Format::XRGB8888);
    assert_eq!(shown.storage.memory, Memory::Memfd { shrink_sealed: true });
    assert_eq!(read(&shown), (100..115).collect::<Vec<_>>());
    let patch = counting(2, 2, 900, 0);
    qemu.call(LISTENER, "Update", &(3_i32, 1_i32, 2_i32, 2_i32, 8_u32, X8R8G8B8, &patch[..]))
        .unwrap();
    // Not before the session asks: nobody sees half of it.
    assert_eq!(read(&shown)[8], 108);
    let (buffer, damage, ack) = update(&mut source);
    assert_eq!(buffer, shown.buffer);
    assert!(!ack.is_owed());
    assert_eq!(only(&damage), Rect { x: 3, y: 1, width: 2, height: 2 });
    let pixels = read(&shown);
    assert_eq!([pixels[8], pixels[9], pixels[13], pixels[14]], [900, 901, 902, 903]);
    assert_eq!(pixels[7], 107);
}

#[test]
fn what_hangs_over_the_edge_is_cut_off() {
    let (mut source, mut qemu) = new();
    let bytes = counting(4, 4, 0, 0);
    qemu.call(LISTENER, "Scanout", &(4_u32, 4_u32, 16_u32, X8R8G8B8, &bytes[..])).unwrap();
    let shown = scanout(&mut source);
    let patch = counting(3, 3, 500, 0);
    qemu.call(LISTENER, "Update", &(-1_i32, -2_i32, 3_i32, 3_i32, 12_u32, X8R8G8B8, &patch[..]))
        .unwrap();
    let (_, damage, _) = update(&mut source);
    assert_eq!(only(&damage), Rect { x: 0, y: 0, width: 2, height: 1 });
    assert_eq!(read(&shown)[..4], [507, 508, 2, 3]);
    // Wholly outside: nothing to do, and no error.
    qemu.call(LISTENER, "Update", &(9_i32, 9_i32, 3_i32, 3_i32, 12_u32, X8R8G8B8, &patch[..]))
        .unwrap();
    assert!(source.poll().is_none());
}

#[test]
fn the_canvas_is_kept_for_the_same_size_and_new_for_another() {
    let (mut source, mut qemu) = new();
    let mut show = |width: u32, first| {
        let bytes = counting(width, 2, first, 0);
        qemu.call(LISTENER, "Scanout", &(width, 2_u32, width * 4, X8R8G8B8, &bytes[..])).unwrap();
        scanout(&mut source)
    };
    let (first, second, third) = (show(4, 0), show(4, 50), show(8, 90));
    assert_eq!(first.storage.id, second.storage.id);
    assert!(first.buffer < second.buffer && second.buffer < third.buffer);
    assert_ne!(second.storage.id, third.storage.id);
    assert_eq!(read(&second), (50..58).collect::<Vec<_>>());
    assert_eq!(read(&third), (90..106).collect::<Vec<_>>());
}

#[test]
fn a_slow_session_finds_one_update_with_all_the_damage() {
    let (mut source, mut qemu) = new();
    let bytes = counting(64, 64, 0, 0);
    qemu.call(LISTENER, "Scanout", &(64_u32, 64_u32, 256_u32, X8R8G8B8, &bytes[..])).unwrap();
    for i in 0..1000_i32 {
        let patch = counting(1, 1, i.unsigned_abs() + 7000, 0);
        qemu.send(LISTENER, "Update", &(i % 64, i / 64, 1_i32, 1_i32, 4_u32, X8R8G8B8, &patch[..]));
    }
    qemu.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(update(&mut source).0, shown.buffer);
    assert!(source.poll().is_none());
    assert_eq!(read(&shown)[..1000], (7000..8000).collect::<Vec<_>>());
}

#[test]
fn unknown_formats_are_named() {
    let (mut source, mut qemu) = new();
    for (code, name) in [(0x2003_0888_u32, "0x20030888 (x8b8g8r8)"), (0x0801_8000, "(a8)")] {
        let body = (1_u32, 1_u32, 4_u32, code, &[0_u8; 4][..]);
        let (_, text) = qemu.call(LISTENER, "Scanout", &body).unwrap_err();
        assert!(text.contains(name), "{text}");
    }
    assert!(source.poll().is_none());
}

#[test]
fn sixteen_bit_pictures_work_and_short_ones_are_refused() {
    let (mut source, mut qemu) = new();
    let r5g6b5 = 0x1002_0565_u32;
    qemu.call(LISTENER, "Scanout", &(3_u32, 2_u32, 8_u32, r5g6b5, &[1_u8; 16][..])).unwrap();
    assert_eq!(scanout(&mut source).layout.format, Format::RGB565);
    for body in [
        (3_u32, 2_u32, 8_u32, r5g6b5, &[1_u8; 13][..]),
        (3, 2, 5, r5g6b5, &[1; 16]),
        (0, 2, 8, r5g6b5, &[1; 16]),
        (3, 20_000, 8, r5g6b5, &[1; 16]),
        (u32::MAX, u32::MAX, u32::MAX, r5g6b5, &[1; 16]),
    ] {
        qemu.call(LISTENER, "Scanout", &body).unwrap_err();
    }
    let body = (0_i32, 0_i32, -1_i32, 1_i32, 4_u32, X8R8G8B8, &[0_u8; 4][..]);
    qemu.call(LISTENER, "Update", &body).unwrap_err();
    assert!(source.poll().is_none());
}

#[test]
fn a_map_that_is_no_memory_falls_back_to_copies() {
    let (mut source, mut qemu) = connect(VM, &Options::default());
    let null = File::open("/dev/null").unwrap();
    let body = (Fd::from(null.as_fd()), 0_u32, 4_u32, 2_u32, 16_u32, X8R8G8B8);
    qemu.call(MAP, "ScanoutMap", &body).unwrap_err();
    // What QEMU does then.
    let bytes = counting(4, 2, 10, 0);
    qemu.call(LISTENER, "Scanout", &(4_u32, 2_u32, 16_u32, X8R8G8B8, &bytes[..])).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(read(&shown), (10..18).collect::<Vec<_>>());
    let patch = counting(4, 2, 20, 0);
    qemu.call(LISTENER, "Update", &(0_i32, 0_i32, 4_i32, 2_i32, 16_u32, X8R8G8B8, &patch[..]))
        .unwrap();
    update(&mut source);
    assert_eq!(read(&shown), (20..28).collect::<Vec<_>>());
}

#[test]
fn a_map_is_announced_as_the_memory_it_is() {
    let (mut source, mut qemu) = connect(VM, &Options::default());
    let fd = memory(8192);
    OwnMapping::new(&fd, 8192).unwrap().bytes_mut()[256..288]
        .copy_from_slice(&counting(4, 2, 10, 0));
    let body = (Fd::from(fd.as_fd()), 256_u32, 4_u32, 2_u32, 16_u32, X8R8G8B8);
    qemu.call(MAP, "ScanoutMap", &body).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.layout.planes[0].offset, 256);
    assert_eq!(shown.storage.memory, Memory::Memfd { shrink_sealed: true });
    assert_eq!(read(&shown), (10..18).collect::<Vec<_>>());
    qemu.call(MAP, "UpdateMap", &(1_i32, 0_i32, 2_i32, 1_i32)).unwrap();
    let (buffer, damage, ack) = update(&mut source);
    assert_eq!(buffer, shown.buffer);
    assert!(!ack.is_owed());
    assert_eq!(only(&damage), Rect { x: 1, y: 0, width: 2, height: 1 });
}
