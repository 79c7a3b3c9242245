//! Pictures that reach the compositor as copies.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use fanlight::session::{Mode, Why};
use fanlight::sys;
use rustix::fs::{MemfdFlags, memfd_create};
use zbus::Fd;

use crate::fake_qemu::{LISTENER, MAP};
use crate::spies::Seen;
use crate::stage::{AT_ONCE, Memory, Setup, Stage, colours};

const SIZE: (u32, u32) = (70, 40);
const X8R8G8B8: u32 = 0x2002_0888;

/// As a QEMU whose memory is really just memfds.
fn memfds() -> Stage {
    Stage::open(Setup { classify: sys::classify, config: AT_ONCE, ..Setup::default() })
}

/// Without it a guest that draws in place could scribble into its picture while it is read, or lose
/// what it drew between two copies into the same memory.
#[test]
fn a_guest_that_draws_in_place_is_copied_and_goes_on_after_that() {
    let mut stage = Stage::open(Setup { config: AT_ONCE, ..Setup::default() });
    let memory = Memory::new(SIZE);
    stage.announce(&memory.file, SIZE).unwrap();
    // The picture that is there already.
    let mut before = stage.frame(1);
    assert_eq!(stage.pixels(before), colours(&memory.rows()));
    for i in 1..=12_u32 {
        let rect = (i, 2 * i, 3 + i, 4);
        memory.paint_part(i as u8, rect);
        let (x, y, width, height) = (rect.0 as i32, rect.1 as i32, rect.2 as i32, rect.3 as i32);
        let update = stage.update((x, y, width, height));
        stage.acked(update);
        let commit = stage.commit(i as usize + 1);
        // The first update of a buffer means all of it.
        let damage = if i == 1 { (0, 0, 70, 40) } else { (x, y, width, height) };
        assert_eq!(commit.damage, [damage]);
        let shown = stage.frame(i as usize + 1);
        assert_eq!(stage.dmabuf(shown), None);
        assert_eq!(stage.pixels(shown), colours(&memory.rows()), "update {i}");
        stage.release(before);
        before = shown;
    }
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::InPlace)));
    let log = stage.log.all();
    let copies = (0..log.len()).filter(|&i| matches!(log[i], Seen::Copied(_)));
    // The first was for the scanout.
    for (update, copy) in (1..=12).zip(copies.skip(1)) {
        assert!(copy < stage.log.place(Seen::Ack(update)), "update {update}: {log:?}");
    }
    let Some(Seen::Copied(bytes)) = log.iter().rfind(|seen| matches!(seen, Seen::Copied(_))) else {
        panic!("{log:?}")
    };
    assert!(*bytes < 4 * 70 * 40, "only what changed is copied, not {bytes} bytes");
    assert_eq!(stage.log.count(|seen| *seen == Seen::Import), 0);
}

fn map(fd: &impl AsFd) -> (Fd<'_>, u32, u32, u32, u32, u32) {
    (Fd::from(fd.as_fd()), 0, SIZE.0, SIZE.1, SIZE.0 * 4, X8R8G8B8)
}

/// Memory that may shrink at any time, as QEMU's own is.
fn unsealed() -> Memory {
    let file = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(u64::from(SIZE.0 * SIZE.1 * 4)).unwrap();
    let memory = Memory { file, size: SIZE };
    memory.paint(1);
    memory
}

/// Without it a plain `-vga std` guest with shared memory could show nothing or old pixels.
#[test]
fn mapped_memory_that_is_not_sealed_is_shown() {
    let mut stage = memfds();
    let memory = unsealed();
    stage.qemu().call(MAP, "ScanoutMap", &map(&memory.file)).unwrap();
    let first = stage.frame(1);
    assert_eq!(stage.pixels(first), colours(&memory.rows()));
    memory.paint_part(9, (10, 10, 20, 5));
    stage.qemu().call(MAP, "UpdateMap", &(10, 10, 20, 5)).unwrap();
    let second = stage.frame(2);
    assert_eq!(stage.pixels(second), colours(&memory.rows()));
}

/// A memfd is truncated under the copy. The user keeps the last good picture, and no signal ends the
/// viewer; the guest goes on, and its next good memory is shown.
#[test]
fn f05_18_memory_that_shrinks_leaves_the_last_good_picture() {
    let mut stage = memfds();
    let memory = unsealed();
    stage.qemu().call(MAP, "ScanoutMap", &map(&memory.file)).unwrap();
    let first = stage.frame(1);
    let good = stage.pixels(first);
    memory.file.set_len(100).unwrap();
    stage.qemu().call(MAP, "UpdateMap", &(0, 0, 70, 40)).unwrap();
    stage.until("the failure", |stage| stage.log.has(Seen::CopyFailed).then_some(()));
    stage.settle();
    assert_eq!((stage.shown(), stage.pixels(first)), (1, good));

    let other = unsealed();
    stage.qemu().call(MAP, "ScanoutMap", &map(&other.file)).unwrap();
    stage.qemu().call(MAP, "UpdateMap", &(0, 0, 70, 40)).unwrap();
    let second = stage.frame(2);
    assert_eq!(stage.pixels(second), colours(&other.rows()));
    assert!(!stage.was_blank());
}

/// Bytes of a picture, as messages bring them.
fn bytes(memory: &Memory) -> Vec<u8> {
    memory.rows().concat()
}

/// Without it a QEMU whose memory can't be mapped would never be seen: it sends pixels only after the
/// map was refused.
#[test]
fn a_map_that_is_no_memory_is_refused_and_pixels_in_messages_are_shown() {
    let mut stage = memfds();
    let null = File::open("/dev/null").unwrap();
    let (_, text) = stage.qemu().call(MAP, "ScanoutMap", &map(&null)).unwrap_err();
    assert!(text.contains("a character device"), "{text}");

    let picture = unsealed();
    let pixels = bytes(&picture);
    let body = (SIZE.0, SIZE.1, SIZE.0 * 4, X8R8G8B8, &pixels[..]);
    stage.qemu().call(LISTENER, "Scanout", &body).unwrap();
    let first = stage.frame(1);
    assert_eq!(stage.pixels(first), colours(&picture.rows()));

    picture.paint_part(5, (0, 7, 70, 3));
    let patch = &bytes(&picture)[7 * 70 * 4..10 * 70 * 4];
    let body = (0_i32, 7_i32, 70_i32, 3_i32, 280_u32, X8R8G8B8, patch);
    stage.qemu().call(LISTENER, "Update", &body).unwrap();
    let second = stage.commit(2);
    // The first update of a buffer means all of it.
    assert_eq!(second.damage, [(0, 0, 70, 40)]);
    let second = stage.frame(2);
    assert_eq!(stage.pixels(second), colours(&picture.rows()));

    // The same picture twice, as after a mode was set again: the canvas is the same memory.
    picture.paint(8);
    let pixels = bytes(&picture);
    let body = (SIZE.0, SIZE.1, SIZE.0 * 4, X8R8G8B8, &pixels[..]);
    stage.release(first);
    stage.qemu().call(LISTENER, "Scanout", &body).unwrap();
    let patch = &pixels[..280];
    let body = (0_i32, 0_i32, 70_i32, 1_i32, 280_u32, X8R8G8B8, patch);
    stage.qemu().call(LISTENER, "Update", &body).unwrap();
    let third = stage.frame(3);
    assert_eq!(stage.pixels(third), colours(&picture.rows()));
    assert!(!stage.was_blank());
}

/// Without it what is shown as a copy could still be the guest's own memory, and change with it.
#[test]
fn what_the_guest_writes_after_an_update_is_not_shown_before_the_next() {
    let mut stage = Stage::open(Setup::default());
    let memory = Memory::new(SIZE);
    let update = stage.flip(&memory.file, SIZE);
    stage.acked(update);
    let first = stage.frame(1);
    let drawn = colours(&memory.rows());
    // It was acked, so the guest may.
    memory.file.write_all_at(&[0xaa; 70 * 40 * 4], 0).unwrap();
    assert_eq!(stage.pixels(first), drawn);
    let update = stage.update((0, 0, 70, 40));
    stage.acked(update);
    let second = stage.frame(2);
    assert_eq!(stage.pixels(second), colours(&memory.rows()));
}
