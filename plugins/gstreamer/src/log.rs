//! What the session says (`tracing`) goes to GStreamer's log, in the category `fanlight`.

use std::fmt::Write;
use std::sync::LazyLock;

use gst::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The category of everything in this plugin.
pub(crate) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "fanlight",
        gst::DebugColorFlags::empty(),
        Some("Fanlight, a virtual machine's screen"),
    )
});

/// Until this is dropped, what this thread says goes to GStreamer's log.
pub(crate) fn on_this_thread() -> tracing::subscriber::DefaultGuard {
    tracing::subscriber::set_default(Bridge)
}

struct Bridge;

fn level_of(level: Level) -> gst::DebugLevel {
    match level {
        Level::ERROR => gst::DebugLevel::Error,
        Level::WARN => gst::DebugLevel::Warning,
        Level::INFO => gst::DebugLevel::Info,
        Level::DEBUG => gst::DebugLevel::Debug,
        Level::TRACE => gst::DebugLevel::Trace,
    }
}

impl Subscriber for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && CAT.above_threshold(level_of(*metadata.level()))
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // GStreamer's thresholds may change at any time.
        tracing::subscriber::Interest::sometimes()
    }

    // No event is told of its spans, so that they need no telling apart.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        let line = format!("{}{}", line.message, line.fields);
        CAT.log(
            None::<&gst::Object>,
            level_of(*metadata.level()),
            gst::glib::GString::from(metadata.file().unwrap_or_default()).as_gstr(),
            gst::glib::GString::from(metadata.target()).as_gstr(),
            metadata.line().unwrap_or_default(),
            format_args!("{line}"),
        );
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing into a string can't fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
