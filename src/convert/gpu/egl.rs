//! EGL (egl.h, eglext.h): a display without a window, and images of dma-bufs.

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::OnceLock;

use super::gbm;
use super::library::{self, functions};
use crate::frame::{Format, Layout, Modifier};

pub(super) type Handle = *mut c_void;

const PLATFORM_GBM: u32 = 0x31d7;
const PLATFORM_SURFACELESS: u32 = 0x31dd;
const EXTENSIONS: i32 = 0x3055;
pub(super) const NONE: i32 = 0x3038;
const LINUX_DMA_BUF: u32 = 0x3270;
const WIDTH: isize = 0x3057;
const HEIGHT: isize = 0x3056;
const FOURCC: isize = 0x3271;
/// What luma and chroma are, where the driver makes colours of them: as the CPU has it.
const YUV_HINTS: [isize; 4] = [
    0x327b, 0x327f, // EGL_YUV_COLOR_SPACE_HINT_EXT: EGL_ITU_REC601_EXT.
    0x327c, 0x3283, // EGL_SAMPLE_RANGE_HINT_EXT: EGL_YUV_NARROW_RANGE_EXT.
];

/// The attributes of a plane: fd, offset, stride, and the halves of the modifier.
const PLANES: [[isize; 5]; 4] = [
    [0x3272, 0x3273, 0x3274, 0x3443, 0x3444],
    [0x3275, 0x3276, 0x3277, 0x3445, 0x3446],
    [0x3278, 0x3279, 0x327a, 0x3447, 0x3448],
    [0x3440, 0x3441, 0x3442, 0x3449, 0x344a],
];

/// Most modifiers of a format that a driver is listened to.
const MODIFIERS_MAX: i32 = 1024;

functions! {
    /// EGL 1.5, as far as it is used.
    Egl {
        get_proc_address = c"eglGetProcAddress": fn(*const c_char) -> Handle;
        get_platform_display = c"eglGetPlatformDisplay": fn(u32, Handle, *const isize) -> Handle;
        initialize = c"eglInitialize": fn(Handle, *mut i32, *mut i32) -> u32;
        terminate = c"eglTerminate": fn(Handle) -> u32;
        query_string = c"eglQueryString": fn(Handle, i32) -> *const c_char;
        bind_api = c"eglBindAPI": fn(u32) -> u32;
        create_context = c"eglCreateContext": fn(Handle, Handle, Handle, *const i32) -> Handle;
        destroy_context = c"eglDestroyContext": fn(Handle, Handle) -> u32;
        make_current = c"eglMakeCurrent": fn(Handle, Handle, Handle, Handle) -> u32;
        get_error = c"eglGetError": fn() -> i32;
        create_image = c"eglCreateImage": fn(Handle, Handle, u32, Handle, *const isize) -> Handle;
        destroy_image = c"eglDestroyImage": fn(Handle, Handle) -> u32;
        create_sync = c"eglCreateSync": fn(Handle, u32, *const isize) -> Handle;
        destroy_sync = c"eglDestroySync": fn(Handle, Handle) -> u32;
    }
}

functions! {
    /// EGL_EXT_image_dma_buf_import_modifiers.
    Modifiers {
        query = c"eglQueryDmaBufModifiersEXT":
            fn(Handle, i32, i32, *mut u64, *mut u32, *mut i32) -> u32;
    }
}

functions! {
    /// EGL_ANDROID_native_fence_sync.
    Fences {
        dup = c"eglDupNativeFenceFDANDROID": fn(Handle, Handle) -> i32;
    }
}

functions! {
    /// GL_OES_EGL_image.
    ImageTargets {
        texture = c"glEGLImageTargetTexture2DOES": fn(u32, Handle);
        renderbuffer = c"glEGLImageTargetRenderbufferStorageOES": fn(u32, Handle);
    }
}

impl Egl {
    pub(super) fn find(&self, name: &CStr) -> *mut c_void {
        // SAFETY: the name ends with a zero, and is only read.
        unsafe { (self.get_proc_address)(name.as_ptr()) }
    }

    pub(super) fn problem(&self, doing: &str) -> String {
        // SAFETY: it takes nothing, and may be called any time.
        format!("{doing} failed with EGL error {:#x}", unsafe { (self.get_error)() })
    }
}

fn egl() -> Result<&'static Egl, String> {
    static EGL: OnceLock<Result<Egl, String>> = OnceLock::new();
    let loaded = EGL.get_or_init(|| {
        let find = library::load("libEGL.so.1")?;
        // SAFETY: `find` looks into libEGL, whose header has the table's types.
        unsafe { Egl::load(find) }.map_err(|missing| format!("libEGL.so.1 is too old: {missing}"))
    });
    loaded.as_ref().map_err(Clone::clone)
}

/// Where drawing takes place.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// On the GPU behind a node.
    Node(Rc<gbm::Device>),
    /// Nowhere in particular: where there is no GPU, on the CPU.
    Nowhere,
}

/// A display: a driver that was started.
pub(super) struct Display {
    pub(super) egl: &'static Egl,
    pub(super) display: Handle,
    modifiers: Option<Modifiers>,
    pub(super) fences: Option<Fences>,
    imports: bool,
    place: Place,
}

impl Display {
    pub(super) fn open(place: Place) -> Result<Rc<Self>, String> {
        let egl = egl()?;
        let (platform, native) = match &place {
            Place::Node(device) => (PLATFORM_GBM, device.native()),
            Place::Nowhere => (PLATFORM_SURFACELESS, ptr::null_mut()),
        };
        // SAFETY: the native display is the platform's, and outlives this one, which keeps `place`;
        // no attributes may be null.
        let display = unsafe { (egl.get_platform_display)(platform, native, ptr::null()) };
        if display.is_null() {
            return Err(egl.problem("eglGetPlatformDisplay"));
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the display isn't null (checked above), and both numbers outlive the call.
        if unsafe { (egl.initialize)(display, &raw mut major, &raw mut minor) } == 0 {
            return Err(egl.problem("eglInitialize"));
        }
        let mut this = Self { egl, display, modifiers: None, fences: None, imports: false, place };
        if (major, minor) < (1, 5) {
            return Err(format!("its driver has EGL {major}.{minor}, but 1.5 is needed"));
        }
        let extensions = this.extensions();
        let has = |name: &str| extensions.split(' ').any(|extension| extension == name);
        if !has("EGL_KHR_surfaceless_context") {
            return Err("its driver can't draw without a window".to_owned());
        }
        if !has("EGL_KHR_no_config_context") && !has("EGL_MESA_configless_context") {
            return Err("its driver has no context without a configuration".to_owned());
        }
        this.imports = has("EGL_EXT_image_dma_buf_import");
        if has("EGL_EXT_image_dma_buf_import_modifiers") {
            // SAFETY: what EGL finds by a name of an extension that it has is that function.
            this.modifiers = unsafe { Modifiers::load(|name| egl.find(name)) }.ok();
        }
        if has("EGL_ANDROID_native_fence_sync") {
            // SAFETY: as above.
            this.fences = unsafe { Fences::load(|name| egl.find(name)) }.ok();
        }
        Ok(Rc::new(this))
    }

    fn extensions(&self) -> String {
        // SAFETY: the display is initialized.
        let list = unsafe { (self.egl.query_string)(self.display, EXTENSIONS) };
        if list.is_null() {
            return String::new();
        }
        // SAFETY: not null, so a string that ends with a zero and lives as long as the display.
        unsafe { CStr::from_ptr(list) }.to_string_lossy().into_owned()
    }

    /// Whether it reads dma-bufs at all.
    pub(super) fn imports(&self) -> bool {
        self.imports
    }

    /// The modifiers that it reads `format` with, and whether only as an external texture; `None`
    /// where it can't be asked.
    pub(super) fn modifiers(&self, format: Format) -> Option<Vec<(Modifier, bool)>> {
        let query = self.modifiers?.query;
        let mut modifiers = vec![0; MODIFIERS_MAX as usize];
        let mut external = vec![0; MODIFIERS_MAX as usize];
        let mut count = 0;
        // SAFETY: both lists have room for MODIFIERS_MAX, as is said, and all outlives the call.
        let known = unsafe {
            let (modifiers, external) = (modifiers.as_mut_ptr(), external.as_mut_ptr());
            let format = format.0.cast_signed();
            query(self.display, format, MODIFIERS_MAX, modifiers, external, &raw mut count)
        };
        // It fails for formats that it doesn't know.
        let count = if known == 0 { 0 } else { usize::try_from(count).unwrap_or(0) };
        let pairs = modifiers.into_iter().zip(external).take(count);
        Some(pairs.map(|(modifier, external)| (Modifier(modifier), external != 0)).collect())
    }

    /// An image of a dma-buf's memory. The caller has checked that the planes lie within it.
    pub(super) fn image<'a>(
        self: &Rc<Self>,
        layout: &Layout,
        fd_of: impl Fn(usize) -> BorrowedFd<'a>,
    ) -> Result<Image, String> {
        let attributes = attributes(layout, self.modifiers.is_some(), fd_of);
        // SAFETY: the display is initialized; a dma-buf's image has neither context nor buffer; the
        // list ends with NONE, its fds are open, and EGL takes its own of them.
        let image = unsafe {
            let none = ptr::null_mut();
            (self.egl.create_image)(self.display, none, LINUX_DMA_BUF, none, attributes.as_ptr())
        };
        let image = NonNull::new(image).ok_or_else(|| {
            let Layout { size, format, modifier, planes, .. } = layout;
            let what = format!(
                "importing {format} of {}x{} pixels, {modifier}, {} bytes a row,",
                size.width, size.height, planes[0].stride
            );
            self.egl.problem(&what)
        })?;
        Ok(Image { display: Rc::clone(self), image })
    }
}

/// What eglCreateImage is told of a layout.
fn attributes<'a>(
    layout: &Layout,
    with_modifiers: bool,
    fd_of: impl Fn(usize) -> BorrowedFd<'a>,
) -> Vec<isize> {
    let Layout { size, format, modifier, planes, plane_count } = layout;
    let mut list = vec![WIDTH, size.width as isize, HEIGHT, size.height as isize];
    list.extend([FOURCC, format.0 as isize]);
    if format.is_yuv() {
        list.extend(YUV_HINTS);
    }
    let places = planes.iter().zip(&PLANES).take(usize::from(*plane_count));
    for (index, (plane, [fd, offset, stride, low, high])) in places.enumerate() {
        list.extend([*fd, fd_of(index).as_fd().as_raw_fd() as isize]);
        list.extend([*offset, plane.offset as isize, *stride, plane.stride as isize]);
        if with_modifiers && *modifier != Modifier::INVALID {
            list.extend([*low, (modifier.0 & 0xffff_ffff) as isize]);
            list.extend([*high, (modifier.0 >> 32) as isize]);
        }
    }
    list.push(NONE as isize);
    list
}

impl Drop for Display {
    fn drop(&mut self) {
        // The surfaceless display is the process's: others may be drawing with it.
        if let Place::Node(_) = self.place {
            // SAFETY: the display was made of a device that only this one has, and everything made
            // with it holds an `Rc` of this, and so is gone.
            unsafe { (self.egl.terminate)(self.display) };
        }
    }
}

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Display").field("place", &self.place).finish_non_exhaustive()
    }
}

/// An image, destroyed on drop; textures made of it live on.
#[derive(Debug)]
pub(super) struct Image {
    display: Rc<Display>,
    image: NonNull<c_void>,
}

impl Image {
    pub(super) fn handle(&self) -> *mut c_void {
        self.image.as_ptr()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: made by eglCreateImage with this display, and destroyed nowhere else.
        unsafe { (self.display.egl.destroy_image)(self.display.display, self.image.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{PLANES_MAX, Plane, Size};

    fn said(layout: &Layout, with_modifiers: bool) -> Vec<isize> {
        let stdin = std::io::stdin();
        attributes(layout, with_modifiers, |_| stdin.as_fd())
    }

    #[test]
    fn every_plane_is_told_with_its_modifier_unless_that_is_implicit() {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0] = Plane { offset: 16, stride: 512 };
        planes[1] = Plane { offset: 4096, stride: 64 };
        let size = Size { width: 128, height: 7 };
        let modifier = Modifier(0x0100_0000_0000_0004);
        let mut layout =
            Layout { size, format: Format::XRGB8888, modifier, planes, plane_count: 2 };
        let fourcc = Format::XRGB8888.0 as isize;
        let want = [
            0x3057,
            128,
            0x3056,
            7,
            0x3271,
            fourcc, //
            0x3272,
            0,
            0x3273,
            16,
            0x3274,
            512,
            0x3443,
            4,
            0x3444,
            0x0100_0000, //
            0x3275,
            0,
            0x3276,
            4096,
            0x3277,
            64,
            0x3445,
            4,
            0x3446,
            0x0100_0000,
            0x3038,
        ];
        assert_eq!(said(&layout, true), want);
        let plain = [&want[..12], &want[16..22], &want[26..]].concat();
        assert_eq!(said(&layout, false), plain);
        let mut four = layout;
        four.plane_count = 4;
        four.planes[3] = Plane { offset: 8192, stride: 32 };
        let last = [0x3440, 0, 0x3441, 8192, 0x3442, 32, 0x3449, 4, 0x344a, 0x0100_0000, 0x3038];
        assert_eq!(said(&four, true)[36..], last);
        layout.modifier = Modifier::INVALID;
        assert_eq!(said(&layout, true), plain);
        layout.format = Format::NV12;
        let hints = [0x327b, 0x327f, 0x327c, 0x3283];
        assert_eq!(said(&layout, true)[6..10], hints);
    }
}
