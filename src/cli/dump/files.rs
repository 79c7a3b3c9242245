//! What the files are called, and that there never is half of one.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use super::super::whole;
use crate::capture::{Frame, PictureFormat};

/// The files of one dump, in their order.
pub(super) struct Files {
    name: Name,
    format: PictureFormat,
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
    pub(super) fn new(
        output: &Path,
        frames: u32,
        format: Option<PictureFormat>,
    ) -> Result<Self, Failure> {
        let name = Name::parse(output, frames)?;
        let format = format.map_or_else(|| name.format(), Ok)?;
        if let Some(path) = name.path(1) {
            whole::check(&path)?;
        }
        Ok(Self { name, format, next: 1 })
    }

    /// Writes the next one.
    pub(super) fn write(&mut self, frame: &Frame) -> Result<Option<PathBuf>, Failure> {
        let number = self.next;
        self.next += 1;
        let Some(path) = self.name.path(number) else {
            let out = BufWriter::new(io::stdout().lock());
            self.format
                .write(frame, out)
                .map_err(|error| Failure::failed("can't write to the standard output", error))?;
            return Ok(None);
        };
        whole::write(&path, |out| self.format.write(frame, out))?;
        Ok(Some(path))
    }
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

    /// What the name's ending says; PNG where it has none.
    fn format(&self) -> Result<PictureFormat, Failure> {
        let Some(path) = self.path(1) else { return Ok(PictureFormat::Png) };
        match (PictureFormat::of(&path), path.extension()) {
            (Some(format), _) => Ok(format),
            (None, None) => Ok(PictureFormat::Png),
            (None, Some(ending)) => {
                let known = PictureFormat::ALL.map(|format| format!(".{format}")).join(", ");
                let ending = ending.display();
                Err(bad(&format!(
                    "nothing is known of .{ending}: name it {known}, or say --format"
                )))
            }
        }
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
    use std::fs;

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
    fn endings_say_what_is_written() {
        let format = |output: &str| Name::parse(Path::new(output), 2).unwrap().format().ok();
        assert_eq!(format("a-%d.qoi"), Some(PictureFormat::Qoi));
        assert_eq!((format("a"), format("a.jpg")), (Some(PictureFormat::Png), None));
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
        let mut files = Files::new(&folder.path().join("a.png"), 2, None).unwrap();
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
