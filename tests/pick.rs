//! Several virtual machines and nobody said which: the program asks, at a terminal and only there.
#![cfg(all(feature = "cli", feature = "wayland"))]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "support/compositor.rs"]
#[allow(dead_code)]
mod compositor;
#[path = "support/fake_qemu.rs"]
mod fake_qemu;
#[path = "support/terminal.rs"]
mod terminal;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use compositor::{Compositor, Script};
use fake_qemu::{FakeQemus, FakeVm, VM};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;

/// A bus with two on it, and how to look at one of them.
fn two() -> (TempDir, FakeQemus, Command) {
    let folder = tempfile::tempdir().unwrap();
    let bus = folder.path().join("bus.sock");
    let other = FakeVm { owner: ":1.8", name: "other", uuid: "another", ..VM };
    let qemus = fake_qemu::bus(&bus, vec![VM, other]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.env_clear().arg("view").arg(format!("qemu+unix:{}", bus.display()));
    (folder, qemus, command)
}

/// The program at a terminal, and the terminal.
fn at_a_terminal(mut command: Command) -> (Child, File) {
    let (ours, theirs) = terminal::terminal();
    command.stdin(theirs.try_clone().unwrap()).stderr(theirs);
    (command.spawn().unwrap(), ours)
}

/// Reads until the terminal has shown that.
fn shows(terminal: &mut File, so_far: &mut String, words: &str) {
    let mut bytes = [0; 256];
    while !so_far.contains(words) {
        let got = terminal.read(&mut bytes).unwrap_or(0);
        assert!(got > 0, "the terminal ends without \"{words}\": {so_far}");
        so_far.push_str(&String::from_utf8_lossy(&bytes[..got]));
    }
}

#[test]
fn the_number_that_is_typed_is_shown() {
    let (_folder, qemus, mut command) = two();
    let (compositor, stream) = Compositor::start(Script::default());
    // The program inherits this one, by its number.
    fcntl_setfd(&stream, FdFlags::empty()).unwrap();
    command.env("WAYLAND_SOCKET", stream.as_raw_fd().to_string());
    let (mut child, mut terminal) = at_a_terminal(command);
    let mut screen = String::new();
    shows(&mut terminal, &mut screen, "Which one? [1-2, or q] ");
    for line in ["1  fake", "2  other", "VGA 640x480"] {
        assert!(screen.contains(line), "{screen}");
    }
    screen.clear();
    terminal.write_all(b"3\n").unwrap();
    shows(&mut terminal, &mut screen, "a number from 1 to 2");
    shows(&mut terminal, &mut screen, "Which one? ");
    terminal.write_all(b"2\n").unwrap();
    assert_eq!(qemus.next().registered, (":1.8".to_owned(), 0));
    compositor.wait("the window", |server| {
        (server.surfaces.title == "other – Fanlight").then(|| {
            server.surfaces.toplevel.as_ref().unwrap().close();
        })
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn who_chooses_none_gets_the_list() {
    for answer in [&b"q\n"[..], b"\x04"] {
        let (_folder, _qemus, command) = two();
        let (mut child, mut terminal) = at_a_terminal(command);
        let mut screen = String::new();
        shows(&mut terminal, &mut screen, "Which one? ");
        terminal.write_all(answer).unwrap();
        shows(&mut terminal, &mut screen, "choose one by its name");
        assert_eq!(child.wait().unwrap().code(), Some(2), "{screen}");
    }
}

/// A signal ends the question, too.
#[test]
fn a_signal_ends_the_question() {
    let (_folder, _qemus, command) = two();
    let (mut child, mut terminal) = at_a_terminal(command);
    shows(&mut terminal, &mut String::new(), "Which one? ");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

/// Without it a script would wait for an answer that nobody gives.
#[test]
fn without_a_terminal_nobody_is_asked() {
    let (_folder, _qemus, mut command) = two();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("choose one by its name") && !stderr.contains("Which one"), "{stderr}");
}
