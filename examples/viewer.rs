//! The smallest viewer: a virtual machine in a window, until either ends.
//!
//! `cargo run --example viewer -- qemu:my-vm`

use std::error::Error;

use fanlight::session::{Options, Session};
use fanlight::sink::wayland::{WaylandSink, WindowOptions};
use fanlight::source;

fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::args().nth(1).unwrap_or_else(|| "qemu:".to_owned());
    let opened = source::open(&uri.parse()?, &source::Options::default())?;
    let window = WindowOptions { title: opened.console.vm, ..WindowOptions::default() };
    let sink = WaylandSink::connect(&window)?;
    let mut session = Session::new(opened.source, sink, Options::default());
    while session.closed().is_none() && session.lost().is_none() {
        session.turn(None, None)?;
    }
    Ok(())
}
