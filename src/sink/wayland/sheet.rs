//! Buffers that the viewer paints itself: panels, and the window's frame.

use std::io;

use wayland_client::QueueHandle;
use wayland_client::protocol::{wl_buffer::WlBuffer, wl_shm::Format};

use super::State;
use super::globals::Globals;
use crate::frame::Size;
use crate::sys::{OwnMapping, own_memfd, page_align};

/// A buffer of that size, as `paint` fills it: its bytes, which are zero, and how many a row has.
pub(super) fn sheet(
    globals: &Globals,
    qh: &QueueHandle<State>,
    size: Size,
    paint: impl FnOnce(&mut [u8], usize),
) -> io::Result<WlBuffer> {
    let stride = size.width.saturating_mul(4);
    let bytes = page_align(u64::from(stride) * u64::from(size.height));
    if i32::try_from(bytes).is_err() {
        return Err(io::Error::other("it is too large"));
    }
    // New memory each time: nobody ever writes to what the compositor may still read.
    let memory = own_memfd("fanlight-sheet", bytes)?;
    paint(OwnMapping::new(&memory, bytes)?.bytes_mut(), stride as usize);
    Ok(globals.shm_buffer(qh, &memory, size, stride, Format::Argb8888))
}
