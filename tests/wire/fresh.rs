//! Guest memory whose pages are replaced: announced anew exactly then.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use fanlight::frame::BufferId;
use fanlight::serve::{self, Answer, GuestMemory, Memory, ServeError};
use fanlight::session::{self, Session};
use fanlight::sink::memory::MemorySink;
use fanlight::sys::{PageRange, own_memfd, sealed_copy};
use rustix::fs::{FallocateFlags, fallocate};

use crate::backend::{CALM, SIZE, Stage, layout, open};

const BYTES: usize = (SIZE.width * SIZE.height * 4) as usize;

/// A stand-in for a udmabuf: has what the pages had when it was made. So a page that was replaced
/// shows its old content through it, as through a real one; each frame is drawn before.
pub(crate) fn stand_in(ranges: &[PageRange<'_>]) -> io::Result<OwnedFd> {
    let mut bytes = vec![0; 4096];
    rustix::io::pread(ranges[0].memfd, &mut bytes, ranges[0].offset)?;
    sealed_copy("stand-in", &bytes)
}

struct Guest {
    ram: Arc<OwnedFd>,
}

impl Guest {
    fn new() -> Self {
        Self { ram: Arc::new(own_memfd("ram", 8 * 4096).unwrap()) }
    }

    fn draw(&self, value: u8) {
        rustix::io::pwrite(&self.ram, &[value; BYTES], 4096).unwrap();
    }

    fn punch(&self, page: u64) {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(self.ram.as_fd(), how, page * 4096, 4096).unwrap();
    }
}

/// `None` where the kernel can't tell.
fn stage(check_freshness: bool, guest: &Guest) -> Option<(Stage, BufferId)> {
    let options = serve::Options { make_dma_buf: stand_in, check_freshness, ..CALM };
    let mut stage = Stage::new(options);
    let memory = GuestMemory::new([(Arc::clone(&guest.ram), 4096, 4096)]).unwrap();
    match stage.server.add_buffer(stage.console, layout(SIZE), Memory::Guest(memory)) {
        Ok(buffer) => Some((stage, buffer)),
        Err(error @ ServeError::Freshness(_)) => {
            // libtest names its threads after the tests.
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("SKIP {test}: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn replaced_page_shows(check_freshness: bool) -> Option<(u8, u64)> {
    let guest = Guest::new();
    guest.draw(1);
    let (mut stage, buffer) = stage(check_freshness, &guest)?;
    stage.show(buffer);
    let frame = stage.update(buffer, &[]);
    assert_eq!(stage.answer(frame), Answer::Acked);
    assert_eq!(stage.seen(), Some(1));
    guest.punch(1);
    guest.draw(2);
    let frame = stage.update(buffer, &[]);
    assert_eq!(stage.answer(frame), Answer::Acked);
    Some((stage.seen().unwrap(), stage.server.replacements()))
}

/// Without: the viewer shows a page that the guest no longer has.
#[test]
fn a_replaced_page_is_shown_from_the_new_memory() {
    if let Some(seen) = replaced_page_shows(true) {
        assert_eq!(seen, (2, 1));
    }
}

/// A further viewer, which shows a scanout without waiting long for its update.
fn viewer(stage: &mut Stage) -> Session<MemorySink> {
    let opened = open(&mut stage.server, None).unwrap();
    Session::new(opened.source, MemorySink::default(), session::Options::default())
}

fn first_picture(stage: &mut Stage, viewer: &mut Session<MemorySink>) -> u8 {
    let frame = stage.until("a picture", |_| {
        viewer.turn(Some(Duration::from_millis(1)), None).unwrap();
        viewer.sink().take_frame()
    });
    frame.pixels[0]
}

/// Without: a flip to a buffer that lost a page shows the old page until its update comes.
#[test]
fn a_scanout_shows_fresh_pages_before_any_update() {
    let guest = Guest::new();
    guest.draw(1);
    let Some((mut stage, buffer)) = stage(true, &guest) else { return };
    let mut viewer = viewer(&mut stage);
    guest.punch(1);
    guest.draw(2);
    stage.show(buffer);
    assert_eq!(first_picture(&mut stage, &mut viewer), 2);
}

/// Without: who comes later sees the old page until the next update.
#[test]
fn a_viewer_that_comes_later_sees_fresh_pages() {
    let guest = Guest::new();
    guest.draw(1);
    let Some((mut stage, buffer)) = stage(true, &guest) else { return };
    stage.show(buffer);
    guest.punch(1);
    guest.draw(2);
    let mut viewer = viewer(&mut stage);
    assert_eq!(first_picture(&mut stage, &mut viewer), 2);
}

/// A page is punched out and nobody fills it again. The user sees zeros there, as the guest would, and
/// not what lay there before; the guest gets its ack.
#[test]
fn f05_14_a_page_that_is_gone_is_shown_as_zeros() {
    let guest = Guest::new();
    guest.draw(1);
    let Some((mut stage, buffer)) = stage(true, &guest) else { return };
    stage.show(buffer);
    let frame = stage.update(buffer, &[]);
    assert_eq!(stage.answer(frame), Answer::Acked);
    assert_eq!(stage.seen(), Some(1));
    guest.punch(1);
    let frame = stage.update(buffer, &[]);
    assert_eq!(stage.answer(frame), Answer::Acked);
    assert_eq!((stage.seen(), stage.server.replacements()), (Some(0), 1));
}

/// So that the tests above can fail.
#[test]
fn with_the_check_switched_off_the_same_page_is_stale() {
    assert_eq!(replaced_page_shows(false), Some((1, 0)));
}

/// Without: each frame is imported anew.
#[test]
fn nothing_is_replaced_that_is_still_the_guests() {
    let guest = Guest::new();
    guest.draw(0);
    let Some((mut stage, buffer)) = stage(true, &guest) else { return };
    stage.show(buffer);
    for i in 0..50 {
        guest.draw(i);
        // Its neighbours are others' business.
        guest.punch(0);
        guest.punch(2);
        let frame = stage.update(buffer, &[]);
        assert_eq!(stage.answer(frame), Answer::Acked);
    }
    assert_eq!(stage.server.replacements(), 0);
}

/// Without: fds of what was replaced stay open, on either side.
#[test]
fn a_thousand_replacements_leak_nothing() {
    let guest = Guest::new();
    guest.draw(0);
    let Some((mut stage, buffer)) = stage(true, &guest) else { return };
    stage.show(buffer);
    let mut count = None;
    for i in 0..1000_u32 {
        guest.punch(1);
        guest.draw(i as u8);
        let frame = stage.update(buffer, &[]);
        assert_eq!(stage.answer(frame), Answer::Acked);
        assert_eq!(stage.seen(), Some(i as u8), "frame {i}");
        if i == 20 {
            count = Some(stand_ins());
        }
    }
    assert_eq!(stage.server.replacements(), 1000);
    // Other tests of this process make some too, but not without end.
    let more = stand_ins().saturating_sub(count.unwrap());
    assert!(more < 40, "{more} more than after 20");
}

/// How many fds and mappings of stand-ins this process has.
fn stand_ins() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let open = links.filter(|link| link.to_string_lossy().contains("stand-in")).count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    open + maps.lines().filter(|line| line.contains("stand-in")).count()
}
