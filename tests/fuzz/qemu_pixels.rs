//! Pictures that come as bytes in messages, and what should be on the canvas then.

use fanlight::frame::Size;
use fanlight::source::check::SIDE_MAX;

use super::{Stage, fake_qemu};
use crate::dbus::Body;
use crate::tape::Tape;

/// What should be on it.
pub(super) struct Canvas {
    size: Size,
    pixman: u32,
    /// Row after row, without gaps.
    bytes: Vec<u8>,
}

/// Bytes a pixel, for the formats that are taken.
fn pixel(pixman: u32) -> Option<usize> {
    match pixman {
        0x2002_0888 | 0x2002_8888 => Some(4),
        0x1002_0565 => Some(2),
        _ => None,
    }
}

pub(super) fn pixman(tape: &mut Tape<'_>) -> u32 {
    match tape.choose(6) {
        0 | 5 => 0x2002_0888,
        1 => 0x2002_8888,
        2 => 0x1002_0565,
        3 => 0x2003_0888,
        _ => tape.number(),
    }
}

impl Stage {
    /// Pixels: as many as are needed, or some others.
    fn bytes(&self, needed: u64, tape: &mut Tape<'_>) -> Vec<u8> {
        let count = match tape.choose(4) {
            0 | 3 => needed,
            1 => needed.saturating_sub(1),
            _ => u64::from(tape.number()),
        };
        let salt = self.serial;
        (0..count.min(1 << 18) as u32).map(|i| (i * 31 + salt * 7) as u8).collect()
    }

    pub(super) fn scanout(&mut self, tape: &mut Tape<'_>) {
        self.flags = 0;
        let [width, height, stride] = tape.numbers();
        let pixman = pixman(tape);
        let row = u64::from(width) * pixel(pixman).unwrap_or(4) as u64;
        let stride = if tape.choose(2) == 0 { row as u32 } else { stride };
        let needed = (u64::from(stride) * u64::from(height.max(1) - 1)).saturating_add(row);
        let bytes = self.bytes(needed, tape);
        let good = [width, height].iter().all(|side| (1..=SIDE_MAX).contains(side))
            && pixel(pixman).is_some()
            && row <= u64::from(stride)
            && bytes.len() as u64 >= needed;
        let body = Body::default().u32(width).u32(height).u32(stride).u32(pixman).array(&bytes);
        let serial = self.call(fake_qemu::LISTENER, "Scanout", &body);
        let Some(refused) = self.is_refused(serial) else { return };
        assert_eq!(refused, !good, "{width}x{height}, rows of {stride}, {} bytes", bytes.len());
        (self.painting, self.shown) = (good, good);
        if good {
            let rows = (0..height as usize).map(|y| &bytes[y * stride as usize..][..row as usize]);
            let bytes = rows.flatten().copied().collect();
            self.canvas = Some(Canvas { size: Size { width, height }, pixman, bytes });
        }
        self.compare();
    }

    pub(super) fn update(&mut self, tape: &mut Tape<'_>) {
        self.flags = 0;
        let [x, y, width, height] = std::array::from_fn(|_| tape.signed());
        let canvas_format = self.canvas.as_ref().map(|canvas| canvas.pixman);
        let pixman = match (tape.choose(4), canvas_format) {
            (0..=2, Some(same)) => same,
            _ => pixman(tape),
        };
        let size = pixel(pixman).unwrap_or(4);
        let row = u64::from(width.max(0).cast_unsigned()) * size as u64;
        let stride = (row as u32).saturating_add(tape.choose(3) as u32);
        let needed = u64::from(stride) * (height.max(1) - 1) as u64 + row;
        let bytes = self.bytes(needed, tape);
        let good = [width, height].iter().all(|side| (1..=SIDE_MAX as i32).contains(side))
            && self.painting
            && canvas_format == Some(pixman)
            && bytes.len() as u64 >= needed;
        let body = [x, y, width, height].iter().fold(Body::default(), |body, v| body.i32(*v));
        let body = body.u32(stride).u32(pixman).array(&bytes);
        let serial = self.call(fake_qemu::LISTENER, "Update", &body);
        let Some(refused) = self.is_refused(serial) else { return };
        assert_eq!(refused, !good, "{x},{y} {width}x{height}, {} bytes", bytes.len());
        if let (true, Some(canvas)) = (good, &mut self.canvas) {
            let Size { width: columns, height: rows } = canvas.size;
            for (dy, dx) in (0..height).flat_map(|dy| (0..width).map(move |dx| (dy, dx))) {
                let (Some(to_x), Some(to_y)) = (x.checked_add(dx), y.checked_add(dy)) else {
                    continue;
                };
                if !(0..columns as i32).contains(&to_x) || !(0..rows as i32).contains(&to_y) {
                    continue;
                }
                let from = dy as usize * stride as usize + dx as usize * size;
                let to = (to_y as usize * columns as usize + to_x as usize) * size;
                canvas.bytes[to..to + size].copy_from_slice(&bytes[from..from + size]);
            }
        }
        self.compare();
    }

    /// The canvas has what was painted.
    fn compare(&mut self) {
        self.take();
        let (true, Some(canvas), Some((fd, stride))) =
            (self.painting && !self.wild, &self.canvas, &self.memory)
        else {
            return;
        };
        let row = canvas.size.width as usize * pixel(canvas.pixman).unwrap();
        let mut line = vec![0; row];
        for (y, expected) in canvas.bytes.chunks_exact(row).enumerate() {
            let got = rustix::io::pread(fd, &mut line, (y * stride) as u64).unwrap();
            assert_eq!(got, row);
            assert!(line == expected, "row {y} of {:?}", canvas.size);
        }
    }
}
