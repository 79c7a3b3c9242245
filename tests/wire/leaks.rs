//! What is left over after very many frames: nothing. Each in a process of its own, so that all of it
//! can be counted.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use fanlight::frame::{BufferId, Rect, Size, Transform};
use fanlight::serve::{self, Answer, GuestMemory, Memory, ServeError};
use fanlight::sys::{own_memfd, sealed_copy};
use rustix::fs::{FallocateFlags, fallocate};

use crate::alone::{alone, open_now};
use crate::backend::{CALM, Picture, SIZE, Stage, layout};
use crate::fresh::stand_in;

const FRAMES: u32 = 10_000;
/// After so many frames all is there that stays.
const WARM: u32 = 200;

/// A guest whose two buffers are one page each of its RAM.
struct Guest {
    ram: Arc<OwnedFd>,
    stage: Stage,
    buffers: [BufferId; 2],
}

impl Guest {
    fn new() -> Result<Self, ServeError> {
        let ram = Arc::new(own_memfd("ram", 2 * 4096).unwrap());
        let mut stage = Stage::new(serve::Options { make_dma_buf: stand_in, ..CALM });
        let mut add = |page: u64| {
            let memory = GuestMemory::new([(Arc::clone(&ram), page * 4096, 4096)])?;
            stage.server.add_buffer(stage.console, layout(SIZE), Memory::Guest(memory))
        };
        let buffers = [add(0)?, add(1)?];
        Ok(Self { ram, stage, buffers })
    }

    /// Draws into a buffer's page, which is another one than before; the viewer has to see that.
    fn replace(&mut self, at: usize, value: u8) {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(self.ram.as_fd(), how, at as u64 * 4096, 4096).unwrap();
        let bytes = [value; (SIZE.width * SIZE.height * 4) as usize];
        rustix::io::pwrite(&self.ram, &bytes, at as u64 * 4096).unwrap();
        self.frame(at);
        assert_eq!(self.stage.seen(), Some(value));
    }

    fn flip(&mut self, at: usize) {
        self.stage.show(self.buffers[at]);
        self.frame(at);
        assert!(self.stage.seen().is_some());
    }

    fn frame(&mut self, at: usize) {
        self.stage.events.clear();
        let frame = self.stage.update(self.buffers[at], &[]);
        assert_eq!(self.stage.answer(frame), Answer::Acked);
    }
}

/// Without: a viewer, or a backend, that runs for some minutes has no fds left.
#[test]
fn ten_thousand_flips_and_ten_thousand_replacements_leak_nothing() {
    let name = "ten_thousand_flips_and_ten_thousand_replacements_leak_nothing";
    alone(module_path!(), name, || {
        let mut guest = match Guest::new() {
            Err(error @ ServeError::Freshness(_)) => return println!("SKIP {name}: {error}"),
            guest => guest.unwrap(),
        };
        let mut run = |frames: u32| {
            (0..frames).for_each(|i| guest.flip(i as usize % 2));
            (0..frames).for_each(|i| guest.replace(1, i as u8));
            guest.stage.server.replacements()
        };
        assert_eq!(run(WARM), u64::from(WARM));
        let before = open_now();
        assert_eq!(run(FRAMES), u64::from(WARM + FRAMES));
        assert_eq!(open_now(), before, "fds and mappings");
    });
}

/// A thousand modes, each a buffer of another size in other memory. The user sees each; the guest gets
/// each ack; no fd, mapping or picture of an earlier one is left on either side.
#[test]
fn f05_46_a_thousand_modes_leak_nothing() {
    alone(module_path!(), "f05_46_a_thousand_modes_leak_nothing", || {
        let mut stage = Stage::new(CALM);
        let mut before = None;
        let mut mode = |i: u32| {
            let size = Size { width: 64 + i * 7 % 50, height: 48 + i * 11 % 40 };
            let bytes = vec![i as u8; (size.width * size.height * 4) as usize];
            let memory = Memory::Planes(vec![sealed_copy("mode", &bytes).unwrap()]);
            let buffer = stage.server.add_buffer(stage.console, layout(size), memory).unwrap();
            let whole = Rect { x: 0, y: 0, width: size.width, height: size.height };
            stage.server.scanout(stage.console, buffer, whole, Transform::Normal).unwrap();
            if let Some(before) = before.replace(buffer) {
                stage.server.remove_buffer(stage.console, before).unwrap();
            }
            stage.events.clear();
            let frame = stage.update(buffer, &[]);
            assert_eq!(stage.answer(frame), Answer::Acked);
            assert_eq!(stage.seen(), Some(i as u8), "mode {i}");
        };
        (0..WARM).for_each(&mut mode);
        let (fds, _) = open_now();
        (WARM..1000 + WARM).for_each(&mut mode);
        assert_eq!(open_now().0, fds);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let modes = maps.lines().filter(|line| line.contains("memfd:mode")).count();
        assert!(modes <= 1, "{modes} modes are mapped");
    });
}

/// Without: a program that opens one console after the other has no fds left in the end.
#[test]
fn sources_that_come_and_go_leave_nothing() {
    alone(module_path!(), "sources_that_come_and_go_leave_nothing", || {
        let round = || {
            let mut stage = Stage::new(CALM);
            let pictures = [Picture::new(), Picture::new()];
            let buffers = [0, 1].map(|i| stage.add(&pictures[i]));
            stage.show(buffers[0]);
            let frame = stage.update(buffers[0], &[]);
            assert_eq!(stage.answer(frame), Answer::Acked);
            // On its way when all ends.
            stage.show(buffers[1]);
            stage.update(buffers[1], &[]);
        };
        (0..5).for_each(|_| round());
        let before = open_now();
        (0..50).for_each(|_| round());
        assert_eq!(open_now(), before, "fds and mappings");
    });
}
