//! The pointer on the frame: none of the guest's business.

use smithay_client_toolkit::reexports::csd_frame::{WindowManagerCapabilities, WindowState};
use wayland_client::protocol::{
    wl_pointer::{self, ButtonState},
    wl_surface::WlSurface,
};
use wayland_client::{QueueHandle, WEnum};
use wayland_protocols::wp::cursor_shape::v1::client::wp_cursor_shape_device_v1::Shape;
use wayland_protocols::xdg::shell::client::xdg_toplevel::ResizeEdge;

use super::super::State;
use super::paint::{BAR, BUTTON, SHADOW};
use super::parts::BAR_PART;
use super::{Button, Frame};

const BTN_LEFT: u32 = 0x110;
const BTN_RIGHT: u32 = 0x111;
/// Two clicks within so many milliseconds are one of two.
const DOUBLE_CLICK: u32 = 400;
/// So near a corner an edge is the corner.
const CORNER: f64 = 24.0;

#[derive(Debug)]
pub(super) struct Over {
    /// Of the frame's surfaces.
    part: usize,
    at: (f64, f64),
    /// Of its coming there.
    serial: u32,
    spot: Spot,
    shown: Option<Shape>,
}

impl Over {
    pub(super) fn button(&self) -> Option<Button> {
        match self.spot {
            Spot::Button(button) => Some(button),
            _ => None,
        }
    }
}

/// What is at a place of the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spot {
    Bar,
    Button(Button),
    Edge(ResizeEdge),
}

/// What a click is for.
enum Click {
    Minimize,
    Maximize(bool),
    /// From the corner of the window's own surface.
    Menu(i32, i32),
    Resize(ResizeEdge),
    Move,
    Close,
}

impl Frame {
    fn spot(&self, part: usize, (x, y): (f64, f64)) -> Spot {
        let Some(bar) = &self.bar else { return Spot::Bar };
        if part == BAR_PART {
            let within =
                |middle: f32, at: f64| (at - f64::from(middle)).abs() <= f64::from(BUTTON) / 2.0;
            let over = bar.buttons().find(|(_, middle)| within(middle.0, x) && within(middle.1, y));
            return over.map_or(Spot::Bar, |(button, _)| Spot::Button(button));
        }
        let size = bar.outline.size;
        // How far along it is from where the window begins, and how long the window is there.
        let (along, length) = match part {
            0 | 3 => (x - f64::from(SHADOW), f64::from(size.width)),
            _ => (y, f64::from(size.height) + f64::from(BAR)),
        };
        use ResizeEdge::{Bottom, BottomLeft, BottomRight, Left, Right, Top, TopLeft, TopRight};
        let [first, middle, last] = match part {
            0 => [TopLeft, Top, TopRight],
            1 => [TopLeft, Left, BottomLeft],
            2 => [TopRight, Right, BottomRight],
            _ => [BottomLeft, Bottom, BottomRight],
        };
        Spot::Edge(match () {
            () if along < CORNER => first,
            () if along >= length - CORNER => last,
            () => middle,
        })
    }

    /// The pointer has come onto that surface; false where that is no part of the frame.
    fn enter(&mut self, surface: &WlSurface, at: (f64, f64), serial: u32) -> bool {
        self.over = None;
        let Some(part) = self.parts.as_ref().and_then(|parts| parts.find(surface)) else {
            return false;
        };
        self.over = Some(Over { part, at, serial, spot: self.spot(part, at), shown: None });
        true
    }

    fn moved(&mut self, at: (f64, f64)) {
        let Some(part) = self.over.as_ref().map(|over| over.part) else { return };
        let spot = self.spot(part, at);
        self.over.iter_mut().for_each(|over| (over.at, over.spot) = (at, spot));
    }

    fn click(&mut self, time: u32, button: u32, pressed: bool) -> Option<Click> {
        let &Over { spot, at, .. } = self.over.as_ref()?;
        let maximized = self.state.contains(WindowState::MAXIMIZED);
        let can = |what| self.capabilities.contains(what);
        if button == BTN_RIGHT {
            let menu = pressed && can(WindowManagerCapabilities::WINDOW_MENU);
            let on_bar = matches!(spot, Spot::Bar | Spot::Button(_));
            return (menu && on_bar).then(|| Click::Menu(at.0 as i32, at.1 as i32 - BAR as i32));
        }
        match spot {
            _ if button != BTN_LEFT => None,
            Spot::Edge(edge) => pressed.then_some(Click::Resize(edge)),
            Spot::Bar if pressed => {
                let before = self.clicked.replace(time);
                let twice = before.is_some_and(|before| time.wrapping_sub(before) < DOUBLE_CLICK);
                if twice && can(WindowManagerCapabilities::MAXIMIZE) {
                    self.clicked = None;
                    Some(Click::Maximize(!maximized))
                } else {
                    Some(Click::Move)
                }
            }
            Spot::Bar => None,
            // When it is let go, so that one can think better of it.
            Spot::Button(_) if pressed => None,
            Spot::Button(Button::Minimize) => Some(Click::Minimize),
            Spot::Button(Button::Maximize) => Some(Click::Maximize(!maximized)),
            Spot::Button(Button::Close) => Some(Click::Close),
        }
    }

    /// The pointer's shape, and the serial to say it with, where that is another than it was.
    fn shape(&mut self) -> Option<(u32, Shape)> {
        let over = self.over.as_mut()?;
        let shape = shape(over.spot);
        (over.shown.replace(shape) != Some(shape)).then_some((over.serial, shape))
    }
}

fn shape(spot: Spot) -> Shape {
    let Spot::Edge(edge) = spot else { return Shape::Default };
    match edge {
        ResizeEdge::Top => Shape::NResize,
        ResizeEdge::TopRight => Shape::NeResize,
        ResizeEdge::Right => Shape::EResize,
        ResizeEdge::BottomRight => Shape::SeResize,
        ResizeEdge::Bottom => Shape::SResize,
        ResizeEdge::BottomLeft => Shape::SwResize,
        ResizeEdge::Left => Shape::WResize,
        ResizeEdge::TopLeft => Shape::NwResize,
        _ => Shape::Default,
    }
}

impl State {
    /// Lets the frame have what the pointer does on it; false where it isn't there.
    pub(in super::super) fn on_frame(
        &mut self,
        event: &wl_pointer::Event,
        qh: &QueueHandle<Self>,
    ) -> bool {
        use wl_pointer::Event;
        let Some(window) = &mut self.window else { return false };
        let mut clicked = None;
        match *event {
            Event::Enter { serial, ref surface, surface_x, surface_y }
                if window.frame.enter(surface, (surface_x, surface_y), serial) => {}
            _ if window.frame.over.is_none() => return false,
            Event::Leave { .. } => window.frame.over = None,
            Event::Motion { surface_x, surface_y, .. } => {
                window.frame.moved((surface_x, surface_y));
            }
            Event::Button { serial, time, button, state: WEnum::Value(how) } => {
                let click = window.frame.click(time, button, how == ButtonState::Pressed);
                clicked = click.map(|click| (click, serial));
            }
            _ => {}
        }
        if let (Some((serial, shape)), Some(pointer)) = (window.frame.shape(), &self.seat.shape) {
            pointer.set_shape(serial, shape);
        }
        window.touch_up((&self.globals, qh));
        if let Some((click, serial)) = clicked {
            self.clicked(&click, serial);
        }
        true
    }

    /// Does what was clicked on.
    fn clicked(&mut self, click: &Click, serial: u32) {
        let (Some(window), Some(seat)) = (&self.window, self.seat.grab.seat()) else { return };
        let toplevel = window.toplevel();
        match *click {
            Click::Minimize => toplevel.set_minimized(),
            Click::Maximize(true) => toplevel.set_maximized(),
            Click::Maximize(false) => toplevel.unset_maximized(),
            Click::Menu(x, y) => toplevel.show_window_menu(seat, serial, (x, y)),
            Click::Resize(edge) => toplevel.resize(seat, serial, edge),
            Click::Move => toplevel.move_(seat, serial),
            Click::Close => self.close(None),
        }
    }
}
