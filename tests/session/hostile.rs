//! What must be refused on the whole way, with the last good picture staying on the screen.

use std::fs::File;
use std::os::fd::AsFd;

use fanlight::session::Present;
use fanlight::source::check::SIDE_MAX;
use zbus::Fd;

use crate::fake_qemu::{DMABUF2, LISTENER, MAP};
use crate::stage::{Memory, Setup, Stage, V2, colours, v2};

const SIZE: (u32, u32) = (64, 48);

/// Without it a guest could crash us or the compositor with numbers, or turn its window black by
/// announcing what can't be shown.
#[test]
fn rule_14_spoilt_scanouts_are_refused_and_the_last_good_picture_stays() {
    let mut stage = Stage::open(Setup::default());
    let memory = Memory::new(SIZE);
    memory.paint(1);
    let update = stage.flip(&memory.file, SIZE);
    stage.acked(update);
    let good = stage.frame(1);
    let null = File::open("/dev/null").unwrap();
    type Spoil<'a> = &'a dyn Fn(&mut V2<'a>);
    let spoils: [Spoil<'_>; 12] = [
        &|b| (b.9, b.10) = (0, 0),
        &|b| (b.9, b.10) = (u32::MAX, u32::MAX),
        &|b| b.9 = SIDE_MAX + 1,
        &|b| b.6 = vec![64 * 4 - 1],
        &|b| b.6 = vec![u32::MAX],
        &|b| b.5 = vec![4],
        &|b| b.5 = vec![u32::MAX],
        &|b| (b.1, b.3) = (u32::MAX, 2),
        &|b| b.4 = 0,
        &|b| b.7 = u32::MAX,
        &|b| b.0 = Vec::new(),
        &|b| b.0 = vec![Fd::from(null.as_fd())],
    ];
    for (i, spoil) in spoils.into_iter().enumerate() {
        let mut body = v2(&memory.file, SIZE);
        spoil(&mut body);
        let (_, text) = stage.qemu().call(DMABUF2, "ScanoutDMABUF2", &body).unwrap_err();
        assert!(!text.is_empty(), "{i}");
        // In QEMU's order; this update is for nothing that could be shown.
        stage.qemu().call(LISTENER, "Disable", &()).unwrap();
        stage.qemu().call(LISTENER, "UpdateDMABUF", &(0, 0, 64, 48)).unwrap_err();
        stage.settle();
        assert_eq!(stage.shown(), 1, "{i}");
    }
    assert!(!stage.was_blank());
    assert_eq!(stage.pixels(good), colours(&memory.rows()));
    assert_eq!(stage.session.lost(), None);

    let next = Memory::new(SIZE);
    next.paint(2);
    let update = stage.flip(&next.file, SIZE);
    stage.acked(update);
    let shown = stage.frame(2);
    assert_eq!(stage.pixels(shown), colours(&next.rows()));
}

/// Without it an update of a refused scanout could be taken for the last good one, whose memory the
/// guest may have let go.
#[test]
fn map_updates_after_a_refusal_draw_nothing() {
    let mut stage = Stage::open(Setup::default());
    let memory = Memory::new(SIZE);
    let update = stage.flip(&memory.file, SIZE);
    stage.acked(update);
    let good = stage.frame(1);
    let before = stage.pixels(good);
    memory.paint(3);
    let fd = Fd::from(memory.file.as_fd());
    let body = (fd, u32::MAX, 64_u32, 48_u32, 256_u32, 0x2002_0888_u32);
    stage.qemu().call(MAP, "ScanoutMap", &body).unwrap_err();
    stage.qemu().call(MAP, "UpdateMap", &(0, 0, 64, 48)).unwrap_err();
    stage.settle();
    assert_eq!((stage.shown(), stage.pixels(good)), (1, before));
}

/// Without it the largest picture that is allowed could overflow something on its way.
#[test]
fn the_largest_picture_is_shown() {
    let mut stage = Stage::open(Setup { present: Present::Direct, ..Setup::default() });
    let size = (SIDE_MAX, SIDE_MAX);
    // Has no pages, because nobody touches it.
    let file = File::from(fanlight::sys::own_memfd("guest", 1 << 30).unwrap());
    let memory = Memory { file, size };
    let update = stage.flip(&memory.handle(), size);
    let shown = stage.frame(1);
    stage.acked(update);
    assert_eq!(stage.dmabuf(shown), Some(memory.inode()));
    stage.compositor.with(|server| {
        assert_eq!(server.surfaces.buffers[shown].size, (16_384, 16_384));
    });
}

/// Without it a guest that changes its size with each frame could be shown in old sizes, or fill the
/// compositor with buffers.
#[test]
fn a_guest_that_changes_its_size_is_shown_in_each() {
    let mut stage = Stage::open(Setup { present: Present::Copy, ..Setup::default() });
    let mut before = None;
    for i in 0..30_u32 {
        let size = (64 + i * 7 % 50, 48 + i * 11 % 40);
        let memory = Memory::new(size);
        memory.paint(i as u8);
        let update = stage.flip(&memory.file, size);
        stage.acked(update);
        let shown = stage.frame(i as usize + 1);
        assert_eq!(stage.pixels(shown), colours(&memory.rows()), "{size:?}");
        if let Some(before) = before.replace(shown) {
            stage.release(before);
        }
    }
    let alive = stage
        .compositor
        .with(|server| server.surfaces.buffers.iter().filter(|buffer| !buffer.destroyed).count());
    // Three of ours and the background.
    assert!(alive <= 4, "{alive} buffers");
    assert!(!stage.was_blank());
}
