//! Buffers that are announced, and updates of them.

use fanlight::frame::{Memory, Modifier, Plane, Size, Transform};
use zbus::Fd;

use super::*;
use crate::fake_qemu::MAP;

#[test]
fn a_buffer_is_announced_and_updated() {
    let (mut source, mut qemu) = new();
    assert_eq!(qemu.optional, [MAP, DMABUF2]);
    let fd = memory(64 * 32 * 4);
    announce(&mut qemu, &fd, 64, 32).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.layout.size, Size { width: 64, height: 32 });
    assert_eq!(shown.layout.planes[0], Plane { offset: 0, stride: 256 });
    assert_eq!(shown.visible, Rect { x: 0, y: 0, width: 64, height: 32 });
    assert_eq!(shown.transform, Transform::Normal);
    send_update(&qemu, (8, 4, 9, 16));
    let (buffer, damage, ack) = update(&mut source);
    assert_eq!(buffer, shown.buffer);
    assert_eq!(only(&damage), Rect { x: 8, y: 4, width: 9, height: 16 });
    assert!(ack.is_owed());
}

#[test]
fn disable_right_after_a_valid_scanout_keeps_its_place() {
    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    announce(&mut qemu, &fd, 32, 32).unwrap();
    qemu.send(LISTENER, "Disable", &());
    send_update(&qemu, (0, 0, 32, 32));
    let shown = scanout(&mut source);
    assert!(matches!(next(&mut source), SourceEvent::Disabled));
    assert_eq!(update(&mut source).0, shown.buffer);
}

#[test]
fn one_memory_under_many_fds_is_one_memory() {
    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    announce(&mut qemu, &fd, 32, 32).unwrap();
    announce(&mut qemu, &fd.try_clone().unwrap(), 32, 32).unwrap();
    let (first, second) = (scanout(&mut source), scanout(&mut source));
    assert_eq!(first.storage.id, second.storage.id);
    assert!(first.buffer < second.buffer);
}

#[test]
fn memory_that_comes_back_is_a_new_buffer_in_the_same_memory() {
    let (mut source, mut qemu) = new();
    let (console, game) = (memory(4096), memory(4096));
    for fd in [&console, &game, &console] {
        announce(&mut qemu, fd, 32, 32).unwrap();
        send_update(&qemu, (0, 0, 32, 32));
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let shown = scanout(&mut source);
        assert_eq!(update(&mut source).0, shown.buffer);
        seen.push(shown);
    }
    assert_eq!(seen[0].storage.id, seen[2].storage.id);
    assert_ne!(seen[0].storage.id, seen[1].storage.id);
    assert!(seen[0].buffer < seen[1].buffer && seen[1].buffer < seen[2].buffer);
}

#[test]
fn damage_outside_the_surface_is_cut_off_or_means_everything() {
    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    announce(&mut qemu, &fd, 32, 32).unwrap();
    scanout(&mut source);
    send_update(&qemu, (-5, 30, 10, i32::MAX));
    let (_, damage, _) = update(&mut source);
    assert_eq!(only(&damage), Rect { x: 0, y: 30, width: 5, height: 2 });
    for rect in [(32, 0, 1, 1), (0, 0, 0, 0), (0, 0, -1, 5), (i32::MAX, 0, i32::MAX, 1)] {
        send_update(&qemu, rect);
        assert_eq!(update(&mut source).1, Damage::Whole, "{rect:?}");
    }
}

/// A source that takes memfds for dma-bufs of a GPU.
fn new_with_gpu() -> (Box<dyn Source>, FakeQemu) {
    connect(VM, &Options { classify: fake_qemu::classify_as_gpu, ..Options::default() })
}

#[test]
fn planes_crop_and_backing_are_kept() {
    let (mut source, mut qemu) = new_with_gpu();
    let (one, two) = (memory(1 << 16), memory(1 << 14));
    let modifier = 0x0100_0000_0000_0004_u64;
    let fds = vec![Fd::from(one.as_fd()), Fd::from(two.as_fd())];
    let (offsets, strides) = (vec![0, 512], vec![512, 128]);
    let body: V2<'_> = (fds, 16, 8, 64, 48, offsets, strides, 2, XR24, 128, 100, modifier, true);
    qemu.call(DMABUF2, "ScanoutDMABUF2", &body).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.layout.size, Size { width: 128, height: 100 });
    assert_eq!(shown.layout.plane_count, 2);
    assert_eq!(shown.layout.planes[1], Plane { offset: 512, stride: 128 });
    assert_eq!(shown.layout.modifier, Modifier(modifier));
    assert_eq!(shown.visible, Rect { x: 16, y: 8, width: 64, height: 48 });
    assert_eq!(shown.transform, Transform::Flipped);
    assert_eq!(shown.storage.fds.len(), 2);
    assert_ne!(shown.storage.id.others, 0);
    // What QEMU means by a rectangle of a cropped buffer can't be known.
    send_update(&qemu, (0, 0, 1, 1));
    assert_eq!(update(&mut source).1, Damage::Whole);
}

#[test]
fn planes_without_an_fd_lie_in_the_first() {
    let (mut source, mut qemu) = new_with_gpu();
    let fd = memory(1 << 16);
    let fds = vec![Fd::from(fd.as_fd())];
    let (offsets, strides) = (vec![0, 32768], vec![256, 64]);
    let body: V2<'_> = (fds, 0, 0, 64, 64, offsets, strides, 2, XR24, 64, 64, 4, false);
    qemu.call(DMABUF2, "ScanoutDMABUF2", &body).unwrap();
    let shown = scanout(&mut source);
    assert_eq!((shown.storage.fds.len(), shown.storage.id.others), (1, 0));
}

#[test]
fn an_implicit_modifier_is_linear_where_the_exporter_is_known() {
    let (mut source, mut qemu) = new();
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.layout.modifier, Modifier::LINEAR);
    assert_eq!(shown.storage.memory, Memory::DmaBuf { exporter: "udmabuf".to_owned() });

    let (mut source, mut qemu) = new_with_gpu();
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    assert_eq!(scanout(&mut source).layout.modifier, Modifier::INVALID);
}

#[test]
fn a_qemu_from_before_version_2_works() {
    let (mut source, mut qemu) = connect(FakeVm { knows: &[], ..VM }, &options());
    assert!(qemu.optional.is_empty());
    let fd = memory(4096);
    let body = (Fd::from(fd.as_fd()), 32_u32, 32_u32, 128_u32, XR24, INVALID, true);
    qemu.call(LISTENER, "ScanoutDMABUF", &body).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.layout.size, Size { width: 32, height: 32 });
    assert_eq!(shown.transform, Transform::Flipped);
    let serial = send_update(&qemu, (0, 0, 32, 32));
    let (buffer, _, ack) = update(&mut source);
    assert_eq!(buffer, shown.buffer);
    drop(ack);
    qemu.reply(serial).unwrap();
}

/// Calls of three interfaces, faster than they are taken. The user never sees an update for another
/// buffer than it was for; the guest gets its replies in order, and waits when nobody keeps up.
#[test]
fn f05_31_a_burst_across_all_interfaces_keeps_its_order() {
    let (mut source, mut qemu) = new();
    // On a thread of its own: QEMU is stopped when the session doesn't keep up.
    let burst = std::thread::spawn(move || {
        let fd = memory(4096);
        let map = memory(4096);
        for _ in 0..250 {
            qemu.send(DMABUF2, "ScanoutDMABUF2", &v2(&fd, 32, 32));
            send_update(&qemu, (0, 0, 32, 32));
            let body = (Fd::from(map.as_fd()), 0_u32, 32_u32, 32_u32, 128_u32, 0x2002_0888_u32);
            qemu.send(MAP, "ScanoutMap", &body);
            qemu.send(LISTENER, "Disable", &());
        }
        // Answered last, when all else was.
        qemu.call(LISTENER, "Disable", &()).unwrap();
    });
    let mut last = None;
    for _ in 0..250 {
        let first = scanout(&mut source);
        let (buffer, _, _ack) = update(&mut source);
        assert_eq!(buffer, first.buffer);
        let second = scanout(&mut source);
        assert!(last < Some(first.buffer) && first.buffer < second.buffer);
        assert_ne!(first.storage.id, second.storage.id);
        last = Some(second.buffer);
        assert!(matches!(next(&mut source), SourceEvent::Disabled));
    }
    assert!(matches!(next(&mut source), SourceEvent::Disabled));
    burst.join().unwrap();
}

#[test]
fn the_cursor_comes_through() {
    let (mut source, mut qemu) = new();
    let pixels: Vec<u8> = (0..64).collect();
    qemu.call(LISTENER, "CursorDefine", &(4_i32, 4_i32, 1_i32, 2_i32, &pixels[..])).unwrap();
    let SourceEvent::Cursor(cursor) = next(&mut source) else { panic!() };
    assert_eq!((cursor.size, cursor.hotspot), (Size { width: 4, height: 4 }, (1, 2)));
    assert_eq!(cursor.pixels, pixels);
    qemu.call(LISTENER, "MouseSet", &(-3_i32, 7_i32, 1_i32)).unwrap();
    let event = next(&mut source);
    assert!(matches!(event, SourceEvent::CursorAt { x: -3, y: 7, visible: true }), "{event:?}");
    for (width, height, bytes) in [(4, 4, 63), (0, 4, 64), (513, 1, 4096), (-4, 4, 64)] {
        let body = (width, height, 0_i32, 0_i32, &vec![0_u8; bytes][..]);
        qemu.call(LISTENER, "CursorDefine", &body).unwrap_err();
    }
    assert!(source.poll().is_none());
}
