//! What was typed, and what it means.

use crate::cache;
use crate::compile;
use crate::error::{Context as _, Error, Result};
use crate::kvm::Accel;
use crate::machine::{CHECKOUT, Job, Machine, OUT};
use crate::progress::say;
use crate::root::{self, Root};
use crate::suite::Suite;
use crate::tally::Tally;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

/// Fanlight's test machine: real kernel, real QEMU, real compositors, no GPU needed
///
/// The first run makes a Debian root (about 1.5 GiB under ~/.cache/fanlight-rig, or XDG_CACHE_HOME); later runs, of any checkout, use it. It needs root's
/// rights, and leaves neither mounts nor processes behind.
#[derive(Debug, Parser)]
#[command(
    name = "cargo rig",
    bin_name = "cargo rig",
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the root, and check that a compositor in the VM takes dma-bufs
    #[command(after_help = "Examples:\n  cargo rig setup\n  cargo rig setup --prune")]
    Setup {
        /// Remove the roots of old recipes too
        #[arg(long)]
        prune: bool,
    },
    /// Open a shell in the VM
    #[command(
        after_help = "Examples:\n  cargo rig shell\n  cargo rig shell --chroot\n\n`exit` powers the VM off."
    )]
    Shell {
        /// In the chroot that builds, not in the VM
        #[arg(long)]
        chroot: bool,
    },
    /// Build this checkout in the root: the program, the GStreamer plugin, the guests, the end-to-end tests
    #[command(
        after_help = "Examples:\n  cargo rig build && cargo rig vm -- fanlight doctor\n  cargo rig build && cargo rig vm -- gst-inspect-1.0 fanlight"
    )]
    Build,
    /// Boot the VM, run a command in this folder of the checkout, give its output and its exit status
    ///
    /// The checkout is at /fanlight there, its programs are on the path and GStreamer finds its plugin, once `cargo rig build` made them. Exit status 124 means that the
    /// time was over, 125 that the rig itself failed.
    #[command(
        after_help = "Examples:\n  cargo rig vm -- ls -l /dev/udmabuf /dev/dri\n  cargo rig vm --timeout 60 -- sh -c 'uname -r; exit 7'"
    )]
    Vm {
        /// Stop the VM after so many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        timeout: u64,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Show real guests of a real QEMU in a real compositor, and leave pictures and a report
    #[command(after_help = "Example:\n  cargo rig demo --out /tmp/demo")]
    Demo {
        /// Where the pictures and the report go
        #[arg(long, value_name = "DIR", default_value = "out/demo")]
        out: PathBuf,
    },
    /// Run all tests: checks of the code and unit tests here, those of the plugin in the root, end-to-end tests in the VM
    #[command(
        after_help = "Examples:\n  cargo rig test\n  cargo rig test dump\n  cargo rig test --long\n\n\
        The checks are called fmt, clippy and doc, those of the plugin clippy-plugin, doc-plugin and, with --long, package-plugin. The last line says: N passed, N failed, N skipped."
    )]
    Test {
        /// Soaks and more guests too
        #[arg(long)]
        long: bool,
        /// Only tests and checks with this in their names
        filter: Option<String>,
    },
    /// Run the benches in the VM
    #[command(after_help = "Examples:\n  cargo rig bench\n  cargo rig bench copy\n\n\
        What counts is how they compare with each other in one run: the VM's clock is not the host's.")]
    Bench {
        /// Only benches with this in their names
        filter: Option<String>,
    },
}

/// How long a demo may take.
const DEMO_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long all benches may take.
const BENCH_LIMIT: Duration = Duration::from_secs(15 * 60);
/// One after the other, so that none takes another's time.
const BENCH: &str = r#"for bench do "$bench" --bench ${FILTER:+"$FILTER"} || exit; done"#;

pub(crate) fn run(cli: Cli) -> Result<u8> {
    match cli.verb {
        Verb::Setup { prune } => setup(prune),
        Verb::Shell { chroot } => shell(chroot),
        Verb::Build => {
            compile::build(Root::ready()?.path())?;
            say("built");
            Ok(0)
        }
        Verb::Vm { timeout, command } => vm(command, Duration::from_secs(timeout)),
        Verb::Demo { out } => demo(&out),
        Verb::Test { long, filter } => test(&Suite { long, filter }),
        Verb::Bench { filter } => bench(filter.as_deref()),
    }
}

fn setup(prune: bool) -> Result<u8> {
    let root = Root::ready()?;
    root::tidy(prune)?;
    say(format!("the root is ready: {}", root.path().display()));
    Ok(0)
}

fn shell(chroot: bool) -> Result<u8> {
    let root = Root::ready()?;
    if chroot {
        return compile::shell(root.path());
    }
    if !io::IsTerminal::is_terminal(&io::stdin()) {
        return Err(Error::new(
            "a shell needs a terminal; to run one command use `cargo rig vm -- COMMAND`",
        ));
    }
    let size = rustix::termios::tcgetwinsize(io::stdin())
        .context(|| "asking for the size of the terminal")?;
    let start = format!("stty rows {} cols {}; exec bash", size.ws_row, size.ws_col);
    let job = Job::new(["sh", "-c", &start])
        .variable("TERM", &env::var("TERM").unwrap_or_else(|_| "vt220".into()));
    let accel = Accel::best(root.path())?;
    Machine { root: root.path(), accel, limit: None, out: None, name: "shell" }.interact(&job)
}

fn vm(command: Vec<String>, limit: Duration) -> Result<u8> {
    let root = Root::ready()?;
    let accel = Accel::best(root.path())?;
    let machine = Machine { root: root.path(), accel, limit: Some(limit), out: None, name: "vm" };
    machine.run(&Job::new(command).folder(folder()?), &mut io::stdout(), &mut io::stderr())
}

/// The current folder as the VM sees it.
fn folder() -> Result<PathBuf> {
    let here = env::current_dir().context(|| "finding the current folder")?;
    Ok(here
        .strip_prefix(cache::checkout()?)
        .map_or_else(|_| CHECKOUT.into(), |below| Path::new(CHECKOUT).join(below)))
}

fn demo(out: &Path) -> Result<u8> {
    fs::create_dir_all(out).context(|| format!("creating {}", out.display()))?;
    let out = out.canonicalize().context(|| format!("finding {}", out.display()))?;
    let root = Root::ready()?;
    compile::build(root.path())?;
    let accel = Accel::best(root.path())?;
    say("the demo runs in the VM");
    let machine = Machine {
        root: root.path(),
        accel,
        limit: Some(DEMO_LIMIT),
        out: Some(&out),
        name: "demo",
    };
    let status = machine.run(
        &Job::new(["stage", "demo", "--out", OUT]),
        &mut io::stdout(),
        &mut io::stderr(),
    )?;
    if status != 0 {
        return Err(Error::new(format!(
            "the demo ended with status {status}; what it left is in {}",
            out.display()
        )));
    }
    say(format!(
        "look at {0}/demo.png, the compositor's own picture, and at {0}/report.json",
        out.display()
    ));
    Ok(0)
}

fn test(suite: &Suite) -> Result<u8> {
    let tally = suite.run();
    if let Some(filter) = &suite.filter
        && tally == Tally::default()
    {
        return Err(Error::new(format!("no test and no check has `{filter}` in its name")));
    }
    for (name, reason) in &tally.skipped {
        println!("skipped {name}: {reason}");
    }
    for name in &tally.failed {
        println!("FAILED {name}");
    }
    println!("{tally}");
    Ok(u8::from(!tally.failed.is_empty()))
}

fn bench(filter: Option<&str>) -> Result<u8> {
    let root = Root::ready()?;
    let programs = compile::build_benches(root.path())?;
    let accel = Accel::best(root.path())?;
    let machine =
        Machine { root: root.path(), accel, limit: Some(BENCH_LIMIT), out: None, name: "bench" };
    let script = ["sh", "-c", BENCH, "sh"].into_iter().map(str::to_owned);
    let job = Job::new(script.chain(programs)).variable("FILTER", filter.unwrap_or_default());
    machine.run(&job, &mut io::stdout(), &mut io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
        let cli =
            Cli::parse_from(["cargo rig", "vm", "--timeout", "5", "--", "sh", "-c", "exit 7"]);
        assert!(
            matches!(cli.verb, Verb::Vm { timeout: 5, command } if command == ["sh", "-c", "exit 7"])
        );
    }
}
