//! The handles that a sink has of the guest's memory: at most two a storage and layout, so that each
//! release belongs to one commit.

use crate::frame::{CommitId, ImportId, Layout, StorageId};

/// Storages and layouts that are imported at once; past that frames are copied.
const IMPORTS_MAX: usize = 16;

/// Where a handle is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Absent,
    Importing,
    Idle,
    /// Committed, and this latest commit of it is not released.
    Held(CommitId),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Imported {
    storage: StorageId,
    layout: Layout,
    refused: bool,
    slots: [Slot; 2],
}

/// What can be done to show a storage directly.
pub(super) enum Way {
    /// Commit this.
    Show(ImportId),
    /// Import this first; it counts as begun.
    Import(ImportId),
    /// An import is under way, or both handles are held.
    Wait,
    /// The sink has refused it.
    Refused,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Imports(Vec<Imported>);

impl Imports {
    fn find(&self, storage: StorageId, layout: Layout) -> Option<&Imported> {
        self.0.iter().find(|i| i.storage == storage && i.layout == layout)
    }

    fn find_mut(&mut self, storage: StorageId, layout: Layout) -> Option<&mut Imported> {
        self.0.iter_mut().find(|i| i.storage == storage && i.layout == layout)
    }

    fn slot_mut(&mut self, import: ImportId) -> Option<&mut Slot> {
        self.find_mut(import.storage, import.layout)?.slots.get_mut(usize::from(import.slot))
    }

    fn slots_mut(&mut self) -> impl Iterator<Item = (ImportId, &mut Slot)> {
        self.0.iter_mut().flat_map(|&mut Imported { storage, layout, ref mut slots, .. }| {
            let named = move |slot: u8| ImportId { storage, layout, slot };
            (0..).map(named).zip(slots)
        })
    }

    pub(super) fn is_refused(&self, storage: StorageId, layout: Layout) -> bool {
        self.find(storage, layout).is_some_and(|import| import.refused)
    }

    /// Whether there is no room for this one.
    pub(super) fn is_full_for(&self, storage: StorageId, layout: Layout) -> bool {
        self.0.len() >= IMPORTS_MAX && self.find(storage, layout).is_none()
    }

    /// How to show this: by a handle that is idle, or else by one more.
    pub(super) fn way(&mut self, storage: StorageId, layout: Layout) -> Way {
        if self.find(storage, layout).is_none() {
            let slots = [Slot::Absent; 2];
            self.0.push(Imported { storage, layout, refused: false, slots });
        }
        let Some(import) = self.find_mut(storage, layout) else { return Way::Wait };
        if import.refused {
            return Way::Refused;
        }
        let find = |wanted: Slot| import.slots.iter().position(|slot| *slot == wanted);
        let named = |slot: usize| ImportId { storage, layout, slot: slot as u8 };
        if let Some(idle) = find(Slot::Idle) {
            return Way::Show(named(idle));
        }
        match find(Slot::Absent).filter(|_| find(Slot::Importing).is_none()) {
            Some(absent) => {
                import.slots[absent] = Slot::Importing;
                Way::Import(named(absent))
            }
            None => Way::Wait,
        }
    }

    pub(super) fn imported(&mut self, import: ImportId, worked: bool) {
        match self.slot_mut(import) {
            Some(slot @ Slot::Importing) => *slot = if worked { Slot::Idle } else { Slot::Absent },
            // A sink may refuse what it took before: whoever it passes frames on to wants something else.
            Some(_) if !worked => {}
            _ => return,
        }
        if let Some(known) = self.find_mut(import.storage, import.layout) {
            known.refused |= !worked;
        }
    }

    pub(super) fn forget_refusals(&mut self) {
        for import in &mut self.0 {
            import.refused = false;
        }
    }

    pub(super) fn commit(&mut self, import: ImportId, commit: CommitId) {
        if let Some(slot) = self.slot_mut(import) {
            *slot = Slot::Held(commit);
        }
    }

    pub(super) fn released(&mut self, commit: CommitId) {
        for (_, slot) in self.slots_mut() {
            if *slot == Slot::Held(commit) {
                *slot = Slot::Idle;
            }
        }
    }

    /// Forgets who reads what: only to see that this is found.
    pub(super) fn let_all_go(&mut self, which: impl Fn(StorageId) -> bool) {
        for (import, slot) in self.slots_mut() {
            if matches!(slot, Slot::Held(_)) && which(import.storage) {
                *slot = Slot::Idle;
            }
        }
    }

    /// The storages of unreleased commits.
    pub(super) fn held(&self) -> impl Iterator<Item = StorageId> {
        let held = |slot: &Slot| matches!(slot, Slot::Held(_));
        self.0.iter().filter(move |import| import.slots.iter().any(held)).map(|i| i.storage)
    }

    pub(super) fn any_importing(&self) -> bool {
        self.0.iter().any(|import| import.slots.contains(&Slot::Importing))
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.0.retain(|import| import.storage != storage);
    }
}
