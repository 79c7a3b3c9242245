//! The window around the picture, its end, and the end of the connection.

use super::*;
use crate::compositor::Server;
use crate::compositor::surfaces::Pixels;
use fanlight::sink::wayland::Content;
use std::time::Duration;
use wayland_protocols::wp::content_type::v1::server::wp_content_type_v1::Type;
use wayland_server::Resource;

const SIZE: Size = Size { width: 64, height: 48 };

pub(crate) fn window(server: &mut Server) -> Option<Commit> {
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
        assert_eq!(server.desktop.icon.as_deref(), Some("org.example"));
    });
    // Where it can't be said it is a window all the same.
    let without = &["xdg_toplevel_icon_manager_v1", "xdg_activation_v1"];
    Stage::open(Script { without, ..Script::default() });
}

/// Without the first a window that the user asked for would stay behind others; without the second one could
/// come to the front by a word that was given for another.
#[test]
fn the_word_that_it_may_come_to_the_front_is_used_once_when_it_is_there() {
    let activation = Some("a token".to_owned());
    let options = WindowOptions { activation, ..WindowOptions::default() };
    let mut stage = Stage::try_open(Script::default(), &options, NO_UDMABUF).unwrap();
    stage.settle();
    stage.compositor.with(|server| assert_eq!(server.desktop.activated, []));
    for commit in 1..=2 {
        stage.show(commit, &untouchable(size(64 * commit as u32, 48)), 0);
        stage.shown(commit as usize);
    }
    stage.compositor.with(|server| {
        let main = server.surfaces.main.unwrap();
        assert_eq!(server.desktop.activated, [("a token".to_owned(), main)]);
    });
}

/// Without it a virtual machine could end its viewer by its name: no message is that long.
#[test]
fn a_title_has_an_end() {
    let title = "ä".repeat(4000);
    let options = WindowOptions { title: title.clone(), ..WindowOptions::default() };
    let mut stage = Stage::try_open(Script::default(), &options, NO_UDMABUF).unwrap();
    stage.compositor.with(|server| assert_eq!(server.surfaces.title, "ä".repeat(256)));
    stage.sink.set_title(&title[2..]);
    stage.settle();
    stage.compositor.with(|server| assert!(!server.gone));
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

/// Without it what a compositor doesn't read would be waited for, or lost, or sent only when something
/// else happens.
#[test]
fn what_a_compositor_does_not_read_waits_and_is_sent_when_it_does() {
    const COMMITS: u64 = 500;
    let (compositor, stream) = Compositor::start(Script::default());
    let socket = stream.try_clone().unwrap();
    let means = Means {
        make_udmabuf: NO_UDMABUF,
        open_timelines: stand_ins,
        open_blitter: NO_BLITTER,
        ..Means::default()
    };
    let sink = WaylandSink::over_with(stream, &WindowOptions::default(), means);
    let mut stage = Stage { sink: sink.unwrap(), compositor };
    // As little as the kernel allows.
    rustix::net::sockopt::set_socket_send_buffer_size(&socket, 0).unwrap();
    let guest = untouchable(SIZE);
    assert!(matches!(stage.import(&guest, 0), SinkEvent::Imported(_)));
    stage.settle();
    stage.compositor.listen(false);
    for commit in 1..=COMMITS {
        stage.sink.show(CommitId(commit), import(&guest, 0), &guest, &Damage::Whole);
        stage.sink.flush();
    }
    assert!(stage.sink.poll().is_none(), "nothing has come, and it is no fault");
    stage.compositor.listen(true);
    let mut sent = 0;
    while sent < COMMITS as usize {
        // The compositor says nothing: it is the room in its socket that wakes us.
        let fds = [stage.sink.fd().unwrap(), stage.compositor.news()];
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let patience = Timespec::try_from(PATIENCE).unwrap();
        assert_ne!(poll(&mut fds, Some(&patience)), Ok(0), "only {sent} have come");
        if !fds[0].revents().is_empty() {
            assert!(stage.sink.poll().is_none());
        }
        // Where there was no news this fails.
        let _ = rustix::io::read(stage.compositor.news(), &mut [0; 8]);
        sent = stage.compositor.with(|server| server.surfaces.shown().len());
    }
    assert_eq!(sent, COMMITS as usize);
    // And then there is nothing more to wake us.
    stage.settle();
    assert!(stage.sink.poll().is_none());
    let mut fds = [PollFd::from_borrowed_fd(stage.sink.fd().unwrap(), PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec::default())), Ok(0));
}

/// Without it the program would wait for ever, without a word, for a compositor that hangs.
#[test]
fn a_compositor_that_says_nothing_is_not_waited_for() {
    let options =
        WindowOptions { time_limit: Duration::from_millis(50), ..WindowOptions::default() };
    let silent = |stream| match WaylandSink::over(stream, &options, NO_UDMABUF) {
        Err(WaylandError::Silent(limit)) => {
            assert_eq!(limit, options.time_limit);
            WaylandError::Silent(limit).to_string()
        }
        other => panic!("{other:?}"),
    };
    // It takes the connection and no more.
    let (_silent, stream) = std::os::unix::net::UnixStream::pair().unwrap();
    let sentence = silent(stream);
    assert!(sentence.contains("did not answer within 50ms"), "{sentence}");
    assert!(sentence.contains("WAYLAND_DISPLAY"), "{sentence}");
    // It stops in the middle.
    let (compositor, stream) = Compositor::start(Script { mute: true, ..Script::default() });
    silent(stream);
    compositor.listen(true);
    compositor.wait("our end", |server| server.gone.then_some(()));
}

#[test]
fn hints_are_given_for_both_surfaces_and_only_when_they_are_wanted() {
    let stage = Stage::open(Script::default());
    stage.compositor.with(|server| {
        assert!(server.desktop.tearing.is_empty() && server.desktop.content.is_empty());
    });
    let options =
        WindowOptions { tearing: true, content: Some(Content::Game), ..WindowOptions::default() };
    let stage = Stage::try_open(Script::default(), &options, NO_UDMABUF).unwrap();
    stage.compositor.with(|server| {
        assert_eq!(server.desktop.tearing, [0, 1]);
        assert_eq!(server.desktop.content, [(0, Type::Game), (1, Type::Game)]);
    });
    // Where they can't be given the window is opened all the same.
    let without = &["wp_tearing_control_manager_v1", "wp_content_type_manager_v1"];
    Stage::try_open(Script { without, ..Script::default() }, &options, NO_UDMABUF).unwrap();
}

#[test]
fn the_screen_stays_on_as_long_as_the_window_is_fullscreen() {
    let mut stage = Stage::open(Script::default());
    for (states, awake) in [
        (&[State::Maximized][..], false),
        (&[State::Fullscreen], true),
        (&[State::Fullscreen, State::Activated], true),
        (&[State::Activated], false),
    ] {
        stage.compositor.with(|server| server.configure((640, 480), states));
        let hidden = [states, &[State::Suspended]].concat();
        stage.compositor.with(|server| server.configure((640, 480), &hidden));
        assert!(matches!(stage.next(), SinkEvent::Hidden(true)));
        stage.compositor.with(|server| server.configure((640, 480), states));
        assert!(matches!(stage.next(), SinkEvent::Hidden(false)));
        stage.compositor.wait("the screen to be as it should", |server| {
            (server.desktop.awake == awake.then(|| server.surfaces.main.unwrap())).then_some(())
        });
    }
}
