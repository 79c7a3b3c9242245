//! When frames of `fanlightsrc` come, and how old they are then.

mod guest;

use std::time::{Duration, Instant};

use fanlight::serve::Answer;
use gst::prelude::*;
use gst_check::Harness;

use guest::{Guest, count, grey, harness, pull, source};

/// Without: the guest goes on as soon as its frame was copied.
#[test]
fn a_guest_is_paced_by_the_deadline_where_that_is_wished() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "ack=deadline ack-deadline=60");
    harness.play();
    for _ in 0..3 {
        let begun = Instant::now();
        let frame = guest.show(0);
        drop(pull(&mut harness));
        assert_eq!(guest.answered(frame), Answer::Acked);
        assert!(begun.elapsed() >= Duration::from_millis(60), "{:?}", begun.elapsed());
    }
    assert_eq!(count(&harness, "forced-acks"), 0);
}

/// Without: the frame that the sink keeps counts as one that nobody sees, and so does every frame after it.
#[test]
fn after_a_pause_of_the_guest_a_sink_that_keeps_its_frame_sees_the_next() {
    for ack in ["auto", "push", "release", "deadline"] {
        let guest = Guest::new().with(2);
        let mut harness = harness(&guest, &format!("ack={ack}"));
        harness.play();
        let mut kept = None;
        for number in 0..4_u8 {
            guest.paint(usize::from(number % 2), 10 + number);
            let frame = guest.show(usize::from(number % 2));
            while kept.as_ref().map(|kept: &gst::Buffer| grey(kept)) != Some(10 + number) {
                kept = Some(pull(&mut harness));
            }
            guest.answered(frame);
        }
        for grey_now in [77, 78] {
            let frame = pause_and_show(&guest, grey_now);
            while kept.as_ref().map(|kept| grey(kept)) != Some(grey_now) {
                kept = Some(pull(&mut harness));
            }
            guest.answered(frame);
        }
    }
}

/// Draws nothing for longer than it takes to be hidden, and then this.
fn pause_and_show(guest: &Guest, grey: u8) -> u32 {
    std::thread::sleep(PAUSE);
    guest.paint(0, grey);
    guest.show(0)
}

/// So long the guest draws nothing.
const PAUSE: Duration = Duration::from_millis(300);

fn latency(harness: &Harness) -> gst::ClockTime {
    let mut query = gst::query::Latency::new();
    assert!(source(harness).query(&mut query));
    query.result().1
}

fn running_time(harness: &Harness) -> gst::ClockTime {
    source(harness).current_running_time().expect("it has a clock")
}

/// When the guest had drawn a frame, as its meta says.
fn drawn(buffer: &gst::BufferRef) -> gst::ClockTime {
    let meta = buffer.meta::<gst::ReferenceTimestampMeta>().expect("a timestamp");
    assert_eq!(meta.reference().to_string(), "timestamp/x-fanlight-monotonic");
    meta.timestamp()
}

/// Without: what comes once more is as old as its picture, and a sink that keeps time throws it away.
#[test]
fn a_picture_that_comes_once_more_comes_at_its_time() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "");
    harness.play();
    guest.paint(0, 21);
    guest.show(0);
    drop(pull(&mut harness));
    // Now that somebody looks it is drawn for them.
    guest.answered(guest.show(0));
    let mut first = pull(&mut harness);
    std::thread::sleep(PAUSE);
    while let Some(newer) = harness.try_pull() {
        first = newer;
    }
    let (told, now) = (latency(&harness), running_time(&harness));
    harness.push_upstream_event(gst::event::Reconfigure::new());
    let again = pull(&mut harness);
    assert_eq!(grey(&again), 21);
    assert!(again.pts().unwrap() >= now, "{:?} at {now}", again.pts());
    // Drawn when it was drawn.
    assert!(drawn(&again) <= drawn(&first) + gst::ClockTime::from_mseconds(1));
    assert_eq!(latency(&harness), told);
}

/// Without: what the guest drew meanwhile is as old as the pause was long.
#[test]
fn what_was_drawn_in_a_pause_comes_at_its_end() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "");
    harness.play();
    guest.paint(0, 1);
    guest.paint(1, 2);
    guest.answered(guest.show(0));
    drop(pull(&mut harness));
    let told = latency(&harness);
    let element = source(&harness);
    element.set_state(gst::State::Paused).unwrap();
    guest.answered(guest.show(1));
    std::thread::sleep(PAUSE);
    let now = running_time(&harness);
    element.set_state(gst::State::Playing).unwrap();
    let shown = loop {
        let shown = pull(&mut harness);
        if grey(&shown) == 2 {
            break shown;
        }
    };
    assert!(shown.pts().unwrap() >= now, "{:?} at {now}", shown.pts());
    assert_eq!(latency(&harness), told);
}

/// Without: what waits for its turn is older than the latency that was told, and a sink that keeps time throws it away.
#[test]
fn a_highest_rate_is_kept_and_what_waits_for_it_is_latency() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "max-framerate=10/1");
    harness.play();
    let interval = gst::ClockTime::from_mseconds(100);
    assert!(latency(&harness) > interval, "{}", latency(&harness));
    guest.show(0);
    let mut last = pull(&mut harness);
    let mut came = running_time(&harness);
    for number in 0..6_usize {
        // Drawn at once, and shown when it is its turn.
        guest.answered(guest.show(number % 2));
        let told = latency(&harness);
        let next = pull(&mut harness);
        let now = running_time(&harness);
        let tolerance = gst::ClockTime::from_mseconds(40);
        assert!(now + tolerance >= came + interval, "{now} after {came}");
        let age = now - next.pts().unwrap();
        assert!(age <= told + tolerance, "{age} old, told were {told}");
        assert!(next.pts() > last.pts());
        (last, came) = (next, now);
    }
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    let highest = caps.structure(0).unwrap().get::<gst::Fraction>("max-framerate");
    assert_eq!(highest, Ok(gst::Fraction::new(10, 1)));
}
