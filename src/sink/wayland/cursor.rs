//! The guest's cursor: in place of the desktop's where the guest is told where to point, else above the
//! picture, where the guest has it.
//!
//! What the compositor is told is told once, and no more before it has read that: a guest can change its
//! cursor faster than anybody looks.

mod grid;
mod image;

use std::rc::Rc;

use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::shell::WaylandSurface;
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_display::WlDisplay;
use wayland_client::protocol::wl_pointer::WlPointer;
use wayland_client::protocol::wl_subsurface::WlSubsurface;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, QueueHandle};
use wayland_protocols::wp::cursor_shape::v1::client::wp_cursor_shape_device_v1::{
    Shape, WpCursorShapeDeviceV1,
};
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use super::State;
use super::globals::{Globals, Quiet, int};
use super::seat::Seat;
use super::window::Window;
use crate::frame::{Cursor, Size};
pub(super) use grid::View;
use grid::{FIXED, Grid, Part};
use image::{Drawn, Image};

/// Longest side of what takes the place of the desktop's cursor, in logical pixels: it is seen outside of
/// the window too.
const SIDE_MAX: f64 = 256.0;

/// The cursor of the guest.
#[derive(Debug)]
pub(super) struct Cursors {
    display: WlDisplay,
    /// `None`: the guest has none of its own.
    image: Option<Image>,
    at: (i32, i32),
    visible: bool,
    /// Where the desktop has no shapes.
    arrow: Option<Image>,
    /// In place of the desktop's.
    pointer: Option<Sheet>,
    /// Above the picture.
    scene: Option<(Sheet, WlSubsurface)>,
    /// What the pointer was told to look like, when it came by that serial number.
    told: Option<(u32, Look)>,
    /// How the picture lay then, and whether the pointer was on it.
    view: Option<View>,
    inside: bool,
    /// The compositor hasn't read yet what it was told last.
    busy: bool,
    /// Something has changed since.
    stale: bool,
}

/// What the pointer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Desktop,
    Hidden,
    /// With its hotspot there.
    Guest(i32, i32),
}

/// A surface for a cursor.
#[derive(Debug)]
struct Sheet {
    surface: WlSurface,
    viewport: Option<WpViewport>,
    shown: Option<(Rc<Drawn>, [Part; 2])>,
    /// What was shown before, until the commit.
    before: Option<Rc<Drawn>>,
}

impl Sheet {
    fn new(globals: &Globals, qh: &QueueHandle<State>) -> Self {
        let surface = globals.compositor.create_surface(qh, Quiet);
        let viewport = globals.viewporter.as_ref().map(|v| v.get_viewport(&surface, qh, Quiet));
        Self { surface, viewport, shown: None, before: None }
    }

    /// Is to show those parts; whether there is something to commit.
    fn show(&mut self, drawn: &Rc<Drawn>, parts: [Part; 2]) -> bool {
        let before = self.shown.replace((Rc::clone(drawn), parts));
        let (before, parts_before) = before.unzip();
        let same = before.as_ref().is_some_and(|before| Rc::ptr_eq(before, drawn));
        if !same {
            self.surface.attach(Some(&drawn.buffer), 0, 0);
            let Size { width, height } = drawn.size;
            self.surface.damage_buffer(0, 0, int(width), int(height));
            self.before = before;
        }
        if same && parts_before == Some(parts) {
            return false;
        }
        if let Some(viewport) = &self.viewport {
            let [x, y] = parts.map(|part| f64::from(part.source.0) / FIXED);
            let [width, height] = parts.map(|part| f64::from(part.source.1) / FIXED);
            viewport.set_source(x, y, width, height);
            viewport.set_destination(parts[0].length, parts[1].length);
        }
        true
    }

    /// Is to show nothing; whether there is something to commit.
    fn clear(&mut self) -> bool {
        let Some((before, _)) = self.shown.take() else { return false };
        self.surface.attach(None, 0, 0);
        self.before = Some(before);
        true
    }

    fn destroy(&self) {
        self.viewport.iter().for_each(WpViewport::destroy);
        self.surface.destroy();
    }
}

/// What is needed to show something.
#[derive(Clone, Copy)]
struct Place<'a> {
    globals: &'a Globals,
    seat: &'a Seat,
    window: &'a Window,
    qh: &'a QueueHandle<State>,
}

impl Cursors {
    pub(super) fn new(display: WlDisplay) -> Self {
        Self {
            display,
            image: None,
            at: (0, 0),
            visible: true,
            arrow: None,
            pointer: None,
            scene: None,
            told: None,
            view: None,
            inside: false,
            busy: false,
            stale: false,
        }
    }

    fn define(&mut self, cursor: Option<&Cursor>) {
        self.image = cursor.and_then(|cursor| {
            let refused = |reason| tracing::info!(reason, "the guest's cursor can't be shown");
            Image::new(cursor).map_err(refused).ok()
        });
        if cursor.is_none() {
            (self.at, self.visible) = ((0, 0), true);
        }
    }

    fn tell_pointer(&mut self, place: Place<'_>) -> bool {
        let Place { globals, seat, qh, .. } = place;
        self.inside = self.view.is_some_and(|view| view.contains(seat.at));
        let (Some(pointer), Some(serial)) = (&seat.pointer, seat.over) else {
            self.told = None;
            return false;
        };
        let own = self.image.as_mut().filter(|_| seat.points() && self.inside);
        let view = self.view.filter(|_| globals.viewporter.is_some());
        let grids = view.map_or([Grid::PLAIN; 2], |view| view.grids());
        let (look, changed) = match own {
            _ if seat.grab.is_locked() => (Look::Hidden, false),
            Some(_) if !self.visible => (Look::Hidden, false),
            Some(image) => {
                let sheet = self.pointer.get_or_insert_with(|| Sheet::new(globals, qh));
                show(sheet, image, grids, place).unwrap_or((Look::Desktop, false))
            }
            None if seat.shape.is_some() => (Look::Desktop, false),
            None => self.show_arrow(place),
        };
        self.tell(pointer, seat.shape.as_ref(), serial, (look, changed))
    }

    fn show_arrow(&mut self, place: Place<'_>) -> (Look, bool) {
        let arrow = self.arrow.get_or_insert_with(Image::arrow);
        let sheet = self.pointer.get_or_insert_with(|| Sheet::new(place.globals, place.qh));
        show(sheet, arrow, [Grid::PLAIN; 2], place).unwrap_or((Look::Desktop, false))
    }

    /// Says it, as far as it wasn't; whether anything was said.
    fn tell(
        &mut self,
        pointer: &WlPointer,
        shape: Option<&WpCursorShapeDeviceV1>,
        serial: u32,
        (look, changed): (Look, bool),
    ) -> bool {
        let same = self.told.replace((serial, look)) == Some((serial, look));
        match (look, shape, &self.pointer) {
            _ if same => {}
            (Look::Desktop, Some(shape), _) => shape.set_shape(serial, Shape::Default),
            (Look::Guest(x, y), _, Some(sheet)) => {
                pointer.set_cursor(serial, Some(&sheet.surface), x, y);
            }
            _ => pointer.set_cursor(serial, None, 0, 0),
        }
        if let Some(sheet) = self.pointer.as_mut().filter(|_| changed) {
            sheet.surface.commit();
            sheet.before = None;
        }
        changed || !same
    }

    fn tell_scene(&mut self, place: Place<'_>) -> bool {
        let Place { globals, seat, window, qh } = place;
        let main = window.toplevel().wl_surface();
        let image = self.image.as_mut().filter(|_| self.visible && !seat.points());
        let changed = match (image.zip(self.view), &mut self.scene) {
            (Some((image, view)), scene) => {
                let (sheet, subsurface) = scene.get_or_insert_with(|| above(main, globals, qh));
                match parts_at(image, view, self.at, place) {
                    Some((drawn, parts)) => {
                        subsurface.set_position(parts[0].start, parts[1].start);
                        sheet.show(&drawn, parts)
                    }
                    None => sheet.clear(),
                }
            }
            (None, Some((sheet, _))) => sheet.clear(),
            (None, None) => false,
        };
        if let Some((sheet, _)) = self.scene.as_mut().filter(|_| changed) {
            // It waits for the window's commit, which is also when it moves.
            sheet.surface.commit();
            main.commit();
            sheet.before = None;
        }
        changed
    }
}

impl Drop for Cursors {
    fn drop(&mut self) {
        if let Some((sheet, subsurface)) = &self.scene {
            subsurface.destroy();
            sheet.destroy();
        }
        self.pointer.iter().for_each(Sheet::destroy);
    }
}

/// A surface above the picture.
fn above(main: &WlSurface, globals: &Globals, qh: &QueueHandle<State>) -> (Sheet, WlSubsurface) {
    let sheet = Sheet::new(globals, qh);
    // The pointer is never on it.
    let nothing = globals.compositor.create_region(qh, Quiet);
    sheet.surface.set_input_region(Some(&nothing));
    nothing.destroy();
    let subsurface = globals.subcompositor.get_subsurface(&sheet.surface, main, qh, Quiet);
    (sheet, subsurface)
}

/// Where `image` is seen when the guest has it at `at`, if anywhere.
fn parts_at(
    image: &mut Image,
    view: View,
    at: (i32, i32),
    Place { globals, qh, .. }: Place<'_>,
) -> Option<(Rc<Drawn>, [Part; 2])> {
    let Size { width, height } = image.size();
    let grids = view.grids();
    let drawn = drawn(image, grids, globals, qh)?;
    let rim = drawn.rim;
    let parts = [grids[0].within(at.0, width, rim)?, grids[1].within(at.1, height, rim)?];
    // Where nothing can be cropped it is seen as a whole or not at all.
    let whole = parts[0].length == int(width) && parts[1].length == int(height);
    (whole || globals.viewporter.is_some()).then_some((drawn, parts))
}

fn drawn(
    image: &mut Image,
    grids: [Grid; 2],
    globals: &Globals,
    qh: &QueueHandle<State>,
) -> Option<Rc<Drawn>> {
    let rim = grids[0].rim().max(grids[1].rim());
    let told = |error: &_| tracing::info!(%error, "no memory for a cursor");
    image.drawn(globals, qh, rim).inspect_err(told).ok()
}

/// Has `sheet` show `image` as a pointer; how it looks then, and whether there is something to commit.
fn show(
    sheet: &mut Sheet,
    image: &mut Image,
    grids: [Grid; 2],
    Place { globals, qh, .. }: Place<'_>,
) -> Option<(Look, bool)> {
    let Size { width, height } = image.size();
    let longest = grids[0].length(width).max(grids[1].length(height));
    if globals.viewporter.is_none() && longest > SIDE_MAX {
        tracing::debug!(longest, "the guest's cursor is too large to be shown");
        return None;
    }
    let grids = grids.map(|grid| grid.shrunk(SIDE_MAX / longest));
    let drawn = drawn(image, grids, globals, qh)?;
    let ((x, y), rim) = (image.hotspot(), drawn.rim);
    let parts = [grids[0].around(x, width, rim)?, grids[1].around(y, height, rim)?];
    let changed = sheet.show(&drawn, parts);
    Some((Look::Guest(-parts[0].start, -parts[1].start), changed))
}

impl State {
    /// What the guest's cursor looks like; `None`: it has none of its own.
    pub(super) fn define_cursor(&mut self, cursor: Option<&Cursor>, qh: &QueueHandle<Self>) {
        self.cursors.define(cursor);
        self.show_cursor(qh);
    }

    /// The pointer has come to what is neither the picture nor beside it, and nobody else says how it
    /// looks there.
    pub(super) fn show_arrow(&mut self, serial: u32, qh: &QueueHandle<Self>) {
        let Self { globals, window: Some(window), seat, cursors, .. } = self else { return };
        if let Some(pointer) = seat.pointer.as_ref().filter(|_| seat.shape.is_none()) {
            let look = cursors.show_arrow(Place { globals, seat, window, qh });
            cursors.tell(pointer, None, serial, look);
        }
    }

    /// Where the guest has it.
    pub(super) fn move_cursor(&mut self, at: (i32, i32), visible: bool, qh: &QueueHandle<Self>) {
        let cursors = &mut self.cursors;
        let was = (cursors.at, cursors.visible);
        (cursors.at, cursors.visible) = (at, visible);
        if was != (at, visible) {
            self.show_cursor(qh);
        }
    }

    /// The pointer is elsewhere now.
    pub(super) fn point_cursor(&mut self, qh: &QueueHandle<Self>) {
        let inside = self.cursors.view.is_some_and(|view| view.contains(self.seat.at));
        if inside != self.cursors.inside {
            self.show_cursor(qh);
        }
    }

    /// The picture may lie elsewhere now.
    pub(super) fn fit_cursor(&mut self, qh: &QueueHandle<Self>) {
        if self.window.as_ref().and_then(Window::view) != self.cursors.view {
            self.show_cursor(qh);
        }
    }

    /// Shows it as it is to be, at once or as soon as the compositor has read what it was told before.
    pub(super) fn show_cursor(&mut self, qh: &QueueHandle<Self>) {
        if self.cursors.busy {
            self.cursors.stale = true;
        } else {
            self.show_cursor_now(qh);
        }
    }

    /// The same, where the compositor waits for it.
    pub(super) fn show_cursor_now(&mut self, qh: &QueueHandle<Self>) {
        let Self { globals, window: Some(window), seat, cursors, .. } = self else { return };
        cursors.stale = false;
        cursors.view = window.view();
        let place = Place { globals, seat, window, qh };
        let told = cursors.tell_pointer(place) | cursors.tell_scene(place);
        if told && !cursors.busy {
            cursors.busy = true;
            cursors.display.sync(qh, Read);
        }
    }
}

/// For the compositor's word that it has read what it was told.
#[derive(Debug)]
struct Read;

impl Dispatch2<WlCallback, State> for Read {
    fn event(
        &self,
        state: &mut State,
        _: &WlCallback,
        _: wl_callback::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        state.cursors.busy = false;
        if state.cursors.stale {
            state.show_cursor_now(qh);
        }
    }
}
