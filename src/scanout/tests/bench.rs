//! A machine on the bench: a guest and a sink that do as the test says, and a clock that it owns.

use super::*;
use crate::frame::{Format, ImportId, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};

pub(super) const SINK: SinkId = SinkId(1);
pub(super) const A: u64 = 1;
pub(super) const B: u64 = 2;
pub(super) const C: u64 = 3;
pub(super) const SIZE: Size = Size { width: 64, height: 64 };

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A picture in the storage of this inode, written by the CPU.
pub(super) fn announced(buffer: BufferId, ino: u64) -> Announced {
    Announced {
        buffer,
        storage: StorageId { dev: 0, ino, others: 0 },
        layout: Layout {
            size: SIZE,
            format: Format::XRGB8888,
            modifier: Modifier::LINEAR,
            planes: [Plane::default(); PLANES_MAX],
            plane_count: 1,
        },
        visible: Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height },
        transform: Transform::Normal,
        fenced: false,
    }
}

/// What the machine did, with storages by their inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Import(u64, u8),
    Show(u64),
    Copy(u64),
    ShowCopy(u64),
    Blank,
    Ack { forced: bool },
    Refuse,
    Retire(u64),
}

pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) now: Time,
    pub(super) slow_copies: bool,
    pub(super) slow_imports: bool,
    pub(super) fail_copies: bool,
    pub(super) fail_imports: bool,
    pub(super) fenced: bool,
    /// Unreleased commits, with the guest's storage where they are direct.
    pub(super) held: Vec<(CommitId, Option<u64>)>,
    handles: Vec<(CommitId, ImportId)>,
    pub(super) current: u64,
    pub(super) last_damage: Option<Damage>,
    /// Since when what was shown last is wanted.
    pub(super) last_wanted: Time,
    pub(super) last_copied: Option<Damage>,
    did: Vec<Did>,
    copying: Vec<(u8, u64)>,
    importing: Vec<ImportId>,
    newest: CommitId,
    next: u64,
    buffers: Vec<(BufferId, u64)>,
}

impl Bench {
    pub(super) fn viewer(present: Present) -> Self {
        Self::with(Config::VIEWER, present)
    }

    pub(super) fn with(config: Config, present: Present) -> Self {
        let mut machine = Machine::new(config);
        machine.handle(Time::ZERO, Input::Attach(SINK, present));
        Self {
            machine,
            now: Time::ZERO,
            slow_copies: false,
            slow_imports: false,
            fail_copies: false,
            fail_imports: false,
            fenced: false,
            held: Vec::new(),
            handles: Vec::new(),
            current: 0,
            last_damage: None,
            last_wanted: Time::ZERO,
            last_copied: None,
            did: Vec::new(),
            copying: Vec::new(),
            importing: Vec::new(),
            newest: CommitId(0),
            next: 1,
            buffers: Vec::new(),
        }
    }

    /// A guest that has flipped between A and B for a while; A is shown, directly.
    pub(super) fn flipping(present: Present) -> Self {
        let mut bench = Self::viewer(present);
        for storage in [A, B, A, B, A] {
            bench.flip(storage);
            bench.present();
            let current = bench.current;
            bench.release_where(|storage| storage != Some(current));
        }
        assert_eq!(bench.mode().0, Mode::Direct);
        bench.take();
        bench
    }

    pub(super) fn mode(&self) -> (Mode, Why) {
        self.machine.mode(SINK).expect("a scanout")
    }

    pub(super) fn scanout(&mut self, storage: u64) -> BufferId {
        let announced = self.announcement(storage);
        self.machine.handle(self.now, Input::Scanout(announced));
        self.drain();
        announced.buffer
    }

    /// A new buffer in this storage, current from now on.
    pub(super) fn announcement(&mut self, storage: u64) -> Announced {
        let buffer = BufferId(self.next);
        self.next += 1;
        self.buffers.push((buffer, storage));
        self.current = storage;
        Announced { fenced: self.fenced, ..announced(buffer, storage) }
    }

    pub(super) fn update(&mut self, storage: u64) {
        self.update_with(storage, Damage::Whole);
    }

    pub(super) fn update_with(&mut self, storage: u64, damage: Damage) {
        let &(buffer, current) = self.buffers.last().expect("a scanout came before");
        assert_eq!(current, storage, "the test draws into the current buffer");
        self.send_update(buffer, damage);
    }

    pub(super) fn update_of(&mut self, buffer: BufferId) {
        self.send_update(buffer, Damage::Whole);
    }

    fn send_update(&mut self, buffer: BufferId, damage: Damage) {
        let update = UpdateId(self.next);
        self.next += 1;
        self.machine.handle(self.now, Input::Update { update, buffer, damage, owed: true });
        self.drain();
    }

    pub(super) fn flip(&mut self, storage: u64) {
        self.scanout(storage);
        self.update(storage);
    }

    /// Lets time pass, with a tick whenever the machine wants one.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(wakeup) = self.machine.wakeup().filter(|&wakeup| wakeup <= end) {
            assert!(wakeup > self.now, "a wakeup lies ahead");
            self.now = wakeup;
            self.machine.handle(self.now, Input::Tick);
            self.drain();
        }
        self.now = end;
    }

    fn hold(&mut self, commit: CommitId, import: ImportId) {
        // Committed again: what is released in the end is the latest.
        let before = |held: &CommitId| self.handles.contains(&(*held, import));
        self.held.retain(|(held, _)| !before(held));
        self.handles.push((commit, import));
        self.held.push((commit, Some(import.storage.ino)));
    }

    pub(super) fn present(&mut self) {
        self.machine.handle(self.now, Input::Presented(SINK, self.newest));
        self.drain();
    }

    pub(super) fn release(&mut self, storage: u64) {
        self.release_where(|held| held == Some(storage));
    }

    /// Everything but what is on the screen.
    pub(super) fn release_all(&mut self) {
        let newest = self.newest;
        while let Some(i) = self.held.iter().position(|(commit, _)| *commit != newest) {
            self.release_nth(i);
        }
    }

    pub(super) fn release_where(&mut self, which: impl Fn(Option<u64>) -> bool) {
        while let Some(i) = self.held.iter().position(|(_, storage)| which(*storage)) {
            self.release_nth(i);
        }
    }

    fn release_nth(&mut self, i: usize) {
        let (commit, _) = self.held.remove(i);
        self.machine.handle(self.now, Input::Released(SINK, commit));
        self.drain();
    }

    pub(super) fn finish_copy(&mut self) {
        let (target, _) = self.copying.remove(0);
        self.input(Input::Copied(SINK, target, 1));
    }

    pub(super) fn finish_copies(&mut self) {
        while !self.copying.is_empty() {
            self.finish_copy();
        }
    }

    pub(super) fn finish_imports(&mut self) {
        while let Some(import) = self.importing.pop() {
            self.input(Input::Imported(SINK, import));
        }
    }

    /// The pages of what is current are no longer the guest's.
    pub(super) fn replace(&mut self) {
        let &(buffer, _) = self.buffers.last().expect("a scanout came before");
        self.input(Input::Replaced(buffer));
    }

    pub(super) fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        self.drain();
    }

    pub(super) fn release_one(&mut self, i: usize) {
        if i < self.held.len() {
            self.release_nth(i);
        }
    }

    /// The latest direct commit.
    pub(super) fn shown(&self) -> (CommitId, ImportId) {
        *self.handles.last().expect("a direct commit")
    }

    /// What must hold whenever nothing is left to do.
    pub(super) fn check(&self) {
        if let Some(wakeup) = self.machine.wakeup() {
            assert!(wakeup > self.now, "the machine wants to be woken in the past");
        }
        assert!(self.copying.len() <= 1, "one copy at a time");
        let targets = self.held.iter().filter(|(_, storage)| storage.is_none()).count();
        assert!(targets <= crate::frame::TARGETS, "{targets} targets are held");
    }

    /// What the sink reads of the guest's memory now.
    fn reads(&self, storage: u64) -> bool {
        self.held.iter().any(|(_, held)| *held == Some(storage))
            || self.copying.iter().any(|(_, copied)| *copied == storage)
    }

    /// An ack that was not forced says that the guest may write all but the current buffer.
    fn check_ack(&self) {
        let others = self.held.iter().filter_map(|(_, storage)| *storage);
        let others = others.chain(self.copying.iter().map(|(_, storage)| *storage));
        for storage in others {
            assert_eq!(storage, self.current, "acked while storage {storage} is still read");
        }
    }

    /// What was done since the last call.
    pub(super) fn take(&mut self) -> Vec<Did> {
        std::mem::take(&mut self.did)
    }

    fn ino(&self, buffer: BufferId) -> u64 {
        self.buffers.iter().find(|(id, _)| *id == buffer).expect("an announced buffer").1
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            let mut answer = None;
            let did = match output {
                Output::Import { import, .. } => {
                    if self.slow_imports {
                        self.importing.push(import);
                    } else {
                        answer = Some(if self.fail_imports {
                            Input::Refused(SINK, import)
                        } else {
                            Input::Imported(SINK, import)
                        });
                    }
                    Did::Import(import.storage.ino, import.slot)
                }
                Output::Show { commit, import, damage, wanted, .. } => {
                    assert_eq!(
                        import.storage.ino, self.current,
                        "only the current buffer is shown"
                    );
                    self.newest = commit;
                    self.last_damage = Some(damage);
                    self.last_wanted = wanted;
                    self.hold(commit, import);
                    Did::Show(import.storage.ino)
                }
                Output::Copy { target, buffer, damage, .. } => {
                    self.last_copied = Some(damage);
                    if self.fail_copies {
                        answer = Some(Input::CopyFailed(SINK, target));
                    } else if self.slow_copies {
                        self.copying.push((target, self.ino(buffer)));
                    } else {
                        answer = Some(Input::Copied(SINK, target, 1));
                    }
                    Did::Copy(self.ino(buffer))
                }
                Output::ShowCopy { commit, buffer, damage, wanted, .. } => {
                    assert_eq!(self.ino(buffer), self.current, "only the current buffer is shown");
                    self.newest = commit;
                    self.last_damage = Some(damage);
                    self.last_wanted = wanted;
                    self.held.push((commit, None));
                    Did::ShowCopy(self.ino(buffer))
                }
                Output::Blank(_) => Did::Blank,
                Output::Ack { forced, .. } => {
                    if !forced {
                        self.check_ack();
                    }
                    Did::Ack { forced }
                }
                Output::Refuse(_) => Did::Refuse,
                Output::Retire(storage) => {
                    assert!(!self.reads(storage.ino), "retired while it is read");
                    Did::Retire(storage.ino)
                }
            };
            self.did.push(did);
            if let Some(answer) = answer {
                self.machine.handle(self.now, answer);
            }
        }
    }
}
