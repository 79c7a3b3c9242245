//! `fanlight doctor` from outside: a compositor within the test, a fake QEMU, and scripts that stand in for
//! other programs. What real ones say is looked at in the test machine.
#![cfg(all(feature = "cli", feature = "wayland"))]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "support/compositor.rs"]
#[allow(dead_code)]
mod compositor;
#[path = "support/fake_qemu.rs"]
mod fake_qemu;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use compositor::{Compositor, Script};
use fake_qemu::{FakeVm, VM};
use fanlight::frame::{Format, Modifier};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

/// The program with nothing around it but these stand-ins: a program's name, and the lines of a script.
fn doctor(programs: &[(&str, &str)]) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in programs {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.env_clear().env("PATH", folder.path()).arg("doctor");
    (folder, command)
}

/// The same beside a compositor.
fn beside(script: Script, mut command: Command) -> Output {
    let (_compositor, stream) = Compositor::start(script);
    // The program inherits this one, by its number.
    fcntl_setfd(&stream, FdFlags::empty()).unwrap();
    command.env("WAYLAND_SOCKET", stream.as_raw_fd().to_string());
    command.output().expect("the program starts")
}

fn findings(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["findings"].as_array().unwrap().clone()
}

/// The verdicts of a check, and all that it says.
fn of(findings: &[Value], check: &str) -> (Vec<String>, String) {
    let found = || findings.iter().filter(|finding| finding["check"] == check);
    let verdicts = found().map(|finding| finding["verdict"].as_str().unwrap().to_owned());
    let text = |finding: &Value| {
        let part = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        format!("{}|{}|{}\n", part("says"), part("means"), part("remedy"))
    };
    (verdicts.collect(), found().map(text).collect())
}

/// Asserts that a check has one finding with this verdict and these words.
fn is(findings: &[Value], check: &str, verdict: &str, words: &[&str]) {
    let (verdicts, text) = of(findings, check);
    assert_eq!(verdicts, [verdict], "{check}: {text}");
    for word in words {
        assert!(text.contains(word), "{check} does not say \"{word}\": {text}");
    }
}

#[test]
fn its_json_is_what_its_help_promises() {
    let (_folder, mut command) = doctor(&[]);
    let output = command.arg("--json").output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["fanlight"], env!("CARGO_PKG_VERSION"));
    let findings = findings(&output);
    let mut fails = false;
    for finding in &findings {
        let object = finding.as_object().unwrap();
        let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["check", "means", "remedy", "says", "subject", "verdict"]);
        for key in ["check", "says", "subject"] {
            assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
        }
        assert!(["means", "remedy"].iter().all(|k| finding[k].is_null() || finding[k].is_string()));
        let verdict = finding["verdict"].as_str().unwrap();
        assert!(["ok", "info", "warn", "fail"].contains(&verdict), "{finding}");
        fails |= verdict == "fail";
        // What isn't fine can be helped.
        if ["warn", "fail"].contains(&verdict) {
            let remedy = finding["remedy"].as_str().unwrap_or_default();
            assert!(!remedy.is_empty(), "{finding}");
        }
    }
    for subject in ["kernel", "gpu", "compositor", "machines", "programs"] {
        assert!(findings.iter().any(|finding| finding["subject"] == subject), "{subject}");
    }
    assert!(fails, "there is no compositor");
    assert_eq!(report["works"], false);
    assert_eq!(output.status.code(), Some(1));
    is(&findings, "wayland", "fail", &["WAYLAND_DISPLAY is not set", "/wayland-*", "weston"]);
    is(&findings, "session-bus", "warn", &["session bus", "export DBUS_SESSION_BUS_ADDRESS="]);
    is(&findings, "linux", "ok", &["Linux "]);
    if Path::new("/dev/udmabuf").exists() {
        eprintln!(
            "SKIP its_json_is_what_its_help_promises: there is a /dev/udmabuf, so that none is missed"
        );
    } else {
        is(&findings, "udmabuf", "warn", &["not there", "copied", "sudo modprobe udmabuf"]);
        assert!(of(&findings, "udmabuf-limits").0.is_empty());
    }
}

#[test]
fn a_compositor_with_all_is_fine() {
    let formats =
        [Format::XRGB8888, Format::ARGB8888, Format::XBGR8888, Format::ABGR8888].map(|f| f.0);
    for dmabuf in [3, 4] {
        let pairs = formats.map(|format| (format, Modifier::LINEAR.0)).to_vec();
        let (_folder, mut command) = doctor(&[]);
        command.arg("--json");
        let script = Script { dmabuf, pairs, syncobj: true, clipboard: true, ..Script::default() };
        let output = beside(script, command);
        let findings = findings(&output);
        assert_eq!(output.status.code(), Some(0), "{findings:#?}");
        is(&findings, "wayland", "ok", &["wl_compositor 6", "xdg_wm_base 6"]);
        let takes = format!("zwp_linux_dmabuf_v1 {dmabuf} takes linear XR24, AR24, XB24, AB24");
        is(&findings, "formats", "ok", &[&takes]);
        let (verdicts, text) = of(&findings, "protocols");
        assert!(text.contains("wp_viewporter 1") && text.contains("wl_seat 9"), "{text}");
        assert_eq!(verdicts, ["ok"], "nothing that is used is missing: {text}");
    }
}

#[test]
fn what_a_compositor_lacks_is_said_with_what_is_lost() {
    let look = |script: Script| {
        let (_folder, mut command) = doctor(&[]);
        command.arg("--json");
        let output = beside(script, command);
        (output.status.code(), findings(&output))
    };
    let without = |without| Script { without, ..Script::default() };
    // What is used where it is offered, and what is lost where it isn't.
    for (lacks, lost) in [
        (&["wp_single_pixel_buffer_manager_v1"], "memory"),
        (&["wp_tearing_control_manager_v1"], "--tearing"),
        (&["wp_content_type_manager_v1"], "--content"),
        (&["xdg_toplevel_icon_manager_v1"], "icon"),
        (&["wl_data_device_manager"], "copied"),
    ] {
        let name = lacks[0];
        let (code, found) = look(without(lacks));
        assert_eq!(code, Some(0), "it works: {found:#?}");
        let (_, text) = of(&found, "protocols");
        let line = text.lines().find(|line| line.starts_with(&format!("no {name}|")));
        assert!(line.is_some_and(|line| line.contains(lost)), "{name}: {text}");
    }
    let (code, found) = look(without(&["zwp_linux_dmabuf_v1", "wp_viewporter"]));
    assert_eq!(code, Some(0), "it works: {found:#?}");
    is(&found, "linux-dmabuf", "warn", &["no zwp_linux_dmabuf_v1", "copied", "gles2 sway"]);
    let (verdicts, text) = of(&found, "protocols");
    assert!(verdicts.contains(&"warn".to_owned()), "{text}");
    assert!(text.contains("no wp_viewporter|Nothing is scaled"), "{text}");
    let (code, found) = look(without(&["xdg_wm_base"]));
    assert_eq!(code, Some(1));
    let words = ["no xdg_wm_base (version 1 or later)", "dump works", "weston"];
    is(&found, "wayland", "fail", &words);
    let (code, found) = look(Script { compositor: 3, ..Script::default() });
    assert_eq!(code, Some(1));
    is(&found, "wayland", "fail", &["wl_compositor (version 4 or later)"]);
    // Of the formats that QEMU sends it takes one.
    let (_, found) = look(Script::default());
    let (verdicts, text) = of(&found, "formats");
    assert_eq!(verdicts, ["ok", "warn"], "{text}");
    assert!(text.contains("takes linear XR24|") && text.contains("no linear AR24, XB24, AB24"));
}

#[test]
fn programs_are_told_apart_by_what_they_say() {
    let qemu = format!("qemu-system-{}", std::env::consts::ARCH);
    let look = |programs: &[(&str, &str)]| {
        let (_folder, mut command) = doctor(programs);
        findings(&command.arg("--json").output().unwrap())
    };
    let found = look(&[]);
    is(&found, "qemu", "info", &["is not installed"]);
    is(&found, "gstreamer", "info", &["not installed", "sudo apt install gstreamer1.0-tools"]);
    is(&found, "libvirt", "info", &["not installed", "libvirt-clients"]);
    let says = |version: &str, displays: &str| {
        format!(
            "case $1 in --version) echo 'QEMU emulator version {version} (x)';; \
             -display) printf 'Available:\\nnone\\n{displays}';; esac"
        )
    };
    for (version, verdict, word) in [
        ("6.2.0", "warn", "QEMU 7.0"),
        ("6.2.0", "warn", "sudo apt install"),
        ("8.2.1", "info", "9.2"),
        ("10.0.13", "info", "sudo apt install"),
        ("10.1.0", "ok", "QEMU 10.1.0"),
        ("11.1.3", "ok", "QEMU 11.1.3"),
    ] {
        let found = look(&[(&qemu, &says(version, "dbus\\negl-headless\\n"))]);
        is(&found, "qemu", verdict, &[word]);
        is(&found, "qemu-display", "ok", &[]);
        assert!(of(&found, "qemu-gl").0.is_empty());
    }
    let found = look(&[
        (&qemu, &says("11.0.0", "")),
        ("virsh", "echo 11.3.0"),
        ("gst-inspect-1.0", "exit 1"),
    ]);
    is(&found, "qemu-display", "warn", &["no -display dbus", "sudo apt install"]);
    is(&found, "qemu-gl", "info", &["gl=on"]);
    is(&found, "libvirt", "ok", &["virsh 11.3.0"]);
    let build = ["fanlightsrc is not installed", "cargo build --release -p gst-plugin-fanlight"];
    is(&found, "gstreamer", "info", &build);
    let found = look(&[
        (&qemu, "exit 3"),
        ("virsh", "kill -9 $$"),
        ("gst-inspect-1.0", "test \"$*\" = '--exists fanlightsrc'"),
    ]);
    is(&found, "qemu", "warn", &["exit status: 3", &format!("{qemu} --version")]);
    is(&found, "libvirt", "warn", &["signal: 9", "virsh --version"]);
    is(&found, "gstreamer", "ok", &["fanlightsrc"]);
}

#[test]
fn a_virtual_machine_that_is_asked_about_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let bus = folder.path().join("bus.sock");
    let text = FakeVm { owner: ":1.8", name: "dull", uuid: "another", consoles: &["Text"], ..VM };
    let _qemus = fake_qemu::bus(&bus, vec![VM, text]);
    let look = |vm: &str| {
        let (_folder, mut command) = doctor(&[]);
        command.args([&format!("qemu+unix:{}?name={vm}", bus.display()), "--json"]);
        let output = beside(Script::default(), command);
        (output.status.code(), findings(&output))
    };
    let (code, found) = look("fake");
    assert_eq!(code, Some(0), "{found:#?}");
    is(&found, "console", "ok", &["name=fake&console=0", "VGA (Graphic, 640x480)"]);
    let (code, found) = look("dull");
    assert_eq!(code, Some(1));
    assert_eq!(of(&found, "console").0, ["ok", "fail"]);
    assert!(of(&found, "console").1.contains("-device virtio-vga"), "{found:#?}");
    let (code, found) = look("nobody");
    assert_eq!(code, Some(1));
    is(&found, "machine", "fail", &["no virtual machine is called \"nobody\"", "fanlight list"]);
    let (_folder, mut command) = doctor(&[]);
    assert_eq!(command.arg("vnc:1").output().unwrap().status.code(), Some(2));
}

/// Lines of a terminal's usual width, and colours only there.
#[test]
fn people_get_short_lines_and_terminals_colours() {
    let (_folder, mut command) = doctor(&[]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text:?}");
    for line in text.lines().filter(|line| !line.trim_start().starts_with('$')) {
        let unbreakable = line.split_whitespace().any(|word| word.chars().count() > 60);
        assert!(line.chars().count() <= 80 || unbreakable, "{line}");
    }
    assert!(text.starts_with("Kernel\n  ok    Linux "), "{text}");
    for (no_color, coloured) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (_folder, mut command) = doctor(&[]);
        command.envs(no_color.map(|value| ("NO_COLOR", value))).stdout(theirs);
        let mut child = command.spawn().unwrap();
        // Nobody else has the other end, so that reading ends with the program.
        drop(command);
        let mut bytes = Vec::new();
        // It ends as an error of the terminal's.
        let _ = File::from(ours).read_to_end(&mut bytes);
        child.wait().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.contains("\x1b[32mok\x1b[0m"), coloured, "{text}");
    }
}
