//! Frames as PNG.

use std::io::Write;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError};

use super::Frame;
use crate::convert::cpu::OUT_PIXEL;

/// Writes `frame` as an RGB picture of eight bits a channel.
pub fn write_png(frame: &Frame, out: impl Write) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(out, frame.size.width, frame.size.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    let pixels = frame.pixels.as_chunks::<OUT_PIXEL>().0;
    let rgb: Vec<u8> =
        pixels.iter().flat_map(|&[blue, green, red, _]| [red, green, blue]).collect();
    writer.write_image_data(&rgb)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Size;

    #[test]
    fn what_is_written_is_read_again() {
        let size = Size { width: 2, height: 1 };
        let frame = Frame { size, pixels: vec![1, 2, 3, 0, 4, 5, 6, 0xff] };
        let mut file = Vec::new();
        write_png(&frame, &mut file).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!((info.width, info.height), (2, 1));
        assert_eq!(rgb, [3, 2, 1, 6, 5, 4]);
    }
}
