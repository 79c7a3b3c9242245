//! `fanlightsrc` in a harness, with a guest whose memory is passed on as it is: memfds that the plugin is told are
//! dma-bufs.

mod guest;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fanlight::frame::{Size, Transform};
use fanlight::serve::Answer;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoMeta;

use guest::{Guest, SIZE, count, file, init, source};

const DMABUF: &str = "video/x-raw(memory:DMABuf)";

fn harness(guest: &Guest, properties: &str, takes: &str) -> Harness {
    gstfanlight::classify_with(guest::classify);
    let mut harness = guest::harness(guest, properties);
    harness.set_sink_caps_str(takes);
    harness
}

/// Flips until frames are the guest's own memory; the last of them, which the guest shows in buffer 1.
fn flipping(guest: &Guest, harness: &mut Harness) -> gst::Buffer {
    let mut last = None;
    loop {
        for buffer in [0, 1] {
            let frame = guest.show(buffer);
            let shown = harness.pull().expect("a frame");
            drop(last.replace(shown));
            guest.answered(frame);
            while let Some(newer) = harness.try_pull() {
                last = Some(newer);
            }
        }
        let is = last.as_ref().and_then(|last| file(last)).map(|(inode, _)| inode);
        if is == Some(guest.inode(1)) {
            return last.take().expect("just seen");
        }
    }
}

#[test]
fn flips_are_passed_on_and_acked_when_the_buffer_before_is_gone() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "ack-deadline=1000", DMABUF);
    harness.play();
    let mut shown = flipping(&guest, &mut harness);
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    let info = gst_video::VideoInfoDmaDrm::from_caps(&caps).unwrap();
    assert_eq!((&info.fourcc().to_le_bytes(), info.modifier()), (b"XR24", 0));
    let (copied, imports) = (count(&harness, "bytes-copied"), count(&harness, "imports"));
    for round in 0..20_usize {
        let buffer = round % 2;
        let frame = guest.show(buffer);
        let next = harness.pull().expect("a frame");
        assert_eq!(file(&next).unwrap().0, guest.inode(buffer));
        // The sink still has the one before: the guest may not draw into it.
        assert!(!guest.is_answered(frame));
        drop(std::mem::replace(&mut shown, next));
        assert_eq!(guest.answered(frame), Answer::Acked);
    }
    assert_eq!(count(&harness, "bytes-copied"), copied);
    assert_eq!(count(&harness, "forced-acks"), 0);
    assert!(count(&harness, "imports") <= imports + 2);
}

#[test]
fn a_buffer_that_is_kept_hangs_the_guest_until_the_deadline_only_and_is_counted() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "ack-deadline=20", DMABUF);
    harness.play();
    let kept = flipping(&guest, &mut harness);
    let forced = count(&harness, "forced-acks");
    assert_eq!(guest.answered(guest.show(0)), Answer::Acked);
    assert!(count(&harness, "forced-acks") > forced);
    drop(kept);
}

#[test]
fn acks_do_not_wait_for_anybody_where_that_is_wished() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "ack=push ack-deadline=1000", DMABUF);
    harness.play();
    let mut kept = vec![flipping(&guest, &mut harness)];
    for buffer in [0, 1, 0, 1] {
        let frame = guest.show(buffer);
        kept.extend(harness.pull());
        assert_eq!(guest.answered(frame), Answer::Acked);
    }
    assert_eq!(count(&harness, "forced-acks"), 0);
}

#[test]
fn in_place_each_frame_is_another_memory_and_the_same_few() {
    let guest = Guest::new().with(1);
    let mut harness = harness(&guest, "present=direct ack-deadline=1000", DMABUF);
    harness.play();
    let mut frame = guest.show(0);
    let mut last = None::<gst::Buffer>;
    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        let shown = harness.pull().expect("a frame");
        let (inode, fd) = file(&shown).expect("direct");
        assert_eq!(inode, guest.inode(0));
        // Sinks leave a frame out that comes in the memory, or by the fd, of the one that they have.
        let before = last.as_ref().map(|last| file(last).expect("direct").1);
        assert_ne!(Some(fd), before);
        seen.insert(fd);
        last = Some(shown);
        guest.answered(frame);
        frame = guest.show(0);
    }
    // What was imported is imported no more.
    assert!((2..=3).contains(&seen.len()), "{seen:?}");
    assert_eq!(count(&harness, "bytes-copied"), 0);
}

#[test]
fn what_only_knows_alpha_gets_the_same_bytes() {
    let guest = Guest::new().with(2);
    let takes = format!("{DMABUF},format=DMA_DRM,drm-format=AR24");
    let mut harness = harness(&guest, "present=direct", &takes);
    harness.play();
    guest.show(0);
    assert!(file(&harness.pull().unwrap()).is_some());
}

#[test]
fn who_knows_no_dma_bufs_gets_them_as_any_memory() {
    let mut guest = Guest::new();
    let wide = guest.add(SIZE, 128);
    guest.paint(wide, 40);
    let mut harness = harness(&guest, "present=direct", "video/x-raw,format=BGRx");
    harness.play();
    guest.show(wide);
    let shown = harness.pull().unwrap();
    assert_eq!(file(&shown).unwrap().0, guest.inode(wide));
    let meta = shown.meta::<VideoMeta>().unwrap();
    assert_eq!(meta.stride(), [i32::try_from(SIZE.width * 4 + 128).unwrap()]);
    assert_eq!(shown.map_readable().unwrap()[0], 40);
}

#[test]
fn the_pipeline_can_change_its_mind() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "", DMABUF);
    harness.play();
    drop(flipping(&guest, &mut harness));
    assert!(is_dmabuf(&harness));
    // From now on it takes what the CPU reads only, tightly packed.
    harness.set_sink_caps_str("video/x-raw,format=BGRx");
    harness.push_upstream_event(gst::event::Reconfigure::new());
    // The guest draws nothing, and whoever is there now sees its screen all the same.
    drop(harness.pull().expect("a frame"));
    assert!(!is_dmabuf(&harness));
    for round in 0..6_usize {
        let frame = guest.show(round % 2);
        drop(harness.pull().unwrap());
        guest.answered(frame);
    }
    assert!(!is_dmabuf(&harness));
}

/// Without: what comes back late is acked as much after that, by force; and in place nobody waits at all.
#[test]
fn a_guest_is_paced_by_the_deadline_where_that_is_wished() {
    let guest = Guest::new().with(2);
    let deadline = Duration::from_millis(400);
    let mut harness = harness(&guest, "present=direct ack=deadline ack-deadline=400", DMABUF);
    harness.play();
    let mut kept = flipping(&guest, &mut harness);
    for buffer in [0, 1, 1] {
        let begun = Instant::now();
        let frame = guest.show(buffer);
        let shown = harness.pull().expect("a frame");
        assert_eq!(file(&shown).map(|(inode, _)| inode), Some(guest.inode(buffer)));
        std::thread::sleep(deadline / 2);
        drop(std::mem::replace(&mut kept, shown));
        assert_eq!(guest.answered(frame), Answer::Acked);
        assert!(begun.elapsed() >= deadline, "{:?}", begun.elapsed());
    }
    assert_eq!(count(&harness, "forced-acks"), 0);
}

/// Without: of a guest that draws in place frames are read that came back in another order, for ever.
#[test]
fn the_order_in_which_frames_come_back_does_not_matter() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "present=direct ack-deadline=1000", DMABUF);
    harness.play();
    let mut kept = Vec::new();
    while kept.len() < 3 {
        let frame = guest.show(0);
        kept.push(harness.pull().expect("a frame"));
        guest.answered(frame);
        while let Some(another) = harness.try_pull() {
            kept.push(another);
        }
    }
    while kept.pop().is_some() {}
    let frame = guest.show(1);
    drop(harness.pull().expect("a frame"));
    assert_eq!(guest.answered(frame), Answer::Acked);
    assert_eq!(count(&harness, "forced-acks"), 0);
}

/// Without: a sink that turns pictures round learns of it before it knows in which stream, or never.
#[test]
fn which_way_up_the_picture_is_comes_before_the_frame_and_in_its_segment() {
    let guest = Guest::new().with(2);
    let mut harness = harness(&guest, "present=direct", DMABUF);
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let mask = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    harness.sinkpad().unwrap().add_probe(mask, move |_, info| {
        let what = match info.event().map(|event| event.view()) {
            Some(gst::EventView::Segment(_)) => Some("segment".to_owned()),
            Some(gst::EventView::Tag(tag)) => {
                let tag = tag.tag().get::<gst::tags::ImageOrientation>();
                tag.map(|tag| tag.get().to_owned())
            }
            Some(_) => None,
            None => Some("frame".to_owned()),
        };
        seen.lock().unwrap().extend(what);
        gst::PadProbeReturn::Ok
    });
    let take = || {
        let mut events = std::mem::take(&mut *events.lock().unwrap());
        events.dedup();
        events
    };
    harness.play();
    guest.answered(guest.show_as(0, Transform::Flipped));
    drop(harness.pull().expect("a frame"));
    let first = take();
    assert_eq!(first, ["segment", "flip-rotate-180", "frame"]);
    guest.answered(guest.show(1));
    let mut upright = Vec::new();
    while !upright.ends_with(&["rotate-0".to_owned(), "frame".to_owned()]) {
        drop(harness.pull().expect("a frame"));
        upright.extend(take());
    }
    assert!(!upright.contains(&"flip-rotate-180".to_owned()), "{upright:?}");
}

/// Whether the pipeline's caps are of dma-bufs that only who knows them can read.
fn is_dmabuf(harness: &Harness) -> bool {
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    caps.features(0).unwrap().contains("memory:DMABuf")
}

/// Without: the second frame and those after it come with rows that downstream takes for others. (A memfd that is taken for
/// a dma-buf can't be copied, so that here nothing is shown at all.)
#[test]
fn rows_with_gaps_do_not_come_to_who_cannot_skip_them() {
    init();
    gstfanlight::classify_with(guest::classify);
    let mut guest = Guest::new();
    let wide = guest.add(SIZE, 128);
    let uri = guest.uri();
    let mut harness = Harness::new_parse(&format!("fanlightsrc uri={uri} present=direct"));
    harness.use_systemclock();
    harness.set_sink_caps_str("video/x-raw,format=BGRx");
    harness.play();
    let imports = || {
        let stats = source(&harness).property::<gst::Structure>("stats");
        stats.get::<u64>("imports").unwrap_or(0)
    };
    // Frames that nobody looks at yet are answered at once.
    let deadline = Instant::now() + guest::PATIENCE;
    while imports() == 0 {
        guest.answered(guest.show(wide));
        assert!(Instant::now() < deadline, "nothing was imported");
    }
    for _ in 0..4 {
        guest.answered(guest.show(wide));
    }
    assert_eq!((harness.buffers_received(), imports()), (0, 1));
}

#[test]
fn a_mode_change_of_a_guest_that_flips_leaves_no_memory_behind() {
    let mut guest = Guest::new().with(2);
    let mut harness = harness(&guest, "ack-deadline=1000", DMABUF);
    harness.play();
    drop(flipping(&guest, &mut harness));
    for round in 0..10_u32 {
        let size = Size { width: 64 + 16 * (round + 1), height: 32 };
        let buffer = guest.add(size, 0);
        let frame = guest.show(buffer);
        let shown = loop {
            let shown = harness.pull().unwrap();
            let meta = shown.meta::<VideoMeta>().unwrap();
            if meta.width() == size.width {
                break shown;
            }
        };
        drop(shown);
        guest.answered(frame);
    }
    assert_eq!(count(&harness, "forced-acks"), 0);
}

#[test]
fn that_nothing_can_be_shown_is_said() {
    init();
    gstfanlight::classify_with(guest::classify);
    let guest = Guest::new().with(1);
    // A memfd that is taken for a dma-buf can't be copied, and this one isn't taken as it is.
    guest.show_as(0, Transform::Flipped);
    let warning = guest::said(
        &format!("fanlightsrc uri={} ! fakesink", guest.uri()),
        gst::MessageType::Warning,
    );
    assert!(warning.contains("can't be copied"), "{warning}");
}
