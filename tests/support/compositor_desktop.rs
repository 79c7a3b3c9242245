//! What a desktop tells windows of its screens, and what they wish of it.

use wayland_protocols::wp::fractional_scale::v1::server::{
    wp_fractional_scale_manager_v1::{self, WpFractionalScaleManagerV1},
    wp_fractional_scale_v1::{self, WpFractionalScaleV1},
};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource};

use super::Server;

/// What was made of it.
#[derive(Debug, Default)]
pub struct Desktop {
    scale: Option<WpFractionalScaleV1>,
}

impl Server {
    /// Tells the window its scale, in 120ths.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn scale(&mut self, scale: u32) {
        self.desktop.scale.as_ref().expect("the window asks for its scale").preferred_scale(scale);
    }
}

dispatch!(WpFractionalScaleManagerV1, (), |state, _r, request, _d, init| match request {
    wp_fractional_scale_manager_v1::Request::GetFractionalScale { id, surface } => {
        let scale = init.init(id, *surface.data::<usize>().unwrap());
        scale.preferred_scale(state.script.scale);
        assert!(state.desktop.scale.replace(scale).is_none(), "one window has one scale");
    }
    other => panic!("wp_fractional_scale_manager_v1: {other:?}"),
});

dispatch!(WpFractionalScaleV1, usize, |_state, _r, request, _d, _i| match request {
    wp_fractional_scale_v1::Request::Destroy => {}
    other => panic!("wp_fractional_scale_v1: {other:?}"),
});
