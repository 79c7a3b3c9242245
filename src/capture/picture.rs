//! Frames in files: what they are written as, and read from.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::pnm::{PnmEncoder, PnmSubtype, SampleEncoding};
use image::codecs::qoi::QoiEncoder;
use image::codecs::webp::WebPEncoder;
use image::error::ImageError;
use image::{ExtendedColorType, ImageEncoder, ImageReader};

use crate::frame::{Picture, Size};

/// How a frame is written: eight bits of red, green and blue a pixel, none of them lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Portable Network Graphics; compressed for speed.
    Png,
    /// The Quite OK Image format: larger than PNG, and quicker.
    Qoi,
    /// A binary Portable Pixmap: the bytes as they are.
    Ppm,
    /// WebP, lossless: smaller than PNG, and slower.
    WebP,
}

impl PictureFormat {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Png, Self::Qoi, Self::Ppm, Self::WebP];

    /// By the ending of a file's name; `None` where it names none of them.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.ending() == ending)
    }

    /// The usual ending of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Qoi => "qoi",
            Self::Ppm => "ppm",
            Self::WebP => "webp",
        }
    }

    /// Writes `frame`.
    ///
    /// # Errors
    /// What `out` says; and `InvalidInput` for a frame that the format has no room for.
    pub fn write(self, frame: &Picture, mut out: impl Write) -> io::Result<()> {
        let pixels = frame.pixels.as_chunks::<{ Picture::PIXEL }>().0;
        let rgb: Vec<u8> =
            pixels.iter().flat_map(|&[blue, green, red, _]| [red, green, blue]).collect();
        let Size { width, height } = frame.size;
        let colour = ExtendedColorType::Rgb8;
        let written = match self {
            Self::Png => {
                PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Adaptive)
                    .write_image(&rgb, width, height, colour)
            }
            Self::Qoi => QoiEncoder::new(&mut out).write_image(&rgb, width, height, colour),
            Self::Ppm => PnmEncoder::new(&mut out)
                .with_subtype(PnmSubtype::Pixmap(SampleEncoding::Binary))
                .write_image(&rgb, width, height, colour),
            Self::WebP => {
                WebPEncoder::new_lossless(&mut out).write_image(&rgb, width, height, colour)
            }
        };
        written.map_err(|error| match error {
            ImageError::IoError(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidInput, other),
        })?;
        out.flush()
    }
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ending())
    }
}

/// Why a file gives no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It can't be read at all.
    #[error("can't read {}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is something else, or broken, or too large.
    #[error("{} is no picture that can be read (PNG, QOI, PPM or WebP): {why}", .path.display())]
    NoPicture {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads a picture, whatever its file is called: PNG, QOI, PPM (and its kin) or WebP. Holes in it don't count, and
/// more than eight bits a channel become eight.
///
/// # Errors
/// If there is no such file, or no picture in it.
pub fn read_picture(path: &Path) -> Result<Picture, PictureError> {
    let unreadable = |source| PictureError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // A folder can be opened.
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    let reader =
        ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(unreadable)?;
    let decoded = reader.decode().map_err(|error| PictureError::NoPicture {
        path: path.to_owned(),
        why: match error {
            // How it ends is what it is, not what the system says of it.
            ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "it ends too early".to_owned()
            }
            other => other.to_string(),
        },
    })?;
    let rgb = decoded.into_rgb8();
    let size = Size { width: rgb.width(), height: rgb.height() };
    let pixels = rgb.as_raw().as_chunks::<3>().0;
    let pixels = pixels.iter().flat_map(|&[red, green, blue]| [blue, green, red, 0]).collect();
    Ok(Picture { size, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Picture {
        let size = Size { width: 3, height: 2 };
        let pixels = (0..6_u8).flat_map(|i| [i, 2 * i, 255 - i, 0]).collect();
        Picture { size, pixels }
    }

    fn read(name: &str, bytes: &[u8]) -> Result<Picture, PictureError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read_picture(&path)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for format in PictureFormat::ALL {
            let mut file = Vec::new();
            format.write(&frame(), &mut file).unwrap();
            // Its name says nothing: it is known by what is in it.
            assert_eq!(read("picture", &file).unwrap(), frame(), "{format}");
        }
    }

    #[test]
    fn others_read_the_same() {
        let mut file = Vec::new();
        PictureFormat::Png.write(&frame(), &mut file).unwrap();
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!((info.width, info.height, &rgb[..6]), (3, 2, &[255, 0, 0, 254, 2, 1][..]));
        let mut file = Vec::new();
        PictureFormat::Ppm.write(&frame(), &mut file).unwrap();
        assert!(file.starts_with(b"P6\n3 2 255\n\xff\0\0"));
    }

    #[test]
    fn names_say_what_is_written() {
        let of = |name: &str| PictureFormat::of(Path::new(name));
        assert_eq!(of("a/b.PNG"), Some(PictureFormat::Png));
        assert_eq!(of("f-%04d.webp"), Some(PictureFormat::WebP));
        assert_eq!((of("a.jpg"), of("png"), of("-")), (None, None, None));
    }

    #[test]
    fn what_is_broken_or_something_else_is_said() {
        for format in PictureFormat::ALL {
            let mut file = Vec::new();
            format.write(&frame(), &mut file).unwrap();
            file.truncate(file.len() - 6);
            let error = read("cut.png", &file).unwrap_err().to_string();
            assert!(error.contains("cut.png is no picture that can be read"), "{format}: {error}");
        }
        for bytes in [&b""[..], b"#!/bin/sh\n", b"GIF89a\x01\0\x01\0"] {
            let error = read("other", bytes).unwrap_err();
            assert!(matches!(error, PictureError::NoPicture { .. }), "{error}");
        }
        let missing = read_picture(Path::new("/nowhere/at-all.png")).unwrap_err();
        assert!(matches!(missing, PictureError::Unreadable { .. }), "{missing}");
        let folder = read_picture(Path::new("/")).unwrap_err();
        assert!(matches!(folder, PictureError::Unreadable { .. }), "{folder}");
    }

    /// A small file may say that its picture is huge.
    #[test]
    fn what_says_that_it_is_huge_is_no_picture() {
        let error = read("huge.ppm", b"P6\n1000000 1000000\n255\n").unwrap_err();
        assert!(matches!(error, PictureError::NoPicture { .. }), "{error}");
    }
}
