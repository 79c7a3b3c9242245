//! What a pixel is, and how pixels lie.

use std::fmt;

/// A DRM fourcc.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format(pub u32);

impl Format {
    /// 32 bits, in memory: blue, green, red, unused.
    pub const XRGB8888: Self = Self(u32::from_le_bytes(*b"XR24"));
    /// 32 bits, in memory: blue, green, red, alpha.
    pub const ARGB8888: Self = Self(u32::from_le_bytes(*b"AR24"));
    /// 32 bits, in memory: red, green, blue, unused.
    pub const XBGR8888: Self = Self(u32::from_le_bytes(*b"XB24"));
    /// 32 bits, in memory: red, green, blue, alpha.
    pub const ABGR8888: Self = Self(u32::from_le_bytes(*b"AB24"));
    /// 32 bits, in memory: unused, blue, green, red.
    pub const RGBX8888: Self = Self(u32::from_le_bytes(*b"RX24"));
    /// 32 bits, in memory: alpha, blue, green, red.
    pub const RGBA8888: Self = Self(u32::from_le_bytes(*b"RA24"));
    /// 32 bits, in memory: unused, red, green, blue.
    pub const BGRX8888: Self = Self(u32::from_le_bytes(*b"BX24"));
    /// 32 bits, in memory: alpha, red, green, blue.
    pub const BGRA8888: Self = Self(u32::from_le_bytes(*b"BA24"));
    /// 24 bits, in memory: blue, green, red.
    pub const RGB888: Self = Self(u32::from_le_bytes(*b"RG24"));
    /// 24 bits, in memory: red, green, blue.
    pub const BGR888: Self = Self(u32::from_le_bytes(*b"BG24"));
    /// 16 bits: five of red, six of green, five of blue, little endian.
    pub const RGB565: Self = Self(u32::from_le_bytes(*b"RG16"));
    /// 32 bits: two unused, ten of red, of green, of blue, little endian.
    pub const XRGB2101010: Self = Self(u32::from_le_bytes(*b"XR30"));
    /// 32 bits: two of alpha, ten of red, of green, of blue, little endian.
    pub const ARGB2101010: Self = Self(u32::from_le_bytes(*b"AR30"));
    /// 32 bits: two unused, ten of blue, of green, of red, little endian.
    pub const XBGR2101010: Self = Self(u32::from_le_bytes(*b"XB30"));
    /// 32 bits: two of alpha, ten of blue, of green, of red, little endian.
    pub const ABGR2101010: Self = Self(u32::from_le_bytes(*b"AB30"));
    /// 64 bits, in memory 16 of each: blue, green, red, unused, little endian.
    pub const XRGB16161616: Self = Self(u32::from_le_bytes(*b"XR48"));
    /// 64 bits, in memory 16 of each: blue, green, red, alpha, little endian.
    pub const ARGB16161616: Self = Self(u32::from_le_bytes(*b"AR48"));
    /// 64 bits, in memory 16 of each: red, green, blue, unused, little endian.
    pub const XBGR16161616: Self = Self(u32::from_le_bytes(*b"XB48"));
    /// 64 bits, in memory 16 of each: red, green, blue, alpha, little endian.
    pub const ABGR16161616: Self = Self(u32::from_le_bytes(*b"AB48"));
    /// Two planes of 8 bits: luma, and for each two by two pixels blue and red chroma.
    pub const NV12: Self = Self(u32::from_le_bytes(*b"NV12"));
    /// As NV12, but each the upper ten of 16 bits, little endian.
    pub const P010: Self = Self(u32::from_le_bytes(*b"P010"));
    /// 32 bits for two pixels beside each other, in memory: luma, blue chroma, luma, red chroma.
    pub const YUYV: Self = Self(u32::from_le_bytes(*b"YUYV"));

    /// What its planes are made of where rows lie one after the other; none for formats that aren't
    /// known here.
    pub fn samples(self) -> &'static [Samples] {
        const fn each_pixel(bytes: u32) -> Samples {
            Samples { bytes, across: 1, down: 1 }
        }
        match &self.0.to_le_bytes() {
            b"XR24" | b"AR24" | b"XB24" | b"AB24" | b"RX24" | b"RA24" | b"BX24" | b"BA24"
            | b"XR30" | b"AR30" | b"XB30" | b"AB30" => const { &[each_pixel(4)] },
            b"XR48" | b"AR48" | b"XB48" | b"AB48" => const { &[each_pixel(8)] },
            b"RG24" | b"BG24" => const { &[each_pixel(3)] },
            b"RG16" | b"BG16" | b"XR15" | b"AR15" => const { &[each_pixel(2)] },
            b"R8  " => const { &[each_pixel(1)] },
            b"NV12" => const { &[each_pixel(1), Samples { bytes: 2, across: 2, down: 2 }] },
            b"P010" => const { &[each_pixel(2), Samples { bytes: 4, across: 2, down: 2 }] },
            b"YUYV" => &[Samples { bytes: 4, across: 2, down: 1 }],
            _ => &[],
        }
    }

    /// Whether it is made of luma and chroma.
    pub fn is_yuv(self) -> bool {
        matches!(self, Self::NV12 | Self::P010 | Self::YUYV)
    }
}

/// What one plane is made of: every `across` by `down` pixels have `bytes` of it. What sticks out
/// past the last pixel is there, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Bytes.
    pub bytes: u32,
    /// Pixels beside each other.
    pub across: u32,
    /// Pixels below each other.
    pub down: u32,
}

impl Samples {
    /// Bytes of a row, for so many pixels.
    pub fn row(&self, width: u32) -> u64 {
        u64::from(width.div_ceil(self.across)) * u64::from(self.bytes)
    }

    /// Rows, for so many rows of pixels.
    pub fn rows(&self, height: u32) -> u32 {
        height.div_ceil(self.down)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.to_le_bytes();
        if name.iter().all(u8::is_ascii_graphic) {
            name.iter().try_for_each(|&c| write!(f, "{}", char::from(c)))
        } else {
            write!(f, "{:#010x}", self.0)
        }
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A DRM format modifier: how pixels lie in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modifier(pub u64);

impl Modifier {
    /// Rows one after the other.
    pub const LINEAR: Self = Self(0);
    /// Not said (DRM_FORMAT_MOD_INVALID): whatever the driver that made it had in mind.
    pub const INVALID: Self = Self(0x00ff_ffff_ffff_ffff);
}

impl fmt::Display for Modifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LINEAR => f.write_str("linear"),
            Self::INVALID => f.write_str("implicit"),
            Self(other) => write!(f, "{other:#018x}"),
        }
    }
}

impl fmt::Debug for Modifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
