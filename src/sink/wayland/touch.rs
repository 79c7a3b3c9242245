//! Fingers on the window.

use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::shell::WaylandSurface;
use wayland_client::protocol::wl_touch::{Event, WlTouch};
use wayland_client::{Connection, QueueHandle};

use super::State;
use crate::frame::{Device, FINGERS_MAX, Input, Touch};
use crate::port::SinkEvent;

/// Which fingers are down: what the compositor calls them, by what the guest does.
#[derive(Debug, Default)]
pub(super) struct Fingers([Option<i32>; FINGERS_MAX as usize]);

impl Fingers {
    fn find(&self, id: Option<i32>) -> Option<u32> {
        self.0.iter().position(|known| *known == id).and_then(|at| u32::try_from(at).ok())
    }

    /// A new one; `None` where there are too many, or it is down already.
    fn add(&mut self, id: i32) -> Option<u32> {
        let free = self.find(None).filter(|_| self.find(Some(id)).is_none())?;
        self.0[free as usize] = Some(id);
        Some(free)
    }

    fn remove(&mut self, id: i32) -> Option<u32> {
        let finger = self.find(Some(id))?;
        self.0[finger as usize] = None;
        Some(finger)
    }
}

impl State {
    /// None of them counts any more.
    pub(super) fn leave_touch(&mut self) {
        self.seat.fingers = Fingers::default();
        self.events.push_back(SinkEvent::Left(Device::Touch));
    }
}

/// For the touch screen.
#[derive(Debug)]
pub(super) struct Touched;

impl Dispatch2<WlTouch, State> for Touched {
    fn event(
        &self,
        state: &mut State,
        _: &WlTouch,
        event: Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        let (finger, how) = match event {
            Event::Down { surface, id, x, y, .. } => {
                let window = state.window.as_ref();
                // What lies around the window isn't the guest's.
                let ours = window.is_some_and(|w| *w.toplevel().wl_surface() == surface);
                let Some((x, y)) = state.pixel_at(x, y).filter(|_| ours) else { return };
                (state.seat.fingers.add(id), Touch::Down { x, y })
            }
            Event::Motion { id, x, y, .. } => {
                let Some((x, y)) = state.pixel_at(x, y) else { return };
                (state.seat.fingers.find(Some(id)), Touch::Motion { x, y })
            }
            Event::Up { id, .. } => (state.seat.fingers.remove(id), Touch::Up),
            Event::Cancel => return state.leave_touch(),
            _ => return,
        };
        if let Some(finger) = finger {
            state.input(Input::Touch { finger, how });
        }
    }
}
