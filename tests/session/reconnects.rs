//! A QEMU that ends, and the one that comes after it, in the same window.

use fanlight::session::{Mode, Present, Why};

use crate::compositor::surfaces::Attached;
use crate::spies::Seen;
use crate::stage::{Memory, Setup, Stage, colours};

const SIZE: (u32, u32) = (64, 48);

/// A stage on which the second of two memories is shown directly, and its update is not acked yet,
/// because the first is still read.
fn in_the_middle_of_a_frame(memories: &[Memory], present: Present) -> (Stage, [usize; 2]) {
    let mut stage = Stage::open(Setup { present, ..Setup::default() });
    let first = stage.flip(&memories[0].file, SIZE);
    let one = stage.frame(1);
    stage.acked(first);
    let second = stage.flip(&memories[1].file, SIZE);
    let two = stage.frame(2);
    assert!(!stage.is_acked(second));
    (stage, [one, two])
}

fn settled(stage: &Stage, update: u64) -> usize {
    stage.log.count(|seen| [Seen::Ack(update), Seen::Refused(update)].contains(seen))
}

/// The user sees the last picture until there is a new one, and never black; each QEMU gets one answer
/// for each of its updates; the memory of the first is let go. Without it a restart would close the window.
#[test]
fn after_a_restart_the_last_picture_stays_until_the_first_of_the_next() {
    let memories: Vec<_> = (0..4).map(|_| Memory::new(SIZE)).collect();
    for (i, memory) in memories.iter().enumerate() {
        memory.paint(40 + i as u8);
    }
    let (mut stage, [one, two]) = in_the_middle_of_a_frame(&memories, Present::Direct);
    stage.kill_qemu();
    stage.until("the end", |stage| stage.session.lost().map(drop));
    let copy = stage.frame(3);
    assert_eq!(stage.pixels(copy), colours(&memories[1].rows()));
    assert_eq!(settled(&stage, 2), 1);

    stage.reconnect();
    assert_eq!(stage.session.lost(), None);
    stage.settle();
    assert_eq!(stage.shown(), 3, "nothing was announced yet");
    let third = stage.flip(&memories[2].file, SIZE);
    let new = stage.frame(4);
    assert_eq!(stage.dmabuf(new), Some(memories[2].inode()));
    stage.release(copy);
    // It may be the same guest over another connection: what it showed there is still read.
    assert!(!stage.is_acked(third));
    stage.release(one);
    stage.release(two);
    stage.acked(third);
    for memory in &memories[..2] {
        stage.let_go_of(memory, 1);
    }
    let fourth = stage.flip(&memories[3].file, SIZE);
    let newest = stage.frame(5);
    assert_eq!(stage.dmabuf(newest), Some(memories[3].inode()));
    assert!(!stage.is_acked(fourth), "the one before is still read");
    stage.release(new);
    stage.acked(fourth);

    assert!(!stage.was_blank());
    assert!(!stage.log.has(Seen::Blank));
    for update in 1..=4 {
        assert_eq!(settled(&stage, update), 1, "update {update}: {:?}", stage.log.all());
    }
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
}

/// The bus drops and QEMU lives on: it announces what it showed before. The user sees it go on. Without
/// it that memory would count as dead.
#[test]
fn the_same_memory_over_a_new_connection_is_shown_again() {
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let (mut stage, [one, two]) = in_the_middle_of_a_frame(&memories, Present::Direct);
    stage.kill_qemu();
    stage.until("the end", |stage| stage.session.lost().map(drop));
    let copy = stage.frame(3);
    stage.reconnect();
    memories[1].paint(7);
    stage.flip(&memories[1].file, SIZE);
    let again = stage.frame(4);
    assert_eq!(stage.dmabuf(again), Some(memories[1].inode()));
    for buffer in [one, two, copy] {
        stage.release(buffer);
    }
    let next = stage.flip(&memories[0].file, SIZE);
    let other = stage.frame(5);
    assert_eq!(stage.dmabuf(other), Some(memories[0].inode()));
    stage.release(again);
    stage.acked(next);
    assert!(!stage.was_blank());
}

/// A connection that is replaced while it is alive is as good as lost: what it was owed is refused, once.
/// And a guest that flipped says nothing of how the next one draws.
#[test]
fn a_connection_that_is_replaced_alive_is_as_good_as_lost() {
    let memories: Vec<_> = (0..4).map(|_| Memory::new(SIZE)).collect();
    let mut stage = Stage::open(Setup::default());
    let mut shown = Vec::new();
    for (i, memory) in memories.iter().take(3).enumerate() {
        stage.flip(&memory.file, SIZE);
        shown.push(stage.frame(i + 1));
    }
    assert_eq!(stage.session.stats().mode, Some((Mode::Direct, Why::Flips)));
    stage.flip(&memories[0].file, SIZE);
    shown.push(stage.frame(4));
    assert_eq!(settled(&stage, 4), 0, "the third is still read");
    stage.reconnect();
    assert!(stage.log.has(Seen::Refused(4)));
    let update = stage.flip(&memories[3].file, SIZE);
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::InPlace)));
    for &buffer in &shown {
        stage.release(buffer);
    }
    stage.until("the new picture", |stage| {
        let shown = stage.compositor.with(|server| {
            let last = *server.surfaces.shown().last().unwrap();
            last.attached
        });
        let Attached::Buffer(buffer) = shown else { return None };
        (stage.dmabuf(buffer).is_none() && stage.pixels(buffer) == colours(&memories[3].rows()))
            .then_some(())
    });
    stage.acked(update);
    for update in 1..=4 {
        assert_eq!(settled(&stage, update), 1, "update {update}");
    }
    assert!(!stage.was_blank());
}
