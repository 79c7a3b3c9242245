//! Copies by the GPU: whatever its driver can read, tiled memory too, is drawn upright into memory of
//! the GPU's that the compositor takes. EGL, OpenGL ES and libgbm are loaded when they are needed.
//!
//! Mesa's software renderer is no GPU: it would do what the CPU does, and slower. It is used only
//! where that is asked for, which is how all this is tested without a GPU.
#![allow(unsafe_code)]

mod context;
mod egl;
mod gbm;
mod imports;
mod library;
mod painter;
mod readback;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use glow::{HasContext, NativeFramebuffer, NativeRenderbuffer};

use super::blit::{Blit, BlitError, Blitter, Readback, Target};
use super::cpu::{OUT_PIXEL, View};
use crate::frame::{
    Damage, Format, Layout, Memory, Modifier, PLANES_MAX, Plane, Rect, Size, Storage, StorageId,
    TARGETS,
};
use crate::sys::{
    can_only_be_of, create_udmabuf, is_of, may_draw, own_memfd, page_align, plane_fd, render_nodes,
};
use context::{Context, Current};
use egl::{Display, Image, ImageTargets, Place};
use imports::Imports;
use painter::{Canvas, Painter};
use readback::Well;

/// The variable of the environment that says what draws: `off`, nothing; `software`, Mesa's software
/// renderer, which is meant for tests; anything else, the GPU.
pub const VARIABLE: &str = "FANLIGHT_GPU";

/// Rows of a target without a GPU begin at multiples of this.
const STRIDE_ALIGN: u32 = 256;

/// What may draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renderer {
    /// Hardware only.
    Hardware,
    /// A software renderer too; for tests.
    Any,
}

/// Makes a dma-buf of so many bytes (whole pages) that the CPU may write to.
pub type MakeMemory = fn(u64) -> io::Result<OwnedFd>;

/// Where targets come from.
#[derive(Debug)]
enum TargetMemory {
    Gpu(Rc<gbm::Device>),
    Made(MakeMemory),
}

/// A target: the renderbuffer is the image's memory.
#[derive(Debug)]
struct Slot {
    size: Size,
    framebuffer: NativeFramebuffer,
    renderbuffer: NativeRenderbuffer,
    _image: Image,
}

/// A GPU that draws.
pub struct Gpu {
    name: String,
    slots: [Option<Slot>; TARGETS],
    imports: Imports,
    images: ImageTargets,
    painter: Painter,
    memory: TargetMemory,
    /// Where pictures are drawn that are read back.
    well: Option<Well>,
    // After all that was made in it.
    context: Context,
}

/// The GPU of `device` (a `dev_t`), or where that isn't known the first; see [`VARIABLE`].
///
/// # Errors
/// If there is none, or what is needed to use it is missing.
pub fn open(device: Option<u64>) -> Result<Box<dyn Blitter>, BlitError> {
    Ok(Box::new(find(device)?))
}

/// The first GPU; see [`VARIABLE`].
///
/// # Errors
/// If there is none, or what is needed to use it is missing.
pub fn open_readback() -> Result<Box<dyn Readback>, BlitError> {
    Ok(Box::new(find(None)?))
}

fn find(device: Option<u64>) -> Result<Gpu, BlitError> {
    match std::env::var(VARIABLE).as_deref() {
        Ok("off") => Err(BlitError::Open(format!("{VARIABLE} is off"))),
        Ok("software") => Gpu::software(udmabuf),
        _ => of_device(device),
    }
}

fn of_device(device: Option<u64>) -> Result<Gpu, BlitError> {
    let nodes = render_nodes(device)
        .map_err(|error| BlitError::Open(format!("/dev/dri can't be read ({error})")))?;
    let mut problem = BlitError::Open("there is no render node".to_owned());
    for node in nodes {
        // Memory of another GPU is nothing that the compositor's could be relied on to take.
        if device.is_some_and(|device| !is_of(&node, device)) {
            continue;
        }
        if !may_draw(&node) {
            problem = BlitError::Open(format!("{} has no 3D", node.display()));
            continue;
        }
        match Gpu::of_node(&node, Renderer::Hardware) {
            Ok(gpu) => return Ok(gpu),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

fn udmabuf(bytes: u64) -> io::Result<OwnedFd> {
    create_udmabuf(own_memfd("fanlight-picture", bytes)?.as_fd(), 0, bytes)
}

impl Gpu {
    /// The GPU behind a DRM node, with targets of its own.
    ///
    /// # Errors
    /// If its driver, or what is needed of it, is missing.
    pub fn of_node(node: &Path, renderer: Renderer) -> Result<Self, BlitError> {
        let device = Rc::new(gbm::Device::open(node).map_err(BlitError::Open)?);
        let place = Place::Node(Rc::clone(&device));
        Self::new(place, TargetMemory::Gpu(device), renderer).map_err(BlitError::Open)
    }

    /// No GPU at all but Mesa's software renderer, with linear targets that `make` makes; for tests.
    ///
    /// # Errors
    /// If there is none, or it can't import dma-bufs (Mesa before 24.1).
    pub fn software(make: MakeMemory) -> Result<Self, BlitError> {
        let memory = TargetMemory::Made(make);
        let gpu = Self::new(Place::Nowhere, memory, Renderer::Any).map_err(BlitError::Open)?;
        if is_software(&gpu.name) {
            Ok(gpu)
        } else {
            Err(BlitError::Open(format!("{} is no software renderer", gpu.name)))
        }
    }

    fn new(place: Place, memory: TargetMemory, renderer: Renderer) -> Result<Self, String> {
        let context = Context::new(Display::open(place)?)?;
        if !context.display().imports() {
            return Err("its driver can't import dma-bufs".to_owned());
        }
        let current = context.enter()?;
        let painter = Painter::new(|name| current.find(name))?;
        let name = painter.name();
        if renderer == Renderer::Hardware && is_software(&name) {
            return Err(format!("{name} is no GPU"));
        }
        if !painter.gl().supported_extensions().contains("GL_OES_EGL_image") {
            return Err(format!("{name} can't draw from dma-bufs"));
        }
        // SAFETY: what EGL finds by a name of an extension that is there is that function.
        let images = unsafe { ImageTargets::load(|name| current.find(name)) }?;
        drop(current);
        let (slots, imports, well) = Default::default();
        Ok(Self { name, slots, imports, images, painter, memory, well, context })
    }

    /// Memory for a picture, of which nobody knows yet.
    fn make(&self, size: Size, modifiers: &[Modifier]) -> Result<Target, String> {
        let edge_max = self.painter.edge_max();
        if size.width > edge_max || size.height > edge_max {
            return Err(format!("a side would be longer than {edge_max} pixels"));
        }
        match &self.memory {
            TargetMemory::Gpu(device) => device.make(size, modifiers),
            TargetMemory::Made(_) if !modifiers.contains(&Modifier::LINEAR) => {
                Err("the compositor takes no linear dma-bufs".to_owned())
            }
            TargetMemory::Made(make) => {
                let row = size.width * OUT_PIXEL as u32;
                let stride = row.next_multiple_of(STRIDE_ALIGN);
                let fd = make(page_align(u64::from(stride) * u64::from(size.height)))
                    .map_err(|error| error.to_string())?;
                let mut planes = [Plane::default(); PLANES_MAX];
                planes[0].stride = stride;
                let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
                let layout = Layout { size, format, modifier, planes, plane_count: 1 };
                Ok(Target { layout, fds: vec![fd] })
            }
        }
    }

    fn slot(&self, target: &Target, _current: &Current<'_>) -> Result<Slot, String> {
        let fd_of = |plane: usize| target.fds.get(plane).unwrap_or(&target.fds[0]).as_fd();
        let image = self.context.display().image(&target.layout, fd_of)?;
        let gl = self.painter.gl();
        // SAFETY: the context is current, and the image alive for as long as the slot.
        unsafe {
            let renderbuffer = gl.create_renderbuffer()?;
            gl.bind_renderbuffer(glow::RENDERBUFFER, Some(renderbuffer));
            (self.images.renderbuffer)(glow::RENDERBUFFER, image.handle());
            let (framebuffer, status) = self.painter.framebuffer(renderbuffer)?;
            let slot = Slot { size: target.layout.size, framebuffer, renderbuffer, _image: image };
            if status == glow::FRAMEBUFFER_COMPLETE {
                Ok(slot)
            } else {
                self.delete(&slot);
                Err(format!("its driver can't draw into it (status {status:#x})"))
            }
        }
    }

    /// Deletes what OpenGL has of a slot. The context is current.
    fn delete(&self, slot: &Slot) {
        let gl = self.painter.gl();
        // SAFETY: the context is current, and both are its.
        unsafe {
            gl.delete_framebuffer(slot.framebuffer);
            gl.delete_renderbuffer(slot.renderbuffer);
        }
    }

    fn ask_modifier(&self, storage: &Storage, layout: &Layout) -> Result<Modifier, String> {
        imports::check(storage, layout, self.painter.edge_max())?;
        let (TargetMemory::Gpu(device), Memory::DmaBuf { exporter }) =
            (&self.memory, &storage.memory)
        else {
            return Err(format!("{} is no GPU that could know it", self.name));
        };
        if !can_only_be_of(device.node(), exporter) {
            // Another GPU would believe that it is linear.
            return Err("nothing says which of several GPUs it is of".to_owned());
        }
        match device.modifier(layout, |plane| plane_fd(storage, plane))? {
            Modifier::INVALID => Err(format!("{} doesn't say it", self.name)),
            modifier => Ok(modifier),
        }
    }

    /// Draws what changed of the visible picture of memory that was imported.
    fn draw(
        &self,
        storage: StorageId,
        view: &View,
        damage: &Damage,
        canvas: Canvas,
        _current: &Current<'_>,
    ) -> Result<(), BlitError> {
        let from = self.imports.get(storage, &view.layout);
        let from = from.ok_or_else(|| broken("the memory wasn't imported"))?;
        if !within(view.visible, view.layout.size) {
            return Err(broken("what is to be seen isn't within the memory"));
        }
        let (gl, bound) = (self.painter.gl(), from.kind.target());
        // The first last, so that its unit stays the active one.
        for (unit, (image, texture)) in from.textures.iter().enumerate().rev() {
            // SAFETY: the context is current, the image and its texture are alive. Binding them
            // again makes what others wrote since the last time visible.
            unsafe {
                gl.active_texture(glow::TEXTURE0 + unit as u32);
                gl.bind_texture(bound, Some(*texture));
                (self.images.texture)(bound, image.handle());
            }
        }
        self.painter.draw(from.kind, canvas, view, damage).map_err(BlitError::Draw)
    }

    /// Waits for what was drawn, or gives what can be waited for.
    fn finish(&self, current: &Current<'_>) -> Blit {
        let fence = current.fence();
        let gl = self.painter.gl();
        // SAFETY: the context is current.
        unsafe { gl.flush() };
        if let Some(fd) = fence.and_then(|fence| fence.fd()) {
            return Blit::When(fd);
        }
        // SAFETY: as above.
        unsafe { gl.finish() };
        Blit::Done
    }
}

fn broken(reason: &str) -> BlitError {
    BlitError::Draw(reason.to_owned())
}

/// Whether a renderer of this name draws with the CPU.
fn is_software(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["llvmpipe", "softpipe", "swrast", "software"].iter().any(|known| name.contains(known))
}

fn within(inner: Rect, outer: Size) -> bool {
    let end = |start: u32, length: u32| start.checked_add(length).filter(|_| length > 0);
    end(inner.x, inner.width).is_some_and(|end| end <= outer.width)
        && end(inner.y, inner.height).is_some_and(|end| end <= outer.height)
}

impl Blitter for Gpu {
    fn name(&self) -> &str {
        &self.name
    }

    fn import(&mut self, storage: &Storage, layout: &Layout) -> Result<(), BlitError> {
        let known = self.imports.known(storage.id, layout);
        let imported = known.unwrap_or_else(|| {
            let _current = self.context.enter()?;
            self.imports.import(
                storage,
                layout,
                (self.context.display(), &self.painter, &self.images),
            )
        });
        imported.map_err(BlitError::Import)
    }

    fn modifier(&mut self, storage: &Storage, layout: &Layout) -> Result<Modifier, BlitError> {
        self.ask_modifier(storage, layout).map_err(BlitError::Layout)
    }

    fn target(
        &mut self,
        slot: u8,
        size: Size,
        modifiers: &[Modifier],
    ) -> Result<Target, BlitError> {
        self.drop_target(slot);
        let target = self.make(size, modifiers).map_err(BlitError::Target)?;
        let current = self.context.enter().map_err(BlitError::Target)?;
        let made = self.slot(&target, &current).map_err(BlitError::Target)?;
        drop(current);
        self.slots[usize::from(slot)] = Some(made);
        Ok(target)
    }

    fn drop_target(&mut self, slot: u8) {
        if let Some(slot) = self.slots[usize::from(slot)].take()
            && let Ok(_current) = self.context.enter()
        {
            self.delete(&slot);
        }
    }

    fn blit(
        &mut self,
        slot: u8,
        storage: StorageId,
        view: &View,
        damage: &Damage,
    ) -> Result<Blit, BlitError> {
        let to = self.slots[usize::from(slot)].as_ref().filter(|slot| slot.size == view.size());
        let to = to.ok_or_else(|| broken("there is no target of the picture's size"))?;
        let canvas = Canvas { framebuffer: to.framebuffer, blue_first: false };
        let current = self.context.enter().map_err(BlitError::Draw)?;
        self.draw(storage, view, damage, canvas, &current)?;
        Ok(self.finish(&current))
    }

    fn forget(&mut self, storage: StorageId) {
        if self.imports.has(storage)
            && let Ok(_current) = self.context.enter()
        {
            self.imports.forget(storage, &self.painter);
        }
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
