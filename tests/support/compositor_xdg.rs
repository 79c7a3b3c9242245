//! Windows of the compositor: xdg-shell and its decorations.

use wayland_protocols::xdg::decoration::zv1::server::{
    zxdg_decoration_manager_v1::{self, ZxdgDecorationManagerV1},
    zxdg_toplevel_decoration_v1::{self, Mode, ZxdgToplevelDecorationV1},
};
use wayland_protocols::xdg::shell::server::{
    xdg_surface::{self, XdgSurface},
    xdg_toplevel::{self, ResizeEdge, XdgToplevel},
    xdg_wm_base::{self, XdgWmBase},
};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource, WEnum};

use super::Server;

/// What the client asked for its window, some of it by the serial number of a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Maximize(bool),
    Minimize,
    Move(u32),
    Resize(u32, ResizeEdge),
    Menu(u32, i32, i32),
}

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
    xdg_surface::Request::SetWindowGeometry { x, y, width, height } => {
        state.surfaces.geometry = Some((x, y, width, height));
    }
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
    xdg_toplevel::Request::SetMaximized => state.surfaces.asked.push(Asked::Maximize(true)),
    xdg_toplevel::Request::UnsetMaximized => state.surfaces.asked.push(Asked::Maximize(false)),
    xdg_toplevel::Request::SetMinimized => state.surfaces.asked.push(Asked::Minimize),
    xdg_toplevel::Request::Move { serial, .. } => state.surfaces.asked.push(Asked::Move(serial)),
    xdg_toplevel::Request::Resize { serial, edges: WEnum::Value(edge), .. } => {
        state.surfaces.asked.push(Asked::Resize(serial, edge));
    }
    xdg_toplevel::Request::ShowWindowMenu { serial, x, y, .. } => {
        state.surfaces.asked.push(Asked::Menu(serial, x, y));
    }
    other => panic!("xdg_toplevel: {other:?}"),
});

dispatch!(ZxdgDecorationManagerV1, (), |_state, _r, request, _d, init| match request {
    zxdg_decoration_manager_v1::Request::GetToplevelDecoration { id, .. } => {
        init.init(id, ());
    }
    other => panic!("zxdg_decoration_manager_v1: {other:?}"),
});

dispatch!(ZxdgToplevelDecorationV1, (), |state, resource, request, _d, _i| match request {
    zxdg_toplevel_decoration_v1::Request::SetMode { mode } => {
        state.surfaces.server_decorations = mode == WEnum::Value(Mode::ServerSide);
        resource.configure(if state.script.frames { Mode::ServerSide } else { Mode::ClientSide });
    }
    zxdg_toplevel_decoration_v1::Request::Destroy => {}
    other => panic!("zxdg_toplevel_decoration_v1: {other:?}"),
});
