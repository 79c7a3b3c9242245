//! A guest that draws into what is being copied. Each frame has its number in every tile, so that a
//! picture says by itself whether it is whole.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Instant;

use fanlight::frame::{BufferId, CommitId, Damage, ImportId, Rect, StorageId};
use fanlight::port::{Buffer, Sink, SinkEvent};
use fanlight::session::{Options, Present, Session};
use fanlight::sink::memory::{Frame, MemorySink};
use fanlight_stage::{Image, pattern};

use crate::compositor::PATIENCE;
use crate::script;
use crate::spies::{Log, Seen, SpiedSink, SpiedSource};
use crate::stage::{CALM, Memory};

/// Twelve tiles.
const SIZE: (u32, u32) = (128, 96);

/// A guest with one buffer.
struct Painter {
    memory: Memory,
    /// Waits for the ack of its last frame before it draws the next.
    obeys: bool,
    frame: u32,
    update: u64,
    log: Log,
    /// How often it could have drawn into what was being copied, and how often it did.
    chances: u32,
    taken: u32,
}

impl Painter {
    fn may_draw(&self) -> bool {
        !self.obeys || self.update == 0 || self.log.has(Seen::Ack(self.update))
    }

    fn draw(&mut self) {
        self.frame += 1;
        let stride = SIZE.0 as usize * 4;
        let mut pixels = vec![0; stride * SIZE.1 as usize];
        pattern::draw(self.frame, SIZE.0, SIZE.1, stride, &mut pixels).unwrap();
        self.memory.file.write_all_at(&pixels, 0).unwrap();
    }
}

/// Copies in two halves, and lets the guest have its chance between them.
struct Halves {
    sink: MemorySink,
    guest: Rc<RefCell<Painter>>,
}

impl Sink for Halves {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        self.sink.poll()
    }

    fn flush(&mut self) {}

    fn import(&mut self, import: ImportId, buffer: &Buffer) {
        self.sink.import(import, buffer);
    }

    fn show(&mut self, commit: CommitId, import: ImportId, buffer: &Buffer, damage: &Damage) {
        self.sink.show(commit, import, buffer, damage);
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        assert_eq!(*damage, Damage::Whole, "each frame is another all over");
        let half = Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 / 2 };
        self.sink.copy(target, buffer, &Damage::from(half));
        assert!(matches!(self.sink.poll(), Some(SinkEvent::Copied { .. })));
        let mut guest = self.guest.borrow_mut();
        guest.chances += 1;
        if guest.may_draw() {
            guest.taken += 1;
            guest.draw();
        }
        self.sink.copy(target, buffer, &Damage::from(Rect { y: SIZE.1 / 2, ..half }));
    }

    fn show_copy(&mut self, commit: CommitId, target: u8, buffer: &Buffer, damage: &Damage) {
        self.sink.show_copy(commit, target, buffer, damage);
    }

    fn blank(&mut self) {}

    fn forget(&mut self, storage: StorageId) {
        self.sink.forget(storage);
    }
}

/// What came of it all.
struct Played {
    /// Each frame that was drawn, and what was shown for it.
    shown: Vec<(u32, Result<u32, pattern::Mixed>)>,
    chances: u32,
    taken: u32,
}

/// What a picture shows: one frame, or parts of several.
fn seen(frame: &Frame) -> Result<u32, pattern::Mixed> {
    let image = Image::from_xrgb(SIZE.0, SIZE.1, SIZE.0 as usize * 4, &frame.pixels);
    pattern::whole(&image.expect("a picture of that size"))
}

/// Plays thirty updates.
fn play(obeys: bool) -> Played {
    let log = Log::default();
    let (source, mut guest) = script::guest();
    let painter = Rc::new(RefCell::new(Painter {
        memory: Memory::new(SIZE),
        obeys,
        frame: 0,
        update: 0,
        log: log.clone(),
        chances: 0,
        taken: 0,
    }));
    let source = SpiedSource { source: Box::new(source), log: log.clone(), updates: 0 };
    let sink = Halves { sink: MemorySink::default(), guest: Rc::clone(&painter) };
    let options = Options { present: Present::Auto, config: CALM };
    let sink = SpiedSink { sink, log: log.clone() };
    let mut session = Session::new(Box::new(source), sink, options);
    let buffer: BufferId = guest.announce(&painter.borrow().memory);
    let mut shown = Vec::new();
    for _ in 0..30 {
        assert!(painter.borrow().may_draw());
        painter.borrow_mut().draw();
        let drawn = painter.borrow().frame;
        let update = guest.update(buffer);
        painter.borrow_mut().update = update;
        let end = Instant::now() + PATIENCE;
        while !log.has(Seen::Ack(update)) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for an ack: {:?}", log.all());
            session.turn(Some(left), None).unwrap();
        }
        while let Some(frame) = session.sink().sink.sink.take_frame() {
            shown.push((drawn, seen(&frame)));
        }
    }
    let painter = painter.borrow();
    Played { shown, chances: painter.chances, taken: painter.taken }
}

/// The user sees whole frames only, because the guest gets its ack when the copy is complete and not
/// before; of a guest that doesn't wait for it they are torn, and then that is seen.
#[test]
fn f05_45_who_draws_during_a_copy_tears_and_who_waits_for_acks_never_does() {
    let Played { shown, chances, taken } = play(true);
    assert_eq!((chances, taken), (30, 0));
    assert_eq!(shown.len(), 30);
    for (drawn, seen) in shown {
        assert_eq!(seen.ok(), Some(drawn));
    }
    let Played { shown, chances, taken } = play(false);
    assert_eq!((chances, taken), (30, 30));
    assert_eq!(shown.len(), 30);
    for (drawn, seen) in shown {
        assert!(seen.is_err(), "half of frame {drawn} and half of the next is {seen:?}");
    }
}
