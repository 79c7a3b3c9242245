//! Pictures from and to files.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use fanlight_guests::Image;

use crate::error::{Context, Error, Result};

/// Reads a PNG or a binary PPM of 8 bits a channel; what kind it is, its first bytes say.
///
/// # Errors
/// If it can't be read, or is neither.
pub fn load(path: &Path) -> Result<Image> {
    let what = format!("reading the picture {}", path.display());
    let bytes = std::fs::read(path).context(&what)?;
    if bytes.starts_with(b"\x89PNG") {
        return from_png(&bytes).context(what);
    }
    from_ppm(&bytes).ok_or_else(|| Error::new(format!("{what} failed: neither PNG nor PPM")))
}

fn from_png(bytes: &[u8]) -> std::result::Result<Image, Box<dyn std::error::Error>> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().ok_or("the picture is too large")?;
    let mut buffer = vec![0; size];
    let info = reader.next_frame(&mut buffer)?;
    let data = &buffer[..info.buffer_size()];
    let grey = |v: u8| [v, v, v];
    let pixels = match info.color_type {
        png::ColorType::Rgb => data.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Rgba => data.chunks_exact(4).map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Grayscale => data.iter().map(|&v| grey(v)).collect(),
        png::ColorType::GrayscaleAlpha => data.chunks_exact(2).map(|p| grey(p[0])).collect(),
        png::ColorType::Indexed => return Err("a palette that was not resolved".into()),
    };
    Image::from_pixels(info.width, info.height, pixels).ok_or_else(|| "too few pixels".into())
}

/// `P6 WIDTH HEIGHT 255`, one white space, then the pixels.
fn from_ppm(bytes: &[u8]) -> Option<Image> {
    let mut rest = bytes.strip_prefix(b"P6")?;
    let mut numbers = [0u32; 3];
    for number in &mut numbers {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|b| !b.is_ascii_digit())?;
        *number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        rest = &rest[end..];
    }
    let [width, height, 255] = numbers else { return None };
    let pixels = rest.get(1..)?.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    Image::from_pixels(width, height, pixels)
}

/// Writes a PNG.
///
/// # Errors
/// If the file can't be written.
pub fn save(image: &Image, path: &Path) -> Result<()> {
    let what = format!("writing the picture {}", path.display());
    let file = File::create(path).context(&what)?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let bytes: Vec<u8> = image.pixels().iter().flatten().copied().collect();
    let mut writer = encoder.write_header().context(&what)?;
    writer.write_image_data(&bytes).context(&what)?;
    writer.finish().context(&what)
}

/// Reads a PNG that another program may still be writing: false until it is whole.
#[must_use]
pub fn is_whole_png(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(mut reader) = png::Decoder::new(BufReader::new(file)).read_info() else { return false };
    let Some(size) = reader.output_buffer_size() else { return false };
    reader.next_frame(&mut vec![0; size]).is_ok() && reader.finish().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rundir::RunDir;
    use fanlight_guests::pattern;

    #[test]
    fn png_reads_back() {
        let dir = RunDir::new().expect("a folder");
        let path = dir.path().join("a.png");
        let image = pattern::expected(42, 100, 50);
        save(&image, &path).expect("saved");
        assert!(is_whole_png(&path));
        assert_eq!(load(&path).expect("loaded").difference(&image), None);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() - 20]).expect("cut");
        assert!(!is_whole_png(&path));
    }

    #[test]
    fn ppm_is_read_and_a_short_one_refused() {
        let image = from_ppm(b"P6\n2 1\n255\n\x01\x02\x03\x0a\x20\x09").expect("a picture");
        assert_eq!(image.pixels(), [[1, 2, 3], [10, 32, 9]]);
        assert!(from_ppm(b"P6\n2 1\n255\n\x01\x02\x03\x0a\x20").is_none());
        assert!(from_ppm(b"P6\n2 1\n65535\n\x01\x02\x03\x0a\x20\x09").is_none());
        assert!(from_ppm(b"P5\n2 1\n255\n\x01\x02").is_none());
    }
}
