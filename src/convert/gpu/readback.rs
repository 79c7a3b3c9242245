//! What the GPU has drawn, brought into memory of ours.
//!
//! Pixels go into a buffer of the driver's first: to ask for that takes no time, so it is known how
//! long is waited for the GPU, and all that changed is waited for once.

use glow::{HasContext, NativeBuffer, NativeFramebuffer, NativeRenderbuffer};

use super::painter::{Canvas, Painter};
use super::{Gpu, broken};
use crate::convert::blit::{BlitError, Blitter, Readback};
use crate::convert::cpu::{OUT_PIXEL, View, visible_damage};
use crate::frame::{Damage, Rect, Size, Storage, StorageId};

/// Longest wait for the GPU. Whatever hangs longer is broken: no guest waits for it.
const READ_MS_MAX: i32 = 500;

/// Where a picture is drawn, and where its pixels go from there: `4 * width` bytes a row.
#[derive(Debug)]
pub(super) struct Well {
    size: Size,
    framebuffer: NativeFramebuffer,
    renderbuffer: NativeRenderbuffer,
    buffer: NativeBuffer,
}

impl Well {
    /// The painter's context is current, in all that a well does.
    pub(super) fn new(painter: &Painter, size: Size) -> Result<Self, String> {
        let edge_max = painter.edge_max();
        let long = || format!("a side would be longer than {edge_max} pixels");
        let side = |side: u32| i32::try_from(side).ok().filter(|_| side <= edge_max);
        let (width, height) = side(size.width).zip(side(size.height)).ok_or_else(long)?;
        let bytes = width.checked_mul(height).and_then(|n| n.checked_mul(OUT_PIXEL as i32));
        let bytes = bytes.ok_or("it would have more than 2 GiB")?;
        let gl = painter.gl();
        // SAFETY: the context is current, as all callers have been asked for; the sides are such as
        // the driver takes (checked above).
        unsafe {
            let renderbuffer = gl.create_renderbuffer()?;
            gl.bind_renderbuffer(glow::RENDERBUFFER, Some(renderbuffer));
            gl.renderbuffer_storage(glow::RENDERBUFFER, glow::RGBA8, width, height);
            let (framebuffer, status) = painter.framebuffer(renderbuffer)?;
            let buffer = gl.create_buffer()?;
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(buffer));
            gl.buffer_data_size(glow::PIXEL_PACK_BUFFER, bytes, glow::STREAM_READ);
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, None);
            let error = gl.get_error();
            let this = Self { size, framebuffer, renderbuffer, buffer };
            if status == glow::FRAMEBUFFER_COMPLETE && error == glow::NO_ERROR {
                return Ok(this);
            }
            this.delete(painter);
            Err(format!("its driver has none (status {status:#x}, error {error:#x})"))
        }
    }

    pub(super) fn delete(&self, painter: &Painter) {
        let gl = painter.gl();
        // SAFETY: the context is current, and all three are its.
        unsafe {
            gl.delete_framebuffer(self.framebuffer);
            gl.delete_renderbuffer(self.renderbuffer);
            gl.delete_buffer(self.buffer);
        }
    }

    /// What is drawn into it is XRGB8888 to whoever reads it.
    pub(super) fn canvas(&self) -> Canvas {
        Canvas { framebuffer: self.framebuffer, blue_first: true }
    }

    fn row(&self) -> usize {
        self.size.width as usize * OUT_PIXEL
    }

    /// Where a rectangle's row begins in the buffer.
    fn start(&self, rect: &Rect, y: u32) -> usize {
        y as usize * self.row() + rect.x as usize * OUT_PIXEL
    }

    /// Has the GPU bring these rectangles into the buffer, and waits until they are there.
    pub(super) fn fill(
        &self,
        painter: &Painter,
        rects: impl Iterator<Item = Rect>,
    ) -> Result<(), String> {
        let gl = painter.gl();
        let int = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        // SAFETY: the context is current; the rectangles lie within the picture, so that each row,
        // a row's length after the one before, ends within the buffer.
        let (waited, error) = unsafe {
            gl.bind_framebuffer(glow::FRAMEBUFFER, Some(self.framebuffer));
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(self.buffer));
            gl.pixel_store_i32(glow::PACK_ROW_LENGTH, int(self.size.width));
            for rect in rects {
                let (x, y, width, height) = (rect.x, rect.y, rect.width, rect.height);
                let start = u32::try_from(self.start(&rect, y)).unwrap_or(u32::MAX);
                let to = glow::PixelPackData::BufferOffset(start);
                let (format, kind) = (glow::RGBA, glow::UNSIGNED_BYTE);
                gl.read_pixels(int(x), int(y), int(width), int(height), format, kind, to);
            }
            gl.bind_framebuffer(glow::FRAMEBUFFER, None);
            let fence = gl.fence_sync(glow::SYNC_GPU_COMMANDS_COMPLETE, 0)?;
            let flush = glow::SYNC_FLUSH_COMMANDS_BIT;
            let waited = gl.client_wait_sync(fence, flush, READ_MS_MAX * 1_000_000);
            gl.delete_sync(fence);
            (waited, gl.get_error())
        };
        match (waited, error) {
            (glow::ALREADY_SIGNALED | glow::CONDITION_SATISFIED, glow::NO_ERROR) => Ok(()),
            (glow::TIMEOUT_EXPIRED, _) => Err(format!("it took more than {READ_MS_MAX} ms")),
            (_, error) => Err(format!("what it drew can't be read, OpenGL error {error:#x}")),
        }
    }

    /// Copies these rectangles out of the buffer, which was filled.
    pub(super) fn empty(
        &self,
        painter: &Painter,
        rects: impl Iterator<Item = Rect>,
        out: &mut [u8],
        out_stride: usize,
    ) -> Result<u64, String> {
        let gl = painter.gl();
        let length = self.row() * self.size.height as usize;
        let mapped = i32::try_from(length).map_err(|_| "it has more than 2 GiB")?;
        // SAFETY: the context is current, the buffer bound (by `fill`), and as long as this.
        let start =
            unsafe { gl.map_buffer_range(glow::PIXEL_PACK_BUFFER, 0, mapped, glow::MAP_READ_BIT) };
        if start.is_null() {
            return Err("what it drew can't be mapped".to_owned());
        }
        // SAFETY: not null (checked above), so `length` bytes that the GPU is done with: until they
        // are unmapped below, nobody writes to them.
        let pixels = unsafe { std::slice::from_raw_parts(start.cast_const(), length) };
        let mut bytes = 0;
        for rect in rects {
            let row = rect.width as usize * OUT_PIXEL;
            for y in rect.y..rect.y + rect.height {
                let from = self.start(&rect, y);
                let to = y as usize * out_stride + rect.x as usize * OUT_PIXEL;
                out[to..to + row].copy_from_slice(&pixels[from..from + row]);
                bytes += row as u64;
            }
        }
        // SAFETY: the context is current, the buffer bound and mapped, and `pixels` isn't used again.
        unsafe {
            gl.unmap_buffer(glow::PIXEL_PACK_BUFFER);
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, None);
        }
        Ok(bytes)
    }
}

impl Gpu {
    /// Makes a well for pictures of this size, unless there is one.
    fn dig(&mut self, size: Size) -> Result<(), String> {
        if self.well.as_ref().is_some_and(|well| well.size == size) {
            return Ok(());
        }
        let _current = self.context.enter()?;
        if let Some(other) = self.well.take() {
            other.delete(&self.painter);
        }
        self.well = Some(Well::new(&self.painter, size)?);
        Ok(())
    }
}

impl Readback for Gpu {
    fn read(
        &mut self,
        storage: &Storage,
        view: &View,
        damage: &Damage,
        out: &mut [u8],
        out_stride: usize,
    ) -> Result<u64, BlitError> {
        self.import(storage, &view.layout)?;
        self.dig(view.size()).map_err(BlitError::Target)?;
        let well = self.well.as_ref().ok_or_else(|| broken("there is nothing to draw into"))?;
        let current = self.context.enter().map_err(BlitError::Draw)?;
        self.draw(storage.id, view, damage, well.canvas(), &current)?;
        let rects = || visible_damage(view, damage);
        well.fill(&self.painter, rects()).map_err(BlitError::Draw)?;
        well.empty(&self.painter, rects(), out, out_stride).map_err(BlitError::Draw)
    }

    fn forget(&mut self, storage: StorageId) {
        Blitter::forget(self, storage);
    }
}
