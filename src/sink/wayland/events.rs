//! What the compositor says of the window.

use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::reexports::csd_frame::WindowState;
use smithay_client_toolkit::shell::xdg::window::{
    Window as Toplevel, WindowConfigure, WindowHandler,
};
use wayland_client::protocol::{
    wl_callback::{self, WlCallback},
    wl_surface::{self, WlSurface},
};
use wayland_client::{Connection, QueueHandle};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_v1::{
    self, WpFractionalScaleV1,
};

use super::State;
use super::fit::Scale;
use super::globals::Globals;
use super::window::Window;
use crate::port::{CommitId, SinkEvent};

impl WindowHandler for State {
    fn request_close(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &Toplevel) {
        self.close(None);
    }

    fn configure(
        &mut self,
        connection: &Connection,
        qh: &QueueHandle<Self>,
        _: &Toplevel,
        configure: WindowConfigure,
        _serial: u32,
    ) {
        let hidden = configure.state.contains(WindowState::SUSPENDED);
        if hidden != std::mem::replace(&mut self.hidden, hidden) {
            self.events.push_back(SinkEvent::Hidden(hidden));
        }
        self.change_window(qh, |window, globals| {
            window.configure((globals, connection, qh), &configure);
        });
    }
}

impl State {
    /// Does something to the window that may change what the guest is told of it.
    pub(super) fn change_window(
        &mut self,
        qh: &QueueHandle<Self>,
        change: impl FnOnce(&mut Window, &Globals),
    ) {
        if let Some(window) = &mut self.window {
            change(window, &self.globals);
            self.events.extend(window.hint(&self.outputs).map(SinkEvent::Resized));
            self.fit_cursor(qh);
        }
    }

    /// The window is on another screen, or that has changed.
    pub(super) fn moved(&mut self, qh: &QueueHandle<Self>) {
        let scale = match &self.window {
            Some(window) if window.preferred => Some(window.scale),
            // It will be told; until then the window is not to come in a size that it won't keep.
            Some(window) if !window.fractional.is_empty() => self.outputs.common_scale(),
            // Who says nothing about surfaces leaves it to their screens.
            _ => self.outputs.whole_scale(),
        };
        let scale = scale.unwrap_or(Scale::ONE);
        self.change_window(qh, |window, globals| window.set_scale(globals, qh, scale));
    }
}

/// For both surfaces of the window: one that the other covers wholly may be told nothing (wlroots), so
/// that what either was told last counts.
#[derive(Debug)]
pub(super) struct Placed;

impl Dispatch2<WlSurface, State> for Placed {
    fn event(
        &self,
        state: &mut State,
        surface: &WlSurface,
        event: wl_surface::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        match event {
            wl_surface::Event::PreferredBufferScale { factor }
                if state.globals.fractional_scale.is_none() =>
            {
                let scale = Scale::whole(factor);
                state.change_window(qh, |window, globals| window.prefer(globals, qh, scale));
            }
            wl_surface::Event::Enter { output } => {
                state.outputs.enter(surface, output);
                state.moved(qh);
            }
            wl_surface::Event::Leave { output } => {
                state.outputs.leave(surface, &output);
                state.moved(qh);
            }
            _ => {}
        }
    }
}

/// For what says how many device pixels a logical one has.
#[derive(Debug)]
pub(super) struct PreferredScale;

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
            state.change_window(qh, |window, globals| window.prefer(globals, qh, scale));
        }
    }
}

/// For a frame callback: the commit that it was asked for with.
#[derive(Debug)]
pub(super) struct FrameDone(pub(super) CommitId);

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
