//! A script's text as what it asks for, line by line. No file is opened here, and no key looked up.

use std::path::PathBuf;
use std::time::Duration;
use std::vec::IntoIter;

use clap::Command;
use clap::error::{ContextKind, ContextValue};

use super::words;
use crate::capture::parse_duration;

/// What one line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verb {
    Layout(String),
    Timeout(Duration),
    Pace(Duration),
    Type(String),
    Key(Vec<String>),
    Hold(Vec<String>),
    Release(Vec<String>),
    Move(Place),
    Click { button: Button, at: Option<Place>, times: u32 },
    Drag { button: Button, from: Place, to: Place },
    Scroll(i32),
    Pause(Duration),
    Wait { condition: String, mask: Option<PathBuf>, within: Option<Duration> },
    Expect { wanted: PathBuf, tolerance: u8, mask: Option<PathBuf> },
    Dump(PathBuf),
    Print(String),
}

/// A pixel of the guest's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: u32,
    pub(super) y: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Button {
    Left,
    Middle,
    Right,
}

impl Button {
    fn named(word: &str) -> Option<Self> {
        match word {
            "left" => Some(Self::Left),
            "middle" => Some(Self::Middle),
            "right" => Some(Self::Right),
            _ => None,
        }
    }
}

/// A line that asks for something.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) said: String,
    pub(super) verb: Verb,
}

/// What is wrong in a script, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads what follows a verb.
type Read = fn(&mut Words) -> Result<Verb, String>;

/// Each verb, what follows it, and who reads that.
const VERBS: [(&str, &str, Read); 17] = [
    ("type", "\"TEXT\"", |words| Ok(Verb::Type(words.next("the text")?))),
    ("key", "KEYS…, as in ctrl+alt+delete", |words| Ok(Verb::Key(words.all("the key")?))),
    ("hold", "KEYS…, as in shift", |words| Ok(Verb::Hold(words.all("the key")?))),
    ("release", "[KEYS…]", |words| Ok(Verb::Release(words.all("").unwrap_or_default()))),
    ("move", "X,Y", |words| Ok(Verb::Move(place(&words.next("the place")?)?))),
    ("click", "[left|middle|right] [X,Y]", |words| words.click(1)),
    ("doubleclick", "[left|middle|right] [X,Y]", |words| words.click(2)),
    ("drag", "[left|middle|right] X,Y X,Y", Words::drag),
    ("scroll", "NOTCHES, which are negative upwards", |words| {
        Ok(Verb::Scroll(notches(&words.next("the number of notches")?)?))
    }),
    ("wait", "CONDITION [mask FILE] [within TIME]", Words::wait),
    ("expect", "FILE [tolerance N] [mask FILE]", Words::expect),
    ("dump", "FILE", |words| Ok(Verb::Dump(words.next("the file")?.into()))),
    ("pause", "TIME", |words| Ok(Verb::Pause(parse_duration(&words.next("the time")?)?))),
    ("print", "\"TEXT\"", |words| Ok(Verb::Print(words.next("the text")?))),
    ("layout", "NAME, as in us or de(nodeadkeys)", |words| {
        Ok(Verb::Layout(words.next("the layout's name")?))
    }),
    ("timeout", "TIME", |words| Ok(Verb::Timeout(parse_duration(&words.next("the time")?)?))),
    ("pace", "TIME", |words| Ok(Verb::Pace(parse_duration(&words.next("the time")?)?))),
];

/// The lines of a script.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, Wrong> {
    let mut lines = Vec::new();
    for (number, said) in (1..).zip(text.lines()) {
        let wrong = |what: String| Wrong { line: number, what: in_one_line(&what) };
        let mut words = words::split(said).map_err(wrong)?.into_iter();
        let Some(word) = words.next() else { continue };
        let verb = verb(&word, &mut Words(words)).map_err(wrong)?;
        lines.push(Line { number, said: said.trim().to_owned(), verb });
    }
    Ok(lines)
}

/// With what a text may hold besides letters written as a script writes it.
fn in_one_line(what: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    what.chars().map(shown).collect()
}

fn verb(word: &str, words: &mut Words) -> Result<Verb, String> {
    let Some((name, form, read)) = VERBS.iter().find(|(name, ..)| *name == word) else {
        return Err(unknown(word));
    };
    read(words)
        .and_then(|verb| words.end().map(|()| verb))
        .map_err(|why| format!("{why}; it is written as {name} {form}"))
}

/// What is said of a word that is none of the language's.
fn unknown(word: &str) -> String {
    // What it is like is for clap to say, as it does of what is typed.
    let known = VERBS.map(|(name, ..)| Command::new(name).disable_help_flag(true));
    let known =
        Command::new("").no_binary_name(true).disable_help_subcommand(true).subcommands(known);
    let error = known.try_get_matches_from([word]).err();
    let like = error.and_then(|error| match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(like)) => like.first().cloned(),
        _ => None,
    });
    match like {
        Some(like) => format!("there is no \"{word}\"; did you mean \"{like}\"?"),
        None => {
            let all = VERBS.map(|(name, ..)| name).join(", ");
            format!("there is no \"{word}\"; a line begins with one of {all}")
        }
    }
}

/// What follows a verb.
struct Words(IntoIter<String>);

impl Words {
    /// The next one; `what` is what it says.
    fn next(&mut self, what: &str) -> Result<String, String> {
        self.0.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// All of them, and at least one.
    fn all(&mut self, what: &str) -> Result<Vec<String>, String> {
        let first = self.next(what)?;
        Ok([first].into_iter().chain(self.0.by_ref()).collect())
    }

    /// Nothing is left.
    fn end(&mut self) -> Result<(), String> {
        match self.0.next() {
            Some(word) => Err(format!("\"{word}\" is too much (a text with blanks needs quotes)")),
            None => Ok(()),
        }
    }

    fn button(&mut self) -> Option<Button> {
        let button = self.0.as_slice().first().and_then(|word| Button::named(word))?;
        self.0.next();
        Some(button)
    }

    fn click(&mut self, times: u32) -> Result<Verb, String> {
        let button = self.button().unwrap_or(Button::Left);
        let at = self.0.next().map(|word| place(&word)).transpose()?;
        Ok(Verb::Click { button, at, times })
    }

    fn drag(&mut self) -> Result<Verb, String> {
        let button = self.button().unwrap_or(Button::Left);
        let mut place = |what| place(&self.next(what)?);
        let (from, to) = (place("where it begins")?, place("where it ends")?);
        Ok(Verb::Drag { button, from, to })
    }

    fn wait(&mut self) -> Result<Verb, String> {
        let condition = self.next("what to wait for")?;
        let (mut mask, mut within) = (None, None);
        while let Some(word) = self.0.next() {
            match word.as_str() {
                "mask" => mask = Some(self.next("the mask's file")?.into()),
                "within" => within = Some(parse_duration(&self.next("the time")?)?),
                other => return Err(format!("\"{other}\" is too much")),
            }
        }
        Ok(Verb::Wait { condition, mask, within })
    }

    fn expect(&mut self) -> Result<Verb, String> {
        let wanted = self.next("the picture's file")?.into();
        let (mut tolerance, mut mask) = (0, None);
        while let Some(word) = self.0.next() {
            match word.as_str() {
                "mask" => mask = Some(self.next("the mask's file")?.into()),
                "tolerance" => {
                    let number = self.next("the tolerance")?;
                    let wrong = |_| format!("\"{number}\" is no tolerance from 0 to 255");
                    tolerance = number.parse().map_err(wrong)?;
                }
                other => return Err(format!("\"{other}\" is too much")),
            }
        }
        Ok(Verb::Expect { wanted, tolerance, mask })
    }
}

fn place(word: &str) -> Result<Place, String> {
    let place = word
        .split_once(',')
        .and_then(|(x, y)| Some(Place { x: x.trim().parse().ok()?, y: y.trim().parse().ok()? }));
    place.ok_or_else(|| format!("\"{word}\" is no place, as 100,200 is"))
}

/// Most notches that the wheel turns in one line: some guests take their time for each.
const NOTCHES_MAX: u32 = 1000;

fn notches(word: &str) -> Result<i32, String> {
    let number = word.parse().ok().filter(|n: &i32| n.unsigned_abs() <= NOTCHES_MAX);
    number.ok_or_else(|| format!("\"{word}\" is no number of notches up to {NOTCHES_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Verb {
        match parse(line).unwrap_or_else(|wrong| panic!("{line}: {wrong:?}")).as_slice() {
            [one] => one.verb.clone(),
            other => panic!("{line}: {other:?}"),
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_verb_is_read() {
        let place = |x, y| Place { x, y };
        let wait = |condition: &str, mask: Option<&str>, within| Verb::Wait {
            condition: condition.to_owned(),
            mask: mask.map(PathBuf::from),
            within,
        };
        let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (left, right) = (Button::Left, Button::Right);
        for (line, verb) in [
            (r#"type "root\n""#, Verb::Type("root\n".to_owned())),
            ("type root", Verb::Type("root".to_owned())),
            ("key ctrl+alt+delete", Verb::Key(words("ctrl+alt+delete"))),
            ("key down down enter", Verb::Key(words("down down enter"))),
            ("hold shift", Verb::Hold(words("shift"))),
            ("release shift", Verb::Release(words("shift"))),
            ("release", Verb::Release(vec![])),
            ("move 100,200", Verb::Move(place(100, 200))),
            ("click", Verb::Click { button: left, at: None, times: 1 }),
            ("click right", Verb::Click { button: right, at: None, times: 1 }),
            ("click 1,2", Verb::Click { button: left, at: Some(place(1, 2)), times: 1 }),
            (
                "doubleclick middle 1,2",
                Verb::Click { button: Button::Middle, at: Some(place(1, 2)), times: 2 },
            ),
            ("drag 1,2 3,4", Verb::Drag { button: left, from: place(1, 2), to: place(3, 4) }),
            (
                "drag right 1,2 3,4",
                Verb::Drag { button: right, from: place(1, 2), to: place(3, 4) },
            ),
            ("scroll -3", Verb::Scroll(-3)),
            ("pause 1.5s", Verb::Pause(ms(1500))),
            ("wait change", wait("change", None, None)),
            ("wait stable:500ms within 1min", wait("stable:500ms", None, Some(ms(60_000)))),
            ("wait match:a.png mask b.png", wait("match:a.png", Some("b.png"), None)),
            (
                "expect a.png tolerance 8 mask b.png",
                Verb::Expect { wanted: "a.png".into(), tolerance: 8, mask: Some("b.png".into()) },
            ),
            ("dump a.png", Verb::Dump("a.png".into())),
            ("print \"a b\"", Verb::Print("a b".to_owned())),
            ("layout de(nodeadkeys)", Verb::Layout("de(nodeadkeys)".to_owned())),
            ("timeout 30s", Verb::Timeout(ms(30_000))),
            ("pace 5ms", Verb::Pace(ms(5))),
        ] {
            assert_eq!(read(line), verb, "{line}");
        }
    }

    #[test]
    fn lines_are_counted_and_empty_ones_left_out() {
        let lines = parse("# one\n\n  key a  # three\r\ntype b\n").unwrap();
        let said: Vec<_> = lines.iter().map(|line| (line.number, line.said.as_str())).collect();
        assert_eq!(said, [(3, "key a  # three"), (4, "type b")]);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (text, line, says) in [
            ("\ntpye \"a\"", 2, "there is no \"tpye\"; did you mean \"type\"?"),
            ("clik 1,2", 1, "did you mean \"click\"?"),
            ("frobnicate", 1, "there is no \"frobnicate\"; a line begins with one of type, key"),
            ("\"\"", 1, "there is no \"\""),
            ("hepl", 1, "there is no \"hepl\"; a line begins"),
            ("--help", 1, "there is no \"--help\""),
            ("type", 1, "the text is missing; it is written as type \"TEXT\""),
            (
                "type a b",
                1,
                "\"b\" is too much (a text with blanks needs quotes); it is written as",
            ),
            ("type \"a", 1, "does not end"),
            ("key", 1, "the key is missing"),
            ("move 100", 1, "\"100\" is no place, as 100,200 is; it is written as move X,Y"),
            ("move -1,2", 1, "no place"),
            ("click lft", 1, "\"lft\" is no place"),
            ("drag 1,2", 1, "where it ends is missing"),
            ("scroll far", 1, "\"far\" is no number of notches"),
            ("scroll -1001", 1, "up to 1000"),
            ("pause 5", 1, "\"5\" is no time"),
            ("timeout 0s", 1, "no time to wait"),
            ("wait", 1, "what to wait for is missing"),
            ("wait change until 5s", 1, "\"until\" is too much; it is written as wait CONDITION"),
            ("wait change within", 1, "the time is missing"),
            (r#"move "1\n2""#, 1, r#""1\n2" is no place"#),
            ("expect a.png tolerance 256", 1, "\"256\" is no tolerance from 0 to 255"),
            ("expect a.png mask", 1, "the mask's file is missing"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.line == line && wrong.what.contains(says), "{text}: {wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_script_or_wrong_in_one_of_its_lines(text in "(\\PC|[\n\"\\\\# ,+])*") {
            check(&text);
        }

        #[test]
        fn any_words_after_a_verb_are_read_or_refused(
            verb in proptest::sample::select(VERBS.map(|(name, ..)| name).to_vec()),
            rest in "( (within|mask|tolerance|left|[0-9]{1,11},?[0-9]{0,11}|-?[0-9]{1,11}|[0-9.]{1,5}(ms|s|min)|\"\\PC*\"?)){0,5}",
        ) {
            check(&format!("{verb}{rest}"));
        }
    }

    fn check(text: &str) {
        match parse(text) {
            Ok(lines) => assert!(lines.len() <= text.lines().count()),
            Err(wrong) => {
                assert!((1..=text.lines().count()).contains(&wrong.line), "{wrong:?}");
                assert!(!wrong.what.is_empty() && !wrong.what.contains('\n'), "{wrong:?}");
            }
        }
    }
}
