//! Input as a script: any bytes mean something, and what means something can be written as text.

/// Numbers that are more likely to hurt than others, for the letters `a` to `z`.
const TELLING: [u32; 26] = [
    16,
    31,
    32,
    33,
    64,
    65,
    127,
    128,
    255,
    256,
    4092,
    4095,
    4096,
    4097,
    16_383,
    16_384,
    16_385,
    1 << 20,
    (1 << 20) + 1,
    i32::MAX as u32,
    1 << 31,
    u32::MAX,
    u32::MAX - 1,
    0xfff0_0000,
    0x0001_0000,
    u32::from_le_bytes(*b"XR24"),
];

/// What is left of the input.
#[derive(Clone)]
pub(crate) struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next operation, one of `known`; white space between them means nothing.
    pub(crate) fn op(&mut self, known: &[u8]) -> Option<u8> {
        loop {
            let byte = self.next()?;
            if known.contains(&byte) {
                return Some(byte);
            }
            if !byte.is_ascii_whitespace() {
                return Some(known[usize::from(byte) % known.len()]);
            }
        }
    }

    /// A number: a digit, one of [`TELLING`], `(1234)`; of the bytes that aren't text most mean a small
    /// one, and the last sixteen stand before four that are taken as they are. 0 past the end.
    pub(crate) fn number(&mut self) -> u32 {
        match self.next() {
            None => 0,
            Some(b' ' | b'\n') => self.number(),
            Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
            Some(letter @ b'a'..=b'z') => TELLING[usize::from(letter - b'a')],
            Some(b'(') => {
                let end = self.0.iter().position(|byte| *byte == b')');
                let (text, rest) = self.0.split_at(end.unwrap_or(0));
                self.0 = rest.get(1..).unwrap_or_default();
                text.iter().fold(0_u32, |sum, byte| {
                    sum.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0')))
                })
            }
            Some(small @ 0..0xf0) => u32::from(small & 0x3f),
            Some(_) => u32::from_le_bytes(std::array::from_fn(|_| self.next().unwrap_or(0))),
        }
    }

    pub(crate) fn numbers<const N: usize>(&mut self) -> [u32; N] {
        std::array::from_fn(|_| self.number())
    }

    /// A number with a sign; `v` is -1.
    pub(crate) fn signed(&mut self) -> i32 {
        self.number().cast_signed()
    }

    /// One of `count` things.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        self.number() as usize % count
    }

    /// So many bytes as they are, fewer at the end.
    pub(crate) fn raw(&mut self, count: usize) -> &'a [u8] {
        let (raw, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        raw
    }
}

#[test]
fn numbers_can_be_written() {
    let mut tape = Tape::new(b"07m(1920) v\xf0\x01\x02\x03\x04(");
    assert_eq!(tape.numbers::<5>(), [0, 7, 4096, 1920, u32::MAX]);
    assert_eq!(tape.numbers::<3>(), [0x0403_0201, 0, 0]);
    assert_eq!(Tape::new(b"v").signed(), -1);
}

#[test]
fn every_byte_is_an_operation_but_white_space() {
    let mut tape = Tape::new(b" b\n\xff");
    assert_eq!(tape.op(b"ab"), Some(b'b'));
    assert_eq!(tape.op(b"ab"), Some(b"ab"[255 % 2]));
    assert_eq!(tape.op(b"ab"), None);
}
