//! `fanlightsrc` with Mesa's software renderer in the GPU's place, which takes memfds for dma-bufs.
#![cfg(feature = "gpu")]

mod guest;

use fanlight::convert::blit::{BlitError, Blitter};
use fanlight::convert::gpu::Gpu;
use fanlight::frame::{Format, Layout};
use fanlight::serve::Answer;
use fanlight::sys;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoMeta;

use guest::{Guest, init};

fn software(_: Option<u64>) -> Result<Box<dyn Blitter>, BlitError> {
    Ok(Box::new(Gpu::software(|bytes| sys::own_memfd("target", bytes))?))
}

#[test]
fn mesa_in_software_copies_a_format_that_the_cpu_does_not_know() {
    if let Err(reason) = software(None) {
        println!("SKIP mesa_in_software_copies_a_format_that_the_cpu_does_not_know: {reason}");
        return;
    }
    init();
    gstfanlight::classify_with(guest::classify_as_gpus);
    gstfanlight::blit_with(software);
    let mut guest = Guest::new().with(1);
    let format = Format(u32::from_le_bytes(*b"AR12"));
    let deep = guest.add_laid_out(Layout { format, ..guest.layout(0) });
    let element = format!("fanlightsrc uri={} ack-deadline=1000", guest.uri());
    let mut harness = Harness::new_parse(&element);
    harness.use_systemclock();
    harness.add_propose_allocation_meta(VideoMeta::meta_api(), None);
    harness.set_sink_caps_str("video/x-raw,format=BGRx");
    harness.play();
    // Both are the same grey in four bits as in eight.
    for grey in [0x55, 0xaa, 0x55, 0xaa] {
        guest.paint(deep, grey);
        let frame = guest.show(deep);
        loop {
            let shown = harness.pull().expect("a frame");
            let map = shown.map_readable().unwrap();
            let first = map[0];
            assert!(map.as_chunks::<4>().0.iter().all(|pixel| pixel[..3] == [first; 3]));
            if first == grey {
                break;
            }
        }
        assert_eq!(guest.answered(frame), Answer::Acked);
    }
}
