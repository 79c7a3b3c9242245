//! Runs a pipeline as `gst-launch-1.0 -e` does, and prints what its `fanlightsrc` counts: a line of JSON each second, and one at the end.
//!
//! ```sh
//! cargo run -p gst-plugin-fanlight --example launch -- fanlightsrc uri=demo: ! waylandsink
//! cargo rig vm -- launch fanlightsrc uri=demo: num-buffers=60 ! fakesink
//! ```
//! SIGINT and SIGTERM end the stream first, so that files that are written are whole.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use gst::glib;
use gst::prelude::*;
use serde_json::{Map, Value};
use signal_hook::consts::{SIGINT, SIGTERM};

fn main() -> ExitCode {
    match launch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn launch() -> Result<(), Box<dyn Error>> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    gst::init()?;
    gstfanlight::plugin_register_static()?;
    let description: Vec<String> = std::env::args().skip(1).collect();
    let description: Vec<&str> = description.iter().map(String::as_str).collect();
    let pipeline = gst::parse::launchv(&description)?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().or_else(|element| {
        let pipeline = gst::Pipeline::new();
        pipeline.add(&element).map(|()| pipeline)
    })?;
    let source = pipeline.iterate_all_by_element_factory_name("fanlightsrc").into_iter().next();
    let source = source.ok_or("the pipeline has no fanlightsrc")??;
    let bus = pipeline.bus().ok_or("a pipeline without a bus")?;
    let result = pipeline.set_state(gst::State::Playing);
    let to_end = pipeline.downgrade();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            to_end.upgrade().map(|pipeline| pipeline.send_event(gst::event::Eos::new()));
        }
    });
    let end = result.map_err(Into::into).and_then(|_| run(&bus, &source));
    print(&source, true);
    pipeline.set_state(gst::State::Null)?;
    end
}

/// Until the stream's end, or what broke it.
fn run(bus: &gst::Bus, source: &gst::Element) -> Result<(), Box<dyn Error>> {
    loop {
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        match bus.timed_pop_filtered(gst::ClockTime::SECOND, &ends) {
            None => print(source, false),
            Some(message) => match message.view() {
                gst::MessageView::Error(error) => {
                    let from = message.src().map(GstObjectExt::path_string).unwrap_or_default();
                    let detail = error.debug().unwrap_or_default();
                    return Err(format!("{from}: {} ({detail})", error.error()).into());
                }
                _ => return Ok(()),
            },
        }
    }
}

fn print(source: &gst::Element, last: bool) {
    let stats = source.property::<gst::Structure>("stats");
    let mut stats = object(&stats);
    stats.insert("final".into(), last.into());
    // Who reads it may be gone; the pipeline goes on.
    let _ = writeln!(std::io::stdout(), "{}", Value::Object(stats));
}

fn object(structure: &gst::StructureRef) -> Map<String, Value> {
    structure.iter().map(|(name, value)| (name.to_string(), json(value))).collect()
}

fn json(value: &glib::Value) -> Value {
    let inner = value.get::<gst::Structure>().ok().map(|inner| object(&inner).into());
    let inner = inner.or_else(|| value.get::<u64>().ok().map(Into::into));
    let inner = inner.or_else(|| value.get::<u32>().ok().map(Into::into));
    let inner = inner.or_else(|| value.get::<i64>().ok().map(Into::into));
    let inner = inner.or_else(|| value.get::<i32>().ok().map(Into::into));
    let inner = inner.or_else(|| value.get::<f64>().ok().map(Into::into));
    let inner = inner.or_else(|| value.get::<bool>().ok().map(Into::into));
    let inner = inner.or_else(|| value.get::<&str>().ok().map(Into::into));
    inner.unwrap_or_else(|| format!("{value:?}").into())
}
