//! The element: properties, state, and the streaming thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use fanlight::source;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;

use crate::caps::{self, Rate};
use crate::inbox::{Inbox, News};
use crate::lock::lock;
use crate::log::CAT;
use crate::mailbox::Taken;
use crate::navigation::Translator;
use crate::pad;
use crate::settings::Settings;
use crate::sink::{Manner, Ways};
use crate::stream::Stream;
use crate::worker::Worker;

/// What the streaming thread may take to pass a frame on, until it is known to take longer.
const LATENCY_MIN: gst::ClockTime = gst::ClockTime::from_mseconds(5);
pub(super) const LATENCY_MAX: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// `fanlightsrc`.
#[derive(Debug, Default)]
pub struct FanlightSrc {
    pub(super) settings: Mutex<Settings>,
    running: Mutex<Option<Arc<Running>>>,
    /// Made for the first event that is input.
    pub(super) translator: Mutex<Option<Translator>>,
    /// Of the streaming thread; nobody else waits for it.
    stream: Mutex<Stream>,
    /// In nanoseconds: the longest that a frame took to here.
    pub(super) latency: AtomicU64,
    /// When the pipeline last began to play: the time of what is older stood still meanwhile.
    resumed: Mutex<Option<Instant>>,
}

/// From `start` to `stop`.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) ways: Ways,
    pub(super) worker: Worker,
}

#[glib::object_subclass]
impl ObjectSubclass for FanlightSrc {
    const NAME: &'static str = "GstFanlightSrc";
    type Type = super::FanlightSrc;
    type ParentType = gst_base::PushSrc;
    type Interfaces = (gst::URIHandler,);
}

impl ObjectImpl for FanlightSrc {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
        element.set_element_flags(gst::ElementFlags::SOURCE);
        // Before the first frame the base class asks for an allocation without caps, which sinks don't expect.
        element.src_pad().add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
            let drops = info.query_mut().is_some_and(|query| match query.view() {
                gst::QueryView::Allocation(allocation) => allocation.get().0.is_none(),
                _ => false,
            });
            if drops { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
        });
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::specs);
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let present = {
            let mut settings = lock(&self.settings);
            settings.set(spec.name(), value);
            settings.shown()
        };
        if ["present", "cursor"].contains(&spec.name()) {
            self.tell(News::Present(present));
        }
        if ["cursor", "keepalive-time"].contains(&spec.name()) {
            // The screen may be still, and whoever waits for a frame knows only what was wished before.
            self.tell(News::Redraw);
        }
        if spec.name() == "view-only" {
            self.let_go();
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        if spec.name() == "stats" {
            let running = self.running();
            let overtaken = running.as_ref().map_or(0, |running| running.ways.mailbox.overtaken());
            let stats = running.and_then(|running| running.worker.stats());
            return crate::stats::structure(stats.as_ref(), overtaken).to_value();
        }
        lock(&self.settings).get(spec.name())
    }
}

impl GstObjectImpl for FanlightSrc {}

impl ElementImpl for FanlightSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Virtual machine screen source",
                "Source/Video",
                "A virtual machine's screen, as the dma-buf that it already is",
                "The Fanlight developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<[gst::PadTemplate; 1]> =
            LazyLock::new(|| [pad::template(&caps::template())]);
        &*TEMPLATES
    }

    fn send_event(&self, event: gst::Event) -> bool {
        self.take_event(&event) || self.parent_send_event(event)
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::PlayingToPaused {
            self.tell(News::Paused(true));
            self.let_go();
        }
        if transition == gst::StateChange::PausedToPlaying {
            *lock(&self.resumed) = Some(Instant::now());
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToPlaying {
            self.tell(News::Paused(false));
        }
        Ok(success)
    }
}

impl BaseSrcImpl for FanlightSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let uri = settings
            .address()
            .map_err(|error| gst::error_msg!(gst::ResourceError::NotFound, ("{error}")))?;
        let inbox = Inbox::new().map_err(|error| {
            let what = "the system gives no more file descriptors: raise the limit (ulimit -n)";
            gst::error_msg!(gst::ResourceError::OpenRead, ("{what}"), ["{error}"])
        })?;
        let ways = Ways::new(inbox, self.obj().upcast_ref::<gst::Element>().downgrade());
        let given = |rate: gst::Fraction| Some(rate).filter(|rate| rate.numer() > 0);
        let rate = Rate { fixed: given(settings.framerate), max: given(settings.max_framerate) };
        let manner = Manner {
            rate,
            ack: settings.ack,
            present: settings.shown(),
            ack_deadline: settings.ack_deadline,
            paced: rate.fixed.is_some() || rate.max.is_some(),
        };
        let options = source::Options { classify: crate::classify(), ..source::Options::default() };
        let worker = Worker::start(uri, options, settings.on_disconnect, ways.clone(), manner)
            .map_err(|error| {
                gst::error_msg!(gst::ResourceError::OpenRead, ("no thread: {error}"))
            })?;
        let stream = Stream::new(rate);
        let wait = gst::ClockTime::try_from(stream.wait()).unwrap_or_default();
        *lock(&self.stream) = stream;
        self.latency.store((LATENCY_MIN + wait).nseconds(), Ordering::Relaxed);
        *lock(&self.running) = Some(Arc::new(Running { ways, worker }));
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.let_go();
        *lock(&self.translator) = None;
        // What the stream holds goes home before the session ends.
        *lock(&self.stream) = Stream::default();
        let running = lock(&self.running).take();
        drop(running);
        Ok(())
    }

    fn event(&self, event: &gst::Event) -> bool {
        if event.type_() == gst::EventType::Reconfigure
            && let Some(running) = self.running()
        {
            running.ways.mailbox.renegotiate();
        }
        self.take_event(event) || BaseSrcImplExt::parent_event(self, event)
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(running) = self.running() {
            running.ways.mailbox.set_flushing(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(running) = self.running() {
            running.ways.mailbox.set_flushing(false);
        }
        Ok(())
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let pad = self.pad();
        let all = pad.current_caps().unwrap_or_else(|| pad.pad_template_caps());
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&all, gst::CapsIntersectMode::First),
            None => all,
        })
    }

    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        let running = self.running().ok_or_else(|| gst::loggable_error!(CAT, "not started"))?;
        self.ask_downstream(&running);
        // Which caps there are the first frame says, in `create`: this may not wait, because the base class holds a lock.
        Ok(())
    }

    fn decide_allocation(
        &self,
        _query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // Frames have memory of their own.
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let least = gst::ClockTime::from_nseconds(self.latency.load(Ordering::Relaxed));
            latency.set(true, least, gst::ClockTime::NONE);
            return true;
        }
        BaseSrcImplExt::parent_query(self, query)
    }
}

impl PushSrcImpl for FanlightSrc {
    fn create(&self, _: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let running = self.running().ok_or(gst::FlowError::Flushing)?;
        let mut stream = lock(&self.stream);
        loop {
            let settings = lock(&self.settings).each_frame();
            let times = stream.times(settings, self.running_time());
            let mut frame = match running.ways.mailbox.take(&times, || pad::flushes(&self.pad())) {
                Taken::Frame(frame) => frame,
                Taken::Due => match stream.again() {
                    Some(frame) => frame,
                    None => continue,
                },
                Taken::Renegotiate => {
                    self.ask_downstream(&running);
                    // Whoever is there now has not seen the screen, and it may be still.
                    running.worker.tell(News::Redraw);
                    continue;
                }
                Taken::Flushing => return Err(gst::FlowError::Flushing),
                Taken::End(end) => return Err(end.post(&*self.obj())),
            };
            let taken = Instant::now();
            running.worker.tell(News::Pushed(frame.commit));
            if !self.agree(&running, &mut stream, &mut frame)? {
                continue;
            }
            // What was wished while it was waited for counts for this frame, too.
            let settings = lock(&self.settings).each_frame();
            if let Some(resumed) = *lock(&self.resumed) {
                frame.since = frame.since.max(resumed);
            }
            // That downstream was busy meanwhile is none of our latency.
            let (made, now) =
                (frame.ready.saturating_duration_since(frame.since), self.running_time());
            let buffer = stream.buffer(frame, settings, &running.ways.cursors, now);
            self.took(made + taken.elapsed(), stream.wait());
            return Ok(CreateSuccess::NewBuffer(buffer));
        }
    }
}

impl URIHandlerImpl for FanlightSrc {
    const URI_TYPE: gst::URIType = gst::URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &["qemu", "qemu+unix", "qmp", "libvirt", "scanout", "demo"]
    }

    fn uri(&self) -> Option<String> {
        Some(lock(&self.settings).uri.clone())
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        uri.parse::<source::Uri>()
            .map_err(|error| glib::Error::new(gst::URIError::BadUri, &error.to_string()))?;
        if self.running().is_some() {
            let what = "the URI can't be changed while the element runs: set it to READY first";
            return Err(glib::Error::new(gst::URIError::BadState, what));
        }
        lock(&self.settings).uri = uri.to_owned();
        Ok(())
    }
}

impl FanlightSrc {
    pub(super) fn running(&self) -> Option<Arc<Running>> {
        lock(&self.running).clone()
    }

    fn tell(&self, news: News) {
        if let Some(running) = self.running() {
            running.worker.tell(news);
        }
    }

    pub(super) fn pad(&self) -> gst::Pad {
        self.obj().src_pad().clone()
    }

    /// The pipeline's running time; `None` without a clock.
    fn running_time(&self) -> Option<gst::ClockTime> {
        self.obj().current_running_time()
    }
}
