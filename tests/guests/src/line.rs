//! What a test and a guest say to each other, a line each, over the guest's first serial port.
//!
//! The Linux guest takes a [`Command`] a line and answers each with [`Report`]s; the boot sector
//! reports in the same words and takes one letter: `n`, draw one frame more than the limit.

use std::fmt;
use std::str::FromStr;

/// What a test tells the Linux guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Answer [`Report::Ok`] and do nothing.
    Ping,
    /// Give the screen back to the kernel's console, cleared, with this line of text on it.
    Text(String),
    /// Flip between two buffers.
    Flip {
        /// How many frames, 0 for as many as there are until the next command.
        frames: u32,
        /// How long, in milliseconds, after a flip's event the next is drawn.
        hold_ms: u32,
    },
    /// Flip to one frame of this number and hold it.
    Still(u32),
    /// Stop flipping; the last frame stays.
    Stop,
    /// Use a mode of this size from the next frame on.
    Mode {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Use the mode that the screen prefers, and at each change of it show one frame more; say how
    /// many screens are connected, now and when that changes.
    Follow,
    /// Show one frame of this number on the second screen.
    Second(u32),
    /// Switch the machine off.
    Poweroff,
}

/// What a guest tells the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It takes commands (or draws) from now on; the screen's size.
    Ready {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The command is done, or under way if it lasts.
    Ok,
    /// This frame is whole: drawn (boot sector), or shown, its flip event received (Linux).
    Frame(u32),
    /// A mode of this size is used from the next frame on, because the screen prefers it.
    Mode {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// So many screens are connected.
    Screens(u32),
    /// All frames that were asked for are out; the last one stays.
    Done,
    /// The command failed, and why.
    Failed(String),
}

/// A line that is none of the words above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLine(pub String);

impl fmt::Display for UnknownLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown line: {:?}", self.0)
    }
}

impl std::error::Error for UnknownLine {}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping => write!(f, "ping"),
            Self::Text(text) => write!(f, "text {text}"),
            Self::Flip { frames, hold_ms } => write!(f, "flip {frames} {hold_ms}"),
            Self::Still(frame) => write!(f, "still {frame}"),
            Self::Stop => write!(f, "stop"),
            Self::Mode { width, height } => write!(f, "mode {width}x{height}"),
            Self::Follow => write!(f, "follow"),
            Self::Second(frame) => write!(f, "second {frame}"),
            Self::Poweroff => write!(f, "poweroff"),
        }
    }
}

impl FromStr for Command {
    type Err = UnknownLine;

    fn from_str(line: &str) -> Result<Self, UnknownLine> {
        let unknown = || UnknownLine(line.to_owned());
        let number = |word: &str| word.parse().map_err(|_| unknown());
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match (verb, rest) {
            ("ping", "") => Ok(Self::Ping),
            ("text", text) => Ok(Self::Text(text.to_owned())),
            ("flip", rest) => {
                let (frames, hold) = rest.split_once(' ').ok_or_else(unknown)?;
                Ok(Self::Flip { frames: number(frames)?, hold_ms: number(hold)? })
            }
            ("still", frame) => Ok(Self::Still(number(frame)?)),
            ("stop", "") => Ok(Self::Stop),
            ("mode", size) => {
                let (width, height) = parse_size(size).ok_or_else(unknown)?;
                Ok(Self::Mode { width, height })
            }
            ("follow", "") => Ok(Self::Follow),
            ("second", frame) => Ok(Self::Second(number(frame)?)),
            ("poweroff", "") => Ok(Self::Poweroff),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { width, height } => write!(f, "ready {width}x{height}"),
            Self::Ok => write!(f, "ok"),
            Self::Frame(frame) => write!(f, "frame {frame}"),
            Self::Mode { width, height } => write!(f, "mode {width}x{height}"),
            Self::Screens(count) => write!(f, "screens {count}"),
            Self::Done => write!(f, "done"),
            Self::Failed(why) => write!(f, "failed {why}"),
        }
    }
}

impl FromStr for Report {
    type Err = UnknownLine;

    fn from_str(line: &str) -> Result<Self, UnknownLine> {
        let unknown = || UnknownLine(line.to_owned());
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match (verb, rest) {
            ("ready", size) => {
                let (width, height) = parse_size(size).ok_or_else(unknown)?;
                Ok(Self::Ready { width, height })
            }
            ("ok", "") => Ok(Self::Ok),
            ("frame", frame) => Ok(Self::Frame(frame.parse().map_err(|_| unknown())?)),
            ("mode", size) => {
                let (width, height) = parse_size(size).ok_or_else(unknown)?;
                Ok(Self::Mode { width, height })
            }
            ("screens", count) => Ok(Self::Screens(count.parse().map_err(|_| unknown())?)),
            ("done", "") => Ok(Self::Done),
            ("failed", why) => Ok(Self::Failed(why.to_owned())),
            _ => Err(unknown()),
        }
    }
}

/// Reads `WIDTHxHEIGHT`.
#[must_use]
pub fn parse_size(size: &str) -> Option<(u32, u32)> {
    let (width, height) = size.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_back() {
        for command in [
            Command::Ping,
            Command::Text("a line of text".into()),
            Command::Flip { frames: 20, hold_ms: 1000 },
            Command::Still(7),
            Command::Stop,
            Command::Mode { width: 800, height: 600 },
            Command::Follow,
            Command::Second(3),
            Command::Poweroff,
        ] {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        for wrong in ["", "flip", "flip 3", "flip a b", "still", "mode 8", "ping x", "dance"] {
            assert!(wrong.parse::<Command>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn reports_read_back() {
        for report in [
            Report::Ready { width: 640, height: 480 },
            Report::Ok,
            Report::Frame(3),
            Report::Mode { width: 800, height: 600 },
            Report::Screens(2),
            Report::Done,
            Report::Failed("no such mode".into()),
        ] {
            assert_eq!(report.to_string().parse(), Ok(report));
        }
        assert!("frame".parse::<Report>().is_err());
    }
}
