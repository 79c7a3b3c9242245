//! Anything in any order: whatever a guest and a sink do, the promises hold after every step.

use proptest::prelude::*;

use super::bench::{self, Bench, Did, ms};
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Scanout(u64),
    Update,
    Flip(u64),
    Disabled,
    Release(usize),
    Present,
    Hidden(bool),
    Redraw,
    OffersChanged,
    FinishCopy,
    FinishImports,
    Replace,
    Invalidate,
    Swap(bool),
    SetPresent(Present),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (1..12_u64).prop_map(Op::Scanout),
        4 => Just(Op::Update),
        6 => (1..4_u64).prop_map(Op::Flip),
        1 => Just(Op::Disabled),
        6 => (0..6_usize).prop_map(Op::Release),
        3 => Just(Op::Present),
        1 => any::<bool>().prop_map(Op::Hidden),
        1 => Just(Op::Redraw),
        1 => Just(Op::OffersChanged),
        3 => Just(Op::FinishCopy),
        3 => Just(Op::FinishImports),
        1 => Just(Op::Replace),
        1 => Just(Op::Invalidate),
        1 => any::<bool>().prop_map(Op::Swap),
        1 => present().prop_map(Op::SetPresent),
        3 => (1..60_u64).prop_map(Op::Pass),
    ]
}

fn present() -> impl Strategy<Value = Present> {
    prop_oneof![Just(Present::Auto), Just(Present::Direct), Just(Present::Copy)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold(
        present in present(),
        slow in any::<(bool, bool)>(),
        fail in any::<(bool, bool)>(),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut bench = Bench::viewer(present);
        (bench.slow_copies, bench.slow_imports) = slow;
        (bench.fail_copies, bench.fail_imports) = fail;
        let mut owed = 0_usize;
        let mut settled = 0_usize;
        let mut gone = 0;
        for op in ops {
            match op {
                Op::Scanout(storage) => {
                    bench.scanout(gone + storage);
                }
                Op::Update if bench.current != 0 => {
                    let current = bench.current;
                    bench.update(current);
                    owed += 1;
                }
                Op::Update => {}
                Op::Flip(storage) => {
                    bench.flip(gone + storage);
                    owed += 1;
                }
                Op::Disabled => bench.input(Input::Disabled),
                Op::Release(i) => bench.release_one(i),
                Op::Present => bench.present(),
                Op::Hidden(hidden) => bench.input(Input::Hidden(bench::SINK, hidden)),
                Op::Redraw => bench.input(Input::Redraw(bench::SINK)),
                Op::OffersChanged => bench.input(Input::OffersChanged(bench::SINK)),
                Op::FinishCopy => bench.finish_copies(),
                Op::FinishImports => bench.finish_imports(),
                // Memory whose pages are gone is announced no more: it comes back under another inode.
                Op::Replace if bench.current != 0 => {
                    bench.replace();
                    gone += 100;
                }
                Op::Replace => {}
                Op::Invalidate => bench.input(Input::Invalidate),
                Op::Swap(flips) => {
                    let swap = if flips { Swap::Flip } else { Swap::InPlace };
                    bench.input(Input::Swap(Some(swap)));
                }
                Op::SetPresent(present) => bench.input(Input::SetPresent(bench::SINK, present)),
                Op::Pass(time) => bench.pass(ms(time)),
            }
            settled += count_settled(&bench.take());
            bench.check();
            prop_assert!(settled <= owed, "an update was settled twice");
        }
        // Nothing moves any more but time: no guest waits longer than its deadline and a copy.
        bench.pass(ms(40 + FORCED_COPY_MS_MAX));
        settled += count_settled(&bench.take());
        prop_assert_eq!(settled, owed, "an update is left without an ack");
        prop_assert!(!bench.machine.owes_acks());
    }
}

fn count_settled(did: &[Did]) -> usize {
    did.iter().filter(|did| matches!(did, Did::Ack { .. } | Did::Refuse)).count()
}
