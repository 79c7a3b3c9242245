//! The kernel's console: a line of text, or somebody who logs in.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::Result;

const CONSOLE: &str = "/dev/tty0";

/// Clears it and writes one line on it.
pub(crate) fn show(text: &str) -> Result<()> {
    clear(&format!("{text}\r\n"))
}

/// Clears it and has it ask who is there, as an init does. Nobody is asked again after whoever logs in.
pub(crate) fn log_in() -> Result<()> {
    clear("")?;
    let mut getty = Command::new("/bin/busybox");
    getty.args(["getty", "0", "tty1", "linux"]);
    // It opens its terminal by itself.
    getty.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    getty.spawn().map(drop).map_err(|e| format!("getty can't be started: {e}"))
}

fn clear(text: &str) -> Result<()> {
    let mut tty = OpenOptions::new()
        .write(true)
        .open(CONSOLE)
        .map_err(|e| format!("{CONSOLE} can't be opened: {e}"))?;
    write!(tty, "\x1b[2J\x1b[H{text}").map_err(|e| format!("{CONSOLE} can't be written: {e}"))
}
