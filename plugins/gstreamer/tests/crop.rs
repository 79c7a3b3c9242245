//! `fanlightsrc` with a guest of whose memory only a part is visible, and isn't linear: memfds that the plugin is told are
//! dma-bufs of a GPU, which is a fake.

mod gpu;
mod guest;

use fanlight::frame::{Layout, Rect, Transform};
use fanlight::serve::Answer;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoCropMeta, VideoInfoDmaDrm, VideoMeta};

use gpu::{Orders, TILED, orders};
use guest::{Guest, SIZE, count, file};

const PART: Rect = Rect { x: 8, y: 4, width: 40, height: 20 };
const TAKES: &str = "video/x-raw(memory:DMABuf),format=DMA_DRM,\
                     drm-format={XR24:0x0100000000000002,XR24}";

fn harness(guest: &Guest, properties: &str, crops: bool) -> Harness {
    gstfanlight::classify_with(guest::classify_as_gpus);
    let mut harness = guest::harness(guest, &format!("{properties} ack-deadline=1000"));
    if crops {
        harness.add_propose_allocation_meta(VideoCropMeta::meta_api(), None);
    }
    harness.set_sink_caps_str(TAKES);
    harness
}

fn tiled(guest: &mut Guest) -> usize {
    let linear = guest.add(SIZE, 0);
    guest.add_laid_out(Layout { modifier: TILED, ..guest.layout(linear) })
}

/// What caps, the whole and the part that is to be shown say of a frame's size.
fn sizes(harness: &Harness, buffer: &gst::BufferRef) -> [(u32, u32); 2] {
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    let info = VideoInfoDmaDrm::from_caps(&caps).unwrap();
    let meta = buffer.meta::<VideoMeta>().unwrap();
    [(info.width(), info.height()), (meta.width(), meta.height())]
}

#[test]
fn who_can_cut_a_part_out_gets_the_guests_memory_and_is_told_which() {
    let _turn = gpu::begin(Orders { refuses_memory: true, ..Orders::default() });
    let mut guest = Guest::new();
    let buffers = [tiled(&mut guest), tiled(&mut guest)];
    let mut harness = harness(&guest, "present=direct", true);
    harness.play();
    for (round, x) in [8, 0, 24, 3].into_iter().enumerate() {
        let buffer = buffers[round % 2];
        let part = Rect { x, ..PART };
        guest.show_part(buffer, part, Transform::Normal);
        let shown = loop {
            let shown = harness.pull().expect("a frame");
            if file(&shown).unwrap().0 == guest.inode(buffer) {
                break shown;
            }
        };
        // As GStreamer's own videocrop has it: caps say what is shown, the video meta says what there is.
        assert_eq!(sizes(&harness, &shown), [(40, 20), (64, 32)]);
        let crop = shown.meta::<VideoCropMeta>().expect("a part");
        assert_eq!(crop.rect(), (x, 4, 40, 20));
    }
    // All of it is told as ever.
    guest.show(buffers[0]);
    let shown = loop {
        let shown = harness.pull().expect("a frame");
        if shown.meta::<VideoCropMeta>().is_none() {
            break shown;
        }
    };
    assert_eq!(sizes(&harness, &shown), [(64, 32); 2]);
    assert_eq!(count(&harness, "bytes-copied"), 0);
}

#[test]
fn who_cannot_cut_a_part_out_gets_a_copy_of_it() {
    let _turn = gpu::begin(Orders::default());
    let mut guest = Guest::new();
    let buffer = tiled(&mut guest);
    let mut harness = harness(&guest, "present=direct", false);
    harness.play();
    for _ in 0..4 {
        let frame = guest.show_part(buffer, PART, Transform::Normal);
        let shown = harness.pull().expect("a frame");
        assert!(shown.meta::<VideoCropMeta>().is_none());
        assert_eq!(sizes(&harness, &shown), [(40, 20); 2]);
        assert!(orders(|orders| orders.targets.iter().any(|t| t.2 == file(&shown).unwrap().0)));
        drop(shown);
        assert_eq!(guest.answered(frame), Answer::Acked);
    }
}
