//! Prepares the guests of Fanlight's tests, and shows Fanlight with them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fanlight_stage::prepare::Sources;
use fanlight_stage::{Result, demo, guests::built, prepare};

/// Where cargo puts the guest's program, built for a target because it is linked statically.
const BUILT_GUEST: &str = "x86_64-unknown-linux-gnu/debug/fanlight-guest";

#[derive(Debug, Parser)]
#[command(name = "stage", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes the guests' images: paint.img, sound.img, kernel, initramfs.cpio and linux.state.
    Prepare {
        /// The folder for the images [default: guests in cargo's target folder].
        #[arg(long)]
        out: Option<PathBuf>,
        /// The program `fanlight-guest`, linked statically [default: the one that cargo built].
        #[arg(long)]
        guest: Option<PathBuf>,
        /// The root of the system whose kernel, modules and busybox are used.
        #[arg(long, default_value = "/")]
        root: PathBuf,
    },
    /// Boots the guests, shows them with `fanlight`, and leaves pictures and a report.
    Demo {
        /// The folder for demo.png, dump-*.png and report.json.
        #[arg(long)]
        out: PathBuf,
        /// The folder with the images that `prepare` made [default: where it puts them].
        #[arg(long, env = "FANLIGHT_GUESTS")]
        guests: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("stage: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it must be.
fn run(verb: Verb) -> Result<bool> {
    let or_built = |path: Option<PathBuf>, built_path| match path {
        Some(path) => Ok(path),
        None => built(built_path),
    };
    match verb {
        Verb::Prepare { out, guest, root } => {
            let guest = or_built(guest, BUILT_GUEST)?;
            prepare::prepare(&Sources { guest, root }, &or_built(out, "guests")?)?;
            Ok(true)
        }
        Verb::Demo { out, guests } => demo::demo(&or_built(guests, "guests")?, &out),
    }
}
