use proptest::prelude::*;

use super::*;

const SCALES: [u32; 4] = [120, 150, 180, 240];

fn size((width, height): (u32, u32)) -> Size {
    Size { width, height }
}

fn placed(window: (u32, u32), picture: (u32, u32), how: Fit) -> (u32, u32, u32, u32) {
    let place = fit(size(window), Scale::ONE, size(picture), how);
    (place.x, place.y, place.size.width, place.size.height)
}

/// What of the screen a span of a window covers: its first device pixel and how many.
fn covered(scale: Scale, start: u32, length: u32) -> (u32, u32) {
    // Not by the functions that are tested.
    let round = |logical: u32| (f64::from(logical) * f64::from(scale.0) / 120.0).round() as u32;
    (round(start), round(start + length) - round(start))
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
fn whole_multiples_as_long_as_they_fit() {
    assert_eq!(placed((1900, 1000), (640, 480), Fit::Integer), (310, 20, 1280, 960));
    assert_eq!(placed((700, 500), (640, 480), Fit::Integer), (30, 10, 640, 480));
    assert_eq!(placed((320, 480), (640, 480), Fit::Integer), (0, 120, 320, 240));
}

#[test]
fn stretched_is_the_whole_window() {
    assert_eq!(placed((333, 777), (640, 480), Fit::Stretch), (0, 0, 333, 777));
}

/// A guest that was asked for 1003x705 sets 1000x704: to blur that for three pixels helps nobody.
#[test]
fn a_picture_almost_as_large_as_its_window_is_not_scaled() {
    assert_eq!(placed((1003, 709), (1000, 704), Fit::Aspect), (1, 2, 1000, 704));
    assert_eq!(placed((1016, 712), (1000, 700), Fit::Aspect).2, 1016);
}

#[test]
fn extremes_stay_within_the_window_and_never_vanish() {
    assert_eq!(placed((100, 100), (10000, 1), Fit::Aspect), (0, 49, 100, 1));
    assert_eq!(placed((1, 1), (640, 480), Fit::OneToOne), (0, 0, 1, 1));
    let widest = u32::MAX;
    assert_eq!(placed((widest, widest), (1, 1), Fit::Aspect), (0, 0, widest, widest));
}

#[test]
fn usual_pictures_get_windows_that_show_them_pixel_by_pixel() {
    for scale in [120, 150, 180, 210, 240].map(Scale::of_120ths) {
        for picture in [(640, 480), (1024, 768), (1280, 800), (1366, 768), (1920, 1080)] {
            let window = scale.window_for(size(picture));
            let Place { x, y, size: place } = fit(window, scale, size(picture), Fit::Aspect);
            let (_, width) = covered(scale, x, place.width);
            let (_, height) = covered(scale, y, place.height);
            assert_eq!((width, height), picture, "at {scale:?} in {window:?}");
        }
    }
}

#[test]
fn a_scale_that_cannot_be_meant_does_no_harm() {
    for scale in [Scale::of_120ths(0), Scale::of_120ths(u32::MAX), Scale::whole(-1)] {
        let window = scale.window_for(size((640, 480)));
        assert!(window.width > 0 && window.height > 0);
        let place = fit(window, scale, size((640, 480)), Fit::Aspect);
        assert!(place.size.width > 0 && place.size.height > 0);
    }
    assert_eq!(Scale::whole(2), Scale::of_120ths(240));
}

#[test]
fn a_point_is_the_pixel_that_is_seen_there() {
    let place = Place { x: 7, y: 9, size: size((320, 240)) };
    let picture = size((640, 480));
    assert_eq!(place.pixel(picture, (7.0, 9.0)), (0, 0));
    assert_eq!(place.pixel(picture, (7.5, 10.25)), (1, 2));
    assert_eq!(place.pixel(picture, (326.9, 248.99)), (639, 479));
    // Beside it.
    assert_eq!(place.pixel(picture, (0.0, 9.0)), (0, 0));
    assert_eq!(place.pixel(picture, (-3.0, 1e9)), (0, 479));
    assert_eq!(place.pixel(picture, (f64::NAN, f64::INFINITY)), (0, 479));
}

proptest! {
    /// Whatever fits is shown pixel by pixel, if any whole logical place in that window can do so.
    #[test]
    fn what_fits_is_exact_where_anything_is(
        scale in prop::sample::select(&SCALES[..]),
        window in 1_u32..400,
        picture in 1_u32..800,
    ) {
        let scale = Scale::of_120ths(scale);
        let place = fit(size((window, window)), scale, size((picture, picture)), Fit::OneToOne);
        let (_, seen) = covered(scale, place.x, place.size.width);
        let possible = (0..window).any(|start| {
            (1..=window - start).any(|length| covered(scale, start, length).1 == picture)
        });
        prop_assert_eq!(seen == picture, possible, "{:?}", place);
        if scale == Scale::ONE {
            prop_assert_eq!(possible, picture <= window);
        }
    }

    /// A guest that has taken the window's size in device pixels fills it, exactly, at any scale.
    #[test]
    fn a_guest_that_follows_its_window_fills_it(
        scale in 60_u32..600,
        window in (1_u32..4000, 1_u32..4000),
        how in prop::sample::select(&[Fit::Aspect, Fit::Integer, Fit::OneToOne][..]),
    ) {
        let (scale, window) = (Scale::of_120ths(scale), size(window));
        let picture = scale.device_size(window);
        prop_assume!(picture.width > 0 && picture.height > 0);
        prop_assert_eq!(fit(window, scale, picture, how), Place { x: 0, y: 0, size: window });
    }

    #[test]
    fn nothing_is_ever_outside(
        scale in any::<u32>(),
        window in (1_u32..9000, 1_u32..9000),
        picture in (1_u32..20000, 1_u32..20000),
        how in prop::sample::select(&[Fit::Aspect, Fit::Integer, Fit::OneToOne, Fit::Stretch][..]),
    ) {
        let place = fit(size(window), Scale::of_120ths(scale), size(picture), how);
        prop_assert!(place.size.width > 0 && place.size.height > 0);
        prop_assert!(place.x + place.size.width <= window.0, "{:?}", place);
        prop_assert!(place.y + place.size.height <= window.1, "{:?}", place);
    }

    /// No window that we choose is larger than it has to be by more than what brings it onto the grid.
    #[test]
    fn windows_hold_their_pictures_and_little_more(
        scale in 60_u32..600,
        picture in (1_u32..8000, 1_u32..8000),
    ) {
        let (scale, picture) = (Scale::of_120ths(scale), size(picture));
        let window = scale.device_size(scale.window_for(picture));
        prop_assert!(window.width >= picture.width && window.height >= picture.height);
        let slack = scale.device(4);
        prop_assert!(window.width - picture.width <= slack);
        prop_assert!(window.height - picture.height <= slack);
    }
}
