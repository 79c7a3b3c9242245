//! QEMU, and the virtual machines that can be seen.

use std::time::Duration;

use super::Finding;
use super::program::{Ran, run};
use crate::source::{self, ConsoleInfo, Options, SourceError, Uri};

/// Debian's way to one that is new enough for all that is used.
const NEWER: &str = "sudo apt install -t trixie-backports qemu-system   # Debian 13; else QEMU 10.1 or newer from elsewhere";

const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn check(uri: Option<&Uri>) -> Vec<Finding> {
    let mut findings = qemu();
    findings.extend(bus());
    if let Some(uri) = uri {
        findings.extend(machine(uri));
    }
    findings
}

/// The QEMU that would be started here.
fn qemu() -> Vec<Finding> {
    let arch = std::env::consts::ARCH;
    let program = format!("qemu-system-{arch}");
    let version = match run(&program, &["--version"]) {
        Ran::Missing => {
            let says = format!("{program} is not installed");
            let means = "Virtual machines elsewhere, and other backends, can be seen all the same.";
            let remedy = "sudo apt install qemu-system qemu-system-gui   # Debian; Fedora: qemu-kvm qemu-ui-dbus";
            return vec![Finding::info("qemu", says).means(means).remedy(remedy)];
        }
        Ran::Failed(why) => {
            let says = format!("{program} can't be asked: {why}");
            let remedy = format!("{program} --version   # what it says instead");
            return vec![Finding::warn("qemu", says, remedy)];
        }
        Ran::Said(text) => text,
    };
    let number =
        version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let number = number.unwrap_or("of unknown version").to_owned();
    let mut findings = vec![judge(&number)];
    match run(&program, &["-display", "help"]) {
        Ran::Said(text) => {
            let has = |name: &str| text.lines().any(|line| line.trim() == name);
            findings.push(if has("dbus") {
                Finding::ok("qemu-display", "it has -display dbus")
            } else {
                let remedy = "sudo apt install qemu-system-gui   # Debian; Fedora: qemu-ui-dbus";
                let finding = Finding::warn("qemu-display", "it has no -display dbus", remedy);
                finding.means(
                    "Its guests can't be seen. Distributions may have it in a package of its own.",
                )
            });
            if !has("egl-headless") {
                let means = "-display dbus,gl=on needs it: without, each frame is copied.";
                let finding = Finding::info("qemu-gl", "it has no OpenGL").means(means);
                findings.push(finding.remedy(
                    "sudo apt install qemu-system-modules-opengl   # Debian; Fedora: qemu-ui-opengl",
                ));
            }
        }
        Ran::Missing => {}
        Ran::Failed(why) => {
            let says = format!("it doesn't say its displays: {why}");
            let remedy = format!("{program} -display help   # what it says instead");
            findings.push(Finding::warn("qemu-display", says, remedy));
        }
    }
    findings
}

fn judge(number: &str) -> Finding {
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let says = format!("QEMU {number}");
    if version < (7, 0) {
        let means = "-display dbus came with QEMU 7.0: its guests can't be seen.";
        Finding::warn("qemu", says, NEWER).means(means)
    } else if version < (9, 2) {
        let means = "Before QEMU 9.2 a console takes one viewer at a time, and without gl=on all pixels are sent.";
        Finding::info("qemu", says).means(means).remedy(NEWER)
    } else if version < (10, 1) {
        let means = "Before QEMU 10.1 it doesn't say which part of a buffer is visible: with gl=on some guests \
                     show the wrong part.";
        Finding::info("qemu", says).means(means).remedy(NEWER)
    } else {
        Finding::ok("qemu", says)
    }
}

/// What is on the session bus.
fn bus() -> Vec<Finding> {
    let options = Options { time_limit: LIMIT, ..Options::default() };
    let uri: Uri = "qemu:".parse().expect("it is one");
    match source::list(&uri, &options) {
        Ok(consoles) => consoles.iter().map(console).collect(),
        Err(SourceError::NoVm(_)) => {
            let finding = Finding::info("session-bus", "no QEMU is on the session bus");
            vec![finding.remedy("qemu-system-x86_64 -display dbus,gl=on …")]
        }
        Err(error @ SourceError::NoSessionBus(_)) => {
            let remedy = "export DBUS_SESSION_BUS_ADDRESS=unix:path=\"$XDG_RUNTIME_DIR\"/bus";
            let finding = Finding::warn("session-bus", error.to_string(), remedy);
            vec![finding.means("Only virtual machines at sockets (qmp:, scanout:) can be seen.")]
        }
        Err(error) => {
            let remedy = "busctl --user list   # whether org.qemu is on it, and what is";
            vec![Finding::warn("session-bus", error.to_string(), remedy)]
        }
    }
}

/// The one that was asked about.
fn machine(uri: &Uri) -> Vec<Finding> {
    let options = Options { time_limit: LIMIT, ..Options::default() };
    match source::list(uri, &options) {
        Ok(consoles) => {
            let mut findings: Vec<_> = consoles.iter().map(console).collect();
            if consoles.iter().all(|console| console.kind != "Graphic") {
                let says = SourceError::NoGraphicConsole.to_string();
                let remedy = "# Start it with a display adapter: QEMU's -device virtio-vga, say.";
                findings.push(Finding::fail("console", says, remedy));
            }
            findings
        }
        Err(error) => {
            let says = format!("{uri}: {error}");
            let remedy = "fanlight list   # what can be seen on the session bus";
            vec![Finding::fail("machine", says, remedy).means("It can't be seen.")]
        }
    }
}

fn console(info: &ConsoleInfo) -> Finding {
    let ConsoleInfo { uri, vm, label, kind, width, height, backend, .. } = info;
    let size = if *width > 0 { format!(", {width}x{height}") } else { String::new() };
    Finding::ok("console", format!("{uri}: {vm}, {label} ({kind}{size}), {backend}"))
}
