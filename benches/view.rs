//! What a window costs: how long until it is there, how much memory it needs, and how often it wakes up while
//! nothing changes.
//!
//! The guests stand still and run already. Measured is `fanlight view` itself, by what it tells the compositor
//! (`WAYLAND_DEBUG`): from its start to the compositor's word that its first frame was taken for the screen, so
//! at most one repaint is in that. weston-simple-shm, a C program that shows a window and does nothing else, is
//! the measure of what the machine and the compositor take.
//!
//! It runs at the compositor that the environment names, else at a weston of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use fanlight::frame::{Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};
use fanlight::serve::{GuestMemory, Kind, Memory, Options, Server};
use fanlight::sys;
use fanlight_stage::bus::Bus;
use fanlight_stage::compositor::Compositor;
use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::qemu::{Card, Guest, Qemu, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::wait::Deadline;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use rustix::event::{PollFd, PollFlags, poll};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

type Environment = Vec<(&'static str, String)>;

const STARTS: usize = 15;
/// Longer than any start takes, also where all is emulated.
const PATIENCE: Duration = Duration::from_secs(60);
/// Without a word for so long, a window has settled.
const QUIET: Duration = Duration::from_secs(1);
/// How long it is watched then.
const STILL: Duration = Duration::from_secs(5);
const SIZE: Size = Size { width: 1024, height: 768 };
const NODE: &str = "/dev/dri/renderD128";

fn main() -> Result<()> {
    // As with the other benches: only what has this in its name.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if filter.is_some_and(|filter| !"view".contains(&filter)) {
        return Ok(());
    }
    let dir = RunDir::new()?;
    let (environment, _weston) = match compositor(&dir) {
        Ok(found) => found,
        Err(reason) => {
            println!("SKIP view: no compositor: {reason}");
            return Ok(());
        }
    };
    println!(
        "view                first frame: fastest    median  of simple-shm  MiB, pictures  wake-ups/s"
    );
    let with = |mut command: Command| {
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    };
    let simple = || with(Command::new("weston-simple-shm"));
    let report =
        |name, yardstick, start: &dyn Fn() -> Command| report(name, yardstick, &simple, start);
    let yardstick = report("weston-simple-shm", None, &simple);
    let socket = still_guest(dir.path())?;
    report("guest-scanout-v1", yardstick, &|| with(view(&format!("scanout:{socket}"))));
    match still_qemu(&dir) {
        Ok((bus, _qemu)) => {
            report("QEMU", yardstick, &|| {
                let mut command = with(view("qemu:still"));
                command.env("DBUS_SESSION_BUS_ADDRESS", bus.address());
                command
            });
        }
        Err(reason) => println!("SKIP view QEMU: {reason}"),
    }
    Ok(())
}

/// What a client's environment has to have, and what it is there for.
fn compositor(dir: &Arc<RunDir>) -> Result<(Environment, Option<Weston>)> {
    if std::env::var_os("WAYLAND_DISPLAY").is_some_and(|name| !name.is_empty()) {
        return Ok((Vec::new(), None));
    }
    let weston = Weston::start(Shell::Desktop, Renderer::Gl, (1280, 900), dir)?;
    Ok((weston.environment().to_vec(), Some(weston)))
}

fn view(uri: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.args(["view", uri]);
    command
}

/// Measures a program and prints it: its median.
fn report(
    name: &str,
    yardstick: Option<Duration>,
    simple: &dyn Fn() -> Command,
    start: &dyn Fn() -> Command,
) -> Option<Duration> {
    match measure(simple, start) {
        Ok(Measured { fastest, median, memory: [all, pictures], wakeups }) => {
            let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
            let of = yardstick.unwrap_or(median);
            let times = median.as_secs_f64() / of.as_secs_f64();
            let memory = format!("{:.1}, {:.1}", mib(all), mib(pictures));
            println!(
                "  {name:<28} {:>10} {:>10} {times:>12.2} {memory:>16} {wakeups:>11.1}",
                ms(fastest),
                ms(median)
            );
            Some(median)
        }
        Err(reason) => {
            println!("SKIP view {name}: {reason}");
            None
        }
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

struct Measured {
    fastest: Duration,
    median: Duration,
    /// Resident, and as much of it as is the guest's picture or a copy of it, in KiB.
    memory: [u64; 2],
    /// A second.
    wakeups: f64,
}

/// A compositor without a GPU may work for many seconds on what the window before has left it; each start
/// begins when `simple` was shown, so that it has done with that.
fn measure(simple: &dyn Fn() -> Command, start: &dyn Fn() -> Command) -> Result<Measured> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        Running::start(simple())?.first_frame()?;
        times.push(Running::start(start())?.first_frame()?);
    }
    times.sort_unstable();
    let mut running = Running::start(start())?;
    running.first_frame()?;
    // A program that draws all the time is never still, and its wake-ups are counted all the same.
    let until = Instant::now() + STILL;
    while Instant::now() < until && running.said.recv_timeout(QUIET).is_ok() {}
    let before = running.wakeups()?;
    // Its end would be a word.
    let watched = Instant::now();
    while let Some(left) = STILL.checked_sub(watched.elapsed()) {
        match running.said.recv_timeout(left) {
            Err(RecvTimeoutError::Disconnected) => return Err("it ended".into()),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let wakeups = running.wakeups()? - before;
    let wakeups = wakeups as f64 / watched.elapsed().as_secs_f64();
    let memory = running.memory()?;
    Ok(Measured { fastest: times[0], median: times[times.len() / 2], memory, wakeups })
}

/// A program with a window, until this is dropped.
struct Running {
    child: Child,
    started: Instant,
    /// What it and the compositor say to each other, and when.
    said: Receiver<(Instant, String)>,
}

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.env("WAYLAND_DEBUG", "1").stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let (tell, said) = channel();
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        thread::spawn(move || {
            for line in lines.map_while(std::io::Result::ok) {
                if tell.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, started, said })
    }

    /// Waits for its first frame: how long that took from its start.
    fn first_frame(&mut self) -> Result<Duration> {
        let mut asked = Vec::new();
        let mut last = String::new();
        let until = self.started + PATIENCE;
        while let Ok((at, line)) =
            self.said.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if line.contains(".frame(") {
                asked.extend(object(&line).map(str::to_owned));
            } else if line.contains("wl_callback")
                && let Some((before, _)) = line.split_once(".done")
                && object(before).is_some_and(|done| asked.iter().any(|asked| asked == done))
            {
                return Ok(at.saturating_duration_since(self.started));
            }
            last = line;
        }
        Err(format!("it showed nothing; its last word: {last}").into())
    }

    fn proc(&self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?)
    }

    fn memory(&self) -> Result<[u64; 2]> {
        let (mut all, mut pictures) = (0, 0);
        let mut is_picture = false;
        for line in self.proc("smaps")?.lines() {
            // A mapping begins with its addresses and ends with what is mapped.
            if line.split(' ').next().is_some_and(|word| word.contains('-')) {
                is_picture = ["/memfd:", "/dmabuf:"].iter().any(|name| line.contains(name));
            } else if line.starts_with("Rss:") {
                let resident = number(line, "Rss:")?;
                all += resident;
                pictures += if is_picture { resident } else { 0 };
            }
        }
        Ok([all, pictures])
    }

    /// How often its threads have waited and gone on.
    fn wakeups(&self) -> Result<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        tasks
            .map(|task| {
                number(
                    &fs::read_to_string(task?.path().join("status"))?,
                    "voluntary_ctxt_switches:",
                )
            })
            .sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number of the last object that is named: behind an `@`, or a `#` from libwayland 1.23 on.
fn object(line: &str) -> Option<&str> {
    line.rsplit_once(['@', '#'])?.1.split(['.', ')', ',']).next()
}

/// The number behind `label`, at the beginning of a line.
fn number(text: &str, label: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.ok_or_else(|| format!("the kernel says nothing of {label}"))?.parse()?)
}

/// A guest whose picture never changes, served by a thread of this process until it ends: its socket.
fn still_guest(folder: &Path) -> Result<String> {
    let path = folder.join("still.sock");
    let mut server = Server::bind(&path, "still", "", Options::default())?;
    let console = server.add_console(Kind::Graphic, "screen")?;
    let bytes = sys::page_align(u64::from(SIZE.width * SIZE.height * 4));
    let ram = Arc::new(sys::own_memfd("guest-ram", bytes)?);
    let memory = match sys::udmabuf_available() {
        true => Memory::Guest(GuestMemory::new([(Arc::clone(&ram), 0, bytes)])?),
        false => Memory::Planes(vec![ram.try_clone()?]),
    };
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0].stride = SIZE.width * 4;
    let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
    let layout = Layout { size: SIZE, format, modifier, planes, plane_count: 1 };
    let buffer = server.add_buffer(console, layout, memory)?;
    let whole = Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height };
    server.scanout(console, buffer, whole, Transform::Normal)?;
    thread::spawn(move || {
        while server.dispatch().is_ok() {
            while server.next_event().is_some() {}
            let mut fds = [PollFd::from_borrowed_fd(server.as_fd(), PollFlags::IN)];
            // Interrupted: it is looked at once more.
            let _ = poll(&mut fds, None);
        }
    });
    Ok(path.display().to_string())
}

/// A QEMU whose guest has drawn and rests.
fn still_qemu(dir: &Arc<RunDir>) -> Result<(Bus, Qemu)> {
    let bus = Bus::start(dir)?;
    let paint = Paint { hold_ms: 0, frames: 3, ..Paint::default() };
    let setup = Setup::new("still", Guest::Paint(paint)).card(Card::Vga).on(&bus);
    let mut qemu = setup.gl(Path::new(NODE).exists()).start(&Guests::find()?, dir)?;
    qemu.line.done(Deadline::seconds(120))?;
    Ok((bus, qemu))
}
