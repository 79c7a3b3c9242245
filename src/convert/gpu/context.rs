//! Contexts of EGL's: what OpenGL ES draws in, and when that is done.

use std::ffi::{CStr, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use super::egl::{Display, Handle, NONE};

const OPENGL_ES_API: u32 = 0x30a0;
const CONTEXT_MAJOR_VERSION: i32 = 0x3098;
const SYNC_NATIVE_FENCE: u32 = 0x3144;

/// A context of OpenGL ES 3, destroyed on drop with all that was made in it.
#[derive(Debug)]
pub(super) struct Context {
    display: Rc<Display>,
    context: NonNull<c_void>,
}

impl Context {
    pub(super) fn new(display: Rc<Display>) -> Result<Self, String> {
        let egl = display.egl;
        let attributes = [CONTEXT_MAJOR_VERSION, 3, NONE];
        // SAFETY: the display is initialized and takes no configuration (checked when it was
        // opened), the list ends with NONE, and nothing is shared.
        let context = unsafe {
            (egl.bind_api)(OPENGL_ES_API);
            let none = ptr::null_mut();
            (egl.create_context)(display.display, none, none, attributes.as_ptr())
        };
        let context = NonNull::new(context).ok_or_else(|| egl.problem("eglCreateContext"))?;
        Ok(Self { display, context })
    }

    pub(super) fn display(&self) -> &Rc<Display> {
        &self.display
    }

    /// Makes it the thread's, until the answer is dropped; then the thread has none.
    pub(super) fn enter(&self) -> Result<Current<'_>, String> {
        let none = ptr::null_mut();
        // SAFETY: display and context are alive, and the display draws without surfaces (checked
        // when it was opened). A context is never on two threads: `Rc` keeps it on one.
        let entered = unsafe {
            let (display, context) = (self.display.display, self.context.as_ptr());
            (self.display.egl.make_current)(display, none, none, context)
        };
        if entered == 0 {
            return Err(self.display.egl.problem("eglMakeCurrent"));
        }
        Ok(Current(self))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by eglCreateContext with this display, and destroyed nowhere else; nobody has
        // it current, because `Current` borrows it.
        unsafe { (self.display.egl.destroy_context)(self.display.display, self.context.as_ptr()) };
    }
}

/// The time in which a context is the thread's.
#[derive(Debug)]
pub(super) struct Current<'a>(&'a Context);

impl Current<'_> {
    /// Finds a function of OpenGL ES, or of an extension that is there.
    pub(super) fn find(&self, name: &CStr) -> *mut c_void {
        self.0.display.egl.find(name)
    }

    /// What becomes readable when all is done that was drawn so far, once it was flushed. `None`
    /// where the driver has no such thing.
    pub(super) fn fence(&self) -> Option<Fence<'_>> {
        let Display { egl, display, fences, .. } = &*self.0.display;
        let dup = fences.as_ref()?.dup;
        let attributes = [NONE as isize];
        // SAFETY: the context is current, the driver has such fences, and the list ends with NONE.
        let sync = unsafe { (egl.create_sync)(*display, SYNC_NATIVE_FENCE, attributes.as_ptr()) };
        Some(Fence { current: self, sync: NonNull::new(sync)?, dup })
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        let none = ptr::null_mut();
        let Display { egl, display, .. } = &*self.0.display;
        // SAFETY: the display is alive; no context and no surfaces are always allowed.
        unsafe { (egl.make_current)(*display, none, none, none) };
    }
}

/// A fence of the kernel's in the making: it has an fd only after a flush.
pub(super) struct Fence<'a> {
    current: &'a Current<'a>,
    sync: NonNull<c_void>,
    dup: unsafe extern "C" fn(Handle, Handle) -> i32,
}

impl Fence<'_> {
    /// Its fd, a sync_file.
    pub(super) fn fd(&self) -> Option<OwnedFd> {
        // SAFETY: the fence is alive, and the display's.
        let fd = unsafe { (self.dup)(self.current.0.display.display, self.sync.as_ptr()) };
        // SAFETY: not negative, so a new fd that belongs to nobody else.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        let Display { egl, display, .. } = &*self.current.0.display;
        // SAFETY: made by eglCreateSync with this display, and destroyed nowhere else.
        unsafe { (egl.destroy_sync)(*display, self.sync.as_ptr()) };
    }
}
