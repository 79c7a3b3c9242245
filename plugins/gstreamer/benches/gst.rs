//! What a frame costs a source's streaming thread: `fanlightsrc` beside sources that make pictures themselves or take them over from others.
//!
//! Each source runs in a process of its own, into a fakesink. Measured is the processor's time of the thread from one buffer to the next, so the
//! pushing is in it for each of them; how often the whole process maps memory, as strace counts it; and how often `fanlightsrc` imports memory of its
//! guest's, as its `stats` say. Of the latter two it is the difference of a long run and a short one, so that starting and ending are in neither.

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

/// One run: prints the fastest time from a frame to the next and the median, in nanoseconds, and how many imports there were.
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
    let imports = if source.has_property("stats") {
        source.property::<gst::Structure>("stats").get::<u64>("imports").ok()
    } else {
        None
    };
    pipeline.set_state(gst::State::Null)?;
    if let Some(failed) = failed {
        return Err(failed.into());
    }
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let mut took: Vec<_> = times.windows(2).skip(FIRST).map(|pair| pair[1] - pair[0]).collect();
    took.sort();
    let median = took.get(took.len() / 2).ok_or("too few frames")?;
    print!("{} {}", took[0].as_nanos(), median.as_nanos());
    println!("{}", imports.map_or_else(String::new, |imports| format!(" {imports}")));
    Ok(())
}

fn compare() -> Result<()> {
    let dir = RunDir::new()?;
    println!(
        "gst: a frame in the streaming thread             fastest      median  mmaps/frame imports/frame"
    );
    let raw = format!("video/x-raw,format=BGRx,{PICTURE}");
    let test = format!("videotestsrc is-live=true pattern=ball ! {raw}");
    report(
        "videotestsrc",
        &format!("videotestsrc name=source pattern=ball num-buffers=N ! {raw}"),
        &[],
    );
    // The least that another thread's frames can cost: waiting for them, and passing them on.
    let live = test.replace("videotestsrc", "videotestsrc num-buffers=N");
    report("queue, whatever is in its frames", &format!("{live} ! queue name=source"), &[]);
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
    let pipeline = |frames: u32| {
        let source = source.replace("num-buffers=N", &format!("num-buffers={frames}"));
        format!("{source} ! fakesink")
    };
    let line = run(&[], &pipeline(FRAMES[1]), environment).map(|(run, _)| {
        let traced = FRAMES.map(|frames| traced(&pipeline(frames), environment));
        let a_frame =
            |long: u64, short: u64| (long as f64 - short as f64) / f64::from(FRAMES[1] - FRAMES[0]);
        let counts = match traced {
            [Ok((short, maps)), Ok((long, more_maps))] => {
                let imports = long
                    .imports
                    .zip(short.imports)
                    .map(|(long, short)| format!("{:13.2}", a_frame(long, short)));
                format!("{:12.2} {}", a_frame(more_maps, maps), imports.unwrap_or_default())
            }
            [Err(error), _] | [_, Err(error)] => format!("  {error}"),
        };
        let [fastest, median] = [run.fastest, run.median].map(|ns| ns / 1e3);
        format!("{name:<44} {fastest:8.1} µs {median:8.1} µs{}", counts.trim_end())
    });
    println!("{}", line.unwrap_or_else(|error| format!("SKIP {name}: {error}")));
}

/// What a process of its own measures.
struct Run {
    /// In nanoseconds.
    fastest: f64,
    median: f64,
    /// Where it is known.
    imports: Option<u64>,
}

/// Runs a pipeline in a process of its own, which another program (`through`) may start; and all that this wrote to standard error.
fn run(through: &[&str], pipeline: &str, environment: &[(&str, &str)]) -> Result<(Run, String)> {
    let program = std::env::current_exe()?;
    let mut command = match through {
        [] => Command::new(program),
        [other, arguments @ ..] => {
            let mut command = Command::new(other);
            command.args(arguments).arg(program);
            command
        }
    };
    command.args([RUN, pipeline]).envs(environment.iter().copied()).stdin(Stdio::null());
    let output = command.output().map_err(|error| match through {
        [other, ..] => format!("no {other}: {error}"),
        [] => error.to_string(),
    })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers =
        text.split_whitespace().map(str::parse::<u64>).map_while(std::result::Result::ok);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(fastest), Some(median), imports) => {
            Ok((Run { fastest: fastest as f64, median: median as f64, imports }, said))
        }
        _ => Err(said.lines().last().unwrap_or("it says nothing").to_owned().into()),
    }
}

/// A run, and how often its process maps memory, in all.
fn traced(pipeline: &str, environment: &[(&str, &str)]) -> Result<(Run, u64)> {
    let strace = ["strace", "-f", "-qq", "-e", "trace=mmap", "-e", "signal=none", "--"];
    let (run, said) = run(&strace, pipeline, environment)?;
    // A call that another thread interrupts is on two lines.
    let maps = said.lines().filter(|line| line.contains("mmap(")).count();
    Ok((run, maps as u64))
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
