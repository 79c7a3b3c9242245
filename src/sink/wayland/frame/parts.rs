//! The surfaces of the frame: four edges with the shadow, by which the window is resized, and the title bar.

use wayland_client::QueueHandle;
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_subsurface::WlSubsurface, wl_surface::WlSurface,
};
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use super::super::State;
use super::super::fit::Scale;
use super::super::globals::{Globals, Quiet, int};
use super::super::sheet::sheet;
use super::paint::{BAR, Canvas, Outline, Place, SHADOW, places};
use crate::frame::Size;
use crate::text::Colour;

/// So far from the window its edges can be taken hold of.
const HANDLE: u32 = 12;
const CLEAR: Colour = [0; 4];
/// Which part the bar is.
pub(super) const BAR_PART: usize = 4;

#[derive(Debug)]
struct Part {
    surface: WlSurface,
    subsurface: WlSubsurface,
    viewport: Option<WpViewport>,
    buffer: Option<WlBuffer>,
}

impl Part {
    /// What is committed to it shows with the window's next commit.
    fn new(globals: &Globals, qh: &QueueHandle<State>, base: &WlSurface) -> Self {
        let surface = globals.compositor.create_surface(qh, Quiet);
        let subsurface = globals.subcompositor.get_subsurface(&surface, base, qh, Quiet);
        let viewport = globals.viewporter.as_ref().map(|v| v.get_viewport(&surface, qh, Quiet));
        Self { surface, subsurface, viewport, buffer: None }
    }

    fn paint(
        &mut self,
        (globals, qh): (&Globals, &QueueHandle<State>),
        place: Place,
        scale: Scale,
        paint: impl FnOnce(&mut Canvas<'_>),
    ) {
        let Size { width, height } = scale.device_size(place.size);
        let size = Size { width: width.max(1), height: height.max(1) };
        let painted = sheet(globals, qh, size, |out, stride| {
            paint(&mut Canvas { place, size, stride, out });
        });
        match painted {
            Ok(buffer) => self.show(place, size, buffer),
            Err(error) => tracing::warn!(%error, "no memory for the window's frame"),
        }
    }

    fn show(&mut self, place: Place, size: Size, buffer: WlBuffer) {
        self.subsurface.set_position(place.x, place.y);
        self.surface.attach(Some(&buffer), 0, 0);
        self.surface.damage_buffer(0, 0, int(size.width), int(size.height));
        if let Some(viewport) = &self.viewport {
            viewport.set_destination(int(place.size.width), int(place.size.height));
        }
        self.surface.commit();
        if let Some(old) = self.buffer.replace(buffer) {
            old.destroy();
        }
    }

    fn hide(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.surface.attach(None, 0, 0);
            self.surface.commit();
            buffer.destroy();
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(viewport) = &self.viewport {
            viewport.destroy();
        }
        self.subsurface.destroy();
        self.surface.destroy();
        if let Some(buffer) = &self.buffer {
            buffer.destroy();
        }
    }
}

/// All of them: above, left, right, below, the bar.
#[derive(Debug)]
pub(super) struct Parts([Part; 5]);

impl Parts {
    pub(super) fn new(globals: &Globals, qh: &QueueHandle<State>, base: &WlSurface) -> Self {
        Self(std::array::from_fn(|_| Part::new(globals, qh, base)))
    }

    /// Which one that surface is.
    pub(super) fn find(&self, surface: &WlSurface) -> Option<usize> {
        self.0.iter().position(|part| part.surface == *surface)
    }

    /// Paints the edges, or takes them away.
    pub(super) fn paint_edges(
        &mut self,
        with: (&Globals, &QueueHandle<State>),
        outline: Option<Outline>,
        scale: Scale,
    ) {
        let edges = &mut self.0[..BAR_PART];
        let Some(outline) = outline else {
            edges.iter_mut().for_each(Part::hide);
            return;
        };
        for (at, (part, place)) in edges.iter_mut().zip(places(outline.size)).enumerate() {
            // Of the shadow only what is near.
            let (near, along, down) =
                (int(SHADOW - HANDLE), outline.size.width, outline.size.height);
            let (along, down) = (int(along + 2 * HANDLE), int(down + BAR));
            let (x, y, width, height) = match at {
                0 => (near, near, along, int(HANDLE)),
                1 => (near, 0, int(HANDLE), down),
                2 => (0, 0, int(HANDLE), down),
                _ => (near, 0, along, int(HANDLE)),
            };
            let region = with.0.compositor.create_region(with.1, Quiet);
            region.add(x, y, width, height);
            part.surface.set_input_region(Some(&region));
            region.destroy();
            part.paint(with, place, scale, |canvas| canvas.ground(&outline, CLEAR));
        }
    }

    pub(super) fn paint_bar(
        &mut self,
        with: (&Globals, &QueueHandle<State>),
        size: Size,
        scale: Scale,
        paint: impl FnOnce(&mut Canvas<'_>),
    ) {
        self.0[BAR_PART].paint(with, places(size)[BAR_PART], scale, paint);
    }
}
