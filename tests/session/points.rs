//! A guest's acks, where releases are told otherwise than by wl_buffer.release.

use fanlight::session::Present;

use crate::compositor::Script;
use crate::stage::{Memory, Setup, Stage};

const SIZE: (u32, u32) = (64, 48);

/// Flips through three buffers; `release` says that the commit of that count is read no more.
fn flips(script: Script, release: impl Fn(&mut Stage, usize)) {
    let mut stage = Stage::open(Setup { present: Present::Direct, script, ..Setup::default() });
    let memories = [0, 1, 2].map(|_| Memory::new(SIZE));
    let update = stage.flip(&memories[0].file, SIZE);
    stage.frame(1);
    stage.acked(update);
    for count in 2..=20 {
        let memory = &memories[(count - 1) % 3];
        let before = stage.frame(count - 1);
        let update = stage.flip(&memory.file, SIZE);
        let shown = stage.frame(count);
        assert_eq!(stage.dmabuf(shown), Some(memory.inode()));
        // That alone says nothing here.
        stage.compositor.with(|server| server.surfaces.buffers[before].buffer.release());
        stage.settle();
        assert!(!stage.is_acked(update), "flip {count}: the one before is still read");
        release(&mut stage, count - 1);
        stage.acked(update);
    }
    let counts = stage.session.stats().counts;
    assert_eq!((counts.bytes_copied, counts.forced_acks, counts.frames), (0, 0, 20));
    assert!(!stage.was_blank());
}

/// Without it the guest would draw into what the compositor still reads, or wait for ever.
#[test]
fn a_flip_is_acked_when_the_release_point_of_the_one_before_is_signalled() {
    flips(Script { syncobj: true, ..Script::default() }, |stage, count| {
        let points = stage.commit(count).points;
        stage.compositor.with(|server| server.sync.signal(points.release));
    });
}

/// The same.
#[test]
fn a_flip_is_acked_when_the_release_callback_of_the_one_before_is_done() {
    flips(Script { compositor: 7, ..Script::default() }, |stage, count| {
        let release = stage.commit(count).release.expect("each commit asks for its release");
        stage.compositor.with(|_| release.done(0));
    });
}
