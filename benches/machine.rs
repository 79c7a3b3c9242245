//! What the machine costs a frame, in steady state: all that it takes from the guest's word to its ack
//! but the work of the sink.

use divan::Bencher;
use fanlight::scanout::Present;

#[path = "../tests/support/steady.rs"]
mod steady;
use steady::Steady;

fn main() {
    divan::main();
}

/// Scanout, update, commit, presentation, release and ack.
#[divan::bench]
fn flip_direct(bencher: Bencher<'_, '_>) {
    run(bencher, Steady::flip);
}

/// Update, copy, commit, presentation, release and ack.
#[divan::bench]
fn in_place_copy(bencher: Bencher<'_, '_>) {
    run(bencher, Steady::in_place);
}

fn run(bencher: Bencher<'_, '_>, frame: fn(&mut Steady)) {
    let mut steady = Steady::new(Present::Auto);
    (0..100).for_each(|_| frame(&mut steady));
    bencher.bench_local(|| frame(&mut steady));
}
