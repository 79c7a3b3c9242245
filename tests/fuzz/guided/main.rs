//! The targets of `tests/fuzz` for libFuzzer, which looks at what each input reaches. TARGET says
//! which one, by the name of its corpus.
#![no_main]
#![allow(dead_code, missing_docs)]

#[path = "../../wire/backend.rs"]
mod backend;
#[path = "../clipboard.rs"]
mod clipboard;
#[path = "../copies.rs"]
mod copies;
#[path = "../dbus.rs"]
mod dbus;
#[path = "../fds.rs"]
mod fds;
#[path = "../../support/fuzz.rs"]
mod fuzz;
#[path = "../geometry.rs"]
mod geometry;
#[path = "../names.rs"]
mod names;
#[path = "../qemu.rs"]
mod qemu;
#[path = "../qmp.rs"]
mod qmp;
#[path = "../tape.rs"]
mod tape;
#[path = "../../wire/viewer.rs"]
mod viewer;
#[path = "../wire_backend.rs"]
mod wire_backend;
#[path = "../wire_viewer.rs"]
mod wire_viewer;

use std::panic::{set_hook, take_hook};
use std::sync::LazyLock;

type Target = fn(&[u8]);

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let target = std::env::var("TARGET").expect("TARGET names the target");
    match target.as_str() {
        "clipboard" => clipboard::act,
        "copies" => copies::compare,
        "damage" => geometry::add_up,
        "geometry" => geometry::compare,
        "names" => names::parse,
        "qemu-listener" => qemu::act,
        "qmp" => qmp::act,
        "wire-backend" => wire_backend::act,
        "wire-greeting" => wire_backend::greet,
        "wire-viewer" => wire_viewer::act,
        other => panic!("there is no target {other}"),
    }
});

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer's aborts at once, also where a panic of a library is caught and answered.
        drop(take_hook());
        set_hook(Box::new(|panic| eprintln!("{panic}")));
    },
    |input: &[u8]| TARGET(input)
);
