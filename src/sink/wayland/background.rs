//! The black behind the picture.

use std::io;
use std::os::fd::OwnedFd;

use wayland_client::QueueHandle;
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_shm::Format;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use super::State;
use super::globals::{Globals, Quiet, int};
use crate::frame::Size;
use crate::sys::{own_memfd, page_align};

const PIXEL: u32 = 4;

/// Black as large as the window.
#[derive(Debug)]
pub(super) struct Background {
    viewport: Option<WpViewport>,
    /// One black pixel; it is scaled where there is a viewport, and else unused.
    pixel: WlBuffer,
    /// As large as the window, where nothing scales.
    sheet: Option<(WlBuffer, OwnedFd)>,
    size: Option<Size>,
}

impl Background {
    pub(super) fn new(
        globals: &Globals,
        qh: &QueueHandle<State>,
        surface: &WlSurface,
    ) -> io::Result<Self> {
        let pixel = match &globals.single_pixel {
            Some(manager) => manager.create_u32_rgba_buffer(0, 0, 0, u32::MAX, qh, Quiet),
            None => sheet(globals, qh, Size { width: 1, height: 1 })?.0,
        };
        let viewport = globals.viewporter.as_ref().map(|v| v.get_viewport(surface, qh, Quiet));
        Ok(Self { viewport, pixel, sheet: None, size: None })
    }

    /// Makes `surface` black in that size; false if it is. The caller commits.
    pub(super) fn cover(
        &mut self,
        globals: &Globals,
        qh: &QueueHandle<State>,
        surface: &WlSurface,
        size: Size,
    ) -> bool {
        let before = self.size.replace(size);
        if before == Some(size) {
            return false;
        }
        match &self.viewport {
            Some(viewport) => {
                viewport.set_destination(int(size.width), int(size.height));
                if before.is_none() {
                    attach(surface, &self.pixel, Size { width: 1, height: 1 });
                }
            }
            None => match sheet(globals, qh, size) {
                Ok(sheet) => {
                    attach(surface, &sheet.0, size);
                    // Nobody writes to the old one, so it may go while it is still shown.
                    if let Some((old, _)) = self.sheet.replace(sheet) {
                        old.destroy();
                    }
                }
                Err(error) => tracing::warn!(%error, "no memory for the window's background"),
            },
        }
        true
    }

    pub(super) fn destroy(&self) {
        if let Some(viewport) = &self.viewport {
            viewport.destroy();
        }
        self.pixel.destroy();
        if let Some((sheet, _)) = &self.sheet {
            sheet.destroy();
        }
    }
}

fn attach(surface: &WlSurface, buffer: &WlBuffer, size: Size) {
    surface.attach(Some(buffer), 0, 0);
    // Exact, and no "everything": nobody has to scale that without an overflow.
    surface.damage_buffer(0, 0, int(size.width), int(size.height));
}

/// Black pixels in shared memory: a fresh memfd is all zero.
fn sheet(
    globals: &Globals,
    qh: &QueueHandle<State>,
    size: Size,
) -> io::Result<(WlBuffer, OwnedFd)> {
    let stride = size.width.saturating_mul(PIXEL);
    let bytes = page_align(u64::from(stride) * u64::from(size.height));
    if i32::try_from(bytes).is_err() {
        return Err(io::Error::other("the window is too large"));
    }
    let memory = own_memfd("fanlight-black", bytes)?;
    Ok((globals.shm_buffer(qh, &memory, size, stride, Format::Xrgb8888), memory))
}
