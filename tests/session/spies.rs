//! Between the session and its two neighbours: they pass everything on, and write down in which
//! order it happened.

use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use fanlight::frame::{
    Clipboard, CommitId, Cursor, Damage, ImportId, Input, Leds, Memory, Pointing, SizeHint,
    Storage, StorageId,
};
use fanlight::port::{Ack, Buffer, Settle, Sink, SinkEvent, Source, SourceEvent, Verdict};

/// What went by. Commits by their ids, updates counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Scanout,
    Update(u64),
    Lost,
    Ack(u64),
    Refused(u64),
    Import,
    Show(u64),
    Copied(u64),
    CopyFailed,
    ShowCopy(u64),
    Released(u64),
    Blank,
    Forget(StorageId),
    /// Its first byte.
    Cursor(u8),
    CursorAt(i32, i32),
    Pointing,
    Leds,
    Retired(StorageId),
}

/// Everything that went by so far, in that order.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    fn add(&self, seen: Seen) {
        self.0.lock().unwrap().push(seen);
    }

    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, matches: impl Fn(&Seen) -> bool) -> usize {
        self.all().iter().filter(|seen| matches(seen)).count()
    }

    pub fn has(&self, wanted: Seen) -> bool {
        self.count(|seen| *seen == wanted) > 0
    }

    /// Where it stands; it went by exactly once.
    pub fn place(&self, wanted: Seen) -> usize {
        let all = self.all();
        let mut places = (0..all.len()).filter(|&i| all[i] == wanted);
        match (places.next(), places.next()) {
            (Some(place), None) => place,
            other => panic!("{wanted:?} at {other:?} of {all:?}"),
        }
    }
}

pub struct SpiedSource {
    pub source: Box<dyn Source>,
    pub log: Log,
    pub updates: u64,
}

impl Source for SpiedSource {
    fn fd(&self) -> BorrowedFd<'_> {
        self.source.fd()
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        Some(match self.source.poll()? {
            SourceEvent::Update { buffer, damage, ack } => {
                self.updates += 1;
                self.log.add(Seen::Update(self.updates));
                let ack = if ack.is_owed() {
                    let spied = SpiedAck { ack: Mutex::new(Some(ack)), log: self.log.clone() };
                    Ack::new(Arc::new(spied), self.updates)
                } else {
                    ack
                };
                SourceEvent::Update { buffer, damage, ack }
            }
            event @ SourceEvent::Scanout(_) => {
                self.log.add(Seen::Scanout);
                event
            }
            event @ SourceEvent::Lost(_) => {
                self.log.add(Seen::Lost);
                event
            }
            other => other,
        })
    }

    fn resize(&mut self, hint: &SizeHint) {
        self.source.resize(hint);
    }

    fn send(&mut self, input: &Input) {
        self.source.send(input);
    }

    fn clipboard(&mut self, happened: Clipboard) {
        self.source.clipboard(happened);
    }

    fn retired(&mut self, storage: StorageId) {
        self.log.add(Seen::Retired(storage));
        self.source.retired(storage);
    }
}

struct SpiedAck {
    ack: Mutex<Option<Ack>>,
    log: Log,
}

impl Settle for SpiedAck {
    fn settle(&self, update: u64, verdict: Verdict) {
        self.log.add(match verdict {
            Verdict::Done => Seen::Ack(update),
            Verdict::Refused => Seen::Refused(update),
        });
        let ack = self.ack.lock().unwrap().take();
        ack.expect("each update is settled once").settle(verdict);
    }
}

/// A memfd that passes for a dma-buf is told to the sink as what it is when it is to be read, because
/// the kernel knows no CPU access of a dma-buf for it.
pub struct SpiedSink<K> {
    pub sink: K,
    pub log: Log,
}

impl<K: Sink> Sink for SpiedSink<K> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sink.fd()
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        let event = self.sink.poll()?;
        match &event {
            SinkEvent::Copied { bytes, .. } => self.log.add(Seen::Copied(*bytes)),
            SinkEvent::CopyFailed { .. } => self.log.add(Seen::CopyFailed),
            SinkEvent::Released(commit) => self.log.add(Seen::Released(commit.0)),
            _ => {}
        }
        Some(event)
    }

    fn flush(&mut self) {
        self.sink.flush();
    }

    fn import(&mut self, import: ImportId, buffer: &Buffer) {
        self.log.add(Seen::Import);
        self.sink.import(import, buffer);
    }

    fn show(&mut self, commit: CommitId, import: ImportId, buffer: &Buffer, damage: &Damage) {
        self.log.add(Seen::Show(commit.0));
        self.sink.show(commit, import, buffer, damage);
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        let Memory::DmaBuf { .. } = buffer.storage.memory else {
            return self.sink.copy(target, buffer, damage);
        };
        let Storage { id, size, fds, .. } = &*buffer.storage;
        let fds = fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
        let memory = Memory::Memfd { shrink_sealed: true };
        let storage = Rc::new(Storage { id: *id, memory, size: *size, fds });
        self.sink.copy(target, &Buffer { storage, ..buffer.clone() }, damage);
    }

    fn show_copy(&mut self, commit: CommitId, target: u8, buffer: &Buffer, damage: &Damage) {
        self.log.add(Seen::ShowCopy(commit.0));
        self.sink.show_copy(commit, target, buffer, damage);
    }

    fn blank(&mut self) {
        self.log.add(Seen::Blank);
        self.sink.blank();
    }

    fn forget(&mut self, storage: StorageId) {
        self.log.add(Seen::Forget(storage));
        self.sink.forget(storage);
    }

    fn set_cursor(&mut self, cursor: Option<&Cursor>) {
        if let Some(cursor) = cursor {
            self.log.add(Seen::Cursor(cursor.pixels[0]));
        }
        self.sink.set_cursor(cursor);
    }

    fn set_leds(&mut self, leds: Option<Leds>) {
        self.log.add(Seen::Leds);
        self.sink.set_leds(leds);
    }

    fn set_pointing(&mut self, pointing: Pointing) {
        self.log.add(Seen::Pointing);
        self.sink.set_pointing(pointing);
    }

    fn clipboard(&mut self, happened: Clipboard) {
        self.sink.clipboard(happened);
    }

    fn move_cursor(&mut self, x: i32, y: i32, visible: bool) {
        self.log.add(Seen::CursorAt(x, y));
        self.sink.move_cursor(x, y, visible);
    }
}
