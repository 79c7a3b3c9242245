//! What a desktop tells windows of its screens, and what they wish of it.

use wayland_protocols::wp::content_type::v1::server::{
    wp_content_type_manager_v1::{self, WpContentTypeManagerV1},
    wp_content_type_v1::{self, Type, WpContentTypeV1},
};
use wayland_protocols::wp::fractional_scale::v1::server::{
    wp_fractional_scale_manager_v1::{self, WpFractionalScaleManagerV1},
    wp_fractional_scale_v1::{self, WpFractionalScaleV1},
};
use wayland_protocols::wp::idle_inhibit::zv1::server::{
    zwp_idle_inhibit_manager_v1::{self, ZwpIdleInhibitManagerV1},
    zwp_idle_inhibitor_v1::{self, ZwpIdleInhibitorV1},
};
use wayland_protocols::wp::tearing_control::v1::server::{
    wp_tearing_control_manager_v1::{self, WpTearingControlManagerV1},
    wp_tearing_control_v1::{self, PresentationHint, WpTearingControlV1},
};
use wayland_protocols::xdg::activation::v1::server::xdg_activation_v1::{self, XdgActivationV1};
use wayland_protocols::xdg::toplevel_icon::v1::server::{
    xdg_toplevel_icon_manager_v1::{self, XdgToplevelIconManagerV1},
    xdg_toplevel_icon_v1::{self, XdgToplevelIconV1},
};
use wayland_protocols::xdg::xdg_output::zv1::server::{
    zxdg_output_manager_v1::{self, ZxdgOutputManagerV1},
    zxdg_output_v1::{self, ZxdgOutputV1},
};
use wayland_server::protocol::wl_output::{self, Mode, Subpixel, Transform, WlOutput};
use wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};

use super::Server;

/// What was made of it.
#[derive(Debug, Default)]
pub struct Desktop {
    /// Screens as they were bound, each with its place among [`Script::screens`](super::Script).
    pub screens: Vec<WlOutput>,
    /// The screen that a fullscreen window asked for.
    pub fullscreen_on: Option<usize>,
    /// Surfaces that may tear, and what others show.
    pub tearing: Vec<usize>,
    pub content: Vec<(usize, Type)>,
    /// The icon that is being made, and the window's.
    drawn: String,
    pub icon: Option<String>,
    /// Tokens that were used, and for which surface.
    pub activated: Vec<(String, usize)>,
    /// The surface for which the screen stays on.
    pub awake: Option<usize>,
    /// Each with its surface.
    scales: Vec<(usize, WpFractionalScaleV1)>,
}

impl Server {
    /// Tells all of the window its scale, in 120ths.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn scale(&mut self, scale: u32) {
        let scales = &self.desktop.scales;
        assert!(!scales.is_empty(), "the window asks for its scale");
        scales.iter().for_each(|(_, object)| object.preferred_scale(scale));
    }

    /// Tells only the picture, as wlroots does where it covers the window.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn scale_of_the_picture(&mut self, scale: u32) {
        let picture = *self.surfaces.picture().surface.data::<usize>().unwrap();
        let found = self.desktop.scales.iter().find(|(surface, _)| *surface == picture);
        found.expect("the picture asks for its scale").1.preferred_scale(scale);
    }
}

impl GlobalDispatch<WlOutput, usize> for Server {
    fn bind(
        state: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<WlOutput>,
        &screen: &usize,
        init: &mut DataInit<'_, Self>,
    ) {
        let output = init.init(resource, screen);
        let (make, model) = (String::new(), String::new());
        output.geometry(0, 0, 600, 340, Subpixel::None, make, model, Transform::Normal);
        output.mode(Mode::Preferred, 640, 480, 60_000);
        output.mode(Mode::Current, 3840, 2160, 60_000);
        output.scale(1);
        output.name(state.script.screens[screen].to_owned());
        output.done();
        state.desktop.screens.push(output);
    }
}

dispatch!(WlOutput, usize, |state, resource, request, _d, _i| match request {
    wl_output::Request::Release => state.desktop.screens.retain(|output| output != resource),
    other => panic!("wl_output: {other:?}"),
});

dispatch!(ZxdgOutputManagerV1, (), |state, _r, request, _d, init| match request {
    zxdg_output_manager_v1::Request::GetXdgOutput { id, output } => {
        let screen = *output.data::<usize>().unwrap();
        let (width, height) = state.script.logical[screen];
        let logical = init.init(id, ());
        logical.logical_position(0, 0);
        logical.logical_size(width, height);
        output.done();
    }
    other => panic!("zxdg_output_manager_v1: {other:?}"),
});

dispatch!(ZxdgOutputV1, (), |_state, _r, request, _d, _i| match request {
    zxdg_output_v1::Request::Destroy => {}
    other => panic!("zxdg_output_v1: {other:?}"),
});

dispatch!(WpFractionalScaleManagerV1, (), |state, _r, request, _d, init| match request {
    wp_fractional_scale_manager_v1::Request::GetFractionalScale { id, surface } => {
        let surface = *surface.data::<usize>().unwrap();
        let scale = init.init(id, surface);
        if state.script.scale != 0 {
            scale.preferred_scale(state.script.scale);
        }
        let known = state.desktop.scales.iter().any(|(other, _)| *other == surface);
        assert!(!known, "one surface has one scale");
        state.desktop.scales.push((surface, scale));
    }
    other => panic!("wp_fractional_scale_manager_v1: {other:?}"),
});

dispatch!(WpFractionalScaleV1, usize, |_state, _r, request, _d, _i| match request {
    wp_fractional_scale_v1::Request::Destroy => {}
    other => panic!("wp_fractional_scale_v1: {other:?}"),
});

dispatch!(WpTearingControlManagerV1, (), |_state, _r, request, _d, init| match request {
    wp_tearing_control_manager_v1::Request::GetTearingControl { id, surface } => {
        init.init(id, *surface.data::<usize>().unwrap());
    }
    other => panic!("wp_tearing_control_manager_v1: {other:?}"),
});

dispatch!(WpTearingControlV1, usize, |state, _r, request, surface, _i| match request {
    wp_tearing_control_v1::Request::SetPresentationHint { hint } => {
        assert_eq!(hint, WEnum::Value(PresentationHint::Async));
        state.desktop.tearing.push(*surface);
    }
    wp_tearing_control_v1::Request::Destroy => {}
    other => panic!("wp_tearing_control_v1: {other:?}"),
});

dispatch!(WpContentTypeManagerV1, (), |_state, _r, request, _d, init| match request {
    wp_content_type_manager_v1::Request::GetSurfaceContentType { id, surface } => {
        init.init(id, *surface.data::<usize>().unwrap());
    }
    other => panic!("wp_content_type_manager_v1: {other:?}"),
});

dispatch!(WpContentTypeV1, usize, |state, _r, request, surface, _i| match request {
    wp_content_type_v1::Request::SetContentType { content_type: WEnum::Value(kind) } => {
        state.desktop.content.push((*surface, kind));
    }
    wp_content_type_v1::Request::Destroy => {}
    other => panic!("wp_content_type_v1: {other:?}"),
});

dispatch!(ZwpIdleInhibitManagerV1, (), |state, _r, request, _d, init| match request {
    zwp_idle_inhibit_manager_v1::Request::CreateInhibitor { id, surface } => {
        let surface = *surface.data::<usize>().unwrap();
        init.init(id, surface);
        assert!(state.desktop.awake.replace(surface).is_none(), "one is enough");
    }
    other => panic!("zwp_idle_inhibit_manager_v1: {other:?}"),
});

dispatch!(ZwpIdleInhibitorV1, usize, |state, _r, request, _d, _i| match request {
    zwp_idle_inhibitor_v1::Request::Destroy => state.desktop.awake = None,
    other => panic!("zwp_idle_inhibitor_v1: {other:?}"),
});

impl GlobalDispatch<XdgToplevelIconManagerV1, ()> for Server {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<XdgToplevelIconManagerV1>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let icons = init.init(resource, ());
        icons.icon_size(48);
        icons.done();
    }
}

dispatch!(XdgToplevelIconManagerV1, (), |state, _r, request, _d, init| match request {
    xdg_toplevel_icon_manager_v1::Request::CreateIcon { id } => {
        init.init(id, ());
    }
    xdg_toplevel_icon_manager_v1::Request::SetIcon { icon, .. } => {
        state.desktop.icon = icon.map(|_| state.desktop.drawn.clone());
    }
    other => panic!("xdg_toplevel_icon_manager_v1: {other:?}"),
});

dispatch!(XdgToplevelIconV1, (), |state, _r, request, _d, _i| match request {
    xdg_toplevel_icon_v1::Request::SetName { icon_name } => state.desktop.drawn = icon_name,
    xdg_toplevel_icon_v1::Request::Destroy => {}
    other => panic!("xdg_toplevel_icon_v1: {other:?}"),
});

dispatch!(XdgActivationV1, (), |state, _r, request, _d, _i| match request {
    xdg_activation_v1::Request::Activate { token, surface } => {
        state.desktop.activated.push((token, *surface.data::<usize>().unwrap()));
    }
    other => panic!("xdg_activation_v1: {other:?}"),
});
