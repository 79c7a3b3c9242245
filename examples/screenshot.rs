//! The smallest dump: the screen of a virtual machine, now, into a file.
//!
//! `cargo run --example screenshot -- qemu:my-vm screen.png`

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use fanlight::capture::{Capture, CaptureOptions, PictureFormat};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(uri), Some(path)) = (args.next(), args.next()) else {
        return Err("usage: screenshot URI FILE".into());
    };
    let mut guest = Capture::open(&uri.parse()?, &CaptureOptions::default())?;
    let screen = guest.next_frame(Duration::from_secs(10), None)?;
    let format = PictureFormat::of(Path::new(&path)).unwrap_or(PictureFormat::Png);
    format.write(&screen, BufWriter::new(File::create(&path)?))?;
    println!("{}: {}x{} in {path}", guest.console().vm, screen.size.width, screen.size.height);
    Ok(())
}
