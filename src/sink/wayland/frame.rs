//! What surrounds the window where the compositor leaves that to us: a title bar, edges and a shadow.
//!
//! It is painted here and needs nobody else, so that the window never waits for it. How the desktop wants it to
//! look is asked on a thread of its own, and changes it when it is said.

mod look;
mod paint;
mod parts;
mod pointer;

use std::thread;

use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::reexports::csd_frame::{WindowManagerCapabilities, WindowState};
use smithay_client_toolkit::shell::WaylandSurface;
use smithay_client_toolkit::shell::xdg::XdgSurface;
use smithay_client_toolkit::shell::xdg::window::{
    DecorationMode, Window as Toplevel, WindowConfigure,
};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::{Connection, QueueHandle};

pub use look::{Button, Buttons, FindLook, Look, find_look};

use super::State;
use super::fit::Scale;
use super::globals::{Globals, int};
use super::sizing::Configured;
use crate::frame::Size;
use crate::text::{FindFont, Mask, Painter};
use look::Colours;
use paint::{BAR, BUTTON, Outline};
use parts::Parts;
use pointer::Over;

/// From the bar's ends, and between buttons.
const MARGIN: f32 = 6.0;
const APART: f32 = 13.0;

/// The window's frame.
#[derive(Debug)]
pub(super) struct Frame {
    /// The compositor has left it to us, and the window isn't as large as the screen.
    ours: bool,
    parts: Option<Parts>,
    state: WindowState,
    capabilities: WindowManagerCapabilities,
    find_look: FindLook,
    /// `None`: nobody was asked.
    look: Option<Look>,
    title: Title,
    /// What its parts show.
    edges: Option<Edges>,
    bar: Option<Bar>,
    /// Where the window is within its surfaces, as far as the compositor was told.
    geometry: Option<(i32, i32, Size)>,
    /// Where on it the pointer is, and when the bar was clicked on.
    over: Option<Over>,
    clicked: Option<u32>,
}

/// What the edges depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Edges {
    outline: Option<Outline>,
    scale: Scale,
}

/// What the bar depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bar {
    outline: Outline,
    scale: Scale,
    look: Look,
    maximized: bool,
    capabilities: WindowManagerCapabilities,
    hovered: Option<Button>,
    title: u32,
}

/// What the bar says. Only what was painted of it is kept, not the font.
#[derive(Debug)]
struct Title {
    find_font: FindFont,
    text: String,
    painted: Option<(Scale, Mask)>,
    /// How often it has changed.
    changes: u32,
}

impl Title {
    fn mask(&mut self, scale: Scale) -> Option<&Mask> {
        if self.painted.as_ref().is_none_or(|(painted_for, _)| *painted_for != scale) {
            self.painted = match Painter::new(self.find_font) {
                Ok(mut painter) => Some((scale, painter.title(&self.text, scale.factor() as f32))),
                Err(error) => {
                    tracing::debug!(%error, "the title bar stays without a title");
                    None
                }
            };
        }
        Some(&self.painted.as_ref()?.1)
    }
}

impl Frame {
    pub(super) fn new(find_look: FindLook, find_font: FindFont) -> Self {
        let (text, painted) = (String::new(), None);
        Self {
            ours: false,
            parts: None,
            state: WindowState::empty(),
            capabilities: WindowManagerCapabilities::all(),
            find_look,
            look: None,
            title: Title { find_font, text, painted, changes: 0 },
            edges: None,
            bar: None,
            geometry: None,
            over: None,
            clicked: None,
        }
    }

    /// Takes what the compositor says of the window.
    pub(super) fn configure(
        &mut self,
        configure: &WindowConfigure,
        (connection, qh): (&Connection, &QueueHandle<State>),
    ) {
        self.ours =
            configure.decoration_mode == DecorationMode::Client && !configure.is_fullscreen();
        (self.state, self.capabilities) = (configure.state, configure.capabilities);
        if self.ours && self.look.is_none() {
            self.look = Some(Look::default());
            self.ask(connection.clone(), qh.clone());
        }
    }

    /// Finds out how it is to look.
    fn ask(&self, connection: Connection, qh: QueueHandle<State>) {
        let find = self.find_look;
        let asked = thread::Builder::new().name("fanlight-look".to_owned()).spawn(move || {
            if let Some(look) = find() {
                // The compositor's answer is what wakes the session's thread.
                connection.display().sync(&qh, Found(look));
                // What isn't sent now is sent with whatever comes next.
                let _ = connection.flush();
            }
        });
        if let Err(error) = asked {
            tracing::debug!(%error, "no thread to ask how the window's frame is to look");
        }
    }

    /// What the compositor says, of what is inside of the frame.
    pub(super) fn inside(&self, configure: &WindowConfigure) -> Configured {
        let mut configured = Configured::from(configure);
        if self.ours {
            let less = |size: Size| Size { height: size.height.saturating_sub(BAR).max(1), ..size };
            configured.size = configured.size.map(less);
            configured.bounds = configured.bounds.map(less);
        }
        configured
    }

    /// Draws it around a window of that size; says whether the window's surface is to be committed.
    pub(super) fn surround(
        &mut self,
        with: (&Globals, &QueueHandle<State>),
        toplevel: &Toplevel,
        size: Size,
        scale: Scale,
    ) -> bool {
        let mut commit = false;
        let geometry = if self.ours {
            commit = self.paint(with, toplevel, size, scale);
            let Size { width, height } = size;
            Some((0, -int(BAR), Size { width, height: height.saturating_add(BAR) }))
        } else {
            commit |= self.parts.take().is_some();
            (self.edges, self.bar, self.over) = (None, None, None);
            // Where it was never ours, the window is its surface.
            self.geometry.map(|_| (0, 0, size))
        };
        if let Some((x, y, size)) = geometry
            && self.geometry != geometry
        {
            self.geometry = geometry;
            let (width, height) = (int(size.width), int(size.height));
            toplevel.xdg_surface().set_window_geometry(x, y, width, height);
            commit = true;
        }
        commit
    }

    /// Paints what has changed of it, if anything.
    fn paint(
        &mut self,
        with: (&Globals, &QueueHandle<State>),
        toplevel: &Toplevel,
        size: Size,
        scale: Scale,
    ) -> bool {
        let parts =
            self.parts.get_or_insert_with(|| Parts::new(with.0, with.1, toplevel.wl_surface()));
        let maximized = self.state.contains(WindowState::MAXIMIZED);
        let outline = Outline {
            size,
            square: maximized || self.state.intersects(WindowState::TILED),
            active: self.state.contains(WindowState::ACTIVATED),
        };
        let mut painted = false;
        let edges = Edges { outline: (!maximized).then_some(outline), scale };
        if self.edges.replace(edges) != Some(edges) {
            parts.paint_edges(with, edges.outline, scale);
            painted = true;
        }
        let bar = Bar {
            outline,
            scale,
            look: self.look.unwrap_or_default(),
            maximized,
            capabilities: self.capabilities,
            hovered: self.over.as_ref().and_then(Over::button),
            title: self.title.changes,
        };
        if self.bar.replace(bar) != Some(bar) {
            let title = self.title.mask(scale);
            parts.paint_bar(with, size, scale, |canvas| {
                let colours = Colours::of(bar.look.dark, outline.active);
                canvas.ground(&outline, colours.ground);
                canvas.line(colours.line);
                if let Some(title) = title {
                    canvas.title(title, bar.room(), colours.text);
                }
                for (button, at) in bar.buttons() {
                    let hovered = bar.hovered == Some(button);
                    canvas.button((button, maximized), at, &colours, hovered);
                }
            });
            painted = true;
        }
        painted
    }

    /// Paints what has changed of it in a window that is there.
    pub(super) fn touch_up(&mut self, with: (&Globals, &QueueHandle<State>), toplevel: &Toplevel) {
        if let Some(Bar { outline, scale, .. }) = self.bar
            && self.ours
            && self.paint(with, toplevel, outline.size, scale)
        {
            toplevel.commit();
        }
    }

    pub(super) fn set_title(&mut self, title: &str) {
        if self.title.text != title {
            title.clone_into(&mut self.title.text);
            self.title.painted = None;
            self.title.changes = self.title.changes.wrapping_add(1);
        }
    }
}

impl Bar {
    /// The buttons, and the middle of each.
    fn buttons(&self) -> impl Iterator<Item = (Button, (f32, f32))> {
        let can = |button: &Button| match button {
            Button::Close => true,
            Button::Minimize => self.capabilities.contains(WindowManagerCapabilities::MINIMIZE),
            Button::Maximize => self.capabilities.contains(WindowManagerCapabilities::MAXIMIZE),
        };
        let known = move |side: Buttons| side.into_iter().flatten().filter(can);
        let width = self.outline.size.width as f32;
        let step = |count: usize| MARGIN + BUTTON / 2.0 + count as f32 * (BUTTON + APART);
        let [left, right] = self.look.buttons;
        let right_count = known(right).count();
        let left = known(left).enumerate().map(move |(at, button)| (button, step(at)));
        let right = known(right)
            .enumerate()
            .map(move |(at, button)| (button, width - step(right_count - 1 - at)));
        // In a narrow window those that there is room for.
        let fits = move |(_, x): &(Button, f32)| *x >= BUTTON / 2.0 && *x <= width - BUTTON / 2.0;
        left.chain(right).filter(fits).map(|(button, x)| (button, (x, BAR as f32 / 2.0)))
    }

    /// Between the buttons on the left and those on the right.
    fn room(&self) -> (f32, f32) {
        let width = self.outline.size.width as f32;
        let beside = BUTTON / 2.0 + MARGIN;
        self.buttons().fold((MARGIN, width - MARGIN), |(from, to), (_, (x, _))| {
            if x < width / 2.0 { (from.max(x + beside), to) } else { (from, to.min(x - beside)) }
        })
    }
}

/// How the frame is to look, on its way to the session's thread.
#[derive(Debug)]
struct Found(Look);

impl Dispatch2<WlCallback, State> for Found {
    fn event(
        &self,
        state: &mut State,
        _: &WlCallback,
        _: wl_callback::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        if let Some(window) = &mut state.window {
            window.frame.look = Some(self.0);
            window.touch_up((&state.globals, qh));
        }
    }
}
