//! What a compositor may do better when it knows what a window shows.

use wayland_client::QueueHandle;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::content_type::v1::client::wp_content_type_v1::{Type, WpContentTypeV1};
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibitor_v1::ZwpIdleInhibitorV1;
use wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_v1::{
    PresentationHint, WpTearingControlV1,
};

use super::State;
use super::globals::{Globals, Quiet};
use super::options::{Content, WindowOptions};

/// The hints of one window.
#[derive(Debug)]
pub(super) struct Hints {
    tearing: Vec<WpTearingControlV1>,
    content: Vec<WpContentTypeV1>,
    awake: Option<ZwpIdleInhibitorV1>,
}

impl Hints {
    /// Compositors differ in which surface they ask: that of the window or that on the screen.
    pub(super) fn new(
        globals: &Globals,
        qh: &QueueHandle<State>,
        surfaces: [&WlSurface; 2],
        options: &WindowOptions,
    ) -> Self {
        let (mut tearing, mut content) = (Vec::new(), Vec::new());
        for surface in surfaces {
            if let Some(manager) = globals.tearing.as_ref().filter(|_| options.tearing) {
                let control = manager.get_tearing_control(surface, qh, Quiet);
                control.set_presentation_hint(PresentationHint::Async);
                tearing.push(control);
            }
            if let (Some(manager), Some(kind)) = (&globals.content_type, options.content) {
                let hint = manager.get_surface_content_type(surface, qh, Quiet);
                hint.set_content_type(match kind {
                    Content::Photo => Type::Photo,
                    Content::Video => Type::Video,
                    Content::Game => Type::Game,
                });
                content.push(hint);
            }
        }
        if options.tearing && tearing.is_empty() {
            tracing::warn!(
                "the compositor shows no frame before the screen is ready for it (it has no \
                 wp_tearing_control_manager_v1)"
            );
        }
        Self { tearing, content, awake: None }
    }

    /// Whether the screen stays on while nobody types.
    pub(super) fn keep_awake(
        &mut self,
        globals: &Globals,
        qh: &QueueHandle<State>,
        surface: &WlSurface,
        awake: bool,
    ) {
        if !awake {
            if let Some(inhibitor) = self.awake.take() {
                inhibitor.destroy();
            }
        } else if self.awake.is_none() {
            let manager = globals.idle_inhibit.as_ref();
            self.awake = manager.map(|manager| manager.create_inhibitor(surface, qh, Quiet));
        }
    }

    pub(super) fn destroy(&self) {
        self.tearing.iter().for_each(WpTearingControlV1::destroy);
        self.content.iter().for_each(WpContentTypeV1::destroy);
        self.awake.iter().for_each(ZwpIdleInhibitorV1::destroy);
    }
}
