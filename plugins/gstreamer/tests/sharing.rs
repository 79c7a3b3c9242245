//! What `unixfdsink` shares, and `unixfdsrc` gets: the picture, and all that is told about it.

mod guest;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fanlight::frame::Rect;
use gst::meta::CustomMeta;
use gst::prelude::*;
use gst_video::VideoMeta;

use guest::{Guest, PATIENCE, SIZE, file, init};

/// What came: its first grey, which file it lies in, and what its metas say.
#[derive(Debug)]
struct Came {
    grey: u8,
    inode: Option<u64>,
    width: u32,
    serial: u64,
    damage: Option<Vec<i32>>,
    drawn: gst::ClockTime,
}

fn came(buffer: &gst::BufferRef) -> Came {
    let meta = CustomMeta::from_buffer(buffer, gstfanlight::FRAME_META).expect("its meta");
    let damage = meta.structure().get::<gst::Array>("damage").ok();
    let reference = buffer.meta::<gst::ReferenceTimestampMeta>().expect("when it was drawn");
    assert_eq!(reference.reference().to_string(), "timestamp/x-fanlight-monotonic");
    Came {
        grey: buffer.map_readable().unwrap()[0],
        inode: file(buffer).map(|(inode, _)| inode),
        width: buffer.meta::<VideoMeta>().expect("its size").width(),
        serial: meta.structure().get("serial").unwrap(),
        damage: damage.map(|sides| sides.iter().map(|s| s.get::<i32>().unwrap()).collect()),
        drawn: reference.timestamp(),
    }
}

#[test]
fn what_is_shared_is_the_guests_memory_with_its_damage_serial_and_time() {
    init();
    gstfanlight::classify_with(guest::classify);
    let guest = Guest::new().with(1);
    let socket = std::env::temp_dir().join(format!("fanlight-fds-{}", std::process::id()));
    let at = socket.display();
    let share =
        format!("fanlightsrc uri={} present=direct ! unixfdsink socket-path={at}", guest.uri());
    let share = gst::parse::launch(&share).unwrap();
    share.set_state(gst::State::Playing).unwrap();
    let other =
        format!("unixfdsrc socket-path={at} ! fakesink name=s signal-handoffs=true sync=false");
    let other = gst::parse::launch(&other).unwrap();
    let sink = other.downcast_ref::<gst::Bin>().unwrap().by_name("s").unwrap();
    let (tell, frames) = channel();
    sink.connect("handoff", false, move |values| {
        let buffer = values[1].get::<gst::Buffer>().unwrap();
        // Who has seen enough listens no more.
        let _ = tell.send(came(&buffer));
        None
    });
    other.set_state(gst::State::Playing).unwrap();
    guest.paint(0, 10);
    // What is shared before the other has been taken in is lost.
    let deadline = Instant::now() + PATIENCE;
    let mut serial = loop {
        guest.answered(guest.show(0));
        if let Ok(first) = frames.recv_timeout(Duration::from_millis(100)) {
            break first.serial;
        }
        assert!(Instant::now() < deadline, "nothing came");
    };
    for grey in 11..30 {
        guest.paint(0, grey);
        let frame = guest.update(0, Rect { x: 3, y: 4, width: 5, height: 6 });
        guest.answered(frame);
        let came = loop {
            let came = frames.recv_timeout(PATIENCE).expect("a frame");
            assert!(came.serial > serial, "{came:?} after {serial}");
            serial = came.serial;
            if came.grey == grey {
                break came;
            }
        };
        assert_eq!((came.inode, came.width), (Some(guest.inode(0)), SIZE.width));
        assert!(came.drawn > gst::ClockTime::ZERO);
        if grey > 12 {
            assert_eq!(came.damage, Some(vec![3, 4, 5, 6]));
        }
    }
    other.set_state(gst::State::Null).unwrap();
    share.set_state(gst::State::Null).unwrap();
    // Where the sink hasn't done so.
    let _ = std::fs::remove_file(&socket);
}
