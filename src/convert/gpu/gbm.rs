//! Memory of a GPU's, by Mesa's libgbm (gbm.h), or NVIDIA's behind it.

use std::ffi::{c_int, c_uint, c_void};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::imports::named;
use super::library::{self, functions};
use crate::convert::blit::Target;
use crate::frame::{Format, Layout, Modifier, PLANES_MAX, Plane, Size};

const USE_RENDERING: u32 = 1 << 2;
const USE_LINEAR: u32 = 1 << 4;
const IMPORT_FD: u32 = 0x5503;
const IMPORT_FD_MODIFIER: u32 = 0x5504;

/// struct gbm_import_fd_data.
#[repr(C)]
struct ImportFd {
    fd: c_int,
    width: u32,
    height: u32,
    stride: u32,
    format: u32,
}

/// struct gbm_import_fd_modifier_data.
#[repr(C)]
struct ImportPlanes {
    width: u32,
    height: u32,
    format: u32,
    count: u32,
    fds: [c_int; PLANES_MAX],
    strides: [c_int; PLANES_MAX],
    offsets: [c_int; PLANES_MAX],
    modifier: u64,
}

functions! {
    /// What is used of libgbm; those for planes came with Mesa 21.3.
    Gbm {
        create_device = c"gbm_create_device": fn(c_int) -> *mut c_void;
        destroy_device = c"gbm_device_destroy": fn(*mut c_void);
        create = c"gbm_bo_create": fn(*mut c_void, u32, u32, u32, u32) -> *mut c_void;
        create_with_modifiers = c"gbm_bo_create_with_modifiers2":
            fn(*mut c_void, u32, u32, u32, *const u64, c_uint, u32) -> *mut c_void;
        import = c"gbm_bo_import": fn(*mut c_void, u32, *mut c_void, u32) -> *mut c_void;
        destroy = c"gbm_bo_destroy": fn(*mut c_void);
        modifier = c"gbm_bo_get_modifier": fn(*mut c_void) -> u64;
        planes = c"gbm_bo_get_plane_count": fn(*mut c_void) -> c_int;
        stride = c"gbm_bo_get_stride_for_plane": fn(*mut c_void, c_int) -> u32;
        offset = c"gbm_bo_get_offset": fn(*mut c_void, c_int) -> u32;
        fd = c"gbm_bo_get_fd_for_plane": fn(*mut c_void, c_int) -> c_int;
    }
}

fn gbm() -> Result<&'static Gbm, String> {
    static GBM: OnceLock<Result<Gbm, String>> = OnceLock::new();
    let loaded = GBM.get_or_init(|| {
        let find = library::load("libgbm.so.1")?;
        // SAFETY: `find` looks into libgbm, whose header has the table's types.
        unsafe { Gbm::load(find) }.map_err(|missing| format!("libgbm.so.1 is too old: {missing}"))
    });
    loaded.as_ref().map_err(Clone::clone)
}

/// A DRM node that memory is made with.
#[derive(Debug)]
pub(super) struct Device {
    gbm: &'static Gbm,
    device: NonNull<c_void>,
    path: PathBuf,
    /// Open for as long as the device lives, which doesn't own it.
    _node: File,
}

impl Device {
    pub(super) fn open(node: &Path) -> Result<Self, String> {
        let gbm = gbm()?;
        let opened = OpenOptions::new().read(true).write(true).open(node);
        let file =
            opened.map_err(|error| format!("{} can't be opened: {error}", node.display()))?;
        // SAFETY: the fd is open, and stays so until after the device is destroyed.
        let device = NonNull::new(unsafe { (gbm.create_device)(file.as_raw_fd()) })
            .ok_or_else(|| format!("libgbm has no driver for {}", node.display()))?;
        Ok(Self { gbm, device, path: node.to_owned(), _node: file })
    }

    pub(super) fn node(&self) -> &Path {
        &self.path
    }

    /// For EGL. Valid as long as `self`.
    pub(super) fn native(&self) -> *mut c_void {
        self.device.as_ptr()
    }

    /// The modifier of a dma-buf of which nobody has said it, as this device's driver sees it; INVALID where that doesn't
    /// know either. The caller has checked that the planes lie within the memory.
    pub(super) fn modifier<'a>(
        &self,
        layout: &Layout,
        fd_of: impl Fn(usize) -> BorrowedFd<'a>,
    ) -> Result<Modifier, String> {
        let Layout { size: Size { width, height }, format, planes, plane_count, .. } = *layout;
        let (gbm, device) = (self.gbm, self.device.as_ptr());
        let count = usize::from(plane_count).min(PLANES_MAX);
        let imported = if count == 1 && planes[0].offset == 0 {
            let (fd, stride) = (fd_of(0).as_raw_fd(), planes[0].stride);
            let mut data = ImportFd { fd, width, height, stride, format: format.0 };
            // SAFETY: the device is alive, the data is what its kind says, and the fd is open.
            unsafe { (gbm.import)(device, IMPORT_FD, (&raw mut data).cast(), 0) }
        } else {
            let signed = |value: u32| c_int::try_from(value).unwrap_or(c_int::MAX);
            let mut data = ImportPlanes {
                width,
                height,
                format: format.0,
                count: u32::from(plane_count),
                fds: [-1; PLANES_MAX],
                strides: planes.map(|plane| signed(plane.stride)),
                offsets: planes.map(|plane| signed(plane.offset)),
                modifier: Modifier::INVALID.0,
            };
            for (index, fd) in data.fds.iter_mut().enumerate().take(count) {
                *fd = fd_of(index).as_raw_fd();
            }
            // SAFETY: as above.
            unsafe { (gbm.import)(device, IMPORT_FD_MODIFIER, (&raw mut data).cast(), 0) }
        };
        let buffer = NonNull::new(imported)
            .ok_or_else(|| format!("{} can't import it", self.path.display()))?;
        let buffer = Buffer { gbm, buffer };
        // SAFETY: the buffer is alive until after these.
        let (modifier, planes) = unsafe {
            let buffer = buffer.buffer.as_ptr();
            (Modifier((gbm.modifier)(buffer)), (gbm.planes)(buffer))
        };
        if planes != c_int::from(plane_count) {
            // Where the others lie nobody has said.
            return Err(format!("{modifier} has {planes} planes, of which {plane_count} came"));
        }
        Ok(modifier)
    }

    /// Memory that can be drawn into, XRGB8888 laid out as one of `modifiers`: the driver's choice,
    /// but for linear and implicit ones, which come last.
    pub(super) fn make(&self, size: Size, modifiers: &[Modifier]) -> Result<Target, String> {
        let Size { width, height } = size;
        let (gbm, device, format) = (self.gbm, self.device.as_ptr(), Format::XRGB8888.0);
        let count = |list: &[u64]| c_uint::try_from(list.len()).unwrap_or(c_uint::MAX);
        let own: Vec<u64> = modifiers
            .iter()
            .filter(|modifier| ![Modifier::LINEAR, Modifier::INVALID].contains(modifier))
            .map(|modifier| modifier.0)
            .collect();
        if !own.is_empty() {
            // SAFETY: the device is alive, and the list as long as it is said to be.
            let made = unsafe {
                (gbm.create_with_modifiers)(
                    device,
                    width,
                    height,
                    format,
                    own.as_ptr(),
                    count(&own),
                    USE_RENDERING,
                )
            };
            if let Some(buffer) = NonNull::new(made) {
                return Buffer { gbm, buffer }.export(size, None);
            }
        }
        for (modifier, usage) in
            [(Modifier::LINEAR, USE_RENDERING | USE_LINEAR), (Modifier::INVALID, USE_RENDERING)]
        {
            if !modifiers.contains(&modifier) {
                continue;
            }
            // SAFETY: the device is alive.
            let made = unsafe { (gbm.create)(device, width, height, format, usage) };
            if let Some(buffer) = NonNull::new(made) {
                return Buffer { gbm, buffer }.export(size, Some(modifier));
            }
        }
        let taken = named(modifiers.iter().copied());
        Err(format!(
            "libgbm makes none of {width}x{height} pixels of {} with a modifier that the compositor \
             takes ({taken})",
            Format::XRGB8888
        ))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: it was made by gbm_create_device, and its buffers and EGL's display, which hold an
        // `Rc` of it or are gone before their call returns, are no more.
        unsafe { (self.gbm.destroy_device)(self.device.as_ptr()) }
    }
}

/// A buffer object, destroyed on drop; fds that were made of it keep its memory.
struct Buffer {
    gbm: &'static Gbm,
    buffer: NonNull<c_void>,
}

impl Buffer {
    /// Its memory; `modifier` is what it was made to be, where it wasn't libgbm's choice.
    ///
    /// The object goes before anybody imports the fds: where a driver has one handle for the object
    /// and the import, the end of the first would be that of the second.
    fn export(self, size: Size, modifier: Option<Modifier>) -> Result<Target, String> {
        let (gbm, buffer) = (self.gbm, self.buffer.as_ptr());
        // SAFETY: the buffer is alive as long as `self`, here and below.
        let (made, count) = unsafe { (Modifier((gbm.modifier)(buffer)), (gbm.planes)(buffer)) };
        let Some(plane_count) =
            u8::try_from(count).ok().filter(|&n| n >= 1 && n as usize <= PLANES_MAX)
        else {
            return Err(format!("libgbm made a buffer of {count} planes"));
        };
        let mut planes = [Plane::default(); PLANES_MAX];
        let mut fds = Vec::with_capacity(plane_count.into());
        for (index, plane) in (0..c_int::from(plane_count)).zip(&mut planes) {
            // SAFETY: as above, and `index` is below the count that it gave.
            let (offset, stride, fd) = unsafe {
                ((gbm.offset)(buffer, index), (gbm.stride)(buffer, index), (gbm.fd)(buffer, index))
            };
            *plane = Plane { offset, stride };
            if fd < 0 {
                return Err("libgbm can't hand out its memory as a dma-buf".to_owned());
            }
            // SAFETY: not negative, so a new fd that belongs to nobody else.
            fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        let (format, modifier) = (Format::XRGB8888, modifier.unwrap_or(made));
        Ok(Target { layout: Layout { size, format, modifier, planes, plane_count }, fds })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: made by gbm_bo_create*, and destroyed nowhere else.
        unsafe { (self.gbm.destroy)(self.buffer.as_ptr()) }
    }
}
