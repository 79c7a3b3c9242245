//! The window: a black surface as large as it, and in its middle a subsurface with the picture.

use std::io;

use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::reexports::csd_frame::WindowState;
use smithay_client_toolkit::shell::WaylandSurface;
use smithay_client_toolkit::shell::xdg::window::{
    Window as Toplevel, WindowConfigure, WindowDecorations, WindowHandler,
};
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_callback, wl_callback::WlCallback, wl_output, wl_output::WlOutput,
    wl_subsurface::WlSubsurface, wl_surface, wl_surface::WlSurface,
};
use wayland_client::{Connection, Proxy, QueueHandle};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_v1::{
    self, WpFractionalScaleV1,
};
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use super::background::Background;
use super::fit::{Fit, Place, Scale, fit};
use super::globals::{Globals, Quiet, int};
use super::hints::Hints;
use super::imports::Shape;
use super::outputs::Outputs;
use super::sizing::{Configured, Sizing};
use super::{State, WindowOptions};
use crate::frame::{Rect, Size, SizeHint, Transform};
use crate::port::{CommitId, SinkEvent};

/// Smaller than this a window can't be found again.
const MIN_SIZE: (u32, u32) = (64, 48);

/// The window and both of its surfaces.
#[derive(Debug)]
pub(super) struct Window {
    picture: WlSurface,
    subsurface: WlSubsurface,
    viewport: Option<WpViewport>,
    background: Background,
    fit: Fit,
    /// The compositor has configured the window, so that it may be mapped.
    configured: bool,
    /// There is something to show, so that it is to be mapped.
    wanted: bool,
    sizing: Sizing,
    fullscreen: bool,
    scale: Scale,
    fractional: Option<WpFractionalScaleV1>,
    shape: Option<Shape>,
    place: Option<Place>,
    /// What the place follows from has changed.
    stale: bool,
    /// Whether the guest is told how large the window is; and what it was told last.
    resize_guest: bool,
    told: Option<SizeHint>,
    hints: Hints,
    title: String,
    note: Option<String>,
    toplevel: Toplevel,
}

impl Window {
    pub(super) fn new(
        globals: &Globals,
        qh: &QueueHandle<State>,
        options: &WindowOptions,
        output: Option<&WlOutput>,
    ) -> io::Result<Self> {
        let Globals { compositor, subcompositor, viewporter, .. } = globals;
        let main = compositor.create_surface(qh, Main);
        let picture = compositor.create_surface(qh, Quiet);
        // Alpha in a guest's framebuffer means nothing; and behind the window nothing shows.
        let everything = compositor.create_region(qh, Quiet);
        everything.add(0, 0, i32::MAX, i32::MAX);
        picture.set_opaque_region(Some(&everything));
        main.set_opaque_region(Some(&everything));
        everything.destroy();
        let subsurface = subcompositor.get_subsurface(&picture, &main, qh, Quiet);
        subsurface.set_desync();
        let viewport = viewporter.as_ref().map(|v| v.get_viewport(&picture, qh, Quiet));
        let background = Background::new(globals, qh, &main)?;
        let fractional = globals.fractional_scale.as_ref();
        let fractional = fractional.map(|f| f.get_fractional_scale(&main, qh, PreferredScale));
        let hints = Hints::new(globals, qh, [&main, &picture], options);

        let decorations = WindowDecorations::RequestServer;
        let toplevel = globals.xdg.create_window(main, decorations, qh);
        toplevel.set_title(&options.title);
        toplevel.set_app_id(&options.app_id);
        toplevel.set_min_size(Some(MIN_SIZE));
        if options.fullscreen {
            toplevel.set_fullscreen(output);
        }
        toplevel.commit();
        let size = options.size.filter(|size| size.width > 0 && size.height > 0);
        Ok(Self {
            picture,
            subsurface,
            viewport,
            background,
            fit: options.fit,
            configured: false,
            wanted: false,
            sizing: Sizing::new(size),
            fullscreen: options.fullscreen,
            scale: Scale::ONE,
            fractional,
            shape: None,
            place: None,
            stale: true,
            resize_guest: options.resize_guest,
            told: None,
            hints,
            title: options.title.clone(),
            note: None,
            toplevel,
        })
    }

    pub(super) fn toplevel(&self) -> &Toplevel {
        &self.toplevel
    }

    /// What it is called from now on.
    pub(super) fn set_title(&mut self, title: &str) {
        title.clone_into(&mut self.title);
        self.say_title();
    }

    /// What its title bar says besides.
    pub(super) fn set_note(&mut self, note: Option<String>) {
        self.note = note;
        self.say_title();
    }

    fn say_title(&self) {
        match &self.note {
            Some(note) => self.toplevel.set_title(format!("{} ({note})", self.title)),
            None => self.toplevel.set_title(&self.title),
        }
    }

    /// As large as the screen that it is on, or as before.
    pub(super) fn toggle_fullscreen(&self) {
        if self.fullscreen {
            self.toplevel.unset_fullscreen();
        } else {
            self.toplevel.set_fullscreen(None);
        }
    }

    /// The surface that the picture is on.
    pub(super) fn picture(&self) -> &WlSurface {
        &self.picture
    }

    /// Where the picture is, from the corner of that surface of ours, and its size in the guest.
    pub(super) fn place_seen_from(&self, surface: &WlSurface) -> Option<((f64, f64, Size), Size)> {
        let (place, shape) = (self.place?, self.shape?);
        let (left, top) = if *surface == self.picture { (0, 0) } else { (place.x, place.y) };
        Some(((left.into(), top.into(), place.size), shape.size))
    }

    /// Shows `buffer` in place of what is shown. `damage` is in its pixels.
    pub(super) fn present(
        &mut self,
        (globals, qh): (&Globals, &QueueHandle<State>),
        commit: CommitId,
        buffer: &WlBuffer,
        shape: Shape,
        damage: impl Iterator<Item = Rect>,
    ) {
        self.picture.attach(Some(buffer), 0, 0);
        if self.shape.replace(shape) == Some(shape) {
            for rect in damage {
                let [x, y, width, height] = [rect.x, rect.y, rect.width, rect.height].map(int);
                self.picture.damage_buffer(x, y, width, height);
            }
        } else {
            // What was outside of the damage is elsewhere now, or nowhere.
            self.picture.damage_buffer(0, 0, int(shape.whole.width), int(shape.whole.height));
            self.set_shape(shape);
            self.stale = true;
        }
        self.picture.frame(qh, FrameDone(commit));
        self.lay_out(globals, qh, true);
    }

    /// Shows nothing but black.
    pub(super) fn blank(&mut self, globals: &Globals, qh: &QueueHandle<State>) {
        self.picture.attach(None, 0, 0);
        self.shape = None;
        self.stale = true;
        self.lay_out(globals, qh, true);
    }

    fn set_shape(&self, shape: Shape) {
        self.picture.set_buffer_transform(match shape.transform {
            Transform::Normal => wl_output::Transform::Normal,
            Transform::Flipped => wl_output::Transform::Flipped180,
        });
        if let Some(viewport) = &self.viewport {
            let Size { width, height } = shape.size;
            let [x, y, width, height] = match shape.origin {
                Some((x, y)) => [x, y, width, height].map(f64::from),
                None => [-1.0; 4],
            };
            viewport.set_source(x, y, width, height);
        }
    }

    /// Puts the picture in its place and commits both surfaces, as far as they changed.
    fn lay_out(&mut self, globals: &Globals, qh: &QueueHandle<State>, picture_changed: bool) {
        self.wanted |= picture_changed;
        if !self.wanted {
            return;
        }
        if !std::mem::take(&mut self.stale) {
            if picture_changed {
                self.picture.commit();
            }
            return;
        }
        let picture = self.shape.map(|shape| shape.size);
        let size = match (&self.viewport, picture) {
            // Nothing can be scaled: the window takes the size of the picture.
            (None, Some(picture)) => picture,
            _ => self.sizing.choose(self.scale, picture),
        };
        let place = picture.map(|picture| fit(size, self.scale, picture, self.fit));
        let moved = place.is_some() && place != self.place;
        if let Some(place) = place.filter(|_| moved) {
            self.place = Some(place);
            self.subsurface.set_position(int(place.x), int(place.y));
            if let Some(viewport) = &self.viewport {
                viewport.set_destination(int(place.size.width), int(place.size.height));
            }
        }
        let mapped = self.configured;
        let main_changed =
            mapped && self.background.cover(globals, qh, self.toplevel.wl_surface(), size);
        if mapped && (moved || main_changed) {
            // Both at once: the picture's commit waits for the window's.
            self.subsurface.set_sync();
            self.picture.commit();
            self.toplevel.commit();
            self.subsurface.set_desync();
        } else if picture_changed {
            self.picture.commit();
        }
    }

    fn configure(
        &mut self,
        globals: &Globals,
        qh: &QueueHandle<State>,
        configured: Configured,
        fullscreen: bool,
    ) {
        self.configured = true;
        self.fullscreen = fullscreen;
        self.hints.keep_awake(globals, qh, self.toplevel.wl_surface(), fullscreen);
        self.sizing.configure(configured);
        self.stale = true;
        self.lay_out(globals, qh, false);
    }

    fn set_scale(&mut self, globals: &Globals, qh: &QueueHandle<State>, scale: Scale) {
        // Where nothing can be scaled each of the guest's pixels is a logical one.
        if self.viewport.is_some() && std::mem::replace(&mut self.scale, scale) != scale {
            self.stale = true;
            self.lay_out(globals, qh, false);
        }
    }

    /// What the guest is to be told, if anything new: only of a size that isn't its own, so that the
    /// window and the guest never chase each other.
    fn hint(&mut self, outputs: &Outputs) -> Option<SizeHint> {
        let window =
            self.sizing.given().filter(|_| self.resize_guest && self.viewport.is_some())?;
        let size = self.scale.device_size(window);
        let hint = SizeHint { size, mm: outputs.mm(size) };
        (self.told.replace(hint) != Some(hint)).then_some(hint)
    }
}

impl Drop for Window {
    /// Nothing is shown before the buffers go. The toplevel and its surface follow by themselves.
    fn drop(&mut self) {
        let main = self.toplevel.wl_surface();
        for surface in [&self.picture, main] {
            surface.attach(None, 0, 0);
            surface.commit();
        }
        self.hints.destroy();
        if let Some(fractional) = &self.fractional {
            fractional.destroy();
        }
        if let Some(viewport) = &self.viewport {
            viewport.destroy();
        }
        self.subsurface.destroy();
        self.picture.destroy();
        self.background.destroy();
    }
}

impl WindowHandler for State {
    fn request_close(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &Toplevel) {
        self.close(None);
    }

    fn configure(
        &mut self,
        _: &Connection,
        qh: &QueueHandle<Self>,
        _: &Toplevel,
        configure: WindowConfigure,
        _serial: u32,
    ) {
        let hidden = configure.state.contains(WindowState::SUSPENDED);
        if hidden != std::mem::replace(&mut self.hidden, hidden) {
            self.events.push_back(SinkEvent::Hidden(hidden));
        }
        let size = match configure.new_size {
            (Some(width), Some(height)) => Some(Size { width: width.get(), height: height.get() }),
            _ => None,
        };
        let by_others = WindowState::MAXIMIZED | WindowState::FULLSCREEN | WindowState::TILED;
        let configured = Configured {
            size,
            held: configure.state.intersects(by_others),
            resizing: configure.is_resizing(),
            bounds: configure.suggested_bounds.map(|(width, height)| Size { width, height }),
        };
        let fullscreen = configure.is_fullscreen();
        self.change_window(|window, globals| {
            window.configure(globals, qh, configured, fullscreen);
        });
    }
}

impl State {
    /// Does something to the window that may change what the guest is told of it.
    fn change_window(&mut self, change: impl FnOnce(&mut Window, &Globals)) {
        if let Some(window) = &mut self.window {
            change(window, &self.globals);
            self.events.extend(window.hint(&self.outputs).map(SinkEvent::Resized));
        }
    }

    /// The window is on another screen, or that has changed.
    pub(super) fn moved(&mut self, qh: &QueueHandle<Self>) {
        // Who says nothing about surfaces leaves it to their screens.
        let said = |window: &Window| {
            window.fractional.is_some()
                || window.toplevel.wl_surface().version()
                    >= wl_surface::EVT_PREFERRED_BUFFER_SCALE_SINCE
        };
        let scale = match &self.window {
            Some(window) if said(window) => window.scale,
            _ => self.outputs.scale().map_or(Scale::ONE, Scale::whole),
        };
        self.change_window(|window, globals| window.set_scale(globals, qh, scale));
    }
}

/// For the window's own surface.
#[derive(Debug)]
struct Main;

impl Dispatch2<WlSurface, State> for Main {
    fn event(
        &self,
        state: &mut State,
        _: &WlSurface,
        event: wl_surface::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        match event {
            wl_surface::Event::PreferredBufferScale { factor }
                if state.globals.fractional_scale.is_none() =>
            {
                let scale = Scale::whole(factor);
                state.change_window(|window, globals| window.set_scale(globals, qh, scale));
            }
            wl_surface::Event::Enter { output } => {
                state.outputs.enter(output);
                state.moved(qh);
            }
            wl_surface::Event::Leave { output } => {
                state.outputs.leave(&output);
                state.moved(qh);
            }
            _ => {}
        }
    }
}

/// For what says how many device pixels a logical one has.
#[derive(Debug)]
struct PreferredScale;

impl Dispatch2<WpFractionalScaleV1, State> for PreferredScale {
    fn event(
        &self,
        state: &mut State,
        _: &WpFractionalScaleV1,
        event: wp_fractional_scale_v1::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        if let wp_fractional_scale_v1::Event::PreferredScale { scale } = event {
            let scale = Scale::of_120ths(scale);
            state.change_window(|window, globals| window.set_scale(globals, qh, scale));
        }
    }
}

/// For a frame callback: the commit that it was asked for with.
#[derive(Debug)]
struct FrameDone(CommitId);

impl Dispatch2<WlCallback, State> for FrameDone {
    fn event(
        &self,
        state: &mut State,
        _: &WlCallback,
        event: wl_callback::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        if let wl_callback::Event::Done { .. } = event {
            state.release_before(self.0);
            state.events.push_back(SinkEvent::Presented(self.0));
        }
    }
}
