//! Navigation events on their way through `fanlightsrc` to a guest: a backend of guest-scanout-v1 in this process
//! tells what it got.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

use std::io::{PipeWriter, Write};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use fanlight::frame::{Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};
use fanlight::serve::{Event, GuestInput, Kind, Memory, Options, Server};
use fanlight::sys;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::NavigationEvent;
use rustix::event::{PollFd, PollFlags, poll};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: Size = Size { width: 64, height: 48 };

/// A guest with one picture, which tells what its user does.
struct Guest {
    inputs: Receiver<GuestInput>,
    stop: Option<(PipeWriter, JoinHandle<()>)>,
    folder: TempDir,
}

impl Guest {
    fn start() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            gst::init().unwrap();
            gstfanlight::plugin_register_static().unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.sock");
        let mut server = Server::bind(&path, "vm", "", Options::default()).unwrap();
        let console = server.add_console(Kind::Graphic, "screen").unwrap();
        let stride = SIZE.width * 4;
        let bytes = sys::page_align(u64::from(stride * SIZE.height));
        let memory = Memory::Planes(vec![sys::own_memfd("picture", bytes).unwrap()]);
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = stride;
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        let layout = Layout { size: SIZE, format, modifier, planes, plane_count: 1 };
        let buffer = server.add_buffer(console, layout, memory).unwrap();
        let whole = Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height };
        server.scanout(console, buffer, whole, Transform::Normal).unwrap();
        let (tell, inputs) = channel();
        let (stopped, stop) = std::io::pipe().unwrap();
        let thread = std::thread::spawn(move || {
            loop {
                let fds = &mut [
                    PollFd::new(&server, PollFlags::IN),
                    PollFd::new(&stopped, PollFlags::IN),
                ];
                poll(fds, None).unwrap();
                let over = !fds[1].revents().is_empty();
                server.dispatch().unwrap();
                while let Some(event) = server.next_event() {
                    if let Event::Input(_, input) = event {
                        // The test may have seen enough.
                        let _ = tell.send(input);
                    }
                }
                if over {
                    return;
                }
            }
        });
        Self { inputs, stop: Some((stop, thread)), folder }
    }

    fn uri(&self) -> String {
        format!("scanout:{}", self.folder.path().join("vm.sock").display())
    }

    /// An element that shows it, and has by now.
    fn shown(&self) -> Harness {
        let element = gst::ElementFactory::make("fanlightsrc")
            .property("uri", self.uri())
            .property("keymap", "us")
            .build()
            .unwrap();
        let mut harness = Harness::with_element(&element, None, Some("src"));
        harness.use_systemclock();
        harness.set_sink_caps_str("video/x-raw");
        harness.play();
        harness.pull().expect("a frame");
        harness
    }

    /// What it got next.
    fn got<const N: usize>(&self) -> [GuestInput; N] {
        std::array::from_fn(|_| self.inputs.recv_timeout(PATIENCE).expect("the guest got nothing"))
    }

    /// What it got besides, until now that its viewer is gone.
    fn ends(mut self) -> Vec<GuestInput> {
        self.end();
        let mut rest = Vec::new();
        loop {
            match self.inputs.recv_timeout(PATIENCE) {
                Ok(input) => rest.push(input),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("the guest goes on"),
            }
        }
    }

    fn end(&mut self) {
        if let Some((mut stop, thread)) = self.stop.take() {
            stop.write_all(b"x").unwrap();
            thread.join().unwrap();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end();
    }
}

fn send(harness: &mut Harness, event: &NavigationEvent) -> bool {
    harness.push_upstream_event(gst::event::Navigation::new(event.structure()))
}

fn press(key: &str) -> NavigationEvent {
    NavigationEvent::new_key_press(key)
}

use GuestInput::{Button, Key, PointerAt, TouchAt, TouchCancel, Wheel};

#[test]
fn the_guest_gets_exactly_what_was_done() {
    let guest = Guest::start();
    let mut harness = guest.shown();
    for event in [
        press("exclam"),
        NavigationEvent::new_key_release("exclam"),
        NavigationEvent::new_mouse_move(10.5, 20.5),
        NavigationEvent::new_mouse_button_press(3, 11.0, 500.0),
        NavigationEvent::new_mouse_button_release(3, 11.0, 500.0),
        NavigationEvent::new_mouse_scroll(11.0, 47.0, 0.0, -1.0),
        NavigationEvent::new_touch_down(77, 1.0, 2.0, 1.0),
    ] {
        assert!(send(&mut harness, &event), "{event:?}");
    }
    let expected = [
        Key(42, true),
        Key(2, true),
        Key(2, false),
        Key(42, false),
        PointerAt(10, 20),
        PointerAt(11, 47),
        Button(0x111, true),
        Button(0x111, false),
        Wheel(0, 120),
        TouchAt { finger: 0, x: 1, y: 2, down: true },
    ];
    assert_eq!(guest.got(), expected);
    drop(harness);
    assert_eq!(guest.ends(), [TouchCancel]);
}

#[test]
fn an_application_sends_codes_to_the_element() {
    let guest = Guest::start();
    let harness = guest.shown();
    let element = harness.element().unwrap();
    let key = gst::Structure::builder("KeyboardKey").field("key", 30_u32);
    let key = key.field("pressed", true).build();
    assert!(element.send_event(gst::event::CustomUpstream::new(key)));
    assert_eq!(guest.got(), [Key(30, true)]);
    drop(harness);
    assert_eq!(guest.ends(), [Key(30, false)]);
}

/// Each lifts what is down, and nothing twice.
#[test]
fn nothing_stays_down_after_a_flush_a_pause_or_the_end() {
    let guest = Guest::start();
    let mut harness = guest.shown();
    let element = harness.element().unwrap();
    let hold = |harness: &mut Harness| {
        assert!(send(harness, &press("exclam")));
        assert_eq!(guest.got(), [Key(42, true), Key(2, true)]);
    };
    let lifted = [Key(42, false), Key(2, false)];
    hold(&mut harness);
    element.send_event(gst::event::FlushStart::new());
    assert_eq!(guest.got(), lifted);
    element.send_event(gst::event::FlushStop::new(true));
    hold(&mut harness);
    element.set_state(gst::State::Paused).unwrap();
    assert_eq!(guest.got(), lifted);
    element.set_state(gst::State::Playing).unwrap();
    hold(&mut harness);
    element.set_property("view-only", true);
    assert_eq!(guest.got(), lifted);
    element.set_property("view-only", false);
    hold(&mut harness);
    element.set_state(gst::State::Null).unwrap();
    assert_eq!(guest.got(), lifted);
    drop(harness);
    assert_eq!(guest.ends(), []);
}

#[test]
fn view_only_passes_nothing_on() {
    let guest = Guest::start();
    let mut harness = guest.shown();
    harness.element().unwrap().set_property("view-only", true);
    assert!(!send(&mut harness, &press("a")));
    assert!(!send(&mut harness, &NavigationEvent::new_mouse_move(1.0, 1.0)));
    harness.element().unwrap().set_property("view-only", false);
    assert!(send(&mut harness, &press("b")));
    assert_eq!(guest.got(), [Key(48, true)]);
    drop(harness);
    assert_eq!(guest.ends(), [Key(48, false)]);
}

/// A real pipeline: what a sink sends comes back through a converter, in pixels of the guest's picture.
#[test]
fn other_elements_turn_places_into_the_guest_s() {
    let guest = Guest::start();
    let pipeline = gst::parse::launch(&format!(
        "fanlightsrc uri={} ! videoconvertscale ! video/x-raw,width=128,height=96 ! fakesink name=sink sync=false",
        guest.uri()
    ));
    let pipeline = match pipeline {
        Ok(pipeline) => pipeline.downcast::<gst::Pipeline>().unwrap(),
        Err(error) => return println!("SKIP: no videoconvertscale here ({error})"),
    };
    let pad = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    let (tell, frames) = channel();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        // The test may have seen enough.
        let _ = tell.send(());
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    frames.recv_timeout(PATIENCE).expect("a frame");
    let event = NavigationEvent::new_mouse_move(64.0, 48.0);
    assert!(pad.push_event(gst::event::Navigation::new(event.structure())));
    assert_eq!(guest.got(), [PointerAt(32, 24)]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(guest.ends(), []);
}
