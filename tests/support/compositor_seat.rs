//! The seat of the compositor: what its user does is what the test says.

use wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_device_v1::{
    self, Shape, WpCursorShapeDeviceV1,
};
use wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_manager_v1::{
    self, WpCursorShapeManagerV1,
};
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::server::{
    zwp_keyboard_shortcuts_inhibit_manager_v1::{
        self as inhibit_v1, ZwpKeyboardShortcutsInhibitManagerV1,
    },
    zwp_keyboard_shortcuts_inhibitor_v1::{self, ZwpKeyboardShortcutsInhibitorV1},
};
use wayland_protocols::wp::pointer_constraints::zv1::server::{
    zwp_locked_pointer_v1::{self, ZwpLockedPointerV1},
    zwp_pointer_constraints_v1::{self, ZwpPointerConstraintsV1},
};
use wayland_protocols::wp::relative_pointer::zv1::server::{
    zwp_relative_pointer_manager_v1::{self, ZwpRelativePointerManagerV1},
    zwp_relative_pointer_v1::{self, ZwpRelativePointerV1},
};
use wayland_server::protocol::{
    wl_keyboard::{self, KeyState, KeymapFormat, WlKeyboard},
    wl_pointer::{self, ButtonState, WlPointer},
    wl_seat::{self, Capability, WlSeat},
    wl_touch::{self, WlTouch},
};
use wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};

use super::Server;

/// A surface and its hotspot.
pub type Pointed = (usize, i32, i32);

/// What the client has of it.
#[derive(Debug, Default)]
pub struct Seat {
    pub seat: Option<WlSeat>,
    pub keyboard: Option<WlKeyboard>,
    pub pointer: Option<WlPointer>,
    pub touch: Option<WlTouch>,
    /// What the pointer looks like, and by which serial number.
    pub shape: Option<(u32, Shape)>,
    /// What it is instead, and by which serial number: a surface and its hotspot, or nothing.
    pub cursor: Option<(u32, Option<Pointed>)>,
    /// The compositor's own shortcuts go to the client.
    pub inhibited: bool,
    pub locked: bool,
    /// Where its motions go.
    pub motions: Option<ZwpRelativePointerV1>,
}

#[allow(dead_code, reason = "each test crate uses its own part")]
impl Server {
    /// What the seat has from now on.
    pub fn equip(&self, capabilities: Capability) {
        self.seat.seat.as_ref().expect("a seat").capabilities(capabilities);
    }

    pub fn keyboard(&self) -> &WlKeyboard {
        self.seat.keyboard.as_ref().expect("a keyboard")
    }

    pub fn pointer(&self) -> &WlPointer {
        self.seat.pointer.as_ref().expect("a pointer")
    }

    /// The window gets the keyboard, while these keys are down.
    pub fn focus(&self, down: &[u32]) {
        let keys = down.iter().flat_map(|key| key.to_ne_bytes()).collect();
        self.keyboard().enter(1, &self.surfaces.main().surface, keys);
    }

    /// What its keys mean is said, or that nobody knows; and which locks are on.
    pub fn keymap(&self, known: bool) {
        let format = if known { KeymapFormat::XkbV1 } else { KeymapFormat::NoKeymap };
        // Nobody reads it.
        let file = std::fs::File::open("/dev/null").unwrap();
        self.keyboard().keymap(format, std::os::fd::AsFd::as_fd(&file), 0);
    }

    pub fn locked(&self, mods: u32) {
        self.keyboard().modifiers(1, 0, 0, mods, 0);
    }

    pub fn touch(&self) -> &WlTouch {
        self.seat.touch.as_ref().expect("a touch screen")
    }

    /// A finger comes down on the window.
    pub fn finger(&self, id: i32, x: f64, y: f64) {
        self.touch().down(1, 0, &self.surfaces.main().surface, id, x, y);
    }

    /// The window loses it.
    pub fn unfocus(&self) {
        self.keyboard().leave(2, &self.surfaces.main().surface);
    }

    pub fn key(&self, code: u32, pressed: bool) {
        let state = if pressed { KeyState::Pressed } else { KeyState::Released };
        self.keyboard().key(3, 0, code, state);
    }

    /// The pointer comes to the window around the picture.
    pub fn point_beside(&self, x: f64, y: f64) {
        self.pointer().motion(0, x, y);
    }

    /// The pointer comes to the window, and is there.
    pub fn point(&self, x: f64, y: f64) {
        assert!(self.surfaces.picture().deaf, "the picture takes the pointer from the window");
        self.pointer().enter(4, &self.surfaces.main().surface, x, y);
    }

    /// It comes to another surface, `index` among all.
    pub fn point_elsewhere(&self, index: usize, x: f64, y: f64) {
        self.pointer().enter(6, &self.surfaces.surfaces[index].surface, x, y);
    }

    /// It leaves that one.
    pub fn leave_part(&self, index: usize) {
        self.pointer().leave(7, &self.surfaces.surfaces[index].surface);
    }

    pub fn button(&self, code: u32, pressed: bool) {
        let state = if pressed { ButtonState::Pressed } else { ButtonState::Released };
        self.pointer().button(5, 0, code, state);
    }
}

impl GlobalDispatch<WlSeat, ()> for Server {
    fn bind(
        state: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<WlSeat>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let seat = init.init(resource, ());
        seat.capabilities(Capability::Keyboard | Capability::Pointer | Capability::Touch);
        state.seat.seat = Some(seat);
    }
}

dispatch!(WlSeat, (), |state, _r, request, _d, init| match request {
    wl_seat::Request::GetKeyboard { id } => {
        assert!(state.seat.keyboard.is_none(), "a second keyboard");
        state.seat.keyboard = Some(init.init(id, ()));
    }
    wl_seat::Request::GetPointer { id } => {
        assert!(state.seat.pointer.is_none(), "a second pointer");
        state.seat.pointer = Some(init.init(id, ()));
    }
    wl_seat::Request::GetTouch { id } => {
        assert!(state.seat.touch.is_none(), "a second touch screen");
        state.seat.touch = Some(init.init(id, ()));
    }
    other => panic!("wl_seat: {other:?}"),
});

dispatch!(WlTouch, (), |state, _r, request, _d, _i| match request {
    wl_touch::Request::Release => state.seat.touch = None,
    other => panic!("wl_touch: {other:?}"),
});

dispatch!(WlKeyboard, (), |state, _r, request, _d, _i| match request {
    wl_keyboard::Request::Release => state.seat.keyboard = None,
    other => panic!("wl_keyboard: {other:?}"),
});

dispatch!(WlPointer, (), |state, _r, request, _d, _i| match request {
    wl_pointer::Request::SetCursor { serial, surface, hotspot_x, hotspot_y } => {
        let surface = surface.map(|surface| {
            let surface = *surface.data::<usize>().unwrap();
            assert!(!state.surfaces.surfaces[surface].subsurface, "it has another role");
            (surface, hotspot_x, hotspot_y)
        });
        state.seat.cursor = Some((serial, surface));
        state.seat.shape = None;
    }
    wl_pointer::Request::Release => state.seat.pointer = None,
    other => panic!("wl_pointer: {other:?}"),
});

dispatch!(WpCursorShapeManagerV1, (), |_state, _r, request, _d, init| match request {
    wp_cursor_shape_manager_v1::Request::GetPointer { cursor_shape_device, .. } => {
        init.init(cursor_shape_device, ());
    }
    other => panic!("wp_cursor_shape_manager_v1: {other:?}"),
});

dispatch!(WpCursorShapeDeviceV1, (), |state, _r, request, _d, _i| match request {
    wp_cursor_shape_device_v1::Request::SetShape { serial, shape: WEnum::Value(shape) } => {
        state.seat.shape = Some((serial, shape));
        state.seat.cursor = None;
    }
    wp_cursor_shape_device_v1::Request::Destroy => {}
    other => panic!("wp_cursor_shape_device_v1: {other:?}"),
});

dispatch!(ZwpKeyboardShortcutsInhibitManagerV1, (), |state, _r, request, _d, init| match request {
    inhibit_v1::Request::InhibitShortcuts { id, surface, .. } => {
        assert!(surface == state.surfaces.main().surface, "only the window has the keyboard");
        assert!(!std::mem::replace(&mut state.seat.inhibited, true), "inhibited twice");
        init.init(id, ());
    }
    other => panic!("zwp_keyboard_shortcuts_inhibit_manager_v1: {other:?}"),
});

dispatch!(ZwpKeyboardShortcutsInhibitorV1, (), |state, _r, request, _d, _i| match request {
    zwp_keyboard_shortcuts_inhibitor_v1::Request::Destroy => state.seat.inhibited = false,
    other => panic!("zwp_keyboard_shortcuts_inhibitor_v1: {other:?}"),
});

dispatch!(ZwpPointerConstraintsV1, (), |state, _r, request, _d, init| match request {
    zwp_pointer_constraints_v1::Request::LockPointer { id, surface, .. } => {
        assert!(surface == state.surfaces.main().surface, "others lock it to windows only");
        assert!(!std::mem::replace(&mut state.seat.locked, true), "locked twice");
        init.init(id, ());
    }
    other => panic!("zwp_pointer_constraints_v1: {other:?}"),
});

dispatch!(ZwpLockedPointerV1, (), |state, _r, request, _d, _i| match request {
    zwp_locked_pointer_v1::Request::Destroy => state.seat.locked = false,
    other => panic!("zwp_locked_pointer_v1: {other:?}"),
});

dispatch!(ZwpRelativePointerManagerV1, (), |state, _r, request, _d, init| match request {
    zwp_relative_pointer_manager_v1::Request::GetRelativePointer { id, .. } => {
        state.seat.motions = Some(init.init(id, ()));
    }
    other => panic!("zwp_relative_pointer_manager_v1: {other:?}"),
});

dispatch!(ZwpRelativePointerV1, (), |state, _r, request, _d, _i| match request {
    zwp_relative_pointer_v1::Request::Destroy => state.seat.motions = None,
    other => panic!("zwp_relative_pointer_v1: {other:?}"),
});
