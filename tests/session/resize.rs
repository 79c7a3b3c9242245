//! A window that changes its size, and the guest that is to follow.

use wayland_protocols::xdg::shell::server::xdg_toplevel::State;

use crate::compositor::Script;
use crate::stage::{Memory, Setup, Stage, colours};

/// All the way from the compositor to the source; when it is told is tested by itself, without a clock.
#[test]
fn a_guest_is_asked_once_for_the_last_size_of_a_drag_and_never_for_its_own() {
    let script = Script { scale: 180, ..Script::default() };
    let (mut stage, mut guest) = Stage::scripted(Setup { script, ..Setup::default() });
    let memory = Memory::new((60, 48));
    memory.paint(1);
    guest.flip(&memory);
    stage.frame(1);
    stage.compositor.with(|server| {
        for width in 101..=150 {
            server.configure((width, 100), &[State::Resizing]);
        }
        server.configure((150, 100), &[]);
    });
    let wanted = stage.until("the size", |_| Some(guest.wanted()).filter(|all| !all.is_empty()));
    let sizes: Vec<_> = wanted.iter().map(|size| (size.width, size.height)).collect();
    assert_eq!(sizes, [(225, 150)]);
    // The guest follows, and another mode of its own is its own business.
    for (count, size) in [(2, (225, 150)), (3, (120, 90))] {
        let memory = Memory::new(size);
        memory.paint(count as u8);
        guest.flip(&memory);
        let buffer = stage.frame(count);
        assert_eq!(stage.pixels(buffer), colours(&memory.rows()), "an old or a mixed picture");
    }
    assert_eq!(guest.wanted().len(), 1);
    // Nothing flickers meanwhile: each picture took the place of the one before, at once.
    assert_eq!(stage.shown(), 3);
    assert!(!stage.was_blank());
}
