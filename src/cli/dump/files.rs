//! What the files are called.

use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use super::super::whole;
use super::format::Format;

/// The files of one dump.
#[derive(Debug)]
pub(super) struct Files {
    name: Name,
    pub(super) format: Format,
}

#[derive(Debug)]
enum Name {
    Stdout,
    One(PathBuf),
    /// Folder, before the number, least digits, after it.
    Many(PathBuf, String, usize, String),
}

impl Files {
    /// Checks that the folder is there and takes files. `many`: there is more than one frame.
    pub(super) fn new(output: &Path, many: bool, format: Option<Format>) -> Result<Self, Failure> {
        let video = Format::asked(output, format).is_some_and(Format::is_video);
        let name = Name::parse(output, many && !video)?;
        let format = format.map_or_else(|| name.format(), Ok)?;
        if let Some(path) = name.path(1) {
            whole::check(&path)?;
        }
        Ok(Self { name, format })
    }

    /// Whether all frames go one after the other into one place.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stdout() || self.format.is_video()
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.name, Name::Stdout)
    }

    /// The file of the frame of this number; `None`: the standard output.
    pub(super) fn path(&self, number: u64) -> Option<PathBuf> {
        self.name.path(number)
    }
}

impl Name {
    fn parse(output: &Path, many: bool) -> Result<Self, Failure> {
        if output.as_os_str() == "-" {
            return Ok(Self::Stdout);
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
        if !many {
            return Ok(Self::One(output.to_owned()));
        }
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        Ok(Self::Many(folder, format!("{stem}-"), 4, extension))
    }

    /// What the name's ending says; PNG where it has none.
    fn format(&self) -> Result<Format, Failure> {
        let Some(path) = self.path(1) else { return Ok(Format::Png) };
        match (Format::of(&path), path.extension()) {
            (Some(format), _) => Ok(format),
            (None, None) => Ok(Format::Png),
            (None, Some(ending)) => {
                let (known, ending) = (Format::endings(), ending.display());
                Err(bad(&format!(
                    "nothing is known of .{ending}: name it {known}, or say --format"
                )))
            }
        }
    }

    fn path(&self, number: u64) -> Option<PathBuf> {
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
    Failure::wrong(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(output: &str, many: bool, number: u64) -> Option<String> {
        let name = Name::parse(Path::new(output), many).ok()?;
        Some(name.path(number)?.display().to_string())
    }

    #[test]
    fn names_are_numbered() {
        assert_eq!(name("a.png", false, 1).as_deref(), Some("a.png"));
        assert_eq!(name("x/a.png", true, 2).as_deref(), Some("x/a-0002.png"));
        assert_eq!(name("a-%d.png", true, 12).as_deref(), Some("a-12.png"));
        assert_eq!(name("d%e/a%03d", false, 12).as_deref(), Some("d%e/a012"));
        assert_eq!(name(".hidden", true, 2).as_deref(), Some(".hidden-0002"));
        assert_eq!(name("-", true, 1), None);
    }

    #[test]
    fn endings_say_what_is_written() {
        let format = |output: &str| Name::parse(Path::new(output), true).unwrap().format().ok();
        assert_eq!(format("a-%d.qoi"), Some(Format::Qoi));
        assert_eq!(format("a.raw"), Some(Format::Raw));
        assert_eq!((format("a"), format("a.jpg")), (Some(Format::Png), None));
    }

    #[test]
    fn a_video_is_one_file_however_many_frames_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let files = |name: &str| Files::new(&folder.path().join(name), true, None).unwrap();
        assert_eq!(files("a.y4m").path(7), Some(folder.path().join("a.y4m")));
        assert!(files("a.y4m").is_stream() && !files("a.png").is_stream());
    }

    #[test]
    fn bad_names_are_refused() {
        for output in ["a%s.png", "a%d-%d.png", "a%", "..", "a%99d"] {
            assert!(Name::parse(Path::new(output), true).is_err(), "{output}");
        }
    }
}
