//! What the files are called, and that there never is half of one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use crate::capture::{Frame, write_png};

/// The files of one dump, in their order.
pub(super) struct Files {
    name: Name,
    next: u32,
}

enum Name {
    Stdout,
    One(PathBuf),
    /// Folder, before the number, least digits, after it.
    Many(PathBuf, String, usize, String),
}

impl Files {
    /// Checks that the folder is there and takes files.
    pub(super) fn new(output: &Path, frames: u32) -> Result<Self, Failure> {
        let name = Name::parse(output, frames)?;
        if let Some(path) = name.path(1) {
            let partial = partial(&path);
            File::create(&partial).map_err(|error| unwritable(&path, error))?;
            fs::remove_file(&partial).map_err(|error| unwritable(&path, error))?;
            if path.is_dir() {
                let error = io::Error::from(io::ErrorKind::IsADirectory);
                return Err(unwritable(&path, error));
            }
        }
        Ok(Self { name, next: 1 })
    }

    /// Writes the next one: under another name, and renamed when it is whole.
    pub(super) fn write(&mut self, frame: &Frame) -> Result<Option<PathBuf>, Failure> {
        let number = self.next;
        self.next += 1;
        let Some(path) = self.name.path(number) else {
            let out = BufWriter::new(io::stdout().lock());
            write_png(frame, out)
                .map_err(|error| Failure::failed("can't write to the standard output", error))?;
            return Ok(None);
        };
        let partial = partial(&path);
        let written = write_whole(frame, &partial).and_then(|()| fs::rename(&partial, &path));
        written.map_err(|error| {
            // Nothing half done is left behind; that it can't be removed is not worth more words.
            let _ = fs::remove_file(&partial);
            unwritable(&path, error)
        })?;
        Ok(Some(path))
    }
}

fn write_whole(frame: &Frame, path: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write_png(frame, &mut out)?;
    out.flush()
}

fn partial(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::failed(format_args!("can't write {}", path.display()), error)
}

impl Name {
    fn parse(output: &Path, frames: u32) -> Result<Self, Failure> {
        if output.as_os_str() == "-" {
            return if frames == 1 {
                Ok(Self::Stdout)
            } else {
                Err(bad("only one frame fits into the standard output: use -n 1, or a file name"))
            };
        }
        let folder = output.parent().unwrap_or(Path::new("")).to_owned();
        let Some(name) = output.file_name().and_then(|name| name.to_str()) else {
            return Err(bad("the output needs a file name in UTF-8, as in -o screen.png"));
        };
        if let Some((before, rest)) = name.split_once('%') {
            let digits = rest.find('d').unwrap_or(rest.len());
            let (width, after) = rest.split_at(digits);
            let width = if width.is_empty() { Ok(0) } else { width.parse() };
            return match (width, after.strip_prefix('d')) {
                (Ok(width), Some(after)) if width <= 20 && !after.contains('%') => {
                    Ok(Self::Many(folder, before.to_owned(), width, after.to_owned()))
                }
                _ => Err(bad("the output's name may hold one %d or %04d for the frame's number")),
            };
        }
        if frames == 1 {
            return Ok(Self::One(output.to_owned()));
        }
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        Ok(Self::Many(folder, format!("{stem}-"), 4, extension))
    }

    fn path(&self, number: u32) -> Option<PathBuf> {
        match self {
            Self::Stdout => None,
            Self::One(path) => Some(path.clone()),
            Self::Many(folder, before, width, after) => {
                Some(folder.join(format!("{before}{number:0width$}{after}")))
            }
        }
    }
}

fn bad(sentence: &str) -> Failure {
    Failure::usage(io::Error::other(sentence.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Size;

    fn name(output: &str, frames: u32, number: u32) -> Option<String> {
        let name = Name::parse(Path::new(output), frames).ok()?;
        Some(name.path(number)?.display().to_string())
    }

    #[test]
    fn names_are_numbered() {
        assert_eq!(name("a.png", 1, 1).as_deref(), Some("a.png"));
        assert_eq!(name("x/a.png", 3, 2).as_deref(), Some("x/a-0002.png"));
        assert_eq!(name("a-%d.png", 3, 12).as_deref(), Some("a-12.png"));
        assert_eq!(name("d%e/a%03d", 1, 12).as_deref(), Some("d%e/a012"));
        assert_eq!(name(".hidden", 2, 1).as_deref(), Some(".hidden-0001"));
    }

    #[test]
    fn bad_names_are_refused() {
        for output in ["a%s.png", "a%d-%d.png", "a%", "..", "a%99d"] {
            assert!(Name::parse(Path::new(output), 2).is_err(), "{output}");
        }
        assert!(Name::parse(Path::new("-"), 2).is_err());
    }

    #[test]
    fn nothing_half_done_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let size = Size { width: 1, height: 1 };
        let frame = Frame { size, pixels: vec![0; 4] };
        let mut files = Files::new(&folder.path().join("a.png"), 2).unwrap();
        files.write(&frame).unwrap();
        // A folder stands where the second file should go.
        fs::create_dir(folder.path().join("a-0002.png")).unwrap();
        assert!(files.write(&frame).is_err());
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a-0001.png", "a-0002.png"]);
    }
}
