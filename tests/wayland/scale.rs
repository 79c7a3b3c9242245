//! Sizes: of the picture in the window, of the window around the picture, and what the guest is asked
//! for.

use super::window::window;
use super::*;
use crate::compositor::Server;
use wayland_server::protocol::wl_output::{Subpixel, Transform as Turn, WlOutput};

const FHD: Size = Size { width: 1920, height: 1080 };
const SVGA: Size = Size { width: 800, height: 600 };

fn open(script: Script, fit: Fit) -> Stage {
    let options = WindowOptions { fit, ..WindowOptions::default() };
    Stage::try_open(script, &options, NO_UDMABUF).unwrap()
}

fn sized(width: i32, height: i32) -> impl FnMut(&mut Server) -> Option<Commit> {
    move |server| window(server).filter(|commit| commit.destination == Some((width, height)))
}

/// Position and size of the picture as it is now.
fn place(stage: &Stage) -> ((i32, i32), Option<(i32, i32)>) {
    stage.compositor.with(|server| {
        let last = server.surfaces.picture().commits.last().unwrap();
        (last.position, last.destination)
    })
}

#[test]
fn a_window_has_as_many_device_pixels_as_its_picture() {
    for (scale, window_size) in
        [(120, (1920, 1080)), (150, (1536, 864)), (180, (1280, 720)), (240, (960, 540))]
    {
        let mut stage = open(Script { scale, ..Script::default() }, Fit::Aspect);
        stage.show(1, &untouchable(FHD), 0);
        let shown = stage.shown(1);
        assert_eq!((shown.position, shown.destination), ((0, 0), Some(window_size)), "{scale}");
        // All of the buffer, pixel by pixel.
        assert_eq!(shown.source, None);
        stage.compositor.wait("the window", sized(window_size.0, window_size.1));
    }
}

#[test]
fn a_picture_that_fits_stays_pixel_by_pixel_in_black() {
    for (scale, position, picture) in [
        (120, (100, 100), (800, 600)),
        (150, (180, 160), (640, 480)),
        // On a device pixel's edge, at which 233 isn't.
        (180, (232, 200), (533, 400)),
        (240, (300, 250), (400, 300)),
    ] {
        let script = Script { size: (1000, 800), scale, ..Script::default() };
        let mut stage = open(script, Fit::OneToOne);
        stage.show(1, &untouchable(SVGA), 0);
        let shown = stage.shown(1);
        assert_eq!((shown.position, shown.destination), (position, Some(picture)), "{scale}");
        stage.compositor.wait("the window", sized(1000, 800));
    }
}

#[test]
fn the_picture_fills_the_window_as_it_was_told_to() {
    for (fit, guest, position, picture) in [
        (Fit::Aspect, SVGA, (0, 25), (1000, 750)),
        (Fit::Integer, size(300, 250), (50, 25), (900, 750)),
        (Fit::Stretch, SVGA, (0, 0), (1000, 800)),
    ] {
        // 2000 by 1600 device pixels.
        let script = Script { size: (1000, 800), scale: 240, ..Script::default() };
        let mut stage = open(script, fit);
        stage.show(1, &untouchable(guest), 0);
        let shown = stage.shown(1);
        assert_eq!((shown.position, shown.destination), (position, Some(picture)), "{fit:?}");
    }
}

#[test]
fn a_window_that_moves_to_another_screen_keeps_its_pixels() {
    let mut stage = open(Script::default(), Fit::Aspect);
    stage.show(1, &untouchable(FHD), 0);
    stage.compositor.wait("the window", sized(1920, 1080));
    stage.compositor.with(|server| server.scale(180));
    stage.settle();
    stage.compositor.wait("the new size", sized(1280, 720));
    assert_eq!(place(&stage), ((0, 0), Some((1280, 720))));
    stage.compositor.with(|server| {
        let last = server.surfaces.picture().commits.last().unwrap();
        assert!(last.sync, "it would show at another time than the window's new size");
    });
}

#[test]
fn a_window_that_its_picture_covers_has_the_pictures_scale_and_screen() {
    let mut stage = open(Script::default(), Fit::Aspect);
    stage.show(1, &untouchable(FHD), 0);
    stage.compositor.wait("the window", sized(1920, 1080));
    stage.compositor.with(|server| {
        server.surfaces.main().surface.enter(&server.desktop.screens[0]);
        server.surfaces.picture().surface.enter(&server.desktop.screens[0]);
        server.surfaces.main().surface.leave(&server.desktop.screens[0]);
        server.scale_of_the_picture(180);
    });
    stage.settle();
    stage.compositor.wait("the new size", sized(1280, 720));
}

/// It isn't told of its scale before it is on a screen.
#[test]
fn a_window_comes_in_the_size_that_it_will_keep() {
    let first_size = |logical| {
        let screens = &["DP-1", "DP-2"];
        let script = Script { screens, logical, scale: 0, ..Script::default() };
        let mut stage = open(script, Fit::Aspect);
        stage.show(1, &untouchable(FHD), 0);
        let first = stage.shown(1).destination;
        stage.compositor.with(|server| server.scale(240));
        stage.settle();
        stage.compositor.wait("the size of the scale that it is told", sized(960, 540));
        first
    };
    // Both screens have 3840x2160 pixels.
    assert_eq!(first_size(&[(2560, 1440), (2560, 1440)]), Some((1280, 720)));
    assert_eq!(first_size(&[(2194, 1234), (2194, 1234)]), Some((1097, 617)), "1.75, rounded");
    assert_eq!(first_size(&[(2560, 1440), (3840, 2160)]), Some((1920, 1080)), "it may be either");
    assert_eq!(first_size(&[(0, -1), (0, -1)]), Some((1920, 1080)));
}

#[test]
fn without_fractions_the_scale_is_whole() {
    let without = &["wp_fractional_scale_manager_v1"];
    let mut stage = open(Script { without, ..Script::default() }, Fit::Aspect);
    stage.compositor.with(|server| server.surfaces.main().surface.preferred_buffer_scale(2));
    stage.settle();
    stage.show(1, &untouchable(FHD), 0);
    assert_eq!(stage.shown(1).destination, Some((960, 540)));
}

#[test]
fn the_window_follows_a_guest_that_changes_its_mode_in_the_same_moment() {
    let mut stage = open(Script::default(), Fit::Aspect);
    stage.show(1, &untouchable(SVGA), 0);
    stage.compositor.wait("the window", sized(800, 600));
    // A compositor that says again what it was told takes nothing over.
    stage.compositor.with(|server| server.configure((800, 600), &[State::Activated]));
    stage.settle();
    stage.show(2, &untouchable(FHD), 0);
    let shown = stage.shown(2);
    assert_eq!((shown.position, shown.destination), ((0, 0), Some((1920, 1080))));
    assert!(shown.sync, "it would show at another time than the window's new size");
    stage.compositor.wait("the new size", sized(1920, 1080));
    assert!(stage.sink.poll().is_none(), "the guest isn't told its own size");
}

#[test]
fn no_window_is_larger_than_its_screen_by_our_choice() {
    let mut stage = open(Script { compositor: 4, ..Script::default() }, Fit::Aspect);
    stage.compositor.with(|server| {
        server.surfaces.toplevel.as_ref().unwrap().configure_bounds(1600, 1000);
        server.configure((0, 0), &[]);
    });
    stage.settle();
    stage.show(1, &untouchable(FHD), 0);
    assert_eq!(stage.shown(1).destination, Some((1600, 900)));
}

#[test]
fn a_window_that_the_user_resized_keeps_its_size_and_the_guest_is_told() {
    let mut stage = open(Script { scale: 180, ..Script::default() }, Fit::Aspect);
    stage.show(1, &untouchable(SVGA), 0);
    stage.shown(1);
    stage.compositor.with(|server| {
        server.configure((600, 500), &[State::Resizing]);
        server.configure((700, 501), &[State::Resizing]);
        server.configure((700, 501), &[]);
    });
    assert_eq!(stage.resized().size, size(900, 750));
    // 751.5 is rounded up.
    assert_eq!(stage.resized().size, size(1050, 752));
    assert!(stage.sink.poll().is_none(), "the same size is told once");
    // The guest takes it, and fills the window.
    stage.show(2, &untouchable(size(1050, 752)), 0);
    let shown = stage.shown(2);
    assert_eq!((shown.position, shown.destination), ((0, 0), Some((700, 501))));
    // Or another, and the window stays.
    stage.show(3, &untouchable(size(525, 376)), 0);
    assert_eq!(stage.shown(3).destination, Some((700, 501)));
    assert!(stage.sink.poll().is_none(), "what the guest does tells it nothing");
    // On another screen it has other pixels.
    stage.compositor.with(|server| server.scale(120));
    assert_eq!(stage.resized().size, size(700, 501));
}

#[test]
fn a_fullscreen_window_tells_the_guest_the_size_of_the_screen_from_the_start() {
    let mut stage =
        open(Script { size: (1536, 864), scale: 150, ..Script::default() }, Fit::Aspect);
    assert_eq!(stage.resized().size, FHD);
}

#[test]
fn a_guest_that_is_not_to_be_told_is_not() {
    let options = WindowOptions { resize_guest: false, ..WindowOptions::default() };
    let script = Script { size: (1536, 864), ..Script::default() };
    let mut stage = Stage::try_open(script, &options, NO_UDMABUF).unwrap();
    stage.compositor.with(|server| server.configure((700, 500), &[State::Suspended]));
    assert!(matches!(stage.event(), SinkEvent::Hidden(true)));
}

/// It would be scaled to a size that it hasn't got: such a window has the picture's.
#[test]
fn without_a_viewporter_nobody_is_told_anything() {
    let without = &["wp_viewporter"];
    let script = Script { without, size: (700, 500), ..Script::default() };
    let mut stage = open(script, Fit::Aspect);
    stage.compositor.with(|server| server.configure((800, 500), &[State::Suspended]));
    assert!(matches!(stage.event(), SinkEvent::Hidden(true)));
}

#[test]
fn the_guest_is_told_millimetres_of_the_screen_that_the_window_is_on() {
    let screens = &["TEST-1", "TEST-2"];
    let mut stage = open(Script { screens, size: (1920, 1080), ..Script::default() }, Fit::Aspect);
    assert_eq!(stage.resized(), SizeHint { size: FHD, mm: None }, "it may be on either");
    stage.compositor.with(|server| {
        let Server { surfaces, desktop, .. } = server;
        surfaces.main().surface.enter(&desktop.screens[1]);
    });
    assert_eq!(stage.resized(), SizeHint { size: FHD, mm: Some(size(300, 170)) });
    // On the first one as well, which changes nothing but where it came to last.
    stage.compositor.with(|server| {
        let Server { surfaces, desktop, .. } = server;
        let (surface, [one, two]) = (&surfaces.main().surface, &desktop.screens[..]) else {
            panic!()
        };
        one.geometry(0, 0, 300, 170, Subpixel::None, String::new(), String::new(), Turn::_90);
        one.done();
        surface.enter(one);
        surface.leave(two);
    });
    // Its pixels stand on their side: 2160 across are 170 mm.
    assert_eq!(stage.resized(), SizeHint { size: FHD, mm: Some(size(151, 84)) });
}

#[test]
fn where_surfaces_are_told_nothing_the_scale_is_that_of_their_screen() {
    let without = &["wp_fractional_scale_manager_v1"];
    let mut stage = open(Script { without, compositor: 5, ..Script::default() }, Fit::Aspect);
    stage.compositor.with(|server| {
        let Server { surfaces, desktop, .. } = server;
        desktop.screens[0].scale(2);
        desktop.screens[0].done();
        surfaces.main().surface.enter(&desktop.screens[0]);
    });
    stage.settle();
    stage.show(1, &untouchable(FHD), 0);
    assert_eq!(stage.shown(1).destination, Some((960, 540)));
}

#[test]
fn fullscreen_is_on_the_screen_that_was_named() {
    let on = |output: &str| WindowOptions {
        fullscreen: true,
        output: Some(output.to_owned()),
        ..WindowOptions::default()
    };
    let script = || Script { screens: &["DP-1", "HDMI-A-1"], ..Script::default() };
    let stage = Stage::try_open(script(), &on("HDMI-A-1"), NO_UDMABUF).unwrap();
    let asked = stage.compositor.wait("the window", |server| server.desktop.fullscreen_on);
    assert_eq!(stage.compositor.with(|server| server.script.screens[asked]), "HDMI-A-1");
    let error = Stage::try_open(script(), &on("DP-9"), NO_UDMABUF).err().unwrap().to_string();
    assert!(error.contains("\"DP-9\"") && error.contains("DP-1, HDMI-A-1"), "{error}");
}

/// What was bound is let go of, and nothing remembers the window there.
#[test]
fn a_screen_may_go_and_another_come() {
    let mut stage = open(Script { size: (1920, 1080), ..Script::default() }, Fit::Aspect);
    assert!(stage.resized().mm.is_some());
    let global = stage.compositor.with(|server| {
        server.script.screens = &["TEST-1", "TEST-2"];
        server.display.create_global::<Server, WlOutput, usize>(4, 1)
    });
    let screens =
        |count| move |server: &mut Server| (server.desktop.screens.len() == count).then_some(());
    stage.settle();
    stage.compositor.wait("it to be bound", screens(2));
    stage.compositor.with(|server| server.display.remove_global::<Server>(global));
    stage.settle();
    stage.compositor.wait("it to be let go of", screens(1));
}
