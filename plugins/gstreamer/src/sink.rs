//! The pipeline as a sink of the session: the guest's memory, or a copy of it, becomes frames in the mailbox.

mod copies;
mod files;
mod gpu;
mod import;
mod ways;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use fanlight::convert::cpu::Readers;
use fanlight::frame::{CommitId, Damage, ImportId, Leds, Pointing, StorageId, TARGETS, Transform};
use fanlight::port::{Buffer, Sink, SinkEvent};
use fanlight::session::Present;
use fanlight::sink::late::Late;

use self::copies::{Drawing, Target};
use self::gpu::Gpu;
use self::import::Import;
pub(crate) use self::ways::{Manner, Takes, Ways, Wish};
use crate::caps;
use crate::inbox::News;
use crate::mailbox::Frame;
use crate::settings::AckMode;

/// A memory of a commit that somebody downstream has.
#[derive(Debug)]
struct Lent {
    commit: CommitId,
    import: Option<ImportId>,
}

/// The pipeline.
#[derive(Debug)]
pub(crate) struct GstSink {
    ways: Ways,
    manner: Manner,
    imports: Vec<Import>,
    targets: [Option<Target>; TARGETS],
    readers: Readers,
    gpu: Gpu,
    paused: bool,
    /// What the user was told last.
    warned: Option<String>,
    late: Option<Late>,
    drawing: Option<Drawing>,
    lent: Vec<Lent>,
    /// Releases that are told when the deadline comes ([`AckMode::Deadline`]).
    held_back: VecDeque<(Instant, CommitId)>,
    drawn: Option<(CommitId, Instant)>,
    /// What the last frame was of, if not a copy.
    shown: Option<ImportId>,
    events: VecDeque<SinkEvent>,
    wishes: VecDeque<Wish>,
}

impl GstSink {
    pub(crate) fn new(ways: Ways, manner: Manner) -> Self {
        Self {
            ways,
            manner,
            imports: Vec::new(),
            targets: [const { None }; TARGETS],
            readers: Readers::default(),
            gpu: Gpu::new(crate::open_blitter()),
            paused: true,
            warned: None,
            late: None,
            drawing: None,
            lent: Vec::with_capacity(16),
            held_back: VecDeque::with_capacity(16),
            drawn: None,
            shown: None,
            // Until the pipeline plays.
            events: VecDeque::from([SinkEvent::Hidden(true)]),
            wishes: VecDeque::new(),
        }
    }

    pub(crate) fn take_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    pub(crate) fn set_present(&mut self, present: Present) {
        self.manner.present = present;
    }

    /// When [`poll`](Sink::poll) has something though nothing happens.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        let (at, _) = self.held_back.front()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Readable when a copy that waits for its guest's driver can be made, or one that the GPU makes is complete.
    pub(crate) fn fence(&self) -> Option<OwnedFd> {
        let late = self.late.as_ref().and_then(Late::fd);
        let drawing = self.drawing.as_ref().map(|drawing| drawing.fence.as_fd());
        late.or(drawing)?.try_clone_to_owned().ok()
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Returned(commit) => self.returned(commit),
            // What is told when it is back, so that also a guest that draws in place waits for it.
            News::Pushed(_) if self.manner.ack == AckMode::Release => {}
            News::Pushed(commit) => {
                self.events.push_back(SinkEvent::Presented(commit));
                if self.manner.ack == AckMode::Push {
                    self.events.push_back(SinkEvent::Released(commit));
                }
            }
            News::Paused(paused) => {
                self.paused = paused;
                self.tell_hidden();
            }
            News::CapsChanged => self.takes_changed(),
            News::Redraw => self.events.push_back(SinkEvent::Redraw),
            News::Opened => self.wishes.push_back(Wish::Open),
            News::Input(input) => self.events.push_back(SinkEvent::Input(input)),
            News::Present(present) => self.wishes.push_back(Wish::Present(present)),
            News::Stats(to) => self.wishes.push_back(Wish::Stats(to)),
            News::Stop => self.events.push_back(SinkEvent::Closed(None)),
        }
    }

    /// Frames are of no use while nobody takes them, or before it is known as what.
    fn tell_hidden(&mut self) {
        let hidden = self.paused || self.ways.downstream.get().is_none();
        self.events.push_back(SinkEvent::Hidden(hidden));
    }

    /// Downstream takes something else than before.
    fn takes_changed(&mut self) {
        self.tell_hidden();
        self.events.push_back(SinkEvent::OffersChanged);
        let Some(takes) = self.ways.downstream.get() else { return };
        for import in &mut self.imports {
            if !import.suits(&takes) {
                let reason = format!("downstream now takes {}", takes.caps);
                self.events.push_back(SinkEvent::Refused { import: import.id, reason });
            }
        }
        for target in self.targets.iter_mut().flatten() {
            target.agreed = None;
        }
    }

    /// A memory came back: its import's last commit is released when none of that import's is out.
    fn returned(&mut self, commit: CommitId) {
        let Some(at) = self.lent.iter().position(|lent| lent.commit == commit) else { return };
        let Lent { import, .. } = self.lent.remove(at);
        let out = |lent: &Lent| import.is_some() && lent.import == import;
        // An import that is shown again in place counts as one reader: until the last is back.
        if self.lent.iter().any(out) {
            return;
        }
        if self.manner.ack == AckMode::Release {
            self.events.push_back(SinkEvent::Presented(commit));
        }
        if self.manner.ack == AckMode::Deadline && import.is_some() {
            self.held_back.push_back((Instant::now() + self.manner.ack_deadline, commit));
        } else {
            self.events.push_back(SinkEvent::Released(commit));
        }
    }

    fn drawn_at(&mut self, commit: CommitId) -> Instant {
        let drawn = self.drawn.take_if(|(of, _)| *of == commit);
        drawn.map_or_else(Instant::now, |(_, at)| at)
    }

    fn push(&mut self, frame: Frame, import: Option<ImportId>) {
        let commit = frame.commit;
        // Until its turn comes it may wait longer than a sink that is stuck.
        let paced = self.manner.paced || caps::fixed_rate(&frame.agreed.caps).is_some();
        // Each comes back by itself.
        self.lent.extend(frame.memories.iter().flatten().map(|_| Lent { commit, import }));
        self.ways.mailbox.push(frame);
        if paced {
            self.events.push_back(SinkEvent::Presented(commit));
        }
    }

    /// Nothing could be shown: as if it had been, and were over.
    fn skip(&mut self, commit: CommitId) {
        self.events.push_back(SinkEvent::Presented(commit));
        self.events.push_back(SinkEvent::Released(commit));
    }
}

impl Sink for GstSink {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ways.inbox.as_fd())
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if let Some(Late { target, buffer, damage }) = self.late.take_if(|late| late.is_due()) {
                self.copy_now(target, &buffer, &damage);
            } else if let Some(drawing) = self.drawing.take_if(|drawing| drawing.is_complete()) {
                self.end_drawing(drawing);
            } else if let Some((_, commit)) =
                self.held_back.pop_front_if(|(at, _)| *at <= Instant::now())
            {
                self.events.push_back(SinkEvent::Released(commit));
            } else if let Some(news) = self.ways.inbox.take() {
                self.hear(news);
                if !self.wishes.is_empty() {
                    return Some(SinkEvent::Wanted);
                }
            } else {
                return None;
            }
        }
    }

    fn flush(&mut self) {}

    fn import(&mut self, import: ImportId, buffer: &Buffer) {
        let answer = match self.imported(import, buffer) {
            Ok(imported) => {
                self.imports.retain(|known| known.id != import);
                self.imports.push(imported);
                SinkEvent::Imported(import)
            }
            Err(reason) => SinkEvent::Refused { import, reason },
        };
        self.events.push_back(answer);
    }

    fn show(&mut self, commit: CommitId, import: ImportId, buffer: &Buffer, damage: &Damage) {
        let drawn = self.drawn_at(commit);
        let known = self.imports.iter_mut().find(|known| known.id == import);
        let Some(known) = known else { return self.skip(commit) };
        let Some(picture) = known.files.picture(&known.layout, buffer) else {
            return self.skip(commit);
        };
        if known.picture != picture {
            // Another part of the same memory is visible now.
            let takes = self.ways.downstream.get();
            let offers = caps::direct(&known.layout, picture.size, self.manner.rate);
            if takes.is_none_or(|takes| !known.show_part(&picture, offers, &takes)) {
                return self.skip(commit);
            }
        }
        let agreed = known.agreed.clone();
        let again = self.shown == Some(import);
        let inbox = &self.ways.inbox;
        let memories = known.lend(commit, again, &buffer.storage, inbox);
        self.shown = Some(import);
        let Some(memories) = memories else { return self.skip(commit) };
        let damage = damage.seen(buffer.visible, Transform::Normal);
        let buffer = buffer.id;
        let (copied, ready) = (false, Instant::now());
        let frame =
            Frame { memories, agreed, picture, copied, commit, buffer, damage, drawn, ready };
        self.push(frame, Some(import));
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        self.late = Late::new(target, buffer, damage);
        if self.late.is_none() {
            self.copy_now(target, buffer, damage);
        }
    }

    fn show_copy(&mut self, commit: CommitId, target: u8, buffer: &Buffer, damage: &Damage) {
        self.push_copy(commit, target, buffer, damage);
    }

    fn drawn(&mut self, commit: CommitId, at: Instant) {
        self.drawn = Some((commit, at));
    }

    fn blank(&mut self) {
        if let Some(cleared) = self.ways.mailbox.clear() {
            self.events.push_back(SinkEvent::Presented(cleared));
        }
    }

    fn forget(&mut self, storage: StorageId) {
        self.imports.retain(|import| import.id.storage != storage);
        self.readers.forget(storage);
        self.gpu.forget(storage);
    }

    fn set_cursor(&mut self, cursor: Option<&fanlight::frame::Cursor>) {
        self.ways.cursors.set(cursor);
        self.ways.mailbox.cursor_moved();
    }

    fn move_cursor(&mut self, x: i32, y: i32, visible: bool) {
        self.ways.cursors.move_to(x, y, visible);
        self.ways.mailbox.cursor_moved();
    }

    fn set_pointing(&mut self, pointing: Pointing) {
        self.ways.habits.set_pointing(pointing);
    }

    fn set_leds(&mut self, leds: Option<Leds>) {
        self.ways.habits.set_caps(leds.is_some_and(|leds| leds.caps));
    }
}
