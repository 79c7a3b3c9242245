//! What a test and a guest say to each other, a line each, over the guest's first serial port.
//!
//! The Linux guest takes a [`Command`] a line and answers each with [`Report`]s; the boot sector
//! reports in the same words and takes one letter: `n`, draw one frame more than the limit.

use std::fmt;
use std::str::FromStr;

/// What a test tells the Linux guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Load the drivers and begin, after [`Report::Booted`]; the mode to use, `None` for the one that the screen prefers. The
    /// answer is [`Report::Ready`].
    Start(Option<(u32, u32)>),
    /// Answer [`Report::Ok`] and do nothing.
    Ping,
    /// Give the screen back to the kernel's console, cleared, with this line of text on it.
    Text(String),
    /// Give the screen back to the kernel's console, cleared, and have somebody log in there: `root`, whose password is
    /// `fanlight`.
    Login,
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
    /// Show a cursor with its top left corner there, or none.
    Cursor(Option<(i32, i32)>),
    /// Load a module of the kernel's that isn't there from the start: `evdev` or `virtio_input`.
    Load(String),
    /// Take it out again.
    Unload(String),
    /// Open all input devices for the test alone, name each ([`Report::Device`]), be
    /// [`Report::Done`], and report what is done with them from then on ([`Report::Event`]).
    Listen,
    /// Switch the machine off.
    Poweroff,
}

/// What a guest tells the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The Linux guest's kernel is up, and has not touched its devices yet.
    Booted,
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
    /// One of the input devices that are listened to.
    Device {
        /// By which its events name it.
        number: u32,
        /// What the kernel calls it.
        name: String,
    },
    /// Something was done with an input device.
    Event(Event),
    /// What was recorded changed its sign so often.
    Heard(u32),
    /// The command failed, and why.
    Failed(String),
}

/// What the Linux guest's kernel says of an input device: a key, a button, a distance or a place. (Not
/// that it was all for now, nor scan codes.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The device's number.
    pub device: u32,
    /// Evdev's number of what kind it is: 1 for keys and buttons, 2 for distances, 3 for places.
    pub kind: u16,
    /// Evdev's number of the key or the axis.
    pub code: u16,
    /// 1 for down, 0 for up; or how far, or where.
    pub value: i32,
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
            Self::Start(Some((width, height))) => write!(f, "start {width}x{height}"),
            Self::Start(None) => write!(f, "start"),
            Self::Ping => write!(f, "ping"),
            Self::Text(text) => write!(f, "text {text}"),
            Self::Login => write!(f, "login"),
            Self::Flip { frames, hold_ms } => write!(f, "flip {frames} {hold_ms}"),
            Self::Still(frame) => write!(f, "still {frame}"),
            Self::Stop => write!(f, "stop"),
            Self::Mode { width, height } => write!(f, "mode {width}x{height}"),
            Self::Follow => write!(f, "follow"),
            Self::Second(frame) => write!(f, "second {frame}"),
            Self::Cursor(Some((x, y))) => write!(f, "cursor {x} {y}"),
            Self::Cursor(None) => write!(f, "cursor none"),
            Self::Load(module) => write!(f, "load {module}"),
            Self::Unload(module) => write!(f, "unload {module}"),
            Self::Listen => write!(f, "listen"),
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
            ("start", "") => Ok(Self::Start(None)),
            ("start", size) => Ok(Self::Start(Some(parse_size(size).ok_or_else(unknown)?))),
            ("ping", "") => Ok(Self::Ping),
            ("text", text) => Ok(Self::Text(text.to_owned())),
            ("login", "") => Ok(Self::Login),
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
            ("cursor", "none") => Ok(Self::Cursor(None)),
            ("cursor", place) => {
                let place = place.split_once(' ').ok_or_else(unknown)?;
                let [x, y] = [place.0, place.1].map(|word| word.parse().map_err(|_| unknown()));
                Ok(Self::Cursor(Some((x?, y?))))
            }
            ("load", module) if is_word(module) => Ok(Self::Load(module.to_owned())),
            ("unload", module) if is_word(module) => Ok(Self::Unload(module.to_owned())),
            ("listen", "") => Ok(Self::Listen),
            ("poweroff", "") => Ok(Self::Poweroff),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booted => write!(f, "booted"),
            Self::Ready { width, height } => write!(f, "ready {width}x{height}"),
            Self::Ok => write!(f, "ok"),
            Self::Frame(frame) => write!(f, "frame {frame}"),
            Self::Mode { width, height } => write!(f, "mode {width}x{height}"),
            Self::Screens(count) => write!(f, "screens {count}"),
            Self::Done => write!(f, "done"),
            Self::Device { number, name } => write!(f, "device {number} {name}"),
            Self::Event(Event { device, kind, code, value }) => {
                write!(f, "event {device} {kind} {code} {value}")
            }
            Self::Heard(count) => write!(f, "heard {count}"),
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
            ("booted", "") => Ok(Self::Booted),
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
            ("device", rest) => {
                let (number, name) = rest.split_once(' ').ok_or_else(unknown)?;
                let number = number.parse().map_err(|_| unknown())?;
                Ok(Self::Device { number, name: name.to_owned() })
            }
            ("event", rest) => parse_event(rest).map(Self::Event).ok_or_else(unknown),
            ("heard", count) => Ok(Self::Heard(count.parse().map_err(|_| unknown())?)),
            ("failed", why) => Ok(Self::Failed(why.to_owned())),
            _ => Err(unknown()),
        }
    }
}

/// Whether it can be the name of a module.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads `DEVICE KIND CODE VALUE`.
fn parse_event(words: &str) -> Option<Event> {
    let mut words = words.split(' ');
    let event = Event {
        device: words.next()?.parse().ok()?,
        kind: words.next()?.parse().ok()?,
        code: words.next()?.parse().ok()?,
        value: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(event)
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
            Command::Start(None),
            Command::Start(Some((800, 600))),
            Command::Ping,
            Command::Text("a line of text".into()),
            Command::Login,
            Command::Flip { frames: 20, hold_ms: 1000 },
            Command::Still(7),
            Command::Stop,
            Command::Mode { width: 800, height: 600 },
            Command::Follow,
            Command::Second(3),
            Command::Cursor(Some((-3, 40))),
            Command::Cursor(None),
            Command::Load("virtio_input".into()),
            Command::Unload("evdev".into()),
            Command::Listen,
            Command::Poweroff,
        ] {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        for wrong in [
            "",
            "start 8",
            "flip",
            "flip 3",
            "flip a b",
            "still",
            "mode 8",
            "ping x",
            "dance",
            "load ../x",
        ] {
            assert!(wrong.parse::<Command>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn reports_read_back() {
        for report in [
            Report::Booted,
            Report::Ready { width: 640, height: 480 },
            Report::Ok,
            Report::Frame(3),
            Report::Mode { width: 800, height: 600 },
            Report::Screens(2),
            Report::Done,
            Report::Device { number: 2, name: "QEMU Virtio Tablet".into() },
            Report::Event(Event { device: 2, kind: 2, code: 8, value: -1 }),
            Report::Heard(1365),
            Report::Failed("no such mode".into()),
        ] {
            assert_eq!(report.to_string().parse(), Ok(report));
        }
        for wrong in ["frame", "device x", "event 1 2 3", "event 1 2 3 4 5"] {
            assert!(wrong.parse::<Report>().is_err(), "{wrong:?}");
        }
    }
}
