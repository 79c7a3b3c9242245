//! Pictures that come back.

use std::sync::Arc;

use crate::frame::{Picture, Size};

/// How many are waited for; further ones are given up when nobody has them any more.
const WAITED_MAX: usize = 64;

/// Memory of pictures that somebody has, to be used again when nobody has it any more.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<Arc<Picture>>);

impl Pool {
    /// Puts one of that size that nobody else has in the place of `picture`, which is waited for. What
    /// it shows is anything.
    pub(super) fn swap(&mut self, picture: &mut Arc<Picture>, size: Size) {
        self.0.retain(|known| known.size == size);
        let free = self.0.iter_mut().position(|known| Arc::get_mut(known).is_some());
        let fresh = match free {
            Some(free) => self.0.swap_remove(free),
            None => Arc::new(Picture::black(size)),
        };
        let before = std::mem::replace(picture, fresh);
        if before.size == size {
            self.keep(&before);
        }
    }

    /// Waits for one that somebody has.
    pub(super) fn keep(&mut self, picture: &Arc<Picture>) {
        if self.0.len() < WAITED_MAX {
            self.0.push(Arc::clone(picture));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size { width: 2, height: 1 };
    const LARGE: Size = Size { width: 4, height: 4 };

    #[test]
    fn what_nobody_has_any_more_is_used_again() {
        let mut pool = Pool::default();
        let mut target = Arc::new(Picture::black(SMALL));
        let first = Arc::clone(&target);
        pool.swap(&mut target, SMALL);
        assert!(!Arc::ptr_eq(&first, &target), "somebody has it");
        let memory = first.pixels.as_ptr();
        drop(first);
        let second = Arc::clone(&target);
        pool.swap(&mut target, SMALL);
        assert_eq!(target.pixels.as_ptr(), memory);
        assert!(!Arc::ptr_eq(&second, &target));
    }

    #[test]
    fn pictures_of_another_size_are_given_up() {
        let mut pool = Pool::default();
        let mut target = Arc::new(Picture::black(SMALL));
        pool.swap(&mut target, LARGE);
        assert_eq!((target.size, pool.0.len()), (LARGE, 0));
        let _somebody = Arc::clone(&target);
        pool.swap(&mut target, LARGE);
        assert_eq!(pool.0.len(), 1);
        pool.swap(&mut target, SMALL);
        assert_eq!(pool.0.len(), 0);
    }
}
