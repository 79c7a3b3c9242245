//! The program from outside, on a machine that has neither QEMU nor a compositor: one clear sentence
//! for each mistake, the right exit code, nothing left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use fanlight::demo::oracle;
use fanlight::frame::Size;

/// The program, without any environment that could lead to a bus or a compositor.
fn fanlight(args: &[&str]) -> Output {
    program(args).output().expect("the program starts")
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.args(args).env_clear();
    command
}

/// Asserts the exit code, and that stderr is one sentence that says all of `words`.
fn fails(args: &[&str], code: i32, words: &[&str]) {
    let output = fanlight(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?} does not say \"{word}\": {stderr}");
    }
}

#[test]
fn no_bus_names_the_remedy() {
    let words = ["session bus", "DBUS_SESSION_BUS_ADDRESS", "demo:"];
    fails(&["view"], 1, &words);
    fails(&["list"], 1, &words);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.png");
    fails(&["dump", "-o", file.to_str().unwrap()], 1, &words);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no partial file");
}

#[test]
fn an_unknown_scheme_is_named_beside_the_known_ones() {
    for verb in [&["view", "vnc:1"][..], &["list", "vnc:1"], &["dump", "vnc:1", "-o", "/tmp/a.png"]]
    {
        fails(verb, 2, &["vnc:", "qemu:", "qmp:/"]);
    }
    fails(&["view", "my-vm"], 2, &["no scheme", "qemu:"]);
    fails(&["view", "qemu:?console=first"], 2, &["console"]);
    fails(&["view", "qmp:vm.sock"], 2, &["absolute path"]);
}

#[test]
fn hotkeys_that_do_not_exist_are_named_beside_those_that_do() {
    let fails = |hotkey, words: &[&str]| fails(&["view", "--hotkey", hotkey], 2, words);
    fails("foo=f1", &["unknown hotkey \"foo\"", "grab, fullscreen, hud, screenshot"]);
    fails("grab=ctrl+foo", &["unknown key \"foo\"", "rightctrl"]);
    fails("hud=f11", &["F11", "fullscreen and hud", "none"]);
    fails("f11", &["ACTION=KEYS"]);
}

#[test]
fn a_missing_socket_is_named() {
    for verb in ["view", "list"] {
        fails(&[verb, "qmp:/nowhere/vm.sock"], 1, &["/nowhere/vm.sock", "-qmp unix:"]);
        fails(&[verb, "qemu+unix:/nowhere/bus.sock"], 1, &["/nowhere/bus.sock", "dbus-daemon"]);
        fails(&[verb, "scanout:/nowhere/vm.sock"], 1, &["/nowhere/vm.sock", "is it running"]);
    }
}

#[test]
fn an_output_that_can_not_be_written_is_told_before_the_guest_is_asked() {
    fails(&["dump", "-o", "/nowhere/a.png"], 1, &["/nowhere/a.png", "No such file"]);
    fails(&["dump", "-o", "/proc/a.png"], 1, &["/proc/a.png"]);
    let folder = tempfile::tempdir().unwrap();
    fails(&["dump", "-o", folder.path().to_str().unwrap()], 1, &["directory"]);
    fails(&["dump", "--hash", "-o", "-"], 2, &["-o - and --hash both go to the standard output"]);
    fails(&["dump", "-n", "2", "-o", "a-%s.png"], 2, &["%d"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// It starts on a machine that has nothing but libc.
#[test]
fn it_needs_no_library_but_libc() {
    let Ok(output) = Command::new("ldd").arg(env!("CARGO_BIN_EXE_fanlight")).output() else {
        println!("SKIP it_needs_no_library_but_libc: there is no program ldd here");
        return;
    };
    let libraries = String::from_utf8(output.stdout).unwrap();
    assert!(libraries.contains("libc.so"), "{libraries}");
    for line in libraries.lines() {
        let known = ["libc.so", "libm.so", "libgcc_s.so", "linux-vdso", "ld-linux"];
        assert!(known.iter().any(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn bad_numbers_are_refused() {
    for args in [
        &["dump", "-o", "a.png", "-n", "0"][..],
        &["dump", "-o", "a.png", "--timeout", "soon"],
        &["dump", "-o", "a.png", "--timeout", "0"],
        &["dump", "-o", "a.png", "--timeout", "-1"],
        &["view", "--ack-deadline", "0"],
        &["view", "--ack-deadline", "5000"],
        &["view", "--present", "fast"],
        &["view", "--stats=xml"],
        &["dump"],
        &["peek"],
    ] {
        let output = fanlight(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains("--help"), "{args:?}: {stderr}");
    }
}

#[test]
fn a_bad_log_filter_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .arg("list")
        .env_clear()
        .env("FANLIGHT_LOG", "fanlight=loud")
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("FANLIGHT_LOG") && stderr.contains("loud"), "{stderr}");
}

#[test]
fn a_log_in_a_file_has_no_colours() {
    let output = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .args(["view", "demo:", "-vv"])
        .env_clear()
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("fanlight::"), "nothing is logged: {stderr}");
    assert!(!stderr.contains('\x1b'), "{stderr}");
}

#[test]
fn every_verb_has_help_with_examples() {
    for args in [
        &["--help"][..],
        &["view", "--help"],
        &["dump", "--help"],
        &["diff", "--help"],
        &["script", "--help"],
        &["list", "--help"],
        &["demo", "--help"],
    ] {
        let output = fanlight(args);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Examples:\n"), "{args:?}: {text}");
    }
    assert!(fanlight(&["--version"]).stdout.starts_with(b"fanlight "));
}

/// The demo needs no bus, no VM and no dma-buf; a signal ends it, and its socket goes with it.
#[test]
fn a_demo_serves_until_a_signal_and_can_be_dumped_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let [socket, png] = ["vm.sock", "a.png"].map(|name| folder.path().join(name));
    let demo = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .arg("demo")
        .arg(&socket)
        .args(["--size", "320x240", "--mode", "format", "--stats=json"])
        .env_clear()
        .stdout(Stdio::piped())
        .spawn();
    let mut demo = Killed(demo.expect("the program starts"));
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let uri = first.split_whitespace().last().unwrap();
    assert_eq!(uri, format!("scanout:{}", socket.display()), "{first}");
    for uri in [uri, "demo:?size=320x240"] {
        let output = fanlight(&["dump", uri, "-o", png.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(whole_frame(&png), (320, 240));
    }
    let again = ["demo", socket.to_str().unwrap()];
    fails(&again, 1, &["in use", "choose another path"]);
    let pid = rustix::process::Pid::from_child(&demo.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(demo.0.wait().unwrap().success());
    let last: serde_json::Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert!(last["final"] == true && last["acks"].as_u64() > Some(0), "{last}");
    assert!(!socket.exists());
}

/// A program that doesn't outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The size of a picture that is one whole frame of a demo.
fn whole_frame(path: &Path) -> (u32, u32) {
    let file = BufReader::new(fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let bytes = info.color_type.samples();
    let size = Size { width: info.width, height: info.height };
    let blue = |x, y| pixels[(y * size.width + x) as usize * bytes + 2];
    oracle::read(size, blue).unwrap_or_else(|mixed| panic!("{mixed}"));
    (size.width, size.height)
}

#[test]
fn what_a_demo_can_not_be_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vm.sock");
    let socket = socket.to_str().unwrap();
    for args in [["--mode", "fast"], ["--size", "1x1"], ["--fps", "0"], ["--buffers", "9"]] {
        let output = fanlight(&["demo", socket, args[0], args[1]]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("of the demo") || stderr.contains("for the demo"), "{stderr}");
    }
    fails(&["demo", "/nowhere/vm.sock"], 1, &["/nowhere/vm.sock", "choose a folder"]);
    fails(&["view", "demo:?mode=fast"], 2, &["\"fast\" is no mode", "flip, inplace"]);
    fails(&["view", "demo:flip"], 2, &["demo:?mode=resize"]);
}

/// The command lines of the README that need a guest are understood: without one they fail for
/// the lack of a bus, and not because of their words. The rig's tests run them with one.
#[test]
fn commands_of_the_readme_are_understood() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    // Some make a file before they find that there is no guest, and some read an example.
    let folder = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    std::os::unix::fs::symlink(examples, folder.path().join("examples")).unwrap();
    let mut tried = 0;
    let mut in_shell = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            in_shell = line == "```sh";
            continue;
        }
        let command = line.split(['#', '|']).next().unwrap_or("").trim();
        let Some(args) = command.strip_prefix("fanlight ").filter(|_| in_shell) else { continue };
        let args: Vec<_> = args.split_whitespace().collect();
        let output = program(&args).current_dir(&folder).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.status.code(), Some(2), "{command}: {stderr}");
        tried += 1;
    }
    assert!(tried >= 3, "the README shows how the program is used");
}
