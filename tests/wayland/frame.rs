//! The window's frame: the compositor's where it draws one, else ours.

use super::panels::BOXES;
use super::window::window;
use super::*;
use crate::compositor::Server;
use crate::compositor::xdg::Asked;
use fanlight::sink::wayland::{Button, FindLook, Look};
use wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_device_v1::Shape;
use wayland_protocols::xdg::shell::server::xdg_toplevel::ResizeEdge;

const NO_DECORATIONS: &[&str] = &["zxdg_decoration_manager_v1"];
const SIZE: Size = Size { width: 400, height: 300 };
/// How high the title bar is.
const BAR: i32 = 36;
const LEFT_BUTTON: u32 = 0x110;
const RIGHT_BUTTON: u32 = 0x111;
/// Of the compositor's enter and button events.
const ENTERED: u32 = 6;
const PRESSED: u32 = 5;

fn framed(script: Script) -> Stage {
    framed_as(script, || None)
}

/// As the desktop says that frames are to look.
fn framed_as(script: Script, find_look: FindLook) -> Stage {
    let options = WindowOptions { fit: Fit::OneToOne, ..WindowOptions::default() };
    let means = Means {
        make_udmabuf: NO_UDMABUF,
        open_timelines: stand_ins,
        open_blitter: NO_BLITTER,
        find_font: BOXES,
        find_look,
    };
    let mut stage = Stage::with_means(script, &options, means).unwrap();
    stage.show(1, &untouchable(SIZE), 0);
    stage.until("a frame", |server| (server.surfaces.frame().len() == 5).then_some(()));
    stage
}

impl Stage {
    /// Lets the sink work until the compositor has seen it.
    fn until<T>(&mut self, what: &str, mut f: impl FnMut(&mut Server) -> Option<T>) -> T {
        loop {
            while let Some(event) = self.sink.poll() {
                let for_others = matches!(event, SinkEvent::Presented(_) | SinkEvent::Resized(_));
                assert!(for_others, "nobody is to hear of it: {event:?}");
            }
            if let Some(found) = self.compositor.with(&mut f) {
                return found;
            }
            let fds = [self.sink.fd().unwrap(), self.compositor.news()];
            let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let patience = Timespec::try_from(PATIENCE).unwrap();
            assert_ne!(poll(&mut fds, Some(&patience)), Ok(0), "waited in vain for {what}");
            // Where there was no news this fails.
            let _ = rustix::io::read(self.compositor.news(), &mut [0; 8]);
        }
    }

    fn asked(&mut self) -> Asked {
        self.until("a wish", |server| server.surfaces.asked.pop())
    }

    /// A click there on the part of the frame that the others were made before.
    fn click(&self, part: usize, at: (f64, f64), button: u32) {
        self.compositor.with(|server| {
            server.point_elsewhere(part, at.0, at.1);
            server.button(button, true);
            server.button(button, false);
            server.leave_part(part);
        });
    }
}

/// Which of the surfaces is the title bar: the last one that was made.
fn bar(server: &mut Server) -> usize {
    server.surfaces.surfaces.len() - 1
}

#[test]
fn a_compositor_that_draws_frames_is_left_to_it() {
    let mut stage = Stage::open(Script::default());
    stage.show(1, &untouchable(SIZE), 0);
    stage.compositor.wait("the window", window);
    stage.settle();
    stage.compositor.with(|server| {
        assert!(server.surfaces.server_decorations);
        assert_eq!((server.surfaces.surfaces.len(), server.surfaces.geometry), (2, None));
    });
}

#[test]
fn where_none_is_drawn_the_window_has_one_of_ours_around_the_picture() {
    let cannot = Script { without: NO_DECORATIONS, ..Script::default() };
    let does_not = Script { frames: false, ..Script::default() };
    for script in [cannot, does_not] {
        let stage = framed(script);
        stage.compositor.with(|server| {
            assert_eq!(server.surfaces.geometry, Some((0, -BAR, 400, 300 + BAR)));
            assert_eq!(window(server).unwrap().destination, Some((400, 300)));
            let position = server.surfaces.picture().commits.last().unwrap().position;
            assert_eq!(position, (0, 0), "the picture isn't covered");
        });
    }
}

/// Without it the window would be larger than the screen, or than the user dragged it, by its title bar; and
/// the guest would be told so.
#[test]
fn the_size_that_is_given_has_the_frame_in_it() {
    let script = Script { without: NO_DECORATIONS, size: (500, 400), ..Script::default() };
    let mut stage = framed(script);
    stage.compositor.with(|server| {
        assert_eq!(server.surfaces.geometry, Some((0, -BAR, 500, 400)));
        assert_eq!(window(server).unwrap().destination, Some((500, 400 - BAR)));
    });
    stage.compositor.with(|server| server.configure((640, 480), &[State::Maximized]));
    assert_eq!(stage.resized().size, size(640, 480 - BAR as u32));
}

#[test]
fn fullscreen_has_no_frame_and_afterwards_it_is_back() {
    let mut stage = framed(Script { without: NO_DECORATIONS, ..Script::default() });
    stage.compositor.with(|server| server.configure((640, 480), &[State::Fullscreen]));
    assert_eq!(stage.resized().size, size(640, 480));
    stage.until("no frame", |server| {
        let whole = server.surfaces.geometry == Some((0, 0, 640, 480));
        (whole && server.surfaces.frame().is_empty()).then_some(())
    });
    stage.compositor.with(|server| server.configure((0, 0), &[]));
    stage.until("the frame", |server| {
        let geometry = server.surfaces.geometry;
        (geometry == Some((0, -BAR, 400, 300 + BAR)) && server.surfaces.frame().len() == 5)
            .then_some(())
    });
}

#[test]
fn its_buttons_and_edges_do_what_they_are_for_and_the_guest_hears_nothing() {
    let mut stage = framed(Script { without: NO_DECORATIONS, ..Script::default() });
    let bar = stage.compositor.with(bar);
    stage.click(bar, (100.0, 17.0), LEFT_BUTTON);
    assert_eq!(stage.asked(), Asked::Move(PRESSED));
    stage.click(bar, (100.0, 17.0), LEFT_BUTTON);
    assert_eq!(stage.asked(), Asked::Maximize(true), "the second click of two");
    stage.click(bar, (100.0, 17.0), RIGHT_BUTTON);
    assert_eq!(stage.asked(), Asked::Menu(PRESSED, 100, 17 - BAR));
    // From the right: close, maximize, minimize.
    stage.click(bar, (400.0 - 55.0, 17.0), LEFT_BUTTON);
    assert_eq!(stage.asked(), Asked::Maximize(true));
    stage.click(bar, (400.0 - 92.0, 17.0), LEFT_BUTTON);
    assert_eq!(stage.asked(), Asked::Minimize);
    // The others are the edges: above, left, right, below.
    stage.click(bar - 1, (200.0, 1.0), LEFT_BUTTON);
    assert_eq!(stage.asked(), Asked::Resize(PRESSED, ResizeEdge::Bottom));
    stage.compositor.with(|server| {
        assert_eq!(server.seat.shape, Some((ENTERED, Shape::SResize)));
    });
    stage.click(bar, (400.0 - 18.0, 17.0), LEFT_BUTTON);
    assert_eq!(stage.closed(), None, "nothing came before the end");
}

#[test]
fn the_title_bar_says_what_the_window_is_called() {
    let mut stage = framed(Script { without: NO_DECORATIONS, ..Script::default() });
    let drawn = |server: &mut Server| server.surfaces.frame().last().unwrap().1.rows();
    let before = stage.compositor.with(drawn);
    let count = stage.compositor.with(|server| server.surfaces.buffers.len());
    stage.sink.set_title("another");
    stage.sink.flush();
    stage.until("another frame", |server| {
        (server.surfaces.buffers.len() > count && server.surfaces.title == "another").then_some(())
    });
    stage.settle();
    assert_ne!(stage.compositor.with(drawn), before);
}

/// How bright a pixel of the title bar is.
fn bright(server: &mut Server, (x, y): (usize, usize)) -> u8 {
    server.surfaces.frame().last().unwrap().1.rows()[y][4 * x + 1]
}

/// The desktop says it later or never, so the window is there before; and then it looks as all others do.
#[test]
fn colours_and_buttons_are_the_desktops_as_soon_as_it_says_them() {
    let script = Script { without: NO_DECORATIONS, ..Script::default() };
    let mut stage = framed_as(script, || {
        let close = [Some(Button::Close), None, None];
        Some(Look { dark: true, buttons: [close, [None; 3]] })
    });
    stage.until("a dark bar", |server| (bright(server, (390, 18)) < 100).then_some(()));
    let bar = stage.compositor.with(bar);
    stage.click(bar, (18.0, 18.0), LEFT_BUTTON);
    assert_eq!(stage.closed(), None);
}

/// Else nobody would know what a click does.
#[test]
fn a_button_under_the_pointer_is_seen() {
    let mut stage = framed(Script { without: NO_DECORATIONS, ..Script::default() });
    let ground = |server: &mut Server| bright(server, (373, 18));
    let before = stage.compositor.with(ground);
    let bar = stage.compositor.with(|server| {
        let bar = bar(server);
        server.point_elsewhere(bar, 382.0, 18.0);
        bar
    });
    stage.until("a change", |server| (ground(server) < before).then_some(()));
    stage.compositor.with(|server| server.leave_part(bar));
    stage.until("what was there before", |server| (ground(server) == before).then_some(()));
}

/// It ends where the screen does; and everything is as before when the window isn't so large any more.
#[test]
fn a_maximized_window_has_a_bar_and_no_edges() {
    let mut stage = framed(Script { without: NO_DECORATIONS, ..Script::default() });
    stage.compositor.with(|server| server.configure((640, 480), &[State::Maximized]));
    stage.until("the bar alone", |server| (server.surfaces.frame().len() == 1).then_some(()));
    stage.compositor.with(|server| {
        assert_eq!(server.surfaces.geometry, Some((0, -BAR, 640, 480)));
        assert_ne!(bright(server, (0, 0)), 0, "its corners are the screen's");
        server.configure((0, 0), &[]);
    });
    stage.until("all of it", |server| (server.surfaces.frame().len() == 5).then_some(()));
    assert_eq!(stage.compositor.with(|server| bright(server, (0, 0))), 0, "its corners are round");
}

/// At a scale between whole ones too the window's picture begins on a pixel of the screen, and the bar is as sharp.
#[test]
fn the_frame_is_as_fine_as_the_screen() {
    let stage = framed(Script { without: NO_DECORATIONS, scale: 150, ..Script::default() });
    stage.compositor.with(|server| {
        let (_, y, width, _) = server.surfaces.geometry.unwrap();
        assert_eq!((y * 150) % 120, 0);
        let (part, buffer) = *server.surfaces.frame().last().unwrap();
        assert_eq!(part.commits.last().unwrap().destination, Some((width, BAR)));
        assert_eq!(buffer.size, ((width * 150 + 60) / 120, BAR * 150 / 120));
    });
}
