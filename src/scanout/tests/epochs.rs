//! What of one backend reaches into the time of the next: nothing but its last picture.

use super::bench::{A, B, Bench, C, Did};
use crate::scanout::{Input, Present};

/// Without: what the dead machine drew comes to the screen of the one after it, or an update of it is
/// settled a second time; or the new one is trusted to flip because the old one did.
#[test]
fn rule_13_the_next_backend_begins_anew() {
    let mut bench = Bench::flipping(Present::Auto);
    bench.flip(B);
    bench.take();
    bench.slow_copies = true;
    bench.input(Input::Lost);
    assert_eq!(bench.take(), [Did::Refuse, Did::Copy(B)], "once, and the last picture");
    bench.release(A);
    bench.take();
    // The next one is there before that copy is done.
    bench.scanout(C);
    bench.finish_copy();
    bench.update(C);
    let did = bench.take();
    assert!(!did.contains(&Did::ShowCopy(B)), "{did:?}");
    assert!(did.contains(&Did::Copy(C)), "one scanout is no flip: {did:?}");
    bench.finish_copy();
    assert_eq!(bench.take(), [Did::ShowCopy(C)], "it may be the same guest: B is still read");
    bench.release(B);
    assert_eq!(bench.take(), [Did::Ack { forced: false }, Did::Retire(B)]);
    assert_eq!(bench.machine.counts().forced_acks, 0);
}

/// Without: memory that a backend shows again after its connection was lost counts as dead for ever.
#[test]
fn rule_13_what_the_next_backend_announces_again_is_shown_again() {
    let mut bench = Bench::flipping(Present::Direct);
    bench.input(Input::Lost);
    bench.release_all();
    bench.take();
    bench.scanout(A);
    bench.update(A);
    let did = bench.take();
    assert!(did.contains(&Did::Show(A)) && !did.contains(&Did::Blank), "{did:?}");
}
