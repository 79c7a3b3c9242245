//! Buffers of the compositor, and where their pixels are.

use std::os::fd::OwnedFd;

use rustix::io::pread;
use wayland_protocols::wp::single_pixel_buffer::v1::server::wp_single_pixel_buffer_manager_v1::{
    self as pixel_v1, WpSinglePixelBufferManagerV1,
};
use wayland_server::protocol::{
    wl_buffer::{self, WlBuffer},
    wl_shm::{self, WlShm},
    wl_shm_pool::{self, WlShmPool},
};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource, WEnum};

use super::Server;
use super::dmabuf::PlaneSeen;

/// Where a buffer's pixels are.
#[derive(Debug)]
pub enum Pixels {
    Shm {
        fd: OwnedFd,
        offset: i32,
        stride: i32,
        alpha: bool,
    },
    Dmabuf {
        planes: Vec<PlaneSeen>,
        format: u32,
    },
    /// One, of that colour.
    Single([u32; 4]),
}

/// A wl_buffer.
#[derive(Debug)]
pub struct BufferSeen {
    pub buffer: WlBuffer,
    pub size: (i32, i32),
    pub pixels: Pixels,
    pub destroyed: bool,
}

impl BufferSeen {
    pub fn new(buffer: WlBuffer, size: (i32, i32), pixels: Pixels) -> Self {
        Self { buffer, size, pixels, destroyed: false }
    }

    /// Its rows, without what pads them.
    pub fn rows(&self) -> Vec<Vec<u8>> {
        let (fd, offset, stride) = match &self.pixels {
            Pixels::Shm { fd, offset, stride, .. } => (fd, *offset as u64, *stride as u64),
            Pixels::Dmabuf { planes, .. } => {
                (&planes[0].fd, u64::from(planes[0].offset), u64::from(planes[0].stride))
            }
            Pixels::Single(_) => panic!("a single pixel has no rows"),
        };
        let row = |y: u64| {
            let mut row = vec![0; self.size.0 as usize * 4];
            assert_eq!(pread(fd, &mut row, offset + stride * y), Ok(row.len()));
            row
        };
        (0..self.size.1 as u64).map(row).collect()
    }
}

dispatch!(WlShm, (), |_state, _r, request, _d, init| match request {
    wl_shm::Request::CreatePool { id, fd, size } => {
        assert!(size > 0);
        init.init(id, fd);
    }
    other => panic!("wl_shm: {other:?}"),
});

dispatch!(WlShmPool, OwnedFd, |state, _r, request, fd, init| match request {
    wl_shm_pool::Request::CreateBuffer { id, offset, width, height, stride, format } => {
        let known = [wl_shm::Format::Xrgb8888, wl_shm::Format::Argb8888].map(WEnum::Value);
        assert!(known.contains(&format), "{format:?}");
        let alpha = format == WEnum::Value(wl_shm::Format::Argb8888);
        assert!(width > 0 && height > 0 && stride >= 4 * width);
        let buffer = init.init(id, state.surfaces.buffers.len());
        let pixels = Pixels::Shm { fd: fd.try_clone().unwrap(), offset, stride, alpha };
        state.surfaces.buffers.push(BufferSeen::new(buffer, (width, height), pixels));
    }
    wl_shm_pool::Request::Resize { .. } | wl_shm_pool::Request::Destroy => {}
    other => panic!("wl_shm_pool: {other:?}"),
});

dispatch!(WlBuffer, usize, |state, _r, request, index, _i| match request {
    wl_buffer::Request::Destroy => state.surfaces.buffers[*index].destroyed = true,
    other => panic!("wl_buffer: {other:?}"),
});

dispatch!(WpSinglePixelBufferManagerV1, (), |state, _r, request, _d, init| match request {
    pixel_v1::Request::CreateU32RgbaBuffer { id, r, g, b, a } => {
        let buffer = init.init(id, state.surfaces.buffers.len());
        let pixels = Pixels::Single([r, g, b, a]);
        state.surfaces.buffers.push(BufferSeen::new(buffer, (1, 1), pixels));
    }
    other => panic!("wp_single_pixel_buffer_manager_v1: {other:?}"),
});
