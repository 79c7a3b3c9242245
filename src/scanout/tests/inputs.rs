//! What backends and users may say besides frames: replaced memory, how a guest swaps, another mode;
//! and two sinks, each with its own faults.

use super::bench::{A, B, Bench, C, Did, SINK, ms};
use super::*;

/// Without: a release for a commit that never was, or is over, frees what is still read.
#[test]
fn rule_02_other_releases_are_ignored() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.take();
    for commit in [0, 1, 999] {
        bench.input(Input::Released(SINK, CommitId(commit)));
    }
    assert_eq!(bench.take(), [], "A is still held");
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
}

/// Without: a guest that drew in place, and flips now, draws into what is still read, because something
/// else is on the screen.
#[test]
fn rule_02_what_was_committed_again_is_read_until_its_latest_commit_is_released() {
    let mut bench = Bench::viewer(Present::Direct);
    bench.scanout(A);
    for _ in 0..4 {
        bench.update(A);
        bench.present();
    }
    let (latest, _) = *bench.held.last().expect("a commit");
    bench.take();
    bench.flip(B);
    bench.present();
    assert_eq!(bench.take(), [Did::Import(B, 0), Did::Show(B)], "on the screen is not released");
    bench.input(Input::Released(SINK, CommitId(latest.0 - 1)));
    assert_eq!(bench.take(), [], "nor was an earlier commit the last");
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
}

/// Without: pages that belong to somebody else by now come to the screen; or the picture goes before
/// there is another.
#[test]
fn rule_10_what_was_replaced_is_shown_until_the_next_scanout_and_never_again() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.replace();
    assert_eq!(bench.take(), [], "it stays on the screen, and nothing is copied from it");
    bench.update(A);
    assert_eq!(bench.take(), [Did::Refuse]);
    bench.input(Input::Hidden(SINK, true));
    bench.pass(ms(200));
    bench.input(Input::Hidden(SINK, false));
    assert_eq!(bench.take(), [], "not even a copy");
    bench.flip(C);
    // It may be the same picture in other pages, drawn in place: then the screen comes first.
    bench.present();
    assert_eq!(bench.take(), [Did::Import(C, 0), Did::Show(C)]);
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Retire(A)]);
}

/// Without: memory that is no longer the guest's costs fds and pinned pages until it is evicted.
#[test]
fn rule_10_what_was_replaced_is_let_go_as_soon_as_nothing_reads_it() {
    let mut bench = Bench::flipping(Present::Direct);
    let other = bench.scanout(B);
    bench.update(B);
    bench.release(A);
    bench.flip(A);
    bench.take();
    bench.input(Input::Replaced(other));
    assert_eq!(bench.take(), [], "it is still on the screen");
    bench.release(B);
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Retire(B)]);
    let other = bench.scanout(B);
    bench.update(B);
    bench.release(A);
    bench.flip(A);
    bench.release(B);
    bench.take();
    bench.input(Input::Replaced(other));
    assert_eq!(bench.take(), [Did::Retire(B)], "at once");
}

/// Without: a picture that is direct and still is let go at the next frame, which never comes.
#[test]
fn rule_10_what_is_about_to_be_replaced_is_let_go_after_one_copy() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.input(Input::Invalidate);
    assert_eq!(bench.take(), [Did::Copy(A), Did::Retire(B), Did::ShowCopy(A)]);
    assert_eq!(bench.mode(), (Mode::Copy, Why::Leaving));
    bench.release(A);
    assert_eq!(bench.take(), [Did::Retire(A)]);
    bench.update(A);
    assert_eq!(bench.take(), [Did::Refuse], "until it is announced again");
    bench.flip(B);
    // It may be the same picture in other pages, drawn in place: then the screen comes first.
    bench.present();
    assert_eq!(bench.take(), [Did::Import(B, 0), Did::Show(B), Did::Ack { forced: false }]);
}

/// Without: the newest frame is lost, or memory is let go that it is yet to be copied from.
#[test]
fn rule_10_what_is_about_to_be_replaced_is_copied_before_it_is_let_go() {
    let mut bench = Bench::viewer(Present::Copy);
    bench.slow_copies = true;
    bench.scanout(A);
    bench.update(A);
    bench.scanout(B);
    bench.update(B);
    assert_eq!(bench.take(), [Did::Copy(A)], "of the buffer before");
    bench.input(Input::Invalidate);
    assert_eq!(bench.take(), []);
    bench.finish_copy();
    let acked = Did::Ack { forced: false };
    assert_eq!(bench.take(), [acked.clone(), Did::Copy(B), Did::Retire(A)]);
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::ShowCopy(B), acked, Did::Retire(B)]);
    bench.input(Input::Invalidate);
    assert_eq!(bench.take(), [], "there is nothing left");
}

/// Without: the backend has gone on, and a picture is shown that was read from pages of another's.
#[test]
fn rule_04_a_copy_of_what_was_to_be_replaced_is_thrown_away_when_it_comes_too_late() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.slow_copies = true;
    bench.input(Input::Invalidate);
    bench.pass(ms(50));
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::Copy(A), Did::Retire(B)], "what is on the screen stays");
    bench.flip(C);
    bench.present();
    assert_eq!(bench.take(), [Did::Import(C, 0), Did::Show(C)]);
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Retire(A)]);
}

/// Without: a picture that can't be copied is gone before there is another.
#[test]
fn rule_10_what_is_about_to_be_replaced_and_can_not_be_copied_stays_on_the_screen() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.fail_copies = true;
    bench.input(Input::Invalidate);
    bench.pass(ms(60));
    assert_eq!(bench.take(), [Did::Copy(A), Did::Retire(B)]);
    bench.flip(C);
    bench.present();
    assert_eq!(bench.take(), [Did::Import(C, 0), Did::Show(C)]);
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Retire(A)]);
}

/// Without: a handle is committed that the sink has forgotten.
#[test]
fn rule_10_what_was_let_go_is_imported_anew() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.fail_copies = true;
    bench.release(A);
    bench.take();
    bench.input(Input::Invalidate);
    assert_eq!(bench.take(), [Did::Copy(A), Did::Retire(B), Did::Retire(A)]);
    bench.flip(A);
    assert_eq!(bench.take()[..2], [Did::Import(A, 0), Did::Show(A)], "the guest draws in place");
}

/// Without: a copy that was begun before its pages were replaced shows some of each.
#[test]
fn rule_04_a_copy_of_what_was_replaced_is_thrown_away() {
    let mut bench = Bench::viewer(Present::Copy);
    bench.slow_copies = true;
    bench.scanout(A);
    bench.update(A);
    bench.take();
    bench.replace();
    assert_eq!(bench.take(), [], "it is still read");
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Retire(A)]);
}

/// Without: an import that ends late is shown although its pages are gone.
#[test]
fn rule_04_an_import_of_what_was_replaced_is_thrown_away() {
    let mut bench = Bench::viewer(Present::Direct);
    bench.slow_imports = true;
    bench.scanout(A);
    bench.update(A);
    bench.take();
    bench.replace();
    bench.finish_imports();
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Retire(A)]);
}

/// Without: an update that is still owed is acked when its memory is announced once more, and the
/// guest draws into what is about to be read.
#[test]
fn rule_06_memory_announced_again_keeps_its_update_waiting() {
    let mut bench = Bench::viewer(Present::Copy);
    bench.slow_copies = true;
    bench.scanout(A);
    bench.update(A);
    bench.finish_copies();
    bench.take();
    bench.update(A);
    bench.scanout(A);
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::Copy(A)], "that copy was of the buffer before");
    bench.pass(ms(5));
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A), Did::Ack { forced: false }]);
}

/// Without: a backend that knows how its guest swaps waits for two flips, and for a torn frame back.
#[test]
fn rule_07_what_a_backend_says_of_swaps_decides_at_once() {
    let mut bench = Bench::viewer(Present::Auto);
    bench.input(Input::Swap(Some(Swap::Flip)));
    bench.scanout(A);
    bench.update(A);
    assert_eq!(bench.mode(), (Mode::Direct, Why::Flips));
    bench.take();
    bench.input(Input::Swap(Some(Swap::InPlace)));
    assert_eq!(bench.mode(), (Mode::Copy, Why::InPlace));
    bench.flip(B);
    let did = bench.take();
    assert_eq!(did, [Did::Copy(B), Did::ShowCopy(B)], "no ack while A is read");
}

/// Without: a guest that draws in place, and whose pages are replaced now and then, counts as one that
/// flips: it is shown directly, and tears.
#[test]
fn rule_07_other_pages_of_what_is_drawn_in_place_are_no_flip() {
    let mut bench = Bench::viewer(Present::Auto);
    bench.scanout(A);
    bench.update(A);
    for storage in 100..110 {
        bench.replace();
        bench.scanout(storage);
        bench.update(storage);
        assert_eq!(bench.mode(), (Mode::Copy, Why::InPlace));
        bench.update(storage);
        bench.release_all();
    }
    assert_eq!(bench.machine.counts().flips, 0);
}

/// Without: a change of mode leaves the guest's memory held, or the screen without a picture.
#[test]
fn rule_07_modes_change_while_it_runs() {
    let mut bench = Bench::flipping(Present::Auto);
    bench.input(Input::SetPresent(SINK, Present::Copy));
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A)], "at once, in place of the guest's");
    bench.release_all();
    bench.flip(B);
    assert_eq!(bench.take(), [Did::Copy(B), Did::ShowCopy(B), Did::Ack { forced: false }]);
    bench.input(Input::SetPresent(SINK, Present::Direct));
    assert_eq!(bench.take(), [], "the copy is as good until the next frame");
    bench.flip(A);
    assert_eq!(bench.take(), [Did::Show(A), Did::Ack { forced: false }]);
}

/// Without: a sink that releases in time is put on probation because another one doesn't.
#[test]
fn rule_08_only_the_late_sink_is_on_probation() {
    let other = SinkId(2);
    let mut bench = Bench::flipping(Present::Direct);
    bench.machine.handle(bench.now, Input::Attach(other, Present::Direct));
    let mut imports = Vec::new();
    let mut commits = Vec::new();
    let mut serve = |bench: &mut Bench, release: bool| {
        while let Some(output) = bench.machine.poll() {
            match output {
                Output::Import { sink, import, .. } => imports.push((sink, import)),
                Output::Show { sink, commit, .. } => commits.push((sink, commit)),
                Output::Copy { sink, target, .. } => {
                    assert_eq!(sink, SINK, "the other sink releases in time");
                    bench.machine.handle(bench.now, Input::Copied(sink, target, 1));
                }
                _ => {}
            }
            for (sink, import) in imports.drain(..) {
                bench.machine.handle(bench.now, Input::Imported(sink, import));
            }
        }
        let newest = commits.iter().rev().find(|(sink, _)| *sink == other).copied();
        for (sink, commit) in commits.iter().filter(|c| release && c.0 == other) {
            if Some((*sink, *commit)) != newest {
                bench.machine.handle(bench.now, Input::Released(*sink, *commit));
            }
        }
    };
    serve(&mut bench, true);
    let announced = bench.announcement(B);
    let (buffer, damage) = (announced.buffer, Damage::Whole);
    bench.machine.handle(bench.now, Input::Scanout(announced));
    let update = UpdateId(9999);
    bench.machine.handle(bench.now, Input::Update { update, buffer, damage, owed: true });
    serve(&mut bench, true);
    bench.machine.handle(bench.now + ms(40), Input::Tick);
    bench.now += ms(40);
    serve(&mut bench, true);
    assert_eq!(bench.machine.mode(SINK), Some((Mode::Copy, Why::Late)));
    assert_eq!(bench.machine.mode(other), Some((Mode::Direct, Why::Asked)));
}

/// Without: memory of a dead backend that can't be read is shown as it is.
#[test]
fn rule_13_what_can_not_be_copied_any_more_is_not_shown_either() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.fail_copies = true;
    bench.input(Input::Lost);
    let did = bench.take();
    assert!(!did.contains(&Did::Show(A)), "{did:?}");
}

/// The user sees the newest frame, and nothing blank or twice; the guest gets its ack at once after the
/// jump, by force where it must be, and the next one as ever. To a session's clock a suspend is no time.
#[test]
fn f05_47_a_jump_over_the_deadline_acks_once_and_goes_on() {
    const HOURS: Duration = Duration::from_secs(8 * 3600);
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.take();
    // No tick at the deadline: the next thing that is heard is hours later.
    bench.now += HOURS;
    bench.input(Input::Tick);
    // The time for a copy before the ack is past too: it is begun, and not waited for.
    assert_eq!(bench.take(), [Did::Copy(B), Did::Ack { forced: true }, Did::ShowCopy(B)]);
    bench.input(Input::Tick);
    assert_eq!(bench.take(), [], "once");
    assert!(bench.machine.wakeup().is_none_or(|wakeup| wakeup > bench.now));
    bench.present();
    bench.release_all();
    bench.flip(A);
    assert_eq!(bench.take(), [Did::Copy(A), Did::ShowCopy(A), Did::Ack { forced: false }]);

    // The release was there before anybody looked at the clock: nothing is forced.
    let mut bench = Bench::flipping(Present::Direct);
    bench.flip(B);
    bench.take();
    bench.now += HOURS;
    let (held, _) = *bench.held.iter().find(|(_, storage)| *storage == Some(A)).expect("A is held");
    bench.held.retain(|(commit, _)| *commit != held);
    bench.input(Input::Released(SINK, held));
    assert!(bench.take().contains(&Did::Ack { forced: false }));
    assert_eq!(bench.machine.counts().forced_acks, 0);
}
