//! Whether what is waited for has come, told from pictures and times alone.

use std::sync::Arc;
use std::time::Instant;

use super::condition::{Condition, Kind};
use super::{Likeness, MaskSize};
use crate::frame::{Picture, Size};

/// Looks at one picture after the other. [`Capture::wait`](super::Capture::wait) does so with frames; programs that
/// have pictures of their own can, too.
#[derive(Debug)]
pub struct Watch<'a> {
    condition: &'a Condition,
    /// Of screens as large as the last one, with what the mask says of the part that is looked at; none, where the
    /// mask is of another size.
    likeness: Option<Likeness>,
    size: Option<Size>,
    /// What a picture to be like looks like in the part that is looked at.
    wanted: Option<Picture>,
    /// What the screen is compared with, and since when it is like that.
    before: Option<(Arc<Picture>, Instant)>,
}

impl<'a> Watch<'a> {
    /// One that has seen nothing.
    pub fn new(condition: &'a Condition) -> Self {
        let wanted = match (&condition.kind, condition.area) {
            (Kind::Match { wanted, .. }, Some(area)) if !condition.is_of_part(wanted) => {
                wanted.crop(area)
            }
            (Kind::Match { wanted, .. }, _) => Some(wanted.clone()),
            (Kind::Change | Kind::Stable { .. }, _) => None,
        };
        Self { condition, likeness: None, size: None, wanted, before: None }
    }

    /// Looks at the picture that the screen shows since `at`: whether what is waited for has come.
    pub fn look(&mut self, picture: &Arc<Picture>, at: Instant) -> bool {
        let Some(seen) = self.seen(picture) else {
            // There is no such part of this screen.
            self.before = None;
            return false;
        };
        if self.size.replace(picture.size) != Some(picture.size) {
            self.likeness = self.likeness(picture);
        }
        let Some(likeness) = &self.likeness else {
            let resized = matches!(&self.before, Some((before, _)) if before.size != seen.size);
            self.before = Some((seen, at)).filter(|_| self.condition.kind == Kind::Change);
            return resized && self.condition.kind == Kind::Change;
        };
        match &self.condition.kind {
            Kind::Match { .. } => {
                let unlike = |wanted| likeness.difference(wanted, &seen);
                self.wanted.as_ref().is_some_and(|wanted| unlike(wanted).is_none())
            }
            Kind::Change => {
                let (before, _) = self.before.get_or_insert_with(|| (Arc::clone(&seen), at));
                likeness.difference(before, &seen).is_some()
            }
            Kind::Stable { ignore, .. } => {
                let still = self
                    .before
                    .as_ref()
                    .is_some_and(|(before, _)| likeness.differs_within(before, &seen, *ignore));
                if !still {
                    self.before = Some((seen, at));
                }
                self.is_met(at)
            }
        }
    }

    /// When to ask whether it [is met](Self::is_met), if no other picture comes until then.
    pub fn due(&self) -> Option<Instant> {
        let Kind::Stable { lasts, .. } = self.condition.kind else { return None };
        self.before.as_ref().and_then(|(_, since)| since.checked_add(lasts))
    }

    /// Whether it has come by the time that has passed.
    pub fn is_met(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now >= due)
    }

    /// What of this picture keeps it from being so, where there is more to say than that it isn't.
    pub(super) fn lacks(&self, picture: &Arc<Picture>) -> Option<String> {
        let Some(seen) = self.seen(picture) else {
            let size = picture.size;
            return Some(format!("the screen is {}x{}", size.width, size.height));
        };
        if let Err(MaskSize { mask, picture }) = self.condition.suits_screen(picture) {
            return Some(format!(
                "the mask is {}x{}, but the screen {}x{}: make one of the screen's size",
                mask.width, mask.height, picture.width, picture.height
            ));
        }
        let likeness = self.likeness(picture)?;
        let wanted = self.wanted.as_ref()?;
        likeness.difference(wanted, &seen).map(|difference| difference.to_string())
    }

    /// How this picture differs from the one that it should be like, as [`Likeness::marked`] shows it.
    pub fn marked(&self, picture: &Arc<Picture>) -> Option<Picture> {
        let seen = self.seen(picture)?;
        let likeness = self.likeness(picture)?;
        self.wanted.as_ref().map(|wanted| likeness.marked(wanted, &seen))
    }

    /// How much screens of that size have to be like others; `None` where the mask is for others.
    fn likeness(&self, screen: &Picture) -> Option<Likeness> {
        self.condition.suits_screen(screen).ok()?;
        let tolerance = match self.condition.kind {
            Kind::Match { tolerance, .. } => tolerance,
            Kind::Change | Kind::Stable { .. } => 0,
        };
        let mask = match (&self.condition.mask, self.condition.area) {
            // One of the part is as it is.
            (Some(mask), Some(area)) if mask.size == screen.size => mask.crop(area),
            (mask, _) => mask.clone(),
        };
        Some(Likeness { tolerance, mask })
    }

    /// The part of it that is looked at.
    fn seen(&self, picture: &Arc<Picture>) -> Option<Arc<Picture>> {
        match self.condition.area {
            Some(area) => picture.crop(area).map(Arc::new),
            None => Some(Arc::clone(picture)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::frame::Rect;

    const SIZE: Size = Size { width: 40, height: 40 };

    /// Black, with white in there.
    fn screen(white: Rect) -> Arc<Picture> {
        let mut picture = Picture::black(SIZE);
        for y in white.y..white.y + white.height {
            let row = (y * SIZE.width + white.x) as usize * Picture::PIXEL;
            picture.pixels[row..][..white.width as usize * Picture::PIXEL].fill(255);
        }
        Arc::new(picture)
    }

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect { x, y, width, height }
    }

    fn black() -> Arc<Picture> {
        screen(Rect::default())
    }

    /// Looks at each, a tenth of a second after the one before; which of them was it?
    fn met(condition: &Condition, screens: &[Arc<Picture>]) -> Option<usize> {
        let start = Instant::now();
        let mut watch = Watch::new(condition);
        let at = |i: usize| start + Duration::from_millis(100) * i as u32;
        (0..screens.len()).find(|&i| watch.look(&screens[i], at(i)))
    }

    fn still_for(ms: u64) -> Condition {
        Condition::stable(Duration::from_millis(ms))
    }

    #[test]
    fn a_change_is_one_against_where_it_began() {
        let (a, b) = (black(), screen(rect(5, 5, 1, 1)));
        assert_eq!(met(&Condition::change(), &[a.clone(), a.clone(), b.clone()]), Some(2));
        assert_eq!(met(&Condition::change(), &[b.clone(), b]), None);
        // Another size is another picture.
        let small = Arc::new(Picture::black(Size { width: 1, height: 1 }));
        assert_eq!(met(&Condition::change(), &[a, small]), Some(1));
    }

    #[test]
    fn still_is_what_a_blinking_cursor_leaves_so() {
        let cursor = screen(rect(10, 20, 9, 2));
        let blinks = [black(), cursor.clone(), black(), cursor.clone(), black()];
        assert_eq!(met(&still_for(300), &blinks), Some(3));
        assert_eq!(met(&still_for(300).ignoring(Size { width: 8, height: 2 }), &blinks), None);
        // A line of text comes, a character at a time: only the first could be a cursor.
        let typed: Vec<_> = (0..6).map(|i| screen(rect(0, 0, 8 * i, 16))).collect();
        assert_eq!(met(&still_for(300), &typed), None);
        // What blinks in two places far from each other is no cursor.
        let elsewhere = screen(rect(30, 0, 2, 2));
        let moves = [cursor.clone(), elsewhere.clone(), cursor, elsewhere];
        assert_eq!(met(&still_for(200), &moves), None);
    }

    #[test]
    fn stillness_needs_no_other_picture() {
        let (condition, start) = (still_for(300), Instant::now());
        let mut watch = Watch::new(&condition);
        assert_eq!(watch.due(), None);
        assert!(!watch.look(&black(), start));
        let due = start + Duration::from_millis(300);
        assert_eq!(watch.due(), Some(due));
        assert!(!watch.is_met(due - Duration::from_millis(1)) && watch.is_met(due));
        // What comes later than that begins anew.
        assert!(!watch.look(&screen(rect(0, 0, 40, 40)), due + Duration::from_millis(1)));
    }

    #[test]
    fn a_picture_is_found_within_its_tolerance_and_mask() {
        let wanted = screen(rect(0, 0, 4, 4));
        let like = |tolerance, mask| {
            Condition::like((*wanted).clone(), Likeness { tolerance, mask }, "wanted.png")
        };
        let screens = [black(), wanted.clone()];
        assert_eq!(met(&like(0, None), &screens), Some(1));
        assert_eq!(met(&like(255, None), &screens), Some(0));
        let mut mask = Picture::black(SIZE);
        assert_eq!(met(&like(0, Some(mask.clone())), &screens), Some(0));
        mask.pixels.fill(255);
        assert_eq!(met(&like(0, Some(mask)), &screens), Some(1));
        let condition = like(0, None);
        let lacks = Watch::new(&condition).lacks(&black());
        assert_eq!(lacks.as_deref(), Some("16 pixels differ, by up to 255 of 255, in 4x4 at 0,0"));
    }

    #[test]
    fn only_a_part_of_the_screen_is_looked_at() {
        let area = rect(10, 10, 4, 4);
        let (inside, outside) = (screen(rect(12, 12, 9, 9)), screen(rect(0, 0, 10, 40)));
        let change = Condition::change().within(area);
        assert_eq!(met(&change, &[black(), outside.clone(), inside.clone()]), Some(2));
        // The picture of a screen, and one of the part alone.
        let part = inside.crop(area).unwrap();
        for wanted in [(*inside).clone(), part] {
            let like = Condition::like(wanted, Likeness::default(), "wanted.png").within(area);
            assert_eq!(met(&like, &[black(), inside.clone()]), Some(1));
        }
        let nowhere = Condition::change().within(rect(40, 0, 1, 1));
        assert_eq!(met(&nowhere, &[black(), inside.clone()]), None);
        assert_eq!(Watch::new(&nowhere).lacks(&inside).as_deref(), Some("the screen is 40x40"));
        // A mask is one of the whole screen.
        let masked = change.clone().masked(Arc::unwrap_or_clone(screen(rect(0, 0, 12, 40))));
        assert_eq!(met(&masked, &[black(), inside.clone()]), None);
        // Or of the part alone.
        let cover = Picture::black(Size { width: 4, height: 4 });
        assert_eq!(met(&change.masked(cover), &[black(), inside]), None);
    }

    #[test]
    fn a_mask_is_for_screens_of_its_own_size() {
        let large = |grey| {
            let size = Size { width: 80, height: 60 };
            let pixels = vec![grey; 80 * 60 * Picture::PIXEL];
            Arc::new(Picture { size, pixels })
        };
        let mut mask = Picture::black(SIZE);
        mask.pixels.fill(255);
        let other = screen(rect(5, 5, 1, 1));
        let stable = still_for(100).masked(mask.clone());
        assert_eq!(met(&stable, &[large(0), large(0), large(0), black(), black()]), Some(4));
        let change = Condition::change().masked(mask.clone());
        assert_eq!(met(&change, &[large(0), large(9)]), None);
        // That the screen becomes as large as it is one, and so is that it becomes another.
        assert_eq!(met(&change, &[large(0), large(0), black()]), Some(2));
        assert_eq!(met(&change, &[black(), large(0)]), Some(1));
        assert_eq!(met(&change, &[black(), black(), other]), Some(2));
        let words = "the mask is 40x40, but the screen 80x60: make one of the screen's size";
        for condition in [&stable, &change] {
            let watch = Watch::new(condition);
            assert_eq!(watch.lacks(&large(0)).as_deref(), Some(words));
            assert_eq!(watch.lacks(&black()), None);
        }
        // What the screen should be like says how large it is.
        let like = |area: Option<Rect>, mask: &Picture| {
            let likeness = Likeness { tolerance: 0, mask: Some(mask.clone()) };
            let like = Condition::like((*large(0)).clone(), likeness, "wanted.png");
            area.map_or(like.clone(), |area| like.within(area))
        };
        let error = like(None, &mask).suits().unwrap_err();
        assert_eq!((error.mask, error.picture), (SIZE, large(0).size));
        assert!(like(Some(rect(0, 0, 9, 9)), &mask).suits().is_err());
        assert_eq!(like(Some(rect(0, 0, 40, 40)), &mask).suits(), Ok(()));
        assert_eq!(like(Some(rect(0, 0, 9, 9)), &large(0)).suits(), Ok(()));
        // A picture of a part, and a mask of it, of the whole screen, and of something else.
        let part = |mask: &Picture| {
            let likeness = Likeness { tolerance: 0, mask: Some(mask.clone()) };
            Condition::like(mask.clone(), likeness, "wanted.png").within(rect(20, 10, 40, 40))
        };
        assert_eq!(part(&mask).suits(), Ok(()));
        let of_part = |cover: &Picture| Condition { mask: Some(cover.clone()), ..part(&mask) };
        assert_eq!(of_part(&large(0)).suits(), Ok(()));
        assert!(of_part(&Picture::black(Size { width: 50, height: 50 })).suits().is_err());
    }
}
