//! Where pixels of a cursor come to lie beside those of the picture.

use super::super::fit::{Place, Scale};
use crate::frame::Size;

/// Longest stretch of logical pixels that are whole ones of the screen for which a cursor is kept sharp.
const UNIT_MAX: u32 = 32;
/// Most pixels of a rim.
const RIM_MAX: u32 = 64;
/// Wayland's fractions of a pixel.
pub(super) const FIXED: f64 = 256.0;
/// What is less than this is an error of the arithmetic.
const EPSILON: f64 = 1e-6;

/// How a picture lies in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink::wayland) struct View {
    pub(in crate::sink::wayland) place: Place,
    pub(in crate::sink::wayland) picture: Size,
    pub(in crate::sink::wayland) scale: Scale,
}

impl View {
    /// Whether that place in the window is on the picture.
    pub(super) fn contains(&self, (x, y): (f64, f64)) -> bool {
        let Place { x: left, y: top, size } = self.place;
        let within = |at: f64, start: u32, length: u32| {
            (f64::from(start)..f64::from(start) + f64::from(length)).contains(&at)
        };
        within(x, left, size.width) && within(y, top, size.height)
    }

    /// Along both axes.
    pub(super) fn grids(&self) -> [Grid; 2] {
        let Place { x, y, size } = self.place;
        let axes = [(x, size.width, self.picture.width), (y, size.height, self.picture.height)];
        axes.map(|(start, length, pixels)| {
            let ends = (start, start.saturating_add(length));
            let [begin, end] = [ends.0, ends.1].map(|end| self.scale.device(end));
            let clip = (f64::from(ends.0), f64::from(ends.1));
            let (unit, pixel) = (self.scale.unit(), self.scale.pixel());
            if end - begin == pixels && unit <= UNIT_MAX {
                Grid { begin: f64::from(begin) * pixel, pixel, unit, clip }
            } else {
                let pixel = f64::from(length) / f64::from(pixels.max(1));
                Grid { begin: clip.0, pixel, unit: 1, clip }
            }
        })
    }
}

/// The pixels of a picture along one axis, in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    begin: f64,
    /// How long one is.
    pixel: f64,
    /// Lengths of so many are whole pixels of the screen, as those of the picture are.
    unit: u32,
    clip: (f64, f64),
}

/// What part of a cursor is shown along one axis, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// In logical pixels.
    pub(super) start: i32,
    /// In logical pixels.
    pub(super) length: i32,
    /// Where it begins in the cursor with its rim, and its length: in 256ths of a pixel.
    pub(super) source: (i32, i32),
}

impl Grid {
    /// Each pixel is a logical one.
    pub(super) const PLAIN: Self =
        Self { begin: 0.0, pixel: 1.0, unit: 1, clip: (f64::MIN, f64::MAX) };

    /// The same, with the picture `by` times as large: no longer sharp.
    pub(super) fn shrunk(self, by: f64) -> Self {
        if by >= 1.0 { self } else { Self { pixel: self.pixel * by, unit: 1, ..self } }
    }

    pub(super) fn length(&self, pixels: u32) -> f64 {
        self.pixel * f64::from(pixels)
    }

    /// How many clear pixels a cursor needs on each side, so that it can be shown where pixels of the
    /// screen begin although it doesn't.
    pub(super) fn rim(&self) -> u32 {
        if self.unit == 1 && self.pixel.fract() == 0.0 {
            return 0;
        }
        ((f64::from(self.unit) / self.pixel).ceil() as u32).min(RIM_MAX)
    }

    /// A cursor that has so many pixels and a rim, as its pixel `hotspot` is at zero.
    pub(super) fn around(&self, hotspot: i32, pixels: u32, rim: u32) -> Option<Part> {
        self.part(-f64::from(hotspot) * self.pixel, pixels, rim)
    }

    /// The same, as its first pixel is at pixel `at` of the picture; `None` where it is outside.
    pub(super) fn within(&self, at: i32, pixels: u32, rim: u32) -> Option<Part> {
        let first = self.begin + f64::from(at) * self.pixel;
        let (low, high) = self.clip;
        let hidden = first >= high || first + self.length(pixels) <= low;
        self.part(first, pixels, rim).filter(|_| !hidden).and_then(|part| {
            let [start, stop] = [part.start, part.start.saturating_add(part.length)];
            let (start, stop) = (f64::from(start).max(low), f64::from(stop).min(high));
            self.source(first, (start, stop), pixels, rim)
        })
    }

    fn part(&self, first: f64, pixels: u32, rim: u32) -> Option<Part> {
        let unit = f64::from(self.unit);
        let stop = first + self.length(pixels);
        let start = (first / unit + EPSILON).floor() * unit;
        let stop = (stop / unit - EPSILON).ceil() * unit;
        self.source(first, (start, stop), pixels, rim)
    }

    fn source(&self, first: f64, (start, stop): (f64, f64), pixels: u32, rim: u32) -> Option<Part> {
        let all = f64::from(pixels + 2 * rim) * FIXED;
        // Outside of the memory would be the end of the connection.
        let [from, to] = [start, stop].map(|at| {
            let pixel = (at - first) / self.pixel + f64::from(rim);
            (pixel * FIXED).round().clamp(0.0, all) as i32
        });
        let [start, stop] = [start, stop].map(|at| at as i32);
        let part = Part { start, length: stop.saturating_sub(start), source: (from, to - from) };
        (part.length > 0 && part.source.1 > 0).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(scale: u32, start: u32, length: u32, pixels: u32) -> Grid {
        let place = Place { x: start, y: 0, size: Size { width: length, height: 1 } };
        let picture = Size { width: pixels, height: 1 };
        View { place, picture, scale: Scale::of_120ths(scale) }.grids()[0]
    }

    fn part(start: i32, length: i32, from: i32, pixels: i32) -> Option<Part> {
        Some(Part { start, length, source: (from * 256, pixels * 256) })
    }

    #[test]
    fn a_pixel_is_a_pixel_without_a_scale() {
        let grid = view(120, 100, 640, 640);
        assert_eq!(grid.rim(), 0);
        assert_eq!(grid.around(3, 24, 0), part(-3, 24, 0, 24));
        assert_eq!(grid.within(10, 24, 0), part(110, 24, 0, 24));
    }

    #[test]
    fn it_ends_where_the_picture_does() {
        let grid = view(120, 100, 640, 640);
        assert_eq!(grid.within(-10, 24, 0), part(100, 14, 10, 14));
        assert_eq!(grid.within(630, 24, 0), part(730, 10, 0, 10));
        for outside in [-24, 640, i32::MIN, i32::MAX] {
            assert_eq!(grid.within(outside, 24, 0), None, "{outside}");
        }
    }

    /// At 1.5 two logical pixels are three of the screen's, and so is everything about the cursor.
    #[test]
    fn at_a_fraction_it_is_sharp_by_a_rim() {
        let grid = view(180, 0, 640, 960);
        assert_eq!(grid.rim(), 3);
        // 24 pixels are 16, and the hotspot is on an edge.
        assert_eq!(grid.around(3, 24, 3), part(-2, 16, 3, 24));
        // One further it isn't: the rim helps on both sides.
        assert_eq!(grid.around(4, 24, 3), part(-4, 18, 1, 27));
        assert_eq!(grid.within(7, 24, 3), part(4, 18, 2, 27));
    }

    #[test]
    fn every_scale_keeps_it_sharp_or_is_said_to_be_beyond_that() {
        for scale in [120, 125, 132, 144, 150, 160, 168, 180, 200, 210, 240, 270, 300, 360] {
            let per_unit = |unit: u32| unit * scale / 120;
            let grid = view(scale, 0, per_unit(120) * 10, per_unit(120) * 10 * scale / 120);
            let (unit, rim) = (grid.unit, grid.rim());
            assert!(unit == Scale::of_120ths(scale).unit(), "{scale}: {grid:?}");
            for (hotspot, at) in (0..64).zip(100..) {
                let parts = [grid.around(hotspot, 64, rim), grid.within(at, 64, rim)];
                for part in parts.map(Option::unwrap) {
                    let unit = unit as i32;
                    assert!(part.start % unit == 0 && part.length % unit == 0, "{scale}: {part:?}");
                    let (from, pixels) = part.source;
                    assert_eq!((from % 256, pixels % 256), (0, 0), "{scale}: {part:?}");
                    let device = part.length * scale as i32 / 120;
                    assert_eq!(pixels / 256, device, "{scale}: {part:?}");
                    let end = (from + pixels) / 256;
                    assert!(
                        from / 256 <= rim as i32 && end >= 64 + rim as i32,
                        "{scale}: all of it"
                    );
                }
            }
        }
        assert_eq!(view(121, 0, 1200, 1210).unit, 1);
    }

    #[test]
    fn it_grows_and_shrinks_with_the_picture() {
        let grid = view(120, 10, 200, 100);
        assert_eq!(grid.within(5, 16, grid.rim()), part(20, 32, 0, 16));
        let grid = view(120, 0, 50, 100);
        assert_eq!(grid.rim(), 2);
        assert_eq!(grid.around(3, 16, 2), part(-2, 9, 1, 18));
        assert_eq!(Grid::PLAIN.shrunk(0.5).around(10, 512, 2), part(-5, 256, 2, 512));
    }

    /// Else a guest could have the compositor end the connection.
    #[test]
    fn what_is_shown_lies_in_memory_whatever_it_is() {
        let sizes = [1, 2, 3, 255, 512];
        for scale in [1, 2, 121, 150, 179, 7680] {
            for (length, pixels) in [(1, 1), (1, 16384), (16384, 1), (333, 640), (u32::MAX, 1)] {
                let grid = view(scale, 7, length, pixels);
                let rim = grid.rim();
                for size in sizes {
                    for at in [i32::MIN, -512, -1, 0, 1, 639, i32::MAX] {
                        let around = grid.around(at, size, rim);
                        for part in [around, grid.within(at, size, rim)].into_iter().flatten() {
                            let (from, pixels) = part.source;
                            let all = (size + 2 * rim) as i32 * 256;
                            assert!(from >= 0 && pixels > 0 && from + pixels <= all, "{part:?}");
                            assert!(part.length > 0);
                        }
                    }
                }
            }
        }
    }
}
