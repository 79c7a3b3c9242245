//! The element: properties, state, and the streaming thread.

use std::sync::{Arc, LazyLock, Mutex};

use fanlight::source::UriError;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst::{ClockTime, FlowError};
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;

use super::caps;
use super::mailbox::{Mailbox, WAITING_MAX};
use super::settings::Settings;
use super::stream::{Fault, Stream};
use super::timeline::SILENCE;
use super::worker::Worker;
use crate::lock::lock;
use crate::pad;

/// `fanlightaudiosrc`.
#[derive(Debug, Default)]
pub struct FanlightAudioSrc {
    settings: Mutex<Settings>,
    running: Mutex<Option<Arc<Running>>>,
    /// Of the streaming thread; nobody else waits for it.
    stream: Mutex<Stream>,
}

/// From `start` to `stop`.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) tolerance: ClockTime,
    _worker: Worker,
}

impl Running {
    /// How long after it was heard a sample may come.
    pub(super) fn latency(&self) -> ClockTime {
        self.mailbox.longest() + self.tolerance
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FanlightAudioSrc {
    const NAME: &'static str = "GstFanlightAudioSrc";
    type Type = super::FanlightAudioSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for FanlightAudioSrc {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
        element.set_element_flags(gst::ElementFlags::SOURCE);
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::specs);
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        lock(&self.settings).set(spec.name(), value);
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        if spec.name() == "stats" {
            let running = self.running();
            let none = || Mailbox::default().stats();
            return running.map_or_else(none, |running| running.mailbox.stats()).to_value();
        }
        lock(&self.settings).get(spec.name())
    }
}

impl GstObjectImpl for FanlightAudioSrc {}

impl ElementImpl for FanlightAudioSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Virtual machine sound source",
                "Source/Audio",
                "What a virtual machine plays, from QEMU's -audiodev dbus; silence while it plays nothing",
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

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // Clock and base time are there before.
        let playing = match transition {
            gst::StateChange::PausedToPlaying => Some(true),
            gst::StateChange::PlayingToPaused => Some(false),
            _ => None,
        };
        if let (Some(playing), Some(running)) = (playing, self.running()) {
            running.mailbox.set_playing(playing);
        }
        self.parent_change_state(transition)
    }
}

impl BaseSrcImpl for FanlightAudioSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let Settings { uri, on_disconnect, tolerance } = lock(&self.settings).clone();
        let uri = uri.parse().map_err(|error: UriError| {
            gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
        })?;
        let mailbox = Arc::new(Mailbox::default());
        let element = self.obj().downgrade();
        let worker = Worker::start(uri, on_disconnect, Arc::clone(&mailbox), element);
        let worker = worker.map_err(|error| {
            let what = "the system gives no thread: raise the limit (ulimit -u)";
            gst::error_msg!(gst::ResourceError::OpenRead, ("{what}"), ["{error}"])
        })?;
        *lock(&self.stream) = Stream::default();
        let running = Running { mailbox, tolerance, _worker: worker };
        *lock(&self.running) = Some(Arc::new(running));
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let running = lock(&self.running).take();
        drop(running);
        *lock(&self.stream) = Stream::default();
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(running) = self.running() {
            running.mailbox.set_flushing(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(running) = self.running() {
            running.mailbox.set_flushing(false);
        }
        Ok(())
    }

    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        // The guest's format is known only when it is there: `create` waits for that.
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let running = self.running();
            let tolerance = || lock(&self.settings).tolerance + SILENCE;
            let least = running.map_or_else(tolerance, |running| running.latency());
            latency.set(true, least, least + WAITING_MAX);
            return true;
        }
        BaseSrcImplExt::parent_query(self, query)
    }
}

impl PushSrcImpl for FanlightAudioSrc {
    fn create(&self, _: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, FlowError> {
        let running = self.running().ok_or(FlowError::Flushing)?;
        let next = self.next(&running, &mut lock(&self.stream));
        // No lock is held while the application is told.
        next.map(CreateSuccess::NewBuffer).map_err(|fault| match fault {
            Fault::Flow(flow) => flow,
            Fault::End(end) => end.post(&*self.obj()),
        })
    }
}

impl FanlightAudioSrc {
    fn running(&self) -> Option<Arc<Running>> {
        lock(&self.running).clone()
    }
}
