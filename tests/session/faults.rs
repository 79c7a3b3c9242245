//! What a QEMU, or the memory that it shows, does wrong: what the user sees of it, and what the guest gets.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fanlight::frame::{
    BufferId, Damage, Format, Input, Layout, Modifier, PLANES_MAX, Plane, Rect, Transform,
};
use fanlight::port::{Ack, Announcement, Settle, Source, SourceEvent, Verdict};
use fanlight::session::{Config, Options, Present, Session};
use fanlight::sink::memory::MemorySink;
use fanlight::source::{self, Bus, Uri};
use fanlight::sys::{self, own_memfd};
use rustix::event::{EventfdFlags, eventfd};

use crate::compositor::PATIENCE;
use crate::fake_qemu::{self, DMABUF2, FakeQemu, LISTENER, VM};
use crate::stage::{CALM, Memory, Setup, Size, Stage, V2, colours, v2};

const SIZE: Size = (64, 48);
const WHOLE: (i32, i32, i32, i32) = (0, 0, 64, 48);

type Pixels = Vec<Vec<[u8; 3]>>;

/// A session of a fake QEMU's whose frames come into memory. Its memory is memfds, and known as such.
struct Screen {
    session: Session<MemorySink>,
    qemu: FakeQemu,
}

fn session(source: Box<dyn Source>, config: Config) -> Session<MemorySink> {
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
fn newest(session: &mut Session<MemorySink>) -> Option<Pixels> {
    let frame = std::iter::from_fn(|| session.sink().take_frame()).last()?;
    let row = 4 * frame.size.width as usize;
    Some(colours(&frame.pixels.chunks(row).map(<[u8]>::to_vec).collect::<Vec<_>>()))
}

fn painted(picture: u8) -> Memory {
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

/// The same where the guest's memory is shown directly: each layout is imported by itself.
#[test]
fn f05_08_the_same_memory_in_another_layout_is_imported_anew() {
    let mut stage = Stage::open(Setup { present: Present::Direct, ..Setup::default() });
    let memory = painted(1);
    let update = stage.flip(&memory.handle(), SIZE);
    let first = stage.frame(1);
    stage.acked(update);
    let handle = memory.handle();
    let mut body = v2(&handle, (64, 24));
    body.6 = vec![512];
    stage.qemu().call(DMABUF2, "ScanoutDMABUF2", &body).unwrap();
    let update = stage.update((0, 0, 64, 24));
    let second = stage.frame(2);
    assert_ne!(first, second);
    assert_eq!(stage.dmabuf(second), Some(memory.inode()));
    assert_eq!(stage.dmabuf_strides(second), [512]);
    stage.release(first);
    stage.acked(update);
    assert_eq!(stage.session.stats().counts.imports, 2);
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

/// A backend that says whatever the test wants, also what none of ours would.
struct Script {
    wake: OwnedFd,
    events: Rc<RefCell<VecDeque<SourceEvent>>>,
}

impl Source for Script {
    fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        self.events.borrow_mut().pop_front()
    }

    fn send(&mut self, _: &Input) {}
}

#[derive(Default)]
struct Verdicts(Mutex<Vec<(u64, Verdict)>>);

impl Settle for Verdicts {
    fn settle(&self, update: u64, verdict: Verdict) {
        self.0.lock().unwrap().push((update, verdict));
    }
}

struct Scripted {
    session: Session<MemorySink>,
    events: Rc<RefCell<VecDeque<SourceEvent>>>,
    verdicts: Arc<Verdicts>,
}

impl Scripted {
    fn new() -> Self {
        let wake = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let events = Rc::<RefCell<VecDeque<_>>>::default();
        let source = Script { wake, events: Rc::clone(&events) };
        Self { session: session(Box::new(source), CALM), events, verdicts: Arc::default() }
    }

    fn say(&mut self, event: SourceEvent) {
        self.events.borrow_mut().push_back(event);
        self.session.turn(Some(Duration::ZERO), None).unwrap();
    }

    fn scanout(&mut self, buffer: u64, memory: &Memory) {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = SIZE.0 * 4;
        let size = fanlight::frame::Size { width: SIZE.0, height: SIZE.1 };
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        let fd = memory.file.try_clone().unwrap();
        self.say(SourceEvent::Scanout(Announcement {
            buffer: BufferId(buffer),
            storage: sys::storage(vec![fd.into()], sys::classify).unwrap(),
            layout: Layout { size, format, modifier, planes, plane_count: 1 },
            visible: Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 },
            transform: Transform::Normal,
        }));
    }

    /// How an update of that buffer is settled.
    fn update(&mut self, buffer: u64) -> Verdict {
        let count = self.verdicts.0.lock().unwrap().len() as u64;
        let ack = Ack::new(Arc::<Verdicts>::clone(&self.verdicts), count);
        self.say(SourceEvent::Update { buffer: BufferId(buffer), damage: Damage::Whole, ack });
        let verdicts = self.verdicts.0.lock().unwrap();
        assert_eq!(verdicts.len() as u64, count + 1, "each once");
        let (update, verdict) = verdicts[verdicts.len() - 1];
        assert_eq!(update, count);
        verdict
    }
}

/// An update of a buffer that another took the place of, or whose pages were replaced. The user sees
/// nothing of it; the guest gets a refusal.
#[test]
fn f05_30_an_update_of_a_retired_buffer_is_refused() {
    let mut scripted = Scripted::new();
    let (old, new) = (painted(1), painted(2));
    scripted.scanout(1, &old);
    scripted.scanout(2, &new);
    assert_eq!(scripted.update(1), Verdict::Refused);
    assert_eq!(newest(&mut scripted.session), None);
    assert_eq!(scripted.update(2), Verdict::Done);
    assert_eq!(newest(&mut scripted.session), Some(colours(&new.rows())));
    scripted.say(SourceEvent::Replaced(BufferId(2)));
    assert_eq!(scripted.update(2), Verdict::Refused);
    assert_eq!(scripted.update(1), Verdict::Refused);
    assert_eq!(newest(&mut scripted.session), None);
    assert_eq!(scripted.session.stats().counts.refused_updates, 3);
}

/// Ids that go back, or that are the last there is. The user sees what was announced last, whatever its
/// number; the guest gets acks for that and refusals for the rest.
#[test]
fn f05_50_ids_that_go_back_are_as_good_as_others() {
    let mut scripted = Scripted::new();
    for (i, id) in [u64::MAX, 7, 0, u64::MAX - 1].into_iter().enumerate() {
        let memory = painted(i as u8);
        scripted.scanout(id, &memory);
        assert_eq!(scripted.update(id.wrapping_add(1)), Verdict::Refused, "{id}");
        assert_eq!(scripted.update(id), Verdict::Done, "{id}");
        assert_eq!(newest(&mut scripted.session), Some(colours(&memory.rows())), "{id}");
    }
}
