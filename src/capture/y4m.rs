//! Pictures one after the other as uncompressed video, for encoders: YUV4MPEG2.

use std::io::{self, Write};

use crate::frame::{Picture, Size};

/// How many colour differences a picture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// One of each kind for four pixels, in the middle of them: what most encoders and all players take.
    Of420,
    /// One of each kind a pixel: text stays sharp.
    Of444,
}

/// Frames a second, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many frames
    pub frames: u32,
    /// in so many seconds. Not zero.
    pub seconds: u32,
}

/// Writes a video. All its pictures have the size of the first: what is larger is cut at the right and the bottom, and
/// what is smaller has black there.
#[derive(Debug)]
pub struct Y4m<W> {
    out: W,
    chroma: Chroma,
    rate: Rate,
    size: Option<Size>,
    /// Of one picture: luma, then both colour differences.
    planes: Vec<u8>,
}

impl<W: Write> Y4m<W> {
    /// A video of so many frames a second.
    pub fn new(out: W, chroma: Chroma, rate: Rate) -> Self {
        Self { out, chroma, rate, size: None, planes: Vec::new() }
    }

    /// The size of all its pictures, once there is one.
    pub fn size(&self) -> Option<Size> {
        self.size
    }

    /// Writes the next picture.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&mut self, picture: &Picture) -> io::Result<()> {
        let size = match self.size {
            Some(size) => size,
            None => self.begin(picture.size)?,
        };
        let other;
        let picture = if picture.size == size {
            picture
        } else {
            other = resized(picture, size);
            &other
        };
        self.planes.clear();
        luma(picture, &mut self.planes);
        match self.chroma {
            Chroma::Of420 => halved(picture, &mut self.planes),
            Chroma::Of444 => full(picture, &mut self.planes),
        }
        self.out.write_all(b"FRAME\n")?;
        self.out.write_all(&self.planes)
    }

    /// Passes on what `out` still keeps of the pictures that were written.
    ///
    /// # Errors
    /// What `out` says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What it was written to, which has all of it.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    fn begin(&mut self, size: Size) -> io::Result<Size> {
        let Rate { frames, seconds } = self.rate;
        let chroma = match self.chroma {
            Chroma::Of420 => "C420jpeg XYSCSS=420JPEG",
            Chroma::Of444 => "C444 XYSCSS=444",
        };
        let Size { width, height } = size;
        // Square pixels, whole pictures. The values are those of BT.601 in its limited range, which is what readers
        // assume where nothing is said, and the format has no word for it.
        writeln!(self.out, "YUV4MPEG2 W{width} H{height} F{frames}:{seconds} Ip A1:1 {chroma}")?;
        self.size = Some(size);
        Ok(size)
    }
}

fn resized(picture: &Picture, size: Size) -> Picture {
    let mut other = Picture::black(size);
    let length = picture.row_length().min(other.row_length());
    let to = other.row_length();
    for (y, row) in (0..picture.size.height.min(size.height)).zip(other.pixels.chunks_mut(to)) {
        row[..length].copy_from_slice(&picture.row(y)[..length]);
    }
    other
}

/// A pixel's red, green and blue, added up over `1 << shift` of them, times these, in 256ths.
fn weigh(weights: [i32; 3], [blue, green, red]: [i32; 3], base: i32, shift: u32) -> u8 {
    let sum = weights[0] * red + weights[1] * green + weights[2] * blue;
    let half = 1 << (7 + shift);
    // Within a byte for all colours: the weights see to that.
    (base + ((sum + half) >> (8 + shift))) as u8
}

const LUMA: [i32; 3] = [66, 129, 25];
const BLUE_DIFFERENCE: [i32; 3] = [-38, -74, 112];
const RED_DIFFERENCE: [i32; 3] = [112, -94, -18];

fn pixels(row: &[u8]) -> impl Iterator<Item = [i32; 3]> {
    row.as_chunks::<{ Picture::PIXEL }>()
        .0
        .iter()
        .map(|&[b, g, r, _]| [b.into(), g.into(), r.into()])
}

fn luma(picture: &Picture, out: &mut Vec<u8>) {
    out.extend(pixels(&picture.pixels).map(|pixel| weigh(LUMA, pixel, 16, 0)));
}

fn full(picture: &Picture, out: &mut Vec<u8>) {
    for weights in [BLUE_DIFFERENCE, RED_DIFFERENCE] {
        out.extend(pixels(&picture.pixels).map(|pixel| weigh(weights, pixel, 128, 0)));
    }
}

/// Of two by two pixels each; at an odd edge the last pixel counts twice.
fn halved(picture: &Picture, out: &mut Vec<u8>) {
    let Size { width, height } = picture.size;
    let (across, down) = (width.div_ceil(2) as usize, height.div_ceil(2) as usize);
    let first = out.len();
    out.resize(first + 2 * across * down, 0);
    let (blue, red) = out[first..].split_at_mut(across * down);
    let rows = blue.chunks_exact_mut(across).zip(red.chunks_exact_mut(across));
    for (y, (blue, red)) in (0..height).step_by(2).zip(rows) {
        let (upper, lower) = (picture.row(y), picture.row((y + 1).min(height - 1)));
        let pair = 2 * Picture::PIXEL;
        let pairs = upper.chunks(pair).zip(lower.chunks(pair)).zip(blue.iter_mut().zip(red));
        for ((upper, lower), (blue, red)) in pairs {
            let sum = |channel: usize| {
                let of = |row: &[u8]| {
                    let last = row.get(channel + Picture::PIXEL).unwrap_or(&row[channel]);
                    i32::from(row[channel]) + i32::from(*last)
                };
                of(upper) + of(lower)
            };
            let four = [sum(0), sum(1), sum(2)];
            *blue = weigh(BLUE_DIFFERENCE, four, 128, 2);
            *red = weigh(RED_DIFFERENCE, four, 128, 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { frames: 60, seconds: 1 };

    fn picture(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Picture {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let pixels = places.flat_map(|(x, y)| {
            let [blue, green, red] = colour(x, y);
            [blue, green, red, 0x5a]
        });
        Picture { size: Size { width, height }, pixels: pixels.collect() }
    }

    fn video(chroma: Chroma, pictures: &[Picture]) -> (String, Vec<Vec<u8>>) {
        let mut video = Y4m::new(Vec::new(), chroma, RATE);
        pictures.iter().for_each(|picture| video.write(picture).unwrap());
        let Size { width, height } = video.size().unwrap();
        let bytes = video.finish().unwrap();
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let luma = (width * height) as usize;
        let difference = match chroma {
            Chroma::Of420 => (width.div_ceil(2) * height.div_ceil(2)) as usize,
            Chroma::Of444 => luma,
        };
        let frames = bytes[end + 1..].chunks(6 + luma + 2 * difference);
        let frames = frames.map(|frame| frame.strip_prefix(b"FRAME\n").unwrap().to_vec());
        (String::from_utf8(bytes[..end].to_vec()).unwrap(), frames.collect())
    }

    /// What the standard's formulas say, in real numbers.
    fn wanted([blue, green, red]: [f64; 3]) -> [f64; 3] {
        let (blue, green, red) = (blue / 255.0, green / 255.0, red / 255.0);
        let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
        let difference = |of: f64, most: f64| 128.0 + 112.0 * (of - luma) / most;
        [16.0 + 219.0 * luma, difference(blue, 0.886), difference(red, 0.701)]
    }

    #[test]
    fn colours_are_those_of_bt601_within_one() {
        let steps = [0_u8, 1, 60, 127, 128, 200, 254, 255];
        let colours: Vec<_> =
            (0..512).map(|i| [i / 64, i / 8 % 8, i % 8].map(|i| steps[i])).collect();
        let all = picture(512, 1, |x, _| colours[x as usize]);
        let (header, frames) = video(Chroma::Of444, &[all]);
        assert_eq!(header, "YUV4MPEG2 W512 H1 F60:1 Ip A1:1 C444 XYSCSS=444");
        for (i, colour) in colours.iter().enumerate() {
            let wanted = wanted(colour.map(f64::from));
            for (plane, wanted) in wanted.into_iter().enumerate() {
                let got = f64::from(frames[0][plane * 512 + i]);
                assert!(
                    (got - wanted).abs() <= 1.2,
                    "{colour:?}, plane {plane}: {got}, not {wanted}"
                );
            }
        }
    }

    #[test]
    fn four_pixels_share_their_colour() {
        let corner = |x, y| [(40 * x + 10 * y) as u8, 77, (5 * x * y) as u8];
        let (header, frames) = video(Chroma::Of420, &[picture(3, 3, corner)]);
        assert_eq!(header, "YUV4MPEG2 W3 H3 F60:1 Ip A1:1 C420jpeg XYSCSS=420JPEG");
        assert_eq!(frames[0].len(), 9 + 2 * 4);
        let mean = |places: [(u32, u32); 4]| {
            let sum = |channel: usize| -> f64 {
                places.iter().map(|&(x, y)| f64::from(corner(x, y)[channel])).sum()
            };
            wanted([sum(0) / 4.0, sum(1) / 4.0, sum(2) / 4.0])
        };
        // In the middle, and at the odd edges.
        let blocks = [
            [(0, 0), (1, 0), (0, 1), (1, 1)],
            [(2, 0), (2, 0), (2, 1), (2, 1)],
            [(0, 2), (1, 2), (0, 2), (1, 2)],
            [(2, 2); 4],
        ];
        for (i, block) in blocks.into_iter().enumerate() {
            let [_, blue, red] = mean(block);
            let got = [frames[0][9 + i], frames[0][13 + i]].map(f64::from);
            assert!((got[0] - blue).abs() <= 1.2 && (got[1] - red).abs() <= 1.2, "{i}: {got:?}");
        }
    }

    #[test]
    fn all_pictures_have_the_size_of_the_first() {
        let white = |width, height| picture(width, height, |_, _| [255; 3]);
        let (_, frames) = video(Chroma::Of444, &[white(2, 2), white(1, 3), white(3, 1)]);
        let luma: Vec<_> = frames.iter().map(|frame| frame[..4].to_vec()).collect();
        assert_eq!(luma, [[235; 4], [235, 16, 235, 16], [235, 235, 16, 16]]);
    }
}
