//! Damage out of a guest's numbers, and damage of damages.

use crate::frame::{DAMAGE_MAX, Damage, Rect, Size};

/// What of the rectangle lies on the surface; everything where nothing does, because what a guest
/// meant by that can't be known.
pub(super) fn clamp(x: i32, y: i32, width: i32, height: i32, surface: Size) -> Damage {
    clip(x, y, width, height, surface).map_or(Damage::Whole, one)
}

/// What of the rectangle lies on the surface, if anything.
pub(super) fn clip(x: i32, y: i32, width: i32, height: i32, surface: Size) -> Option<Rect> {
    let (x, width) = clip_side(x, width, surface.width)?;
    let (y, height) = clip_side(y, height, surface.height)?;
    Some(Rect { x, y, width, height })
}

fn clip_side(start: i32, length: i32, side: u32) -> Option<(u32, u32)> {
    let end = (i64::from(start) + i64::from(length)).min(i64::from(side));
    let start = i64::from(start).max(0);
    let length = u32::try_from(end - start).ok().filter(|&length| length > 0)?;
    Some((u32::try_from(start).ok()?, length))
}

fn one(rect: Rect) -> Damage {
    let mut rects = [Rect::default(); DAMAGE_MAX];
    rects[0] = rect;
    Damage::Rects { rects, count: 1 }
}

/// Adds `more` to `damage`; when there are too many rectangles they become the one around them.
pub(super) fn add(damage: &mut Damage, more: &Damage) {
    let Damage::Rects { rects: more, count: more_count } = more else {
        *damage = Damage::Whole;
        return;
    };
    let Damage::Rects { rects, count } = damage else { return };
    for &rect in &more[..usize::from(*more_count)] {
        if rects[..usize::from(*count)].contains(&rect) {
            continue;
        }
        if usize::from(*count) == DAMAGE_MAX {
            let all = rects.iter().fold(rect, |all, &rect| around(all, rect));
            (*rects, *count) = ([Rect::default(); DAMAGE_MAX], 1);
            rects[0] = all;
        } else {
            rects[usize::from(*count)] = rect;
            *count += 1;
        }
    }
}

fn around(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    let (right, bottom) =
        ((a.x + a.width).max(b.x + b.width), (a.y + a.height).max(b.y + b.height));
    Rect { x, y, width: right - x, height: bottom - y }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURFACE: Size = Size { width: 100, height: 50 };

    fn rects(damage: &Damage) -> &[Rect] {
        match damage {
            Damage::Whole => panic!("whole"),
            Damage::Rects { rects, count } => &rects[..usize::from(*count)],
        }
    }

    #[test]
    fn what_hangs_over_is_cut_off() {
        let damage = clamp(-10, 40, 30, i32::MAX, SURFACE);
        assert_eq!(rects(&damage), [Rect { x: 0, y: 40, width: 20, height: 10 }]);
        let damage = clamp(i32::MIN, i32::MIN, i32::MAX, i32::MAX, SURFACE);
        assert_eq!(damage, Damage::Whole);
        let damage = clamp(99, 49, i32::MAX, i32::MAX, SURFACE);
        assert_eq!(rects(&damage), [Rect { x: 99, y: 49, width: 1, height: 1 }]);
    }

    #[test]
    fn what_is_outside_or_empty_means_everything() {
        for (x, y, w, h) in
            [(100, 0, 5, 5), (0, 50, 5, 5), (0, 0, 0, 5), (0, 0, 5, -1), (-5, 0, 5, 5)]
        {
            assert_eq!(clamp(x, y, w, h, SURFACE), Damage::Whole, "{x} {y} {w} {h}");
        }
    }

    #[test]
    fn too_many_rectangles_grow_together() {
        let rect = |i: i32| clamp(i * 2, i, 1, 1, SURFACE);
        let mut damage = rect(0);
        for i in 0..i32::try_from(DAMAGE_MAX).unwrap() {
            add(&mut damage, &rect(i));
        }
        assert_eq!(rects(&damage).len(), DAMAGE_MAX);
        add(&mut damage, &rect(20));
        assert_eq!(rects(&damage), [Rect { x: 0, y: 0, width: 41, height: 21 }]);
        add(&mut damage, &Damage::Whole);
        assert_eq!(damage, Damage::Whole);
    }
}
