//! A font of boxes, so that text can be looked at where no font is installed. Every visible character of ASCII
//! is a box, 600 wide and 700 high, of 1000 to the size of the font; a space is as wide.

const TABLES: usize = 8;
const WIDTH: u16 = 600;

/// A TrueType font, as it would be in a file.
pub fn bytes() -> Vec<u8> {
    let box_glyph = glyph();
    let tables: [(&[u8; 4], Vec<u8>); TABLES] = [
        (b"cmap", cmap()),
        (b"glyf", [&box_glyph[..], &box_glyph].concat()),
        (b"head", head()),
        (
            b"hhea",
            words(&[1, 0, 800, (-200_i16) as u16, 0, WIDTH, 0, 0, 600, 1, 0, 0, 0, 0, 0, 0, 0, 3]),
        ),
        (b"hmtx", words(&[WIDTH, 50, WIDTH, 50, WIDTH, 0])),
        // Missing, box, space.
        (b"loca", longs(&[0, 1, 2, 2].map(|n| n * box_glyph.len() as u32))),
        (b"maxp", words(&[1, 0, 3, 4, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])),
        (b"name", name()),
    ];
    let mut font = words(&[1, 0, TABLES as u16, 128, 3, 0]);
    let mut at = font.len() + 16 * TABLES;
    for (tag, table) in &tables {
        font.extend(*tag);
        // Nobody looks at the checksum.
        font.extend(longs(&[0, at as u32, table.len() as u32]));
        at += table.len().next_multiple_of(4);
    }
    for (_, mut table) in tables {
        table.resize(table.len().next_multiple_of(4), 0);
        font.extend(table);
    }
    font
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn longs(longs: &[u32]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_be_bytes()).collect()
}

fn head() -> Vec<u8> {
    let mut head = words(&[1, 0, 1, 0]);
    head.extend(longs(&[0, 0x5F0F_3CF5]));
    // Flags, 1000 to the size; made when nobody looked; the box; long offsets.
    head.extend(words(&[0, 1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 600, 700, 0, 8, 2, 1, 0]));
    head
}

/// A closed outline of four corners.
fn glyph() -> Vec<u8> {
    let mut glyph = words(&[1, 50, 0, 550, 700, 3, 0]);
    // On the curve, each a distance from the one before.
    glyph.extend([1; 4]);
    let distances = [50, 0, 500, 0, 0, 700, 0, -700_i16];
    glyph.extend(words(&distances.map(|distance| distance as u16)));
    glyph.resize(glyph.len().next_multiple_of(4), 0);
    glyph
}

/// One group for each character: format 12 would count glyphs up.
fn cmap() -> Vec<u8> {
    let visible = 0x21..=0x7e;
    let groups: Vec<_> = [(0x20, 2)].into_iter().chain(visible.map(|c| (c, 1))).collect();
    let mut cmap = words(&[0, 1, 3, 10]);
    cmap.extend(longs(&[12]));
    cmap.extend(words(&[12, 0]));
    cmap.extend(longs(&[16 + 12 * groups.len() as u32, 0, groups.len() as u32]));
    cmap.extend(groups.into_iter().flat_map(|(c, glyph)| longs(&[c, c, glyph])));
    cmap
}

/// Family, style, full name, PostScript name.
fn name() -> Vec<u8> {
    let names = [(1_u16, "Boxes"), (2, "Regular"), (4, "Boxes Regular"), (6, "Boxes-Regular")];
    let mut table = words(&[0, names.len() as u16, 6 + 12 * names.len() as u16]);
    let mut text = Vec::new();
    for (id, name) in names {
        let name: Vec<u16> = name.encode_utf16().collect();
        table.extend(words(&[3, 1, 0x409, id, 2 * name.len() as u16, text.len() as u16]));
        text.extend(words(&name));
    }
    table.extend(text);
    table
}
