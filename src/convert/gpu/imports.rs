//! The guest's memory as textures.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use glow::{HasContext, NativeTexture};

use super::egl::{Display, Image};
use super::painter::{Kind, Painter};
use crate::frame::{Layout, Memory, Modifier, PLANES_MAX, Storage, StorageId};
use crate::sys::{plane_fd, plane_size};

/// Storages and layouts that are known at once; past that the oldest is imported again.
const IMPORTS_MAX: usize = 16;
/// Rows that aren't a multiple of this long are refused by some GPUs, and misread by others.
const STRIDE_ALIGN: u32 = 256;

/// Memory that can be drawn from.
#[derive(Debug)]
pub(super) struct Imported {
    pub(super) image: Image,
    pub(super) texture: NativeTexture,
    pub(super) kind: Kind,
}

#[derive(Debug)]
struct Entry {
    storage: StorageId,
    layout: Layout,
    /// Keeps the memory's inode from meaning something else.
    _memory: OwnedFd,
    /// Also why it can't be, so that it isn't tried for each frame.
    imported: Result<Imported, Rc<str>>,
}

/// All that was imported, or refused, until its storage is forgotten; the oldest first.
#[derive(Debug, Default)]
pub(super) struct Imports(Vec<Entry>);

impl Imports {
    /// Whether this was imported before, or why it couldn't be; `None` for what is new.
    pub(super) fn known(&self, storage: StorageId, layout: &Layout) -> Option<Result<(), Rc<str>>> {
        let imported = &self.entry(storage, layout)?.imported;
        Some(imported.as_ref().map(|_| ()).map_err(Clone::clone))
    }

    /// Imports what is new. The painter's context is current.
    pub(super) fn import(
        &mut self,
        storage: &Storage,
        layout: &Layout,
        (display, painter): (&Rc<Display>, &Painter),
    ) -> Result<(), Rc<str>> {
        let memory = storage.fds.first().ok_or("it has no fd")?;
        let memory = memory.try_clone().map_err(|error| error.to_string())?;
        let imported = import(storage, layout, display, painter).map_err(Rc::from);
        let answer = imported.as_ref().map(|_| ()).map_err(Clone::clone);
        if self.0.len() == IMPORTS_MAX {
            let oldest = self.0.remove(0);
            drop_texture(&oldest, painter);
        }
        let (storage, layout) = (storage.id, *layout);
        self.0.push(Entry { storage, layout, _memory: memory, imported });
        answer
    }

    /// What was imported, if it was.
    pub(super) fn get(&self, storage: StorageId, layout: &Layout) -> Option<&Imported> {
        self.entry(storage, layout)?.imported.as_ref().ok()
    }

    pub(super) fn has(&self, storage: StorageId) -> bool {
        self.0.iter().any(|entry| entry.storage == storage)
    }

    /// Drops what is `storage`'s. The painter's context is current.
    pub(super) fn forget(&mut self, storage: StorageId, painter: &Painter) {
        for entry in self.0.extract_if(.., |entry| entry.storage == storage) {
            drop_texture(&entry, painter);
        }
    }

    fn entry(&self, storage: StorageId, layout: &Layout) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.storage == storage && entry.layout == *layout)
    }
}

fn drop_texture(entry: &Entry, painter: &Painter) {
    if let Ok(imported) = &entry.imported {
        // SAFETY: the context is current, as the callers have been asked for, and the texture its.
        unsafe { painter.gl().delete_texture(imported.texture) };
    }
}

fn import(
    storage: &Storage,
    layout: &Layout,
    display: &Rc<Display>,
    painter: &Painter,
) -> Result<Imported, String> {
    check(storage, layout, painter.edge_max())?;
    let kind = kind(display, layout)?;
    if !painter.draws(kind) {
        return Err(format!("its driver can't draw from memory of format {}", layout.format));
    }
    let image = display.image(layout, |plane| plane_fd(storage, plane))?;
    Ok(Imported { image, texture: painter.texture(kind)?, kind })
}

/// How the driver reads such memory, if it does.
fn kind(display: &Display, layout: &Layout) -> Result<Kind, String> {
    let Layout { format, modifier, .. } = *layout;
    let Some(known) = display.modifiers(format) else {
        // A driver that knows no modifiers; it says itself what it doesn't take.
        let plain = matches!(modifier, Modifier::LINEAR | Modifier::INVALID);
        return if plain { Ok(Kind::Plain) } else { Err(unknown(layout)) };
    };
    let external = if modifier == Modifier::INVALID {
        !known.is_empty() && known.iter().all(|(_, external)| *external)
    } else {
        let found = known.iter().find(|(known, _)| *known == modifier);
        found.ok_or_else(|| unknown(layout))?.1
    };
    Ok(if external { Kind::External } else { Kind::Plain })
}

fn unknown(layout: &Layout) -> String {
    format!("its driver knows no {} with modifier {}", layout.format, layout.modifier)
}

/// Whatever a driver might believe unseen.
pub(super) fn check(storage: &Storage, layout: &Layout, edge_max: u32) -> Result<(), String> {
    if !matches!(storage.memory, Memory::DmaBuf { .. }) || storage.fds.is_empty() {
        return Err("it is no dma-buf".to_owned());
    }
    let Layout { size, modifier, planes, plane_count, .. } = layout;
    let (width, height) = (size.width, size.height);
    if ![width, height].iter().all(|side| (1..=edge_max).contains(side)) {
        return Err(format!(
            "it has {width}x{height} pixels, more than {edge_max} on a side or none"
        ));
    }
    let count = usize::from(*plane_count);
    if !(1..=PLANES_MAX).contains(&count) {
        return Err(format!("it has {count} planes"));
    }
    for (index, plane) in planes.iter().enumerate().take(count) {
        if *modifier == Modifier::LINEAR && !plane.stride.is_multiple_of(STRIDE_ALIGN) {
            return Err(format!(
                "its rows are {} bytes long, no multiple of {STRIDE_ALIGN}, which not every GPU can \
                 read",
                plane.stride
            ));
        }
        let size = plane_size(storage, index).map_err(|_| format!("plane {index} has no size"))?;
        // How many rows the others have is the format's matter, which the driver knows.
        let rows = if index == 0 { height } else { 1 };
        let end = u64::from(plane.offset) + u64::from(plane.stride) * u64::from(rows);
        if plane.stride == 0 || end > size {
            return Err(format!("plane {index} ends at byte {end} of memory that has {size}"));
        }
    }
    Ok(())
}
