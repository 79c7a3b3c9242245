//! What the session says is in GStreamer's log. Alone in its process, whose log it changes.

mod guest;

use std::sync::mpsc::channel;

use fanlight::frame::Transform;
use gst::log;
use gst::prelude::*;

use guest::{Guest, PATIENCE, init};

#[test]
fn what_the_session_warns_of_is_in_the_category_fanlight() {
    init();
    gstfanlight::classify_with(guest::classify);
    let (tell, said) = channel();
    let tell = std::sync::Mutex::new(tell);
    let function = log::add_log_function(move |category, level, file, _, line, _, message| {
        if category.name() == "fanlight" && level == gst::DebugLevel::Warning {
            let message = message.get().map(|message| message.to_string()).unwrap_or_default();
            // Who has heard one listens no more.
            let _ = tell.lock().unwrap().send((file.to_string(), line, message));
        }
    });
    log::set_threshold_for_name("fanlight", gst::DebugLevel::Warning);
    let guest = Guest::new().with(1);
    // Passed on it isn't, because it is upside down, and a memfd that is taken for a dma-buf can't be copied.
    guest.show_as(0, Transform::Flipped);
    let launch = format!("fanlightsrc uri={} ! fakesink", guest.uri());
    let pipeline = gst::parse::launch(&launch).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (file, line, message) = loop {
        let warning = said.recv_timeout(PATIENCE).expect("a warning");
        if warning.0.contains("session") {
            break warning;
        }
    };
    assert!(message.contains("can't be copied") && message.contains("reason="), "{message}");
    assert!(file.ends_with(".rs") && line > 0, "{file}:{line}");
    pipeline.set_state(gst::State::Null).unwrap();
    log::remove_log_function(function);
}
