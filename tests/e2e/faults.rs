//! What becomes of a guest's pages behind its udmabuf's back, on real ones. The guest's own view of its
//! memory is what the viewer has to show.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{fs, io};

use fanlight::serve::{Options, ServeError};
use fanlight::sys::{self, OwnMapping, PageRange};
use fanlight_stage::Result;
use rustix::fs::{FallocateFlags, fallocate, ftruncate};

use crate::fresh::{Guest, Scene, expect, huge, ordinary, play_with, say};
use crate::stills::same;

const PUNCH: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);

/// A frame, compared with what the guest has in its memory.
fn shown(what: &str, scene: &mut Scene, guest: &Guest, drawing: &mut OwnMapping) -> Result<()> {
    let seen = scene.frame()?;
    same(what, &seen, &guest.picture(drawing)?)
}

/// Punched out, and not filled again. The user sees zeros where the guest would; the guest gets its ack,
/// and what it draws there next is shown.
pub(crate) fn zeros() -> Result<()> {
    let guest = ordinary()?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    play_with(guest.memory()?, Options::default(), |scene| {
        expect("frame 1", &scene.frame()?, 1)?;
        for i in [0, 7, 8, 150, guest.runs - 1] {
            guest.punch(i)?;
        }
        let seen = scene.frame()?;
        if seen.pixel(0, 0) != [0; 3] {
            return Err(say("the first page is gone, and the viewer shows what it held"));
        }
        same("with holes", &seen, &guest.picture(&mut drawing)?)?;
        guest.draw(&mut drawing, 2)?;
        expect("frame 2", &scene.frame()?, 2)
    })
}

/// A page of 4 KiB is punched out of one of 2 MiB, which stays where it is and gets zeros there: of
/// hugetlbfs, and of shared memory where the kernel gives it huge pages. The user sees the zeros, and
/// what is drawn there next; the guest gets its acks.
pub(crate) fn holes() -> Result<()> {
    let small = rustix::param::page_size() as u64;
    let guest = huge()?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    play_with(guest.memory()?, Options::default(), |scene| {
        expect("frame 1, in hugetlbfs", &scene.frame()?, 1)?;
        fallocate(&guest.ram, PUNCH, 8 * small, small).map_err(say)?;
        shown("a hole, in hugetlbfs", scene, &guest, &mut drawing)?;
        guest.draw(&mut drawing, 2)?;
        expect("frame 2, in hugetlbfs", &scene.frame()?, 2)
    })?;

    // Without the right to set it the pages are small, and the rest is as true.
    let setting = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let before = fs::read_to_string(setting).unwrap_or_default();
    let before = before.split(['[', ']']).nth(1).unwrap_or("never");
    let _ = fs::write(setting, "always");
    let played = holes_in_shared_memory();
    let _ = fs::write(setting, before);
    played
}

fn holes_in_shared_memory() -> Result<()> {
    let guest = ordinary()?;
    ftruncate(&guest.ram, 4 << 20).map_err(say)?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    play_with(guest.memory()?, Options::default(), |scene| {
        expect("frame 1, in shared memory", &scene.frame()?, 1)?;
        guest.punch(100)?;
        shown("a hole, in shared memory", scene, &guest, &mut drawing)?;
        guest.draw(&mut drawing, 2)?;
        expect("frame 2, in shared memory", &scene.frame()?, 2)
    })
}

/// A page is replaced after the dma-buf took it and before that is complete, as between two items of
/// its list. The user sees pages of one moment only, because the dma-buf is made once more; the guest
/// notices nothing.
pub(crate) fn two_moments() -> Result<()> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    fn racing(ranges: &[PageRange<'_>]) -> io::Result<OwnedFd> {
        let made = sys::create_udmabuf_list(ranges)?;
        if MADE.fetch_add(1, Ordering::Relaxed) == 0 {
            let page = &ranges[42];
            fallocate(page.memfd, PUNCH, page.offset, page.len)?;
            rustix::io::pwrite(page.memfd, &vec![0x5a; page.len as usize], page.offset)?;
        }
        Ok(made)
    }
    let guest = ordinary()?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    let options = Options { make_dma_buf: racing, ..Options::default() };
    play_with(guest.memory()?, options, |scene| {
        shown("the second moment", scene, &guest, &mut drawing)?;
        match (MADE.load(Ordering::Relaxed), scene.server.replacements()) {
            (2, 0) => Ok(()),
            other => Err(say(format!("made and replaced {other:?} times, not (2, 0)"))),
        }
    })
}

/// Pages go without end while they are populated, taken and looked at. The user sees whole frames of
/// the guest's memory as soon as it is quiet; meanwhile the backend gets an error at worst, and says
/// nothing that it can't prove.
pub(crate) fn storm() -> Result<()> {
    let guest = ordinary()?;
    let mut drawing = guest.map()?;
    guest.draw(&mut drawing, 1)?;
    play_with(guest.memory()?, Options::default(), |scene| {
        for frame in 1..=2 {
            let quiet = AtomicBool::new(false);
            std::thread::scope(|scope| -> Result<()> {
                let punching = scope.spawn(|| -> Result<()> {
                    let mut i = u64::from(frame);
                    while !quiet.load(Ordering::Relaxed) {
                        guest.punch(i % guest.runs)?;
                        i += 37;
                    }
                    Ok(())
                });
                let mut said = || -> Result<()> {
                    for _ in 0..5 {
                        match scene.server.update(scene.console, scene.buffer, &[]) {
                            Ok(_) | Err(ServeError::Restless(_)) => {}
                            Err(error) => return Err(say(error)),
                        }
                        scene.server.dispatch().map_err(say)?;
                    }
                    Ok(())
                };
                let said = said();
                quiet.store(true, Ordering::Relaxed);
                let punched = punching.join().map_err(|_| say("it panicked"))?;
                said.and(punched)
            })?;
            guest.draw(&mut drawing, frame)?;
            expect(&format!("frame {frame}, when it is quiet"), &scene.frame()?, frame)?;
        }
        if scene.server.replacements() == 0 {
            return Err(say("no page was ever found replaced"));
        }
        Ok(())
    })
}
