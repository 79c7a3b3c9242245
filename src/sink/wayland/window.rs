//! The window: a black surface as large as it, and in its middle a subsurface with the picture.

mod overlay;

use std::io;

use smithay_client_toolkit::shell::WaylandSurface;
use smithay_client_toolkit::shell::xdg::window::{
    Window as Toplevel, WindowConfigure, WindowDecorations,
};
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_output, wl_output::WlOutput, wl_subsurface::WlSubsurface,
    wl_surface::WlSurface,
};
use wayland_client::{Connection, QueueHandle};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_v1::WpFractionalScaleV1;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use super::background::Background;
use super::cursor::View;
use super::events::{FrameDone, Placed, PreferredScale};
use super::fit::{Fit, Place, Scale, fit};
use super::frame::Frame;
use super::globals::{Globals, Quiet, int};
use super::hints::Hints;
use super::imports::Shape;
use super::outputs::Outputs;
use super::sizing::Sizing;
use super::{State, WindowOptions};
use crate::frame::{Rect, Size, SizeHint, Transform};
use crate::port::CommitId;
use crate::text::FindFont;
use overlay::Overlay;
pub(super) use overlay::Slot;

/// Smaller than this a window can't be found again.
const MIN_SIZE: (u32, u32) = (64, 48);
/// No bar shows more of a title, and a message has room for 4096 bytes. Virtual machines name themselves.
const TITLE_MAX: usize = 512;

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
    pub(super) scale: Scale,
    /// The compositor has said which scale it prefers.
    pub(super) preferred: bool,
    /// One of either surface, where there are any.
    pub(super) fractional: Vec<WpFractionalScaleV1>,
    shape: Option<Shape>,
    place: Option<Place>,
    /// What the place follows from has changed.
    stale: bool,
    /// Whether the guest is told how large the window is; and what it was told last.
    resize_guest: bool,
    told: Option<SizeHint>,
    hints: Hints,
    overlay: Overlay,
    title: String,
    notice: Option<String>,
    muted: bool,
    note: Option<String>,
    pub(super) frame: Frame,
    /// To be used once, when the window is there.
    activation: Option<String>,
    toplevel: Toplevel,
}

impl Window {
    pub(super) fn new(
        globals: &Globals,
        qh: &QueueHandle<State>,
        options: &WindowOptions,
        output: Option<&WlOutput>,
        mut frame: Frame,
        find_font: FindFont,
    ) -> io::Result<Self> {
        let Globals { compositor, subcompositor, viewporter, .. } = globals;
        let main = compositor.create_surface(qh, Placed);
        let picture = compositor.create_surface(qh, Placed);
        // Alpha in a guest's framebuffer means nothing; and behind the window nothing shows.
        let everything = compositor.create_region(qh, Quiet);
        everything.add(0, 0, i32::MAX, i32::MAX);
        picture.set_opaque_region(Some(&everything));
        main.set_opaque_region(Some(&everything));
        everything.destroy();
        // The pointer is always on the window itself: compositors lock it to nothing else.
        let nothing = compositor.create_region(qh, Quiet);
        picture.set_input_region(Some(&nothing));
        nothing.destroy();
        let subsurface = subcompositor.get_subsurface(&picture, &main, qh, Quiet);
        subsurface.set_desync();
        let viewport = viewporter.as_ref().map(|v| v.get_viewport(&picture, qh, Quiet));
        let background = Background::new(globals, qh, &main)?;
        let fractional = globals.fractional_scale.iter().flat_map(|manager| {
            [&main, &picture].map(|of| manager.get_fractional_scale(of, qh, PreferredScale))
        });
        let fractional = fractional.collect();
        let hints = Hints::new(globals, qh, [&main, &picture], options);

        let decorations = WindowDecorations::RequestServer;
        let toplevel = globals.xdg.create_window(main, decorations, qh);
        let title = shortened(&options.title).to_owned();
        toplevel.set_title(&title);
        frame.set_title(&title);
        toplevel.set_app_id(&options.app_id);
        toplevel.set_min_size(Some(MIN_SIZE));
        if let Some(icons) = &globals.icons {
            let icon = icons.create_icon(qh, Quiet);
            icon.set_name(options.app_id.clone());
            icons.set_icon(toplevel.xdg_toplevel(), Some(&icon));
            icon.destroy();
        }
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
            preferred: false,
            fractional,
            shape: None,
            place: None,
            stale: true,
            resize_guest: options.resize_guest,
            told: None,
            hints,
            overlay: Overlay::new(find_font),
            title,
            notice: None,
            muted: false,
            note: None,
            frame,
            activation: options.activation.clone(),
            toplevel,
        })
    }

    pub(super) fn toplevel(&self) -> &Toplevel {
        &self.toplevel
    }

    /// What it is called from now on.
    pub(super) fn set_title(&mut self, with: (&Globals, &QueueHandle<State>), title: &str) {
        shortened(title).clone_into(&mut self.title);
        self.say_title(with);
    }

    /// What its title bar says besides.
    pub(super) fn set_note(&mut self, with: (&Globals, &QueueHandle<State>), note: Option<String>) {
        self.note = note;
        self.say_title(with);
    }

    /// As [`set_note`](Self::set_note), and before it.
    pub(super) fn set_notice(
        &mut self,
        with: (&Globals, &QueueHandle<State>),
        notice: Option<String>,
    ) {
        self.notice = notice;
        self.say_title(with);
    }

    /// As that, between the two.
    pub(super) fn set_muted(&mut self, with: (&Globals, &QueueHandle<State>), muted: bool) {
        if std::mem::replace(&mut self.muted, muted) != muted {
            self.say_title(with);
        }
    }

    fn say_title(&mut self, with: (&Globals, &QueueHandle<State>)) {
        let title = self.full_title();
        self.frame.set_title(&title);
        self.toplevel.set_title(title);
        self.touch_up(with);
    }

    fn full_title(&self) -> String {
        let muted = self.muted.then_some("muted");
        let notes = [self.notice.as_deref(), self.overlay.note(), muted, self.note.as_deref()];
        let notes = notes.into_iter().flatten();
        notes.fold(self.title.clone(), |title, note| format!("{title} ({note})"))
    }

    /// Draws what has changed of the frame.
    pub(super) fn touch_up(&mut self, with: (&Globals, &QueueHandle<State>)) {
        if self.configured && self.wanted {
            self.frame.touch_up(with, &self.toplevel);
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

    /// How the picture lies in the window, once there is one.
    pub(super) fn view(&self) -> Option<View> {
        let (place, shape) = (self.place?, self.shape?);
        self.configured.then_some(View { place, picture: shape.size, scale: self.scale })
    }

    /// The pixel of the guest's picture that is nearest to that point of the window, once there is a picture.
    pub(super) fn pixel(&self, at: (f64, f64)) -> Option<(u32, u32)> {
        Some(self.place?.pixel(self.shape?.size, at))
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
        let main_changed = mapped
            && (self.frame.surround((globals, qh), &self.toplevel, size, self.scale)
                | self.background.cover(globals, qh, self.toplevel.wl_surface(), size));
        let surfaces = (self.toplevel.wl_surface(), &self.picture);
        let said = mapped && self.overlay.lay_out((globals, qh), surfaces, size, self.scale);
        if mapped && (moved || main_changed) {
            // Both at once: the picture's commit waits for the window's.
            self.subsurface.set_sync();
            self.picture.commit();
            self.toplevel.commit();
            self.subsurface.set_desync();
            if let (Some(token), Some(manager)) = (self.activation.take(), &globals.activation) {
                manager.activate(token, self.toplevel.wl_surface());
            }
            return;
        }
        if picture_changed {
            self.picture.commit();
        }
        if said {
            self.toplevel.commit();
        }
    }

    pub(super) fn configure(
        &mut self,
        (globals, connection, qh): (&Globals, &Connection, &QueueHandle<State>),
        configure: &WindowConfigure,
    ) {
        self.frame.configure(configure, (connection, qh));
        self.configured = true;
        self.fullscreen = configure.is_fullscreen();
        self.hints.keep_awake(globals, qh, self.toplevel.wl_surface(), self.fullscreen);
        self.sizing.configure(self.frame.inside(configure));
        self.stale = true;
        self.lay_out(globals, qh, false);
    }

    /// The scale that the compositor prefers.
    pub(super) fn prefer(&mut self, globals: &Globals, qh: &QueueHandle<State>, scale: Scale) {
        self.preferred = true;
        self.set_scale(globals, qh, scale);
    }

    /// The scale, as far as it is known.
    pub(super) fn set_scale(&mut self, globals: &Globals, qh: &QueueHandle<State>, scale: Scale) {
        // Where nothing can be scaled each of the guest's pixels is a logical one.
        if self.viewport.is_some() && std::mem::replace(&mut self.scale, scale) != scale {
            self.stale = true;
            self.lay_out(globals, qh, false);
        }
    }

    /// What the guest is to be told, if anything new: only of a size that isn't its own, so that the
    /// window and the guest never chase each other.
    pub(super) fn hint(&mut self, outputs: &Outputs) -> Option<SizeHint> {
        let asks = self.resize_guest && self.viewport.is_some();
        let window = self.sizing.given().filter(|_| asks)?;
        let size = self.scale.device_size(window);
        let hint = SizeHint { size, mm: outputs.mm(size) };
        (self.told.replace(hint) != Some(hint)).then_some(hint)
    }
}

fn shortened(title: &str) -> &str {
    &title[..title.floor_char_boundary(TITLE_MAX)]
}

impl Drop for Window {
    /// Nothing is shown before the buffers go. The toplevel and its surface follow by themselves.
    fn drop(&mut self) {
        self.overlay.destroy();
        let main = self.toplevel.wl_surface();
        for surface in [&self.picture, main] {
            surface.attach(None, 0, 0);
            surface.commit();
        }
        self.hints.destroy();
        self.fractional.iter().for_each(WpFractionalScaleV1::destroy);
        if let Some(viewport) = &self.viewport {
            viewport.destroy();
        }
        self.subsurface.destroy();
        self.picture.destroy();
        self.background.destroy();
    }
}
