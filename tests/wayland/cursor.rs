//! The guest's cursor, as the compositor sees it.

use super::*;
use crate::compositor::Server;
use crate::compositor::surfaces::{Pixels, SurfaceSeen};
use fanlight::frame::{Cursor, Pointing};
use wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_device_v1::Shape;

type Two = (i32, i32);

const SIZE: Size = Size { width: 64, height: 48 };

fn open(script: Script, options: &WindowOptions) -> Stage {
    let mut stage = Stage::try_open(script, options, NO_UDMABUF).unwrap();
    stage.show(1, &untouchable(SIZE), 0);
    stage.shown(1);
    stage.compositor.wait("its pointer", |server| server.seat.pointer.is_some().then_some(()));
    stage
}

/// A picture twice as large as it is, with bars left and right.
fn doubled() -> Stage {
    open(Script { size: (200, 96), ..Script::default() }, &WindowOptions::default())
}

fn plain() -> Stage {
    open(Script::default(), &WindowOptions::default())
}

/// Each of its pixels is different.
fn cursor(width: u32, height: u32, hotspot: (i32, i32)) -> Cursor {
    let pixel = |at: u32| [at as u8, (at >> 8) as u8, 7, 255];
    let pixels = (0..width * height).flat_map(pixel).collect();
    Cursor { size: size(width, height), hotspot, pixels }
}

/// A compositor's cursor: its hotspot, its size, and its pixels as far as they aren't clear.
#[derive(Debug, PartialEq)]
struct Shown {
    hotspot: (i32, i32),
    size: (i32, i32),
    pixels: Vec<u8>,
}

fn clear_rim_removed(rows: &[Vec<u8>], (x, y, width, height): (f64, f64, f64, f64)) -> Vec<u8> {
    let rows = rows.iter().skip(y as usize).take(height as usize);
    let row = |row: &Vec<u8>| row[4 * x as usize..][..4 * width as usize].to_vec();
    rows.flat_map(row)
        .collect::<Vec<_>>()
        .chunks(4)
        .filter(|p| p[3] > 0)
        .flatten()
        .copied()
        .collect()
}

fn pixels(server: &Server, surface: &SurfaceSeen) -> Option<Vec<u8>> {
    let attached = surface.commits.iter().rev().map(|commit| commit.attached);
    let buffer = match attached.into_iter().find(|attached| *attached != Attached::Same)? {
        Attached::Buffer(buffer) => &server.surfaces.buffers[buffer],
        _ => return None,
    };
    assert!(!buffer.destroyed, "it is still shown");
    Some(clear_rim_removed(&buffer.rows(), surface.commits.last()?.source?))
}

fn shown(server: &mut Server, serial: u32) -> Option<Shown> {
    let (told, Some((surface, x, y))) = server.seat.cursor? else { return None };
    assert_eq!(told, serial, "else the compositor ignores it");
    let surface = &server.surfaces.surfaces[surface];
    let pixels = pixels(server, surface)?;
    let size = surface.commits.last()?.destination?;
    Some(Shown { hotspot: (x, y), size, pixels })
}

impl Stage {
    /// Lets the sink do what the compositor's words make it do, until `done` says so.
    fn work_until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Server) -> Option<T>) -> T {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            while self.sink.poll().is_some() {}
            self.sink.flush();
            if let Some(done) = self.compositor.with(&mut done) {
                return done;
            }
            assert!(std::time::Instant::now() < until, "waited in vain for {what}");
            let news = [self.sink.fd().unwrap(), self.compositor.news()];
            let mut fds = news.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let patience = Timespec::try_from(PATIENCE).unwrap();
            poll(&mut fds, Some(&patience)).unwrap();
            let _ = rustix::io::read(self.compositor.news(), &mut [0; 8]);
        }
    }

    fn sees(&mut self, expected: &Shown) {
        self.work_until(&format!("{expected:?}"), |server| {
            (shown(server, 4).as_ref() == Some(expected)).then_some(())
        });
    }

    fn sees_shape(&mut self, serial: u32) {
        self.work_until("the desktop's shape", |server| {
            (server.seat.shape == Some((serial, Shape::Default))).then_some(())
        });
    }

    /// What lies above the picture: where, how large, and its pixels.
    fn sees_above(&mut self, expected: Option<(Two, Two, &[u8])>) {
        self.work_until(&format!("above the picture {expected:?}"), |server| {
            let above = server.surfaces.above();
            let seen = above.and_then(|surface| {
                assert!(surface.deaf, "it takes the pointer from the picture");
                let last = surface.commits.last()?;
                Some((last.position, last.destination?, pixels(server, surface)?))
            });
            let seen = seen.as_ref().map(|(at, size, pixels)| (*at, *size, &pixels[..]));
            (seen == expected).then_some(())
        });
    }
}

#[test]
fn it_is_the_pointers_as_large_as_the_picture_has_it_and_only_above_that() {
    let mut stage = doubled();
    let cursor = cursor(24, 16, (3, 5));
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.sees_shape(4);
    stage.sink.set_cursor(Some(&cursor));
    let expected = Shown { hotspot: (6, 10), size: (48, 32), pixels: cursor.pixels.clone() };
    stage.sees(&expected);
    stage.compositor.with(|server| server.point_beside(2.0, 2.0));
    stage.sees_shape(4);
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.sees(&expected);
    stage.sink.move_cursor(5, 5, false);
    stage.work_until("nothing", |server| (server.seat.cursor == Some((4, None))).then_some(()));
    stage.sink.move_cursor(5, 5, true);
    stage.sees(&expected);
    stage.sees_above(None);
    // Another machine, of which nothing is known.
    stage.sink.set_cursor(None);
    stage.sees_shape(4);
}

/// What is half clear has its colours multiplied by that already, and reaches the desktop so: once more it would
/// be too dark, and divided it would have a bright rim.
#[test]
fn what_is_half_clear_is_as_the_guest_has_it() {
    let mut stage = plain();
    let mut cursor = cursor(8, 8, (0, 0));
    // Half of a strong blue, a faint white, and colour that is all there.
    let [first, second, third] = [[128, 10, 0, 128], [1, 1, 1, 1], [255, 254, 3, 255]];
    cursor.pixels[..12].copy_from_slice(&[first, second, third].concat());
    stage.sink.set_cursor(Some(&cursor));
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.sees(&Shown { hotspot: (0, 0), size: (8, 8), pixels: cursor.pixels.clone() });
    stage.compositor.with(|server| {
        let (_, Some((surface, ..))) = server.seat.cursor.unwrap() else { panic!() };
        let commits = server.surfaces.surfaces[surface].commits.iter().rev();
        let mut buffers = commits.filter_map(|commit| match commit.attached {
            Attached::Buffer(buffer) => Some(&server.surfaces.buffers[buffer].pixels),
            _ => None,
        });
        let pixels = buffers.next();
        assert!(matches!(pixels, Some(Pixels::Shm { alpha: true, .. })), "{pixels:?}");
    });
    // Above the picture, too.
    stage.sink.set_pointing(Pointing::Relative);
    stage.sink.move_cursor(3, 4, true);
    stage.sees_above(Some(((3, 4), (8, 8), &cursor.pixels)));
}

#[test]
fn it_is_as_large_as_the_picture_is_by_then() {
    let mut stage = doubled();
    let cursor = cursor(10, 10, (9, 0));
    stage.sink.set_cursor(Some(&cursor));
    stage.compositor.with(|server| server.point(40.0, 10.0));
    let mut expected = Shown { hotspot: (18, 0), size: (20, 20), pixels: cursor.pixels.clone() };
    stage.sees(&expected);
    stage.compositor.with(|server| server.configure((256, 192), &[]));
    (expected.hotspot, expected.size) = ((36, 0), (40, 40));
    stage.sees(&expected);
}

/// A pixel of it is one of the screen's, as those of the picture are.
#[test]
fn it_is_sharp_at_a_fraction() {
    let mut stage = open(Script { scale: 180, ..Script::default() }, &WindowOptions::default());
    let cursor = cursor(32, 32, (4, 4));
    stage.sink.set_cursor(Some(&cursor));
    stage.compositor.with(|server| server.point(40.0, 10.0));
    // 36 device pixels, with two clear ones before the cursor and two behind.
    stage.sees(&Shown { hotspot: (4, 4), size: (24, 24), pixels: cursor.pixels.clone() });
    stage.compositor.with(|server| {
        let (_, Some((surface, ..))) = server.seat.cursor.unwrap() else { panic!() };
        let source = server.surfaces.surfaces[surface].commits.last().unwrap().source.unwrap();
        assert_eq!((source.0.fract(), source.2, source.3), (0.0, 36.0, 36.0));
    });
}

#[test]
fn a_frame_says_nothing_of_it() {
    let mut stage = doubled();
    stage.sink.set_cursor(Some(&cursor(10, 10, (0, 0))));
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.work_until("it", |server| shown(server, 4));
    let commits = |server: &mut Server| {
        let commits = server.surfaces.surfaces.iter().map(|surface| surface.commits.len());
        commits.sum::<usize>() - server.surfaces.picture().commits.len()
    };
    let before = stage.compositor.with(commits);
    for commit in 2..6 {
        stage.show(commit, &untouchable(SIZE), 0);
        stage.shown(commit as usize);
    }
    assert_eq!(stage.compositor.with(commits), before);
}

/// The compositor is told no more of them than it reads, and the last.
#[test]
fn a_guest_that_changes_it_all_the_time_fills_nothing() {
    let mut stage = plain();
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.sees_shape(4);
    stage.compositor.listen(false);
    let last = cursor(20, 20, (1, 1));
    for i in 0..2000 {
        stage.sink.set_cursor(Some(&cursor(1 + i % 64, 64, (0, 0))));
        stage.sink.move_cursor(i as i32, 0, i % 2 == 0);
    }
    stage.sink.set_cursor(Some(&last));
    stage.sink.move_cursor(0, 0, true);
    stage.sink.flush();
    stage.compositor.listen(true);
    stage.sees(&Shown { hotspot: (1, 1), size: (20, 20), pixels: last.pixels.clone() });
    stage.compositor.with(|server| assert!(server.surfaces.buffers.len() < 8));
}

#[test]
fn above_the_picture_it_ends_where_that_does() {
    let mut stage = doubled();
    stage.sink.set_pointing(Pointing::Relative);
    let cursor = cursor(8, 8, (0, 0));
    stage.sink.set_cursor(Some(&cursor));
    stage.sink.move_cursor(10, 20, true);
    // The picture is at (36, 0), and twice as large.
    stage.sees_above(Some(((56, 40), (16, 16), &cursor.pixels)));
    let bytes = |xs: std::ops::Range<usize>, ys: std::ops::Range<usize>| -> Vec<u8> {
        let rows = cursor.pixels.chunks(32).skip(ys.start).take(ys.len());
        rows.flat_map(|row| row[4 * xs.start..4 * xs.end].to_vec()).collect()
    };
    stage.sink.move_cursor(-3, -2, true);
    stage.sees_above(Some(((36, 0), (10, 12), &bytes(3..8, 2..8))));
    stage.sink.move_cursor(60, 47, true);
    stage.sees_above(Some(((156, 94), (8, 2), &bytes(0..4, 0..1))));
    for (x, y, visible) in [(64, 0, true), (0, -8, true), (i32::MIN, i32::MAX, true), (0, 0, false)]
    {
        stage.sink.move_cursor(x, y, visible);
        stage.sees_above(None);
        stage.sink.move_cursor(0, 0, true);
        stage.sees_above(Some(((36, 0), (16, 16), &cursor.pixels)));
    }
    // The desktop's stays until the pointer is locked.
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.sees_shape(4);
    stage.compositor.with(|server| server.button(0x110, true));
    stage.work_until("no pointer", |server| {
        (server.seat.locked && server.seat.cursor == Some((4, None))).then_some(())
    });
    stage.sink.set_pointing(Pointing::Absolute);
    stage.sees_above(None);
    stage.sees(&Shown { hotspot: (0, 0), size: (16, 16), pixels: cursor.pixels.clone() });
}

#[test]
fn who_only_looks_sees_where_the_guest_has_it() {
    let options = WindowOptions { view_only: true, ..WindowOptions::default() };
    let mut stage = open(Script::default(), &options);
    let cursor = cursor(8, 8, (0, 0));
    stage.sink.set_cursor(Some(&cursor));
    stage.sink.move_cursor(10, 20, true);
    stage.sees_above(Some(((10, 20), (8, 8), &cursor.pixels)));
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.sees_shape(4);
}

#[test]
fn where_the_desktop_has_no_shapes_there_is_an_arrow() {
    let without = &["wp_cursor_shape_manager_v1"];
    let script = Script { without, size: (200, 96), ..Script::default() };
    let mut stage = open(script, &WindowOptions::default());
    stage.compositor.with(|server| server.point(40.0, 10.0));
    let arrow = stage.work_until("the arrow", |server| shown(server, 4));
    assert_eq!((arrow.hotspot, arrow.size), ((0, 0), (12, 17)));
    let cursor = cursor(8, 8, (1, 1));
    stage.sink.set_cursor(Some(&cursor));
    stage.sees(&Shown { hotspot: (2, 2), size: (16, 16), pixels: cursor.pixels });
    stage.compositor.with(|server| server.point_beside(2.0, 2.0));
    stage.work_until("the arrow again", |server| {
        let told = server.seat.cursor?;
        (shown(server, told.0).as_ref() == Some(&arrow)).then_some(())
    });
}

/// Else the guest's would stay there, or none.
#[test]
fn it_ends_with_the_picture_also_where_the_frame_is_ours() {
    let without = &["wp_cursor_shape_manager_v1", "zxdg_decoration_manager_v1"];
    let script = Script { without, ..Script::default() };
    let mut stage = open(script, &WindowOptions::default());
    stage.sink.set_cursor(Some(&cursor(8, 8, (1, 1))));
    stage.sink.move_cursor(0, 0, false);
    let part = stage.work_until("a frame", |server| {
        let part = server.surfaces.frame().first()?.0.surface.clone();
        server.surfaces.surfaces.iter().position(|seen| seen.surface == part)
    });
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.work_until("nothing", |server| (server.seat.cursor == Some((4, None))).then_some(()));
    stage.compositor.with(|server| {
        server.pointer().leave(5, &server.surfaces.main().surface);
        server.point_elsewhere(part, 5.0, 5.0);
    });
    let arrow = stage.work_until("the arrow", |server| shown(server, 6));
    assert_eq!(arrow.size, (12, 17));
}

/// It would be seen outside of the window, over what others show.
#[test]
fn f05_51_a_hostile_cursor_covers_no_desktop_and_ends_nothing() {
    let mut stage = plain();
    stage.compositor.with(|server| server.point(40.0, 10.0));
    let pixels = vec![255; 4 * 512 * 512];
    let huge = Cursor { size: size(512, 300), hotspot: (i32::MIN, i32::MAX), pixels };
    stage.sink.set_cursor(Some(&huge));
    stage.work_until("it, smaller", |server| {
        // Half a pixel below its hotspot is shown, too.
        shown(server, 4).filter(|shown| shown.hotspot == (0, 150) && shown.size == (256, 151))
    });
    for (width, height, bytes) in
        [(0, 0, 0), (0, 9, 99), (u32::MAX, u32::MAX, 99), (513, 1, 9999), (8, 8, 255)]
    {
        let pixels = vec![255; bytes];
        let cursor = Cursor { size: size(width, height), hotspot: (0, 0), pixels };
        stage.sink.set_cursor(Some(&cursor));
        stage.sees_shape(4);
        stage.sink.set_cursor(Some(&huge));
        stage.work_until("it, smaller", |server| shown(server, 4));
    }
}

#[test]
fn where_nothing_can_be_scaled_it_is_as_it_is() {
    let without = &["wp_viewporter"];
    let mut stage = Stage::try_open(
        Script { without, ..Script::default() },
        &WindowOptions::default(),
        NO_UDMABUF,
    )
    .unwrap();
    let (guest, _, _file) = readable(SIZE);
    stage.copy(0, &guest, &Damage::Whole);
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    stage.shown(1);
    stage.compositor.with(|server| server.point(40.0, 10.0));
    stage.sink.set_cursor(Some(&cursor(8, 8, (3, 3))));
    stage.work_until("it", |server| {
        let (_, Some((surface, 3, 3))) = server.seat.cursor? else { return None };
        let commit = server.surfaces.surfaces[surface].commits.last()?;
        (commit.destination.is_none() && commit.damage == [(0, 0, 8, 8)]).then_some(())
    });
    // The window would grow by what sticks out.
    stage.sink.set_pointing(Pointing::Relative);
    let above = |server: &mut Server| {
        let last = server.surfaces.above()?.commits.last().cloned()?;
        Some((last.position, last.attached != Attached::Null))
    };
    for (at, seen) in [((10, 20), true), ((60, 20), false), ((56, 40), true)] {
        stage.sink.move_cursor(at.0, at.1, true);
        stage.work_until("what can be seen of it", |server| {
            above(server).filter(|(place, shown)| *shown == seen && (!seen || *place == at))
        });
    }
}
