//! The pictures of cursors, as the compositor gets them.

use std::io;
use std::rc::Rc;

use wayland_client::QueueHandle;
use wayland_client::protocol::{wl_buffer::WlBuffer, wl_shm};

use super::super::State;
use super::super::globals::Globals;
use crate::frame::{Cursor, Size};
use crate::sys::memfd_of;

const PIXEL: usize = 4;
/// Longest side.
const SIDE_MAX: u32 = 512;

/// What a cursor looks like; shared memory only once it is shown.
#[derive(Debug)]
pub(super) struct Image {
    cursor: Cursor,
    drawn: Option<Rc<Drawn>>,
}

/// The same in shared memory, with a clear rim.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) buffer: WlBuffer,
    /// With the rim.
    pub(super) size: Size,
    pub(super) rim: u32,
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

impl Image {
    /// Refuses what is no picture.
    pub(super) fn new(cursor: &Cursor) -> Result<Self, String> {
        let Size { width, height } = cursor.size;
        if ![width, height].iter().all(|side| (1..=SIDE_MAX).contains(side)) {
            return Err(format!("it has {width}x{height} pixels"));
        }
        let needed = PIXEL * width as usize * height as usize;
        if cursor.pixels.len() < needed {
            return Err(format!("it has {} bytes, but needs {needed}", cursor.pixels.len()));
        }
        Ok(Self { cursor: cursor.clone(), drawn: None })
    }

    /// An arrow, for compositors that don't say how theirs looks.
    pub(super) fn arrow() -> Self {
        const ROWS: [&[u8]; 17] = [
            b"o           ",
            b"oo          ",
            b"oxo         ",
            b"oxxo        ",
            b"oxxxo       ",
            b"oxxxxo      ",
            b"oxxxxxo     ",
            b"oxxxxxxo    ",
            b"oxxxxxxxo   ",
            b"oxxxxxxxxo  ",
            b"oxxxxxxxxxo ",
            b"oxxxxxxooooo",
            b"oxxxoxxo    ",
            b"oxxooxxo    ",
            b"oxo  oxxo   ",
            b"oo   oxxo   ",
            b"      oo    ",
        ];
        let pixel = |dot: &u8| match dot {
            b'x' => [0, 0, 0, 255],
            b'o' => [255; PIXEL],
            _ => [0; PIXEL],
        };
        let pixels = ROWS.iter().flat_map(|row| row.iter().flat_map(pixel)).collect();
        let size = Size { width: ROWS[0].len() as u32, height: ROWS.len() as u32 };
        Self { cursor: Cursor { size, hotspot: (0, 0), pixels }, drawn: None }
    }

    pub(super) fn size(&self) -> Size {
        self.cursor.size
    }

    /// Within the picture: a cursor that is elsewhere than it points would be seen outside of its window.
    pub(super) fn hotspot(&self) -> (i32, i32) {
        let within = |at: i32, side: u32| at.clamp(0, side as i32 - 1);
        let ((x, y), Size { width, height }) = (self.cursor.hotspot, self.cursor.size);
        (within(x, width), within(y, height))
    }

    /// It, with a rim of so many pixels or more.
    pub(super) fn drawn(
        &mut self,
        globals: &Globals,
        qh: &QueueHandle<State>,
        rim: u32,
    ) -> io::Result<Rc<Drawn>> {
        let drawn = match self.drawn.take().filter(|drawn| drawn.rim >= rim) {
            Some(drawn) => drawn,
            None => Rc::new(self.draw(globals, qh, rim)?),
        };
        Ok(Rc::clone(self.drawn.insert(drawn)))
    }

    fn draw(&self, globals: &Globals, qh: &QueueHandle<State>, rim: u32) -> io::Result<Drawn> {
        let Size { width, height } = self.cursor.size;
        let (row, rows) = (PIXEL * width as usize, height as usize);
        let size = Size { width: width + 2 * rim, height: height + 2 * rim };
        let (stride, edge) = (PIXEL * size.width as usize, rim as usize);
        let mut pixels = vec![0; stride * size.height as usize];
        let inside = pixels.chunks_exact_mut(stride).skip(edge);
        for (to, from) in inside.zip(self.cursor.pixels.chunks_exact(row).take(rows)) {
            to[PIXEL * edge..][..row].copy_from_slice(from);
        }
        let memory = memfd_of("fanlight-cursor", &pixels)?;
        let format = wl_shm::Format::Argb8888;
        let buffer = globals.shm_buffer(qh, &memory, size, stride as u32, format);
        Ok(Drawn { buffer, size, rim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(width: u32, height: u32, hotspot: (i32, i32), bytes: usize) -> Cursor {
        Cursor { size: Size { width, height }, hotspot, pixels: vec![9; bytes] }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for (width, height, bytes) in
            [(0, 0, 0), (0, 5, 100), (513, 1, 9999), (u32::MAX, u32::MAX, 4), (2, 2, 15)]
        {
            assert!(Image::new(&cursor(width, height, (0, 0), bytes)).is_err(), "{width}x{height}");
        }
        assert!(Image::new(&cursor(2, 2, (0, 0), 16)).is_ok());
    }

    #[test]
    fn it_points_from_within() {
        let hotspot = |x, y| Image::new(&cursor(2, 3, (x, y), 24)).unwrap().hotspot();
        assert_eq!(hotspot(1, 2), (1, 2));
        assert_eq!(hotspot(i32::MIN, i32::MAX), (0, 2));
    }

    #[test]
    fn the_arrow_is_whole() {
        let Cursor { size, pixels, .. } = Image::arrow().cursor;
        assert_eq!(pixels.len(), PIXEL * size.width as usize * size.height as usize);
    }
}
