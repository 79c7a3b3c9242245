//! The pointer on the frame: none of the guest's business.

use std::time::Duration;

use sctk_adwaita::AdwaitaFrame;
use smithay_client_toolkit::reexports::csd_frame::{
    CursorIcon, DecorationsFrame, FrameAction, FrameClick, ResizeEdge,
};
use wayland_client::protocol::{
    wl_pointer::{self, ButtonState},
    wl_surface::WlSurface,
};
use wayland_client::{Proxy, WEnum};
use wayland_protocols::wp::cursor_shape::v1::client::wp_cursor_shape_device_v1::Shape;
use wayland_protocols::xdg::shell::client::xdg_toplevel;

use super::super::State;
use super::{Frame, Stage};

const BTN_LEFT: u32 = 0x110;
const BTN_RIGHT: u32 = 0x111;

#[derive(Debug)]
pub(super) struct Over {
    surface: WlSurface,
    at: (f64, f64),
    /// Of its coming there.
    serial: u32,
    icon: CursorIcon,
    shown: Option<Shape>,
}

impl Frame {
    /// The pointer has come onto that surface; false where that is no part of the frame.
    fn enter(&mut self, surface: &WlSurface, at: (f64, f64), serial: u32) -> bool {
        self.over = None;
        let moved = |frame: &mut AdwaitaFrame<State>| {
            frame.click_point_moved(Duration::ZERO, &surface.id(), at.0, at.1)
        };
        let Some(icon) = self.drawn().and_then(moved) else { return false };
        self.over = Some(Over { surface: surface.clone(), at, serial, icon, shown: None });
        true
    }

    fn moved(&mut self, time: u32, at: (f64, f64)) {
        let (Stage::Ours(frame), Some(over)) = (&mut self.stage, &mut self.over) else { return };
        over.at = at;
        if let Some(icon) = frame.click_point_moved(moment(time), &over.surface.id(), at.0, at.1) {
            over.icon = icon;
        }
    }

    fn leave(&mut self) {
        self.over = None;
        if let Some(frame) = self.drawn() {
            frame.click_point_left();
        }
    }

    fn click(&mut self, time: u32, button: u32, pressed: bool) -> Option<FrameAction> {
        let click = match button {
            BTN_LEFT => FrameClick::Normal,
            BTN_RIGHT => FrameClick::Alternate,
            _ => return None,
        };
        let at = self.over.as_ref()?.at;
        let frame = self.drawn()?;
        Some(match frame.on_click(moment(time), click, pressed)? {
            // From the corner of the window's own surface.
            FrameAction::ShowMenu(..) => {
                let (x, y) = frame.location();
                FrameAction::ShowMenu(x + at.0 as i32, y + at.1 as i32)
            }
            action => action,
        })
    }

    /// The pointer's shape, and the serial to say it with, where that is another than it was.
    fn shape(&mut self) -> Option<(u32, Shape)> {
        let over = self.over.as_mut()?;
        let shape = shape(over.icon);
        (over.shown.replace(shape) != Some(shape)).then_some((over.serial, shape))
    }
}

fn moment(time: u32) -> Duration {
    Duration::from_millis(time.into())
}

fn shape(icon: CursorIcon) -> Shape {
    match icon {
        CursorIcon::NResize => Shape::NResize,
        CursorIcon::NeResize => Shape::NeResize,
        CursorIcon::EResize => Shape::EResize,
        CursorIcon::SeResize => Shape::SeResize,
        CursorIcon::SResize => Shape::SResize,
        CursorIcon::SwResize => Shape::SwResize,
        CursorIcon::WResize => Shape::WResize,
        CursorIcon::NwResize => Shape::NwResize,
        _ => Shape::Default,
    }
}

fn edge(edge: ResizeEdge) -> xdg_toplevel::ResizeEdge {
    use xdg_toplevel::ResizeEdge as Edge;
    match edge {
        ResizeEdge::Top => Edge::Top,
        ResizeEdge::Bottom => Edge::Bottom,
        ResizeEdge::Left => Edge::Left,
        ResizeEdge::TopLeft => Edge::TopLeft,
        ResizeEdge::BottomLeft => Edge::BottomLeft,
        ResizeEdge::Right => Edge::Right,
        ResizeEdge::TopRight => Edge::TopRight,
        ResizeEdge::BottomRight => Edge::BottomRight,
        _ => Edge::None,
    }
}

impl State {
    /// Lets the frame have what the pointer does on it; false where it isn't there.
    pub(in super::super) fn on_frame(&mut self, event: &wl_pointer::Event) -> bool {
        use wl_pointer::Event;
        let Some(window) = &mut self.window else { return false };
        let mut clicked = None;
        match *event {
            Event::Enter { serial, ref surface, surface_x, surface_y }
                if window.frame.enter(surface, (surface_x, surface_y), serial) => {}
            _ if window.frame.over.is_none() => return false,
            Event::Leave { .. } => window.frame.leave(),
            Event::Motion { time, surface_x, surface_y } => {
                window.frame.moved(time, (surface_x, surface_y));
            }
            Event::Button { serial, time, button, state: WEnum::Value(how) } => {
                let action = window.frame.click(time, button, how == ButtonState::Pressed);
                clicked = action.map(|action| (action, serial));
            }
            _ => {}
        }
        if let (Some((serial, shape)), Some(pointer)) = (window.frame.shape(), &self.seat.shape) {
            pointer.set_shape(serial, shape);
        }
        window.touch_up();
        if let Some((action, serial)) = clicked {
            self.clicked(&action, serial);
        }
        true
    }

    /// Does what was clicked on.
    fn clicked(&mut self, action: &FrameAction, serial: u32) {
        let (Some(window), Some(seat)) = (&self.window, self.seat.grab.seat()) else { return };
        let toplevel = window.toplevel();
        match *action {
            FrameAction::Minimize => toplevel.set_minimized(),
            FrameAction::Maximize => toplevel.set_maximized(),
            FrameAction::UnMaximize => toplevel.unset_maximized(),
            FrameAction::ShowMenu(x, y) => toplevel.show_window_menu(seat, serial, (x, y)),
            FrameAction::Resize(at) => toplevel.resize(seat, serial, edge(at)),
            FrameAction::Move => toplevel.move_(seat, serial),
            FrameAction::Close => self.close(None),
            _ => {}
        }
    }
}
