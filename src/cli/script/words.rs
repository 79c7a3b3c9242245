//! A line as words, split as a shell would.

use std::iter::Peekable;
use std::str::Chars;

/// The words of a line; none of an empty one, or of a comment. In double quotes a word may hold blanks and
/// `#`, and `\n`, `\t`, `\"` and `\\` mean what they mean elsewhere.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        match rest.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => words.push(word(&mut rest)?),
        }
    }
}

fn word(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut word = String::new();
    while let Some(next) = rest.next_if(|c| !c.is_whitespace()) {
        if next == '"' {
            quoted(rest, &mut word)?;
        } else {
            word.push(next);
        }
    }
    Ok(word)
}

fn quoted(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), String> {
    let open = || "a text begins with \" but does not end with one in the same line".to_owned();
    loop {
        match rest.next().ok_or_else(open)? {
            '"' => return Ok(()),
            '\\' => word.push(match rest.next().ok_or_else(open)? {
                'n' => '\n',
                't' => '\t',
                same @ ('"' | '\\') => same,
                other => {
                    let known = "there are \\n, \\t, \\\" and \\\\";
                    return Err(format!("\\{other} means nothing in a text; {known}"));
                }
            }),
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_by_a_shell() {
        for (line, words) in [
            ("", &[][..]),
            ("  # a comment", &[]),
            ("key ctrl+c", &["key", "ctrl+c"]),
            ("\tkey   a  b # two", &["key", "a", "b"]),
            ("type a#b", &["type", "a#b"]),
            (r#"type "a # b""#, &["type", "a # b"]),
            (r#"type "a\tb\n\"c\\""#, &["type", "a\tb\n\"c\\"]),
            (r#"wait match:"my login.png":8"#, &["wait", "match:my login.png:8"]),
            (r#"type """#, &["type", ""]),
            (r"dump C:\x", &["dump", r"C:\x"]),
            ("print ä\u{3000}ö", &["print", "ä", "ö"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn what_is_no_text_is_said() {
        for line in [r#"type "a"#, r#"type "a\"#, r#"type "a\""#] {
            assert!(split(line).unwrap_err().contains("does not end"), "{line}");
        }
        let said = split(r#"type "\r""#).unwrap_err();
        assert_eq!(said, r#"\r means nothing in a text; there are \n, \t, \" and \\"#);
    }
}
