//! `fanlightsrc` with a guest's memory that the CPU can't read, and a GPU that copies it: the memory are memfds that the
//! plugin is told are dma-bufs of a GPU, and that is a fake.

mod gpu;
mod guest;

use std::os::fd::BorrowedFd;

use fanlight::frame::{Damage, Format, Layout, Modifier, Rect, Size};
use fanlight::serve::Answer;
use fanlight::sys::{self, ClassifyError, Identity};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoMeta;

use gpu::{OTHER, Orders, TILED, orders};
use guest::{Guest, SIZE, count, file, init, source};

/// Pixels of the usual size.
const WHOLE: usize = 64 * 32;
const LINEAR_ONLY: &str = "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=XR24";
const BOTH: &str = "video/x-raw(memory:DMABuf),format=DMA_DRM,\
                    drm-format={XR24:0x0100000000000002,XR24,NV12}";

/// What fits into a page is no dma-buf. Rows of a GPU's copy of it lie as those of a CPU's.
const SMALL: Size = Size { width: 64, height: 8 };

fn classify(fd: BorrowedFd<'_>) -> Result<Identity, ClassifyError> {
    let known = sys::classify(fd)?;
    if known.size > 4096 { guest::classify_as_gpus(fd) } else { Ok(known) }
}

fn harness(guest: &Guest, takes: &str) -> Harness {
    harness_with(guest, "ack-deadline=1000", takes)
}

fn harness_with(guest: &Guest, properties: &str, takes: &str) -> Harness {
    gstfanlight::classify_with(classify);
    let mut harness = guest::harness(guest, properties);
    harness.set_sink_caps_str(takes);
    harness
}

/// A buffer that nobody downstream takes as it is, and the CPU can't read.
fn tiled(guest: &mut Guest) -> usize {
    let linear = guest.layout(0);
    guest.add_laid_out(Layout { modifier: OTHER, ..linear })
}

/// The greys of a frame's pixels, from row to row as its meta says.
fn greys(buffer: &gst::BufferRef) -> Vec<u8> {
    let meta = buffer.meta::<VideoMeta>().unwrap();
    let (width, stride) = (meta.width() as usize, usize::try_from(meta.stride()[0]).unwrap());
    let map = buffer.map_readable().unwrap();
    let rows = map.chunks(stride).take(meta.height() as usize);
    rows.flat_map(|row| row[..width * 4].iter().step_by(4).copied().collect::<Vec<_>>()).collect()
}

/// The next frame that is all of this grey. A new picture may come twice: when it is announced, and when it is drawn.
fn pull(harness: &mut Harness, grey: u8, pixels: usize) -> gst::Buffer {
    loop {
        let shown = harness.pull().expect("a frame");
        let greys = greys(&shown);
        assert!(greys.iter().all(|other| *other == greys[0]), "a mixed frame");
        if greys.len() == pixels && greys[0] == grey {
            return shown;
        }
    }
}

fn drm_format(harness: &Harness) -> String {
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    caps.structure(0).unwrap().get("drm-format").unwrap()
}

#[test]
fn the_gpu_copies_what_the_cpu_cannot_read_into_memory_that_downstream_takes() {
    let linear = vec![Modifier::LINEAR];
    for (takes, offered, said) in [
        (LINEAR_ONLY, linear.clone(), Some("XR24")),
        (BOTH, vec![TILED, Modifier::LINEAR], Some("XR24:0x0100000000000002")),
        ("video/x-raw,format=BGRx", linear, None),
    ] {
        let _turn = gpu::begin(Orders::default());
        let mut guest = Guest::new().with(1);
        let buffer = tiled(&mut guest);
        let mut harness = harness(&guest, takes);
        harness.play();
        let mut files = Vec::new();
        for grey in 10..30 {
            guest.paint(buffer, grey);
            let frame = guest.show(buffer);
            let shown = pull(&mut harness, grey, WHOLE);
            files.push(file(&shown).unwrap().0);
            assert_eq!(guest.answered(frame), Answer::Acked);
        }
        let targets = orders(|orders| std::mem::take(&mut orders.targets));
        // Made once, and drawn into again and again.
        assert!((1..=3).contains(&targets.len()), "{targets:?}");
        for (size, modifiers, made) in &targets {
            assert_eq!((size, modifiers), (&SIZE, &offered));
            assert!(
                files.contains(made)
                    && files.iter().all(|file| targets.iter().any(|t| t.2 == *file))
            );
        }
        assert_eq!(said.is_some().then(|| drm_format(&harness)).as_deref(), said);
        assert_eq!(count(&harness, "forced-acks"), 0);
    }
}

#[test]
fn a_copy_is_passed_on_when_it_is_complete() {
    let _turn = gpu::begin(Orders { fenced: true, ..Orders::default() });
    let mut guest = Guest::new().with(1);
    let buffer = tiled(&mut guest);
    let mut harness = harness(&guest, LINEAR_ONLY);
    harness.play();
    guest.paint(buffer, 40);
    let frame = guest.show(buffer);
    gpu::wait(|orders| !orders.fences.is_empty());
    // The element's thread waits: what it is asked now it answers, and the frame is not there.
    assert_eq!(count(&harness, "bytes-copied"), 0);
    assert!(harness.try_pull().is_none());
    orders(Orders::complete);
    pull(&mut harness, 40, WHOLE);
    assert_eq!(guest.answered(frame), Answer::Acked);
    assert_eq!(count(&harness, "bytes-copied"), 64 * 32 * 4);
}

#[test]
fn only_what_changed_is_drawn_into_a_target_that_has_the_rest() {
    let _turn = gpu::begin(Orders::default());
    let mut guest = Guest::new().with(1);
    let buffer = tiled(&mut guest);
    let mut harness = harness(&guest, LINEAR_ONLY);
    harness.play();
    guest.paint(buffer, 1);
    guest.answered(guest.show(buffer));
    pull(&mut harness, 1, WHOLE);
    let part = Rect { x: 8, y: 4, width: 16, height: 8 };
    for grey in 2..22 {
        if grey == 12 {
            // By now each target that is used has been drawn into.
            orders(|orders| (orders.drawn.clear(), orders.targets.clear()));
        }
        // It says so of a part of what has changed.
        guest.paint(buffer, grey);
        guest.answered(guest.update(buffer, part));
        let shown = harness.pull().expect("a frame");
        let shown = greys(&shown);
        assert_eq!((shown[4 * 64 + 8], shown[11 * 64 + 23]), (grey, grey));
    }
    orders(|orders| {
        assert_eq!((orders.drawn.len(), orders.targets.len()), (10, 0));
        assert!(orders.drawn.iter().all(|damage| *damage == Damage::from(part)));
    });
}

#[test]
fn memory_that_the_gpu_cannot_make_so_is_made_linear() {
    let _turn = gpu::begin(Orders { only_linear: true, ..Orders::default() });
    let mut guest = Guest::new().with(1);
    let buffer = tiled(&mut guest);
    let mut harness = harness(&guest, BOTH);
    harness.play();
    guest.paint(buffer, 7);
    guest.show(buffer);
    pull(&mut harness, 7, WHOLE);
    assert_eq!(drm_format(&harness), "XR24");
}

#[test]
fn formats_that_the_cpu_does_not_know_are_drawn() {
    let _turn = gpu::begin(Orders::default());
    let mut guest = Guest::new().with(1);
    let format = Format(u32::from_le_bytes(*b"AR12"));
    let deep = guest.add_laid_out(Layout { format, ..guest.layout(0) });
    let mut harness = harness(&guest, "video/x-raw,format=BGRx");
    harness.play();
    guest.paint(deep, 9);
    guest.show(deep);
    pull(&mut harness, 9, WHOLE);
}

#[test]
fn the_cpu_copies_what_it_can_read_whatever_the_gpu_has_drawn_before() {
    let _turn = gpu::begin(Orders::default());
    let mut guest = Guest::new();
    let copied = guest.add(SMALL, 0);
    let drawn = tiled(&mut guest);
    let tiled = "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=XR24:0x0100000000000002";
    let mut harness = harness(&guest, &format!("{tiled};video/x-raw,format=BGRx"));
    harness.play();
    for round in 0..12 {
        for (buffer, grey) in [(drawn, 100 + round), (copied, 50 + round)] {
            guest.paint(buffer, grey);
            let frame = guest.show(buffer);
            let shown = pull(&mut harness, grey, 64 * 8);
            let made = file(&shown).unwrap().0;
            // Nobody's CPU writes where the GPU has drawn.
            let by_gpu = orders(|orders| orders.targets.iter().any(|target| target.2 == made));
            assert_eq!(by_gpu, buffer == drawn);
            drop(shown);
            assert_eq!(guest.answered(frame), Answer::Acked);
        }
    }
}

#[test]
fn downstream_may_change_its_mind_about_what_the_gpu_draws() {
    let _turn = gpu::begin(Orders::default());
    let mut guest = Guest::new().with(1);
    let buffer = tiled(&mut guest);
    let mut harness = harness(&guest, BOTH);
    harness.play();
    let part = Rect { x: 8, y: 4, width: 16, height: 8 };
    // As sinks do, so that the next is drawn into another target.
    let mut kept = None;
    let mut draw = |harness: &mut Harness, grey| {
        guest.paint(buffer, grey);
        guest.answered(guest.update(buffer, part));
        loop {
            let frame = harness.pull().expect("a frame");
            let shown = greys(&frame);
            kept = Some(frame);
            assert!(shown.iter().all(|grey| *grey > 0), "a new target lacks all");
            // Whoever changes its mind gets the frame before once more.
            if shown[4 * 64 + 8] == grey {
                return drm_format(harness);
            }
        }
    };
    guest.paint(buffer, 1);
    guest.answered(guest.show(buffer));
    pull(&mut harness, 1, WHOLE);
    for grey in 2..8 {
        assert_eq!(draw(&mut harness, grey), "XR24:0x0100000000000002");
    }
    harness.set_sink_caps_str(LINEAR_ONLY);
    harness.push_upstream_event(gst::event::Reconfigure::new());
    let formats: Vec<_> = (8..20).map(|grey| draw(&mut harness, grey)).collect();
    assert_eq!(formats[4..], ["XR24"; 8]);
    assert!(kept.is_some());
}

#[test]
fn what_neither_can_copy_is_said_with_what_each_lacks() {
    for (how, lacks) in [
        (Orders { refuses_memory: true, ..Orders::default() }, "it is told to refuse"),
        (Orders { breaks: true, ..Orders::default() }, "it is told to break"),
    ] {
        let _turn = gpu::begin(how);
        init();
        gstfanlight::classify_with(classify);
        let mut guest = Guest::new().with(1);
        let buffer = tiled(&mut guest);
        guest.show(buffer);
        let takes = "video/x-raw,format=BGRx";
        let launch = format!("fanlightsrc uri={} ! {takes} ! fakesink", guest.uri());
        let warning = guest::said(&launch, gst::MessageType::Warning);
        assert!(
            warning.contains("the CPU can't read memory laid out as modifier 0x02"),
            "{warning}"
        );
        assert!(warning.contains(lacks), "{warning}");
    }
}

/// Without: a frame for which there is no memory left is lost, and counted as shown.
#[test]
fn who_keeps_all_memory_of_a_buffer_gets_copies_and_what_then_has_no_room_is_counted() {
    let _turn = gpu::begin(Orders::default());
    let guest = Guest::new().with(1);
    let mut harness = harness_with(&guest, "present=direct ack-deadline=100", LINEAR_ONLY);
    harness.play();
    let theirs = |buffer: &gst::Buffer| file(buffer).unwrap().0 == guest.inode(0);
    let mut kept = Vec::new();
    let mut grey = 10;
    // Until a copy comes.
    while kept.last().is_none_or(theirs) {
        grey += 1;
        guest.paint(0, grey);
        let frame = guest.show(0);
        kept.push(pull(&mut harness, grey, WHOLE));
        assert_eq!(guest.answered(frame), Answer::Acked);
        // Two handles of four memories each, and the copy.
        assert!(kept.len() <= 9, "more than what there is");
    }
    assert!(count(&harness, "bytes-copied") > 0);
    assert_eq!(count(&harness, "dropped-frames"), 0);
    // All copies are kept, too.
    for _ in 0..4 {
        grey += 1;
        guest.paint(0, grey);
        assert_eq!(guest.answered(guest.show(0)), Answer::Acked);
        kept.extend(harness.try_pull());
    }
    assert!(count(&harness, "dropped-frames") > 0);
    kept.clear();
    // What was left out is shown when there is room, and later ones come as before.
    drop(pull(&mut harness, grey, WHOLE));
    loop {
        grey += 1;
        guest.paint(0, grey);
        let frame = guest.show(0);
        let shown = pull(&mut harness, grey, WHOLE);
        let direct = theirs(&shown);
        drop(shown);
        guest.answered(frame);
        if direct {
            break;
        }
        assert!(grey < 200, "it stays with copies");
    }
}

#[test]
fn frames_are_copied_or_direct_as_is_wished_while_it_plays() {
    let _turn = gpu::begin(Orders::default());
    let guest = Guest::new().with(1);
    let mut harness = harness_with(&guest, "present=direct ack-deadline=1000", LINEAR_ONLY);
    harness.play();
    let mut grey = 10;
    for (wish, direct) in [("direct", true), ("copy", false), ("direct", true)] {
        source(&harness).set_property_from_str("present", wish);
        // A copy takes the place of the guest's memory at once; what the guest drew into that meanwhile would be in it.
        while !direct && file(&harness.pull().expect("a copy")).unwrap().0 == guest.inode(0) {}
        loop {
            grey += 1;
            guest.paint(0, grey);
            let frame = guest.show(0);
            let shown = pull(&mut harness, grey, WHOLE);
            let is = file(&shown).unwrap().0 == guest.inode(0);
            drop(shown);
            guest.answered(frame);
            if is == direct {
                break;
            }
            assert!(grey < 200, "it is never {wish}");
        }
    }
}
