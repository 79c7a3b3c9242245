//! The window around the picture, its end, and the end of the connection.

use super::*;
use crate::compositor::Server;
use crate::compositor::surfaces::Pixels;
use wayland_server::Resource;

const SIZE: Size = Size { width: 64, height: 48 };

fn window(server: &mut Server) -> Option<Commit> {
    let last = server.surfaces.main().commits.last()?;
    last.destination.is_some().then(|| last.clone())
}

#[test]
fn it_says_who_it_is() {
    let options = WindowOptions {
        title: "a guest".to_owned(),
        app_id: "org.example".to_owned(),
        fullscreen: true,
        ..WindowOptions::default()
    };
    let stage = Stage::try_open(Script::default(), &options, NO_UDMABUF).unwrap();
    stage.compositor.with(|server| {
        assert_eq!(server.surfaces.title, "a guest");
        assert_eq!(server.surfaces.app_id, "org.example");
        assert!(server.surfaces.fullscreen && server.surfaces.server_decorations);
    });
}

#[test]
fn it_comes_with_the_first_picture_and_in_its_size() {
    let mut stage = Stage::open(Script::default());
    stage.compositor.with(|server| assert!(window(server).is_none(), "nothing to show yet"));
    stage.show(1, &untouchable(SIZE), 0);
    let commit = stage.compositor.wait("the window", window);
    assert_eq!(commit.destination, Some((64, 48)));
    let shown = stage.shown(1);
    assert_eq!((shown.position, shown.destination), ((0, 0), Some((64, 48))));
    let Attached::Buffer(black) = commit.attached else { panic!("{commit:?}") };
    stage.compositor.with(|server| {
        let pixels = &server.surfaces.buffers[black].pixels;
        assert!(matches!(pixels, Pixels::Single([0, 0, 0, u32::MAX])), "{pixels:?}");
    });
}

#[test]
fn it_takes_the_size_that_it_is_given() {
    let mut stage = Stage::open(Script { size: (200, 100), ..Script::default() });
    stage.show(1, &untouchable(SIZE), 0);
    let commit = stage.compositor.wait("the window", window);
    assert_eq!(commit.destination, Some((200, 100)));
    let shown = stage.shown(1);
    assert_eq!((shown.position, shown.destination), ((68, 26), Some((64, 48))));
}

#[test]
fn a_resize_refits_the_picture_at_once_and_together() {
    let options = WindowOptions { size: Some(size(128, 96)), ..WindowOptions::default() };
    let mut stage = Stage::try_open(Script::default(), &options, NO_UDMABUF).unwrap();
    stage.show(1, &untouchable(SIZE), 0);
    assert_eq!(stage.shown(1).destination, Some((128, 96)));
    stage.compositor.with(|server| server.configure((400, 96), &[]));
    stage.compositor.with(|server| server.configure((400, 96), &[State::Suspended]));
    assert!(matches!(stage.next(), SinkEvent::Hidden(true)));
    stage.compositor.wait("the new size", |server| {
        window(server).filter(|commit| commit.destination == Some((400, 96)))
    });
    stage.compositor.with(|server| {
        let last = server.surfaces.picture().commits.last().unwrap();
        assert_eq!((last.position, last.destination), ((136, 0), Some((128, 96))));
        assert_eq!(last.attached, Attached::Same);
        assert!(last.sync, "it would show at another time than the window's new size");
        assert_eq!(server.surfaces.shown().len(), 1);
    });
}

#[test]
fn a_picture_of_another_size_fits_into_the_same_window() {
    let mut stage =
        Stage::try_open(Script::default(), &WindowOptions::default(), NO_UDMABUF).unwrap();
    stage.show(1, &untouchable(SIZE), 0);
    stage.show(2, &untouchable(size(32, 48)), 0);
    let shown = stage.shown(2);
    assert_eq!((shown.position, shown.destination), ((16, 0), Some((32, 48))));
    stage.compositor.with(|server| assert_eq!(window(server).unwrap().destination, Some((64, 48))));
}

#[test]
fn blank_is_black_and_the_next_picture_is_shown_whole() {
    let mut stage = Stage::open(Script { size: (200, 100), ..Script::default() });
    stage.sink.blank();
    stage.sink.flush();
    assert_eq!(stage.shown(1).attached, Attached::Null);
    stage.compositor.wait("the window", window);
    let guest = untouchable(SIZE);
    stage.show(2, &guest, 0);
    stage.sink.blank();
    stage.sink.flush();
    assert_eq!(stage.shown(3).attached, Attached::Null);
    let damage = rects([Rect { x: 0, y: 0, width: 1, height: 1 }]);
    stage.sink.show(CommitId(4), import(&guest, 0), &guest, &damage);
    stage.sink.flush();
    assert_eq!(stage.shown(4).damage, [(0, 0, 64, 48)]);
}

#[test]
fn without_single_pixels_black_is_shared_memory() {
    let without = &["wp_single_pixel_buffer_manager_v1"];
    let mut stage = Stage::open(Script { without, ..Script::default() });
    stage.sink.blank();
    stage.sink.flush();
    let commit = stage.compositor.wait("the window", window);
    let Attached::Buffer(black) = commit.attached else { panic!("{commit:?}") };
    stage.compositor.with(|server| {
        assert_eq!(server.surfaces.buffers[black].rows(), [[0; 4]]);
    });
}

#[test]
fn hidden_is_told_when_it_changes() {
    let mut stage = Stage::open(Script::default());
    for states in [&[State::Activated][..], &[State::Suspended], &[State::Suspended], &[]] {
        stage.compositor.with(|server| server.configure((0, 0), states));
    }
    assert!(matches!(stage.next(), SinkEvent::Hidden(true)));
    assert!(matches!(stage.next(), SinkEvent::Hidden(false)));
}

#[test]
fn closing_the_window_is_no_fault() {
    let mut stage = Stage::open(Script::default());
    stage.compositor.with(|server| server.surfaces.toplevel.as_ref().unwrap().close());
    assert_eq!(stage.closed(), None);
    stage.compositor.with(|server| server.hang_up());
    assert!(stage.sink.poll().is_none(), "that was the last event");
}

#[test]
fn a_hang_up_is_told_with_its_reason() {
    let mut stage = Stage::open(Script::default());
    stage.show(1, &untouchable(SIZE), 0);
    stage.shown(1);
    stage.compositor.with(|server| server.hang_up());
    assert_eq!(stage.closed().as_deref(), Some("the compositor closed the connection"));
    // Whatever is still asked of it does no harm.
    let guest = untouchable(SIZE);
    stage.sink.import(import(&guest, 0), &guest);
    stage.sink.blank();
    stage.sink.flush();
    assert!(stage.sink.poll().is_none());
}

#[test]
fn a_protocol_error_is_told_with_its_message() {
    let mut stage = Stage::open(Script::default());
    stage.compositor.with(|server| {
        let surface = &server.surfaces.picture().surface;
        surface.post_error(2_u32, "that was wrong");
    });
    let reason = stage.closed().unwrap();
    assert!(reason.contains("wl_surface") && reason.contains("that was wrong"), "{reason}");
}

#[test]
fn a_compositor_that_lacks_what_a_window_needs_is_told_apart() {
    for global in ["wl_compositor", "wl_subcompositor", "wl_shm", "xdg_wm_base"] {
        let without: &'static [&'static str] = Box::leak(Box::new([global]));
        let script = Script { without, ..Script::default() };
        let error = Stage::try_open(script, &WindowOptions::default(), NO_UDMABUF).err().unwrap();
        let text = error.to_string();
        assert!(text.contains(global) && text.contains("fanlight dump"), "{text}");
    }
}

#[test]
fn a_compositor_that_is_gone_before_the_window_is_an_error() {
    let (stream, end) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(end);
    let error = WaylandSink::over(stream, &WindowOptions::default(), NO_UDMABUF).err().unwrap();
    assert!(error.to_string().contains("the compositor closed the connection"), "{error}");
}
