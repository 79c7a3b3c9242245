//! What the viewer itself says in its window: text above the picture. It is written with a font of boxes, so that
//! none has to be installed.

#[path = "../support/box_font.rs"]
mod box_font;

use std::path::PathBuf;
use std::sync::OnceLock;

use super::*;
use crate::compositor::Server;
use crate::compositor::surfaces::{BufferSeen, Pixels};
use fanlight::text::{FindFont, Line, Panel};

const GUEST: Size = Size { width: 640, height: 480 };
const NO_FONT: FindFont = || None;

/// A file as long as the process lives, and no longer.
pub(super) const BOXES: FindFont = || {
    static FILE: OnceLock<OwnedFd> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let bytes = box_font::bytes();
        let memory = own_memfd("boxes", bytes.len() as u64).unwrap();
        assert_eq!(rustix::io::pwrite(&memory, &bytes, 0), Ok(bytes.len()));
        memory
    });
    Some(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))
};

fn open(script: Script, find_font: FindFont) -> Stage {
    let means = Means {
        make_udmabuf: NO_UDMABUF,
        open_timelines: stand_ins,
        open_blitter: NO_BLITTER,
        find_font,
        ..Means::default()
    };
    Stage::with_means(script, &WindowOptions::default(), means).unwrap()
}

fn panel(value: &str) -> Option<Panel> {
    let line = Line::Row("Mode".to_owned(), vec![value.to_owned()]);
    Some(Panel { note: "in short".to_owned(), lines: vec![line] })
}

/// A surface above the picture: where it is, how large, and in how many pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Above {
    position: (i32, i32),
    size: (i32, i32),
    pixels: (i32, i32),
    commits: usize,
}

fn above(server: &Server) -> Vec<Above> {
    let above = server.surfaces.panels().into_iter().map(|(surface, buffer)| {
        let last = surface.commits.last().unwrap();
        let (position, size) = (surface.position, last.destination.unwrap_or(buffer.size));
        Above { position, size, pixels: buffer.size, commits: surface.commits.len() }
    });
    above.collect()
}

impl Stage {
    /// All above the picture, once there are so many.
    fn above(&mut self, count: usize) -> Vec<Above> {
        self.sink.flush();
        self.compositor.wait("what is above the picture", |server| {
            Some(above(server)).filter(|above| above.len() == count)
        })
    }

    /// Some text's pixels.
    fn text(&self) -> Vec<u8> {
        let text = |buffer: &BufferSeen| matches!(buffer.pixels, Pixels::Shm { alpha: true, .. });
        self.compositor.with(|server| {
            let above = server.surfaces.panels();
            above.iter().find(|(_, buffer)| text(buffer)).unwrap().1.rows().concat()
        })
    }

    fn commits(&mut self) -> Vec<usize> {
        self.compositor.with(|server| {
            server.surfaces.surfaces.iter().map(|surface| surface.commits.len()).collect()
        })
    }

    fn title(&self, title: &str) {
        self.compositor.wait("the title", |server| (server.surfaces.title == title).then_some(()));
    }
}

/// Nothing of it is drawn or sent unless its text is another, whatever the guest does.
#[test]
fn a_panel_is_drawn_when_its_text_changes_and_never_else() {
    let mut stage = open(Script::default(), BOXES);
    let guest = untouchable(GUEST);
    stage.show(1, &guest, 0);
    stage.sink.set_hud(panel("copy"));
    let [hud] = stage.above(1)[..] else { unreachable!() };
    assert_eq!((hud.position, hud.size, hud.commits), ((12, 12), hud.pixels, 1));
    let copy = stage.text();
    let light = copy.chunks(4).filter(|pixel| pixel.iter().all(|&c| c > 200)).count();
    assert!(light > 100, "{light} light pixels");

    let before = stage.commits();
    stage.sink.set_hud(panel("copy"));
    for commit in 2..12 {
        stage.sink.show(CommitId(commit), import(&guest, 0), &guest, &Damage::Whole);
        stage.sink.flush();
        stage.nothing_but_frame(commit as usize, commit);
    }
    let after = stage.commits();
    let more: Vec<_> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(more, [0, 10, 0], "the window, its picture, the panel");

    stage.sink.set_hud(panel("direct"));
    stage.sink.flush();
    let redrawn = |server: &mut Server| (above(server)[0].commits == 2).then_some(());
    stage.compositor.wait("another text", redrawn);
    assert_ne!(stage.text(), copy);
    stage.sink.set_hud(None);
    stage.above(0);
    // All that was made for it is gone.
    let gone = |server: &mut Server| {
        let left = |buffer: &&BufferSeen| matches!(buffer.pixels, Pixels::Shm { alpha: true, .. });
        server.surfaces.buffers.iter().filter(left).all(|buffer| buffer.destroyed).then_some(())
    };
    stage.compositor.wait("its buffers' end", gone);
}

/// The guest's memory is neither read nor covered for good: this guest's can't even be touched.
#[test]
fn a_status_dims_the_picture_and_goes_without_a_trace() {
    let mut stage = open(Script::default(), BOXES);
    stage.show(1, &untouchable(GUEST), 0);
    stage.sink.set_status(panel("gone"));
    let [dim, status] = stage.above(2)[..] else { unreachable!() };
    assert_eq!((dim.position, dim.size, dim.pixels), ((0, 0), (640, 480), (1, 1)));
    let middle =
        |above: Above| (2 * above.position.0 + above.size.0, 2 * above.position.1 + above.size.1);
    let off = (middle(status).0 - 640, middle(status).1 - 480);
    assert!(off.0.abs() <= 1 && off.1.abs() <= 1, "{status:?}");
    stage.compositor.with(|server| {
        let [(_, dim), _] = server.surfaces.panels()[..] else { unreachable!() };
        assert!(
            matches!(dim.pixels, Pixels::Single([0, 0, 0, a]) if a > u32::MAX / 3 && a < u32::MAX)
        );
    });
    stage.title("fanlight (in short)");
    // It stays in the middle.
    stage.compositor.with(|server| server.configure((900, 700), &[]));
    stage.settle();
    let moved = stage.compositor.wait("the larger window", |server| {
        let [dim, status] = above(server)[..] else { unreachable!() };
        (dim.size == (900, 700) && status.position.1 > 300).then_some(status)
    });
    assert_eq!(moved.pixels, status.pixels);
    assert!((middle(moved).0 - 900).abs() <= 1 && (middle(moved).1 - 700).abs() <= 1, "{moved:?}");
    stage.sink.set_status(None);
    stage.above(0);
    stage.title("fanlight");
}

/// As the picture is: else it would be blurred.
#[test]
fn text_has_a_pixel_for_each_of_the_screen() {
    for scale in [120, 150, 160, 180, 200, 210, 240, 360] {
        let mut stage = open(Script { scale, ..Script::default() }, BOXES);
        stage.show(1, &untouchable(GUEST), 0);
        stage.sink.set_hud(panel("copy"));
        stage.sink.set_status(panel("gone"));
        for above in stage.above(3).iter().filter(|above| above.pixels != (1, 1)) {
            let device = |logical: i32| (f64::from(logical * scale as i32) / 120.0).round() as i32;
            let covers = |start: i32, length: i32| device(start + length) - device(start);
            let (x, y) = above.position;
            let (width, height) = above.size;
            assert_eq!((covers(x, width), covers(y, height)), above.pixels, "{scale}: {above:?}");
        }
    }
}

/// Without it a guest that has never shown anything would have no window, and its user no word.
#[test]
fn a_status_opens_the_window() {
    let mut stage = open(Script::default(), BOXES);
    stage.sink.set_status(panel("off"));
    let [dim, _] = stage.above(2)[..] else { unreachable!() };
    let shown = |server: &mut Server| {
        let commits = &server.surfaces.main().commits;
        commits.iter().any(|commit| commit.attached != Attached::Same).then_some(())
    };
    stage.compositor.wait("the window", shown);
    assert_eq!(dim.size, (640, 480));
}

#[test]
fn a_panel_never_hangs_out_of_its_window() {
    let mut stage = open(Script { size: (100, 50), ..Script::default() }, BOXES);
    stage.show(1, &untouchable(GUEST), 0);
    stage.sink.set_hud(panel("a value that is far too long for it"));
    stage.sink.set_status(panel("another that is far too long for it"));
    for Above { position, size, .. } in stage.above(3) {
        assert!(position.0 + size.0 <= 100 && position.1 + size.1 <= 50, "{position:?} {size:?}");
    }
}

/// The title says it in short.
#[test]
fn without_a_font_the_title_says_it() {
    let mut stage = open(Script::default(), NO_FONT);
    stage.show(1, &untouchable(GUEST), 0);
    stage.sink.set_hud(panel("copy"));
    stage.sink.flush();
    stage.title("fanlight (in short)");
    assert!(stage.above(0).is_empty());
    stage.sink.set_status(panel("gone"));
    // Dark all the same.
    assert_eq!(stage.above(1)[0].size, (640, 480));
    stage.sink.set_status(None);
    stage.sink.set_hud(None);
    stage.above(0);
    stage.title("fanlight");
}

/// Compositors without these are few; nothing is dimmed where nothing can be scaled.
#[test]
fn a_panel_needs_no_viewporter_and_a_dimmed_picture_no_single_pixels() {
    for (without, count) in
        [(&["wp_viewporter"][..], 1), (&["wp_single_pixel_buffer_manager_v1"], 2)]
    {
        let mut stage = open(Script { without, ..Script::default() }, BOXES);
        let (guest, ..) = readable(GUEST);
        stage.copy(0, &guest, &Damage::Whole);
        stage.show_copy(1, 0, &guest, &Damage::Whole);
        stage.sink.set_status(panel("gone"));
        let above = stage.above(count);
        assert_eq!(above.last().unwrap().size, above.last().unwrap().pixels);
    }
}
