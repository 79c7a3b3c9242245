use super::*;

fn taken(inputs: impl IntoIterator<Item = Input>) -> Vec<Call> {
    let mut inner = Inner::default();
    for input in inputs {
        inner.take(&input);
    }
    inner.queue.into()
}

fn wheel(dy: i32) -> Input {
    Input::Wheel { dx: 0, dy }
}

fn key(code: u32, pressed: bool) -> Input {
    Input::Key { code, pressed }
}

#[test]
fn a_fine_wheel_turns_by_whole_notches() {
    assert_eq!(taken([wheel(60)]), []);
    let down = [true, false].map(|pressed| Call::Button(button::WHEEL_DOWN, pressed));
    assert_eq!(taken([wheel(60), wheel(60), wheel(30)]), down);
    let up = [true, false].map(|pressed| Call::Button(button::WHEEL_UP, pressed));
    assert_eq!(taken([wheel(-120), wheel(-120)]), [up, up].concat());
    assert_eq!(taken([wheel(60), wheel(-60), wheel(-60)]), []);
    let most = 2 * NOTCHES_MAX as usize;
    assert_eq!(taken([wheel(i32::MIN)]).len(), most);
    assert_eq!(taken([wheel(i32::MAX)]).len(), most);
}

#[test]
fn only_motions_that_follow_each_other_become_one() {
    let at = |x, y| Input::PointerAt { x, y };
    let by = |dx, dy| Input::PointerBy { dx, dy };
    let calls = taken([at(1, 2), at(3, 4), key(30, true), at(5, 6), by(1, -1), by(i32::MAX, -1)]);
    let expected = [
        Call::At(3, 4),
        Call::Key(30, true),
        Call::At(5, 6),
        // They saturate.
        Call::By(i32::MAX, -2),
    ];
    assert_eq!(calls, expected);
}

/// QEMU stands still while somebody types: memory is bounded, and nothing stays down.
#[test]
fn who_types_at_a_qemu_that_hangs_presses_nothing_for_ever() {
    let calls = taken((0..10_000).flat_map(|i| [key(30 + i % 8, true), key(30 + i % 8, false)]));
    assert!(calls.len() <= OVERFULL, "{}", calls.len());
    let mut down = std::collections::HashSet::new();
    for call in calls {
        match call {
            Call::Key(qnum, true) => drop(down.insert(qnum)),
            Call::Key(qnum, false) => drop(down.remove(&qnum)),
            other => panic!("{other:?}"),
        }
    }
    assert!(down.is_empty(), "{down:?}");
}

#[test]
fn what_qemu_has_no_word_for_is_dropped() {
    let button = |code| Input::Button { code, pressed: true };
    assert_eq!(taken([key(0x2ff, true), button(0x117), Input::Wheel { dx: 1200, dy: 0 }]), []);
    let calls = taken([0x110, 0x111, 0x112, 0x113, 0x114].map(button));
    assert_eq!(calls, [0, 2, 1, 5, 6].map(|number| Call::Button(number, true)));
}
