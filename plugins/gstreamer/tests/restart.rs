//! `fanlightsrc` is started and stopped. Alone in its process, because it counts what that has.

mod guest;

use gst::prelude::*;

use guest::{Guest, PATIENCE, init};

#[test]
fn it_stops_while_it_waits_and_starts_again() {
    init();
    let guest = Guest::new().with(1);
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let description = format!("fanlightsrc uri={} ! fakesink", guest.uri());
    let pipeline = gst::parse::launch(&description).unwrap();
    let mut before = 0;
    for round in 0..30 {
        pipeline.set_state(gst::State::Playing).unwrap();
        pipeline.set_state(gst::State::Paused).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        if round == 5 {
            before = fds();
        }
    }
    // Threads that were opening a source may be about to end.
    let deadline = std::time::Instant::now() + PATIENCE;
    while fds() > before + 2 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(fds() <= before + 2, "{before} became {}", fds());
}
