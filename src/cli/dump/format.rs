//! What frames are written as.

use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;

use crate::capture::{Chroma, Picture, PictureFormat, Rate, Y4m};

/// As the flag has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Png,
    Qoi,
    Ppm,
    /// Lossless
    Webp,
    /// The pixels alone, whatever the guest's format: blue, green, red and a byte that says nothing, row by row without gaps
    Raw,
    /// Video for encoders: colours of four pixels are one
    Y4m,
    /// The same, and each pixel has its own colour
    Y4m444,
}

impl Format {
    /// By the ending of a file's name.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::value_variants().iter().copied().find(|format| format.ending() == Some(&*ending))
    }

    /// What was asked for; else what the name says, if that names one.
    pub(super) fn asked(output: &Path, format: Option<Self>) -> Option<Self> {
        format.or_else(|| Self::of(output))
    }

    /// The endings that name one.
    pub(super) fn endings() -> String {
        let endings = Self::value_variants().iter().filter_map(|format| format.ending());
        endings.map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(", ")
    }

    fn ending(self) -> Option<&'static str> {
        Some(match self {
            Self::Raw => "raw",
            Self::Y4m => "y4m",
            Self::Y4m444 => return None,
            other => other.picture()?.ending(),
        })
    }

    /// Whether all frames go into one file.
    pub(super) fn is_video(self) -> bool {
        self.chroma().is_some()
    }

    fn picture(self) -> Option<PictureFormat> {
        Some(match self {
            Self::Png => PictureFormat::Png,
            Self::Qoi => PictureFormat::Qoi,
            Self::Ppm => PictureFormat::Ppm,
            Self::Webp => PictureFormat::WebP,
            Self::Raw | Self::Y4m | Self::Y4m444 => return None,
        })
    }

    fn chroma(self) -> Option<Chroma> {
        match self {
            Self::Y4m => Some(Chroma::Of420),
            Self::Y4m444 => Some(Chroma::Of444),
            _ => None,
        }
    }

    /// Writes one picture.
    pub(super) fn write(self, picture: &Picture, mut out: impl Write) -> io::Result<()> {
        match self.picture() {
            Some(format) => format.write(picture, out),
            None => out.write_all(&picture.pixels),
        }
    }

    /// What writes one picture after the other into `out`.
    pub(super) fn stream<W: Write>(self, out: W, rate: Rate) -> Stream<W> {
        match self.chroma() {
            Some(chroma) => Stream::Video(Y4m::new(out, chroma, rate)),
            None => Stream::Pictures(self, out),
        }
    }
}

/// Pictures one after the other.
pub(super) enum Stream<W> {
    Pictures(Format, W),
    Video(Y4m<W>),
}

impl<W: Write> Stream<W> {
    pub(super) fn write(&mut self, picture: &Picture) -> io::Result<()> {
        match self {
            Self::Pictures(format, out) => format.write(picture, out),
            Self::Video(video) => {
                if video.size().is_some_and(|size| size != picture.size) {
                    tracing::info!(size = ?picture.size, "the guest's mode is another than the video's");
                }
                video.write(picture)
            }
        }
    }

    /// Passes on what was written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Pictures(_, out) => out.flush(),
            Self::Video(video) => video.flush(),
        }
    }

    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Pictures(_, mut out) => out.flush().map(|()| out),
            Self::Video(video) => video.finish(),
        }
    }
}
