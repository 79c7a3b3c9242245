//! Where in its window a picture goes.

use crate::frame::Size;

/// How a picture fills its window. What it leaves free is black.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// As large as the window allows, its aspect kept.
    #[default]
    Aspect,
    /// A pixel is a pixel, as long as the picture fits; a larger one is shrunk as in [`Fit::Aspect`].
    OneToOne,
}

/// A place in a window, from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) size: Size,
}

/// The place of a picture in a window, in the middle. Neither is empty.
pub(super) fn fit(window: Size, picture: Size, fit: Fit) -> Place {
    let fits = picture.width <= window.width && picture.height <= window.height;
    let size = if fit == Fit::OneToOne && fits { picture } else { scaled(window, picture) };
    Place { x: (window.width - size.width) / 2, y: (window.height - size.height) / 2, size }
}

/// The largest size of the picture's aspect that the window holds.
fn scaled(window: Size, picture: Size) -> Size {
    let [ww, wh] = [window.width, window.height].map(u64::from);
    let [pw, ph] = [picture.width, picture.height].map(u64::from);
    let rounded = |edge: u64, by: u64, limit: u32| {
        u32::try_from((edge + by / 2) / by).unwrap_or(limit).clamp(1, limit.max(1))
    };
    if ww * ph <= wh * pw {
        Size { width: window.width, height: rounded(ww * ph, pw, window.height) }
    } else {
        Size { width: rounded(wh * pw, ph, window.width), height: window.height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(window: (u32, u32), picture: (u32, u32), how: Fit) -> (u32, u32, u32, u32) {
        let size = |(width, height)| Size { width, height };
        let place = fit(size(window), size(picture), how);
        (place.x, place.y, place.size.width, place.size.height)
    }

    #[test]
    fn keeps_the_aspect_in_the_middle() {
        assert_eq!(placed((1280, 720), (640, 480), Fit::Aspect), (160, 0, 960, 720));
        assert_eq!(placed((600, 900), (640, 480), Fit::Aspect), (0, 225, 600, 450));
        assert_eq!(placed((640, 480), (640, 480), Fit::Aspect), (0, 0, 640, 480));
    }

    #[test]
    fn one_to_one_as_long_as_it_fits() {
        assert_eq!(placed((1280, 720), (640, 480), Fit::OneToOne), (320, 120, 640, 480));
        assert_eq!(placed((640, 480), (1280, 960), Fit::OneToOne), (0, 0, 640, 480));
    }

    #[test]
    fn extremes_stay_within_the_window_and_never_vanish() {
        assert_eq!(placed((100, 100), (10000, 1), Fit::Aspect), (0, 49, 100, 1));
        assert_eq!(placed((1, 1), (640, 480), Fit::OneToOne), (0, 0, 1, 1));
        let widest = u32::MAX;
        assert_eq!(placed((widest, widest), (1, 1), Fit::Aspect), (0, 0, widest, widest));
    }
}
