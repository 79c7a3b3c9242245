//! The pipeline as a sink of the session: the guest's memory, or a copy of it, becomes frames in the mailbox.

mod copies;
mod files;
mod gpu;
mod import;
mod ways;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

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
#[derive(Clone, Copy, Debug)]
struct Lent {
    commit: CommitId,
    import: Option<ImportId>,
    /// What is released once no memory of its import is out: that one's newest commit.
    release: CommitId,
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
    /// Of the commit that comes next: when it was drawn, and since when it is wanted.
    drawn: Option<(CommitId, Instant, Instant)>,
    /// When something came back though all memory of ours had been out.
    room: Option<Instant>,
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
            drawn: None,
            room: None,
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

    /// Readable when a copy that waits for its guest's driver can be made, or one that the GPU makes is complete.
    pub(crate) fn fence(&self) -> Option<OwnedFd> {
        let late = self.late.as_ref().and_then(Late::fd);
        let drawing = self.drawing.as_ref().map(|drawing| drawing.fence.as_fd());
        late.or(drawing)?.try_clone_to_owned().ok()
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Returned(commit) => self.returned(commit),
            News::Pushed(commit) => {
                self.events.push_back(SinkEvent::Presented(commit));
                // Who has a copy of ours keeps it from nobody but us, who may not write to it.
                let direct = |lent: &Lent| lent.commit == commit && lent.import.is_some();
                if self.manner.ack == AckMode::Push && self.lent.iter().any(direct) {
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
        if self.lent.iter().filter(|lent| lent.import.is_none()).count() >= TARGETS {
            self.room = Some(Instant::now());
        }
        let Lent { import, release, .. } = self.lent.remove(at);
        let known = self.imports.iter_mut().find(|known| Some(known.id) == import);
        if known.is_some_and(|known| std::mem::take(&mut known.exhausted)) {
            self.events.push_back(SinkEvent::OffersChanged);
        }
        let out = |lent: &Lent| import.is_some() && lent.import == import;
        // An import that is shown again in place counts as one reader: until the last is back.
        if self.lent.iter().any(out) {
            return;
        }
        self.events.push_back(SinkEvent::Released(release));
    }

    /// When what `commit` shows was drawn, and since when it is wanted: that there was no room for it is no age of its.
    fn drawn_at(&mut self, commit: CommitId) -> (Instant, Instant) {
        let told = self.drawn.take_if(|(of, ..)| *of == commit);
        let now = Instant::now();
        let (drawn, wanted) = told.map_or((now, now), |(_, drawn, wanted)| (drawn, wanted));
        (drawn, self.room.map_or(wanted, |room| room.max(wanted)))
    }

    /// From now on the memories of an import that are out, if any, are its new commit's.
    fn read_as(&mut self, import: ImportId, commit: CommitId) -> bool {
        let mut any = false;
        for lent in self.lent.iter_mut().filter(|lent| lent.import == Some(import)) {
            lent.release = commit;
            any = true;
        }
        any
    }

    fn push(&mut self, frame: Frame, import: Option<ImportId>) {
        let commit = frame.commit;
        // Until its turn comes it may wait longer than a sink that is stuck.
        let paced = self.manner.paced || caps::fixed_rate(&frame.agreed.caps).is_some();
        // Each comes back by itself.
        let lent = Lent { commit, import, release: commit };
        self.lent.extend(frame.memories.iter().flatten().map(|_| lent));
        if let Some(import) = import {
            self.read_as(import, commit);
        }
        self.ways.mailbox.push(frame);
        if paced {
            self.events.push_back(SinkEvent::Presented(commit));
        }
    }

    /// There is no memory of this import left: the frame comes as a copy, and so do others until some is back.
    fn exhausted(&mut self, commit: CommitId, import: ImportId) {
        self.events.push_back(SinkEvent::Presented(commit));
        if !self.read_as(import, commit) {
            self.events.push_back(SinkEvent::Released(commit));
        }
        if let Some(known) = self.imports.iter_mut().find(|known| known.id == import) {
            known.exhausted = true;
        }
        let reason = "downstream has all memory that there is of it".to_owned();
        self.events.extend([SinkEvent::Refused { import, reason }, SinkEvent::Redraw]);
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
        let (drawn, since) = self.drawn_at(commit);
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
        let Some(memories) = memories else { return self.exhausted(commit, import) };
        let damage = damage.seen(buffer.visible, Transform::Normal);
        let buffer = buffer.id;
        let (copied, ready) = (false, Instant::now());
        let frame = Frame {
            memories,
            agreed,
            picture,
            copied,
            commit,
            buffer,
            damage,
            drawn,
            since,
            ready,
        };
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

    fn drawn(&mut self, commit: CommitId, at: Instant, wanted: Instant) {
        self.drawn = Some((commit, at, wanted));
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
