//! The test machine: a Debian root with everything real in it (kernel, QEMU, Mesa, compositors), a chroot to build
//! in, and a VM to run in. The way through it: `recipe` → `root` → `compile` → `machine`; the verbs in `cli` pick
//! how far to go.

mod apt;
mod cache;
mod checks;
mod cli;
mod compile;
mod crates;
mod error;
mod host;
mod kvm;
mod machine;
mod plugin;
mod progress;
mod recipe;
mod root;
mod sandbox;
mod suite;
mod tally;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code)
        }
    }
}
