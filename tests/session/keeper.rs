//! A sink that is no compositor: it hands each frame on, and those who have it keep it as they like, as
//! the elements of a GStreamer pipeline do.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use fanlight::frame::{CommitId, Damage, ImportId, StorageId};
use fanlight::port::{Buffer, Sink, SinkEvent, SourceEvent};
use fanlight::session::{Config, Mode, Options, Present, Session, Why};
use fanlight::sink::memory::MemorySink;

use crate::compositor::PATIENCE;
use crate::script::{self, Guest};
use crate::spies::{Log, Seen, SpiedSink, SpiedSource};
use crate::stage::{AT_ONCE, Memory};

const SIZE: (u32, u32) = (64, 48);

/// Takes the guest's memory as it is.
#[derive(Default)]
struct Keeper {
    /// Its copies.
    memory: MemorySink,
    events: VecDeque<SinkEvent>,
    kept: Vec<CommitId>,
    /// Lets go of all but the newest.
    lets_go: bool,
}

impl Keeper {
    fn let_go(&mut self) {
        let newest = self.kept.pop();
        self.events.extend(self.kept.drain(..).map(SinkEvent::Released));
        self.kept.extend(newest);
    }

    fn keep(&mut self, commit: CommitId) {
        self.kept.push(commit);
        if self.lets_go {
            self.let_go();
        }
    }
}

impl Sink for Keeper {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        while let Some(event) = self.memory.poll() {
            match event {
                SinkEvent::Released(commit) => self.keep(commit),
                event => return Some(event),
            }
        }
        self.events.pop_front()
    }

    fn flush(&mut self) {}

    fn import(&mut self, import: ImportId, _: &Buffer) {
        self.events.push_back(SinkEvent::Imported(import));
    }

    fn show(&mut self, commit: CommitId, _: ImportId, _: &Buffer, _: &Damage) {
        self.events.push_back(SinkEvent::Presented(commit));
        self.keep(commit);
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        self.memory.copy(target, buffer, damage);
    }

    fn show_copy(&mut self, commit: CommitId, target: u8, buffer: &Buffer, damage: &Damage) {
        self.memory.show_copy(commit, target, buffer, damage);
    }

    fn blank(&mut self) {}

    fn forget(&mut self, storage: StorageId) {
        self.memory.forget(storage);
    }
}

struct Pipeline {
    session: Session<SpiedSink<Keeper>>,
    guest: Guest,
    log: Log,
}

impl Pipeline {
    fn open() -> Self {
        let (source, guest) = script::guest();
        let log = Log::default();
        let source = SpiedSource { source: Box::new(source), log: log.clone(), updates: 0 };
        let sink = SpiedSink { sink: Keeper::default(), log: log.clone() };
        // A slow machine needs no more between an announcement and its update, or for a frame.
        let ack_deadline = Duration::from_millis(100);
        let config = Config { ack_deadline, ..AT_ONCE };
        let options = Options { present: Present::Direct, config };
        Self { session: Session::new(Box::new(source), sink, options), guest, log }
    }

    /// Waits until an update is acked.
    fn acked(&mut self, update: u64) {
        let end = Instant::now() + PATIENCE;
        while !self.log.has(Seen::Ack(update)) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "update {update} is never acked: {:?}", self.log.all());
            self.session.turn(Some(left), None).unwrap();
        }
    }
}

/// The user sees frames late or left out, and the newest when the pipeline goes on; the guest gets each
/// ack at its deadline, and at once when nothing is kept any more. What is kept is not let go under it.
#[test]
fn f05_48_a_pipeline_that_keeps_buffers_for_long_holds_no_guest_up() {
    let mut pipeline = Pipeline::open();
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let (first, update) = pipeline.guest.flip(&memories[0]);
    pipeline.acked(update);
    // Ten deadlines pass: to the guest as long as ever is.
    for i in 1..=10 {
        let (_, update) = pipeline.guest.flip(&memories[i % 2]);
        pipeline.acked(update);
        assert_eq!(pipeline.session.stats().counts.forced_acks, i as u64);
    }
    let counts = pipeline.session.stats().counts;
    assert_eq!(pipeline.session.stats().mode, Some((Mode::Copy, Why::Late)));
    // The first picture came with its scanout, and once more with its update.
    let kept = &pipeline.session.sink().sink.kept;
    assert_eq!(kept.len(), 3 + 2, "the guest's, and of ours all but what is shown: {kept:?}");
    assert_eq!(counts.dropped_frames, 10 - 3);

    // Its pages go meanwhile: whoever has them may still read.
    let (dev, ino) = memories[0].inode();
    let forget = Seen::Forget(StorageId { dev, ino, others: 0 });
    pipeline.guest.say(SourceEvent::Replaced(first));
    let (buffer, update) = pipeline.guest.flip(&memories[0]);
    pipeline.acked(update);
    pipeline.guest.say(SourceEvent::Replaced(buffer));
    let (_, update) = pipeline.guest.flip(&memories[1]);
    pipeline.acked(update);
    assert!(!pipeline.log.has(forget));

    // It goes on.
    let forced = pipeline.session.stats().counts.forced_acks;
    memories[1].paint(99);
    pipeline.session.sink().sink.lets_go = true;
    pipeline.session.sink().sink.let_go();
    while pipeline.session.sink().sink.memory.take_frame().is_some() {}
    let (_, update) = pipeline.guest.flip(&memories[1]);
    pipeline.acked(update);
    assert!(pipeline.log.has(forget));
    let mut newest = None;
    while let Some(frame) = pipeline.session.sink().sink.memory.take_frame() {
        newest = Some(frame);
    }
    assert_eq!(newest.expect("a frame").pixels, memories[1].rows().concat());
    // After so many frames in time the guest's memory is handed on again.
    let third = Memory::new(SIZE);
    let end = Instant::now() + PATIENCE;
    for i in 0.. {
        assert!(Instant::now() < end, "it is never direct again");
        let (_, update) = pipeline.guest.flip(if i % 2 == 0 { &third } else { &memories[1] });
        pipeline.acked(update);
        if pipeline.session.stats().mode == Some((Mode::Direct, Why::Asked)) {
            break;
        }
    }
    assert_eq!(pipeline.session.stats().counts.forced_acks, forced);
}
