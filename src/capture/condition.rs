//! What can be waited for.

use std::fmt;
#[cfg(feature = "pictures")]
use std::path::Path;
use std::time::Duration;

use super::{Likeness, MaskSize};
use crate::frame::{Picture, Rect, Size};

/// A cell of text, as firmware and consoles have them: what changes in no more than that may be a cursor that blinks.
pub const CELL: Size = Size { width: 10, height: 20 };

/// Something that a screen may come to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub(super) kind: Kind,
    /// The part of the screen that is looked at; all of it where there is none.
    pub(super) area: Option<Rect>,
    /// What is black in it may look like anything.
    pub(super) mask: Option<Picture>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Change,
    Stable {
        lasts: Duration,
        ignore: Size,
    },
    Match {
        wanted: Picture,
        tolerance: u8,
        /// What it is called, where it has a name.
        name: String,
    },
}

impl Condition {
    fn new(kind: Kind) -> Self {
        Self { kind, area: None, mask: None }
    }

    /// Another picture than where the waiting begins.
    pub fn change() -> Self {
        Self::new(Kind::Change)
    }

    /// The same picture for so long, but for what is no larger than a [`CELL`].
    pub fn stable(lasts: Duration) -> Self {
        Self::new(Kind::Stable { lasts, ignore: CELL })
    }

    /// Of [`stable`](Self::stable): all that differs meanwhile may lie in a rectangle of this size. Nothing else heeds it.
    #[must_use]
    pub fn ignoring(mut self, size: Size) -> Self {
        if let Kind::Stable { ignore, .. } = &mut self.kind {
            *ignore = size;
        }
        self
    }

    /// A picture like this one, which is called `name` in what is said of it.
    pub fn like(wanted: Picture, likeness: Likeness, name: &str) -> Self {
        let Likeness { tolerance, mask } = likeness;
        Self { mask, ..Self::new(Kind::Match { wanted, tolerance, name: name.to_owned() }) }
    }

    /// The same of this part of the screen alone. Of a picture to be like, its part counts, or if it is as large as
    /// the part, all of it.
    #[must_use]
    pub fn within(self, area: Rect) -> Self {
        Self { area: Some(area), ..self }
    }

    /// The same, where what is black in `mask` may look like anything. It is as large as the screen, or as the
    /// [part](Self::within) of it that is looked at; a screen of another size is none of which this can be so, but that
    /// it comes to have another size is a change.
    #[must_use]
    pub fn masked(self, mask: Picture) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// Fails where the [mask](Self::masked) can't be one for the picture that the screen should be like. What sizes the
    /// screen has only the guest knows.
    ///
    /// # Errors
    /// With both sizes.
    pub fn suits(&self) -> Result<(), MaskSize> {
        let (Kind::Match { wanted, .. }, Some(mask)) = (&self.kind, &self.mask) else {
            return Ok(());
        };
        let fits = match self.area {
            // All of that screen, or of the part.
            Some(area) if !self.is_of_part(wanted) => {
                mask.size == wanted.size || mask.size == size_of(area)
            }
            Some(area) => {
                let covered = mask.crop(area).map(|part| part.size);
                [Some(mask.size), covered].contains(&Some(wanted.size))
            }
            None => mask.size == wanted.size,
        };
        if fits { Ok(()) } else { Err(MaskSize { mask: mask.size, picture: wanted.size }) }
    }

    /// Fails where the [mask](Self::masked) is for screens of another size than this one.
    ///
    /// # Errors
    /// With both sizes.
    pub fn suits_screen(&self, screen: &Picture) -> Result<(), MaskSize> {
        let Some(mask) = &self.mask else { return Ok(()) };
        let part = self.area.and_then(|area| area.intersection(screen.whole()));
        if mask.size == screen.size || part.is_some_and(|part| size_of(part) == mask.size) {
            return Ok(());
        }
        Err(MaskSize { mask: mask.size, picture: screen.size })
    }

    /// Whether the picture that the screen should be like is one of the part that is looked at.
    pub(super) fn is_of_part(&self, wanted: &Picture) -> bool {
        self.area.is_some_and(|area| size_of(area) == wanted.size)
    }

    /// How it is said that it isn't so.
    pub(super) fn unmet(&self) -> String {
        let mut said = match &self.kind {
            Kind::Change => "the screen did not change".to_owned(),
            Kind::Stable { lasts, .. } => {
                format!("the screen was not still for {} s", lasts.as_secs_f32())
            }
            Kind::Match { name, .. } => format!("the screen did not look like {name}"),
        };
        if let Some(Rect { x, y, width, height }) = self.area {
            said = format!("{said} in {width}x{height} at {x},{y}");
        }
        said
    }
}

fn size_of(Rect { width, height, .. }: Rect) -> Size {
    Size { width, height }
}

/// As [`parse`](Condition::parse) reads it; a picture by the name of its file.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Rect { x, y, width, height }) = self.area {
            write!(f, "region:{x},{y},{width},{height}:")?;
        }
        match &self.kind {
            Kind::Change => f.write_str("change"),
            Kind::Stable { lasts, ignore } => {
                write!(f, "stable:{}ms", lasts.as_millis())?;
                if *ignore == CELL {
                    Ok(())
                } else {
                    write!(f, ":ignore={}x{}", ignore.width, ignore.height)
                }
            }
            Kind::Match { name, tolerance: 0, .. } => write!(f, "match:{name}"),
            Kind::Match { name, tolerance, .. } => write!(f, "match:{name}:{tolerance}"),
        }
    }
}

/// Why a text names no condition.
#[cfg(feature = "pictures")]
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    /// It isn't written as one.
    #[error(
        "\"{text}\" can't be waited for: {why}; it can be change, stable:500ms, stable:2s:ignore=10x20, \
         match:FILE, match:FILE:TOLERANCE, or one of them after region:X,Y,WIDTH,HEIGHT:"
    )]
    Text {
        /// All of it.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The picture that it names can't be read.
    #[error(transparent)]
    Picture(#[from] super::PictureError),
}

#[cfg(feature = "pictures")]
impl Condition {
    /// Reads `change`, `stable:500ms`, `stable:2s:ignore=8x16`, `match:FILE`, `match:FILE:8` (a tolerance), and each of them
    /// for a part of the screen: `region:X,Y,WIDTH,HEIGHT:stable:1s`. A region alone means a change in it. The picture
    /// is read at once.
    ///
    /// # Errors
    /// If it is none of these, or there is no such picture.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        Self::parse_in(text, Path::new(""))
    }

    /// The same, where pictures whose names are relative lie in `folder`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_in(text: &str, folder: &Path) -> Result<Self, ConditionError> {
        let wrong = |why: String| ConditionError::Text { text: text.to_owned(), why };
        let (area, rest) = match text.strip_prefix("region:") {
            Some(rest) => {
                let (area, rest) = rest.split_once(':').unwrap_or((rest, "change"));
                (Some(parse_rect(area).map_err(wrong)?), rest)
            }
            None => (None, text),
        };
        let (word, rest) =
            rest.split_once(':').map_or((rest, None), |(word, rest)| (word, Some(rest)));
        let mut condition = match (word, rest) {
            ("change", None) => Self::change(),
            ("stable", Some(rest)) => {
                let (lasts, ignore) =
                    rest.split_once(':').map_or((rest, None), |(a, b)| (a, Some(b)));
                let stable = Self::stable(parse_duration(lasts).map_err(wrong)?);
                match ignore.map(|ignore| ignore.strip_prefix("ignore=").and_then(parse_size)) {
                    None => stable,
                    Some(Some(size)) => stable.ignoring(size),
                    Some(None) => {
                        return Err(wrong(
                            "after the time comes only ignore=WIDTHxHEIGHT".to_owned(),
                        ));
                    }
                }
            }
            ("match", Some(rest)) if !rest.is_empty() => {
                let tolerance =
                    rest.rsplit_once(':').and_then(|(file, n)| Some((file, n.parse().ok()?)));
                let (file, tolerance) = tolerance.unwrap_or((rest, 0));
                let path = folder.join(file);
                let wanted = super::read_picture(&path)?;
                let likeness = Likeness { tolerance, mask: None };
                Self::like(wanted, likeness, &path.display().to_string())
            }
            ("stable", None) => return Err(wrong("it doesn't say for how long".to_owned())),
            ("match", _) => return Err(wrong("it names no picture".to_owned())),
            _ => return Err(wrong(format!("nothing is known of \"{word}\""))),
        };
        condition.area = area;
        Ok(condition)
    }
}

/// `500ms`, `2s`, `1.5s`, `1min`.
///
/// # Errors
/// If it is no time, with the reason.
#[cfg(feature = "pictures")]
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        _ => return Err(format!("\"{text}\" is no time: write 500ms, 2s or 1min")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("\"{text}\" is no time: write 500ms, 2s or 1min"))?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| format!("{text} is no time to wait"))
}

/// `X,Y,WIDTH,HEIGHT`.
///
/// # Errors
/// If it is no part of a screen, with the reason.
#[cfg(feature = "pictures")]
pub fn parse_rect(text: &str) -> Result<Rect, String> {
    let numbers: Option<Vec<u32>> =
        text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[x, y, width, height]) if width > 0 && height > 0 => Ok(Rect { x, y, width, height }),
        _ => Err(format!("\"{text}\" is no part of a screen: write X,Y,WIDTH,HEIGHT, in pixels")),
    }
}

#[cfg(feature = "pictures")]
fn parse_size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    Some(Size { width: width.parse().ok()?, height: height.parse().ok()? })
}

#[cfg(all(test, feature = "pictures"))]
mod tests {
    use super::*;
    use crate::capture::PictureFormat;

    #[test]
    fn what_can_be_waited_for_is_read() {
        let rect = Rect { x: 1, y: 2, width: 30, height: 4 };
        let ms = Duration::from_millis;
        for (text, wanted) in [
            ("change", Condition::change()),
            ("stable:500ms", Condition::stable(ms(500))),
            ("stable:1.5s:ignore=0x0", Condition::stable(ms(1500)).ignoring(Size::default())),
            ("stable:1min", Condition::stable(ms(60_000))),
            ("region:1,2,30,4", Condition::change().within(rect)),
            ("region:1,2,30,4:stable:2s", Condition::stable(ms(2000)).within(rect)),
        ] {
            let read = Condition::parse(text).unwrap();
            assert_eq!(read, wanted, "{text}");
            assert_eq!(Condition::parse(&read.to_string()).unwrap(), wanted, "{read}");
        }
    }

    #[test]
    fn a_picture_is_read_at_once_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a:b.png");
        let picture = Picture::black(Size { width: 2, height: 1 });
        PictureFormat::Png.write(&picture, std::fs::File::create(&path).unwrap()).unwrap();
        for (more, tolerance) in [("", 0), (":8", 8)] {
            let text = format!("match:{}{more}", path.display());
            let likeness = Likeness { tolerance, mask: None };
            let name = path.to_str().unwrap();
            assert_eq!(
                Condition::parse(&text).unwrap(),
                Condition::like(picture.clone(), likeness, name)
            );
        }
        let missing = Condition::parse("match:/nowhere.png").unwrap_err().to_string();
        assert!(missing.starts_with("can't read /nowhere.png"), "{missing}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "nothing is known of \"\""),
            ("still:1s", "nothing is known of \"still\""),
            ("change:1s", "nothing is known of \"change\""),
            ("stable", "for how long"),
            ("stable:", "\"\" is no time"),
            ("stable:5", "\"5\" is no time: write 500ms"),
            ("stable:0s", "no time to wait"),
            ("stable:1s:8x8", "ignore=WIDTHxHEIGHT"),
            ("match", "names no picture"),
            ("match:", "names no picture"),
            ("region:1,2,3", "no part of a screen"),
            ("region:1,2,0,4:change", "no part of a screen"),
            ("region:1,2,3,4:match", "names no picture"),
        ] {
            let said = Condition::parse(text).unwrap_err().to_string();
            assert!(
                said.contains(why) && said.contains("it can be change, stable:500ms"),
                "{said}"
            );
        }
    }
}
