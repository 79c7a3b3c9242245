//! The smallest backend: a "guest" that flips between two buffers in its RAM, shown to whoever connects.
//!
//! ```sh
//! cargo run --no-default-features --features serve --example backend /tmp/vm.sock &
//! fanlight view scanout:/tmp/vm.sock
//! ```
//! Its RAM is one memfd, as a VMM's is. Where there is no `/dev/udmabuf` the memfd is sent itself, and
//! the viewer copies.

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanlight::frame::{Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};
use fanlight::serve::{Event, GuestMemory, Kind, Memory, Options, Server};
use fanlight::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const SIZE: Size = Size { width: 640, height: 480 };
const STRIDE: u32 = SIZE.width * 4;
const FRAME: Duration = Duration::from_millis(16);

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: backend /path/to/new.sock")?;
    let mut server = Server::bind(Path::new(&path), "example", "", Options::default())?;
    let console = server.add_console(Kind::Graphic, "screen")?;

    // The guest's RAM: two pictures, each in whole pages.
    let bytes = sys::page_align(u64::from(STRIDE * SIZE.height));
    let ram = Arc::new(sys::own_memfd("guest-ram", 2 * bytes)?);
    let pixels = std::fs::File::from(ram.try_clone()?);
    let mut buffers = Vec::new();
    for index in 0..2 {
        let offset = index * bytes;
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = STRIDE;
        let memory = if sys::udmabuf_available() {
            Memory::Guest(GuestMemory::new([(Arc::clone(&ram), offset, bytes)])?)
        } else {
            planes[0].offset = u32::try_from(offset)?;
            Memory::Planes(vec![OwnedFd::try_clone(&ram)?])
        };
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        let layout = Layout { size: SIZE, format, modifier, planes, plane_count: 1 };
        buffers.push((server.add_buffer(console, layout, memory)?, offset));
    }

    let whole = Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height };
    let mut owed = None;
    let mut due = Instant::now();
    for number in 0_u32.. {
        // The guest draws into the buffer that isn't shown, flips, and waits for its ack.
        let (buffer, offset) = buffers[(number % 2) as usize];
        draw(&pixels, offset, number)?;
        owed.replace(server.flip(console, buffer, (whole, Transform::Normal), &[], None)?);
        due += FRAME;
        while owed.is_some() || Instant::now() < due {
            server.dispatch()?;
            while let Some(event) = server.next_event() {
                match event {
                    // Fences would be waited for here: our viewers send none for CPU-drawn memory.
                    Event::Answered { frame, .. } if owed == Some(frame) => owed = None,
                    Event::Answered { .. } => {}
                    other => println!("{other:?}"),
                }
            }
            let left = due.saturating_duration_since(Instant::now());
            if owed.is_some() || !left.is_zero() {
                wait(&server, if owed.is_some() { Duration::from_secs(1) } else { left })?;
            }
        }
    }
    Ok(())
}

/// Grey that moves: the number of the frame is its brightness.
fn draw(pixels: &std::fs::File, offset: u64, number: u32) -> io::Result<()> {
    let row: Vec<u8> = (0..STRIDE).map(|byte| (byte / 4 + number) as u8).collect();
    pixels.write_all_at(&row.repeat(SIZE.height as usize), offset)
}

fn wait(server: &Server, time: Duration) -> io::Result<()> {
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    poll(&mut [PollFd::from_borrowed_fd(server.as_fd(), PollFlags::IN)], Some(&time))?;
    Ok(())
}
