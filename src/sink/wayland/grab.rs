//! The keyboard for the guest alone, and for guests whose pointer knows no place the pointer too.

use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::shell::WaylandSurface;
use wayland_client::globals::GlobalList;
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, QueueHandle};
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibitor_v1::ZwpKeyboardShortcutsInhibitorV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_locked_pointer_v1::ZwpLockedPointerV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::{
    Lifetime, ZwpPointerConstraintsV1,
};
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_v1::{
    self, ZwpRelativePointerV1,
};

use super::globals::Quiet;
use super::hotkeys::Action;
use super::{State, WindowOptions};
use crate::frame::{Input, Pointing};

/// What can be grabbed, and what is.
#[derive(Debug, Default)]
pub(super) struct Grab {
    pub(super) seat: Option<WlSeat>,
    inhibit: Option<ZwpKeyboardShortcutsInhibitManagerV1>,
    constraints: Option<ZwpPointerConstraintsV1>,
    motions: Option<ZwpRelativePointerManagerV1>,
    grabbed: bool,
    inhibitor: Option<ZwpKeyboardShortcutsInhibitorV1>,
    lock: Option<(ZwpLockedPointerV1, ZwpRelativePointerV1)>,
    pub(super) pointing: Pointing,
    /// Parts of a pixel that the pointer has moved, and the guest wasn't told of.
    rest: [f64; 2],
}

impl Grab {
    /// Nothing is grabbed where nothing reaches the guest, or no key would let go.
    pub(super) fn new(
        globals: &GlobalList,
        qh: &QueueHandle<State>,
        seat: Option<WlSeat>,
        options: &WindowOptions,
    ) -> Self {
        if options.view_only || options.hotkeys.of(Action::Grab).is_none() {
            return Self::default();
        }
        Self {
            seat,
            inhibit: globals.bind(qh, 1..=1, Quiet).ok(),
            constraints: globals.bind(qh, 1..=1, Quiet).ok(),
            motions: globals.bind(qh, 1..=1, Quiet).ok(),
            ..Self::default()
        }
    }

    pub(super) fn seat(&self) -> Option<&WlSeat> {
        self.seat.as_ref()
    }

    pub(super) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    pub(super) fn grabbed(&self) -> bool {
        self.grabbed
    }

    /// Whether a click is what grabs: the guest can't be told where it was.
    pub(super) fn wants_click(&self) -> bool {
        let can_lock = self.constraints.is_some() && self.motions.is_some();
        self.pointing == Pointing::Relative && can_lock && !self.grabbed
    }

    /// Whole pixels of what has moved so far.
    fn moved(&mut self, by: [f64; 2]) -> Option<Input> {
        let [dx, dy] = [0, 1].map(|axis| {
            let sum = self.rest[axis] + by[axis];
            self.rest[axis] = sum.fract();
            sum as i32
        });
        ((dx, dy) != (0, 0)).then_some(Input::PointerBy { dx, dy })
    }
}

impl State {
    pub(super) fn set_pointing(&mut self, pointing: Pointing, qh: &QueueHandle<Self>) {
        self.seat.grab.pointing = pointing;
        self.lock_or_free(qh);
    }

    /// Grabs, or lets go.
    pub(super) fn set_grabbed(&mut self, grabbed: bool, qh: &QueueHandle<Self>) {
        self.seat.keys.grabbed = grabbed;
        let grab = &mut self.seat.grab;
        let Some(window) = self.window.as_mut().filter(|_| grab.grabbed != grabbed) else { return };
        grab.grabbed = grabbed;
        let key = self.seat.keys.hotkeys.of(Action::Grab).filter(|_| grabbed);
        window.set_note((&self.globals, qh), key.map(|key| format!("{key} lets go")));
        if let (true, Some(inhibit), Some(seat)) = (grabbed, &grab.inhibit, &grab.seat) {
            let surface = window.toplevel().wl_surface();
            grab.inhibitor = Some(inhibit.inhibit_shortcuts(surface, seat, qh, Quiet));
        } else {
            grab.inhibitor.take().inspect(ZwpKeyboardShortcutsInhibitorV1::destroy);
        }
        self.lock_or_free(qh);
    }

    /// Keeps the pointer in its place as long as the guest is told only by how much it moves.
    pub(super) fn lock_or_free(&mut self, qh: &QueueHandle<Self>) {
        let seat = &mut self.seat;
        let grab = &mut seat.grab;
        let wanted = seat.over.is_some() && grab.grabbed && grab.pointing == Pointing::Relative;
        match (&self.window, &seat.pointer, &grab.constraints, &grab.motions) {
            (Some(window), Some(pointer), Some(constraints), Some(motions)) if wanted => {
                if grab.lock.is_none() {
                    let (main, lifetime) = (window.toplevel().wl_surface(), Lifetime::Persistent);
                    let lock = constraints.lock_pointer(main, pointer, None, lifetime, qh, Quiet);
                    let motion = motions.get_relative_pointer(pointer, qh, Moved);
                    grab.lock = Some((lock, motion));
                }
            }
            _ => {
                if let Some((lock, motion)) = grab.lock.take() {
                    motion.destroy();
                    lock.destroy();
                    grab.rest = [0.0; 2];
                }
            }
        }
        self.show_cursor(qh);
    }
}

/// For the pointer's motions while it is locked.
#[derive(Debug)]
struct Moved;

impl Dispatch2<ZwpRelativePointerV1, State> for Moved {
    fn event(
        &self,
        state: &mut State,
        _: &ZwpRelativePointerV1,
        event: zwp_relative_pointer_v1::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        // The guest accelerates by itself.
        let zwp_relative_pointer_v1::Event::RelativeMotion { dx_unaccel, dy_unaccel, .. } = event
        else {
            return;
        };
        let grab = &mut state.seat.grab;
        if grab.lock.is_some()
            && let Some(moved) = grab.moved([dx_unaccel, dy_unaccel])
        {
            state.input(moved);
        }
    }
}
