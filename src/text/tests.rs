//! Panels, laid out and painted with a font of boxes: every character is 0.6 of its size wide.

#[path = "../../tests/support/box_font.rs"]
#[allow(unreachable_pub)]
mod box_font;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::font::by_name;
use super::layout::{Kind, Piece};
use super::*;
use crate::frame::Size;

const ROOM: Size = Size { width: 2000, height: 2000 };

/// What opens a file needs its name only while it does.
fn painter() -> Painter {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap());
    Painter::new(|| {
        let path = FOLDER.with(|folder| folder.path().join("boxes.ttf"));
        fs::write(&path, box_font::bytes()).unwrap();
        Some(path)
    })
    .unwrap()
}

fn row(label: &str, values: &[&str]) -> Line {
    Line::Row(label.to_owned(), values.iter().map(|&value| value.to_owned()).collect())
}

fn panel(lines: Vec<Line>) -> Panel {
    Panel { note: String::new(), lines }
}

fn width(piece: &Piece) -> f32 {
    piece.text.layout_runs().map(|run| run.line_w).fold(0.0, f32::max)
}

fn pixels(painter: &mut Painter, page: &Page) -> Vec<[u8; 4]> {
    let Size { width, height } = page.size();
    let mut out = vec![[0xaa; 4]; (width * height) as usize];
    painter.paint(page, out.as_flattened_mut(), width as usize * 4);
    out
}

/// Without it a column of figures would be hard to read.
#[test]
fn values_begin_below_each_other_and_figures_in_columns_end_so() {
    let lines = vec![
        row("Mode", &["direct"]),
        Line::Columns("Latency".to_owned(), vec!["p50".to_owned(), "p99".to_owned()]),
        row("Commit to screen", &["0.3 ms", "12.25 ms"]),
    ];
    let page = painter().lay_out(&panel(lines), 1.0, ROOM);
    let [_, mode, _, p50, p99, _, half, most] = &page.pieces[..] else { panic!("{page:?}") };
    let ends = |piece: &Piece| (piece.x + width(piece)).round();
    assert_eq!(ends(p50), ends(half));
    assert_eq!(ends(p99), ends(most));
    assert_eq!(mode.x, half.x);
    assert!(page.pieces.iter().all(|piece| ends(piece) < page.size().width as f32));
    assert_eq!(page.pieces.iter().filter(|piece| piece.kind == Kind::Label).count(), 5);
}

/// A small window gets a small panel, and no panel hangs out of it.
#[test]
fn a_panel_keeps_to_its_room() {
    let text = "The virtual machine was shut down or killed while nobody was looking at it.";
    let lines = vec![
        Line::Heading("Reconnecting".to_owned()),
        Line::Text(text.to_owned()),
        row("Backend", &[text]),
        row("Latency", &[text, text, text]),
    ];
    let panel = panel(lines);
    let mut painter = painter();
    let whole = painter.lay_out(&panel, 1.0, ROOM);
    assert!(whole.needs().is_some());
    let needs = whole.needs().unwrap();
    assert_eq!(painter.lay_out(&panel, 1.0, needs).size(), whole.size());
    for edge in [0, 1, 20, 60, 150, 300] {
        let room = Size { width: edge, height: edge / 2 };
        let page = painter.lay_out(&panel, 1.0, room);
        let size = page.size();
        assert!(size.width <= room.width.max(1) && size.height <= room.height.max(1), "{size:?}");
        assert!(page.needs().is_none());
        pixels(&mut painter, &page);
    }
}

#[test]
fn at_twice_the_scale_it_is_twice_as_large() {
    let panel = panel(vec![Line::Heading("Off".to_owned()), row("Mode", &["copy"])]);
    let mut painter = painter();
    let [once, twice] = [1.0, 2.0].map(|scale| painter.lay_out(&panel, scale, ROOM).size());
    assert!(twice.width.abs_diff(2 * once.width) <= 2, "{once:?} {twice:?}");
    assert!(twice.height.abs_diff(2 * once.height) <= 2, "{once:?} {twice:?}");
}

/// What a guest or a peer calls itself can be of any length, and be anything.
#[test]
fn what_is_said_is_bounded() {
    let long = "\u{7}a\nb\u{202e}c ".repeat(1 << 20);
    let page = painter().lay_out(&panel(vec![Line::Text(long)]), 1.0, ROOM);
    assert!(page.size().height < 1000, "{page:?}");
}

#[test]
fn a_panel_is_dark_and_round_and_its_text_is_light() {
    let mut painter = painter();
    let page = painter.lay_out(&panel(vec![row("Mode", &["copy"])]), 2.0, ROOM);
    let Size { width, height } = page.size();
    let pixels = pixels(&mut painter, &page);
    for corner in [0, width - 1, (height - 1) * width, height * width - 1] {
        assert_eq!(pixels[corner as usize], [0; 4], "{corner}");
    }
    // Between the edge and the text.
    let [blue, green, red, alpha] = pixels[(height / 2 * width + 10) as usize];
    assert!(alpha > 200 && alpha < 255 && blue.max(green).max(red) < 40);
    let light = pixels.iter().filter(|pixel| pixel[..3].iter().all(|&c| c > 200));
    // Four letters of 15.6 pixels by 18.2, less what lies between them.
    assert!((600..1200).contains(&light.count()));
    // Premultiplied: no colour is more than its alpha.
    assert!(pixels.iter().all(|[blue, green, red, alpha]| blue.max(green).max(red) <= alpha));
}

/// Paints as much as there is room for, and nothing beside it.
#[test]
fn too_little_memory_is_no_fault() {
    let mut painter = painter();
    let page = painter.lay_out(&panel(vec![row("Mode", &["copy"])]), 1.0, ROOM);
    let stride = page.size().width as usize * 4;
    for bytes in [0, 1, 3, 4, stride, 3 * stride + 7] {
        painter.paint(&page, &mut vec![0; bytes], stride);
    }
}

#[test]
fn the_most_readable_of_the_installed_fonts_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let find = || by_name(vec![root.to_owned(), "/nowhere".into()]);
    assert_eq!(find(), None);
    for path in ["a/Emoji.ttf", "a/FreeSans.otf", "b/deep/DejaVuSans.ttf", "b/NotoSans-Regular.pcf"]
    {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    // Round in a circle.
    symlink(root, root.join("a/again")).unwrap();
    assert_eq!(find(), Some(root.join("b/deep/DejaVuSans.ttf")));
}

#[test]
fn without_a_font_there_is_a_sentence() {
    let none = Painter::new(|| None).unwrap_err().to_string();
    assert!(none.contains("no font was found") && none.contains("install one"), "{none}");
    let bad = || Some(PathBuf::from("/proc/self/exe"));
    let bad = Painter::new(bad).unwrap_err().to_string();
    assert!(bad.contains("/proc/self/exe can't be read"), "{bad}");
}
