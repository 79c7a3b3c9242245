//! What the compositor offers, as far as it is used.

use std::os::fd::AsFd;

use smithay_client_toolkit::dispatch2::Dispatch2;
use smithay_client_toolkit::shell::xdg::XdgShell;
use wayland_client::globals::{GlobalList, GlobalListContents};
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_compositor::WlCompositor, wl_registry, wl_registry::WlRegistry, wl_shm,
    wl_shm::WlShm, wl_subcompositor::WlSubcompositor,
};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle};
use wayland_protocols::wp::content_type::v1::client::wp_content_type_manager_v1::WpContentTypeManagerV1;
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibit_manager_v1::ZwpIdleInhibitManagerV1;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_manager_v1::WpLinuxDrmSyncobjManagerV1;
use wayland_protocols::wp::single_pixel_buffer::v1::client::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;
use wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_manager_v1::WpTearingControlManagerV1;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;
use wayland_protocols::xdg::activation::v1::client::xdg_activation_v1::XdgActivationV1;
use wayland_protocols::xdg::toplevel_icon::v1::client::xdg_toplevel_icon_manager_v1::XdgToplevelIconManagerV1;

use super::State;
use super::connect::WaylandError;
use super::dmabuf::Offered;
use super::lease::Leased;
use super::outputs;
use crate::frame::Size;

/// For objects whose events (if there are any) don't matter here.
#[derive(Debug)]
pub(super) struct Quiet;

impl<I: Proxy> Dispatch2<I, State> for Quiet {
    fn event(&self, _: &mut State, _: &I, _: I::Event, _: &Connection, _: &QueueHandle<State>) {}
}

/// Of the globals that come and go later only screens matter: what else was bound at the start stays in
/// use.
impl Dispatch<WlRegistry, GlobalListContents> for State {
    fn event(
        state: &mut Self,
        registry: &WlRegistry,
        event: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        qh: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, version }
                if interface == outputs::INTERFACE =>
            {
                state.outputs.add(registry, name, version, qh);
            }
            wl_registry::Event::GlobalRemove { name } => state.outputs.remove(name),
            _ => {}
        }
    }
}

/// The globals in use.
#[derive(Debug)]
pub(super) struct Globals {
    pub(super) compositor: WlCompositor,
    pub(super) subcompositor: WlSubcompositor,
    pub(super) shm: WlShm,
    pub(super) xdg: XdgShell,
    /// Without it nothing can be scaled or cropped.
    pub(super) viewporter: Option<WpViewporter>,
    /// Without it scales are whole.
    pub(super) fractional_scale: Option<WpFractionalScaleManagerV1>,
    pub(super) single_pixel: Option<WpSinglePixelBufferManagerV1>,
    /// Without it the guest's memory can't be shown as it is.
    pub(super) dmabuf: Option<ZwpLinuxDmabufV1>,
    pub(super) tearing: Option<WpTearingControlManagerV1>,
    pub(super) content_type: Option<WpContentTypeManagerV1>,
    pub(super) icons: Option<XdgToplevelIconManagerV1>,
    pub(super) activation: Option<XdgActivationV1>,
    pub(super) idle_inhibit: Option<ZwpIdleInhibitManagerV1>,
    /// Explicit sync.
    pub(super) syncobj: Option<WpLinuxDrmSyncobjManagerV1>,
}

impl Globals {
    pub(super) fn bind(
        globals: &GlobalList,
        qh: &QueueHandle<State>,
    ) -> Result<Self, WaylandError> {
        fn missing<T, E>(
            interface: &'static str,
            version: u32,
            bound: Result<T, E>,
        ) -> Result<T, WaylandError> {
            bound.map_err(|_| WaylandError::Missing { interface, version })
        }
        Ok(Self {
            // 4 brought damage_buffer; 7 a release for each commit.
            compositor: missing("wl_compositor", 4, globals.bind(qh, 4..=7, Quiet))?,
            subcompositor: missing("wl_subcompositor", 1, globals.bind(qh, 1..=1, Quiet))?,
            shm: missing("wl_shm", 1, globals.bind(qh, 1..=1, Quiet))?,
            xdg: missing("xdg_wm_base", 1, XdgShell::bind(globals, qh))?,
            viewporter: globals.bind(qh, 1..=1, Quiet).ok(),
            fractional_scale: globals.bind(qh, 1..=1, Quiet).ok(),
            single_pixel: globals.bind(qh, 1..=1, Quiet).ok(),
            // 3 brought modifiers; 4 feedback in place of them.
            dmabuf: globals.bind(qh, 3..=6, Offered).ok(),
            tearing: globals.bind(qh, 1..=1, Quiet).ok(),
            content_type: globals.bind(qh, 1..=1, Quiet).ok(),
            icons: globals.bind(qh, 1..=1, Quiet).ok(),
            activation: globals.bind(qh, 1..=1, Quiet).ok(),
            idle_inhibit: globals.bind(qh, 1..=1, Quiet).ok(),
            syncobj: globals.bind(qh, 1..=1, Quiet).ok(),
        })
    }

    /// A wl_buffer of pixels of 32 bits in `memory`, which is large enough for them.
    pub(super) fn shm_buffer(
        &self,
        qh: &QueueHandle<State>,
        memory: &impl AsFd,
        size: Size,
        stride: u32,
        format: wl_shm::Format,
    ) -> WlBuffer {
        let [width, height, stride] = [size.width, size.height, stride].map(int);
        let pool = self.shm.create_pool(memory.as_fd(), stride.saturating_mul(height), qh, Quiet);
        let buffer = pool.create_buffer(0, width, height, stride, format, qh, Leased);
        pool.destroy();
        buffer
    }
}

/// Wayland's lengths are signed. Those used here are checked to be smaller where it matters.
pub(super) fn int(length: u32) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}
