//! Where each piece of a panel's text goes, in device pixels.

use std::fmt;

use cosmic_text::{
    Attrs, Buffer, Ellipsize, EllipsizeHeightLimit, Family, FeatureTag, FontFeatures, FontSystem,
    Hinting, Metrics, Shaping, SwashCache, Wrap,
};

use super::font::{self, FindFont};
use super::{Line, Panel, TextError};
use crate::frame::Size;

// All in logical pixels.
const PADDING: (f32, f32) = (14.0, 11.0);
const HEADING: Metrics = Metrics::new(18.0, 27.0);
const BODY: Metrics = Metrics::new(13.0, 19.0);
const GAP: f32 = 8.0;
/// Between labels and values, and between values.
const COLUMNS_APART: f32 = 16.0;
/// Longer lines are hard to read.
const WIDTH_MAX: f32 = 460.0;
/// Guests and peers name themselves; of what they say so much is shown.
const CHARS_MAX: usize = 240;

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Heading,
    Text,
    Label,
    Value,
}

/// A piece of text in its place.
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) text: Buffer,
}

/// A panel that is laid out, to be painted at its scale.
pub struct Page {
    pub(super) size: Size,
    needs: Option<Size>,
    pub(super) scale: f32,
    pub(super) pieces: Vec<Piece>,
}

impl Page {
    /// In device pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The least room in which it would look the same; `None` where it had too little.
    pub fn needs(&self) -> Option<Size> {
        self.needs
    }

    /// Makes it larger, never smaller: what was laid out keeps its place.
    pub fn grow(&mut self, size: Size) {
        self.size.width = self.size.width.max(size.width);
        self.size.height = self.size.height.max(size.height);
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("size", &self.size).field("scale", &self.scale).finish()
    }
}

/// A font, and what of it is in use.
pub struct Painter {
    pub(super) fonts: FontSystem,
    pub(super) glyphs: SwashCache,
    family: String,
}

impl fmt::Debug for Painter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Painter").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Painter {
    /// Opens the font that `find` finds.
    ///
    /// # Errors
    /// If there is none, or none that can be read.
    pub fn new(find: FindFont) -> Result<Self, TextError> {
        let (fonts, family) = font::open(find)?;
        Ok(Self { fonts, glyphs: SwashCache::new(), family })
    }

    /// Lays a panel out for a screen of so many device pixels for each logical one. It is as large as its
    /// text, and never larger than `room`, which is in device pixels.
    pub fn lay_out(&mut self, panel: &Panel, scale: f32, room: Size) -> Page {
        let px = |logical: f32| (logical * scale).round();
        let padding = (px(PADDING.0), px(PADDING.1));
        let wide = px(WIDTH_MAX) + 2.0 * padding.0;
        let most = (wide.min(room.width as f32) - 2.0 * padding.0).max(1.0);
        let body = BODY.scale(scale);

        // The columns are as wide as the widest in them.
        let mut rows = Vec::new();
        let mut columns: Vec<f32> = Vec::new();
        for line in &panel.lines {
            let (Line::Row(label, values) | Line::Columns(label, values)) = line else { continue };
            let label = self.piece(Kind::Label, label, body, most);
            let mut row = vec![label];
            for value in values {
                row.push(self.piece(Kind::Value, value, body, most));
            }
            for (at, (_, width)) in row.iter().enumerate() {
                // A value that is alone may reach over the columns of others.
                if columns.len() <= at {
                    columns.push(0.0);
                }
                if at == 0 || values.len() > 1 {
                    columns[at] = columns[at].max(*width);
                }
            }
            rows.push(row);
        }
        let apart = px(COLUMNS_APART);

        let mut rows = rows.into_iter();
        let mut pieces = Vec::new();
        let (mut width, mut y) = (0.0_f32, 0.0_f32);
        for line in &panel.lines {
            match line {
                Line::Gap => y += px(GAP),
                Line::Heading(text) | Line::Text(text) => {
                    let (kind, metrics) = match line {
                        Line::Heading(_) => (Kind::Heading, HEADING.scale(scale)),
                        _ => (Kind::Text, body),
                    };
                    let (mut text, _) = self.piece(kind, text, metrics, most);
                    text.set_wrap(Wrap::WordOrGlyph);
                    text.set_ellipsize(Ellipsize::None);
                    text.shape_until_scroll(&mut self.fonts, false);
                    let (wide, high) = extent(&text);
                    width = width.max(wide);
                    pieces.push(Piece { kind, x: 0.0, y, text });
                    y += high.round();
                }
                Line::Row(_, values) | Line::Columns(_, values) => {
                    let named = matches!(line, Line::Columns(..));
                    let alone = values.len() == 1;
                    let mut x = 0.0;
                    for (at, (mut text, wide)) in rows.next().into_iter().flatten().enumerate() {
                        let kind = if at == 0 || named { Kind::Label } else { Kind::Value };
                        // Figures in columns end below each other.
                        let indent = if at == 0 || alone { 0.0 } else { columns[at] - wide };
                        let left = (most - x).max(1.0);
                        if wide > left {
                            text.set_size(Some(left), None);
                            text.shape_until_scroll(&mut self.fonts, false);
                        }
                        width = width.max((x + indent + wide).min(most));
                        pieces.push(Piece { kind, x: x + indent, y, text });
                        x = (x + columns[at] + apart).ceil();
                    }
                    y += body.line_height.round();
                }
            }
        }
        for piece in &mut pieces {
            piece.x += padding.0;
            piece.y += padding.1;
        }
        let edge = |text: f32, padding: f32, room: u32| {
            ((text.ceil() + 2.0 * padding) as u32).clamp(1, room.max(1))
        };
        let size = Size {
            width: edge(width, padding.0, room.width),
            height: edge(y, padding.1, room.height),
        };
        let whole = Size { width: wide as u32, height: (y + 2.0 * padding.1) as u32 };
        let fits = whole.width <= room.width && whole.height <= room.height;
        Page { size, needs: fits.then_some(whole), scale, pieces }
    }

    /// Text in one line, at most so wide, and its width.
    pub(super) fn piece(
        &mut self,
        kind: Kind,
        text: &str,
        metrics: Metrics,
        most: f32,
    ) -> (Buffer, f32) {
        let text: String =
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect();
        let mut features = FontFeatures::new();
        if kind == Kind::Value {
            // Figures don't wander about when they change.
            features.enable(FeatureTag::new(b"tnum"));
        }
        let attrs = Attrs::new().family(Family::Name(&self.family)).font_features(features);
        let mut buffer = Buffer::new(&mut self.fonts, metrics);
        buffer.set_hinting(Hinting::Enabled);
        buffer.set_wrap(Wrap::None);
        buffer.set_ellipsize(Ellipsize::End(EllipsizeHeightLimit::Lines(1)));
        buffer.set_size(Some(most), None);
        buffer.set_text(&text, &attrs, Shaping::Advanced, None);
        buffer.shape_until_scroll(&mut self.fonts, false);
        let width = extent(&buffer).0;
        (buffer, width)
    }
}

/// How wide and how high a text is.
fn extent(text: &Buffer) -> (f32, f32) {
    text.layout_runs()
        .fold((0.0, 0.0), |(width, _), run| (run.line_w.max(width), run.line_top + run.line_height))
}
