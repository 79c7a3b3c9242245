//! What surrounds the window where the compositor leaves that to us: a title bar, edges and a shadow.
//!
//! How it is to look (font, colours, on which side the buttons are) is found out by starting other programs
//! and waiting for them. So that is done on a thread of its own, only where it is needed, and the window is
//! shown when it is through.

mod pointer;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sctk_adwaita::{AdwaitaFrame, FrameConfig};
use smithay_client_toolkit::compositor::{CompositorState, SurfaceData};
use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::globals::GlobalData;
use smithay_client_toolkit::reexports::csd_frame::DecorationsFrame;
use smithay_client_toolkit::shell::WaylandSurface;
use smithay_client_toolkit::shell::xdg::XdgSurface;
use smithay_client_toolkit::shell::xdg::window::{
    DecorationMode, Window as Toplevel, WindowConfigure,
};
use smithay_client_toolkit::shm::Shm;
use smithay_client_toolkit::subcompositor::SubcompositorState;
use wayland_client::globals::{BindError, GlobalList};
use wayland_client::protocol::{
    wl_callback::{self, WlCallback},
    wl_compositor::{self, WlCompositor},
    wl_shm::WlShm,
    wl_surface::{self, WlSurface},
};
use wayland_client::{Connection, QueueHandle};

use super::State;
use super::fit::Scale;
use super::globals::{Globals, int};
use super::sizing::Configured;
use crate::frame::Size;
use pointer::Over;

/// What the frame makes its surfaces with. Bound at the start, because later nobody knows the globals.
#[derive(Clone, Debug)]
struct Kit {
    compositor: Arc<CompositorState>,
    subcompositor: Arc<SubcompositorState>,
    shm: WlShm,
}

#[derive(Debug, Default)]
enum Stage {
    /// The compositor draws it, or nobody can.
    #[default]
    None,
    /// A thread finds out how it is to look.
    Asked,
    Failed,
    Ours(Box<AdwaitaFrame<State>>),
}

/// The window's frame.
#[derive(Debug)]
pub(super) struct Frame {
    kit: Kit,
    stage: Stage,
    /// Where the window is within its surfaces, as far as the compositor was told.
    geometry: Option<(i32, i32, Size)>,
    /// Where on it the pointer is.
    over: Option<Over>,
}

impl Frame {
    pub(super) fn new(
        list: &GlobalList,
        globals: &Globals,
        qh: &QueueHandle<State>,
    ) -> Result<Self, BindError> {
        let compositor = CompositorState::bind(list, qh)?;
        let subcompositor = compositor.wl_compositor().clone();
        let subcompositor = SubcompositorState::bind(subcompositor, list, qh)?;
        let kit = Kit {
            compositor: Arc::new(compositor),
            subcompositor: Arc::new(subcompositor),
            shm: globals.shm.clone(),
        };
        Ok(Self { kit, stage: Stage::None, geometry: None, over: None })
    }

    /// Whether the window has to wait for it.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.stage, Stage::Asked)
    }

    fn drawn(&mut self) -> Option<&mut AdwaitaFrame<State>> {
        match &mut self.stage {
            Stage::Ours(frame) if !frame.is_hidden() => Some(frame),
            _ => None,
        }
    }

    /// Takes what the compositor says of the window.
    pub(super) fn configure(
        &mut self,
        configure: &WindowConfigure,
        toplevel: &Toplevel,
        (connection, qh): (&Connection, &QueueHandle<State>),
    ) {
        let ours = configure.decoration_mode == DecorationMode::Client;
        match &mut self.stage {
            // As large as the screen it has none, and nothing is to be waited for.
            Stage::None if ours && !configure.is_fullscreen() => {
                self.ask(toplevel.wl_surface(), connection, qh);
            }
            Stage::None | Stage::Asked | Stage::Failed => {}
            Stage::Ours(frame) => {
                frame.set_hidden(!ours);
                frame.update_state(configure.state);
                frame.update_wm_capabilities(configure.capabilities);
            }
        }
    }

    /// Has it made.
    fn ask(&mut self, base: &WlSurface, connection: &Connection, qh: &QueueHandle<State>) {
        let Kit { compositor, subcompositor, shm } = self.kit.clone();
        let (base, connection, qh) = (Base(base.clone()), connection.clone(), qh.clone());
        let thread = || thread::Builder::new().name("fanlight-frame".to_owned());
        let asked = thread().spawn(move || {
            // The colours are asked for meanwhile: each answer takes a program's start.
            let look = thread().spawn(FrameConfig::auto);
            let (shm, light) = (Shm::from(shm), FrameConfig::light());
            let frame =
                AdwaitaFrame::new(&base, &shm, compositor, subcompositor, qh.clone(), light);
            let frame = frame.map_err(|error| error.to_string()).map(|mut frame| {
                if let Some(Ok(look)) = look.ok().map(thread::JoinHandle::join) {
                    frame.set_config(look);
                }
                frame
            });
            // The compositor's answer is what wakes the session's thread.
            connection.display().sync(&qh, Made(Mutex::new(Some(frame))));
            // What isn't sent now is sent with whatever comes next.
            let _ = connection.flush();
        });
        match asked {
            Ok(_) => self.stage = Stage::Asked,
            Err(error) => tracing::warn!(%error, "no thread to make the window's frame on"),
        }
    }

    /// What the compositor says, of what is inside of the frame.
    pub(super) fn inside(&mut self, configure: &WindowConfigure) -> Configured {
        let mut configured = Configured::from(configure);
        if let Some(frame) = self.drawn() {
            let less = |size: Size| {
                let [width, height] = [size.width, size.height].map(NonZeroU32::new);
                let (width, height) = frame.subtract_borders(width?, height?);
                Some(Size {
                    width: width.map_or(1, NonZeroU32::get),
                    height: height.map_or(1, NonZeroU32::get),
                })
            };
            configured.size = configured.size.and_then(less);
            configured.bounds = configured.bounds.and_then(less);
        }
        configured
    }

    /// Draws it around a window of that size; says whether the window's surface is to be committed.
    pub(super) fn surround(&mut self, size: Size, toplevel: &Toplevel) -> bool {
        let mut geometry = None;
        let mut commit = false;
        if let Some(frame) = self.drawn() {
            let [width, height] = [size.width, size.height]
                .map(|length| NonZeroU32::new(length).unwrap_or(NonZeroU32::MIN));
            frame.resize(width, height);
            commit = frame.draw();
            let ((x, y), (width, height)) =
                (frame.location(), frame.add_borders(size.width, size.height));
            geometry = Some((x, y, Size { width, height }));
        } else if self.geometry.is_some() {
            // It is the compositor's again.
            geometry = Some((0, 0, size));
        }
        if let Some((x, y, size)) = geometry
            && self.geometry != geometry
        {
            self.geometry = geometry;
            let (width, height) = (int(size.width), int(size.height));
            toplevel.xdg_surface().set_window_geometry(x, y, width, height);
            commit = true;
        }
        commit
    }

    /// Draws what has changed of it, in a window that is there.
    pub(super) fn touch_up(&mut self, toplevel: &Toplevel) {
        if let Some(frame) = self.drawn()
            && frame.is_dirty()
            && frame.draw()
        {
            toplevel.commit();
        }
    }

    pub(super) fn set_title(&mut self, title: &str) {
        if let Stage::Ours(frame) = &mut self.stage {
            frame.set_title(title);
        }
    }

    pub(super) fn set_scale(&mut self, scale: Scale) {
        if let Stage::Ours(frame) = &mut self.stage {
            frame.set_scaling_factor(scale.factor());
        }
    }
}

/// The surface that it is put around.
struct Base(WlSurface);

impl WaylandSurface for Base {
    fn wl_surface(&self) -> &WlSurface {
        &self.0
    }
}

/// A frame that was made, or why not, on its way to the session's thread.
#[derive(Debug)]
struct Made(Mutex<Option<Result<AdwaitaFrame<State>, String>>>);

impl Dispatch2<WlCallback, State> for Made {
    fn event(
        &self,
        state: &mut State,
        _: &WlCallback,
        _: wl_callback::Event,
        connection: &Connection,
        qh: &QueueHandle<State>,
    ) {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        state.change_window(qh, |window, globals| {
            window.frame.stage = match made {
                Some(Ok(frame)) => Stage::Ours(Box::new(frame)),
                Some(Err(error)) => {
                    tracing::warn!(error, "no frame could be drawn around the window");
                    Stage::Failed
                }
                None => return,
            };
            window.framed((globals, connection, qh));
        });
    }
}

/// Of the frame's surfaces nothing needs to be known.
impl Dispatch2<WlSurface, State> for SurfaceData<()> {
    fn event(
        &self,
        _: &mut State,
        _: &WlSurface,
        _: wl_surface::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
    }
}

impl Dispatch2<WlCompositor, State> for GlobalData {
    fn event(
        &self,
        _: &mut State,
        _: &WlCompositor,
        _: wl_compositor::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
    }
}
