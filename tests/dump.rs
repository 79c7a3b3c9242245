//! `fanlight dump`, as the program does it: what it waits for, what it writes, and what it says.

#[path = "support/folder.rs"]
mod folder;
#[path = "dump/likeness.rs"]
mod likeness;
#[path = "support/terminal.rs"]
mod terminal;
#[path = "dump/writing.rs"]
mod writing;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use fanlight::capture::{Picture, PictureFormat, hash, read_picture};
use fanlight::demo::oracle;
use fanlight::frame::Size;
use folder::Folder;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const SIZE: Size = Size { width: 128, height: 96 };
const BYTES: usize = 128 * 96 * 4;
/// Still but for what it draws.
const DEMO: &str = "demo:?size=128x96";

impl Folder {
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = self.fanlight();
        command.arg("dump").args(args.split_whitespace());
        command
    }

    /// Asserts the exit code; returns what went to the standard output, and what was said.
    pub(crate) fn ends(&self, args: &str, code: i32) -> (String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{args}: {said}");
        assert_eq!(said.lines().count(), usize::from(code != 0), "{args}: {said}");
        (String::from_utf8(stdout).unwrap(), said)
    }

    fn start(&self, args: &str) -> Running {
        let mut command = self.command(args);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn manifest(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Ended with the test.
struct Running(Child);

impl Running {
    /// Asks it to end; returns its exit code and what it said.
    fn interrupt(mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        let status = self.0.wait().unwrap();
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number of the demo's frame that it is, whole.
fn whole(pixels: &[u8]) -> u32 {
    let blue = |x, y| pixels[((y * SIZE.width + x) * 4) as usize];
    oracle::read(SIZE, blue).unwrap_or_else(|mixed| panic!("{mixed}")).frame
}

fn of_file(path: &Path) -> u32 {
    whole(&read_picture(path).unwrap().pixels)
}

#[test]
fn every_frame_is_taken_once_whole_and_described() {
    let folder = Folder::new();
    let args = format!("{DEMO}&fps=240 -n 300 --format raw -o - --manifest m.jsonl");
    let output = folder.command(&args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let frames: Vec<_> = output.stdout.chunks(BYTES).collect();
    let lines = folder.manifest("m.jsonl");
    assert_eq!((frames.len(), lines.len()), (300, 300));
    let first = whole(frames[0]);
    for (i, (pixels, line)) in (0..).zip(frames.iter().zip(&lines)) {
        assert_eq!(whole(pixels), first + i, "none is left out");
        let picture = Picture { size: SIZE, pixels: pixels.to_vec() };
        assert_eq!(line["sha256"], hash(&picture).to_string(), "{line}");
        assert_eq!(line["frame"], u64::from(i) + 1, "{line}");
    }
}

/// `data/manifest.schema.json` is what programs that read manifests are written by.
#[test]
fn a_manifest_is_as_its_schema_says() {
    let folder = Folder::new();
    folder.ends(&format!("{DEMO}&mode=inplace -n 4 --manifest m.jsonl -o f-%d.png"), 0);
    folder.ends(&format!("{DEMO} --hash --manifest bare.jsonl"), 0);
    folder.ends(&format!("{DEMO} --crop 8,16,32,1000 --manifest part.jsonl"), 0);
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/manifest.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
    let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
    compiler.enable_format_assertions();
    compiler.add_resource("manifest.schema.json", schema).unwrap();
    let schema = compiler.compile("manifest.schema.json", &mut schemas).unwrap();
    let is_valid = |line: &Value| schemas.validate(line, schema).is_ok();
    let mut lines = folder.manifest("m.jsonl");
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["file"], format!("f-{}.png", i + 1));
        assert!(folder.path(line["file"].as_str().unwrap()).exists());
    }
    lines.extend(folder.manifest("bare.jsonl"));
    lines.extend(folder.manifest("part.jsonl"));
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5]["size"], serde_json::json!([32, 80]));
    for line in &lines {
        assert!(is_valid(line), "{line}: {}", schemas.validate(line, schema).unwrap_err());
    }
    // It would see it.
    for (name, wrong) in [("size", Value::from("large")), ("more", 1.into()), ("damage", 7.into())]
    {
        let mut line = lines[0].clone();
        line[name] = wrong;
        assert!(!is_valid(&line), "{line}");
    }
    let mut line = lines[0].clone();
    line.as_object_mut().unwrap().remove("serial");
    assert!(!is_valid(&line), "{line}");
}

#[test]
fn a_hash_is_that_of_the_file() {
    let folder = Folder::new();
    folder.ends(&format!("{DEMO} -o a.ppm --manifest m.jsonl"), 0);
    let known = folder.manifest("m.jsonl")[0]["sha256"].clone();
    let picture = read_picture(&folder.path("a.ppm")).unwrap();
    assert_eq!(known, hash(&picture).to_string());
    let (hashes, _) = folder.ends(&format!("{DEMO} --hash -n 3"), 0);
    let hashes: BTreeSet<_> = hashes.lines().collect();
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| hash.len() == 64), "{hashes:?}");
}

#[test]
fn a_picture_is_waited_for_in_the_screen_or_in_a_part_of_it() {
    let folder = Folder::new();
    let black = Picture::black(SIZE);
    let save = |name: &str, picture: &Picture| {
        let file = File::create(folder.path(name)).unwrap();
        PictureFormat::Png.write(picture, file).unwrap();
    };
    save("black.png", &black);
    folder.ends(&format!("{DEMO} --wait change --wait change -o a.png"), 0);
    folder.ends(&format!("{DEMO} --wait match:black.png:255 -o b.png"), 0);
    let (_, said) =
        folder.ends(&format!("{DEMO} --wait match:black.png --timeout 300ms -o c.png"), 3);
    let words = "fanlight: the screen did not look like black.png within 0.3 s: ";
    assert!(said.starts_with(words) && said.contains("pixels differ"), "{said}");
    let (_, said) = folder
        .ends(&format!("{DEMO} --wait region:0,0,64,64:match:black.png --timeout 0.2 -o c.png"), 3);
    assert!(said.contains("did not look like black.png in 64x64 at 0,0 within 0.2 s"), "{said}");
    // What is black in the mask may look like anything, and it is all black.
    folder.ends(&format!("{DEMO} --wait match:a.png --mask black.png -o d.png"), 0);
    let (_, said) =
        folder.ends(&format!("{DEMO} --wait change --mask black.png --timeout 200ms -o e.png"), 3);
    assert!(said.contains("the screen did not change within 0.2 s"), "{said}");
    assert_eq!(folder.files(), ["a.png", "b.png", "black.png", "d.png"]);
    for (wait, words) in [
        ("still", "nothing is known of \"still\""),
        ("stable:soon", "\"soon\" is no time"),
        ("region:1,2:change", "no part of a screen"),
    ] {
        let (_, said) = folder.ends(&format!("{DEMO} --wait {wait} -o f.png"), 2);
        assert!(said.contains(words), "{said}");
    }
    let (_, said) = folder.ends(&format!("{DEMO} --wait match:none.png -o f.png"), 1);
    assert!(said.contains("can't read none.png"), "{said}");
}

#[test]
fn a_part_is_written_and_one_that_is_not_on_the_screen_is_said() {
    let folder = Folder::new();
    folder.ends(&format!("{DEMO} --crop 32,8,64,1000 -o part.png"), 0);
    assert_eq!(
        read_picture(&folder.path("part.png")).unwrap().size,
        Size { width: 64, height: 88 }
    );
    let (_, said) = folder.ends(&format!("{DEMO} --crop 128,0,1,1 -o none.png"), 1);
    assert!(said.contains("nothing of 1x1 at 128,0 is on the screen, which is 128x96"), "{said}");
    assert_eq!(folder.files(), ["part.png"]);
}

#[test]
fn a_cursor_is_in_the_picture_where_that_is_wanted() {
    let folder = Folder::new();
    let uri = "demo:?size=128x96&mode=cursor";
    // The demo's cursor comes after a quarter of a second, and lies over some of what says which frame it is.
    folder.ends(&format!("{uri} -n 8 --every 100ms -o without-%d.png"), 0);
    assert!((1..=8).all(|i| of_file(&folder.path(&format!("without-{i}.png"))) > 0));
    folder.ends(&format!("{uri} -n 8 --every 100ms --cursor -o with-%d.png"), 0);
    let blue = |picture: &Picture, x: u32, y: u32| picture.pixel(x, y).unwrap()[0];
    let covered = (1..=8).any(|i| {
        let picture = read_picture(&folder.path(&format!("with-{i}.png"))).unwrap();
        oracle::read(SIZE, |x, y| blue(&picture, x, y)).is_err()
    });
    assert!(covered, "no cursor lies over any picture");
}

#[test]
fn a_video_has_its_pace_and_ends_whole() {
    let folder = Folder::new();
    folder.ends(&format!("{DEMO} -n 5 --every 20fps -o v.y4m"), 0);
    let bytes = fs::read(folder.path("v.y4m")).unwrap();
    let header = b"YUV4MPEG2 W128 H96 F20:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\n";
    assert!(bytes.starts_with(header), "{}", String::from_utf8_lossy(&bytes[..64]));
    assert_eq!(bytes.len(), header.len() + 5 * (6 + 128 * 96 * 3 / 2));

    // What was asked for counts, not the name: it is one picture.
    folder.ends(&format!("{DEMO} --format png -o named.y4m"), 0);
    of_file(&folder.path("named.y4m"));

    // Until it is ended, which is no failure.
    let mut video = folder.start(&format!("{DEMO} --format y4m444 -o -"));
    let mut frames = vec![0; 20 * (6 + 3 * 128 * 96)];
    video.0.stdout.as_mut().unwrap().read_exact(&mut frames).unwrap();
    let (code, said) = video.interrupt();
    assert!(matches!(code, Some(0 | 1)) && said.lines().count() <= 1, "{code:?}: {said}");
}

#[test]
fn all_frames_are_taken_until_it_is_interrupted() {
    let folder = Folder::new();
    let mut all = folder.start(&format!("{DEMO} -n all --every change -o f-%d.qoi --manifest -"));
    let mut line = [0; 1];
    // A line is there once its file is.
    while line != *b"\n" {
        all.0.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    }
    let rest = all.0.stdout.take();
    let (code, said) = all.interrupt();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    drop(rest);
    assert!(folder.files().iter().all(|name| name.ends_with(".qoi")), "{:?}", folder.files());
    of_file(&folder.path("f-1.qoi"));

    let few = folder.start(&format!("{DEMO} --wait stable:1min --timeout 1min -o never.png"));
    let (code, said) = few.interrupt();
    // It may have been too early for it to listen.
    assert!(code != Some(0), "{said}");
    assert!(!folder.path("never.png").exists());
}

#[test]
fn what_can_not_be_written_is_said_and_leaves_nothing() {
    let folder = Folder::new();
    let (_, said) = folder.ends(&format!("{DEMO} --manifest /dev/full -o a.png"), 1);
    assert!(said.contains("can't write /dev/full: No space left on device"), "{said}");
    let (_, said) = folder.ends(&format!("{DEMO} -n 3 -o nowhere/a.png"), 1);
    assert!(said.contains("can't write nowhere/a-0001.png: No such file"), "{said}");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for args in ["-o -", "--hash", "--manifest -", "--format y4m -n 2 -o -"] {
        let mut command = folder.command(&format!("{DEMO} {args}"));
        let output = command.stdout(full()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args}: {said}");
        let words = "fanlight: can't write to the standard output: No space left on device";
        assert!(said.starts_with(words) && said.lines().count() == 1, "{args}: {said}");
    }
    // Whoever reads it goes away.
    let mut piped = folder.start(&format!("{DEMO} -n all --format raw -o -"));
    piped.0.stdout.take().unwrap().read_exact(&mut [0; 100]).unwrap();
    assert_eq!(piped.0.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    piped.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("can't write to the standard output: Broken pipe"), "{said}");
    let (_, said) = folder.ends(&format!("{DEMO} --hash --manifest -"), 2);
    assert!(said.contains("--manifest - and --hash both go to the standard output"), "{said}");
}

#[test]
fn a_guest_is_not_held_back_where_frames_may_be_left_out() {
    let folder = Folder::new();
    let uri = "demo:?size=640x480&fps=240";
    let (stats, _) = folder.ends(&format!("{uri} -n 30 --drop -o f-%d.webp --stats=json"), 0);
    let stats: Value = serde_json::from_str(stats.lines().last().unwrap()).unwrap();
    assert_eq!(stats["forced_acks"], 0, "{stats}");
    assert_eq!(folder.files().len(), 30);
}
