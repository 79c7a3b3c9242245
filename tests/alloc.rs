//! What a frame costs in steady state: no allocation. In a program of its own, because the allocator
//! that counts counts for all of it.

// To count, an allocator has to be one.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use fanlight::scanout::Present;

#[path = "support/steady.rs"]
mod steady;
use steady::Steady;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on as it came to the system's allocator; the counter is a thread's own
// and doesn't allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises: it came from `alloc`, thus from there.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const WARM: u64 = 100;
const FRAMES: u64 = 10_000;

fn counts_none(present: Present, frame: fn(&mut Steady)) -> Steady {
    let mut steady = Steady::new(present);
    (0..WARM).for_each(|_| frame(&mut steady));
    let before = ALLOCATIONS.get();
    assert!(before > 0, "the counter counts");
    (0..FRAMES).for_each(|_| frame(&mut steady));
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations in {FRAMES} frames");
    assert_eq!(steady.acks, WARM + FRAMES, "each frame was acked");
    steady
}

#[test]
fn flips_that_are_shown_directly_allocate_nothing() {
    let counts = counts_none(Present::Auto, Steady::flip).machine.counts();
    assert!(counts.flips >= FRAMES && counts.imports > 0 && counts.forced_acks == 0);
    assert!(counts.bytes_copied < WARM, "they were direct");
}

#[test]
fn frames_that_are_copied_allocate_nothing() {
    let counts = counts_none(Present::Auto, Steady::in_place).machine.counts();
    assert!(counts.in_place >= FRAMES && counts.bytes_copied >= FRAMES);
}
