//! What a console shows: QEMU's announcements and updates, checked and passed on.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::pixels::{Canvas, Painter, Pixels};
use crate::frame::{
    BufferId, Cursor, Damage, Layout, Memory, Modifier, Rect, Size, Storage, Transform,
};
use crate::port::{Ack, Announcement, SourceEvent, next_buffer_id};
use crate::source::check::check;
use crate::source::mailbox::Mailbox;
use crate::sys::{self, Classify};

/// Longest side of a cursor, in pixels.
const CURSOR_MAX: i32 = 512;

/// What goes from the connection's thread to the session's.
#[derive(Debug)]
pub(super) enum Letter {
    /// To be passed on as it is.
    Event(SourceEvent),
    /// The canvas is announced: a new one, where `painter` comes along.
    Canvas { announcement: Announcement, painter: Option<Painter> },
    /// The shadow of the canvas has changed there.
    Paint { buffer: BufferId, damage: Damage },
}

/// One console, as the connection's thread knows it.
#[derive(Debug)]
pub(super) struct Screen {
    classify: Classify,
    mailbox: Arc<Mailbox<Letter>>,
    /// What was announced last; `None` before the first, and after one that had to be refused: the
    /// updates that follow are not for any buffer that the session knows.
    current: Option<Current>,
    canvas: Option<Canvas>,
}

#[derive(Debug)]
struct Current {
    buffer: BufferId,
    size: Size,
    /// Whether rectangles of the guest can be trusted to mean pixels of the buffer as they lie in
    /// memory: QEMU doesn't say so of cropped and of flipped ones.
    exact: bool,
    pixels: bool,
}

impl Screen {
    pub(super) fn new(classify: Classify, mailbox: Arc<Mailbox<Letter>>) -> Self {
        Self { classify, mailbox, current: None, canvas: None }
    }

    /// A buffer in memory of the guest's or QEMU's: `fds` in the order of its planes.
    pub(super) fn announce(
        &mut self,
        fds: Vec<OwnedFd>,
        mut layout: Layout,
        visible: Rect,
        transform: Transform,
    ) -> Result<(), String> {
        self.current = None;
        let storage = sys::storage(fds, self.classify).map_err(|error| sentence(&error))?;
        if layout.modifier == Modifier::INVALID && is_linear(&storage.memory) {
            layout.modifier = Modifier::LINEAR;
        }
        let sizes = storage
            .fds
            .iter()
            .map(|fd| (self.classify)(fd.as_fd()).map(|identity| identity.size))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| sentence(&error))?;
        check(&layout, visible, &sizes).map_err(|error| error.to_string())?;
        let announcement = self.make_current(storage, layout, visible, transform, false);
        self.post(Letter::Event(SourceEvent::Scanout(announcement)));
        Ok(())
    }

    /// A picture in a message.
    pub(super) fn paint_all(&mut self, pixels: &Pixels<'_>) -> Result<(), String> {
        self.current = None;
        pixels.check()?;
        let mut painter = None;
        let canvas = match self.canvas.take().filter(|c| c.fits(pixels.size, pixels.format)) {
            Some(canvas) => canvas,
            None => {
                let (canvas, new) = Canvas::new(pixels.size, pixels.format)
                    .map_err(|error| format!("no memory for the picture: {error}"))?;
                painter = Some(new);
                canvas
            }
        };
        let Size { width, height } = pixels.size;
        let whole = Rect { x: 0, y: 0, width, height };
        canvas.paint(pixels, whole, (0, 0));
        let (layout, fd) = (*canvas.layout(), canvas.fd());
        let canvas = self.canvas.insert(canvas);
        debug_assert!(canvas.fits(pixels.size, pixels.format));
        let storage = fd
            .map_err(sys::ClassifyError::from)
            .and_then(|fd| sys::storage(vec![fd], sys::classify));
        let storage = match storage {
            Ok(storage) => storage,
            Err(error) => {
                // Its painter would be lost with this announcement.
                self.canvas = None;
                return Err(sentence(&error));
            }
        };
        let announcement = self.make_current(storage, layout, whole, Transform::Normal, true);
        self.post(Letter::Canvas { announcement, painter });
        Ok(())
    }

    /// A part of the picture in a message: its corner is to come to `x`, `y`.
    pub(super) fn paint_part(&mut self, x: i32, y: i32, pixels: &Pixels<'_>) -> Result<(), String> {
        let (Some(current), Some(canvas)) = (&self.current, &self.canvas) else {
            return Err("there is no picture to update".to_owned());
        };
        if !current.pixels {
            return Err("the current picture is not one of messages".to_owned());
        }
        if pixels.format != canvas.layout().format {
            return Err("the update has another format than the picture".to_owned());
        }
        pixels.check()?;
        let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        let (width, height) = (side(pixels.size.width), side(pixels.size.height));
        let Some(rect) = Rect::clipped(x, y, width, height, current.size) else { return Ok(()) };
        // What was cut off on the left and at the top: clipping only moves a negative corner to 0.
        let part = Rect {
            x: if x < 0 { x.unsigned_abs() } else { 0 },
            y: if y < 0 { y.unsigned_abs() } else { 0 },
            ..rect
        };
        canvas.paint(pixels, part, (rect.x, rect.y));
        let buffer = current.buffer;
        self.post(Letter::Paint { buffer, damage: Damage::from(rect) });
        Ok(())
    }

    /// What the console shows now is not known.
    pub(super) fn forget_picture(&mut self) {
        self.current = None;
    }

    /// Whether an update would be for anything.
    pub(super) fn has_picture(&self) -> bool {
        self.current.is_some()
    }

    /// The guest finished a frame in the current buffer.
    pub(super) fn update(&mut self, rect: [i32; 4], ack: Ack) {
        let Some(current) = &self.current else { return };
        let [x, y, width, height] = rect;
        let damage = if current.exact {
            Damage::clamped(x, y, width, height, current.size)
        } else {
            Damage::Whole
        };
        let buffer = current.buffer;
        self.post(Letter::Event(SourceEvent::Update { buffer, damage, ack }));
    }

    pub(super) fn disable(&mut self) {
        self.post(Letter::Event(SourceEvent::Disabled));
    }

    pub(super) fn move_cursor(&mut self, x: i32, y: i32, on: i32) {
        self.post(Letter::Event(SourceEvent::CursorAt { x, y, visible: on != 0 }));
    }

    pub(super) fn define_cursor(
        &mut self,
        (width, height): (i32, i32),
        hotspot: (i32, i32),
        pixels: &[u8],
    ) -> Result<(), String> {
        if ![width, height].iter().all(|side| (1..=CURSOR_MAX).contains(side)) {
            return Err(format!(
                "a cursor of {width}x{height} pixels: each side must be 1 to {CURSOR_MAX}"
            ));
        }
        let size = Size { width: width.unsigned_abs(), height: height.unsigned_abs() };
        let needed = 4 * size.width as usize * size.height as usize;
        let pixels = pixels.get(..needed).ok_or_else(|| {
            format!("a cursor of {} bytes, but {needed} are needed", pixels.len())
        })?;
        let cursor = Cursor { size, hotspot, pixels: pixels.to_vec() };
        self.post(Letter::Event(SourceEvent::Cursor(cursor)));
        Ok(())
    }

    fn make_current(
        &mut self,
        storage: Storage,
        layout: Layout,
        visible: Rect,
        transform: Transform,
        pixels: bool,
    ) -> Announcement {
        let buffer = next_buffer_id();
        let whole = (visible.width, visible.height) == (layout.size.width, layout.size.height);
        let exact = whole && transform == Transform::Normal;
        self.current = Some(Current { buffer, size: layout.size, exact, pixels });
        Announcement { buffer, storage, layout, visible, transform }
    }

    fn post(&self, letter: Letter) {
        self.mailbox.push(letter, merge);
    }
}

/// Memory whose pixels lie in rows, whatever the backend said of them.
fn is_linear(memory: &Memory) -> bool {
    match memory {
        Memory::DmaBuf { exporter } => exporter == "udmabuf",
        Memory::Memfd { .. } => true,
    }
}

fn sentence(error: &sys::ClassifyError) -> String {
    match error {
        sys::ClassifyError::Io(io) => format!("{error}: {io}"),
        other => other.to_string(),
    }
}

/// Two updates that nobody waits for become one, and only the last place of a cursor counts, so that
/// a slow session is not buried.
fn merge(last: &mut Letter, letter: Letter) -> Option<Letter> {
    use SourceEvent::{CursorAt, Update};
    match (last, letter) {
        (Letter::Paint { buffer, damage }, Letter::Paint { buffer: same, damage: more })
            if *buffer == same =>
        {
            damage.merge(&more);
        }
        (
            Letter::Event(Update { buffer, damage, ack }),
            Letter::Event(Update { buffer: same, damage: more, ack: more_ack }),
        ) if *buffer == same && !ack.is_owed() && !more_ack.is_owed() => damage.merge(&more),
        (Letter::Event(last @ CursorAt { .. }), Letter::Event(next @ CursorAt { .. })) => {
            *last = next;
        }
        (_, letter) => return Some(letter),
    }
    None
}
