//! The socket's path, rights and peers.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use fanlight::serve::{self, Kind, Server};
use fanlight::source::{self, Uri};

use crate::backend::{CALM, options, while_serving};

fn open(server: &mut Server, path: &std::path::Path) -> Result<(), String> {
    let uri = Uri::Scanout { path: path.to_owned(), console: None };
    let opened = while_serving(server, || source::open(&uri, &options()));
    opened.map(drop).map_err(|error| error.to_string())
}

#[test]
fn the_socket_is_ours_alone_and_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vm.sock");
    let mut server = Server::bind(&path, "vm", "", CALM).unwrap();
    let stat = std::fs::metadata(&path).unwrap();
    assert_eq!(stat.permissions().mode() & 0o777, 0o600);
    server.add_console(Kind::Graphic, "screen").unwrap();
    open(&mut server, &path).unwrap();
    let second = Server::bind(&path, "vm", "", CALM).unwrap_err().to_string();
    assert!(second.contains("another backend listens there"), "{second}");
    drop(server);
    assert!(!path.exists());
}

/// Without: a backend that was killed can't be started again.
#[test]
fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vm.sock");
    drop(UnixListener::bind(&path).unwrap());
    let before = std::fs::metadata(&path).unwrap();
    let server = Server::bind(&path, "vm", "", CALM).unwrap();
    let after = std::fs::metadata(&path).unwrap();
    assert_ne!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    // What somebody else put there in the meantime stays.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    drop(server);
    assert!(path.exists());
    let error = Server::bind(&path, "vm", "", CALM).unwrap_err().to_string();
    assert!(error.contains("is no socket"), "{error}");
}

#[test]
fn who_may_not_is_not_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vm.sock");
    let nobody = serve::Options { allow: |_| false, ..CALM };
    let mut server = Server::bind(&path, "vm", "", nobody).unwrap();
    server.add_console(Kind::Graphic, "screen").unwrap();
    let error = open(&mut server, &path).unwrap_err();
    assert!(error.contains("closed the connection"), "{error}");
    drop(server);
    // The rule that is in force by default knows us.
    let rule = serve::Options { allow: serve::Options::default().allow, ..CALM };
    let mut server = Server::bind(&path, "vm", "", rule).unwrap();
    server.add_console(Kind::Graphic, "screen").unwrap();
    open(&mut server, &path).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let allows = |uid| serve::Credentials { pid: 1, uid, gid: 1 }.same_user_or_root();
    assert!(allows(0) && allows(uid) && !allows(uid + 1));
}

#[test]
fn nobody_there_is_said() {
    let uri: Uri = "scanout:/nowhere/vm.sock".parse().unwrap();
    let error = source::open(&uri, &options()).unwrap_err().to_string();
    assert!(error.contains("/nowhere/vm.sock") && error.contains("is it running"), "{error}");
}

#[test]
fn viewers_are_counted() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let mut viewers = Vec::new();
    for _ in 0..16 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        server.add_viewer(theirs).unwrap();
        viewers.push(ours);
    }
    let (_ours, theirs) = UnixStream::pair().unwrap();
    assert!(server.add_viewer(theirs).unwrap_err().to_string().contains("too many"));
    viewers.pop();
    server.dispatch().unwrap();
    let (_ours, theirs) = UnixStream::pair().unwrap();
    server.add_viewer(theirs).unwrap();
}

/// Without: a list that is longer than what one message or one buffer takes ends the connection.
#[test]
fn texts_near_the_limit_arrive_and_longer_ones_are_refused() {
    let mut server = Server::new("vm", "", CALM).unwrap();
    let long = "x".repeat(1024);
    for _ in 0..40 {
        server.add_console(Kind::Text, &long).unwrap();
    }
    let last = server.add_console(Kind::Graphic, "last").unwrap();
    let opened = crate::backend::open(&mut server, None).unwrap();
    assert_eq!(opened.console.console, last.0);
    let error = server.add_console(Kind::Text, &"x".repeat(1025)).unwrap_err();
    assert!(error.to_string().contains("1025 bytes"), "{error}");
    assert!(server.add_console(Kind::Text, "a\0b").is_err());
}

/// A backend of two consoles, behind a socket.
fn two_consoles(path: &std::path::Path) -> Server {
    let mut server = Server::bind(path, "my vm", "uuid", CALM).unwrap();
    server.add_console(Kind::Text, "monitor").unwrap();
    server.add_console(Kind::Graphic, "screen").unwrap();
    server
}

#[test]
fn every_console_is_listed_with_what_opens_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vm.sock");
    let mut server = two_consoles(&path);
    let uri = |console| Uri::Scanout { path: path.clone(), console };
    let list = while_serving(&mut server, || source::list(&uri(None), &options())).unwrap();
    let names: Vec<_> = list.iter().map(|c| (&c.vm[..], &c.label[..], &c.kind[..])).collect();
    assert_eq!(names, [("my vm", "monitor", "Text"), ("my vm", "screen", "Graphic")]);
    for console in &list {
        let opened = while_serving(&mut server, || source::open(&console.uri, &options())).unwrap();
        assert_eq!(opened.console, *console);
    }
    let one = while_serving(&mut server, || source::list(&uri(Some(1)), &options())).unwrap();
    assert_eq!(one, list[1..]);
    let error = while_serving(&mut server, || source::list(&uri(Some(7)), &options()));
    let error = error.unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("no console 7"), "{error}");
    let mut bare = Server::bind(&dir.path().join("bare"), "", "", CALM).unwrap();
    let uri = Uri::Scanout { path: dir.path().join("bare"), console: None };
    let error = while_serving(&mut bare, || source::list(&uri, &options())).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("has no console"), "{error}");
}

#[cfg(feature = "cli")]
#[test]
fn the_program_lists_them_as_a_table_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vm.sock");
    let mut server = two_consoles(&path);
    let uri = format!("scanout:{}", path.display());
    let mut list = |more: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_fanlight"));
        program.arg("list").arg(&uri).args(more).env_clear();
        let output = while_serving(&mut server, || program.output()).unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = list(&[]);
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    };
    let rows: Vec<_> = table.lines().map(cells).collect();
    let second = format!("{uri}?console=1");
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(rows[0], ["URI", "NAME", "LABEL", "TYPE", "SIZE"]);
    assert_eq!(rows[2], [&second, "my vm", "screen", "Graphic", "-"]);
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    assert_eq!(json[1]["uri"], second);
    assert_eq!((&json[0]["label"], &json[0]["type"]), (&"monitor".into(), &"Text".into()));
    assert!(json[1]["width"].is_null() && json[1]["height"].is_null());
    assert_eq!(json.as_array().map(Vec::len), Some(2));
}
