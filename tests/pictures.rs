//! Pictures in files, as the program writes, reads and compares them.

#[path = "support/folder.rs"]
mod folder;

use std::fs;
use std::path::Path;
use std::process::Output;

use fanlight::capture::{Picture, PictureFormat, read_picture};
use fanlight::demo::oracle;
use fanlight::frame::Size;
use folder::Folder;

const SIZE: Size = Size { width: 320, height: 240 };
const DEMO: &str = "demo:?size=320x240";

impl Folder {
    /// A picture in which all is grey but for this pixel, of another grey.
    fn save(&self, name: &str, (x, y): (u32, u32), grey: u8) {
        let mut pixels = vec![100; (SIZE.width * SIZE.height * 4) as usize];
        pixels[((y * SIZE.width + x) * 4) as usize..][..3].fill(grey);
        self.write(name, &Picture { size: SIZE, pixels });
    }

    fn write(&self, name: &str, frame: &Picture) {
        let path = self.path(name);
        let format = PictureFormat::of(&path).unwrap();
        format.write(frame, fs::File::create(path).unwrap()).unwrap();
    }

    fn run(&self, args: &str) -> Output {
        self.fanlight().args(args.split_whitespace()).output().expect("the program starts")
    }

    /// Asserts the exit code; returns what is said, in one sentence.
    fn ends(&self, args: &str, code: i32) -> String {
        let output = self.run(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        assert_eq!(said.lines().count(), usize::from(code != 0), "{args}: {said}");
        said.trim_end().to_owned()
    }
}

/// The number of the demo's frame that it is, whole.
fn whole(path: &Path) -> u32 {
    let frame = read_picture(path).unwrap();
    assert_eq!(frame.size, SIZE);
    let blue = |x, y| frame.pixels[((y * SIZE.width + x) * 4) as usize];
    oracle::read(SIZE, blue).unwrap_or_else(|mixed| panic!("{mixed}")).frame
}

#[test]
fn a_dump_is_what_its_name_says() {
    let folder = Folder::new();
    for format in PictureFormat::ALL {
        folder.ends(&format!("dump {DEMO} -o screen.{format}"), 0);
        whole(&folder.path(&format!("screen.{format}")));
    }
    folder.ends(&format!("dump {DEMO} --format qoi -o screen"), 0);
    assert!(fs::read(folder.path("screen")).unwrap().starts_with(b"qoif"));
    let output = folder.run(&format!("dump {DEMO} --format ppm -o -"));
    assert!(output.stdout.starts_with(b"P6\n320 240 255\n"), "{:?}", output.status);
    let said = folder.ends(&format!("dump {DEMO} -o screen.jpg"), 2);
    assert!(said.contains(".jpg") && said.contains(".png, .qoi, .ppm, .webp"), "{said}");
}

#[test]
fn the_same_is_the_same_in_any_format() {
    let folder = Folder::new();
    for format in PictureFormat::ALL {
        folder.save(&format!("a.{format}"), (0, 0), 100);
    }
    for format in PictureFormat::ALL {
        folder.ends(&format!("diff a.png a.{format}"), 0);
    }
}

#[test]
fn differences_are_said_and_shown() {
    let folder = Folder::new();
    folder.save("wanted.png", (0, 0), 100);
    folder.save("got.qoi", (7, 9), 90);
    let said = folder.ends("diff wanted.png got.qoi", 4);
    let words = "fanlight: got.qoi is not like wanted.png: 1 pixel differs, by up to 10 of 255, in 1x1 at 7,9";
    assert_eq!(said, words);
    folder.ends("diff wanted.png got.qoi --tolerance 9", 4);
    folder.ends("diff wanted.png got.qoi --tolerance 10 -o marked.png", 0);
    assert_eq!(folder.files(), ["got.qoi", "wanted.png"]);
    let said = folder.ends("diff wanted.png got.qoi -o marked.png", 4);
    assert_eq!(said, format!("{words} (marked in marked.png)"));
    let marked = read_picture(&folder.path("marked.png")).unwrap();
    assert_eq!(marked.size, Size { width: 3 * SIZE.width + 16, height: SIZE.height });
}

#[test]
fn a_mask_covers_what_may_look_like_anything() {
    let folder = Folder::new();
    folder.save("wanted.png", (0, 0), 100);
    folder.save("got.png", (7, 9), 0);
    folder.save("there.png", (7, 9), 0);
    folder.save("elsewhere.png", (8, 9), 0);
    folder.ends("diff wanted.png got.png --mask there.png", 0);
    folder.ends("diff wanted.png got.png --mask elsewhere.png", 4);
    folder.write("small.png", &Picture { size: Size { width: 1, height: 1 }, pixels: vec![0; 4] });
    let said = folder.ends("diff wanted.png got.png --mask small.png", 2);
    assert!(said.contains("the mask is 1x1, but the picture 320x240"), "{said}");
    let said = folder.ends("diff wanted.png small.png", 4);
    assert!(said.ends_with("it is 1x1, not 320x240"), "{said}");
}

#[test]
fn what_is_no_picture_is_said() {
    let folder = Folder::new();
    folder.save("a.png", (0, 0), 0);
    let whole = fs::read(folder.path("a.png")).unwrap();
    fs::write(folder.path("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path("text.png"), "a text").unwrap();
    for args in ["diff a.png cut.png", "diff text.png a.png", "diff a.png a.png --mask cut.png"] {
        let said = folder.ends(args, 1);
        assert!(said.contains("is no picture that can be read"), "{args}: {said}");
    }
    let said = folder.ends("diff a.png missing.png", 1);
    assert!(said.contains("can't read missing.png: No such file"), "{said}");
    let said = folder.ends(&format!("dump {DEMO} --expect cut.png"), 1);
    assert!(said.contains("cut.png is no picture"), "{said}");
    folder.save("b.png", (9, 9), 9);
    // They differ all the same.
    let said = folder.ends("diff a.png b.png -o nowhere/marked.png", 4);
    let words = "2 pixels differ, by up to 100 of 255, in 10x10 at 0,0; can't write nowhere/marked.png: No such file";
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_screen_is_as_expected_or_the_program_says_where_not() {
    let folder = Folder::new();
    folder.save("wanted.png", (0, 0), 100);
    let black = Picture { size: SIZE, pixels: vec![0; (SIZE.width * SIZE.height * 4) as usize] };
    folder.write("all.png", &black);
    folder.ends(&format!("dump {DEMO} --expect wanted.png --mask all.png"), 0);
    assert_eq!(folder.files(), ["all.png", "wanted.png"]);
    let said = folder.ends(&format!("dump {DEMO} --expect wanted.png"), 4);
    assert!(said.contains("the guest's screen is not like wanted.png: "), "{said}");
    assert!(said.ends_with("(marked in wanted-diff.png)"), "{said}");
    // It is the last of them that counts, and all of them are written.
    let said = folder.ends(&format!("dump {DEMO} -n 2 -o f-%d.qoi --expect wanted.png"), 4);
    assert!(said.ends_with("(marked in f-diff.png)"), "{said}");
    let number = |name| whole(&folder.path(name));
    assert!(number("f-1.qoi") < number("f-2.qoi"));
    let files = ["all.png", "f-1.qoi", "f-2.qoi", "f-diff.png", "wanted-diff.png", "wanted.png"];
    assert_eq!(folder.files(), files);
}
