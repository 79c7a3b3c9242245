//! Which size the window has, and who has decided it.
//!
//! As long as nobody has, the window follows the guest: it takes the size of each new picture. From then
//! on, if anybody follows, it is the guest who takes the window's.

use smithay_client_toolkit::reexports::csd_frame::WindowState;
use smithay_client_toolkit::shell::xdg::window::WindowConfigure;

use super::fit::{Scale, scaled};
use crate::frame::Size;

/// Without a picture and without a wish.
const DEFAULT_SIZE: Size = Size { width: 640, height: 480 };

/// What the compositor says of the window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Configured {
    /// `None`: as we like.
    pub(super) size: Option<Size>,
    /// Maximized, fullscreen or tiled.
    pub(super) held: bool,
    /// The user is at it.
    pub(super) resizing: bool,
    /// More than this the screen hasn't got.
    pub(super) bounds: Option<Size>,
}

impl From<&WindowConfigure> for Configured {
    fn from(configure: &WindowConfigure) -> Self {
        let size = match configure.new_size {
            (Some(width), Some(height)) => Some(Size { width: width.get(), height: height.get() }),
            _ => None,
        };
        let by_others = WindowState::MAXIMIZED | WindowState::FULLSCREEN | WindowState::TILED;
        Self {
            size,
            held: configure.state.intersects(by_others),
            resizing: configure.is_resizing(),
            bounds: configure.suggested_bounds.map(|(width, height)| Size { width, height }),
        }
    }
}

/// The window's size, in logical pixels.
#[derive(Debug)]
pub(super) struct Sizing {
    /// What it is to be by somebody else's decision.
    given: Option<Size>,
    /// The same for when it is no longer held.
    floating: Option<Size>,
    /// What we have chosen last, and before: a configure that only tells a state repeats it.
    own: [Option<Size>; 2],
    held: bool,
    bounds: Option<Size>,
}

impl Sizing {
    pub(super) fn new(wish: Option<Size>) -> Self {
        Self { given: wish, floating: wish, own: [None; 2], held: false, bounds: None }
    }

    pub(super) fn configure(&mut self, configured: Configured) {
        let Configured { size, held, resizing, bounds } = configured;
        let was_held = std::mem::replace(&mut self.held, held);
        self.bounds = bounds;
        if held {
            self.given = size.or(self.given);
            return;
        }
        match size {
            // Ours, told back to us.
            Some(_) if !resizing && !was_held && self.own.contains(&size) => self.floating = None,
            Some(_) => self.floating = size,
            // The guest may have taken the size of the whole screen meanwhile, so it isn't followed.
            None if was_held => self.floating = self.floating.or(self.own[0]),
            None => {}
        }
        self.given = self.floating;
    }

    /// What somebody else has decided.
    pub(super) fn given(&self) -> Option<Size> {
        self.given
    }

    /// The size to take, with this picture.
    pub(super) fn choose(&mut self, scale: Scale, picture: Option<Size>) -> Size {
        if let Some(given) = self.given {
            return given;
        }
        let wanted = match picture {
            Some(picture) => scale.window_for(picture),
            None => self.own[0].unwrap_or(DEFAULT_SIZE),
        };
        let too_large =
            |bounds: &Size| wanted.width > bounds.width || wanted.height > bounds.height;
        let size = self.bounds.filter(too_large).map_or(wanted, |bounds| scaled(bounds, wanted));
        if self.own[0] != Some(size) {
            self.own = [Some(size), self.own[0]];
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Size = Size { width: 640, height: 480 };
    const B: Size = Size { width: 800, height: 600 };
    const SCREEN: Size = Size { width: 1920, height: 1080 };

    fn at(size: Option<Size>) -> Configured {
        Configured { size, ..Configured::default() }
    }

    fn choose(sizing: &mut Sizing, picture: Size) -> Size {
        sizing.choose(Scale::ONE, Some(picture))
    }

    #[test]
    fn it_follows_the_guest_until_somebody_else_decides() {
        let mut sizing = Sizing::new(None);
        sizing.configure(at(None));
        assert_eq!(sizing.choose(Scale::ONE, None), DEFAULT_SIZE);
        assert_eq!(choose(&mut sizing, B), B);
        // The compositor repeats what it was told, and also what it was told before.
        for told in [B, A] {
            sizing.configure(at(Some(told)));
            assert_eq!((sizing.given(), choose(&mut sizing, B)), (None, B));
        }
        let other = Size { width: 900, height: 600 };
        sizing.configure(Configured { resizing: true, ..at(Some(other)) });
        sizing.configure(at(Some(other)));
        assert_eq!((sizing.given(), choose(&mut sizing, A)), (Some(other), other));
        sizing.configure(at(None));
        assert_eq!(choose(&mut sizing, A), other, "it stays where the compositor doesn't say");
    }

    #[test]
    fn a_drag_through_our_own_size_is_a_drag() {
        let mut sizing = Sizing::new(None);
        assert_eq!(choose(&mut sizing, A), A);
        sizing.configure(Configured { resizing: true, ..at(Some(A)) });
        assert_eq!(sizing.given(), Some(A));
    }

    #[test]
    fn after_fullscreen_it_is_as_before_although_the_guest_is_larger() {
        for back in [None, Some(A)] {
            let mut sizing = Sizing::new(None);
            assert_eq!(choose(&mut sizing, A), A);
            sizing.configure(Configured { held: true, ..at(Some(SCREEN)) });
            assert_eq!((sizing.given(), choose(&mut sizing, A)), (Some(SCREEN), SCREEN));
            sizing.configure(at(back));
            assert_eq!((sizing.given(), choose(&mut sizing, SCREEN)), (Some(A), A));
        }
    }

    #[test]
    fn a_wish_is_a_decision() {
        let mut sizing = Sizing::new(Some(B));
        sizing.configure(at(None));
        assert_eq!(choose(&mut sizing, A), B);
    }

    #[test]
    fn what_the_screen_has_no_room_for_is_made_smaller() {
        let mut sizing = Sizing::new(None);
        sizing.configure(Configured { bounds: Some(B), ..at(None) });
        assert_eq!(
            choose(&mut sizing, Size { width: 1600, height: 600 }),
            Size { width: 800, height: 300 }
        );
        assert_eq!(choose(&mut sizing, A), A);
    }
}
