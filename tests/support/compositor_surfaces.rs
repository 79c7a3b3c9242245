//! Surfaces, buffers and windows of the compositor.

use std::sync::atomic::{AtomicBool, Ordering};

use wayland_protocols::wp::viewporter::server::wp_viewport::{self, WpViewport};
use wayland_protocols::wp::viewporter::server::wp_viewporter::{self, WpViewporter};
use wayland_protocols::xdg::shell::server::{
    xdg_surface::XdgSurface,
    xdg_toplevel::{self, XdgToplevel},
};
use wayland_server::protocol::{
    wl_callback::{self, WlCallback},
    wl_compositor::{self, WlCompositor},
    wl_output::Transform,
    wl_region::{self, WlRegion},
    wl_subcompositor::{self, WlSubcompositor},
    wl_subsurface::{self, WlSubsurface},
    wl_surface::{self, WlSurface},
};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource, WEnum};

use super::Server;
pub use super::buffers::{BufferSeen, Pixels};
use super::sync::Points;
use super::xdg::Asked;

/// What a commit attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// What was there stays.
    Same,
    Null,
    /// An index into the buffers.
    Buffer(usize),
}

/// One commit, with the surface's state as it is from then on.
#[derive(Clone, Debug)]
pub struct Commit {
    pub attached: Attached,
    /// x, y, width, height, in pixels of the buffer.
    pub damage: Vec<(i32, i32, i32, i32)>,
    pub transform: Transform,
    pub source: Option<(f64, f64, f64, f64)>,
    pub destination: Option<(i32, i32)>,
    /// Of a subsurface, within its parent.
    pub position: (i32, i32),
    /// It waits for the parent's commit.
    pub sync: bool,
    pub frame: Option<WlCallback>,
    /// Of explicit sync.
    pub points: Points,
    /// From `get_release`.
    pub release: Option<WlCallback>,
}

impl Default for Commit {
    fn default() -> Self {
        Self {
            attached: Attached::Same,
            damage: Vec::new(),
            transform: Transform::Normal,
            source: None,
            destination: None,
            position: (0, 0),
            sync: false,
            frame: None,
            points: Points::default(),
            release: None,
        }
    }
}

#[derive(Debug)]
pub struct SurfaceSeen {
    pub surface: WlSurface,
    pub commits: Vec<Commit>,
    pub destroyed: bool,
    /// What is behind it isn't seen, whatever its alpha.
    pub opaque: bool,
    /// The pointer goes through it, to what is behind.
    pub deaf: bool,
    pub subsurface: bool,
    /// Of a subsurface, since its parent's last commit.
    pub position: (i32, i32),
    pending: Commit,
    holds: Attached,
}

/// All surfaces and buffers, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Surfaces {
    pub surfaces: Vec<SurfaceSeen>,
    pub buffers: Vec<BufferSeen>,
    pub toplevel: Option<XdgToplevel>,
    pub xdg: Option<XdgSurface>,
    pub title: String,
    pub app_id: String,
    pub fullscreen: bool,
    pub server_decorations: bool,
    pub main: Option<usize>,
    /// Where the window is within its surfaces, and what was asked for it.
    pub geometry: Option<(i32, i32, i32, i32)>,
    pub asked: Vec<Asked>,
    picture: Option<usize>,
    configured: bool,
    pub acked: bool,
}

impl Surfaces {
    /// The window's own surface.
    pub fn main(&self) -> &SurfaceSeen {
        &self.surfaces[self.main.expect("a window")]
    }

    /// The parts of the window's frame that are shown: each with the buffer that it holds.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn frame(&self) -> Vec<(&SurfaceSeen, &BufferSeen)> {
        let ours = [self.main, self.picture];
        let parts = self.surfaces.iter().enumerate().filter(|(at, _)| !ours.contains(&Some(*at)));
        let shown = parts.filter_map(|(_, part)| match part.holds {
            Attached::Buffer(buffer) if !part.destroyed => Some((part, &self.buffers[buffer])),
            _ => None,
        });
        shown.collect()
    }

    /// The surface with the picture.
    pub fn picture(&self) -> &SurfaceSeen {
        &self.surfaces[self.picture.expect("a subsurface")]
    }

    /// The surfaces of panels and what dims the picture behind them, as they were made, and what each holds.
    pub fn panels(&self) -> Vec<(&SurfaceSeen, &BufferSeen)> {
        let surfaces = self.surfaces.iter().enumerate();
        let above = surfaces.filter(|(index, surface)| {
            surface.deaf && !surface.destroyed && self.picture != Some(*index)
        });
        let held = above.filter_map(|(_, surface)| match surface.holds {
            Attached::Buffer(buffer) => Some((surface, &self.buffers[buffer])),
            Attached::Same | Attached::Null => None,
        });
        held.collect()
    }

    pub fn pending_points(&mut self, surface: usize) -> &mut Points {
        &mut self.surfaces[surface].pending.points
    }

    /// What lies above the picture, of a window whose frame is the compositor's.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn above(&self) -> Option<&SurfaceSeen> {
        let above = |at: &usize| self.surfaces[*at].subsurface && Some(*at) != self.picture;
        (0..self.surfaces.len()).find(above).map(|at| &self.surfaces[at])
    }

    /// Commits that gave the picture a buffer, or took it away.
    pub fn shown(&self) -> Vec<&Commit> {
        let commits = self.picture().commits.iter();
        commits.filter(|commit| commit.attached != Attached::Same).collect()
    }
}

impl Server {
    /// Tells the window its size and states.
    pub fn configure(&mut self, (width, height): (i32, i32), states: &[xdg_toplevel::State]) {
        let states = states.iter().flat_map(|&state| (state as u32).to_ne_bytes()).collect();
        self.surfaces.toplevel.as_ref().unwrap().configure(width, height, states);
        self.surfaces.xdg.as_ref().unwrap().configure(1);
        self.surfaces.configured = true;
    }

    fn commit(&mut self, index: usize) {
        let Surfaces { surfaces, buffers, main, acked, .. } = &mut self.surfaces;
        let surface = &mut surfaces[index];
        let pending = surface.pending.clone();
        surface.pending.attached = Attached::Same;
        surface.pending.damage.clear();
        surface.pending.frame = None;
        surface.pending.points = Points::default();
        surface.pending.release = None;
        if pending.attached != Attached::Same {
            surface.holds = pending.attached;
        }
        let attaches = matches!(pending.attached, Attached::Buffer(_));
        assert!(attaches || pending.release.is_none(), "a release callback without a buffer");
        let pixels = match pending.attached {
            Attached::Buffer(buffer) => Some(&buffers[buffer].pixels),
            Attached::Same | Attached::Null => None,
        };
        self.sync.check(index, pending.attached, pixels, pending.points);
        if let Attached::Buffer(buffer) = surface.holds {
            let buffer = &buffers[buffer];
            assert!(!(attaches && buffer.destroyed), "a destroyed buffer is committed");
            if let Some((x, y, width, height)) = pending.source {
                let inside =
                    x + width <= f64::from(buffer.size.0) && y + height <= f64::from(buffer.size.1);
                assert!(inside && x >= 0.0 && y >= 0.0, "source outside of the buffer");
            }
            if *main == Some(index) {
                assert!(*acked, "a buffer before the configure was acknowledged");
            }
        }
        surface.commits.push(pending);
        if *main == Some(index) {
            surfaces.iter_mut().for_each(|surface| surface.position = surface.pending.position);
        }
        let first = self.surfaces.main == Some(index) && !self.surfaces.configured;
        if first {
            self.configure(self.script.size, &[]);
        }
    }
}

dispatch!(WlCompositor, (), |state, _r, request, _d, init| match request {
    wl_compositor::Request::CreateSurface { id } => {
        let index = state.surfaces.surfaces.len();
        let surface = init.init(id, index);
        state.surfaces.surfaces.push(SurfaceSeen {
            surface,
            commits: Vec::new(),
            destroyed: false,
            opaque: false,
            deaf: false,
            subsurface: false,
            position: (0, 0),
            pending: Commit::default(),
            holds: Attached::Null,
        });
    }
    wl_compositor::Request::CreateRegion { id } => {
        init.init(id, AtomicBool::new(false));
    }
    other => panic!("wl_compositor: {other:?}"),
});

// Whether there is anything in it.
dispatch!(WlRegion, AtomicBool, |_state, _r, request, filled, _i| match request {
    wl_region::Request::Add { .. } => filled.store(true, Ordering::Relaxed),
    wl_region::Request::Destroy => {}
    other => panic!("wl_region: {other:?}"),
});

dispatch!(WlSurface, usize, |state, _r, request, index, init| {
    let surface = &mut state.surfaces.surfaces[*index];
    match request {
        wl_surface::Request::Destroy => surface.destroyed = true,
        wl_surface::Request::Attach { buffer, x: 0, y: 0 } => {
            surface.pending.attached = buffer.map_or(Attached::Null, |buffer| {
                Attached::Buffer(*buffer.data::<usize>().expect("a buffer of ours"))
            });
        }
        wl_surface::Request::DamageBuffer { x, y, width, height } => {
            surface.pending.damage.push((x, y, width, height));
        }
        wl_surface::Request::Frame { callback } => {
            surface.pending.frame = Some(init.init(callback, ()));
        }
        wl_surface::Request::GetRelease { callback } => {
            surface.pending.release = Some(init.init(callback, ()));
        }
        wl_surface::Request::SetInputRegion { region } => {
            let filled = region.as_ref().and_then(Resource::data::<AtomicBool>);
            surface.deaf = filled.is_some_and(|filled| !filled.load(Ordering::Relaxed));
        }
        // Of the frame.
        wl_surface::Request::SetBufferScale { .. } => {}
        wl_surface::Request::SetOpaqueRegion { region } => surface.opaque = region.is_some(),
        wl_surface::Request::SetBufferTransform { transform: WEnum::Value(transform) } => {
            surface.pending.transform = transform;
        }
        wl_surface::Request::Commit => state.commit(*index),
        other => panic!("wl_surface: {other:?}"),
    }
});

dispatch!(WlCallback, (), |_state, _r, request, _d, _i| {
    let request: wl_callback::Request = request;
    panic!("wl_callback: {request:?}")
});

dispatch!(WlSubcompositor, (), |state, _r, request, _d, init| match request {
    wl_subcompositor::Request::GetSubsurface { id, surface, .. } => {
        let index = *surface.data::<usize>().unwrap();
        // What comes later lies above it, or is the window's frame.
        state.surfaces.picture.get_or_insert(index);
        state.surfaces.surfaces[index].subsurface = true;
        state.surfaces.surfaces[index].pending.sync = true;
        init.init(id, index);
    }
    other => panic!("wl_subcompositor: {other:?}"),
});

dispatch!(WlSubsurface, usize, |state, _r, request, index, _i| {
    let pending = &mut state.surfaces.surfaces[*index].pending;
    match request {
        wl_subsurface::Request::SetDesync => pending.sync = false,
        wl_subsurface::Request::SetSync => pending.sync = true,
        wl_subsurface::Request::SetPosition { x, y } => pending.position = (x, y),
        wl_subsurface::Request::PlaceAbove { .. } | wl_subsurface::Request::Destroy => {}
        other => panic!("wl_subsurface: {other:?}"),
    }
});

dispatch!(WpViewporter, (), |_state, _r, request, _d, init| match request {
    wp_viewporter::Request::GetViewport { id, surface } => {
        init.init(id, *surface.data::<usize>().unwrap());
    }
    other => panic!("wp_viewporter: {other:?}"),
});

dispatch!(WpViewport, usize, |state, _r, request, index, _i| {
    let pending = &mut state.surfaces.surfaces[*index].pending;
    match request {
        wp_viewport::Request::SetSource { x: -1.0, y: -1.0, width: -1.0, height: -1.0 } => {
            pending.source = None;
        }
        wp_viewport::Request::SetSource { x, y, width, height } => {
            pending.source = Some((x, y, width, height));
        }
        wp_viewport::Request::SetDestination { width, height } => {
            assert!(width > 0 && height > 0);
            pending.destination = Some((width, height));
        }
        wp_viewport::Request::Destroy => {}
        other => panic!("wp_viewport: {other:?}"),
    }
});
