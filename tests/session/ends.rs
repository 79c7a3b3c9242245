//! One of the two is gone in the middle of a frame.

use std::time::Instant;

use fanlight::session::{Mode, Present, Why};

use crate::alone::{alone, open_now};
use crate::compositor::PATIENCE;
use crate::spies::Seen;
use crate::stage::{Memory, Setup, Stage, colours};

const SIZE: (u32, u32) = (64, 48);

/// A stage on which the second of two memories is shown directly, and the first is still read.
fn in_the_middle_of_a_frame(memories: &[Memory; 2]) -> (Stage, [usize; 2], std::num::NonZeroU32) {
    let mut stage = Stage::open(Setup { present: Present::Direct, ..Setup::default() });
    let first = stage.flip(&memories[0].file, SIZE);
    let one = stage.frame(1);
    stage.acked(first);
    let second = stage.flip(&memories[1].file, SIZE);
    let two = stage.frame(2);
    assert!(!stage.is_acked(second));
    (stage, [one, two], second)
}

/// The user sees the window go, and why; the guest gets what was owed at once, and every ack from then
/// on. Without it a compositor that crashes would take the guest with it.
#[test]
fn f05_38_when_the_compositor_hangs_up_with_buffers_held_the_guest_goes_on() {
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let (mut stage, _, owed) = in_the_middle_of_a_frame(&memories);
    stage.compositor.with(|server| server.hang_up());
    stage.until("the end", |stage| stage.session.closed().map(drop));
    let reason = stage.session.closed().flatten().expect("it broke, nobody closed it").to_owned();
    assert!(!reason.is_empty());
    stage.acked(owed);
    for i in 0..10 {
        let update = stage.flip(&memories[i % 2].file, SIZE);
        assert!(stage.is_acked(update), "nobody reads it any more");
    }
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
    assert_eq!(stage.session.stats().counts.refused_updates, 0);
}

/// Without it a window that the user closes could stay, and the guest stand still.
#[test]
fn when_the_user_closes_the_window_the_guest_goes_on() {
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let (mut stage, _, owed) = in_the_middle_of_a_frame(&memories);
    stage.compositor.with(|server| server.surfaces.toplevel.as_ref().unwrap().close());
    stage.until("the end", |stage| stage.session.closed().map(drop));
    assert_eq!(stage.session.closed(), Some(None));
    stage.acked(owed);
}

/// QEMU dies while the compositor still reads. The user keeps the last picture, as a copy; the memory is
/// let go once it is released. Without it that could hold it for ever, or turn into something else.
#[test]
fn f05_33_when_qemu_dies_its_last_picture_stays_as_a_copy_and_its_memory_is_let_go() {
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    memories[1].paint(42);
    let (mut stage, [one, two], _) = in_the_middle_of_a_frame(&memories);
    stage.kill_qemu();
    stage.until("the end", |stage| stage.session.lost().map(drop));
    let copy = stage.frame(3);
    assert_eq!(stage.session.stats().mode.map(|(mode, _)| mode), Some(Mode::Copy));
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::Lost)));
    assert_eq!(stage.dmabuf(copy), None);
    assert_eq!(stage.pixels(copy), colours(&memories[1].rows()));
    assert!(stage.log.has(Seen::Refused(2)), "the update that was owed is settled");

    let forgotten = |stage: &Stage| stage.log.count(|seen| matches!(seen, Seen::Forget(_)));
    assert_eq!(forgotten(&stage), 0, "the compositor still reads both");
    stage.release(one);
    assert_eq!(forgotten(&stage), 1);
    stage.release(two);
    assert_eq!(forgotten(&stage), 2);
    for memory in &memories {
        stage.let_go_of(memory, 1);
    }
    for buffer in [one, two] {
        stage
            .compositor
            .wait("its end", |server| server.surfaces.buffers[buffer].destroyed.then_some(()));
    }
    // What comes from the compositor after that changes nothing.
    stage.release(copy);
    stage.settle();
    assert_eq!(stage.shown(), 3);
    assert!(!stage.was_blank());
    let lost = stage.log.place(Seen::Lost);
    let shows = |seen: &Seen| matches!(seen, Seen::Show(_) | Seen::Import | Seen::Blank);
    assert!(!stage.log.all()[lost..].iter().any(shows), "{:?}", stage.log.all());
}

/// Without it a program that opens one window after the other would have no fds left in the end.
#[test]
fn windows_that_come_and_go_leave_nothing() {
    alone(module_path!(), "windows_that_come_and_go_leave_nothing", || {
        let round = || {
            let memories = [0, 1].map(|_| Memory::new(SIZE));
            // In the middle of a frame: the compositor holds both, and an ack is owed.
            drop(in_the_middle_of_a_frame(&memories));
        };
        (0..3).for_each(|_| round());
        let before = open_now();
        (0..20).for_each(|_| round());
        let end = Instant::now() + PATIENCE;
        // The fake's threads end by themselves a little later.
        let is_more = |(fds, maps): (usize, usize)| fds > before.0 || maps > before.1;
        while is_more(open_now()) {
            assert!(Instant::now() < end, "{:?}, {before:?} before", open_now());
            std::thread::yield_now();
        }
    });
}
