//! Windows of the compositor: xdg-shell and its decorations.

use wayland_protocols::xdg::decoration::zv1::server::{
    zxdg_decoration_manager_v1::{self, ZxdgDecorationManagerV1},
    zxdg_toplevel_decoration_v1::{self, ZxdgToplevelDecorationV1},
};
use wayland_protocols::xdg::shell::server::{
    xdg_surface::{self, XdgSurface},
    xdg_toplevel::{self, XdgToplevel},
    xdg_wm_base::{self, XdgWmBase},
};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource, WEnum};

use super::Server;

dispatch!(XdgWmBase, (), |state, _r, request, _d, init| match request {
    xdg_wm_base::Request::GetXdgSurface { id, surface } => {
        state.surfaces.main = Some(*surface.data::<usize>().unwrap());
        state.surfaces.xdg = Some(init.init(id, ()));
        state.deaf |= state.script.mute;
    }
    xdg_wm_base::Request::Destroy => {}
    other => panic!("xdg_wm_base: {other:?}"),
});

dispatch!(XdgSurface, (), |state, _r, request, _d, init| match request {
    xdg_surface::Request::GetToplevel { id } => {
        state.surfaces.toplevel = Some(init.init(id, ()));
    }
    xdg_surface::Request::AckConfigure { .. } => state.surfaces.acked = true,
    xdg_surface::Request::Destroy => {}
    other => panic!("xdg_surface: {other:?}"),
});

dispatch!(XdgToplevel, (), |state, _r, request, _d, _i| match request {
    xdg_toplevel::Request::SetTitle { title } => state.surfaces.title = title,
    xdg_toplevel::Request::SetAppId { app_id } => state.surfaces.app_id = app_id,
    xdg_toplevel::Request::SetFullscreen { output } => {
        state.surfaces.fullscreen = true;
        state.desktop.fullscreen_on = output.map(|output| *output.data::<usize>().unwrap());
    }
    xdg_toplevel::Request::UnsetFullscreen => state.surfaces.fullscreen = false,
    xdg_toplevel::Request::SetMinSize { .. } | xdg_toplevel::Request::Destroy => {}
    other => panic!("xdg_toplevel: {other:?}"),
});

dispatch!(ZxdgDecorationManagerV1, (), |_state, _r, request, _d, init| match request {
    zxdg_decoration_manager_v1::Request::GetToplevelDecoration { id, .. } => {
        init.init(id, ());
    }
    other => panic!("zxdg_decoration_manager_v1: {other:?}"),
});

dispatch!(ZxdgToplevelDecorationV1, (), |state, _r, request, _d, _i| match request {
    zxdg_toplevel_decoration_v1::Request::SetMode { mode } => {
        state.surfaces.server_decorations =
            mode == WEnum::Value(zxdg_toplevel_decoration_v1::Mode::ServerSide);
    }
    zxdg_toplevel_decoration_v1::Request::Destroy => {}
    other => panic!("zxdg_toplevel_decoration_v1: {other:?}"),
});
