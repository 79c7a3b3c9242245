//! Findings as people read them.

use std::fmt::Write;
use std::io;

use super::super::wants_colour;
use super::{Finding, Verdict};

/// Columns of a line; commands may be longer.
const WIDTH: usize = 80;
const INDENT: &str = "        ";

/// Lays findings out, in colour at a terminal.
pub(super) struct Out {
    colour: bool,
    first: bool,
}

impl Out {
    pub(super) fn new() -> Self {
        Self { colour: wants_colour(&io::stdout()), first: true }
    }

    /// One subject's, below its heading.
    pub(super) fn subject(&mut self, heading: &str, findings: &[Finding]) -> String {
        let mut text = String::new();
        if !std::mem::take(&mut self.first) {
            text.push('\n');
        }
        self.paint(&mut text, "1", heading);
        text.push('\n');
        for finding in findings {
            let (word, colour) = match finding.verdict {
                Verdict::Ok => ("ok", "32"),
                Verdict::Info => ("info", "36"),
                Verdict::Warn => ("warn", "33"),
                Verdict::Fail => ("fail", "31"),
            };
            text.push_str("  ");
            self.paint(&mut text, colour, word);
            text.push_str(&INDENT[2 + word.len()..]);
            wrap(&mut text, &finding.says);
            if let Some(means) = &finding.means {
                text.push_str(INDENT);
                wrap(&mut text, means);
            }
            for command in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
                text.push_str(INDENT);
                if command.starts_with('#') {
                    wrap(&mut text, command.trim_start_matches(['#', ' ']));
                    continue;
                }
                self.paint(&mut text, "1", &format!("$ {command}"));
                text.push('\n');
            }
        }
        text
    }

    fn paint(&self, text: &mut String, colour: &str, words: &str) {
        if self.colour {
            write!(text, "\x1b[{colour}m{words}\x1b[0m").expect("a string takes anything");
        } else {
            text.push_str(words);
        }
    }
}

/// Words from the indent on, broken before they are too long; nothing that moves the cursor.
fn wrap(text: &mut String, words: &str) {
    let mut column = INDENT.len();
    let words = words.split_whitespace();
    for (i, word) in words.enumerate() {
        let word: String = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let long = word.chars().count();
        if i > 0 && column + 1 + long > WIDTH {
            text.push('\n');
            text.push_str(INDENT);
            column = INDENT.len();
        } else if i > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word);
        column += long;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_stand_below_each_other() {
        let words = "a word ".repeat(30) + "\x1b[2J";
        let remedy = "do this\nand that\n# and think of it";
        let finding = Finding::warn("x", words, remedy).means("so");
        let mut out = Out { colour: false, first: true };
        let text = out.subject("Things", &[finding]);
        assert!(text.starts_with("Things\n  warn  a word a word"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let commands = "\n        $ do this\n        $ and that\n        and think of it\n";
        assert!(text.contains(commands), "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
        assert_eq!(text.lines().filter(|line| line.starts_with(INDENT)).count(), 6, "{text}");
    }
}
