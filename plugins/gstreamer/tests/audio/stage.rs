//! What the tests of `fanlightaudiosrc` play on: a pipeline whose clock they move, and a **fake** QEMU on a bus.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Once};
use std::time::Duration;

use gst::prelude::*;
use gst::{ClockTime, MessageView};
use gst_check::TestClock;

use crate::fake_audio::{FakeAudio, Init, OUT};
use crate::fake_qemu::listener::FakeListener;
use crate::fake_qemu::{self, FakeQemus, FakeVm, Members, VM};

const PATIENCE: Duration = Duration::from_secs(60);
/// 48 kHz, two channels of 16 bits: what silence is sent in too, so that the caps stay.
pub(crate) const STEREO: Init = (1, 16, true, false, 48_000, 2, 4, 192_000, false);
/// A thousandth of a second of it.
pub(crate) const MS: usize = 48 * 4;

pub(crate) fn ms(ms: u64) -> ClockTime {
    ClockTime::from_mseconds(ms)
}

pub(crate) fn patience() -> ClockTime {
    ClockTime::try_from(PATIENCE).unwrap()
}

/// What the element sends.
#[derive(Debug)]
pub(crate) enum Sent {
    Caps(String),
    Buffer(Buffer),
    Eos,
}

#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) at: ClockTime,
    pub(crate) length: ClockTime,
    pub(crate) bytes: Vec<u8>,
    pub(crate) flags: gst::BufferFlags,
}

impl Buffer {
    pub(crate) fn is_silence(&self) -> bool {
        self.flags.contains(gst::BufferFlags::GAP)
    }
}

/// A pipeline with the element in it.
pub(crate) struct Stage {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) element: gst::Element,
    pub(crate) clock: TestClock,
    pub(crate) sent: Receiver<Sent>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstfanlight::plugin_register_static().unwrap();
    });
}

impl Stage {
    /// With these properties, and behind it `description`, whose last element has the name "end".
    pub(crate) fn with(uri: &str, description: &str) -> Self {
        init();
        let text = format!("fanlightaudiosrc name=src uri={uri} {description}");
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let element = pipeline.by_name("src").unwrap();
        let clock = TestClock::new();
        pipeline.use_clock(Some(&clock));
        let (tell, sent) = channel();
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        element.static_pad("src").unwrap().add_probe(what, move |_, info| {
            let item = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => Sent::Buffer(Buffer {
                    at: buffer.pts().unwrap(),
                    length: buffer.duration().unwrap(),
                    bytes: buffer.map_readable().unwrap().to_vec(),
                    flags: buffer.flags(),
                }),
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Caps(caps) => Sent::Caps(caps.caps().to_string()),
                    gst::EventView::Eos(_) => Sent::Eos,
                    _ => return gst::PadProbeReturn::Ok,
                },
                _ => return gst::PadProbeReturn::Ok,
            };
            // The test may have seen enough.
            let _ = tell.send(item);
            gst::PadProbeReturn::Ok
        });
        Self { pipeline, element, clock, sent }
    }

    pub(crate) fn new(uri: &str) -> Self {
        Self::with(uri, "! fakesink sync=false")
    }

    pub(crate) fn set(&self, state: gst::State) {
        self.pipeline.set_state(state).unwrap();
    }

    pub(crate) fn next(&self) -> Sent {
        self.sent.recv_timeout(PATIENCE).expect("nothing is sent")
    }

    pub(crate) fn caps(&self) -> String {
        match self.next() {
            Sent::Caps(caps) => caps,
            other => panic!("caps are sent, not {other:?}"),
        }
    }

    pub(crate) fn buffer(&self) -> Buffer {
        match self.next() {
            Sent::Buffer(buffer) => buffer,
            other => panic!("a buffer is sent, not {other:?}"),
        }
    }

    /// Waits until the element waits for its time.
    pub(crate) fn waits(&self) {
        drop(self.clock.wait_for_next_pending_id());
    }

    /// Lets the element have what it waits for: the silence that is due.
    pub(crate) fn silence(&self) -> Buffer {
        assert!(self.clock.crank());
        let buffer = self.buffer();
        assert!(buffer.is_silence(), "{buffer:?}");
        buffer
    }

    /// What the element says is wrong.
    pub(crate) fn error(&self) -> String {
        let bus = self.pipeline.bus().unwrap();
        let message = bus.timed_pop_filtered(patience(), &[gst::MessageType::Error]);
        match message.expect("it fails").view() {
            MessageView::Error(error) => error.error().message().to_owned(),
            _ => unreachable!("only errors are asked for"),
        }
    }
}

/// A bus with one machine on it.
pub(crate) struct Machine {
    pub(crate) members: Arc<Members>,
    pub(crate) qemus: FakeQemus,
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new(vm: FakeVm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let members = Members::of(vec![vm]);
        let qemus = fake_qemu::bus_of(&path, Arc::clone(&members));
        Self { members, qemus, path, _folder: folder }
    }

    pub(crate) fn with_sound() -> Self {
        Self::new(FakeVm { audio: true, ..VM })
    }

    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:{}", self.path.display())
    }

    /// The element that `start` starts listens; nobody on the bus says a word before the test does too.
    pub(crate) fn listened(&self, start: impl FnOnce()) -> FakeListener {
        let mut audio = None;
        self.members.change(|_| {
            start();
            audio = Some(FakeAudio::at(self.qemus.connection()));
        });
        audio.unwrap().registered(OUT)
    }

    /// A pipeline that plays, and QEMU's end of it.
    pub(crate) fn playing(&self, more: &str) -> (Stage, FakeListener) {
        let stage = Stage::new(&format!("{} {more}", self.uri()));
        let out = self.listened(|| stage.set(gst::State::Playing));
        (stage, out)
    }

    /// The same with a voice, and at rest at the beginning of its time.
    pub(crate) fn with_voice(&self) -> (Stage, FakeListener) {
        let (stage, mut out) = self.playing("");
        out.call(OUT, "Init", &STEREO).unwrap();
        assert!(stage.caps().contains("S16LE"));
        stage.waits();
        (stage, out)
    }
}
