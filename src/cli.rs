//! What was typed, and what it means. One file a verb.

mod config;
mod demo;
mod diff;
mod doctor;
mod dump;
mod exit;
mod hud;
mod list;
mod papers;
mod pick;
mod reconnect;
mod screenshot;
mod script;
mod stats;
mod status;
mod view;
mod whole;

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::session::Present;
use exit::Failure;

/// A window into a virtual machine: the guest's framebuffer, as the dma-buf that it already is.
#[derive(Debug, Parser)]
#[command(name = "fanlight", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Say more on stderr; twice for everything (FANLIGHT_LOG overrides it)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  qemu-system-x86_64 -name my-vm -display dbus,gl=on …   a guest to look at
  fanlight view                                          show the only VM on the session bus
  fanlight view qemu:my-vm                               show this one
  fanlight dump qemu:my-vm -o screen.png                 its screen, into a file
  fanlight diff wanted.png screen.png                    whether that is what it should be
  fanlight script login.fan qemu:my-vm                   type, click, wait and compare as login.fan says
  fanlight list                                          what can be seen from here
  fanlight doctor                                        what can be done here, and how to do better
  fanlight view demo:                                    a simulated guest: there is no VM to start

Exit codes: 0 done, 1 failed, 2 wrong usage (also: no or several VMs to choose from), 3 timed out,
4 a picture is not as it should be.
FANLIGHT_LOG takes a filter as `debug` or `fanlight::session=trace`.
What isn't typed for view, dump and script is taken from the environment (--present from FANLIGHT_PRESENT, and
so on), else from the configuration file, where the flags have the same names (`fanlight config` prints one).
A flag that is set there is taken back by =no, as in --reconnect=no. FANLIGHT_HOTKEY holds one hotkey; the file
takes a list of them.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show a guest in a window
    View(view::ViewArgs),
    /// Write a guest's screen into files
    Dump(dump::DumpArgs),
    /// Say whether two pictures are the same, and where not
    Diff(diff::DiffArgs),
    /// Type, click, wait and compare as a file says
    Script(script::ScriptArgs),
    /// List the consoles that can be seen from here
    List(list::ListArgs),
    /// Say what this machine can do for guests' pictures, and what to do about what it can't
    Doctor(doctor::DoctorArgs),
    /// Serve a simulated guest at a socket, to look at or to test with
    Demo(demo::DemoArgs),
    /// Print a configuration file with all settings and their defaults
    Config(papers::ConfigArgs),
    /// Print what a shell needs to complete this program's command line
    Completions(papers::CompletionsArgs),
    /// Print this program's manual page, or write those of all its verbs
    Man(papers::ManArgs),
}

/// What a URI can be.
const URIS: &str = "\
qemu:, qemu:NAME-or-UUID, qemu:?console=1, qemu+unix:/path/to/bus.sock, qmp:/path/to/qmp.sock, \
libvirt:DOMAIN?connect=qemu:///system, scanout:/path/to.sock, \
demo:?mode=…&size=WxH&fps=N&buffers=2|3&freshness=off (a simulated guest; its modes: fanlight demo --help)";

/// What view, dump and script have in common.
#[derive(Clone, Debug, Args)]
struct Common {
    /// The configuration file [default: $XDG_CONFIG_HOME/fanlight/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Let the guest go on after this time, whoever still reads its memory
    #[arg(long, value_name = "MS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=1000))]
    ack_deadline: u64,
    /// Print what happened, once a second and at the end: as text, or as lines of JSON
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    stats: Option<StatsFormat>,
}

impl Common {
    fn ack_deadline(&self) -> Duration {
        Duration::from_millis(self.ack_deadline)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatsFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PresentArg {
    /// The guest's own memory where nothing tears, else a copy
    Auto,
    /// The guest's own memory wherever the compositor takes it; a guest that draws in place may tear
    Direct,
    /// Always a copy
    Copy,
}

impl From<PresentArg> for Present {
    fn from(arg: PresentArg) -> Self {
        match arg {
            PresentArg::Auto => Self::Auto,
            PresentArg::Direct => Self::Direct,
            PresentArg::Copy => Self::Copy,
        }
    }
}

/// Runs the program on the arguments of the process.
pub fn main() -> ExitCode {
    exit::report(config::parse().and_then(run))
}

fn run(cli: Cli) -> Result<(), Failure> {
    log_to_stderr(cli.verbose)?;
    match cli.verb {
        Verb::View(args) => view::run(&args),
        Verb::Dump(args) => dump::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Script(args) => script::run(&args),
        Verb::List(args) => list::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Config(_) => papers::example(),
        Verb::Completions(args) => papers::completions(&args),
        Verb::Man(args) => papers::man(&args),
    }
}

fn log_to_stderr(verbose: u8) -> Result<(), Failure> {
    let default = match verbose {
        0 => "fanlight=warn",
        1 => "fanlight=info",
        _ => "fanlight=trace",
    };
    let wanted = std::env::var("FANLIGHT_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| {
        let hint = "FANLIGHT_LOG takes a filter as `debug` or `fanlight::session=trace`";
        Failure::usage(io::Error::other(format!("{hint}, not \"{wanted}\" ({error})")))
    })?;
    let lines = tracing_subscriber::fmt().with_ansi(wants_colour(&io::stderr()));
    lines.with_env_filter(filter).with_writer(io::stderr).init();
    Ok(())
}

/// At a terminal, unless its user wants none (<https://no-color.org>).
fn wants_colour(to: &impl IsTerminal) -> bool {
    to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// SIGINT and SIGTERM, and what else is to end a wait, as an fd that becomes readable.
struct Signals {
    ours: UnixStream,
    theirs: UnixStream,
    told: Arc<AtomicBool>,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = || -> io::Result<Self> {
            let signals = Self::unasked()?;
            for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
                // In this order, so that whoever is woken finds it told.
                signal_hook::flag::register(signal, Arc::clone(&signals.told))?;
                signal_hook::low_level::pipe::register(signal, signals.theirs.try_clone()?)?;
            }
            Ok(signals)
        };
        listen().map_err(|error| Failure::failed("can't listen for signals", error))
    }

    /// Those of another thread, which hears no signals itself.
    fn unasked() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok(Self { ours, theirs, told: Arc::default() })
    }

    /// What ends that thread's wait as a signal would.
    fn stop(&self) -> Result<Stop, Failure> {
        Ok(Stop { told: Arc::clone(&self.told), waker: self.waker()? })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }

    /// Whether a signal came; the fd is readable again when something else happens.
    fn told(&self) -> bool {
        // What is left to read, if anything, ends the next wait.
        let _ = (&self.ours).read(&mut [0; 64]);
        self.told.load(Ordering::SeqCst)
    }

    /// Something by which another thread ends a wait.
    fn waker(&self) -> Result<Waker, Failure> {
        Ok(Waker(Arc::new(self.theirs.try_clone()?)))
    }
}

/// Makes the fd of [`Signals`] readable.
#[derive(Clone)]
struct Waker(Arc<UnixStream>);

impl Waker {
    fn wake(&self) {
        // Where it is full it is readable, and where it is closed nobody waits.
        let _ = (&*self.0).write(b"w");
    }
}

/// Tells [`Signals`] of a signal.
struct Stop {
    told: Arc<AtomicBool>,
    waker: Waker,
}

impl Stop {
    fn stop(&self) {
        self.told.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}
