//! `fanlightsrc` in a harness, with a guest that does what each test says, whose memory has to be copied.

mod guest;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use fanlight::frame::{Cursor, Rect, Size, Transform};
use fanlight::serve::Answer;
use gst::prelude::*;
use gst_video::{VideoMeta, VideoOverlayCompositionMeta};
use rustix::time::{ClockId, clock_gettime};

use guest::{Guest, PATIENCE, SIZE, count, grey, harness, init, next_message, pull, source};

#[test]
fn frames_are_what_the_guest_drew_in_their_order() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "");
    guest.paint(0, 10);
    let first = guest.show(0);
    harness.play();
    assert_eq!(grey(&pull(&mut harness)), 10);
    guest.answered(first);
    for number in 1..20_u8 {
        let buffer = usize::from(number % 2);
        guest.paint(buffer, 10 + number);
        let frame = guest.show(buffer);
        assert_eq!(grey(&pull(&mut harness)), 10 + number);
        assert_eq!(guest.answered(frame), Answer::Acked);
    }
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
    assert_eq!(
        (info.format(), info.width(), info.height()),
        (gst_video::VideoFormat::Bgrx, 64, 32)
    );
    assert_eq!(info.fps(), gst::Fraction::new(0, 1));
    assert!(count(&harness, "bytes-copied") > 0);
}

#[test]
fn a_change_of_size_comes_with_its_caps_and_no_frame_of_the_old_after_it() {
    let mut guest = Guest::new().with(1);
    let small = Size { width: 32, height: 16 };
    let other = guest.add(small, 0);
    let mut harness = harness(&guest, "");
    // In the order in which they reach the sink.
    let wrong = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&wrong);
    let mask = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    let size_now = Mutex::new(None);
    harness.sinkpad().unwrap().add_probe(mask, move |_, info| {
        let mut size_now = size_now.lock().unwrap();
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            let info = gst_video::VideoInfo::from_caps(caps.caps()).unwrap();
            *size_now = Some((info.width(), info.height(), info.size()));
        } else if let Some(buffer) = info.buffer() {
            let meta = buffer.meta::<VideoMeta>().unwrap();
            let is = (meta.width(), meta.height(), buffer.size());
            seen.fetch_add(u32::from(Some(is) != *size_now), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    harness.play();
    for round in 0..50 {
        let (buffer, size) = [(0, SIZE), (other, small)][round % 2];
        let frame = guest.show(buffer);
        let is = |buffer: &gst::BufferRef| {
            let meta = buffer.meta::<VideoMeta>().unwrap();
            (meta.width(), meta.height())
        };
        // The scanout and its update may be a frame each.
        while is(&pull(&mut harness)) != (size.width, size.height) {}
        guest.answered(frame);
    }
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
}

#[test]
fn upside_down_memory_is_copied_upright() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "");
    harness.play();
    guest.paint(0, 50);
    guest.show_as(0, Transform::Flipped);
    assert_eq!(grey(&pull(&mut harness)), 50);
}

#[test]
fn damage_and_serial_are_told() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "");
    harness.play();
    let frame = guest.show(0);
    let meta = |buffer: &gst::BufferRef| {
        let meta = gst::meta::CustomMeta::from_buffer(buffer, gstfanlight::FRAME_META).unwrap();
        let damage = meta.structure().get::<gst::Array>("damage").ok();
        let damage = damage.map(|sides| sides.iter().map(|s| s.get::<i32>().unwrap()).collect());
        (meta.structure().get::<u64>("serial").unwrap(), damage)
    };
    let (first, damage): (_, Option<Vec<i32>>) = meta(&pull(&mut harness));
    assert_eq!(damage, None);
    guest.answered(frame);
    // The scanout itself may be a frame of its own, which is whole as the first update is.
    loop {
        let before = monotonic();
        guest.answered(guest.update(0, Rect { x: 3, y: 4, width: 5, height: 6 }));
        let shown = pull(&mut harness);
        let (second, damage) = meta(&shown);
        assert!(second > first);
        if let Some(damage) = damage {
            assert_eq!(damage, [3, 4, 5, 6]);
            assert!((before..=monotonic()).contains(&drawn(&shown)), "{}", drawn(&shown));
            break;
        }
    }
}

#[test]
fn downstream_can_draw_on_a_frame_and_the_next_shows_nothing_of_it() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "");
    harness.play();
    guest.paint(0, 20);
    let frame = guest.show(0);
    let mut first = pull(&mut harness);
    first.make_mut().map_writable().unwrap().fill(99);
    drop(first);
    guest.answered(frame);
    for _ in 0..4 {
        let frame = guest.update(0, Rect { x: 0, y: 0, width: 1, height: 1 });
        assert_eq!(grey(&pull(&mut harness)), 20);
        guest.answered(frame);
    }
}

#[test]
fn a_sink_that_keeps_frames_hangs_nobody() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "");
    harness.play();
    let mut kept = Vec::new();
    for number in 0..10_usize {
        let frame = guest.show(number % 2);
        assert_ne!(guest.answered(frame), Answer::TimedOut);
        kept.extend(harness.try_pull());
    }
    assert!(!kept.is_empty() && kept.len() <= 3, "{}", kept.len());
    kept.clear();
    // What was left out is shown when there is room.
    guest.paint(0, 77);
    let frame = guest.show(0);
    while grey(&pull(&mut harness)) != 77 {}
    guest.answered(frame);
}

#[test]
fn latency_is_told() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "");
    harness.play();
    guest.show(0);
    pull(&mut harness);
    let mut query = gst::query::Latency::new();
    assert!(source(&harness).query(&mut query));
    let (live, least, most) = query.result();
    assert!(live && most.is_none());
    assert!(least >= gst::ClockTime::from_mseconds(5), "{least}");
}

#[test]
fn a_fixed_rate_repeats_and_leaves_out() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "framerate=50/1");
    harness.play();
    guest.show(0);
    let interval = gst::ClockTime::from_mseconds(20);
    let first = pull(&mut harness).pts().unwrap();
    for _ in 0..10 {
        let buffer = pull(&mut harness);
        assert_eq!(buffer.duration(), Some(interval));
        assert_eq!((buffer.pts().unwrap() - first).nseconds() % interval.nseconds(), 0);
    }
}

#[test]
fn a_still_screen_is_sent_again_where_that_is_wanted() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "keepalive-time=20");
    harness.play();
    guest.paint(0, 33);
    guest.show(0);
    let mut last = None;
    for _ in 0..5 {
        let buffer = pull(&mut harness);
        assert_eq!(grey(&buffer), 33);
        assert!(buffer.pts() > last);
        last = buffer.pts();
    }
}

#[test]
fn errors_name_cause_and_remedy() {
    let said = |launch: &str| guest::said(launch, gst::MessageType::Error);
    let none = said("fanlightsrc uri=scanout:/nonexistent/vm.sock ! fakesink");
    assert!(none.contains("/nonexistent/vm.sock") && none.contains("is it running"), "{none}");
    let scheme = said("fanlightsrc uri=vnc:x ! fakesink");
    assert!(scheme.contains("scanout:/path/to.sock"), "{scheme}");
    let guest = Guest::new().with(1);
    guest.show(0);
    let gray = "video/x-raw,format=BGRx,width=7";
    let format = said(&format!("fanlightsrc uri={} ! {gray} ! fakesink", guest.uri()));
    assert!(format.contains("width=(int)64") && format.contains("width=(int)7"), "{format}");
}

#[test]
fn the_end_of_the_guest_is_what_was_wished() {
    init();
    for (wish, kind) in [("eos", gst::MessageType::Eos), ("error", gst::MessageType::Error)] {
        let guest = Guest::new().with(1);
        guest.show(0);
        let description =
            format!("fanlightsrc uri={} on-disconnect={wish} ! fakesink sync=false", guest.uri());
        let pipeline = gst::parse::launch(&description).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        next_message(&pipeline, gst::MessageType::AsyncDone);
        drop(guest);
        next_message(&pipeline, kind);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_guest_that_is_back_is_shown_again() {
    let guest = Guest::new().with(1);
    let path = guest.path.clone();
    let mut harness = harness(&guest, "on-disconnect=reconnect");
    harness.play();
    guest.paint(0, 1);
    guest.show(0);
    assert_eq!(grey(&pull(&mut harness)), 1);
    drop(guest);
    let guest = Guest::at(path).with(1);
    guest.paint(0, 2);
    guest.show(0);
    while grey(&pull(&mut harness)) != 2 {}
}

#[test]
fn players_take_its_uris() {
    init();
    let guest = Guest::new().with(1);
    guest.show(0);
    for player in ["uridecodebin", "uridecodebin3"] {
        let sink = "fakesink name=sink signal-handoffs=true sync=false";
        let description = format!("{player} uri={} ! {sink}", guest.uri());
        let pipeline =
            gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
        let (tell, shown) = std::sync::mpsc::channel();
        pipeline.by_name("sink").unwrap().connect("handoff", false, move |_| {
            // Who has seen one listens no more.
            let _ = tell.send(());
            None
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        shown.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{player} shows nothing"));
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn an_eos_event_ends_the_stream_while_nothing_comes() {
    init();
    let guest = Guest::new().with(1);
    let description = format!("fanlightsrc uri={} ! fakesink", guest.uri());
    let pipeline = gst::parse::launch(&description).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline.send_event(gst::event::Eos::new());
    next_message(&pipeline, gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_paused_pipeline_lets_the_guest_go_on() {
    init();
    let guest = Guest::new().with(2);
    let description = format!("fanlightsrc name=s uri={} ! fakesink sync=false", guest.uri());
    let pipeline = gst::parse::launch(&description).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    guest.answered(guest.show(0));
    pipeline.set_state(gst::State::Paused).unwrap();
    for number in 0..20 {
        assert_eq!(guest.answered(guest.show(number % 2)), Answer::Acked);
    }
    let source = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("s").unwrap();
    let stats = source.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("forced-acks"), Ok(0), "{stats}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A cursor of one colour, premultiplied.
fn cursor(pixel: [u8; 4]) -> Cursor {
    Cursor { size: Size { width: 8, height: 8 }, hotspot: (0, 0), pixels: pixel.repeat(64) }
}

#[test]
fn the_cursor_is_drawn_into_copies_and_follows_the_guests() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "cursor=embed");
    harness.play();
    guest.paint(0, 10);
    let frame = guest.show(0);
    assert_eq!(grey(&pull(&mut harness)), 10);
    guest.answered(frame);
    let red = [0, 0, 200, 255];
    guest.serve(|server, console| {
        server.set_cursor(console, &cursor(red)).unwrap();
        server.move_cursor(console, 4, 2, true).unwrap();
    });
    let pixel = |buffer: &gst::BufferRef, x: usize, y: usize| {
        let map = buffer.map_readable().unwrap();
        map[(y * 64 + x) * 4..][..3].to_vec()
    };
    // Nothing but the cursor has changed.
    let shown = loop {
        let shown = pull(&mut harness);
        if pixel(&shown, 4, 2) == red[..3] {
            break shown;
        }
    };
    assert_eq!((pixel(&shown, 11, 9), pixel(&shown, 12, 9)), (red[..3].to_vec(), vec![10; 3]));
    assert_eq!(pixel(&shown, 3, 2), [10; 3]);
    guest.serve(|server, console| server.move_cursor(console, -4, 2, true).unwrap());
    while pixel(&pull(&mut harness), 4, 2) == red[..3] {}
    guest.serve(|server, console| server.move_cursor(console, 0, 0, false).unwrap());
    while pixel(&pull(&mut harness), 0, 2) == red[..3] {}
}

#[test]
fn the_cursor_is_laid_over_by_whoever_can() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "");
    harness.add_propose_allocation_meta(VideoOverlayCompositionMeta::meta_api(), None);
    harness.play();
    guest.paint(0, 10);
    guest.answered(guest.show(0));
    guest.serve(|server, console| {
        server.set_cursor(console, &cursor([0, 0, 200, 255])).unwrap();
        server.move_cursor(console, 40, -3, true).unwrap();
    });
    loop {
        let shown = pull(&mut harness);
        assert_eq!(grey(&shown), 10);
        if let Some(meta) = shown.meta::<VideoOverlayCompositionMeta>() {
            let rectangle = meta.overlay().rectangle(0).unwrap();
            assert_eq!(rectangle.render_rectangle(), (40, -3, 8, 8));
            break;
        }
    }
}

/// What the host's clock says.
fn monotonic() -> gst::ClockTime {
    let now = clock_gettime(ClockId::Monotonic);
    gst::ClockTime::from_seconds(now.tv_sec.cast_unsigned())
        + gst::ClockTime::from_nseconds(now.tv_nsec.cast_unsigned())
}

/// When the guest had drawn a frame, as its meta says.
fn drawn(buffer: &gst::BufferRef) -> gst::ClockTime {
    let meta = buffer.meta::<gst::ReferenceTimestampMeta>().expect("a timestamp");
    assert_eq!(meta.reference().to_string(), "timestamp/x-fanlight-monotonic");
    meta.timestamp()
}
