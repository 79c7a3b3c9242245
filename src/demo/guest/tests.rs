//! The guest without a viewer, its RAM scattered: what it shows is whole in its memory, and its RAM lasts.

use std::io;
use std::os::fd::AsFd;

use super::*;
use crate::demo::oracle;
use crate::serve::{Options, ServeError};
use crate::sys::{PageRange, sealed_copy};

/// Stands in for a udmabuf where there is none; nobody looks into it.
fn stand_in(_: &[PageRange<'_>]) -> io::Result<OwnedFd> {
    sealed_copy("stand-in", &[0])
}

/// `None` where the kernel can't tell whether pages were replaced.
fn guest(settings: Settings) -> Option<Guest> {
    let options = Options { make_dma_buf: stand_in, ..Options::default() };
    let server = Server::new("demo", "", options).unwrap();
    match Guest::new(settings, server, true, Handle::default()) {
        Ok(guest) => Some(guest),
        Err(DemoError::Serve(error @ ServeError::Freshness(_))) => {
            println!("SKIP {}: {error}", std::thread::current().name().unwrap_or_default());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What the memory of the shown buffer says.
fn shown(guest: &Guest) -> Option<Seen> {
    let buffer = &guest.buffers[guest.shown?];
    let (size, format) = (guest.painter.size(), guest.painter.format());
    let stride = stride(size, format) as usize;
    let memory = buffer.pages.read(stride * size.height as usize);
    let blue = |x: u32, y: u32| {
        let at = y as usize * stride;
        match format {
            Format::RGB565 => {
                let blue = memory[at + 2 * x as usize] & 31;
                blue << 3 | blue >> 2
            }
            Format::XBGR8888 => memory[at + 4 * x as usize + 2],
            _ => memory[at + 4 * x as usize],
        }
    };
    Some(oracle::read(size, blue).unwrap_or_else(|mixed| panic!("{mixed}")))
}

/// Lets a guest run as fast as it can, until its mode did five times what it does.
fn run(mode: Mode, buffers: u32) {
    let size = Size { width: 96, height: 64 };
    let Some(mut guest) = guest(Settings { mode, size, buffers, fps: 6, ..Settings::default() })
    else {
        return;
    };
    let handle = guest.handle.clone();
    let mut frame = 0;
    let idle = matches!(mode, Mode::Flip | Mode::InPlace);
    while guest.frame < 40 || !idle && handle.progress().events < 5 {
        guest.due = guest.start;
        let wait = guest.work().unwrap().unwrap_or(Duration::from_secs(10));
        if guest.frame == frame {
            let time =
                Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
            poll(&mut [PollFd::from_borrowed_fd(guest.server.as_fd(), PollFlags::IN)], Some(&time))
                .unwrap();
        }
        if let Some(seen) = shown(&guest) {
            let number = guest.buffers[guest.shown.unwrap()].number;
            assert_eq!(seen, Seen { frame: guest.frame, buffer: number });
        }
        frame = guest.frame;
    }
    let progress = handle.progress();
    assert_eq!((progress.late, progress.refused), (0, 0));
    let replaces = matches!(mode, Mode::Punch | Mode::Told | Mode::Balloon);
    assert_eq!(progress.replaced > 0, replaces, "{mode}: {progress:?}");
}

#[test]
fn whatever_happens_to_its_ram_the_guest_shows_whole_frames() {
    for mode in Mode::ALL {
        run(mode, 2);
    }
    for mode in [Mode::Flip, Mode::Resize, Mode::Told, Mode::Balloon, Mode::Reboot] {
        run(mode, 3);
    }
}
