//! What is found before any guest is touched, and what needs none that listens.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fanlight::capture::{PictureFormat, read_picture};
use fanlight::demo::oracle;
use fanlight::frame::{Picture, Size};
use fanlight::typing::Keymap;

use crate::fake_qemu::{Bus, VM};
use crate::{Folder, ended};

const DEMO: &str = "demo:?size=320x240";

#[test]
fn a_line_that_is_wrong_is_named() {
    for (script, words) in [
        ("\n\ntpye \"a\"", &["test.fan:3: there is no \"tpye\"; did you mean \"type\"?"][..]),
        ("click here", &["test.fan:1: \"here\" is no place", "click [left|middle|right] [X,Y]"]),
        ("wait stable", &["test.fan:1: \"stable\" can't be waited for", "stable:500ms"]),
        ("wait match:", &["test.fan:1:", "names no picture"]),
        ("layout klingon", &["test.fan:1: the keyboard layout \"klingon\" is not to be found"]),
        ("type \"grün\"", &["test.fan:1: no key of the keyboard layout \"us\" makes 'ü'"]),
        ("key ctrl+foo", &["test.fan:1: unknown key \"foo\""]),
        ("release shift", &["test.fan:1: \"shift\" is not held here"]),
        ("dump screen.jpg", &["test.fan:1: screen.jpg has none of the endings .png, .qoi"]),
    ] {
        let folder = Folder::with(script);
        folder.run(&["test.fan", "--check"]).fails(2, words);
        // Without a guest to be found, that is what is said.
        folder.run(&["test.fan", "qemu+unix:/nowhere/bus"]).fails(2, words);
        assert_eq!(folder.files(), ["test.fan"], "{script}");
    }
    Folder::with("").run(&["missing.fan"]).fails(2, &["can't read the script missing.fan"]);
    Folder::with("type a").run(&["test.fan", "--layout", "xx"]).fails(2, &["layout \"xx\""]);
}

/// Without it an installation could fail at its end over a file that was never there.
#[test]
fn what_is_missing_is_found_before_anything_is_typed() {
    let bus = Bus::with(vec![VM]);
    for line in [
        "expect a.png",
        "wait match:a.png:8",
        "wait change mask a.png",
        "wait region:1,2,3,4:match:a.png",
    ] {
        let folder = Folder::with(&format!("type \"rm -rf /\\n\"\n{line}"));
        let words = ["test.fan:2: can't read a.png: No such file"];
        folder.run(&["test.fan", &bus.uri()]).fails(1, &words);
    }
    let folder = Folder::with("type a\ndump nowhere/a.png");
    folder.run(&["test.fan", &bus.uri()]).fails(1, &["test.fan:2: can't write nowhere/a.png"]);
    fs::create_dir(folder.path("sub")).unwrap();
    fs::write(folder.path("sub/b.fan"), "type a").unwrap();
    let evidence = ["sub/b.fan", &bus.uri(), "--evidence", "test.fan"];
    folder.run(&evidence).fails(1, &["can't make test.fan"]);
    assert!(bus.qemus.connected().is_empty(), "nobody came");
}

#[test]
fn masks_of_another_size_are_found_before_anything_is_typed() {
    let bus = Bus::with(vec![VM]);
    for line in ["expect a.png mask b.png", "wait match:a.png:8 mask b.png"] {
        let folder = Folder::with(&format!("type a\n{line}"));
        for (name, size) in [("a.png", 4), ("b.png", 3)] {
            let file = fs::File::create(folder.path(name)).unwrap();
            let black = Picture::black(Size { width: size, height: 4 });
            PictureFormat::Png.write(&black, file).unwrap();
        }
        let words = ["test.fan:2: the mask is 3x4, but the picture 4x4: make one of"];
        folder.run(&["test.fan", &bus.uri()]).fails(2, &words);
    }
    assert!(bus.qemus.connected().is_empty(), "nobody came");
}

/// The words of the README and the example, and that files are looked for beside the script.
#[test]
fn scripts_of_the_documentation_are_scripts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut blocks = readme.split("```fan\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut count = 0;
    let example = fs::read_to_string(root.join("examples/login.fan")).unwrap();
    for script in blocks.by_ref().chain([example.as_str()]) {
        count += 1;
        if script.contains("layout de") && Keymap::named("de(nodeadkeys)").is_err() {
            println!("SKIP a script of the README: there are no keyboard layouts here");
            continue;
        }
        let folder = Folder::with("");
        fs::create_dir(folder.path("sub")).unwrap();
        fs::write(folder.path("sub/readme.fan"), script).unwrap();
        for picture in ["login.png", "clock.png", "desktop.png"] {
            let file = fs::File::create(folder.path("sub").join(picture)).unwrap();
            let black = Picture::black(Size { width: 4, height: 4 });
            PictureFormat::Png.write(&black, file).unwrap();
        }
        folder.run(&["sub/readme.fan", "--check"]).succeeds();
    }
    assert!(count >= 2, "the README shows a script");
}

#[test]
fn a_script_can_come_from_the_standard_input() {
    let folder = Folder::with("print \"one\"\ndump a.png\nprint two\n");
    let script = fs::File::open(folder.path("test.fan")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.args(["script", "-", DEMO]).current_dir(folder.path("")).env_clear();
    let done = ended(command.env("FANLIGHT_LOG", "error").stdin(script).output().unwrap());
    done.succeeds();
    assert_eq!(done.out, "one\ntwo");
    assert_eq!(folder.files(), ["a.png", "test.fan"]);
}

/// Of a guest that never is still.
#[test]
fn what_does_not_come_is_said_with_what_is_on_the_screen() {
    let folder = Folder::with("wait change\nwait stable:1min within 100ms\n");
    let words = "test.fan:2: the screen was not still for 60 s within 0.1 s; what is on the screen is in test-line2.png";
    let start = Instant::now();
    folder.run(&["test.fan", DEMO]).fails(3, &[words]);
    assert!(start.elapsed() < Duration::from_secs(30), "however fast the guest draws");
    assert_eq!(folder.files(), ["test-line2.png", "test.fan"]);
    let picture = read_picture(&folder.path("test-line2.png")).unwrap();
    let blue = |x, y| picture.pixels[((y * 320 + x) * 4) as usize];
    oracle::read(picture.size, blue).unwrap_or_else(|mixed| panic!("{mixed}"));
    folder.run(&["test.fan", DEMO, "--evidence", "out"]).fails(3, &["is in out/test-line2.png"]);
    assert!(folder.path("out/test-line2.png").exists());
}
