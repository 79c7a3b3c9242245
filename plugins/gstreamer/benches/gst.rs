//! What a frame costs a source's streaming thread: `fanlightsrc` beside sources that make pictures themselves or take them over from others.
//!
//! Each source runs in a process of its own, into a fakesink. Measured is the processor's time of the thread from one buffer to the next, so the
//! pushing is in it for each of them; and how often the whole process maps memory, as strace counts it, by the difference of a long run and a short one.

use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanlight_stage::bus::Bus;
use fanlight_stage::child::{Child, Output};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::wait::Deadline;
use gst::prelude::*;
use rustix::time::{ClockId, clock_gettime};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Frames of a run, and of a longer one.
const FRAMES: [u32; 2] = [100, 200];
/// Those that are not counted: caps, imports and first allocations are in them.
const FIRST: usize = 20;
const PICTURE: &str = "width=640,height=480,framerate=60/1";
/// Has one run's figures printed: what this program starts itself with.
const RUN: &str = "--pipeline";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [run, pipeline] if run == RUN => measure(pipeline),
        // As with the other benches: only what has this in its name.
        other if other.iter().any(|a| !a.starts_with('-') && !"gst".contains(a.as_str())) => Ok(()),
        _ => compare(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One run: prints the median and the fastest time from a frame to the next, in nanoseconds.
fn measure(pipeline: &str) -> Result<()> {
    gst::init()?;
    gstfanlight::plugin_register_static()?;
    let pipeline = gst::parse::launch(pipeline)?.downcast::<gst::Pipeline>();
    let pipeline = pipeline.map_err(|_| "no pipeline")?;
    let source = pipeline.by_name("source").ok_or("no source")?;
    let pad = source.static_pad("src").ok_or("no pad")?;
    let times = Arc::new(Mutex::new(Vec::with_capacity(1024)));
    let noted = Arc::clone(&times);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let now = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(now);
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing)?;
    let bus = pipeline.bus().ok_or("no bus")?;
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &ends);
    let failed = match end.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => None,
        Some(gst::MessageView::Error(error)) => Some(error.error().to_string()),
        _ => Some("it is not done after 20 seconds".to_owned()),
    };
    pipeline.set_state(gst::State::Null)?;
    if let Some(failed) = failed {
        return Err(failed.into());
    }
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let mut took: Vec<_> = times.windows(2).skip(FIRST).map(|pair| pair[1] - pair[0]).collect();
    took.sort();
    let median = took.get(took.len() / 2).ok_or("too few frames")?;
    println!("{} {}", took[0].as_nanos(), median.as_nanos());
    Ok(())
}

fn compare() -> Result<()> {
    let dir = RunDir::new()?;
    println!("gst                   streaming thread, a frame: fastest     median    mmap/frame");
    let raw = format!("video/x-raw,format=BGRx,{PICTURE}");
    let test = format!("videotestsrc is-live=true pattern=ball ! {raw}");
    report(
        "videotestsrc",
        &format!("videotestsrc name=source pattern=ball num-buffers=N ! {raw}"),
        &[],
    );
    let unix = dir.path().join("unixfd").display().to_string();
    let sink = format!("{test} ! unixfdsink socket-path={unix}");
    match playing(&sink, &[], &dir) {
        Ok(_other) => {
            let source = format!("unixfdsrc name=source socket-path={unix} num-buffers=N");
            report("unixfdsrc", &source, &[]);
        }
        Err(error) => println!("SKIP unixfdsrc: {error}"),
    }
    let guest = dir.path().join("guest").display().to_string();
    let demo = format!("demo {guest} --mode flip --size 640x480 --fps 60");
    // The program that was built with this, or the one on the path.
    let beside = std::env::current_exe()?.with_file_name("../fanlight");
    let program = if beside.exists() { beside.display().to_string() } else { "fanlight".into() };
    let guests = other(&program, &demo, &[], &dir)?;
    guests.wait_line(Output::Out, soon(), |line| line.contains(&guest).then_some(()))?;
    for present in ["direct", "copy"] {
        let uri = format!("fanlightsrc name=source uri=scanout:{guest} ack-deadline=900");
        let source = format!("{uri} present={present} num-buffers=N");
        report(&format!("fanlightsrc, {present}"), &source, &[]);
    }
    let session = dir.path().display().to_string();
    match pipewire(&test, &session, &dir) {
        Ok(_others) => {
            let role = r#""p,media.type=Video,media.category=Capture,media.role=Camera""#;
            let source = format!("pipewiresrc name=source num-buffers=N stream-properties={role}");
            report("pipewiresrc", &source, &[("XDG_RUNTIME_DIR", &session)]);
        }
        Err(error) => println!("SKIP pipewiresrc: {error}"),
    }
    Ok(())
}

/// A line of the table.
fn report(name: &str, source: &str, environment: &[(&str, &str)]) {
    let pipeline = |frames: u32| format!("{} ! fakesink", source.replace('N', &frames.to_string()));
    let line = run(&pipeline(FRAMES[1]), environment).map(|(fastest, median)| {
        let maps = FRAMES.map(|frames| maps(&pipeline(frames), environment));
        let maps = match maps {
            [Ok(short), Ok(long)] => {
                let frames = f64::from(FRAMES[1] - FRAMES[0]);
                format!("{:10.2}", (long as f64 - short as f64) / frames)
            }
            [Err(error), _] | [_, Err(error)] => format!("{error}"),
        };
        format!("{name:<44} {:7.1} µs {:7.1} µs {maps}", fastest / 1e3, median / 1e3)
    });
    println!("{}", line.unwrap_or_else(|error| format!("SKIP {name}: {error}")));
}

/// What a process of its own measures: fastest and median.
fn run(pipeline: &str, environment: &[(&str, &str)]) -> Result<(f64, f64)> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([RUN, pipeline]).envs(environment.iter().copied()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse().ok());
    let said = (numbers.next(), numbers.next());
    let (Some(fastest), Some(median)) = said else {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    };
    Ok((fastest, median))
}

/// How often such a process maps memory, in all.
fn maps(pipeline: &str, environment: &[(&str, &str)]) -> Result<usize> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=mmap", "-e", "signal=none", "--"]);
    command.arg(std::env::current_exe()?).args([RUN, pipeline]);
    command.envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().map_err(|_| "no strace")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("strace: {}", text.lines().last().unwrap_or_default()).into());
    }
    Ok(text.lines().filter(|line| line.contains("mmap(")).count())
}

/// Another process, which runs until it is dropped.
fn other(
    program: &str,
    arguments: &str,
    environment: &[(&str, &str)],
    dir: &Arc<RunDir>,
) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace()).envs(environment.iter().copied());
    let [program_name, name] = [program, arguments].map(|text| text.rsplit([' ', '/']).next());
    let name = format!("{}-{}", program_name.unwrap_or_default(), name.unwrap_or_default());
    Ok(Child::spawn(&name, program, command, dir)?)
}

/// Another process's pipeline, which plays.
fn playing(pipeline: &str, environment: &[(&str, &str)], dir: &Arc<RunDir>) -> Result<Child> {
    let child = other("gst-launch-1.0", pipeline, environment, dir)?;
    child.wait_line(Output::Out, soon(), |line| line.contains("New clock").then_some(()))?;
    Ok(child)
}

fn soon() -> Deadline {
    Deadline::seconds(30)
}

/// PipeWire, its session manager, and somebody who shows a picture there.
fn pipewire(test: &str, session: &str, dir: &Arc<RunDir>) -> Result<(Bus, [Child; 3])> {
    let bus = Bus::start(dir)?;
    let environment = [
        ("XDG_RUNTIME_DIR", session),
        ("DBUS_SESSION_BUS_ADDRESS", bus.address()),
        ("HOME", session),
    ];
    let server = other("pipewire", "", &environment, dir)?;
    let manager = other("wireplumber", "", &environment, dir)?;
    let sink = "pipewiresink mode=provide stream-properties=p,media.class=Video/Source";
    let shown = playing(&format!("{test} ! {sink}"), &environment, dir)?;
    Ok((bus, [server, manager, shown]))
}
