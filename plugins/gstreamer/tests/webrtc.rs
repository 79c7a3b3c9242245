//! A guest's screen by WebRTC, from one `webrtcbin` to another: encrypted, over this machine's own addresses.

mod guest;

use std::sync::mpsc::channel;

use gst::glib;
use gst::prelude::*;

use guest::{Guest, PATIENCE, init};

/// What webrtcbin needs of other plugins.
const ELEMENTS: [&str; 6] = ["webrtcbin", "nicesrc", "dtlsenc", "srtpenc", "vp8enc", "rtpvp8pay"];

/// Asks `element` for an offer or an answer, makes it its own, and passes it on.
fn describe(
    element: &gst::Element,
    what: &'static str,
    then: impl FnOnce(glib::Value) + Send + 'static,
) {
    let own = element.downgrade();
    let promise = gst::Promise::with_change_func(move |reply| {
        let reply = reply.expect("an answer").expect("with something in it");
        let description: glib::Value = (**reply.value(what).expect("a description")).clone();
        let Some(own) = own.upgrade() else { return };
        let nobody = None::<gst::Promise>.to_value();
        let values = [description.clone(), nobody];
        own.emit_by_name_with_values("set-local-description", &values);
        then(description);
    });
    let nothing = None::<gst::Structure>;
    element.emit_by_name::<()>(&format!("create-{what}"), &[&nothing, &promise]);
}

fn take(element: &gst::Element, description: glib::Value) {
    let nobody = None::<gst::Promise>.to_value();
    element.emit_by_name_with_values("set-remote-description", &[description, nobody]);
}

/// Tells `to` at which addresses `from` can be reached.
fn pass_addresses(from: &gst::Element, to: &gst::Element) {
    let to = to.downgrade();
    from.connect("on-ice-candidate", false, move |values| {
        let to = to.upgrade()?;
        to.emit_by_name_with_values("add-ice-candidate", &values[1..3]);
        None
    });
}

#[test]
fn a_guests_screen_goes_from_one_webrtcbin_to_another() {
    init();
    if let Some(missing) = ELEMENTS.iter().find(|name| gst::ElementFactory::find(name).is_none()) {
        println!(
            "SKIP a_guests_screen_goes_from_one_webrtcbin_to_another: there is no element {missing} here"
        );
        return;
    }
    let guest = Guest::new().with(1);
    guest.paint(0, 200);
    guest.show(0);
    let description = format!(
        "fanlightsrc uri={} framerate=10/1 ! videoconvert ! vp8enc deadline=1 keyframe-max-dist=5 ! rtpvp8pay \
         ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! webrtcbin name=from bundle-policy=max-bundle \
         webrtcbin name=to bundle-policy=max-bundle",
        guest.uri()
    );
    let pipeline = gst::parse::launch(&description).unwrap();
    let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
    let [from, to] = ["from", "to"].map(|name| bin.by_name(name).unwrap());
    pass_addresses(&from, &to);
    pass_addresses(&to, &from);
    let (tell, shown) = channel();
    let whole = bin.downgrade();
    to.connect_pad_added(move |_, pad| {
        let Some(bin) = whole.upgrade().filter(|_| pad.direction() == gst::PadDirection::Src)
        else {
            return;
        };
        let player = "rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=GRAY8 \
                      ! fakesink name=shown signal-handoffs=true sync=false";
        let player = gst::parse::bin_from_description(player, true).unwrap();
        let tell = tell.clone();
        player.by_name("shown").unwrap().connect("handoff", false, move |values| {
            let buffer = values[1].get::<gst::Buffer>().unwrap();
            // Who has seen enough listens no more.
            let _ = tell.send(buffer.map_readable().unwrap()[0]);
            None
        });
        bin.add(&player).unwrap();
        player.sync_state_with_parent().unwrap();
        pad.link(&player.static_pad("sink").unwrap()).unwrap();
    });
    let answers = to.downgrade();
    from.connect("on-negotiation-needed", false, move |values| {
        let from = values[0].get::<gst::Element>().unwrap();
        let to = answers.upgrade()?;
        let asks = from.downgrade();
        describe(&from, "offer", move |offer| {
            take(&to, offer);
            describe(&to, "answer", move |answer| {
                if let Some(from) = asks.upgrade() {
                    take(&from, answer);
                }
            });
        });
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    for _ in 0..5 {
        let grey = shown.recv_timeout(2 * PATIENCE).expect("a frame");
        // A coder that loses something.
        assert!((180..=220).contains(&grey), "{grey}");
    }
    pipeline.set_state(gst::State::Null).unwrap();
}
