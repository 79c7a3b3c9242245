//! Dead keys: an accent that a key makes together with the next one.

use kbvm::{Keysym, syms};

/// An accent, what it makes with a space, and which letters it makes of which.
const ACCENTS: [(Keysym, char, &str, &str); 8] = [
    (syms::dead_grave, '`', "aeiouAEIOU", "àèìòùÀÈÌÒÙ"),
    (syms::dead_acute, '\'', "aeiouyAEIOUYcnszCNSZ", "áéíóúýÁÉÍÓÚÝćńśźĆŃŚŹ"),
    (syms::dead_circumflex, '^', "aeiouAEIOU", "âêîôûÂÊÎÔÛ"),
    (syms::dead_tilde, '~', "anoANO", "ãñõÃÑÕ"),
    (syms::dead_diaeresis, '"', "aeiouyAEIOU", "äëïöüÿÄËÏÖÜ"),
    (syms::dead_cedilla, '¸', "csCS", "çşÇŞ"),
    (syms::dead_caron, 'ˇ', "cdenrstzCDENRSTZ", "čďěňřšťžČĎĚŇŘŠŤŽ"),
    (syms::dead_abovering, '°', "auAU", "åůÅŮ"),
];

/// The dead key, and what is typed after it, that make `character` in every guest.
pub(super) fn parts(character: char) -> Option<[Keysym; 2]> {
    ACCENTS.iter().find_map(|&(accent, alone, plain, accented)| {
        if character == alone {
            return Some([accent, syms::space]);
        }
        let (letter, _) = plain.chars().zip(accented.chars()).find(|(_, c)| *c == character)?;
        Some([accent, Keysym::from_char(letter)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_has_its_accent() {
        for (.., plain, accented) in ACCENTS {
            assert_eq!(plain.chars().count(), accented.chars().count());
        }
        assert_eq!(parts('ñ'), Some([syms::dead_tilde, syms::n]));
        assert_eq!(parts('^'), Some([syms::dead_circumflex, syms::space]));
        assert_eq!(parts('a'), None);
    }
}
