//! One test a rule of the core, `rule_NN_…`, each saying what goes wrong without it.

mod bench;
mod epochs;
mod inputs;
mod model;
mod pace;
mod random;

use super::*;
use bench::{A, B, Bench, C, Did, ms};

#[test]
fn a_scanout_without_update_is_shown_at_once_and_owes_nothing() {
    let mut bench = Bench::viewer(Present::Auto);
    bench.scanout(A);
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A)]);
    assert!(!bench.machine.owes_acks());
}

/// Without: each flip is committed twice, once for the scanout and once for its update.
#[test]
fn a_flip_is_shown_once() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.scanout(B);
    bench.input(Input::Disabled);
    assert_eq!(bench.take(), [], "the update is about to come");
    bench.update(B);
    assert_eq!(bench.take(), [Did::Show(B)]);
}

/// Without: a guest whose updates come late, or never, shows a stale picture.
#[test]
fn rule_03_a_scanout_whose_update_does_not_come_is_shown_all_the_same() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.scanout(B);
    bench.pass(ms(5));
    assert_eq!(bench.take(), [Did::Show(B)]);
    bench.update(B);
    assert_eq!(
        bench.take(),
        [Did::Import(B, 1), Did::Show(B)],
        "again, whole, by its other handle"
    );
}

/// Without: what was drawn into the buffer before is shown as the frame of the one after it.
#[test]
fn rule_03_an_update_for_another_buffer_is_refused() {
    let mut bench = Bench::viewer(Present::Auto);
    let old = bench.scanout(A);
    bench.scanout(B);
    bench.take();
    bench.update_of(old);
    assert_eq!(bench.take(), [Did::Refuse]);
    assert_eq!(bench.machine.counts().refused_updates, 1);
}

/// Without: a buffer that was replaced while it was copied comes to the screen.
#[test]
fn rule_04_a_copy_that_was_overtaken_is_thrown_away() {
    let mut bench = Bench::viewer(Present::Copy);
    bench.slow_copies = true;
    bench.scanout(A);
    bench.update(A);
    assert_eq!(bench.take(), [Did::Copy(A)]);
    bench.scanout(B);
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Copy(B)]);
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::ShowCopy(B)]);
}

/// Without: the corner that changed is refreshed, and the rest of the screen is of the old buffer.
#[test]
fn rule_05_after_a_change_of_buffer_the_damage_is_whole() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.scanout(B);
    bench.update_with(B, Damage::clamped(1, 1, 2, 2, bench::SIZE));
    assert_eq!(bench.last_damage, Some(Damage::Whole));
}

/// Without: a target that was not written for two frames lacks the first one's damage.
#[test]
fn rule_05_a_target_catches_up_with_all_that_it_missed() {
    let mut bench = Bench::viewer(Present::Copy);
    bench.scanout(A);
    bench.update(A);
    bench.release_all();
    let corner = Damage::clamped(0, 0, 1, 1, bench::SIZE);
    let other = Damage::clamped(5, 5, 1, 1, bench::SIZE);
    let mut both = corner;
    both.merge(&other);
    // The first target is shown; the second one takes the corner while the first misses it.
    bench.update_with(A, corner);
    assert_eq!(bench.last_copied, Some(Damage::Whole), "it was never written, or long ago");
    bench.release_all();
    bench.update_with(A, other);
    assert_eq!(bench.last_copied, Some(both), "it has missed the corner");
    assert_eq!(bench.last_damage, Some(other), "the surface has not");
}

/// Without: a fourth buffer is made, or the guest waits for the sink.
#[test]
fn rule_05_when_all_targets_are_held_the_frame_is_dropped_and_shown_later() {
    let mut bench = Bench::viewer(Present::Copy);
    bench.scanout(A);
    bench.update(A);
    bench.update(A);
    bench.take();
    bench.update(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
    assert_eq!(bench.machine.counts().dropped_frames, 1);
    bench.release_all();
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A)]);
}

/// Without (ack at once, or when latched): the guest draws into what the compositor still reads.
#[test]
fn rule_06_a_flip_is_acked_when_the_storage_before_is_released() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    assert_eq!(bench.take(), [Did::Show(B)]);
    bench.present();
    assert_eq!(bench.take(), [], "latched is not released");
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
}

/// Without: `auto` tears every guest that draws in place.
#[test]
fn rule_07_auto_goes_direct_after_two_flips_and_back_at_the_first_update_in_place() {
    let mut bench = Bench::viewer(Present::Auto);
    bench.scanout(A);
    bench.update(A);
    bench.release_all();
    bench.flip(B);
    bench.release_all();
    bench.take();
    bench.flip(A);
    assert_eq!(bench.take(), [Did::Import(A, 0), Did::Show(A), Did::Ack { forced: false }]);
    bench.update(A);
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A)], "the ack waits for the release");
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
}

/// Without: a driver that fences its writes is copied for nothing.
#[test]
fn rule_07_in_place_stays_direct_where_writes_are_fenced() {
    let mut bench = Bench::viewer(Present::Auto);
    bench.fenced = true;
    bench.scanout(A);
    bench.update(A);
    bench.take();
    bench.present();
    bench.take();
    bench.update(A);
    assert_eq!(bench.take(), [Did::Show(A)], "the same handle again");
    bench.present();
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
}

/// Without: a compositor that keeps a buffer hangs the guest.
#[test]
fn rule_08_at_the_deadline_the_frame_is_copied_and_acked_by_force() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.take();
    bench.pass(ms(39));
    assert_eq!(bench.take(), []);
    bench.pass(ms(1));
    assert_eq!(bench.take(), [Did::Copy(B), Did::ShowCopy(B), Did::Ack { forced: true }]);
    assert_eq!(bench.machine.counts().forced_acks, 1);
    assert_eq!(bench.mode(), (Mode::Copy, Why::Late));
}

/// Without: a sink that was late once is never direct again, or is trusted at once and late again.
#[test]
fn rule_08_after_thirty_frames_in_time_it_is_direct_again() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.pass(ms(40));
    bench.release_all();
    for i in 0..PROBATION_FRAMES {
        assert_eq!(bench.mode().0, Mode::Copy, "after {i} frames");
        bench.flip(if i % 2 == 0 { A } else { B });
        bench.present();
        bench.release_all();
    }
    assert_eq!(bench.mode().0, Mode::Direct);
    assert_eq!(bench.machine.counts().forced_acks, 1);
}

/// Without: an import that never ends hangs the guest.
#[test]
fn rule_08_an_import_that_never_ends_is_overtaken_by_a_copy() {
    let mut bench = Bench::viewer(Present::Direct);
    bench.slow_imports = true;
    bench.scanout(A);
    bench.update(A);
    assert_eq!(bench.take(), [Did::Import(A, 0)]);
    bench.pass(ms(40));
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A), Did::Ack { forced: false }]);
}

/// Without: a guest whose memory can neither be imported nor read waits for its ack for ever.
#[test]
fn rule_09_what_can_not_be_shown_is_acked_all_the_same() {
    let mut bench = Bench::viewer(Present::Auto);
    bench.fail_copies = true;
    bench.fail_imports = true;
    bench.scanout(A);
    bench.update(A);
    bench.pass(ms(100));
    let did = bench.take();
    assert_eq!(did.iter().filter(|did| matches!(did, Did::Ack { .. })).count(), 1, "{did:?}");
}

/// Without: a lost backend, or a sink that leaves, keeps acks for ever.
#[test]
fn rule_09_a_sink_that_leaves_and_a_backend_that_is_lost_owe_nothing() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.take();
    bench.held.clear();
    bench.input(Input::Detach(bench::SINK));
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.take();
    bench.input(Input::Lost);
    assert_eq!(bench.take()[0], Did::Refuse);
    assert!(!bench.machine.owes_acks());
}

/// Without: fds are closed and wl_buffers destroyed under the compositor's eyes, or never.
#[test]
fn rule_10_a_storage_is_retired_once_nothing_reads_it() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.take();
    bench.input(Input::Lost);
    let did = bench.take();
    assert!(!did.contains(&Did::Retire(A)) && !did.contains(&Did::Retire(B)), "{did:?}");
    bench.release(A);
    assert_eq!(bench.take(), [Did::Retire(A)]);
    bench.release(B);
    assert_eq!(bench.take(), [Did::Retire(B)]);
}

/// Without: a hidden window holds guest memory, and each frame waits for the deadline.
#[test]
fn rule_11_a_hidden_sink_shows_one_copy_and_then_nothing_until_it_is_seen() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.input(Input::Hidden(bench::SINK, true));
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A)]);
    bench.release_all();
    bench.take();
    bench.flip(B);
    bench.flip(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Ack { forced: false }]);
    bench.input(Input::Hidden(bench::SINK, false));
    assert_eq!(bench.take(), [Did::Show(A)], "the newest");
}

/// Without: a covered window, which some compositors never call suspended, is as slow as its deadline.
#[test]
fn rule_11_a_commit_that_is_not_presented_for_100_ms_means_hidden() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.release(A);
    bench.take();
    bench.pass(ms(100));
    assert_eq!(bench.take(), [Did::Copy(B), Did::ShowCopy(B)]);
    bench.release_all();
    bench.flip(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
    bench.present();
    assert_eq!(bench.take(), [Did::Show(A)]);
}

/// Without: every flip of QEMU's blanks the picture.
#[test]
fn rule_12_disable_right_after_a_scanout_blanks_nothing() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.scanout(B);
    bench.input(Input::Disabled);
    bench.update(B);
    bench.take();
    bench.pass(ms(500));
    assert!(!bench.take().contains(&Did::Blank));
}

/// Without: a console that was switched off shows its last picture for ever.
#[test]
fn rule_12_a_console_that_stays_off_is_blanked_and_comes_back_whole() {
    let mut bench = Bench::viewer(Present::Copy);
    bench.scanout(A);
    bench.present();
    bench.take();
    bench.input(Input::Disabled);
    bench.pass(ms(99));
    assert_eq!(bench.take(), []);
    bench.pass(ms(1));
    assert_eq!(bench.take(), [Did::Blank]);
    bench.release_all();
    bench.update_with(A, Damage::clamped(0, 0, 1, 1, bench::SIZE));
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A), Did::Ack { forced: false }]);
    assert_eq!(bench.last_damage, Some(Damage::Whole));
}

/// Without: the window shows memory that belongs to nobody, or to another machine by now.
#[test]
fn rule_13_when_the_backend_is_lost_one_last_copy_stays() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.input(Input::Lost);
    assert_eq!(bench.take(), [Did::Copy(A), Did::Retire(B), Did::ShowCopy(A)]);
    bench.release_all();
    assert_eq!(bench.take(), [Did::Retire(A)]);
}

/// Without: a guest that announces ever new memory fills ours.
#[test]
fn rule_15_storages_are_bounded_and_the_least_recent_goes() {
    let mut bench = Bench::viewer(Present::Copy);
    for i in 0..100 {
        bench.scanout(100 + i);
        bench.update(100 + i);
        bench.release_all();
    }
    let retired: Vec<_> =
        bench.take().into_iter().filter(|d| matches!(d, Did::Retire(_))).collect();
    assert_eq!(retired.len(), 100 - STORAGES_MAX);
    assert_eq!(retired[0], Did::Retire(100));
}

/// Without: a guest of many buffers that a compositor never releases grows without end.
#[test]
fn rule_15_memory_that_is_never_released_ends_in_copies_not_in_growth() {
    let mut bench = Bench::viewer(Present::Direct);
    for i in 0..100 {
        bench.flip(100 + i);
        bench.present();
        bench.pass(ms(60));
    }
    assert!(bench.held.len() <= STORAGES_MAX + HELD_MAX + TARGETS_AND_ONE, "{:?}", bench.held);
}
const TARGETS_AND_ONE: usize = crate::frame::TARGETS + 1;

#[test]
fn three_buffers_in_turn_are_as_good_as_two() {
    let mut bench = Bench::flipping(Present::Auto);
    for storage in [C, A, B, C, A, B] {
        let before = bench.current;
        bench.flip(storage);
        bench.present();
        bench.release(before);
    }
    assert_eq!(bench.machine.counts().forced_acks, 0);
    assert_eq!(bench.mode(), (Mode::Direct, Why::Flips));
}

/// Without: who takes frames over from somebody else sees nothing of a still screen.
#[test]
fn what_is_shown_is_shown_once_more_when_that_is_wanted() {
    for (present, shown) in [(Present::Direct, Did::Show(A)), (Present::Copy, Did::ShowCopy(A))] {
        let mut bench = Bench::viewer(present);
        bench.input(Input::Redraw(bench::SINK));
        assert_eq!(bench.take(), []);
        bench.scanout(A);
        bench.present();
        bench.take();
        bench.input(Input::Redraw(bench::SINK));
        assert_eq!(bench.take().last(), Some(&shown));
    }
}

/// Without: what a compositor refused once is copied for ever, though it would take it by now.
#[test]
fn a_refusal_is_forgotten_when_the_offers_change() {
    let mut bench = Bench::viewer(Present::Direct);
    bench.fail_imports = true;
    bench.scanout(A);
    assert_eq!(bench.take(), [Did::Import(A, 0), Did::Copy(A), Did::ShowCopy(A)]);
    bench.fail_imports = false;
    bench.update(A);
    bench.release_all();
    assert_eq!(bench.mode(), (Mode::Copy, Why::Refused));
    bench.input(Input::OffersChanged(bench::SINK));
    bench.take();
    bench.update(A);
    assert_eq!(bench.take()[..2], [Did::Import(A, 0), Did::Show(A)]);
    assert_eq!(bench.mode(), (Mode::Direct, Why::Asked));
}
