//! `fanlight script`: the program, scripts, and guests that do as they are told.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "support/fake_qemu.rs"]
mod fake_qemu;
#[path = "support/folder.rs"]
mod folder;
#[path = "script/guest.rs"]
mod guest;
#[path = "script/input.rs"]
mod input;
#[path = "script/words.rs"]
mod words;

use std::fs;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use fanlight::capture::read_picture;
use folder::Folder;

/// What the program ended with, and said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    said: String,
}

impl Folder {
    /// With that script in it.
    fn with(script: &str) -> Self {
        let folder = Self::new();
        fs::write(folder.path("test.fan"), script).unwrap();
        folder
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.fanlight();
        command.arg("script").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    fn run(&self, args: &[&str]) -> Ended {
        ended(self.start(args).wait_with_output().unwrap())
    }
}

fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    Ended { code: output.status.code(), out: text(output.stdout), said: text(output.stderr) }
}

impl Ended {
    /// Asserts that it failed so, and said one sentence with all of `words`.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.said.lines().count()), (Some(code), 1), "{self:?}");
        for word in words {
            assert!(self.said.contains(word), "it does not say \"{word}\": {self:?}");
        }
    }

    #[track_caller]
    fn succeeds(&self) {
        assert_eq!((self.code, self.said.as_str()), (Some(0), ""), "{self:?}");
    }
}

/// The one grey that all of a picture has.
#[track_caller]
fn grey(path: &Path) -> u8 {
    let picture = read_picture(path).unwrap();
    let grey = picture.pixels[0];
    assert!(picture.pixels.chunks(4).all(|pixel| pixel[..3] == [grey; 3]), "{}", path.display());
    grey
}
