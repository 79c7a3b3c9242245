//! What paces a guest besides its sink, and since when a frame is wanted.

use super::bench::{A, B, Bench, Did, SINK, ms};
use super::*;

/// Without: a guest whose sink is to set its pace runs as fast as it can.
#[test]
fn rule_08_no_ack_comes_before_its_time() {
    let paced = Config { ack_after: ms(40), ..Config::VIEWER };
    for present in [Present::Direct, Present::Copy] {
        let mut bench = Bench::with(paced, present);
        bench.scanout(A);
        for _ in 0..3 {
            bench.update(A);
            bench.present();
            bench.release_all();
            bench.pass(ms(39));
            assert!(!bench.take().contains(&Did::Ack { forced: false }), "{present:?}");
            bench.pass(ms(1));
            assert_eq!(bench.take(), [Did::Ack { forced: false }], "{present:?}");
        }
    }
    let mut bench = Bench::with(paced, Present::Direct);
    bench.flip(A);
    bench.present();
    bench.pass(ms(40));
    bench.take();
    bench.flip(B);
    bench.present();
    bench.pass(ms(40));
    assert!(bench.take().contains(&Did::Ack { forced: true }), "A is still read");
}

/// Without: a guest that draws in place draws into what is still read, though that was not wanted.
#[test]
fn rule_08_in_place_the_release_is_awaited_where_that_is_wished() {
    let config = Config { await_release: true, ..Config::VIEWER };
    let mut bench = Bench::with(config, Present::Direct);
    bench.scanout(A);
    bench.update(A);
    bench.present();
    assert!(!bench.take().contains(&Did::Ack { forced: false }));
    bench.release(A);
    assert_eq!(bench.take(), [Did::Ack { forced: false }]);
    // What is presented is seen, however long it is kept.
    bench.update(A);
    bench.present();
    bench.pass(ms(500));
    bench.present();
    bench.take();
    bench.update(A);
    assert_ne!(bench.take(), [Did::Ack { forced: false }], "skipped as if nobody looked");
}

/// Without: a sink that tells when what it shows was drawn calls what it shows once more as old as that.
#[test]
fn what_is_shown_once_more_is_wanted_since_then() {
    for present in [Present::Direct, Present::Copy] {
        let mut bench = Bench::with(Config::VIEWER, present);
        bench.pass(ms(10));
        bench.scanout(A);
        bench.update(A);
        bench.present();
        bench.release_all();
        assert_eq!(bench.last_wanted, ms(10));
        bench.pass(ms(300));
        bench.input(Input::Redraw(SINK));
        bench.present();
        assert_eq!(bench.last_wanted, ms(310));
        bench.input(Input::Hidden(SINK, true));
        bench.release_where(|_| true);
        bench.take();
        bench.update(A);
        bench.pass(ms(50));
        bench.input(Input::Hidden(SINK, false));
        assert_eq!(bench.last_wanted, ms(360), "{present:?}");
    }
}

/// Without: a sink that has no room for the guest's memory is asked for it again and again.
#[test]
fn what_is_shown_in_place_and_refused_is_copied() {
    let mut bench = Bench::viewer(Present::Direct);
    bench.scanout(A);
    for _ in 0..3 {
        bench.update(A);
        bench.present();
    }
    bench.take();
    let (_, import) = bench.shown();
    bench.fail_copies = true;
    bench.input(Input::Refused(SINK, import));
    bench.input(Input::Redraw(SINK));
    assert_eq!(bench.take(), [Did::Copy(A)], "and where that fails it is left out");
    bench.input(Input::OffersChanged(SINK));
    assert_eq!(bench.take(), [Did::Show(A)]);
}
