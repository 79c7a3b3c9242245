//! What a demo guest is to do: what `demo:?…` and the flags of `fanlight demo` say.

use std::fmt;
use std::str::FromStr;

use crate::frame::Size;

/// Shortest and longest side of a demo's picture, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 64..=4096;
/// Frames a second.
const FPS: std::ops::RangeInclusive<u32> = 1..=240;
/// Buffers of a guest that flips.
const BUFFERS: std::ops::RangeInclusive<u32> = 2..=3;

/// What a demo guest does besides drawing. Every event of a mode comes once a second, if nothing
/// else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Draws into a buffer that isn't shown, and shows it then.
    #[default]
    Flip,
    /// Draws into the one buffer that it has.
    InPlace,
    /// Sets another size.
    Resize,
    /// Sets another pixel format.
    Format,
    /// Moves and changes its mouse cursor with every frame.
    Cursor,
    /// Loses pages while it draws every third frame, and tells nobody.
    Punch,
    /// Loses all pages of what it shows, and says so before and after.
    Told,
    /// A balloon sweeps through all of its RAM, a piece with every frame, and tells nobody.
    Balloon,
    /// Truncates the memfds that it shows, and starts anew with others.
    Truncate,
    /// Drops all of its RAM, stays dark for half a second, and comes back in another size; every
    /// two seconds.
    Reboot,
}

impl Mode {
    /// All modes, in the order in which help names them.
    pub const ALL: [Self; 10] = [
        Self::Flip,
        Self::InPlace,
        Self::Resize,
        Self::Format,
        Self::Cursor,
        Self::Punch,
        Self::Told,
        Self::Balloon,
        Self::Truncate,
        Self::Reboot,
    ];

    /// As in `?mode=…`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flip => "flip",
            Self::InPlace => "inplace",
            Self::Resize => "resize",
            Self::Format => "format",
            Self::Cursor => "cursor",
            Self::Punch => "punch",
            Self::Told => "told",
            Self::Balloon => "balloon",
            Self::Truncate => "truncate",
            Self::Reboot => "reboot",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let named = Self::ALL.into_iter().find(|mode| mode.name() == text);
        named.ok_or_else(|| SettingsError::Mode(text.to_owned()))
    }
}

/// How a demo guest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What it does.
    pub mode: Mode,
    /// Its picture, in pixels; modes that set others set smaller ones.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
    /// How many buffers it has where it flips: 2, or 3. In place it has one.
    pub buffers: u32,
    /// Whether the server proves its pages fresh before each update. Off, a mode that loses pages
    /// shows stale ones: to see that they are noticed.
    pub freshness: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let size = Size { width: 1280, height: 720 };
        Self { mode: Mode::Flip, size, fps: 60, buffers: 2, freshness: true }
    }
}

/// A setting that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No such mode.
    #[error("\"{0}\" is no mode of the demo: use one of {modes}", modes = Mode::ALL.map(Mode::name).join(", "))]
    Mode(String),
    /// No size, or one out of bounds.
    #[error("\"{0}\" is no size for the demo: write WIDTHxHEIGHT, each {low} to {high}", low = SIDES.start(), high = SIDES.end())]
    Size(String),
    /// No number of frames a second, or out of bounds.
    #[error("\"{0}\" is no pace for the demo: use {low} to {high} frames a second", low = FPS.start(), high = FPS.end())]
    Fps(String),
    /// Neither 2 nor 3.
    #[error("\"{0}\" is no number of buffers for the demo: use 2 or 3")]
    Buffers(String),
    /// Neither on nor off.
    #[error("\"{0}\" is neither on nor off")]
    Switch(String),
}

/// Reads `WIDTHxHEIGHT`.
///
/// # Errors
/// If it is no size, or a side is out of bounds.
pub fn parse_size(text: &str) -> Result<Size, SettingsError> {
    let side = |text: &str| text.parse().ok().filter(|side| SIDES.contains(side));
    text.split_once('x')
        .and_then(|(width, height)| Some(Size { width: side(width)?, height: side(height)? }))
        .ok_or_else(|| SettingsError::Size(text.to_owned()))
}

/// Reads a number of frames a second.
///
/// # Errors
/// If it is none, or out of bounds.
pub fn parse_fps(text: &str) -> Result<u32, SettingsError> {
    let fps = text.parse().ok().filter(|fps| FPS.contains(fps));
    fps.ok_or_else(|| SettingsError::Fps(text.to_owned()))
}

/// Reads a number of buffers.
///
/// # Errors
/// If it is neither 2 nor 3.
pub fn parse_buffers(text: &str) -> Result<u32, SettingsError> {
    let buffers = text.parse().ok().filter(|buffers| BUFFERS.contains(buffers));
    buffers.ok_or_else(|| SettingsError::Buffers(text.to_owned()))
}

/// Reads `on` or `off`.
///
/// # Errors
/// If it is neither.
pub fn parse_switch(text: &str) -> Result<bool, SettingsError> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(SettingsError::Switch(other.to_owned())),
    }
}

impl Settings {
    /// The names that [`set`](Self::set) knows, for messages.
    pub const NAMES: &str = "mode, size, fps, buffers and freshness";

    /// Sets one of them by its name; false if there is none of that name.
    ///
    /// # Errors
    /// If the value can't be.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, SettingsError> {
        match name {
            "mode" => self.mode = value.parse()?,
            "size" => self.size = parse_size(value)?,
            "fps" => self.fps = parse_fps(value)?,
            "buffers" => self.buffers = parse_buffers(value)?,
            "freshness" => self.freshness = parse_switch(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// As behind the question mark of a URI: what isn't as by default.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Self::default();
        let mut between = "";
        let mut say = |named: bool, words: fmt::Arguments<'_>| {
            if named {
                write!(f, "{between}{words}")?;
                between = "&";
            }
            Ok(())
        };
        let Size { width, height } = self.size;
        say(self.mode != usual.mode, format_args!("mode={}", self.mode))?;
        say(self.size != usual.size, format_args!("size={width}x{height}"))?;
        say(self.fps != usual.fps, format_args!("fps={}", self.fps))?;
        say(self.buffers != usual.buffers, format_args!("buffers={}", self.buffers))?;
        say(!self.freshness, format_args!("freshness=off"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let mut odd = Settings { mode: Mode::Punch, fps: 10, buffers: 3, ..Settings::default() };
        odd.size = Size { width: 320, height: 240 };
        odd.freshness = false;
        let text = odd.to_string();
        assert_eq!(text, "mode=punch&size=320x240&fps=10&buffers=3&freshness=off");
        let mut read = Settings::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            assert!(read.set(name, value).unwrap());
        }
        assert_eq!(read, odd);
        assert_eq!(Settings::default().to_string(), "");
    }

    #[test]
    fn every_mode_has_a_name_of_its_own() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
    }

    #[test]
    fn what_can_not_be_is_said() {
        let mut settings = Settings::default();
        for (name, value, words) in [
            ("mode", "fast", "flip, inplace"),
            ("size", "640", "WIDTHxHEIGHT"),
            ("size", "63x480", "64 to 4096"),
            ("size", "640x4097", "64 to 4096"),
            ("size", "-640x480", "64 to 4096"),
            ("fps", "0", "1 to 240"),
            ("fps", "sixty", "1 to 240"),
            ("buffers", "1", "2 or 3"),
            ("freshness", "no", "on nor off"),
        ] {
            let error = settings.set(name, value).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(value), "{name}={value}: {error}");
        }
        assert_eq!(settings.set("colour", "red"), Ok(false));
        assert_eq!(settings, Settings::default());
    }
}
