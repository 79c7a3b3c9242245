//! Modules of the kernel's that are loaded only when they are asked for.

use std::path::Path;
use std::process::Command;

use crate::Result;

/// Loads one, with what it needs. One that is there already, or built in, is fine.
pub(crate) fn load(name: &str) -> Result<()> {
    let order = format!("/modules/order-{name}");
    let files = std::fs::read_to_string(&order).map_err(|e| format!("there is no {name}: {e}"))?;
    for file in files.lines() {
        let module = file.split('.').next().unwrap_or(file).replace('-', "_");
        if !Path::new("/sys/module").join(module).exists() {
            busybox(&["insmod", &format!("/modules/{file}")])?;
        }
    }
    Ok(())
}

/// Takes it out. What it needed stays.
pub(crate) fn unload(name: &str) -> Result<()> {
    busybox(&["rmmod", name])
}

fn busybox(arguments: &[&str]) -> Result<()> {
    let what = arguments.join(" ");
    match Command::new("/bin/busybox").args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("busybox can't be started: {e}")),
    }
}
