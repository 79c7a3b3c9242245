//! Draws frames: background, sun, clock and figures, and in each row the marks of the [`oracle`].

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::canvas::{Canvas, GLYPH, Line, Pixel};
use super::oracle::{self, MARK, Seen, TILE};
use super::ram::Pages;
use super::scenery::{Scenery, lighten};
use crate::frame::{Format, Rect, Size};

/// Backdrops that are kept: a guest that sets sizes comes back to them.
const BACKDROPS_MAX: usize = 4;
/// Rows that are stored at once.
const BAND: u32 = 32;
/// Seconds that the sun takes from its rise to its set.
const DAY: f32 = 12.0;

const CLOCK: u32 = 0xff_e2_b0;
const FIGURES: u32 = 0xa8_9c_b8;
const BEAD: u32 = 0xff_c8_78;

/// What a frame says in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) seen: Seen,
    pub(super) fps: f32,
    pub(super) mode: &'a str,
    /// How often the mode did what it does.
    pub(super) events: u64,
    /// How often pages were found replaced.
    pub(super) replaced: u64,
    /// Updates that were not acked in time.
    pub(super) late: u64,
}

/// A still background of one size.
#[derive(Debug)]
struct Backdrop {
    size: Size,
    scenery: Scenery,
    colours: Vec<u32>,
}

/// Draws frames of one size and format after the other.
#[derive(Debug)]
pub(super) struct Painter {
    backdrops: Vec<Arc<Backdrop>>,
    stage: Stage,
    format: Format,
    text: String,
    band: Vec<u8>,
}

/// What is drawn now.
#[derive(Debug)]
struct Stage {
    backdrop: Arc<Backdrop>,
    canvas: Canvas,
    lines: [Line; 3],
    /// Where the sun and the bead are.
    sun: Rect,
    bead: Rect,
}

/// Bytes from one row to the next: what GPUs take.
pub(super) fn stride(size: Size, format: Format) -> u32 {
    (size.width * Pixel::of(format).bytes as u32).next_multiple_of(256)
}

impl Painter {
    pub(super) fn new(size: Size, format: Format) -> Self {
        let backdrop = Backdrop::new(size);
        let stage = Stage::new(&backdrop, format);
        Self { backdrops: vec![backdrop], stage, format, text: String::new(), band: Vec::new() }
    }

    /// From now on draws this.
    pub(super) fn set(&mut self, size: Size, format: Format) {
        let known = self.backdrops.iter().find(|known| known.size == size).cloned();
        let backdrop = known.unwrap_or_else(|| {
            self.backdrops.truncate(BACKDROPS_MAX - 1);
            self.backdrops.insert(0, Backdrop::new(size));
            Arc::clone(&self.backdrops[0])
        });
        self.stage = Stage::new(&backdrop, format);
        self.format = format;
    }

    pub(super) fn size(&self) -> Size {
        self.stage.canvas.size()
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Prepares a frame. `time` is how many seconds the guest has run.
    pub(super) fn draw(&mut self, words: &Words<'_>, time: f32) {
        self.stage.draw_sun(time / DAY % 1.0);
        self.stage.draw_bead(words.seen.frame);
        self.stage.write(words, self.format, &mut self.text);
    }

    /// Stores the first `rows` of what was drawn last, marked as `seen`.
    pub(super) fn store(&mut self, pages: &Pages, seen: Seen, rows: u32) -> io::Result<()> {
        let (size, pixel) = (self.size(), self.stage.canvas.pixel());
        let stride = stride(size, self.format) as usize;
        let columns = oracle::columns(size.width);
        let rows = rows.min(size.height);
        for top in (0..rows).step_by(BAND as usize) {
            let bottom = (top + BAND).min(rows);
            self.band.clear();
            self.band.resize((bottom - top) as usize * stride, 0);
            for (y, row) in (top..bottom).zip(self.band.chunks_exact_mut(stride)) {
                let drawn = self.stage.canvas.row(y);
                row[..drawn.len()].copy_from_slice(drawn);
                let tiles = row[..drawn.len()].chunks_mut(TILE.width as usize * pixel.bytes);
                for (tx, tile) in (0..).zip(tiles) {
                    mark(tile, oracle::word(seen, columns, tx, y), pixel);
                }
            }
            pages.write(u64::from(top) * stride as u64, &self.band)?;
        }
        Ok(())
    }
}

/// Puts the bits of a word into the blue of a tile's row, where they are 0 so far. Eight bytes at once:
/// it is most of the work of a frame.
fn mark(tile: &mut [u8], mut word: u16, pixel: Pixel) {
    let pixels = 8 / pixel.bytes;
    for bytes in tile.as_chunks_mut::<8>().0.iter_mut().take(MARK as usize / pixels) {
        let bits = u64::from(word);
        let spread = match pixels {
            2 => bits & 1 | (bits & 2) << 31,
            _ => bits & 1 | (bits & 2) << 15 | (bits & 4) << 30 | (bits & 8) << 45,
        };
        *bytes = (u64::from_le_bytes(*bytes) | spread << (8 * pixel.blue)).to_le_bytes();
        word >>= pixels;
    }
}

impl Backdrop {
    fn new(size: Size) -> Arc<Self> {
        let scenery = Scenery::new(size);
        Arc::new(Self { size, scenery, colours: scenery.paint() })
    }
}

impl Stage {
    fn new(backdrop: &Arc<Backdrop>, format: Format) -> Self {
        Self {
            backdrop: Arc::clone(backdrop),
            canvas: Canvas::new(backdrop.size, format, &backdrop.colours),
            lines: Default::default(),
            sun: Rect::default(),
            bead: Rect::default(),
        }
    }

    fn write(&mut self, words: &Words<'_>, format: Format, text: &mut String) {
        let Size { width, height } = self.canvas.size();
        let scale = |most: u32| (height / most).min(width / most * 3 / 4).max(1);
        let (large, small) = (scale(90), scale(320));
        let door = self.backdrop.scenery.door();
        let first = door + (height - door) / 8;
        let second = first + large * GLYPH * 3 / 2;
        let third = second + small * GLYPH * 3 / 2;
        let [clock, figures, more] = &mut self.lines;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let second_of_day = now.as_secs() % 86_400;
        let (h, m, s) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        // Writing to a String can't fail.
        text.clear();
        let _ = write!(text, "{h:02}:{m:02}:{s:02}");
        clock.show(&mut self.canvas, text, (first, large, CLOCK));
        text.clear();
        let Words { seen: Seen { frame, buffer }, fps, mode, events, replaced, late } = words;
        let _ = write!(text, "UTC  frame {frame}  {fps:.1} fps  buffer {buffer}");
        figures.show(&mut self.canvas, text, (second, small, FIGURES));
        text.clear();
        let _ = write!(text, "{mode} {events}  replaced {replaced}  late {late}  {format}");
        more.show(&mut self.canvas, text, (third, small, FIGURES));
    }

    fn draw_sun(&mut self, way: f32) {
        self.canvas.restore(self.sun);
        let (radius, (x, y)) = self.backdrop.scenery.sun(way);
        let reach = radius * 1.8;
        let low = |at: f32| (at - reach).max(0.0) as u32;
        let side = (2.0 * reach) as u32 + 2;
        self.sun = Rect { x: low(x), y: low(y), width: side, height: side };
        let Size { width, height } = self.canvas.size();
        for py in self.sun.y..(self.sun.y + side).min(height) {
            for px in self.sun.x..(self.sun.x + side).min(width) {
                let distance = (px as f32 + 0.5 - x).hypot(py as f32 + 0.5 - y);
                if distance < reach {
                    let disc = (0.5 + radius - distance).clamp(0.0, 1.0);
                    let halo = 0.45 * ((reach - distance) / (reach - radius)).min(1.0);
                    let behind = self.backdrop.colours[(py * width + px) as usize];
                    self.canvas.put(px, py, lighten(behind, disc.max(halo * halo)));
                }
            }
        }
    }

    /// A bead runs along the sill, as many pixels each frame: an eye sees at once where it stumbles.
    fn draw_bead(&mut self, frame: u32) {
        self.canvas.restore(self.bead);
        let width = self.canvas.size().width;
        let side = (width / 160).max(2);
        let way = (width - side).max(1);
        let at = frame.wrapping_mul((width / 320).max(1)) % (2 * way);
        let y = self.backdrop.scenery.sill().saturating_sub(side / 2);
        self.bead = Rect { x: at.min(2 * way - at), y, width: side, height: side };
        for (x, y) in (0..side).flat_map(|x| (0..side).map(move |y| (x, y))) {
            self.canvas.put(self.bead.x + x, self.bead.y + y, BEAD);
        }
    }
}
