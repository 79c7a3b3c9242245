//! `fanlightsrc` with a guest whose planes lie in several dma-bufs: memfds that the plugin is told are some.

mod gpu;
mod guest;

use fanlight::frame::{Format, Layout, Modifier, PLANES_MAX, Plane};
use fanlight::serve::Answer;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoMeta;

use gpu::Orders;
use guest::{Guest, SIZE, count, files, init};

/// Three planes, of which the second and the third are in one file.
fn yuv() -> Layout {
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0] = Plane { offset: 256, stride: 64 };
    planes[1] = Plane { offset: 128, stride: 32 };
    planes[2] = Plane { offset: 2048, stride: 32 };
    let format = Format(u32::from_le_bytes(*b"YU12"));
    Layout { size: SIZE, format, modifier: Modifier::LINEAR, planes, plane_count: 3 }
}

#[test]
fn each_dma_buf_is_a_memory_and_planes_are_found_across_them() {
    let _turn = gpu::begin(Orders { refuses_memory: true, ..Orders::default() });
    init();
    gstfanlight::classify_with(guest::classify_as_gpus);
    let mut guest = Guest::new();
    let both = [guest.add_planes(yuv(), &[0, 1, 1]), guest.add_planes(yuv(), &[0, 1, 1])];
    let element = format!("fanlightsrc uri={} present=direct ack-deadline=1000", guest.uri());
    let mut harness = Harness::new_parse(&element);
    harness.use_systemclock();
    harness.add_propose_allocation_meta(VideoMeta::meta_api(), None);
    harness.set_sink_caps_str("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=YU12");
    harness.play();
    let mut kept = None::<gst::Memory>;
    for round in 0..8_usize {
        let buffer = both[round % 2];
        let frame = guest.show(buffer);
        let shown = loop {
            let shown = harness.pull().expect("a frame");
            if files(&shown) == guest.inodes(buffer) {
                break shown;
            }
        };
        let meta = shown.meta::<VideoMeta>().unwrap();
        assert_eq!(meta.stride(), [64, 32, 32]);
        let places = meta.offset().iter().map(|offset| {
            let (memories, skip) = shown.find_memory(*offset..*offset + 1).unwrap();
            (memories.start, skip)
        });
        assert_eq!(places.collect::<Vec<_>>(), [(0, 256), (1, 128), (1, 2048)]);
        if let Some(last) = kept.replace(shown.memory(1).unwrap()) {
            // One of the two is enough to read the frame before.
            assert!(!guest.is_answered(frame));
            drop(last);
            assert_eq!(guest.answered(frame), Answer::Acked);
        }
    }
    assert_eq!((count(&harness, "bytes-copied"), count(&harness, "forced-acks")), (0, 0));
}
