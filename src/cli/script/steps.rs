//! What a script does, with all that it needs looked up: pictures are read and keys found before the guest
//! hears of anything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parse::{Button, Line, Place, Verb};
use crate::capture::{Condition, Likeness, Picture, PictureFormat, read_picture};
use crate::cli::diff::Wanted;
use crate::cli::exit::Failure;
use crate::cli::whole;
use crate::frame::{Input, NOTCH};
use crate::typing::Keymap;

/// Between where a drag begins and where it ends; a guest that saw none of them would see a jump.
const DRAG_STOPS: u32 = 8;

/// One line, ready to be done.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) said: String,
    pub(super) act: Act,
}

#[derive(Debug)]
pub(super) enum Act {
    /// Each, with as much time between them.
    Send(Vec<Input>, Duration),
    Pause(Duration),
    Wait(Box<Condition>, Duration),
    /// Until the virtual machine has ended.
    Gone(Duration),
    /// The time is how long a first picture is waited for.
    Expect(Box<Wanted>, Duration),
    Dump(PathBuf, PictureFormat, Duration),
    Print(String),
}

/// How lines are understood; what a script says for the lines that follow.
#[derive(Debug)]
pub(super) struct Manner {
    /// Where files lie whose names are relative.
    pub(super) folder: PathBuf,
    pub(super) layout: String,
    pub(super) timeout: Duration,
    pub(super) pace: Duration,
}

/// Prepares all of them; fails with the line where that is not to be done.
pub(super) fn prepare(lines: Vec<Line>, manner: Manner, file: &str) -> Result<Vec<Step>, Failure> {
    let mut writer = Preparing { manner, keymap: None, held: Vec::new() };
    let mut steps = Vec::with_capacity(lines.len());
    for Line { number, said, verb } in lines {
        let act = writer.act(verb).map_err(|failure| failure.at(&format!("{file}:{number}")))?;
        steps.extend(act.map(|act| Step { line: number, said, act }));
    }
    Ok(steps)
}

struct Preparing {
    manner: Manner,
    /// Made for the first key.
    keymap: Option<Keymap>,
    /// Keys that the script holds at this line.
    held: Vec<u32>,
}

impl Preparing {
    fn act(&mut self, verb: Verb) -> Result<Option<Act>, Failure> {
        let timeout = self.manner.timeout;
        Ok(Some(match verb {
            Verb::Layout(name) => {
                self.keymap = Some(Keymap::named(&name).map_err(Failure::usage)?);
                self.manner.layout = name;
                return Ok(None);
            }
            Verb::Timeout(timeout) => {
                self.manner.timeout = timeout;
                return Ok(None);
            }
            Verb::Pace(pace) => {
                self.manner.pace = pace;
                return Ok(None);
            }
            Verb::Type(text) => {
                let inputs = self.keymap()?.text(&text).map_err(Failure::usage)?;
                self.send(inputs)
            }
            Verb::Key(words) => {
                let mut inputs = Vec::new();
                for word in words {
                    let codes = self.codes(&word)?;
                    inputs.extend(codes.iter().map(|&code| key(code, true)));
                    inputs.extend(codes.iter().rev().map(|&code| key(code, false)));
                }
                self.send(inputs)
            }
            Verb::Hold(words) => {
                let mut inputs = Vec::new();
                for word in words {
                    let mut codes = self.codes(&word)?;
                    codes.retain(|code| !self.held.contains(code));
                    inputs.extend(codes.iter().map(|&code| key(code, true)));
                    self.held.append(&mut codes);
                }
                Act::Send(inputs, self.manner.pace)
            }
            Verb::Release(words) => Act::Send(self.release(&words)?, self.manner.pace),
            Verb::Move(place) => self.send(vec![at(place)]),
            Verb::Click { button, at: place, times } => {
                let mut inputs: Vec<_> = place.map(at).into_iter().collect();
                for _ in 0..times {
                    inputs.extend([press(button, true), press(button, false)]);
                }
                self.send(inputs)
            }
            Verb::Drag { button, from, to } => {
                let mut inputs = vec![at(from), press(button, true)];
                inputs.extend((1..=DRAG_STOPS).map(|stop| at(between(from, to, stop))));
                inputs.push(press(button, false));
                self.send(inputs)
            }
            Verb::Scroll(notches) => {
                let notch = Input::Wheel { dx: 0, dy: NOTCH * notches.signum() };
                self.send(vec![notch; notches.unsigned_abs() as usize])
            }
            Verb::Pause(time) => Act::Pause(time),
            Verb::Wait { condition, mask, within } => {
                let within = within.unwrap_or(timeout);
                if condition == "gone" && mask.is_none() {
                    return Ok(Some(Act::Gone(within)));
                }
                let condition = Condition::parse_in(&condition, &self.manner.folder)?;
                let condition = match self.mask(mask)? {
                    Some(mask) => condition.masked(mask),
                    None => condition,
                };
                condition.suits().map_err(Failure::usage)?;
                Act::Wait(Box::new(condition), within)
            }
            Verb::Expect { wanted, tolerance, mask } => {
                let likeness = Likeness { tolerance, mask: self.mask(mask)? };
                let wanted = Wanted::read(&self.path(&wanted), likeness, None)?;
                Act::Expect(Box::new(wanted), timeout)
            }
            Verb::Dump(file) => {
                let path = self.path(&file);
                let format = PictureFormat::of(&path).ok_or_else(|| {
                    let known = PictureFormat::ALL.map(|format| format!(".{format}")).join(", ");
                    Failure::wrong(&format!("{} has none of the endings {known}", path.display()))
                })?;
                whole::check(&path)?;
                Act::Dump(path, format, timeout)
            }
            Verb::Print(text) => Act::Print(text),
        }))
    }

    fn path(&self, file: &Path) -> PathBuf {
        self.manner.folder.join(file)
    }

    fn mask(&self, file: Option<PathBuf>) -> Result<Option<Picture>, Failure> {
        Ok(file.map(|file| read_picture(&self.path(&file))).transpose()?)
    }

    fn keymap(&mut self) -> Result<&Keymap, Failure> {
        if self.keymap.is_none() {
            self.keymap = Some(Keymap::named(&self.manner.layout).map_err(Failure::usage)?);
        }
        Ok(self.keymap.as_ref().expect("made above"))
    }

    fn codes(&mut self, word: &str) -> Result<Vec<u32>, Failure> {
        self.keymap()?.keys(word).map_err(Failure::usage)
    }

    /// What the script holds stays as it is.
    fn send(&self, mut inputs: Vec<Input>) -> Act {
        inputs
            .retain(|input| !matches!(input, Input::Key { code, .. } if self.held.contains(code)));
        Act::Send(inputs, self.manner.pace)
    }

    /// Those of these words, or of none all, the last one first.
    fn release(&mut self, words: &[String]) -> Result<Vec<Input>, Failure> {
        let mut codes = Vec::new();
        for word in words {
            let of_word = self.codes(word)?;
            if !of_word.iter().any(|code| self.held.contains(code)) {
                return Err(Failure::wrong(&format!(
                    "\"{word}\" is not held here: write hold {word} before it, or release alone for all keys"
                )));
            }
            codes.extend(of_word);
        }
        let is_named = |code: &u32| words.is_empty() || codes.contains(code);
        let (mut lifted, kept): (Vec<_>, Vec<_>) =
            self.held.iter().partition(|code| is_named(code));
        self.held = kept;
        lifted.reverse();
        Ok(lifted.into_iter().map(|code| key(code, false)).collect())
    }
}

fn key(code: u32, pressed: bool) -> Input {
    Input::Key { code, pressed }
}

fn at(Place { x, y }: Place) -> Input {
    Input::PointerAt { x, y }
}

fn press(button: Button, pressed: bool) -> Input {
    // BTN_LEFT, BTN_RIGHT and BTN_MIDDLE.
    let code = match button {
        Button::Left => 0x110,
        Button::Right => 0x111,
        Button::Middle => 0x112,
    };
    Input::Button { code, pressed }
}

/// One of the stops of a drag; the last is where it ends.
fn between(from: Place, to: Place, stop: u32) -> Place {
    let way = |a: u32, b: u32| {
        let way = (i64::from(b) - i64::from(a)) * i64::from(stop) / i64::from(DRAG_STOPS);
        u32::try_from(i64::from(a) + way).expect("it lies between both")
    };
    Place { x: way(from.x, to.x), y: way(from.y, to.y) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::script::parse::parse;

    fn steps(script: &str) -> Result<Vec<Step>, String> {
        let manner = Manner {
            folder: PathBuf::from("nowhere"),
            layout: "us".to_owned(),
            timeout: Duration::from_secs(60),
            pace: Duration::from_millis(20),
        };
        prepare(parse(script).unwrap(), manner, "a.fan").map_err(|failure| failure.to_string())
    }

    #[test]
    fn times_count_from_their_line_on() {
        let ms = Duration::from_millis;
        let all = steps(
            "key a\nwait change\ntimeout 1s\npace 5ms\nkey a\nwait change\nwait gone within 2s",
        )
        .unwrap();
        let times = all.iter().map(|step| match &step.act {
            Act::Send(_, time) | Act::Wait(_, time) | Act::Gone(time) => *time,
            other => panic!("{other:?}"),
        });
        let times: Vec<_> = all.iter().map(|step| step.line).zip(times).collect();
        assert_eq!(times, [(1, ms(20)), (2, ms(60_000)), (5, ms(5)), (6, ms(1000)), (7, ms(2000))]);
    }

    #[test]
    fn what_is_missing_is_said_with_its_line() {
        for (script, says) in [
            ("key a\nexpect b.png", "a.fan:2: can't read nowhere/b.png"),
            ("wait region:1,2,3,4:match:c.png:9", "a.fan:1: can't read nowhere/c.png"),
            ("hold shift\nrelease ctrl", "a.fan:2: \"ctrl\" is not held here"),
        ] {
            let said = steps(script).unwrap_err();
            assert!(said.starts_with(says), "{said}");
        }
    }

    #[test]
    fn a_drag_goes_from_end_to_end() {
        let far = u32::MAX;
        let all = steps(&format!("drag right {far},0 0,{far}")).unwrap();
        let Act::Send(inputs, _) = &all[0].act else { panic!("{all:?}") };
        let (right, last) = (0x111, inputs.len() - 1);
        assert_eq!(inputs[0], Input::PointerAt { x: far, y: 0 });
        assert_eq!(inputs[1], Input::Button { code: right, pressed: true });
        assert_eq!(inputs[last - 1], Input::PointerAt { x: 0, y: far });
        assert_eq!(inputs[last], Input::Button { code: right, pressed: false });
    }
}
