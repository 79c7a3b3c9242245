//! What the viewer itself says above the picture: a panel in the corner, and one in the middle over the
//! dimmed picture.
//!
//! They are surfaces of their own, which exist only while they say something and change only when that
//! changes. The pointer goes through them.

use wayland_client::QueueHandle;
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_subsurface::WlSubsurface, wl_surface::WlSurface,
};
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use super::{Scale, State, Window};
use crate::frame::Size;
use crate::sink::wayland::fit::Span;
use crate::sink::wayland::globals::{Globals, Quiet, int};
use crate::sink::wayland::sheet::sheet;
use crate::text::{FindFont, Painter, Panel};

/// From the window's edge, in logical pixels.
const MARGIN: u32 = 12;
/// How much of the picture a status takes away, of 255.
const DIM: u8 = 150;

/// Which panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink::wayland) enum Slot {
    /// In the corner.
    Hud,
    /// In the middle, over the dimmed picture.
    Status,
}

/// The panels of a window.
#[derive(Debug)]
pub(super) struct Overlay {
    hud: Option<Sheet>,
    status: Option<Sheet>,
    dim: Option<Dim>,
    text: Text,
}

/// What writes.
#[derive(Debug)]
enum Text {
    /// Looked for when it is needed.
    Unopened(FindFont),
    Open(FindFont, Box<Painter>),
    None,
}

impl Text {
    fn painter(&mut self) -> Option<&mut Painter> {
        if let Self::Unopened(find) = *self {
            *self = match Painter::new(find) {
                Ok(painter) => Self::Open(find, Box::new(painter)),
                Err(error) => {
                    tracing::warn!("{error}");
                    Self::None
                }
            };
        }
        match self {
            Self::Open(_, painter) => Some(painter),
            _ => None,
        }
    }

    /// Gives back what the font takes.
    fn close(&mut self) {
        if let Self::Open(find, _) = *self {
            *self = Self::Unopened(find);
        }
    }
}

/// A panel, and how it is shown.
#[derive(Debug)]
struct Sheet {
    panel: Panel,
    shown: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    layer: Layer,
    buffer: WlBuffer,
    /// Its text has changed since.
    stale: bool,
    scale: Scale,
    /// Device pixels of its text, and the least room in which it looks like that.
    size: Size,
    needs: Option<Size>,
    span: (Span, Span),
}

/// A surface above the picture.
#[derive(Debug)]
struct Layer {
    surface: WlSurface,
    subsurface: WlSubsurface,
    viewport: Option<WpViewport>,
}

impl Layer {
    /// It stays in step with `parent`: what is committed here shows with the next commit there.
    fn new(globals: &Globals, qh: &QueueHandle<State>, parent: &WlSurface) -> Self {
        let surface = globals.compositor.create_surface(qh, Quiet);
        let nothing = globals.compositor.create_region(qh, Quiet);
        surface.set_input_region(Some(&nothing));
        nothing.destroy();
        let subsurface = globals.subcompositor.get_subsurface(&surface, parent, qh, Quiet);
        let viewport = globals.viewporter.as_ref().map(|v| v.get_viewport(&surface, qh, Quiet));
        Self { surface, subsurface, viewport }
    }

    fn destroy(&self) {
        if let Some(viewport) = &self.viewport {
            viewport.destroy();
        }
        self.subsurface.destroy();
        self.surface.destroy();
    }
}

impl Shown {
    fn destroy(&self) {
        self.layer.destroy();
        self.buffer.destroy();
    }
}

impl Sheet {
    fn hide(&self) {
        if let Some(shown) = &self.shown {
            shown.destroy();
        }
    }
}

/// One dark pixel over the whole window: nothing of the guest's memory is touched.
#[derive(Debug)]
struct Dim {
    layer: Layer,
    pixel: WlBuffer,
    size: Size,
}

impl Dim {
    /// `None` where nothing can be scaled, or there is no memory for a pixel.
    fn new(
        globals: &Globals,
        qh: &QueueHandle<State>,
        parent: &WlSurface,
        picture: &WlSurface,
    ) -> Option<Self> {
        globals.viewporter.as_ref()?;
        let pixel = match &globals.single_pixel {
            Some(manager) => {
                let alpha = u32::from_ne_bytes([DIM; 4]);
                manager.create_u32_rgba_buffer(0, 0, 0, alpha, qh, Quiet)
            }
            None => {
                let size = Size { width: 1, height: 1 };
                sheet(globals, qh, size, |pixel, _| pixel[3] = DIM).ok()?
            }
        };
        let layer = Layer::new(globals, qh, parent);
        layer.subsurface.place_above(picture);
        layer.surface.attach(Some(&pixel), 0, 0);
        layer.surface.damage_buffer(0, 0, 1, 1);
        Some(Self { layer, pixel, size: Size { width: 0, height: 0 } })
    }

    fn cover(&mut self, size: Size) -> bool {
        if std::mem::replace(&mut self.size, size) == size {
            return false;
        }
        if let Some(viewport) = &self.layer.viewport {
            viewport.set_destination(int(size.width), int(size.height));
        }
        self.layer.surface.commit();
        true
    }

    fn destroy(&self) {
        self.layer.destroy();
        self.pixel.destroy();
    }
}

impl Overlay {
    pub(super) fn new(find_font: FindFont) -> Self {
        Self { hud: None, status: None, dim: None, text: Text::Unopened(find_font) }
    }

    /// What a panel says from now on; false if it says that already.
    fn set(&mut self, slot: Slot, panel: Option<Panel>) -> bool {
        let held = match slot {
            Slot::Hud => &mut self.hud,
            Slot::Status => &mut self.status,
        };
        if held.as_ref().map(|sheet| &sheet.panel) == panel.as_ref() {
            return false;
        }
        match (panel, &mut *held) {
            (Some(panel), Some(sheet)) => {
                sheet.panel = panel;
                if let Some(shown) = &mut sheet.shown {
                    shown.stale = true;
                }
            }
            (panel, held) => {
                if let Some(sheet) = held.take() {
                    sheet.hide();
                }
                *held = panel.map(|panel| Sheet { panel, shown: None });
            }
        }
        if self.status.is_none()
            && let Some(dim) = self.dim.take()
        {
            dim.destroy();
        }
        if self.hud.is_none() && self.status.is_none() {
            self.text.close();
        }
        true
    }

    /// What the title bar says of it: of a status always, because it is seen in lists of windows too.
    pub(super) fn note(&self) -> Option<&str> {
        let hud = self.hud.as_ref().filter(|_| matches!(self.text, Text::None));
        let sheet = self.status.as_ref().or(hud)?;
        Some(&sheet.panel.note).filter(|note| !note.is_empty()).map(String::as_str)
    }

    /// Brings all panels to a window of that size. Says whether `parent` is to be committed for it.
    pub(super) fn lay_out(
        &mut self,
        (globals, qh): (&Globals, &QueueHandle<State>),
        (parent, picture): (&WlSurface, &WlSurface),
        window: Size,
        scale: Scale,
    ) -> bool {
        let mut changed = false;
        if self.status.is_some() {
            if self.dim.is_none() {
                self.dim = Dim::new(globals, qh, parent, picture);
            }
            changed |= self.dim.as_mut().is_some_and(|dim| dim.cover(window));
        }
        let sheets = [(Slot::Status, &mut self.status), (Slot::Hud, &mut self.hud)];
        for (slot, sheet) in sheets {
            if let Some(sheet) = sheet {
                let canvas = (globals, qh, parent);
                changed |= sheet.lay_out(canvas, &mut self.text, slot, window, scale);
            }
        }
        changed
    }

    pub(super) fn destroy(&self) {
        [&self.hud, &self.status].into_iter().flatten().for_each(Sheet::hide);
        if let Some(dim) = &self.dim {
            dim.destroy();
        }
    }
}

impl Sheet {
    fn lay_out(
        &mut self,
        (globals, qh, parent): (&Globals, &QueueHandle<State>, &WlSurface),
        text: &mut Text,
        slot: Slot,
        window: Size,
        scale: Scale,
    ) -> bool {
        let within = |edge: u32| edge.saturating_sub(2 * MARGIN).max(1);
        let room = Size { width: within(window.width), height: within(window.height) };
        let room = scale.device_size(room);
        let place = |size: Size| {
            let along = |window: u32, device: u32| {
                let from = match slot {
                    Slot::Hud => MARGIN,
                    Slot::Status => window.saturating_sub(scale.covering(device)) / 2,
                };
                scale.span(from, device)
            };
            (along(window.width, size.width), along(window.height, size.height))
        };
        let fits = |needs: Size| needs.width <= room.width && needs.height <= room.height;
        if let Some(shown) = &mut self.shown
            && !shown.stale
            && shown.scale == scale
            && shown.needs.is_some_and(fits)
        {
            let span = place(shown.size);
            if span == shown.span {
                return false;
            }
            if span.0.covers_as(shown.span.0) && span.1.covers_as(shown.span.1) {
                // Only its place is another.
                shown.layer.subsurface.set_position(int(span.0.start), int(span.1.start));
                shown.span = span;
                return true;
            }
        }
        let Some(painter) = text.painter() else { return false };
        let mut page = painter.lay_out(&self.panel, scale.factor() as f32, room);
        let (size, needs) = (page.size(), page.needs());
        let span = place(size);
        // A logical length can cover a pixel more.
        page.grow(Size { width: span.0.device, height: span.1.device });
        let drawn =
            sheet(globals, qh, page.size(), |out, stride| painter.paint(&page, out, stride));
        let buffer = match drawn {
            Ok(buffer) => buffer,
            Err(error) => {
                tracing::warn!(%error, "no memory for text in the window");
                return false;
            }
        };
        let layer = match self.shown.take() {
            Some(Shown { layer, buffer, .. }) => {
                buffer.destroy();
                layer
            }
            None => Layer::new(globals, qh, parent),
        };
        let Size { width, height } = page.size();
        layer.subsurface.set_position(int(span.0.start), int(span.1.start));
        layer.surface.attach(Some(&buffer), 0, 0);
        layer.surface.damage_buffer(0, 0, int(width), int(height));
        if let Some(viewport) = &layer.viewport {
            viewport.set_destination(int(span.0.length), int(span.1.length));
        }
        layer.surface.commit();
        self.shown = Some(Shown { layer, buffer, stale: false, scale, size, needs, span });
        true
    }
}

impl Window {
    /// What a panel says from now on, if anything.
    pub(in crate::sink::wayland) fn set_panel(
        &mut self,
        globals: &Globals,
        qh: &QueueHandle<State>,
        slot: Slot,
        panel: Option<Panel>,
    ) {
        if !self.overlay.set(slot, panel) {
            return;
        }
        // A status is worth a window, also where there never was a picture.
        self.wanted |= self.overlay.status.is_some();
        self.stale = true;
        self.lay_out(globals, qh, false);
        self.say_title((globals, qh));
    }
}
