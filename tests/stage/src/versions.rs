//! What is installed, for reports.

use std::process::Command;

use serde_json::{Map, Value};

/// The Debian packages whose versions a reader of a report wants to know.
const PACKAGES: [&str; 5] =
    ["qemu-system-x86", "seabios", "weston", "libgl1-mesa-dri", "libegl-mesa0"];

/// The running kernel and the Debian packages that matter; what is not installed is left out.
#[must_use]
pub fn system() -> Map<String, Value> {
    let mut versions = Map::new();
    if let Ok(kernel) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        versions.insert("kernel".into(), kernel.trim().into());
    }
    for package in PACKAGES {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${Version}", package]);
        match query.output() {
            Ok(output) if output.status.success() => {
                let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                versions.insert(package.into(), version.into());
            }
            _ => {}
        }
    }
    versions
}
