//! Where in its window a picture goes.
//!
//! The compositor takes whole logical pixels; the screen has device pixels, some number of them for
//! each logical one. A length of the first covers `round(length · scale)` of the second, counted from
//! the window's corner: that is what the compositor's specification promises, and what is solved for
//! here.

use crate::frame::Size;

/// How a picture fills its window. What it leaves free is black.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// As large as the window allows, its aspect kept. What would grow by less than eight pixels isn't
    /// scaled at all, because it would only be blurred: guests round their modes down to a multiple.
    #[default]
    Aspect,
    /// As many whole device pixels for each of the picture's as the window allows; a larger picture is
    /// shrunk as in [`Fit::Aspect`].
    Integer,
    /// A pixel of the picture is a pixel of the screen, as long as it fits; a larger one is shrunk as
    /// in [`Fit::Aspect`].
    OneToOne,
    /// The whole window, whatever becomes of the aspect.
    Stretch,
}

/// What is less than this larger than the picture, in device pixels, is no reason to scale it.
const SNAP: u32 = 8;

/// So far a span that needn't be anywhere exactly is moved to a pixel's edge.
const NEAR: u32 = 8;

/// Device pixels for each logical one, in 120ths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale(u32);

const UNIT: u64 = 120;
/// More than any screen has.
const SCALE_MAX: u32 = 64;

impl Scale {
    pub(super) const ONE: Self = Self(UNIT as u32);

    /// As wp_fractional_scale_v1 says it; what can't be meant is brought to what can.
    pub(super) fn of_120ths(scale: u32) -> Self {
        let unit = Self::ONE.0;
        Self(scale.clamp(unit / SCALE_MAX + 1, unit * SCALE_MAX))
    }

    /// As older protocols say it.
    pub(super) fn whole(factor: i32) -> Self {
        let factor = u32::try_from(factor).unwrap_or(1).clamp(1, SCALE_MAX);
        Self::of_120ths(factor * Self::ONE.0)
    }

    /// Device pixels for each logical one.
    pub(super) fn factor(self) -> f64 {
        f64::from(self.0) / UNIT as f64
    }

    fn times(self, logical: u32) -> u64 {
        u64::from(logical) * u64::from(self.0)
    }

    /// Device pixels that a logical length covers.
    pub(super) fn device(self, logical: u32) -> u32 {
        saturated((self.times(logical) + UNIT / 2) / UNIT)
    }

    /// The shortest logical length that is whole device pixels.
    pub(super) fn unit(self) -> u32 {
        let (mut a, mut b) = (Self::ONE.0, self.0);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Self::ONE.0 / a
    }

    /// The logical length of a device pixel.
    pub(super) fn pixel(self) -> f64 {
        f64::from(Self::ONE.0) / f64::from(self.0)
    }

    /// Device pixels that a window covers.
    pub(super) fn device_size(self, logical: Size) -> Size {
        Size { width: self.device(logical.width), height: self.device(logical.height) }
    }

    /// The shortest logical length that covers so many device pixels.
    pub(super) fn covering(self, device: u32) -> u32 {
        let least = (u64::from(device) * UNIT).saturating_sub(UNIT / 2);
        saturated(least.div_ceil(u64::from(self.0)))
    }

    /// The longest logical length that covers no more device pixels; at least one.
    fn within(self, device: u32) -> u32 {
        let most = u64::from(device) * UNIT + UNIT / 2 - 1;
        saturated(most / u64::from(self.0)).max(1)
    }

    /// The smallest window that shows `picture` pixel by pixel, where there is one; else the smallest
    /// that holds it.
    pub(super) fn window_for(self, picture: Size) -> Size {
        let edge = |device: u32| {
            let least = self.covering(device).max(1);
            // A little black at one edge may bring the other onto the grid.
            let sizes = least..=least.saturating_add(3);
            sizes.into_iter().find(|window| self.exact(*window, device).is_some()).unwrap_or(least)
        };
        Size { width: edge(picture.width), height: edge(picture.height) }
    }

    /// Where in a window of that length a span covers exactly `device` pixels, nearest to the middle:
    /// its start and its length. Preferably it starts on a pixel's edge, so that it does so also where a
    /// compositor rounds starts and lengths each by itself.
    fn exact(self, window: u32, device: u32) -> Option<(u32, u32)> {
        if self.device(window) == device {
            return Some((0, window));
        }
        let middle = window.saturating_sub(self.within(device)) / 2;
        let span = |start: u32| {
            let end = self.device(start).checked_add(device)?;
            let stop = self.covering(end);
            (self.device(stop) == end && start < stop && stop <= window)
                .then(|| (start, stop - start))
        };
        // The pattern of edges repeats at least that often.
        let nearest = || {
            let away =
                |by: u32| [middle.checked_sub(by), middle.checked_add(by).filter(|_| by > 0)];
            (0..=UNIT as u32).flat_map(away).flatten().filter_map(span)
        };
        let on_edge = |(start, _): &(u32, u32)| self.times(*start).is_multiple_of(UNIT);
        nearest().find(on_edge).or_else(|| nearest().next())
    }

    /// A span of at least so many device pixels that starts near `from`, on a pixel's edge if there is
    /// one near.
    pub(super) fn span(self, from: u32, device: u32) -> Span {
        let near = (0..=NEAR).flat_map(|by| [from.checked_sub(by), from.checked_add(by)]);
        let on_edge = |start: &u32| self.times(*start).is_multiple_of(UNIT);
        let start = near.flatten().find(on_edge).unwrap_or(from);
        let length =
            self.covering(self.device(start).saturating_add(device)).max(start + 1) - start;
        let device = self.device(start + length).saturating_sub(self.device(start)).max(1);
        Span { start, length, device }
    }

    /// A span of so many device pixels in the middle of a window: its start and its length. As near as
    /// it can be where it can't be exact, and never outside.
    fn place(self, window: u32, device: u32) -> (u32, u32) {
        self.exact(window, device).unwrap_or_else(|| {
            let length = self.within(device).min(window);
            ((window - length) / 2, length)
        })
    }
}

fn saturated(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A length within a window's width or height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// In logical pixels.
    pub(super) start: u32,
    /// As that.
    pub(super) length: u32,
    /// Exactly so many device pixels.
    pub(super) device: u32,
}

impl Span {
    /// Whether it is as long, wherever it starts.
    pub(super) fn covers_as(self, other: Self) -> bool {
        (self.length, self.device) == (other.length, other.device)
    }
}

/// A place in a window, from its top left corner, in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) size: Size,
}

impl Place {
    /// Which pixel of the `picture` here is at a point of the window; outside of the picture the nearest one.
    pub(super) fn pixel(self, picture: Size, (x, y): (f64, f64)) -> (u32, u32) {
        let along = |at: f64, from: u32, here: u32, there: u32| {
            let at = at - f64::from(from);
            // `as` saturates, and takes what is below zero or no number for zero.
            let pixel = (at * f64::from(there) / f64::from(here.max(1))) as u32;
            pixel.min(there.saturating_sub(1))
        };
        let Size { width, height } = self.size;
        (along(x, self.x, width, picture.width), along(y, self.y, height, picture.height))
    }
}

/// The place of a picture in a window, whose size is logical, in the middle. Neither is empty.
pub(super) fn fit(window: Size, scale: Scale, picture: Size, fit: Fit) -> Place {
    let screen = scale.device_size(window);
    let fits = picture.width <= screen.width && picture.height <= screen.height;
    let size = match fit {
        Fit::Stretch => return Place { x: 0, y: 0, size: window },
        Fit::OneToOne if fits => picture,
        Fit::Integer if fits => multiplied(screen, picture),
        Fit::Aspect if fits => {
            let scaled = scaled(screen, picture);
            let grown = [scaled.width - picture.width, scaled.height - picture.height];
            if grown.iter().all(|by| *by < SNAP) { picture } else { scaled }
        }
        _ => scaled(screen, picture),
    };
    let (x, width) = scale.place(window.width, size.width);
    let (y, height) = scale.place(window.height, size.height);
    Place { x, y, size: Size { width, height } }
}

/// The largest multiple of the picture that the screen, which is no smaller, holds.
fn multiplied(screen: Size, picture: Size) -> Size {
    let Size { width, height } = picture;
    let by = (screen.width / width).min(screen.height / height);
    Size { width: width * by, height: height * by }
}

/// The largest size of the picture's aspect that the screen holds.
pub(super) fn scaled(screen: Size, picture: Size) -> Size {
    let [ww, wh] = [screen.width, screen.height].map(u64::from);
    let [pw, ph] = [picture.width, picture.height].map(u64::from);
    let rounded = |edge: u64, by: u64, limit: u32| {
        u32::try_from((edge + by / 2) / by).unwrap_or(limit).clamp(1, limit.max(1))
    };
    if ww * ph <= wh * pw {
        Size { width: screen.width, height: rounded(ww * ph, pw, screen.height) }
    } else {
        Size { width: rounded(wh * pw, ph, screen.width), height: screen.height }
    }
}

#[cfg(test)]
mod tests;
