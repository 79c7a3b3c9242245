//! Prepares the guests of Fanlight's tests, and shows Fanlight with them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fanlight_stage::prepare::Sources;
use fanlight_stage::{demo, prepare};

#[derive(Debug, Parser)]
#[command(name = "stage", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes the guests' images: paint.img, vmlinuz and initramfs.cpio.
    Prepare {
        /// The folder for the images.
        #[arg(long)]
        out: PathBuf,
        /// The program `fanlight-guest`, linked statically.
        #[arg(long)]
        guest: PathBuf,
        /// The root of the system whose kernel, modules and busybox are used.
        #[arg(long, default_value = "/")]
        root: PathBuf,
    },
    /// Boots the guests, shows them with `fanlight`, and leaves pictures and a report.
    Demo {
        /// The folder for demo.png, dump-*.png and report.json.
        #[arg(long)]
        out: PathBuf,
        /// The folder with the images that `prepare` made.
        #[arg(long, env = "FANLIGHT_GUESTS")]
        guests: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Prepare { out, guest, root } => {
            prepare::prepare(&Sources { guest, root }, &out).map(|()| true)
        }
        Verb::Demo { out, guests } => demo::demo(&guests, &out),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("stage: {e}");
            ExitCode::FAILURE
        }
    }
}
