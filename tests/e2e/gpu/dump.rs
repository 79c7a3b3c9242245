//! A dump of what only a GPU reads.

use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fanlight::frame::{Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};
use fanlight::serve::{GuestMemory, Kind, Memory, Options, Server};
use fanlight::sys::{self, OwnMapping};
use fanlight_stage::viewer::fanlight;
use fanlight_stage::wait::{Deadline, readable};
use fanlight_stage::{Context, Error, Result, picture};
use serde_json::Value;

use super::SOFTWARE;
use crate::stale::say;
use crate::stills::bus;

/// Its rows are as long as any GPU wants them.
const SIZE: Size = Size { width: 256, height: 48 };
/// One byte a pixel, which is its red: the CPU's copies know no such format, and the GPU reads the light of NV12 as that.
const FORMAT: Format = Format(u32::from_le_bytes(*b"R8  "));

/// Another in each pixel of a row, and in each row.
fn red(x: u32, y: u32) -> u8 {
    (x * 3 + y * 5) as u8
}

/// Draws the picture into RAM of a guest's.
fn draw() -> Result<Memory> {
    let bytes = sys::page_align(u64::from(SIZE.width * SIZE.height));
    let ram = sys::own_memfd("guest-ram", bytes).map_err(say)?;
    let mut pixels = OwnMapping::new(&ram, bytes).map_err(say)?;
    let places = (0..SIZE.height).flat_map(|y| (0..SIZE.width).map(move |x| red(x, y)));
    pixels.bytes_mut().iter_mut().zip(places).for_each(|(byte, red)| *byte = red);
    Ok(Memory::Guest(GuestMemory::new([(Arc::new(ram), 0, bytes)]).map_err(say)?))
}

/// Serves one frame until `dump` has ended; what it said.
fn served(mut server: Server, mut dump: Command) -> Result<String> {
    let console = server.add_console(Kind::Graphic, "screen").map_err(say)?;
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0].stride = SIZE.width;
    let modifier = Modifier::LINEAR;
    let layout = Layout { size: SIZE, format: FORMAT, modifier, planes, plane_count: 1 };
    let buffer = server.add_buffer(console, layout, draw()?).map_err(say)?;
    let whole = Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height };
    server.scanout(console, buffer, whole, Transform::Normal).map_err(say)?;
    let dump = std::thread::spawn(move || dump.output());
    while !dump.is_finished() {
        server.update(console, buffer, &[]).map_err(say)?;
        readable(&[server.as_fd()], Deadline::after(Duration::from_millis(100)))?;
        server.dispatch().map_err(say)?;
        while server.next_event().is_some() {}
    }
    let output = dump.join().map_err(|_| say("it panicked"))?.context("starting fanlight")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(say(said)) }
}

/// Each pixel of the picture is the guest's, and the manifest says who read it.
pub(crate) fn read() -> Result<()> {
    let (dir, bus) = bus()?;
    let [socket, png, manifest] =
        ["guest.sock", "red.png", "red.jsonl"].map(|name| dir.path().join(name));
    let server = Server::bind(&socket, "red", "", Options::default()).map_err(say)?;
    let mut dump = fanlight(&bus);
    dump.env(SOFTWARE.0, SOFTWARE.1).arg("dump").arg(format!("scanout:{}", socket.display()));
    dump.args(["-n", "1", "--timeout", "120", "-o"]).arg(&png).arg("--manifest").arg(&manifest);
    let said = served(server, dump)?;
    let line = std::fs::read_to_string(&manifest).context("reading the manifest")?;
    let line: Value = serde_json::from_str(&line).context("reading the manifest")?;
    let picture = picture::load(&png)?;
    let places = || (0..SIZE.height).flat_map(|y| (0..SIZE.width).map(move |x| (x, y)));
    let wrong = places().find(|&(x, y)| picture.pixel(x, y) != [red(x, y), 0, 0]);
    let size = Size { width: picture.width(), height: picture.height() };
    if line["read"] != "gpu" || size != SIZE || wrong.is_some() {
        let wrong = wrong.map(|(x, y)| (x, y, picture.pixel(x, y)));
        return Err(Error::new(format!("{line}; {size:?}, {wrong:?} is wrong; it said: {said}")));
    }
    Ok(())
}
