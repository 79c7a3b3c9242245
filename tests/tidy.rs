//! The rules of the house, kept by a test: who may use whom, how long a file may grow, what may not
//! be linked, what the project may not say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each room, and the rooms that it may name as `crate::…`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("frame", &[]),
    ("sys", &["frame"]),
    ("port", &["frame"]),
    ("scanout", &["frame"]),
    ("protocol", &[]),
    ("serve", &["frame", "sys", "protocol"]),
    ("demo", &["frame", "sys", "serve"]),
    ("convert", &["frame", "sys"]),
    ("text", &["frame"]),
    ("sound", &[]),
    ("typing", &["frame"]),
    ("source", &["frame", "port", "sys", "protocol", "demo", "sound"]),
    ("sink", &["frame", "port", "sys", "convert", "text", "typing"]),
    ("session", &["frame", "port", "sys", "scanout", "convert", "source", "sink"]),
    ("capture", &["frame", "session", "sink", "source", "convert"]),
    (
        "cli",
        &["frame", "port", "capture", "session", "sink", "source", "sys", "demo", "text", "typing"],
    ),
];

/// Files that may hold `unsafe`. In `protocol` it is only in what wayland-scanner generates; in
/// `convert/gpu` what calls C libraries; in the plugin's `memory` what gstreamer-rs has marked so.
const UNSAFE: &[&str] =
    &["src/sys", "src/protocol", "src/convert/gpu", "plugins/gstreamer/src/memory"];

/// Longest a source file should be, and the longest that is bearable.
const LINES_MOST: usize = 400;
const LINES_MAX: usize = 600;
/// How many files may lie between the two.
const LONG_FILES_MAX: usize = 4;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of ours with this extension, with its text.
fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() {
                // What is built, made or not ours begins with one of these.
                if !matches!(&*name, "target" | "out" | ".git") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "there is no file *.{extension}");
    found.sort();
    found
}

/// The room that a file of `src` belongs to.
fn room(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

/// The rooms that a text names, as `crate::room` or in `crate::{room, …}`.
fn named_rooms(text: &str) -> Vec<String> {
    let word = |s: &str| -> String {
        s.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
    };
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split("};").next().unwrap_or("");
                rooms.extend(list.split(',').map(|item| word(item.trim())));
            }
            None => rooms.push(word(rest)),
        }
    }
    rooms
}

#[test]
fn rooms_use_only_whom_they_may() {
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in files("rs") {
        let Some(room) = room(&path) else { continue };
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let may = table.get(room.as_str()).unwrap_or_else(|| {
            panic!("{} is a new room: say in this table whom it may use", path.display())
        });
        for other in named_rooms(&text) {
            if other != room && table.contains_key(other.as_str()) && !may.contains(&&*other) {
                wrong.push(format!("{} uses {other}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_of_rooms_are_found() {
    assert_eq!(named_rooms("use crate::frame::{A, B}; crate::sys::x()"), ["frame", "sys"]);
    assert_eq!(named_rooms("use crate::{frame::A, port};"), ["frame", "port"]);
}

#[test]
fn the_machine_is_pure() {
    for (path, text) in files("rs") {
        if room(&path).as_deref() != Some("scanout") {
            continue;
        }
        for word in
            ["Instant", "SystemTime", "OwnedFd", "std::thread", "std::net", "std::io", "tracing"]
        {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn unsafe_stays_where_it_is_allowed() {
    for (path, text) in files("rs") {
        let is_test = path.starts_with("tests") || path.starts_with("plugins/gstreamer/tests");
        if is_test || UNSAFE.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let allowed = UNSAFE.iter().any(|room| path == Path::new(&format!("{room}.rs")));
        let opens = text.contains("allow(unsafe_code)");
        assert!(allowed || !opens, "{} opens unsafe code", path.display());
    }
}

#[test]
fn files_fit_in_the_head() {
    let mut long = Vec::new();
    for (path, text) in files("rs") {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: it is several rooms", path.display());
        if lines > LINES_MOST {
            long.push(format!("{} ({lines})", path.display()));
        }
    }
    assert!(long.len() <= LONG_FILES_MAX, "too many long files: {long:#?}");
}

#[test]
fn nothing_is_left_to_be_done() {
    let marks =
        ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "X".repeat(3), "todo".to_owned() + "!("];
    for (path, text) in files("rs") {
        for mark in &marks {
            assert!(!text.contains(mark), "{} says {mark}", path.display());
        }
    }
}

/// Neither by default nor with everything is a C library of Wayland's in it.
#[test]
fn no_feature_links_libwayland() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p} {f}", "--features", "full"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let mut seen = 0;
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(_version)) = (words.next(), words.next()) else { continue };
        let features = words.next().unwrap_or("");
        assert!(!name.starts_with("xkbcommon"), "{name} links a C library");
        // These two link libwayland, but only where a feature asks for it.
        if name == "wayland-backend" || name == "wayland-sys" {
            seen += 1;
            let asked =
                ["system", "client", "server", "dlopen"].iter().any(|f| features.contains(f));
            assert!(!asked, "{name} with {features} links libwayland");
        }
    }
    assert!(seen > 0, "the tree names wayland-backend");
}
