//! The program `fanlight`.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanlight::cli::main()
}
