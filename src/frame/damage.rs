//! Arithmetic of damage: clamp, merge, never lose a pixel.

use super::{DAMAGE_MAX, Damage, Rect, Size, Transform};

impl Damage {
    /// Nothing at all.
    pub const NONE: Self = Self::Rects { rects: [ZERO; DAMAGE_MAX], count: 0 };

    /// What of a rectangle lies within `bounds`; everything where nothing does, because what a guest
    /// meant by that can't be known. Coordinates may be anything a peer sends.
    pub fn clamped(x: i32, y: i32, width: i32, height: i32, bounds: Size) -> Self {
        Rect::clipped(x, y, width, height, bounds).map_or(Self::Whole, Self::from)
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Rects { count: 0, .. })
    }

    /// Adds what changed besides.
    pub fn merge(&mut self, other: &Self) {
        match (&*self, other) {
            (Self::Whole, _) => {}
            (_, Self::Whole) => *self = Self::Whole,
            (_, Self::Rects { rects, count }) => {
                for &rect in &rects[..usize::from(*count)] {
                    self.add(rect);
                }
            }
        }
    }

    /// What of it can be seen where only `visible` is on the screen, in pixels of the picture: its top left corner
    /// is that of the part, and its top row is the lowest of memory where that lies upside down.
    #[must_use]
    pub fn seen(&self, visible: Rect, transform: Transform) -> Self {
        let Self::Rects { rects, count } = self else { return Self::Whole };
        let mut seen = Self::NONE;
        let rects = rects[..usize::from(*count)].iter();
        for rect in rects.filter_map(|rect| rect.seen(visible, transform)) {
            seen.add(rect);
        }
        seen
    }

    fn add(&mut self, rect: Rect) {
        let Self::Rects { rects, count } = self else { return };
        let used = usize::from(*count);
        if rect.width == 0 || rect.height == 0 || rects[..used].iter().any(|r| contains(*r, rect)) {
            return;
        }
        if used < DAMAGE_MAX {
            rects[used] = rect;
            *count += 1;
        } else {
            let all = rects.iter().fold(rect, |sum, &r| around(sum, r));
            *rects = [ZERO; DAMAGE_MAX];
            rects[0] = all;
            *count = 1;
        }
    }
}

impl From<Rect> for Damage {
    fn from(rect: Rect) -> Self {
        let mut damage = Self::NONE;
        damage.add(rect);
        damage
    }
}

impl Rect {
    /// What of a rectangle lies within `bounds`, if anything.
    pub fn clipped(x: i32, y: i32, width: i32, height: i32, bounds: Size) -> Option<Self> {
        let (x, width) = clip_side(x, width, bounds.width)?;
        let (y, height) = clip_side(y, height, bounds.height)?;
        Some(Self { x, y, width, height })
    }

    /// The same of a rectangle as [`Damage::seen`]; `None` where nothing of it can be seen.
    pub fn seen(self, visible: Self, transform: Transform) -> Option<Self> {
        let seen = self.intersection(visible)?;
        let y = seen.y - visible.y;
        let y = match transform {
            Transform::Normal => y,
            Transform::Flipped => visible.height - y - seen.height,
        };
        Some(Self { x: seen.x - visible.x, y, ..seen })
    }

    /// What lies in both, if anything.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let width = right(self).min(right(other)).saturating_sub(x);
        let height = bottom(self).min(bottom(other)).saturating_sub(y);
        (width > 0 && height > 0).then_some(Self { x, y, width, height })
    }
}

fn clip_side(start: i32, length: i32, side: u32) -> Option<(u32, u32)> {
    let end = (i64::from(start) + i64::from(length)).min(i64::from(side));
    let start = i64::from(start).max(0);
    let length = u32::try_from(end - start).ok().filter(|&length| length > 0)?;
    Some((u32::try_from(start).ok()?, length))
}

const ZERO: Rect = Rect { x: 0, y: 0, width: 0, height: 0 };

fn right(r: Rect) -> u32 {
    r.x.saturating_add(r.width)
}

fn bottom(r: Rect) -> u32 {
    r.y.saturating_add(r.height)
}

fn contains(outer: Rect, inner: Rect) -> bool {
    outer.x <= inner.x
        && outer.y <= inner.y
        && right(outer) >= right(inner)
        && bottom(outer) >= bottom(inner)
}

fn around(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    Rect { x, y, width: right(a).max(right(b)) - x, height: bottom(a).max(bottom(b)) - y }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Size = Size { width: 100, height: 80 };

    #[test]
    fn damage_is_told_in_pixels_of_what_is_visible() {
        let part = Rect { x: 10, y: 20, width: 100, height: 50 };
        let damage = Damage::from(Rect { x: 0, y: 25, width: 15, height: 10 });
        let normal = damage.seen(part, Transform::Normal);
        assert_eq!(normal, Damage::from(Rect { x: 0, y: 5, width: 5, height: 10 }));
        let turned = damage.seen(part, Transform::Flipped);
        assert_eq!(turned, Damage::from(Rect { x: 0, y: 35, width: 5, height: 10 }));
        let beside = Damage::from(Rect { x: 0, y: 0, width: 10, height: 10 });
        assert!(beside.seen(part, Transform::Normal).is_empty());
        assert_eq!(Damage::Whole.seen(part, Transform::Normal), Damage::Whole);
    }

    fn covers(damage: &Damage, x: u32, y: u32) -> bool {
        match damage {
            Damage::Whole => true,
            Damage::Rects { rects, count } => rects[..usize::from(*count)]
                .iter()
                .any(|&r| contains(r, Rect { x, y, width: 1, height: 1 })),
        }
    }

    #[test]
    fn what_hangs_over_is_cut_off() {
        let damage = Damage::clamped(-10, 70, 30, i32::MAX, BOUNDS);
        assert_eq!(damage, Damage::from(Rect { x: 0, y: 70, width: 20, height: 10 }));
        let damage = Damage::clamped(99, 79, i32::MAX, i32::MAX, BOUNDS);
        assert_eq!(damage, Damage::from(Rect { x: 99, y: 79, width: 1, height: 1 }));
    }

    #[test]
    fn what_is_outside_or_empty_means_everything() {
        let far = (i32::MIN, i32::MIN, i32::MAX, i32::MAX);
        for (x, y, w, h) in
            [(100, 0, 5, 5), (0, 80, 5, 5), (0, 0, 0, 5), (0, 0, 5, -1), (-5, 0, 5, 5), far]
        {
            assert_eq!(Damage::clamped(x, y, w, h, BOUNDS), Damage::Whole, "{x} {y} {w} {h}");
        }
    }

    proptest! {
        #[test]
        fn merging_loses_no_pixel_and_leaves_no_bound(
            list in proptest::collection::vec((-20..120, -20..120, -5..60, -5..60), 0..60),
            (px, py) in (0..100_u32, 0..80_u32),
        ) {
            let mut sum = Damage::NONE;
            let mut hit = false;
            for (x, y, w, h) in list {
                let (sx, sy) = (i32::try_from(px).unwrap(), i32::try_from(py).unwrap());
                hit |= x <= sx && sx < x + w && y <= sy && sy < y + h;
                if let Some(rect) = Rect::clipped(x, y, w, h, BOUNDS) {
                    sum.merge(&Damage::from(rect));
                }
            }
            prop_assert!(!hit || covers(&sum, px, py));
            if let Damage::Rects { rects, count } = sum {
                for r in &rects[..usize::from(count)] {
                    prop_assert!(right(*r) <= BOUNDS.width && bottom(*r) <= BOUNDS.height);
                }
            }
        }
    }
}
