//! What a QEMU, or the memory that it shows, does wrong: what the user sees of it, and what the guest gets.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use fanlight::port::Source;
use fanlight::session::{Config, Options, Present, Session};
use fanlight::sink::memory::MemorySink;
use fanlight::source::{self, Bus, Uri};
use fanlight::sys::own_memfd;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::alone::{alone, open_now};
use crate::compositor::PATIENCE;
use crate::fake_qemu::{self, DMABUF2, FakeQemu, LISTENER, VM};
use crate::stage::{CALM, Memory, Setup, Size, Stage, V2, colours, v2};

pub const SIZE: Size = (64, 48);
const WHOLE: (i32, i32, i32, i32) = (0, 0, 64, 48);

pub type Pixels = Vec<Vec<[u8; 3]>>;

/// A session of a fake QEMU's whose frames come into memory. Its memory is memfds, and known as such.
struct Screen {
    session: Session<MemorySink>,
    qemu: FakeQemu,
}

pub fn session(source: Box<dyn Source>, config: Config) -> Session<MemorySink> {
    Session::new(source, MemorySink::default(), Options { present: Present::Auto, config })
}

impl Screen {
    fn open(config: Config) -> Self {
        let (stream, listeners) = fake_qemu::p2p(VM);
        let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
        let opened = source::open_stream(stream, &uri, &source::Options::default()).unwrap();
        Self { session: session(opened.source, config), qemu: listeners.next() }
    }

    /// Lets the session do all that QEMU has asked for.
    fn settle(&mut self) {
        self.qemu.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
        self.session.turn(Some(Duration::ZERO), None).unwrap();
    }

    /// Announces in QEMU's order; returns the update.
    fn flip(&mut self, body: &V2<'_>) -> NonZeroU32 {
        self.qemu.call(DMABUF2, "ScanoutDMABUF2", body).unwrap();
        self.qemu.send(LISTENER, "Disable", &());
        let update = self.qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
        self.settle();
        update
    }

    /// The frame that is shown once `body` is announced and acked.
    fn shown(&mut self, body: &V2<'_>) -> Option<Pixels> {
        let update = self.flip(body);
        self.qemu.reply(update).unwrap();
        newest(&mut self.session)
    }
}

/// The newest frame since the last call.
pub fn newest(session: &mut Session<MemorySink>) -> Option<Pixels> {
    let frame = std::iter::from_fn(|| session.sink().take_frame()).last()?;
    let row = 4 * frame.size.width as usize;
    Some(colours(&frame.pixels.chunks(row).map(<[u8]>::to_vec).collect::<Vec<_>>()))
}

pub fn painted(picture: u8) -> Memory {
    let memory = Memory::new(SIZE);
    memory.paint(picture);
    memory
}

/// Both QEMU's fd numbers and ours are used again for other memory. The user sees each frame as it is;
/// the guest gets each ack.
#[test]
fn f05_06_an_fd_number_that_comes_back_is_other_memory() {
    let mut screen = Screen::open(CALM);
    let (mut sent, mut ours) = (HashSet::new(), HashSet::new());
    for i in 0..40 {
        let memory = painted(i);
        sent.insert(memory.file.as_raw_fd());
        let seen = screen.shown(&v2(&memory.file, SIZE));
        assert_eq!(seen, Some(colours(&memory.rows())), "frame {i}");
        let buffer = screen.session.buffer().unwrap();
        ours.insert(buffer.storage.fds[0].as_raw_fd());
    }
    // Other tests take some, but not thirty times the one that just came free.
    assert!(sent.len() < 40 && ours.len() < 40, "{sent:?} {ours:?}");
}

/// The same inode with another stride, offset, size, and grown. The user sees what the new layout says,
/// not what an import or a mapping of the old one would; the guest gets each ack.
#[test]
fn f05_08_the_same_memory_in_another_layout_is_read_by_that() {
    let mut screen = Screen::open(CALM);
    let memory = painted(1);
    let rows = colours(&memory.rows());
    assert_eq!(screen.shown(&v2(&memory.file, SIZE)).as_ref(), Some(&rows));
    let mut every_second_row = v2(&memory.file, (64, 24));
    every_second_row.6 = vec![512];
    let expected: Pixels = rows.iter().step_by(2).cloned().collect();
    assert_eq!(screen.shown(&every_second_row), Some(expected));
    let mut part = v2(&memory.file, (32, 10));
    (part.5, part.6) = (vec![5 * 256 + 16 * 4], vec![256]);
    let expected: Pixels = rows[5..15].iter().map(|row| row[16..48].to_vec()).collect();
    assert_eq!(screen.shown(&part), Some(expected));

    let large = (64, 96);
    memory.file.set_len(64 * 96 * 4).unwrap();
    let memory = Memory { file: memory.file, size: large };
    memory.paint(2);
    assert_eq!(screen.shown(&v2(&memory.file, large)), Some(colours(&memory.rows())));
}

/// The same where the guest's memory is shown directly: each layout is imported by itself, also when the
/// import of the other one is free.
#[test]
fn f05_08_the_same_memory_in_another_layout_is_imported_anew() {
    let mut stage = Stage::open(Setup { present: Present::Direct, ..Setup::default() });
    let [memory, other] = [1, 2].map(painted);
    let update = stage.flip(&memory.handle(), SIZE);
    let first = stage.frame(1);
    stage.acked(update);
    let update = stage.flip(&other.handle(), SIZE);
    let second = stage.frame(2);
    stage.release(first);
    stage.acked(update);
    let handle = memory.handle();
    let mut body = v2(&handle, (64, 24));
    body.6 = vec![512];
    stage.qemu().call(DMABUF2, "ScanoutDMABUF2", &body).unwrap();
    let update = stage.update((0, 0, 64, 24));
    let third = stage.frame(3);
    stage.release(second);
    stage.acked(update);
    assert_eq!(stage.dmabuf(third), Some(memory.inode()));
    assert_eq!([first, third].map(|shown| stage.dmabuf_strides(shown)), [[256], [512]]);
    assert_eq!(stage.session.stats().counts.imports, 3);
}

/// Memory by a handle that can be neither read nor mapped (`O_PATH`), where a copy is wanted. The user
/// keeps the last good picture; the guest gets its acks, and its next readable memory is shown.
#[test]
fn f05_20_memory_that_can_not_be_read_leaves_the_guest_running() {
    let mut screen = Screen::open(CALM);
    let memory = painted(1);
    assert!(screen.shown(&v2(&memory.file, SIZE)).is_some());
    let handle = painted(2).handle();
    assert_eq!(screen.shown(&v2(&handle, SIZE)), None);
    let update = screen.qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
    screen.settle();
    screen.qemu.reply(update).unwrap();
    let memory = painted(3);
    assert_eq!(screen.shown(&v2(&memory.file, SIZE)), Some(colours(&memory.rows())));
}

/// QEMU's order for each flip: the scanout, then `Disable`, then the update. The user sees one picture
/// a flip and never a blank one; the guest gets each ack.
#[test]
fn f05_26_disable_between_scanout_and_update_blanks_nothing() {
    let mut stage = Stage::open(Setup { present: Present::Copy, ..Setup::default() });
    let mut before = None;
    for i in 0..20 {
        let memory = painted(i);
        let update = stage.flip(&memory.file, SIZE);
        let shown = stage.frame(usize::from(i) + 1);
        assert_eq!(stage.pixels(shown), colours(&memory.rows()), "flip {i}");
        stage.acked(update);
        if let Some(before) = before.replace(shown) {
            stage.release(before);
        }
    }
    assert_eq!(stage.shown(), 20);
    assert!(!stage.was_blank());
}

/// The order of vhost-user: `Disable` before each scanout. The user sees one picture a flip and never
/// a blank one, because the scanout takes it back; the guest gets each ack.
#[test]
fn f05_27_disable_before_a_scanout_blanks_nothing() {
    let config = Config { first_grace: Duration::ZERO, next_grace: Duration::ZERO, ..CALM };
    let mut stage = Stage::open(Setup { present: Present::Copy, config, ..Setup::default() });
    for i in 0..10 {
        let memory = painted(i);
        stage.qemu().call(LISTENER, "Disable", &()).unwrap();
        stage.announce(&memory.file, SIZE).unwrap();
        let shown = stage.frame(2 * usize::from(i) + 1);
        assert_eq!(stage.pixels(shown), colours(&memory.rows()), "flip {i}");
        let update = stage.update(WHOLE);
        stage.acked(update);
        let again = stage.frame(2 * usize::from(i) + 2);
        stage.release(shown);
        stage.release(again);
    }
    assert!(!stage.was_blank());
}

/// QEMU drops an update (and blocks the guest for its second). The user sees the scanout all the same;
/// the guest, which nobody could ack, is not waited for, and its next update counts.
#[test]
fn f05_29_a_scanout_whose_update_is_lost_is_shown_and_nothing_is_owed() {
    let config = Config { first_grace: Duration::ZERO, next_grace: Duration::ZERO, ..CALM };
    let mut screen = Screen::open(config);
    for i in 0..5 {
        let memory = painted(i);
        screen.qemu.call(DMABUF2, "ScanoutDMABUF2", &v2(&memory.file, SIZE)).unwrap();
        screen.qemu.send(LISTENER, "Disable", &());
        screen.settle();
        assert_eq!(newest(&mut screen.session), Some(colours(&memory.rows())), "scanout {i}");
    }
    assert_eq!(screen.session.stats().update_to_ack.count(), 0);
    let memory = painted(9);
    assert_eq!(screen.shown(&v2(&memory.file, SIZE)), Some(colours(&memory.rows())));
    assert_eq!(screen.session.stats().counts.forced_acks, 0);
}

/// A thousand times the same update, as QEMU sends them for flushes without a fence. The user sees the
/// newest picture; the guest gets a thousand replies, none of them forced.
#[test]
fn f05_32_the_same_update_a_thousand_times() {
    let Screen { mut session, mut qemu } = Screen::open(CALM);
    let memory = painted(7);
    let rows = colours(&memory.rows());
    let burst = std::thread::spawn(move || {
        qemu.call(DMABUF2, "ScanoutDMABUF2", &v2(&memory.file, SIZE)).unwrap();
        let send = |_| qemu.send(LISTENER, "UpdateDMABUF", &(3, 4, 5, 6));
        let updates: Vec<_> = (0..1000).map(send).collect();
        updates.into_iter().for_each(|update| drop(qemu.reply(update).unwrap()));
        // Its end is what ends the session's turns.
        qemu.kill();
    });
    let end = Instant::now() + PATIENCE;
    while session.lost().is_none() {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{:?}", session.stats());
        session.turn(Some(left), None).unwrap();
    }
    burst.join().unwrap();
    assert_eq!(newest(&mut session), Some(rows));
    let counts = session.stats().counts;
    assert_eq!((counts.forced_acks, counts.refused_updates), (0, 0));
    // Once whole for each of the three targets at most, then only what the update names.
    assert!(counts.bytes_copied <= 3 * 64 * 48 * 4 + 1000 * 5 * 6 * 4, "{counts:?}");
}

/// QEMU dies between a scanout and its update. The user keeps the last finished picture and is told
/// why; the memory that was only announced is let go.
#[test]
fn f05_33_killed_between_scanout_and_update() {
    let Screen { mut session, mut qemu } = Screen::open(CALM);
    let (first, second) = (painted(1), painted(2));
    qemu.call(DMABUF2, "ScanoutDMABUF2", &v2(&first.file, SIZE)).unwrap();
    let update = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
    qemu.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
    session.turn(Some(Duration::ZERO), None).unwrap();
    qemu.reply(update).unwrap();
    assert_eq!(newest(&mut session), Some(colours(&first.rows())));
    qemu.call(DMABUF2, "ScanoutDMABUF2", &v2(&second.file, SIZE)).unwrap();
    qemu.kill();
    let end = Instant::now() + PATIENCE;
    while session.lost().is_none() {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "the end was never told");
        session.turn(Some(left), None).unwrap();
    }
    assert!(session.lost().unwrap().contains("killed"));
    assert_eq!(newest(&mut session), None);
    assert!(session.buffer().is_none());
    for memory in [&first, &second] {
        // What the fake has of it goes with its thread.
        while memory.fds() > 1 {
            assert!(Instant::now() < end, "an fd is left");
            std::thread::yield_now();
        }
    }
}

/// The session stands still past QEMU's patience of a second: QEMU gives the update up and goes on.
/// The user sees the newest frame; the guest gets late replies, which hurt nobody, and then timely ones.
#[test]
fn f05_35_replies_after_qemu_gave_up_hurt_nobody() {
    let mut screen = Screen::open(CALM);
    let (first, second) = (painted(1), painted(2));
    screen.qemu.call(DMABUF2, "ScanoutDMABUF2", &v2(&first.file, SIZE)).unwrap();
    let given_up = screen.qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
    assert!(!screen.qemu.is_replied(given_up), "nobody turns the session");
    let update = screen.flip(&v2(&second.file, SIZE));
    assert_eq!(newest(&mut screen.session), Some(colours(&second.rows())));
    screen.qemu.reply(update).unwrap();
    screen.qemu.reply(given_up).unwrap();
    first.paint(3);
    assert_eq!(screen.shown(&v2(&first.file, SIZE)), Some(colours(&first.rows())));
    assert_eq!(screen.session.stats().counts.forced_acks, 0);
}

/// A storage of 2^60 bytes, which can't be mapped (`ENOMEM`). The user keeps the last good picture; the
/// guest gets its ack, and its next memory is shown.
#[test]
fn f05_40_memory_that_can_not_be_mapped_leaves_the_guest_running() {
    let mut screen = Screen::open(CALM);
    let memory = painted(1);
    assert!(screen.shown(&v2(&memory.file, SIZE)).is_some());
    let endless = own_memfd("endless", 1 << 60).unwrap();
    assert_eq!(screen.shown(&v2(&endless, SIZE)), None);
    let memory = painted(3);
    assert_eq!(screen.shown(&v2(&memory.file, SIZE)), Some(colours(&memory.rows())));
}

/// A memfd of huge pages, of which the host has none left: a mapping of it would end us at the first
/// touch. The user sees the zeros that the guest would; the guest gets its ack.
#[test]
fn f05_19_huge_pages_that_are_not_there_are_shown_as_zeros() {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let huge = match memfd_create("huge", flags | MemfdFlags::HUGE_2MB) {
        Err(error) => {
            println!(
                "SKIP f05_19_huge_pages_that_are_not_there_are_shown_as_zeros: \
                 this kernel has no huge pages of 2 MiB ({error})"
            );
            return;
        }
        Ok(huge) => huge,
    };
    ftruncate(&huge, 2 << 20).unwrap();
    fcntl_add_seals(&huge, SealFlags::SHRINK).unwrap();
    let mut screen = Screen::open(CALM);
    let black = vec![vec![[0; 3]; SIZE.0 as usize]; SIZE.1 as usize];
    assert!(screen.shown(&v2(&huge, SIZE)) == Some(black), "it is not shown, or not as zeros");
}

/// A thousand modes, each a buffer of another size in other memory. The user sees each; the guest gets
/// each ack; no fd or mapping of an earlier one is left.
#[test]
fn f05_46_a_thousand_modes_leak_nothing() {
    alone(module_path!(), "f05_46_a_thousand_modes_leak_nothing", || {
        let mut screen = Screen::open(CALM);
        let mut mode = |i: u32| {
            let size = (64 + i * 7 % 50, 48 + i * 11 % 40);
            let memory = Memory::new(size);
            memory.paint(i as u8);
            let seen = screen.shown(&v2(&memory.file, size));
            assert_eq!(seen, Some(colours(&memory.rows())), "mode {i}");
        };
        (0..100).for_each(&mut mode);
        let (fds, _) = open_now();
        (100..1100).for_each(&mut mode);
        let end = Instant::now() + PATIENCE;
        // QEMU's end lets go of what it sent a moment later.
        while open_now().0 > fds {
            assert!(Instant::now() < end, "{} fds, {fds} before", open_now().0);
            std::thread::yield_now();
        }
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let modes = maps.lines().filter(|line| line.contains("memfd:guest")).count();
        // As many as are kept for when the guest comes back to them.
        assert!(modes <= 8, "{modes} modes are mapped");
    });
}
