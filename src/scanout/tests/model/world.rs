//! The world around a machine that is checked: what lies in guest memory, who reads it, and what is on
//! each screen. It knows nothing of the machine's books; whatever breaks a promise, it sees in pixels.
//!
//! A picture is two tiles, each the number of the frame that painted it last. Frame `n` paints tile
//! `n % 2`. Copies and drawing take time: what reads while it is written is torn.

mod outputs;
mod sinks;

use super::super::bench::{announced, ms};
use super::super::*;
use crate::frame::{ImportId, Rect, TARGETS};

pub(super) type Picture = [u8; 2];
/// A tile that was torn where that is allowed, and counted.
const TORN: u8 = u8::MAX;
pub(super) const SLOTS: usize = 3;

/// What a promise is called when it is broken.
pub(super) type Broken = &'static str;
pub(super) const TEARS: Broken = "never torn";
pub(super) const STALE: Broken = "never stale";
pub(super) const BACK: Broken = "never back";
pub(super) const HUNG: Broken = "never hung";
pub(super) const FORCED: Broken = "none forced in time";
pub(super) const RETIRED: Broken = "nothing retired while read";
pub(super) const HIDDEN: Broken = "nothing unguarded but counted and needed";
pub(super) const ONCE: Broken = "settled once, and rightly";
pub(super) const LET_GO: Broken = "what is to be replaced is let go, and its picture stays";
pub(super) const HANDLES: Broken = "no handle is committed while it is held";

/// What frame `n` looks like.
fn picture(frame: u8) -> Picture {
    let mut tiles = [frame; 2];
    tiles[usize::from(frame + 1) % 2] = frame.saturating_sub(1);
    tiles
}

fn tile(frame: u8) -> usize {
    usize::from(frame % 2)
}

fn tile_damage(tile: usize) -> Damage {
    Damage::from(Rect { x: tile as u32 * 32, y: 0, width: 32, height: 64 })
}

fn covers(damage: &Damage, tile: usize) -> bool {
    match damage {
        Damage::Whole => true,
        Damage::Rects { rects, count } => {
            rects[..usize::from(*count)].iter().any(|rect| rect.x == tile as u32 * 32)
        }
    }
}

/// Pages of the guest, behind one dma-buf.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Memory {
    ino: u64,
    tiles: Picture,
    replaced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Nothing,
    /// Draws a whole picture into another slot.
    Flip(usize),
    /// Has announced it, and not said that it is finished.
    Announced,
    /// Draws into what it shows.
    InPlace,
    /// Rests since then, while its pages are about to be replaced.
    Invalid(Time),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owed {
    update: UpdateId,
    slot: usize,
    frame: u8,
    at: Time,
    /// Sent for a buffer that was not current any more.
    late: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Copying {
    target: u8,
    ino: u64,
    buffer: BufferId,
    damage: Damage,
    pixels: Picture,
    /// The guest had the right to draw when it began, or was given it by force.
    excused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    commit: CommitId,
    import: Option<ImportId>,
    excused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sink {
    id: SinkId,
    pub(super) present: Present,
    pub(super) open: bool,
    pub(super) hidden: bool,
    pub(super) importing: Vec<ImportId>,
    imports: Vec<ImportId>,
    copying: Option<Copying>,
    targets: [Picture; TARGETS],
    held: Vec<Held>,
    surface: Picture,
    newest: CommitId,
    pub(super) presented: CommitId,
    /// The newest frame that was ever on it.
    frame: u8,
    pub(super) direct: bool,
    /// What the CPU can't read is shown directly, and may tear.
    unreadable: bool,
    refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Time,
    memory: Vec<Memory>,
    slots: [u64; SLOTS],
    /// Until this is settled, the slot's old picture may be on a screen.
    lent: [Option<UpdateId>; SLOTS],
    current: Option<(BufferId, usize)>,
    before: Option<(BufferId, usize)>,
    pub(super) doing: Doing,
    pub(super) frame: u8,
    owed: Vec<Owed>,
    next: u64,
    pub(super) swap: Option<Swap>,
    /// In place as the guest said, and acked since.
    in_place_ready: bool,
    /// Whether what is announced is another picture, and whether that was so for the last update.
    flips: bool,
    flipped_last: bool,
    pub(super) lost: bool,
    /// Something happened after which a picture may come after its ack: nobody looked, or all was held.
    pub(super) excuse: bool,
    pub(super) sinks: Vec<Sink>,
    pub(super) broken: Option<Broken>,
    /// What happened in the last step: so that nothing holds because nothing happens.
    pub(super) counts: Counts,
    pub(super) retired: bool,
    pub(super) let_go: bool,
}

impl Sink {
    /// In place as well as after flips: asked for, or the only way.
    fn may_tear(&self) -> bool {
        self.present == Present::Direct || self.unreadable
    }
}

impl World {
    pub(super) fn new(presents: &[Present], mutation: Option<Mutation>) -> Self {
        let mut world = Self {
            machine: Machine::mutated(Config::VIEWER, mutation),
            now: Time::ZERO,
            memory: Vec::new(),
            slots: [1, 2, 3],
            lent: [None; SLOTS],
            current: None,
            before: None,
            doing: Doing::Nothing,
            frame: 0,
            owed: Vec::new(),
            next: 1,
            swap: None,
            in_place_ready: true,
            flips: false,
            flipped_last: false,
            lost: false,
            excuse: false,
            sinks: Vec::new(),
            broken: None,
            counts: Counts::default(),
            retired: false,
            let_go: false,
        };
        for ino in world.slots {
            world.memory.push(Memory { ino, tiles: [0; 2], replaced: false });
        }
        for (i, &present) in presents.iter().enumerate() {
            let id = SinkId(i as u32);
            world.sinks.push(Sink {
                id,
                present,
                open: true,
                hidden: false,
                importing: Vec::new(),
                imports: Vec::new(),
                copying: None,
                targets: [[0; 2]; TARGETS],
                held: Vec::new(),
                surface: [0; 2],
                newest: CommitId(0),
                presented: CommitId(0),
                frame: 0,
                direct: false,
                unreadable: false,
                refused: false,
            });
            world.input(Input::Attach(id, present));
        }
        world
    }

    fn fail(&mut self, promise: Broken) {
        self.broken.get_or_insert(promise);
    }

    fn demand(&mut self, holds: bool, promise: Broken) {
        if !holds {
            self.fail(promise);
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll() {
            self.carry_out(output);
        }
        // What was counted before tells nothing apart.
        self.counts = std::mem::take(&mut self.machine.counts);
        self.excuse |= self.counts.dropped_frames > 0;
    }

    fn memory(&mut self, ino: u64) -> &mut Memory {
        let found = self.memory.iter_mut().find(|memory| memory.ino == ino);
        found.expect("memory that was announced")
    }

    fn current_ino(&self) -> Option<u64> {
        self.current.map(|(_, slot)| self.slots[slot])
    }

    pub(super) fn has_current(&self) -> bool {
        self.current.is_some()
    }

    // What the guest may do, and does.

    pub(super) fn may_draw(&self, slot: usize) -> bool {
        let used = |slot: usize| self.memory[slot].tiles != [0; 2] || self.slots[slot] > 3;
        let shown = self.current.is_some_and(|(_, current)| current == slot);
        let idle = self.doing == Doing::Nothing && !self.lost;
        // Slots are alike until they are used: the first comes first.
        idle && !shown && self.lent[slot].is_none() && (slot == 0 || used(slot - 1) || used(slot))
    }

    pub(super) fn may_draw_in_place(&self) -> bool {
        let Some((_, slot)) = self.current else { return false };
        let waits = self.owed.iter().any(|owed| owed.slot == slot);
        let fine = self.swap != Some(Swap::Flip) && self.in_place_ready;
        fine && self.doing == Doing::Nothing && !waits && !self.lost
    }

    pub(super) fn draw(&mut self, slot: usize) {
        self.doing = Doing::Flip(slot);
        self.begin_write(self.slots[slot], 0..2, false);
    }

    pub(super) fn draw_in_place(&mut self) {
        self.doing = Doing::InPlace;
        let tile = tile(self.frame + 1);
        let Some(ino) = self.current_ino() else { return };
        self.begin_write(ino, tile..tile + 1, true);
    }

    fn begin_write(&mut self, ino: u64, tiles: std::ops::Range<usize>, in_place: bool) {
        // A guest that flipped, and draws in place without a word, can't be foreseen.
        let surprise = in_place && self.flipped_last && self.swap.is_none();
        let mut torn = false;
        for sink in self.sinks.iter_mut().filter(|sink| sink.open) {
            if let Some(copy) = sink.copying.as_mut().filter(|copy| copy.ino == ino) {
                torn |= !(copy.excused || surprise);
                tiles.clone().for_each(|tile| copy.pixels[tile] = TORN);
            }
            for held in &sink.held {
                if held.import.is_some_and(|import| import.storage.ino == ino) {
                    let asked = in_place && sink.may_tear();
                    torn |= !(held.excused || surprise || asked);
                    if held.commit == sink.newest {
                        tiles.clone().for_each(|tile| sink.surface[tile] = TORN);
                    }
                }
            }
        }
        self.demand(!torn, TEARS);
    }

    pub(super) fn scanout(&mut self) {
        let Doing::Flip(slot) = self.doing else { return };
        self.frame += 1;
        let (frame, ino) = (self.frame, self.slots[slot]);
        self.memory(ino).tiles = picture(frame);
        self.flips = self.frame > 1;
        self.announce(slot);
    }

    /// Announces what is shown once more, as QEMU does for reasons of its own.
    pub(super) fn announce_again(&mut self) {
        self.flips = false;
        if let Some((_, slot)) = self.current {
            self.announce(slot);
        }
    }

    fn announce(&mut self, slot: usize) {
        self.doing = Doing::Announced;
        let ino = self.slots[slot];
        let buffer = BufferId(self.next);
        self.next += 1;
        self.before = self.current.replace((buffer, slot));
        if let Some((_, before)) = self.before.filter(|(_, before)| *before != slot) {
            // Lent until the update that is about to come.
            self.lent[before] = Some(UpdateId(0));
        }
        self.input(Input::Scanout(announced(buffer, ino)));
    }

    pub(super) fn update(&mut self) {
        let Some((buffer, slot)) = self.current else { return };
        let update = UpdateId(self.next);
        self.next += 1;
        if self.doing == Doing::InPlace {
            self.frame += 1;
            let (frame, ino) = (self.frame, self.slots[slot]);
            self.memory(ino).tiles[tile(frame)] = frame;
        }
        self.flipped_last = self.doing == Doing::Announced && self.flips;
        self.doing = Doing::Nothing;
        self.in_place_ready = true;
        for lent in self.lent.iter_mut().filter(|lent| **lent == Some(UpdateId(0))) {
            *lent = Some(update);
        }
        let (frame, at) = (self.frame, self.now);
        self.owed.push(Owed { update, slot, frame, at, late: false });
        let damage = tile_damage(tile(frame));
        self.input(Input::Update { update, buffer, damage, owed: true });
    }

    /// An update that was overtaken by the scanout after it.
    pub(super) fn late_update(&mut self) {
        let Some((buffer, slot)) = self.before else { return };
        let update = UpdateId(self.next);
        self.next += 1;
        let (frame, at) = (self.frame, self.now);
        self.owed.push(Owed { update, slot, frame, at, late: true });
        let damage = tile_damage(tile(frame));
        self.input(Input::Update { update, buffer, damage, owed: true });
    }

    pub(super) fn may_update_late(&self) -> bool {
        self.before.is_some_and(|(_, slot)| self.current.is_none_or(|(_, now)| now != slot))
            && self.doing == Doing::Announced
    }

    /// The guest's pages are others now; whoever has the old ones has nothing of the guest's.
    pub(super) fn replace(&mut self) {
        let Some((buffer, slot)) = self.current else { return };
        let old = self.slots[slot];
        self.memory(old).replaced = true;
        self.slots[slot] = old + 10;
        self.memory.push(Memory { ino: old + 10, tiles: [0; 2], replaced: false });
        // It isn't what the guest shows any more, and nothing of ours reads the new pages.
        self.lent[slot] = None;
        self.current = None;
        self.before = None;
        self.input(Input::Replaced(buffer));
    }

    /// The guest's pages are about to be replaced; until then it does nothing.
    pub(super) fn invalidate(&mut self) {
        self.doing = Doing::Invalid(self.now);
        self.input(Input::Invalidate);
    }

    /// They were: the same picture is announced once more, from others, which looks like a flip.
    pub(super) fn validate(&mut self) {
        let Some((_, slot)) = self.current else { return };
        let old = self.slots[slot];
        let tiles = self.memory(old).tiles;
        self.memory(old).replaced = true;
        self.slots[slot] = old + 10;
        self.memory.push(Memory { ino: old + 10, tiles, replaced: false });
        // What is owed for the old ones is owed for nothing that is still to be seen.
        self.owed.iter_mut().for_each(|owed| owed.frame = 0);
        self.flips = true;
        self.announce(slot);
    }

    pub(super) fn say(&mut self, swap: Swap) {
        self.swap = Some(swap);
        self.in_place_ready = false;
        self.input(Input::Swap(Some(swap)));
    }

    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.doing = Doing::Nothing;
        self.input(Input::Lost);
    }
}
