//! Arithmetic of damage: clamp, merge, never lose a pixel.

use super::{DAMAGE_MAX, Damage, Rect, Size};

impl Damage {
    /// Nothing at all.
    pub const NONE: Self = Self::Rects { rects: [ZERO; DAMAGE_MAX], count: 0 };

    /// One rectangle, as far as it lies within `bounds`. Coordinates may be anything a peer sends.
    pub fn clamped(x: i32, y: i32, width: i32, height: i32, bounds: Size) -> Self {
        let cut = |start: i32, len: i32, end: u32| {
            let first = i64::from(start).clamp(0, i64::from(end));
            let last = (i64::from(start) + i64::from(len)).clamp(0, i64::from(end));
            // Both lie in 0..=end, which is a u32.
            (first as u32, (last - first).max(0) as u32)
        };
        let (x, width) = cut(x, width, bounds.width);
        let (y, height) = cut(y, height, bounds.height);
        let mut damage = Self::NONE;
        damage.add(Rect { x, y, width, height });
        damage
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

    fn covers(damage: &Damage, x: u32, y: u32) -> bool {
        match damage {
            Damage::Whole => true,
            Damage::Rects { rects, count } => rects[..usize::from(*count)]
                .iter()
                .any(|&r| contains(r, Rect { x, y, width: 1, height: 1 })),
        }
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        assert!(Damage::clamped(100, 0, 5, 5, BOUNDS).is_empty());
        assert!(Damage::clamped(-9, -9, 9, 9, BOUNDS).is_empty());
        assert!(Damage::clamped(5, 5, -3, 4, BOUNDS).is_empty());
        let all = Damage::clamped(i32::MIN, i32::MIN, i32::MAX, i32::MAX, BOUNDS);
        assert!(all.is_empty(), "{all:?} ends left of the buffer");
        let all = Damage::clamped(-1, -1, i32::MAX, i32::MAX, BOUNDS);
        assert!(covers(&all, 0, 0) && covers(&all, 99, 79));
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
                sum.merge(&Damage::clamped(x, y, w, h, BOUNDS));
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
