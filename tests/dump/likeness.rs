//! What the screen should look like, in all of it or in a part, and masks that are for it or for another.

use std::fs::File;

use fanlight::capture::{Picture, PictureFormat, read_picture};
use fanlight::frame::Size;

use crate::folder::Folder;
use crate::{DEMO, SIZE};

fn save(folder: &Folder, name: &str, size: Size, grey: u8) {
    let bytes = size.width as usize * size.height as usize * Picture::PIXEL;
    let picture = Picture { size, pixels: vec![grey; bytes] };
    PictureFormat::Png.write(&picture, File::create(folder.path(name)).unwrap()).unwrap();
}

const PART: Size = Size { width: 64, height: 32 };
const SMALL: Size = Size { width: 9, height: 7 };

#[test]
fn a_mask_of_another_size_is_said() {
    let folder = Folder::new();
    save(&folder, "wanted.png", SIZE, 0);
    save(&folder, "small.png", SMALL, 0);
    let made = "the mask is 9x7, but the picture 128x96: make one of the picture's size";
    for args in [
        "--expect wanted.png",
        "--wait match:wanted.png",
        "--wait region:0,0,64,32:match:wanted.png",
        "--every change -n 2 --hash",
        "--every change -n all -o f-%d.png",
    ] {
        // What has nothing to do with the guest is found before it is looked for.
        let uri = if args.contains("--every") { DEMO } else { "qemu+unix:/nowhere/bus" };
        let (out, said) = folder.ends(&format!("{uri} {args} --mask small.png"), 2);
        assert!(said.contains(made) && out.is_empty(), "{args}: {said}");
    }
    // How large the screen is by then only the guest knows.
    for (wait, wish) in [("change", "change"), ("stable:1ms", "still for 0.001 s")] {
        let args = format!("{DEMO} --wait {wait} --mask small.png --timeout 300ms --hash");
        let (_, said) = folder.ends(&args, 3);
        let made = "the mask is 9x7, but the screen 128x96: make one of the screen's size";
        assert!(said.contains(wish) && said.contains(made), "{said}");
    }
    assert_eq!(folder.files(), ["small.png", "wanted.png"]);
}

#[test]
fn a_part_of_the_screen_is_as_expected_or_not() {
    let folder = Folder::new();
    save(&folder, "part.png", PART, 0);
    save(&folder, "covers-part.png", PART, 0);
    save(&folder, "covers-all.png", SIZE, 0);
    save(&folder, "small.png", SMALL, 0);
    let args = format!("{DEMO} --crop 32,16,64,32 --expect part.png");
    let (_, said) = folder.ends(&args, 4);
    let words = "the guest's screen is not like part.png: ";
    assert!(said.contains(words) && said.contains("(marked in part-diff.png)"), "{said}");
    let marked = read_picture(&folder.path("part-diff.png")).unwrap();
    assert_eq!(marked.size, Size { width: 3 * 64 + 16, height: 32 });
    // A mask may be of the part, or of all of the screen, whose part is meant.
    folder.ends(&format!("{args} --tolerance 255"), 0);
    folder.ends(&format!("{args} --mask covers-part.png"), 0);
    folder.ends(&format!("{args} --mask covers-all.png"), 0);
    let (_, said) = folder.ends(&format!("{args} --mask small.png"), 2);
    assert!(said.contains("the mask is 9x7, but the picture 64x32"), "{said}");
    // And so it is where what lies there should change: nothing does under either.
    for mask in ["covers-part.png", "covers-all.png"] {
        let change = "--crop 32,16,64,32 --every change -n 2 --hash --timeout 300ms";
        let (hashes, said) = folder.ends(&format!("{DEMO} {change} --mask {mask}"), 3);
        assert_eq!(hashes.lines().count(), 1, "{said}");
        assert!(said.contains("the screen did not change in 64x32 at 32,16"), "{said}");
    }
}
