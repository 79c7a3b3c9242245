//! The guest's memory as textures.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use glow::{HasContext, NativeTexture};

use super::egl::{Display, Image, ImageTargets};
use super::painter::{Kind, Painter};
use crate::frame::{Format, Layout, Memory, Modifier, PLANES_MAX, Plane, Size, Storage, StorageId};
use crate::sys::{plane_fd, plane_size};

/// Storages and layouts that are known at once; past that the oldest is imported again.
const IMPORTS_MAX: usize = 16;
/// Rows that aren't a multiple of this long are refused by some GPUs, and misread by others.
const STRIDE_ALIGN: u32 = 256;
/// Modifiers that are named to the user.
const NAMED_MAX: usize = 4;

/// Memory that can be drawn from.
#[derive(Debug)]
pub(super) struct Imported {
    /// One, or where we take planes apart ourselves one for each.
    pub(super) textures: Vec<(Image, NativeTexture)>,
    pub(super) kind: Kind,
}

/// What imports: a driver's display, what draws with it, and how it makes textures.
type Driver<'a> = (&'a Rc<Display>, &'a Painter, &'a ImageTargets);

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
        driver: Driver<'_>,
    ) -> Result<(), Rc<str>> {
        let memory = storage.fds.first().ok_or("it has no fd")?;
        let memory = memory.try_clone().map_err(|error| error.to_string())?;
        let imported = import(storage, layout, driver).map_err(Rc::from);
        let answer = imported.as_ref().map(|_| ()).map_err(Clone::clone);
        if self.0.len() == IMPORTS_MAX {
            let oldest = self.0.remove(0);
            drop_textures(&oldest, driver.1);
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
            drop_textures(&entry, painter);
        }
    }

    fn entry(&self, storage: StorageId, layout: &Layout) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.storage == storage && entry.layout == *layout)
    }
}

fn drop_textures(entry: &Entry, painter: &Painter) {
    if let Ok(imported) = &entry.imported {
        delete(&imported.textures, painter);
    }
}

fn delete(textures: &[(Image, NativeTexture)], painter: &Painter) {
    for (_, texture) in textures {
        // SAFETY: the context is current, as all callers have been asked for, and the texture its.
        unsafe { painter.gl().delete_texture(*texture) };
    }
}

fn import(storage: &Storage, layout: &Layout, driver: Driver<'_>) -> Result<Imported, String> {
    let (display, painter, _) = driver;
    check(storage, layout, painter.edge_max())?;
    if let Some((kind, parts)) = apart(layout)
        && parts.iter().all(|(_, part)| how(display, part) == Ok(Kind::Plain))
        && let Ok(imported) = import_parts(storage, kind, &parts, driver)
    {
        return Ok(imported);
    }
    let kind = how(display, layout)?;
    if !painter.draws(kind) {
        return Err(format!("its driver can't draw from memory of format {}", layout.format));
    }
    import_parts(storage, kind, &[(0, *layout)], driver)
}

/// Imports each part as a texture; its planes are the storage's from the number on that stands before it.
fn import_parts(
    storage: &Storage,
    kind: Kind,
    parts: &[(usize, Layout)],
    (display, painter, targets): Driver<'_>,
) -> Result<Imported, String> {
    let image = |(first, part): &(usize, Layout)| {
        display.image(part, |plane| plane_fd(storage, first + plane))
    };
    // All of them first: unlike textures they go by themselves.
    let images = parts.iter().map(image).collect::<Result<Vec<_>, String>>()?;
    let mut textures = Vec::with_capacity(parts.len());
    for (image, (_, part)) in images.into_iter().zip(parts) {
        let texture = painter.texture(kind)?;
        // SAFETY: the context is current, as `Imports::import` asks for, the image is alive, and the
        // texture is bound to its target.
        let error = unsafe {
            (targets.texture)(kind.target(), image.handle());
            painter.gl().get_error()
        };
        textures.push((image, texture));
        if error != glow::NO_ERROR {
            delete(&textures, painter);
            let format = part.format;
            return Err(format!("its driver makes no texture of {format} (error {error:#x})"));
        }
    }
    Ok(Imported { textures, kind })
}

/// What memory of luma and chroma consists of, if that can be drawn from as if it were colours: then
/// it is our arithmetic that makes colours of it, the same as the CPU's, and not the driver's.
fn apart(layout: &Layout) -> Option<(Kind, Vec<(usize, Layout)>)> {
    // How a driver had it in mind it knows of the whole only.
    if layout.modifier == Modifier::INVALID {
        return None;
    }
    let fourcc = |name: &[u8; 4]| Format(u32::from_le_bytes(*name));
    let Size { width, height } = layout.size;
    let halves = Size { width: width.div_ceil(2), height: height.div_ceil(2) };
    let part = |plane: usize, format: Format, size: Size| {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0] = layout.planes[plane];
        (plane, Layout { size, format, planes, plane_count: 1, ..*layout })
    };
    // One and two channels, as DRM calls them.
    let two = |luma, chroma| vec![part(0, luma, layout.size), part(1, chroma, halves)];
    Some(match (layout.format, layout.plane_count) {
        (Format::NV12, 2) => (Kind::Planes { deep: false }, two(fourcc(b"R8  "), fourcc(b"GR88"))),
        (Format::P010, 2) => (Kind::Planes { deep: true }, two(fourcc(b"R16 "), fourcc(b"GR32"))),
        (Format::YUYV, 1) => {
            let pairs = Size { width: halves.width, height };
            (Kind::Yuyv, vec![part(0, Format::ABGR8888, pairs)])
        }
        _ => return None,
    })
}

/// How the driver reads such memory, if it does.
fn how(display: &Display, layout: &Layout) -> Result<Kind, String> {
    let Layout { format, modifier, .. } = *layout;
    let Some(known) = display.modifiers(format) else {
        // A driver that knows no modifiers; it says itself what it doesn't take.
        let plain = matches!(modifier, Modifier::LINEAR | Modifier::INVALID);
        let kind = if format.is_yuv() { Kind::External } else { Kind::Plain };
        return if plain { Ok(kind) } else { Err(unknown(layout, &[])) };
    };
    let external = if modifier == Modifier::INVALID {
        !known.is_empty() && known.iter().all(|(_, external)| *external)
    } else {
        let found = known.iter().find(|(known, _)| *known == modifier);
        found.ok_or_else(|| unknown(layout, &known))?.1
    };
    Ok(if external { Kind::External } else { Kind::Plain })
}

fn unknown(layout: &Layout, known: &[(Modifier, bool)]) -> String {
    let Layout { format, modifier, .. } = layout;
    let others = if known.is_empty() {
        "nor with any other".to_owned()
    } else {
        format!("but with {}", named(known.iter().map(|(modifier, _)| *modifier)))
    };
    format!("its driver knows no {format} with modifier {modifier}, {others}")
}

/// The first few of them, for the user.
pub(super) fn named(modifiers: impl Iterator<Item = Modifier>) -> String {
    let names: Vec<_> = modifiers.take(NAMED_MAX).map(|modifier| modifier.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Whatever a driver might believe unseen.
pub(super) fn check(storage: &Storage, layout: &Layout, edge_max: u32) -> Result<(), String> {
    if !matches!(storage.memory, Memory::DmaBuf { .. }) || storage.fds.is_empty() {
        return Err("it is no dma-buf".to_owned());
    }
    let Layout { size, format, modifier, planes, plane_count } = layout;
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
        // How many rows others have of formats that we don't know is the driver's matter.
        let samples = format.samples().get(index);
        let rows =
            samples.map_or(if index == 0 { height } else { 1 }, |samples| samples.rows(height));
        let end = u64::from(plane.offset) + u64::from(plane.stride) * u64::from(rows);
        if plane.stride == 0 || end > size {
            return Err(format!("plane {index} ends at byte {end} of memory that has {size}"));
        }
    }
    Ok(())
}
