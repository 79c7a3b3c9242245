//! Pictures out of memory of our own.

use super::*;
use crate::compositor::surfaces::Pixels;
use std::os::unix::fs::FileExt;

const SIZE: Size = Size { width: 70, height: 40 };

pub(crate) fn shown_rows(stage: &Stage, count: usize) -> Vec<Vec<u8>> {
    let buffer = stage.shown_buffer(count);
    stage.compositor.with(|server| server.surfaces.buffers[buffer].rows())
}

/// Blue, green and red; the fourth byte of a pixel means nothing.
pub(crate) fn colours(rows: &[Vec<u8>]) -> Vec<Vec<[u8; 3]>> {
    let row =
        |row: &Vec<u8>| row.as_chunks::<4>().0.iter().map(|&[b, g, r, _]| [b, g, r]).collect();
    rows.iter().map(row).collect()
}

#[test]
fn a_copy_shows_the_right_pixels_through_wl_shm() {
    let mut stage = Stage::open(Script { without: &["zwp_linux_dmabuf_v1"], ..Script::default() });
    let (guest, rows, _) = readable(SIZE);
    assert_eq!(stage.copy(0, &guest, &Damage::Whole), 70 * 40 * 4);
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    assert_eq!(colours(&shown_rows(&stage, 1)), colours(&rows));
    let shown = stage.shown_buffer(1);
    stage.compositor.with(|server| {
        let pixels = &server.surfaces.buffers[shown].pixels;
        let Pixels::Shm { stride, .. } = pixels else { panic!("{pixels:?}") };
        assert_eq!(stride % 256, 0);
    });
    stage.release(shown);
    assert_eq!(stage.released(), 1);
    stage.nothing_but_frame(1, 1);
}

#[test]
fn a_copy_is_cropped_and_upright() {
    let mut stage = Stage::open(Script::default());
    let (mut guest, rows, _) = readable(SIZE);
    guest.visible = Rect { x: 10, y: 5, width: 20, height: 30 };
    guest.transform = Transform::Flipped;
    stage.copy(2, &guest, &Damage::Whole);
    stage.show_copy(1, 2, &guest, &Damage::Whole);
    let seen = rows[5..35].iter().rev().map(|row| row[10 * 4..30 * 4].to_vec());
    assert_eq!(colours(&shown_rows(&stage, 1)), colours(&seen.collect::<Vec<_>>()));
    let commit = stage.shown(1);
    assert_eq!(commit.source, None);
    assert_eq!(commit.transform, wayland_server::protocol::wl_output::Transform::Normal);

    // Damage is told where it is seen, and nothing else is copied.
    let damage = rects([Rect { x: 12, y: 6, width: 4, height: 3 }]);
    assert_eq!(stage.copy(2, &guest, &damage), 4 * 3 * 4);
    stage.show_copy(2, 2, &guest, &damage);
    assert_eq!(stage.shown(2).damage, [(2, 26, 4, 3)]);
}

#[test]
fn only_the_damage_is_copied() {
    let mut stage = Stage::open(Script::default());
    let (guest, mut rows, memory) = readable(SIZE);
    stage.copy(0, &guest, &Damage::Whole);
    memory.write_all_at(&[0xaa; 70 * 40 * 4], 0).unwrap();
    let rect = Rect { x: 3, y: 4, width: 5, height: 6 };
    stage.copy(0, &guest, &rects([rect]));
    for row in &mut rows[4..10] {
        row[3 * 4..8 * 4].fill(0xaa);
    }
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    assert_eq!(colours(&shown_rows(&stage, 1)), colours(&rows));
}

#[test]
fn a_target_of_another_size_is_made_anew_and_filled_whole() {
    let mut stage = Stage::open(Script::default());
    let (small, ..) = readable(SIZE);
    stage.copy(0, &small, &Damage::Whole);
    stage.show_copy(1, 0, &small, &Damage::Whole);
    let first = stage.shown_buffer(1);
    let (large, rows, _) = readable(size(100, 90));

    stage.sink.copy(0, &large, &Damage::Whole);
    let event = stage.sink.poll();
    let failed = matches!(&event, Some(SinkEvent::CopyFailed { target: 0, reason })
        if reason.contains("still reads"));
    assert!(failed, "the compositor holds it: {event:?}");

    stage.release(first);
    assert_eq!(stage.released(), 1);
    let nothing = rects([]);
    assert_eq!(stage.copy(0, &large, &nothing), 100 * 90 * 4);
    stage.show_copy(2, 0, &large, &nothing);
    assert_eq!(colours(&shown_rows(&stage, 2)), colours(&rows));
    stage.compositor.wait("the end of the old one", |server| {
        server.surfaces.buffers[first].destroyed.then_some(())
    });
}

#[test]
fn targets_become_udmabufs_where_the_compositor_takes_them_and_are_shown_all_the_while() {
    let script = Script { answer: Answer::Later, ..Script::default() };
    let mut stage = Stage::try_open(script, &WindowOptions::default(), UDMABUF).unwrap();
    let (guest, rows, _) = readable(SIZE);
    stage.copy(0, &guest, &Damage::Whole);
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    let shm = stage.shown_buffer(1);
    stage.compositor.with(|server| {
        assert!(matches!(server.surfaces.buffers[shm].pixels, Pixels::Shm { .. }));
        server.answer(0, Answer::Created);
        server.surfaces.buffers[shm].buffer.release();
    });
    assert_eq!(stage.released(), 1);
    stage.copy(0, &guest, &Damage::Whole);
    stage.show_copy(2, 0, &guest, &Damage::Whole);
    let udmabuf = stage.shown_buffer(2);
    stage.compositor.with(|server| {
        let seen = &server.surfaces.buffers[udmabuf];
        assert!(matches!(seen.pixels, Pixels::Dmabuf { format: XR24, .. }), "{seen:?}");
        assert_eq!(server.dmabuf.creates[0].modifier, 0);
    });
    assert_eq!(colours(&shown_rows(&stage, 2)), colours(&rows));
    stage.release(udmabuf);
    assert_eq!(stage.released(), 2);
}

#[test]
fn a_refused_udmabuf_is_not_tried_again() {
    let script = Script { answer: Answer::Failed, ..Script::default() };
    let mut stage = Stage::try_open(script, &WindowOptions::default(), UDMABUF).unwrap();
    let (guest, rows, _) = readable(SIZE);
    for target in 0..3 {
        let commit = u64::from(target) + 1;
        stage.copy(target, &guest, &Damage::Whole);
        stage.show_copy(commit, target, &guest, &Damage::Whole);
        stage.nothing_but_frame(commit as usize, commit);
        assert_eq!(colours(&shown_rows(&stage, commit as usize)), colours(&rows));
    }
    stage.compositor.with(|server| assert_eq!(server.dmabuf.creates.len(), 1));
}

#[test]
fn what_the_cpu_cannot_read_is_no_copy() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    stage.sink.copy(0, &guest, &Damage::Whole);
    let event = stage.sink.poll();
    let Some(SinkEvent::CopyFailed { target: 0, reason }) = event else { panic!("{event:?}") };
    assert!(reason.contains("can't be read"), "{reason}");
    let (mut guest, ..) = readable(SIZE);
    guest.layout.modifier = Modifier(1 << 56);
    stage.sink.copy(1, &guest, &Damage::Whole);
    let event = stage.sink.poll();
    assert!(matches!(event, Some(SinkEvent::CopyFailed { target: 1, .. })), "{event:?}");
}

#[test]
fn from_direct_to_copy_and_back_there_is_always_a_picture() {
    let mut stage = Stage::open(Script::default());
    let (direct, (copied, ..)) = (untouchable(SIZE), readable(SIZE));
    stage.show(1, &direct, 0);
    stage.copy(0, &copied, &Damage::Whole);
    stage.show_copy(2, 0, &copied, &Damage::Whole);
    stage.show(3, &direct, 1);
    stage.shown_buffer(3);
    stage.compositor.with(|server| {
        let shown = server.surfaces.shown();
        assert!(shown.iter().all(|commit| commit.attached != Attached::Null));
    });
}

/// Without it a GPU that hangs would stop us in the middle of a copy, and all else with it. A pipe stands
/// in for the dma-buf: it is readable when somebody has written to it, as that is when nobody does.
#[test]
fn a_copy_waits_for_who_still_draws_and_nothing_else_does() {
    let mut stage = Stage::open(Script::default());
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let memory = Memory::DmaBuf { exporter: "xe".to_owned() };
    let guest = buffer(reader, memory, 70 * 40 * 4, SIZE);
    stage.sink.copy(0, &guest, &Damage::Whole);
    assert!(stage.sink.poll().is_none());
    let other = untouchable(SIZE);
    stage.show(1, &other, 0);
    stage.nothing_but_frame(1, 1);
    rustix::io::write(&writer, &[0]).unwrap();
    // Only now it is tried; and a pipe has no pixels.
    let event = stage.next();
    assert!(matches!(event, SinkEvent::CopyFailed { target: 0, .. }), "{event:?}");
    // It is not waited for any more.
    stage.settle();
    assert!(stage.sink.poll().is_none());
    let mut fds = [PollFd::from_borrowed_fd(stage.sink.fd().unwrap(), PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec::default())), Ok(0));
}
