//! The guest's own memory, from its QEMU to the compositor.

use fanlight::session::{Mode, Present, Why};
use fanlight::sys::Mapping;

use crate::compositor::Script;
use crate::spies::Seen;
use crate::stage::{Memory, Setup, Stage, colours};

const SIZE: (u32, u32) = (64, 48);
const WHOLE: (i32, i32, i32, i32) = (0, 0, 64, 48);

fn direct() -> Stage {
    Stage::open(Setup { present: Present::Direct, ..Setup::default() })
}

/// Flips through `memories`, releasing each as the next one is shown; returns the last buffer.
fn flip_through(stage: &mut Stage, memories: &[Memory], frames: usize) -> usize {
    let mut before = None;
    for i in 0..frames {
        let memory = &memories[i % memories.len()];
        let update = stage.flip(&memory.handle(), SIZE);
        let shown = stage.frame(i + 1);
        assert_eq!(stage.dmabuf(shown), Some(memory.inode()), "frame {i}");
        if let Some(before) = before.replace(shown) {
            assert!(!stage.is_acked(update), "frame {i}: the one before is still read");
            stage.release(before);
        }
        stage.acked(update);
    }
    before.unwrap()
}

/// Without it somebody could read, map or copy the guest's memory on its way, and nobody would know;
/// or let the guest go on while the compositor still reads what it will draw into.
#[test]
fn the_guests_very_memory_travels_untouched_and_each_ack_waits_for_the_release() {
    let mut stage = direct();
    let memories = [Memory::new(SIZE), Memory::new(SIZE)];
    let handle = memories[0].handle();
    rustix::io::read(&handle, &mut [0; 4]).unwrap_err();
    Mapping::new(&handle, 4096).unwrap_err();
    flip_through(&mut stage, &memories, 60);

    let counts = stage.session.stats().counts;
    assert_eq!((counts.frames, counts.flips, counts.in_place), (60, 59, 0));
    assert_eq!((counts.bytes_copied, counts.forced_acks, counts.dropped_frames), (0, 0, 0));
    assert_eq!(counts.refused_updates, 0);
    assert_eq!(stage.session.stats().mode, Some((Mode::Direct, Why::Asked)));
    for update in 2..=60 {
        let (ack, release) = (Seen::Ack(update), Seen::Released(update - 1));
        assert!(stage.log.place(release) < stage.log.place(ack), "update {update}");
    }
    let copies = |seen: &Seen| matches!(seen, Seen::Copied(_) | Seen::CopyFailed);
    assert_eq!(stage.log.count(copies), 0);
}

/// Without it a guest whose memory the CPU can't read would freeze, or panic us, where a copy was
/// asked for.
#[test]
fn what_can_only_be_shown_directly_is_where_a_copy_was_asked_for() {
    let mut stage = Stage::open(Setup { present: Present::Copy, ..Setup::default() });
    let memories = [Memory::new(SIZE), Memory::new(SIZE)];
    flip_through(&mut stage, &memories, 6);
    assert_eq!(stage.log.count(|seen| *seen == Seen::CopyFailed), 6, "each is tried");
    assert_eq!(stage.session.stats().mode, Some((Mode::Direct, Why::Unreadable)));
    assert_eq!(stage.session.stats().counts.bytes_copied, 0);
}

/// Without it a guest that can neither be copied nor shown would wait for its acks for ever.
#[test]
fn what_can_be_neither_copied_nor_shown_leaves_the_guest_running() {
    let script = Script { without: &["zwp_linux_dmabuf_v1"], ..Script::default() };
    let mut stage = Stage::open(Setup { script, ..Setup::default() });
    let memories = [Memory::new(SIZE), Memory::new(SIZE)];
    for i in 0..6 {
        let update = stage.flip(&memories[i % 2].handle(), SIZE);
        stage.acked(update);
    }
    let counts = stage.session.stats().counts;
    assert_eq!((counts.frames, counts.dropped_frames, counts.forced_acks), (0, 6, 0));
    assert_eq!(stage.shown(), 0);

    // And what can be copied is shown again.
    let readable = Memory::new(SIZE);
    readable.paint(7);
    let update = stage.flip(&readable.file, SIZE);
    stage.acked(update);
    let shown = stage.frame(1);
    assert_eq!(stage.pixels(shown), colours(&readable.rows()));
}

fn flips_of(count: usize) {
    const FLIPS: usize = 200;
    let mut stage = direct();
    let memories: Vec<_> = (0..count).map(|_| Memory::new(SIZE)).collect();
    let last = flip_through(&mut stage, &memories, FLIPS);
    assert_eq!(stage.shown(), FLIPS, "one commit a flip");
    assert!(!stage.was_blank());
    let counts = stage.session.stats().counts;
    assert_eq!(counts.frames, FLIPS as u64);
    assert_eq!(counts.imports, count as u64, "each storage once");
    assert_eq!(counts.cache_hits, (FLIPS - count) as u64);
    assert_eq!(counts.replacements, FLIPS as u64 - 1);
    stage.compositor.with(|server| {
        assert_eq!(server.dmabuf.creates.len(), count);
        assert!(!server.surfaces.buffers[last].destroyed);
    });
    // The test has the memory; the session keeps one fd of it, however many came.
    for memory in &memories {
        stage.let_go_of(memory, 2);
    }
}

/// Without it the usual guest could be shown twice a flip, imported anew each time, or cost an fd a
/// frame.
#[test]
fn two_hundred_flips_of_two_buffers() {
    flips_of(2);
}

/// Without it triple buffering could thrash the imports that double buffering does not.
#[test]
fn two_hundred_flips_of_three_buffers() {
    flips_of(3);
}

/// Without it a late release would make the next flip into that storage wait, or spoil the count of
/// who reads it.
#[test]
fn a_storage_that_is_still_held_is_shown_by_a_second_handle() {
    let mut stage = direct();
    let memories = [Memory::new(SIZE), Memory::new(SIZE)];
    let [one, two] = [0, 1].map(|i| {
        let update = stage.flip(&memories[i].handle(), SIZE);
        (update, stage.frame(i + 1))
    });
    stage.acked(one.0);
    // The guest goes on without having waited.
    let third = stage.flip(&memories[0].handle(), SIZE);
    let again = stage.frame(3);
    assert_ne!(again, one.1, "a wl_buffer that is held is not committed again");
    assert_eq!(stage.dmabuf(again), Some(memories[0].inode()));
    assert_eq!(stage.session.stats().counts.imports, 3);
    stage.release(one.1);
    assert!(!stage.is_acked(third), "the compositor still reads the second storage");
    stage.release(two.1);
    stage.acked(two.0);
    stage.acked(third);
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
}

/// Without it the switch between copies and the guest's memory could show black in between, come too
/// early or too late, or let a guest draw into what is on the screen.
#[test]
fn auto_is_direct_from_the_second_flip_to_the_first_update_in_place() {
    let mut stage = Stage::open(Setup::default());
    let memories = [Memory::new(SIZE), Memory::new(SIZE)];
    let mut before: Option<usize> = None;
    for i in 0..6 {
        let memory = &memories[i % 2];
        memory.paint(i as u8);
        let update = stage.flip(&memory.file, SIZE);
        let shown = stage.frame(i + 1);
        let direct = i >= 2;
        assert_eq!(stage.dmabuf(shown), direct.then(|| memory.inode()), "frame {i}");
        assert_eq!(stage.pixels(shown), colours(&memory.rows()), "frame {i}");
        if let Some(before) = before.replace(shown) {
            stage.release(before);
        }
        stage.acked(update);
    }
    assert_eq!(stage.session.stats().mode, Some((Mode::Direct, Why::Flips)));

    let memory = &memories[1];
    memory.paint_part(77, (8, 8, 4, 4));
    let update = stage.update((8, 8, 4, 4));
    let copy = stage.frame(7);
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::InPlace)));
    assert_eq!(stage.dmabuf(copy), None);
    assert_eq!(
        stage.pixels(copy),
        colours(&memory.rows()),
        "a whole picture, not only what changed"
    );
    assert!(!stage.is_acked(update), "the guest would draw into what is on the screen");
    stage.release(before.unwrap());
    stage.acked(update);
    // From now on nothing of the guest's is held.
    let update = stage.update(WHOLE);
    stage.acked(update);
    assert!(!stage.was_blank());
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
}
