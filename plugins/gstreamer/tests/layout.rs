//! `fanlightsrc` with a guest's memory of which nobody says how it is laid out: memfds that the plugin is told are dma-bufs
//! of a GPU, which is a fake.

mod gpu;
mod guest;

use fanlight::frame::Modifier;
use gst::prelude::*;
use gst_check::Harness;

use gpu::{Orders, TILED, orders};
use guest::{Guest, count, file};

fn harness(guest: &Guest, takes: &str) -> Harness {
    gstfanlight::classify_with(guest::classify_as_gpus);
    let mut harness = guest::harness(guest, "present=direct ack-deadline=1000");
    harness.set_sink_caps_str(takes);
    harness
}

#[test]
fn the_gpu_is_asked_once_how_memory_is_laid_out_and_that_is_passed_on() {
    for (knows, drm_format) in [(TILED, "XR24:0x0100000000000002"), (Modifier::LINEAR, "XR24")] {
        let _turn = gpu::begin(Orders { knows: Some(knows), ..Orders::default() });
        let mut guest = Guest::new();
        let buffers = [guest.add_implicit(), guest.add_implicit()];
        let mut harness = harness(&guest, "video/x-raw(memory:DMABuf)");
        harness.play();
        for round in 0..10_usize {
            let buffer = buffers[round % 2];
            let frame = guest.show(buffer);
            let shown = harness.pull().expect("a frame");
            assert_eq!(file(&shown).unwrap().0, guest.inode(buffer));
            let caps = harness.sinkpad().unwrap().current_caps().unwrap();
            let caps = caps.structure(0).unwrap();
            assert_eq!(caps.get::<&str>("drm-format"), Ok(drm_format));
            drop(shown);
            // Which lets the one before go, too.
            if round == 0 {
                guest.answered(frame);
            }
        }
        assert_eq!(orders(|orders| orders.asked), 2, "once a memory");
        assert_eq!(count(&harness, "bytes-copied"), 0);
    }
}

#[test]
fn what_the_gpu_does_not_know_either_it_copies() {
    let _turn = gpu::begin(Orders::default());
    let mut guest = Guest::new();
    let buffer = guest.add_implicit();
    let mut harness = harness(&guest, "video/x-raw(memory:DMABuf)");
    harness.play();
    guest.show(buffer);
    let shown = harness.pull().expect("a frame");
    let made = orders(|orders| orders.targets[0].2);
    assert_eq!(file(&shown).unwrap().0, made);
    assert_eq!(orders(|orders| orders.asked), 1);
}
