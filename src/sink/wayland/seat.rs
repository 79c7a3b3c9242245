//! The user at the window: keys and the pointer, on their way to the guest.
//!
//! Keys go as the codes that the kernel knows them by: what they mean is up to the guest's layout.

use std::collections::VecDeque;

use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::globals::GlobalList;
use wayland_client::protocol::{
    wl_keyboard::{self, KeyState, KeymapFormat, WlKeyboard},
    wl_pointer::{self, Axis, ButtonState, WlPointer},
    wl_seat::{self, Capability, WlSeat},
    wl_touch::WlTouch,
};
use wayland_client::{Connection, Proxy, QueueHandle, WEnum};
use wayland_protocols::wp::cursor_shape::v1::client::wp_cursor_shape_device_v1::WpCursorShapeDeviceV1;
use wayland_protocols::wp::cursor_shape::v1::client::wp_cursor_shape_manager_v1::WpCursorShapeManagerV1;

use super::globals::Quiet;
use super::grab::Grab;
use super::hotkeys::Action;
use super::keys::{Keys, Meaning};
use super::locks::Locks;
use super::touch::{Fingers, Touched};
use super::window::Window;
use super::{State, WindowOptions};
use crate::frame::{Device, Input, NOTCH, Pointing};
use crate::port::SinkEvent;

/// What compositors call one notch of a wheel where they don't say that it is one.
const UNITS_PER_NOTCH: f64 = 10.0;

/// How much of what the user wants may wait for who runs the session.
const WANTED_MAX: usize = 8;

/// The first seat, as far as it is used.
#[derive(Debug, Default)]
pub(super) struct Seat {
    keyboard: Option<WlKeyboard>,
    pub(super) pointer: Option<WlPointer>,
    shapes: Option<WpCursorShapeManagerV1>,
    pub(super) shape: Option<WpCursorShapeDeviceV1>,
    /// By which serial number the pointer came onto the window, and where it is there.
    pub(super) over: Option<u32>,
    pub(super) at: (f64, f64),
    wheel: Wheel,
    pub(super) keys: Keys,
    pub(super) grab: Grab,
    touch: Option<WlTouch>,
    pub(super) fingers: Fingers,
    pub(super) locks: Locks,
    /// Nothing reaches the guest.
    view_only: bool,
    /// What the sink doesn't do by itself.
    pub(super) wanted: VecDeque<Action>,
}

impl Seat {
    /// The seat of whoever looks at the window, if there is one.
    pub(super) fn bind(
        globals: &GlobalList,
        qh: &QueueHandle<State>,
        options: &WindowOptions,
    ) -> Self {
        // 5 brought frames of pointer events; 8 wheels finer than a notch.
        let seat = globals.bind(qh, 1..=9, Seated).ok();
        let shapes = globals.bind(qh, 1..=1, Quiet).ok();
        let grab = Grab::new(globals, qh, seat, options);
        let keys = Keys::new(options.hotkeys);
        Self { shapes, grab, keys, view_only: options.view_only, ..Self::default() }
    }

    /// Whether the guest has its cursor where the pointer is.
    pub(super) fn points(&self) -> bool {
        self.grab.pointing == Pointing::Absolute && !self.view_only
    }
}

impl State {
    pub(super) fn input(&mut self, input: Input) {
        if self.seat.view_only {
            return;
        }
        // Where the pointer was meanwhile doesn't matter.
        if let (Input::PointerAt { .. }, Some(SinkEvent::Input(last @ Input::PointerAt { .. }))) =
            (&input, self.events.back_mut())
        {
            *last = input;
        } else {
            self.events.push_back(SinkEvent::Input(input));
        }
    }

    fn point(&mut self, x: f64, y: f64, qh: &QueueHandle<Self>) {
        self.seat.at = (x, y);
        self.point_cursor(qh);
        if self.seat.grab.pointing == Pointing::Relative {
            return;
        }
        if let Some((x, y)) = self.pixel_at(x, y) {
            self.input(Input::PointerAt { x, y });
        }
    }

    /// The pixel of the guest's picture that is nearest to that place in the window.
    pub(super) fn pixel_at(&self, x: f64, y: f64) -> Option<(u32, u32)> {
        self.window.as_ref()?.pixel((x, y))
    }

    fn key(&mut self, code: u32, pressed: bool, qh: &QueueHandle<Self>) {
        match self.seat.keys.key(code, pressed) {
            Meaning::Guest(code) => self.input(Input::Key { code, pressed }),
            Meaning::Viewer(action) => self.act(action, qh),
            Meaning::Nothing => {}
        }
    }

    fn act(&mut self, action: Action, qh: &QueueHandle<Self>) {
        match action {
            Action::Grab if self.seat.view_only => {}
            Action::Grab => {
                self.events.push_back(SinkEvent::Left(Device::Keyboard));
                self.set_grabbed(!self.seat.grab.grabbed(), qh);
            }
            Action::Fullscreen => self.window.iter().for_each(Window::toggle_fullscreen),
            Action::Hud | Action::Screenshot | Action::Mute => {
                if self.seat.wanted.len() < WANTED_MAX {
                    self.seat.wanted.push_back(action);
                    self.events.push_back(SinkEvent::Wanted);
                }
            }
        }
    }

    fn leave_keyboard(&mut self, qh: &QueueHandle<Self>) {
        self.may_not_copy();
        self.seat.keys.left();
        self.seat.locks.leave();
        self.set_grabbed(false, qh);
        self.events.push_back(SinkEvent::Left(Device::Keyboard));
        self.leave_touch();
    }

    fn leave_pointer(&mut self, qh: &QueueHandle<Self>) {
        self.seat.over = None;
        self.lock_or_free(qh);
        self.events.push_back(SinkEvent::Left(Device::Pointer));
    }

    fn turn(&mut self) {
        if let Some(turned) = std::mem::take(&mut self.seat.wheel).turned() {
            self.input(turned);
        }
    }
}

/// What one frame of events says of the wheel, to the right and down.
#[derive(Debug, Default)]
struct Wheel {
    /// In 120ths of a notch.
    fine: [i32; 2],
    notches: [i32; 2],
    /// In units of the screen.
    units: [f64; 2],
}

impl Wheel {
    /// The finest that was said of it.
    fn turned(self) -> Option<Input> {
        let [dx, dy] = [0, 1].map(|axis| match (self.fine[axis], self.notches[axis]) {
            (0, 0) => (self.units[axis] / UNITS_PER_NOTCH * f64::from(NOTCH)).round() as i32,
            (0, notches) => notches.saturating_mul(NOTCH),
            (fine, _) => fine,
        });
        ((dx, dy) != (0, 0)).then_some(Input::Wheel { dx, dy })
    }
}

fn index(axis: WEnum<Axis>) -> Option<usize> {
    match axis {
        WEnum::Value(Axis::HorizontalScroll) => Some(0),
        WEnum::Value(Axis::VerticalScroll) => Some(1),
        _ => None,
    }
}

/// For the seat.
#[derive(Debug)]
struct Seated;

impl Dispatch2<WlSeat, State> for Seated {
    fn event(
        &self,
        state: &mut State,
        seat: &WlSeat,
        event: wl_seat::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        let wl_seat::Event::Capabilities { capabilities } = event else { return };
        let has = |wanted| matches!(capabilities, WEnum::Value(all) if all.contains(wanted));
        let ours = &mut state.seat;
        match (has(Capability::Keyboard), &ours.keyboard) {
            (true, None) => ours.keyboard = Some(seat.get_keyboard(qh, Seated)),
            (false, Some(_)) => {
                let keyboard = ours.keyboard.take();
                keyboard.filter(|keyboard| keyboard.version() >= 3).inspect(WlKeyboard::release);
                state.leave_keyboard(qh);
            }
            _ => {}
        }
        let ours = &mut state.seat;
        match (has(Capability::Pointer), &ours.pointer) {
            (true, None) => {
                let pointer = seat.get_pointer(qh, Seated);
                ours.shape = ours.shapes.as_ref().map(|all| all.get_pointer(&pointer, qh, Quiet));
                ours.pointer = Some(pointer);
            }
            (false, Some(_)) => {
                ours.shape.take().inspect(WpCursorShapeDeviceV1::destroy);
                let pointer = ours.pointer.take();
                pointer.filter(|pointer| pointer.version() >= 3).inspect(WlPointer::release);
                state.leave_pointer(qh);
            }
            _ => {}
        }
        let ours = &mut state.seat;
        match (has(Capability::Touch), &ours.touch) {
            (true, None) => ours.touch = Some(seat.get_touch(qh, Touched)),
            (false, Some(_)) => {
                let touch = ours.touch.take();
                touch.filter(|touch| touch.version() >= 3).inspect(WlTouch::release);
                state.leave_touch();
            }
            _ => {}
        }
    }
}

impl Dispatch2<WlKeyboard, State> for Seated {
    fn event(
        &self,
        state: &mut State,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        match event {
            wl_keyboard::Event::Key { serial, key: code, state: WEnum::Value(how), .. } => {
                match how {
                    KeyState::Pressed => {
                        state.may_copy(serial, qh);
                        state.key(code, true, qh);
                    }
                    KeyState::Released => state.key(code, false, qh),
                    // The guest repeats by itself.
                    _ => {}
                }
            }
            wl_keyboard::Event::Keymap { format, .. } => {
                state.seat.locks.keymap(format == WEnum::Value(KeymapFormat::XkbV1));
            }
            wl_keyboard::Event::Modifiers { mods_locked, .. } => {
                state.seat.locks.locked(mods_locked);
                state.sync_locks();
            }
            // What was down when the window got the keyboard wasn't meant for the guest.
            wl_keyboard::Event::Enter { serial, .. } => {
                state.seat.locks.enter();
                state.may_copy(serial, qh);
            }
            wl_keyboard::Event::Leave { .. } => state.leave_keyboard(qh),
            _ => {}
        }
    }
}

impl Dispatch2<WlPointer, State> for Seated {
    fn event(
        &self,
        state: &mut State,
        pointer: &WlPointer,
        event: wl_pointer::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        use wl_pointer::Event;
        if state.on_frame(&event, qh) {
            if let Event::Enter { serial, .. } = event {
                state.show_arrow(serial, qh);
            }
            return;
        }
        match event {
            Event::Enter { serial, surface_x, surface_y, .. } => {
                state.seat.over = Some(serial);
                state.point(surface_x, surface_y, qh);
                state.lock_or_free(qh);
                state.show_cursor_now(qh);
            }
            Event::Leave { .. } => state.leave_pointer(qh),
            Event::Motion { surface_x, surface_y, .. } => state.point(surface_x, surface_y, qh),
            Event::Button { serial, button: code, state: WEnum::Value(how), .. } => {
                let pressed = how == ButtonState::Pressed;
                state.may_still_copy(serial, qh);
                if pressed && state.seat.grab.wants_click() {
                    // It says only whom the pointer is for.
                    state.set_grabbed(true, qh);
                } else {
                    state.input(Input::Button { code, pressed });
                }
            }
            Event::Axis { axis, value, .. } => {
                if let Some(axis) = index(axis) {
                    state.seat.wheel.units[axis] += value;
                }
                // Before version 5 nothing says that it was all.
                if pointer.version() < 5 {
                    state.turn();
                }
            }
            Event::AxisDiscrete { axis, discrete } => {
                if let Some(axis) = index(axis) {
                    let notches = &mut state.seat.wheel.notches[axis];
                    *notches = notches.saturating_add(discrete);
                }
            }
            Event::AxisValue120 { axis, value120 } => {
                if let Some(axis) = index(axis) {
                    let fine = &mut state.seat.wheel.fine[axis];
                    *fine = fine.saturating_add(value120);
                }
            }
            Event::Frame => state.turn(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_finest_of_the_wheel_counts() {
        let wheel = |fine, notches, units| {
            let wheel = Wheel { fine: [0, fine], notches: [0, notches], units: [0.0, units] };
            wheel.turned()
        };
        let down = |dy| Some(Input::Wheel { dx: 0, dy });
        assert_eq!(wheel(30, 0, 10.0), down(30));
        assert_eq!(wheel(0, -2, -20.0), down(-240));
        assert_eq!(wheel(0, 0, 5.0), down(60));
        assert_eq!(wheel(0, 0, 0.0), None);
        assert_eq!(wheel(0, i32::MAX, 0.0), down(i32::MAX));
    }
}
