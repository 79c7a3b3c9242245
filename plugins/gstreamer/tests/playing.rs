//! `fanlightsrc` while it plays: what is asked of it then, and from which thread.

mod guest;

use std::os::unix::net::UnixListener;
use std::sync::mpsc::channel;

use fanlight::frame::{Cursor, Rect, Size, Transform};
use fanlight::serve::{Answer, Kind};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoMeta, VideoOverlayCompositionMeta};

use guest::{Guest, PATIENCE, harness, init, pull, source};

/// The first of its pixel's values at this place.
fn value(buffer: &gst::BufferRef, x: usize, y: usize) -> u8 {
    buffer.map_readable().unwrap()[(y * 64 + x) * 4]
}

/// Shows frames of this grey until one is as it should be.
fn until(
    guest: &Guest,
    harness: &mut Harness,
    grey: u8,
    is: impl Fn(&gst::Buffer) -> bool,
) -> gst::Buffer {
    for _ in 0..100 {
        guest.paint(0, grey);
        let frame = guest.show(0);
        let shown = pull(harness);
        guest.answered(frame);
        if is(&shown) {
            return shown;
        }
    }
    panic!("none of 100 frames is as it should be");
}

/// A cursor of one colour over the upper left corner.
fn set_cursor(guest: &Guest) {
    let size = Size { width: 8, height: 8 };
    let cursor = Cursor { size, hotspot: (0, 0), pixels: [200, 0, 0, 255].repeat(64) };
    guest.serve(|server, console| {
        server.set_cursor(console, &cursor).unwrap();
        server.move_cursor(console, 0, 0, true).unwrap();
    });
}

fn overlays(buffer: &gst::BufferRef) -> bool {
    buffer.meta::<VideoOverlayCompositionMeta>().is_some()
}

#[test]
fn another_console_is_shown_where_that_is_wished() {
    let guest = Guest::new().with(1);
    guest.paint(0, 10);
    guest.show(0);
    // The same memory, all of one grey, on two screens; what differs is how much of it is seen.
    let layout = guest.layout(0);
    let small = Rect { x: 0, y: 0, width: 16, height: 16 };
    guest.serve(|server, _| {
        let second = server.add_console(Kind::Graphic, "second").unwrap();
        let memory = fanlight::sys::own_memfd("second", 8192).unwrap();
        let memory = fanlight::serve::Memory::Planes(vec![memory]);
        let buffer = server.add_buffer(second, layout, memory).unwrap();
        server.scanout(second, buffer, small, Transform::Normal).unwrap();
        server.update(second, buffer, &[]).unwrap();
    });
    for (console, width) in [(-1, 64), (0, 64), (1, 16)] {
        let mut harness = harness(&guest, &format!("console={console}"));
        harness.play();
        let shown = pull(&mut harness);
        assert_eq!(shown.meta::<VideoMeta>().unwrap().width(), width, "console {console}");
    }
    let launch = format!("fanlightsrc uri={} console=7 ! fakesink", guest.uri());
    let said = guest::said(&launch, gst::MessageType::Error);
    assert!(said.contains("no console 7") && said.contains("it has: 0"), "{said}");
}

#[test]
fn the_cursor_is_left_out_or_laid_over_or_drawn_as_is_wished_while_it_plays() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "cursor=none");
    harness.add_propose_allocation_meta(VideoOverlayCompositionMeta::meta_api(), None);
    harness.play();
    guest.paint(0, 10);
    guest.answered(guest.show(0));
    drop(pull(&mut harness));
    set_cursor(&guest);
    for _ in 0..3 {
        let shown = until(&guest, &mut harness, 10, |_| true);
        assert!(value(&shown, 0, 0) == 10 && !overlays(&shown));
    }
    // The screen is still, and nothing but the wish comes.
    let wish = |value: &str| source(&harness).set_property_from_str("cursor", value);
    wish("embed");
    loop {
        let shown = harness.pull().expect("a frame");
        if value(&shown, 0, 0) == 200 {
            assert!(!overlays(&shown));
            break;
        }
    }
    source(&harness).set_property_from_str("cursor", "meta");
    while !overlays(&pull(&mut harness)) {}
    source(&harness).set_property_from_str("cursor", "none");
    until(&guest, &mut harness, 10, |shown| value(shown, 0, 0) == 10 && !overlays(shown));
}

#[test]
fn the_cursor_comes_as_a_meta_to_who_asked_for_it_by_name() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "cursor=meta");
    harness.play();
    set_cursor(&guest);
    let shown = until(&guest, &mut harness, 10, |shown| overlays(shown));
    assert_eq!(value(&shown, 0, 0), 10);
}

#[test]
fn a_still_screen_is_sent_again_from_when_that_is_wished() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "");
    harness.play();
    guest.answered(guest.show(0));
    let mut last = pull(&mut harness).pts();
    // The scanout may be a frame of its own.
    std::thread::sleep(std::time::Duration::from_millis(100));
    while let Some(more) = harness.try_pull() {
        last = more.pts();
    }
    source(&harness).set_property("keepalive-time", 20_u32);
    for _ in 0..3 {
        let next = pull(&mut harness).pts();
        assert!(next > last);
        last = next;
    }
}

#[test]
fn after_a_flush_frames_come_as_before() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "");
    harness.play();
    for round in 1..6_u8 {
        guest.paint(0, round);
        let frame = guest.show(0);
        while value(&pull(&mut harness), 0, 0) != round {}
        assert_eq!(guest.answered(frame), Answer::Acked);
        let element = source(&harness);
        assert!(element.send_event(gst::event::FlushStart::new()));
        // Drawn while nobody takes it.
        guest.paint(1, 100 + round);
        let frame = guest.show(1);
        assert!(element.send_event(gst::event::FlushStop::new(true)));
        while value(&pull(&mut harness), 0, 0) != 100 + round {}
        guest.answered(frame);
    }
}

/// Fails if this takes longer than anybody waits.
fn in_time(what: &str, act: impl FnOnce() + Send + 'static) {
    let (tell, ended) = channel();
    let thread = std::thread::spawn(move || {
        act();
        let _ = tell.send(());
    });
    let waited = ended.recv_timeout(2 * PATIENCE);
    assert!(waited.is_ok(), "{what}: {waited:?}");
    thread.join().unwrap();
}

#[test]
fn several_threads_may_change_its_state() {
    init();
    let guest = Guest::new().with(2);
    guest.show(0);
    let description = format!("fanlightsrc name=s uri={} ! fakesink sync=false", guest.uri());
    let pipeline = gst::parse::launch(&description).unwrap();
    let all = pipeline.clone();
    in_time("state changes", move || {
        std::thread::scope(|scope| {
            let states = [gst::State::Playing, gst::State::Paused, gst::State::Null];
            for thread in 0..4 {
                let all = &all;
                scope.spawn(move || {
                    for round in 0..25 {
                        // What another thread makes of it meanwhile it may be refused for.
                        let _ = all.set_state(states[(round + thread) % 3]);
                    }
                });
            }
        });
        all.set_state(gst::State::Null).unwrap();
    });
    // And it plays all the same.
    pipeline.set_state(gst::State::Playing).unwrap();
    guest.show(1);
    guest::next_message(&pipeline, gst::MessageType::AsyncDone);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn it_stops_while_it_waits_for_a_socket_that_says_nothing() {
    init();
    let path = std::env::temp_dir().join(format!("fanlight-silent-{}.sock", std::process::id()));
    let silent = UnixListener::bind(&path).unwrap();
    for scheme in ["scanout", "qmp"] {
        let launch = format!("fanlightsrc uri={scheme}:{} ! fakesink", path.display());
        let pipeline = gst::parse::launch(&launch).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        // It is there, and waits for an answer.
        let connection = silent.accept().unwrap();
        let begun = std::time::Instant::now();
        in_time("to stop", move || {
            pipeline.set_state(gst::State::Null).unwrap();
        });
        assert!(begun.elapsed() < PATIENCE / 10, "{:?}", begun.elapsed());
        drop(connection);
    }
    std::fs::remove_file(path).unwrap();
}
