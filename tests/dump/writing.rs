//! What becomes of frames that can't be written, or not as fast as they come.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::folder::Folder;
use crate::terminal::terminal;
use crate::{DEMO, of_file};

/// The program where no file may be longer than so many blocks (of 512 bytes, or 1024): the kernel takes what
/// fits, and refuses the rest.
fn short_of_space(folder: &Folder, blocks: u32, args: &str) -> (Option<i32>, String) {
    let mut command = Command::new("/bin/sh");
    let program = env!("CARGO_BIN_EXE_fanlight");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {program} dump {args}");
    command.arg("-c").arg(script).current_dir(folder.path("")).env_clear();
    let output = command.env("FANLIGHT_LOG", "error").stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn where_space_ends_nothing_half_done_stays() {
    // The guest's memory is within that.
    let (blocks, guest) = (128, "'demo:?size=64x64&fps=240'");
    let folder = Folder::new();
    let args = format!("{guest} -n 90 --every update -o f.y4m");
    let (code, said) = short_of_space(&folder, blocks, &args);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("fanlight: can't write f.y4m: File too large"), "{said}");
    assert_eq!(folder.files(), [""; 0]);
    // A manifest has whole lines of the frames that there were.
    let args = format!("{guest} -n 900 --manifest m.jsonl");
    let (code, said) = short_of_space(&folder, blocks, &args);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("fanlight: can't write m.jsonl: File too large"), "{said}");
    assert!(fs::read(folder.path("m.jsonl")).unwrap().ends_with(b"}\n"));
    let lines = folder.manifest("m.jsonl");
    assert!((1..900).contains(&lines.len()), "{}", lines.len());
    assert_eq!(lines.last().unwrap()["frame"], lines.len());
}

/// A file that can't be made costs no guest anything.
#[test]
fn a_manifest_is_made_before_the_guest_is_looked_for() {
    let folder = Folder::new();
    let args = "qemu+unix:/nowhere/bus --manifest nowhere/m.jsonl";
    let (_, said) = folder.ends(args, 1);
    assert!(said.contains("can't write nowhere/m.jsonl: No such file"), "{said}");
}

#[test]
fn what_is_left_out_is_counted_where_it_is_missing() {
    let folder = Folder::new();
    // They take a while to encode.
    let uri = "demo:?size=640x480&fps=240";
    folder.ends(&format!("{uri} -n 40 --drop -o f-%d.webp --manifest m.jsonl"), 0);
    let lines = folder.manifest("m.jsonl");
    let number = |line: &Value, name: &str| line[name].as_u64().unwrap();
    let mut missing = 0;
    let frame = |line: &Value| {
        let pixels = fanlight::capture::read_picture(&folder.path(line["file"].as_str().unwrap()));
        let picture = pixels.unwrap();
        let blue = |x, y| picture.pixel(x, y).unwrap()[0];
        fanlight::demo::oracle::read(picture.size, blue).unwrap().frame
    };
    for pair in lines.windows(2) {
        let [before, line] = pair else { unreachable!() };
        // All that come are read by somebody, or left out.
        let read = number(line, "serial") - number(before, "serial") - 1;
        let gap = u64::from(frame(line) - frame(before)) - 1;
        assert_eq!(gap, number(line, "left_out") + read, "{before}\n{line}");
        missing += number(line, "left_out");
    }
    assert!(missing > 0, "there was room for all of them");
    // Where the guest waits none is.
    folder.ends(&format!("{DEMO}&fps=240 -n 50 --every 20ms -o g-%d.qoi --manifest g.jsonl"), 0);
    let lines = folder.manifest("g.jsonl");
    assert!(lines.iter().all(|line| line["left_out"] == 0), "{lines:?}");
    assert!(number(&lines[49], "serial") > 100, "those that are passed over are read");
    of_file(&folder.path("g-50.qoi"));
}

/// Nobody reads for longer than a guest waits.
#[test]
fn frames_that_are_left_out_because_nobody_reads_are_said() {
    let folder = Folder::new();
    let mut command = folder.command("demo:?size=640x480&fps=240 -n all --format raw -o -");
    command.env("FANLIGHT_LOG", "warn,fanlight::session=debug");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let mut forced = 0;
    // Each time the guest has waited for as long as it does, and goes on.
    while forced < 3 {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
        forced += u32::from(line.contains("acked by force"));
    }
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut vec![0; 640 * 480 * 4]).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest = std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    let mut last = String::new();
    said.read_to_string(&mut last).unwrap();
    let frames = rest.join().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{last}");
    assert_eq!(frames % (640 * 480 * 4), 0, "the frames are whole");
    let words = "frames were left out, because the guest didn't wait until there was room for them";
    assert!(last.contains(words), "{last}");
}

/// The guest may draw its next one much later.
#[test]
fn a_frame_is_all_there_when_it_is_described() {
    let folder = Folder::new();
    for (format, bytes) in [("raw", 64 * 64 * 4), ("y4m", 6 + 64 * 64 * 3 / 2)] {
        let args = "demo:?size=64x64&fps=20 -n 5 -o - --manifest /dev/stderr --format";
        let mut command = folder.command(&format!("{args} {format}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pictures = child.stdout.take().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut read, mut count) = (0, 0);
        for line in lines {
            count += 1;
            let more = usize::try_from(ioctl_fionread(&pictures).unwrap()).unwrap();
            read += more;
            assert!(read >= count * bytes, "{format}: {read} bytes after {}", line.unwrap());
            pictures.read_exact(&mut vec![0; more]).unwrap();
        }
        assert_eq!((count, child.wait().unwrap().code()), (5, Some(0)));
    }
}

/// Reads all that a terminal has shown when the program is gone.
fn shown(mut terminal: File) -> String {
    let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
    // Linux says EIO of a terminal that nobody has any more.
    while let Ok(got @ 1..) = terminal.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..got]);
    }
    String::from_utf8(shown).unwrap()
}

#[test]
fn lines_at_a_terminal_are_not_mixed_with_a_bar() {
    let folder = Folder::new();
    for args in ["--hash", "--manifest -"] {
        let (ours, theirs) = terminal();
        let mut command = folder.command(&format!("{DEMO} -n 3 {args}"));
        command.env("TERM", "xterm").stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let mut child = command.spawn().unwrap();
        drop(command);
        let shown = shown(ours);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{shown}");
        assert_eq!(shown.lines().count(), 3, "{shown:?}");
        assert!(!shown.contains('\x1b') && !shown.contains("frames"), "{shown:?}");
    }
    // Where they go elsewhere it is said how far it is.
    let (ours, theirs) = terminal();
    let mut command = folder.command(&format!("{DEMO} -n 3 --hash"));
    command.env("TERM", "xterm").stdout(Stdio::piped()).stderr(theirs);
    let child = command.spawn().unwrap();
    drop(command);
    let shown = shown(ours);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    assert!(shown.contains("of 3 frames"), "{shown:?}");
}
