//! A picture's hash, which is the same everywhere.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::frame::Picture;

/// The SHA-256 of a picture: of the binary PPM that [`PictureFormat::Ppm`](super::PictureFormat::Ppm) writes of it, so that
/// `sha256sum` of such a file says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// In hexadecimal digits.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash of what can be seen of `picture`: the byte of a pixel that says nothing doesn't count.
pub fn hash(picture: &Picture) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(format!("P6\n{} {} 255\n", picture.size.width, picture.size.height));
    let mut some = [0; 3 * 1024];
    for pixels in picture.pixels.chunks(Picture::PIXEL * 1024) {
        let rgb = some.as_chunks_mut::<3>().0;
        let mut length = 0;
        for ([blue, green, red, _], out) in
            pixels.as_chunks::<{ Picture::PIXEL }>().0.iter().zip(rgb)
        {
            *out = [*red, *green, *blue];
            length += out.len();
        }
        hasher.update(&some[..length]);
    }
    Hash(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::PictureFormat;
    use crate::frame::Size;

    #[test]
    fn it_is_that_of_a_ppm() {
        let size = Size { width: 41, height: 100 };
        let pixels = (0..41 * 100 * 4_u32).map(|i| (i * 7) as u8).collect();
        let mut picture = Picture { size, pixels };
        let mut file = Vec::new();
        PictureFormat::Ppm.write(&picture, &mut file).unwrap();
        let known = hash(&picture);
        assert_eq!(known, Hash(Sha256::digest(&file).into()));
        picture.pixels[3] ^= 0xff;
        assert_eq!(hash(&picture), known, "that byte says nothing");
        picture.pixels[0] ^= 1;
        assert_ne!(hash(&picture), known);
    }

    /// As `printf 'P6\n1 1 255\n\1\2\3' | sha256sum` says it.
    #[test]
    fn it_is_the_same_everywhere() {
        let picture = Picture { size: Size { width: 1, height: 1 }, pixels: vec![3, 2, 1, 0] };
        assert_eq!(
            hash(&picture).to_string(),
            "8fd6f4dec9e9524006c0c3f11b1208073752d253853d53a4b6af74b4648e7c29"
        );
    }
}
