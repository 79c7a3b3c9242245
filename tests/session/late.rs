//! Compositors that release late or never, and windows that nobody sees.

use std::time::{Duration, Instant};

use fanlight::session::{Config, Mode, Present, Why};
use wayland_protocols::xdg::shell::server::xdg_toplevel::State;

use crate::stage::{CALM, Memory, Setup, Stage, colours};

const SIZE: (u32, u32) = (64, 48);
const DEADLINE: Duration = Duration::from_millis(400);
/// A loaded machine may need this to do what takes a millisecond.
const SLACK: Duration = Duration::from_secs(5);

/// The user sees the newest frame, from a copy; the guest gets each ack at the deadline, not before and
/// not much later. Without it one bad compositor would freeze every guest that it shows.
#[test]
fn f05_04_a_compositor_that_never_releases_delays_the_guest_to_the_deadline_and_no_more() {
    let config = Config { ack_deadline: DEADLINE, ..CALM };
    let present = Present::Direct;
    let mut stage = Stage::open(Setup { present, config, ..Setup::default() });
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let update = stage.flip(&memories[0].file, SIZE);
    let one = stage.frame(1);
    stage.acked(update);

    memories[1].paint(1);
    let start = Instant::now();
    let update = stage.flip(&memories[1].file, SIZE);
    let two = stage.frame(2);
    assert_eq!(stage.dmabuf(two), Some(memories[1].inode()));
    stage.acked(update);
    let took = start.elapsed();
    assert!(took >= DEADLINE && took < DEADLINE + SLACK, "{took:?}");
    assert_eq!(stage.session.stats().counts.forced_acks, 1);
    let copy = stage.frame(3);
    assert_eq!(stage.dmabuf(copy), None, "a copy takes the place of what isn't released");
    assert_eq!(stage.pixels(copy), colours(&memories[1].rows()));
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::Late)));

    // It keeps the copies too: there are three, then frames are left out.
    for i in 2..6 {
        let start = Instant::now();
        let update = stage.flip(&memories[i % 2].file, SIZE);
        stage.acked(update);
        let took = start.elapsed();
        assert!(took >= DEADLINE && took < DEADLINE + SLACK, "update {i}: {took:?}");
        if i < 4 {
            stage.frame(i + 2);
        }
    }
    let counts = stage.session.stats().counts;
    assert_eq!(counts.forced_acks, 5);
    assert_eq!((stage.shown(), counts.frames), (5, 5));
    assert!(counts.dropped_frames >= 2, "{counts:?}");

    // Once it lets go, the newest frame is shown, and acks come at once.
    memories[0].paint(99);
    stage.release(copy);
    stage.release(one);
    stage.release(two);
    let update = stage.flip(&memories[0].file, SIZE);
    stage.acked(update);
    assert_eq!(stage.session.stats().counts.forced_acks, 5);
    // The ack doesn't wait for the compositor to have read the commit.
    let shown = stage.frame(6);
    assert!(!stage.was_blank() && stage.dmabuf(shown).is_none(), "it is on probation");
}

/// Without it a minimized window would either stop its guest or go on to burn power for nobody, or
/// come back with an old picture.
#[test]
fn a_window_that_nobody_sees_costs_one_copy_and_comes_back_with_the_newest() {
    let mut stage = Stage::open(Setup { present: Present::Direct, ..Setup::default() });
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let update = stage.flip(&memories[0].file, SIZE);
    let shown = stage.frame(1);
    stage.acked(update);

    stage.compositor.with(|server| server.configure((0, 0), &[State::Suspended]));
    let copy = stage.frame(2);
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::Hidden)));
    assert_eq!(stage.dmabuf(copy), None);
    stage.release(shown);
    let copied = stage.session.stats().counts.bytes_copied;
    assert_eq!(copied, 64 * 48 * 4);

    for i in 1..=10 {
        memories[i % 2].paint(i as u8);
        let update = stage.flip(&memories[i % 2].file, SIZE);
        assert!(stage.is_acked(update), "nobody reads frame {i}");
    }
    let counts = stage.session.stats().counts;
    assert_eq!((counts.bytes_copied, counts.frames, counts.forced_acks), (copied, 2, 0));
    assert_eq!(stage.shown(), 2);

    stage.compositor.with(|server| server.configure((0, 0), &[]));
    let shown = stage.frame(3);
    assert_eq!(stage.dmabuf(shown), Some(memories[0].inode()));
    assert_eq!(stage.pixels(shown), colours(&memories[0].rows()));
    assert!(!stage.was_blank());
}
