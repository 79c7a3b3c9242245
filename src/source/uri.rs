//! What a source is called: `qemu:`, `qemu:NAME`, `qemu+unix:/path`, `qmp:/path`, `libvirt:DOMAIN`, `scanout:/path`, `demo:`.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::demo::{Settings, SettingsError};

/// The forms that [`Uri`] understands, for messages and help.
pub const FORMS: &str = "qemu:, qemu:NAME-or-UUID, qemu+unix:/path/to/bus.sock, qmp:/path/to/qmp.sock, \
     libvirt:DOMAIN, scanout:/path/to.sock, demo:";

/// Names one console of one virtual machine. Parsed and printed as text; printing what was parsed
/// gives an equal `Uri` again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// A QEMU on a message bus (`-display dbus`).
    Qemu {
        /// Which bus.
        bus: Bus,
        /// Name, UUID, or unique bus name of the virtual machine; `None`: the only one there is.
        vm: Option<String>,
        /// Number of the console; `None`: the first graphic one.
        console: Option<u32>,
    },
    /// A QEMU reached through its QMP socket (`-display dbus,p2p=yes`).
    Qmp {
        /// The socket.
        path: PathBuf,
        /// Number of the console; `None`: the first graphic one.
        console: Option<u32>,
    },
    /// A QEMU that libvirt started, with `<graphics type='dbus'>`.
    Libvirt {
        /// Name, id or UUID of the domain.
        domain: String,
        /// libvirt's own URI of the libvirt that has it; `None`: the one that virsh chooses.
        connect: Option<String>,
        /// Number of the console; `None`: the first graphic one.
        console: Option<u32>,
    },
    /// A backend that serves guest-scanout-v1.
    Scanout {
        /// Its socket.
        path: PathBuf,
        /// Number of the console; `None`: the first graphic one.
        console: Option<u32>,
    },
    /// A simulated guest inside this process.
    Demo(Settings),
}

impl Uri {
    /// The number of the console that it names, if it does.
    pub fn console(&self) -> Option<u32> {
        match self {
            Self::Qemu { console, .. }
            | Self::Qmp { console, .. }
            | Self::Libvirt { console, .. }
            | Self::Scanout { console, .. } => *console,
            Self::Demo(_) => None,
        }
    }
}

/// A D-Bus message bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// The session's own (`DBUS_SESSION_BUS_ADDRESS`).
    Session,
    /// One that listens at this socket.
    Unix(PathBuf),
}

/// Why a text is no [`Uri`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme:`.
    #[error("\"{0}\" has no scheme: use one of {FORMS}")]
    NoScheme(String),
    /// A scheme that nothing here speaks.
    #[error("the scheme \"{0}:\" is unknown: use one of {FORMS}")]
    UnknownScheme(String),
    /// `libvirt:` without a name.
    #[error("\"libvirt:\" needs a domain, as in libvirt:my-vm: `virsh list` shows those that run")]
    NoDomain,
    /// A socket's path is missing or relative.
    #[error("\"{0}:\" needs the absolute path of a socket, as in {0}:/run/vm.sock")]
    NoPath(&'static str),
    /// A `key=value` that isn't known (or not here).
    #[error("\"{key}\" is no option of \"{scheme}:\": it takes {known}")]
    UnknownOption {
        /// Before the colon.
        scheme: &'static str,
        /// What was given.
        key: String,
        /// What would be understood.
        known: &'static str,
    },
    /// The same option twice.
    #[error("the option \"{0}\" is given more than once: give it once")]
    Repeated(String),
    /// A console that is no number.
    #[error("\"{0}\" is no console number: use one that `fanlight list` shows, as in ?console=0")]
    BadConsole(String),
    /// A demo that can't be.
    #[error(transparent)]
    Demo(#[from] SettingsError),
    /// `demo:` with something before its options.
    #[error("\"demo:\" has no name: write its options as in demo:?mode=resize, not \"{0}\"")]
    DemoName(String),
    /// `%` without two hex digits, or a name that isn't UTF-8.
    #[error("\"{0}\" is not percent-encoded text: write a percent sign as %25")]
    BadEscape(String),
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(UriError::NoScheme(text.to_owned()));
        };
        let (body, query) = rest.split_once('?').map_or((rest, ""), |(body, query)| (body, query));
        match scheme {
            "qemu" => {
                let options = Options::parse("qemu", "console", query)?;
                let vm = if body.is_empty() { None } else { Some(decode_text(body)?) };
                Ok(Self::Qemu { bus: Bus::Session, vm, console: options.console })
            }
            "qemu+unix" => {
                let options = Options::parse("qemu+unix", "name and console", query)?;
                let bus = Bus::Unix(decode_path("qemu+unix", body)?);
                Ok(Self::Qemu { bus, vm: options.name, console: options.console })
            }
            "qmp" => {
                let options = Options::parse("qmp", "console", query)?;
                Ok(Self::Qmp { path: decode_path("qmp", body)?, console: options.console })
            }
            "scanout" => {
                let options = Options::parse("scanout", "console", query)?;
                let path = decode_path("scanout", body)?;
                Ok(Self::Scanout { path, console: options.console })
            }
            "libvirt" => {
                let options = Options::parse("libvirt", "connect and console", query)?;
                let domain = decode_text(body)?;
                if domain.is_empty() {
                    return Err(UriError::NoDomain);
                }
                Ok(Self::Libvirt { domain, connect: options.connect, console: options.console })
            }
            "demo" => Ok(Self::Demo(parse_demo(body, query)?)),
            other => Err(UriError::UnknownScheme(other.to_owned())),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (option, console) = match self {
            Self::Qemu { bus: Bus::Session, vm, console } => {
                f.write_str("qemu:")?;
                encode(f, vm.as_deref().unwrap_or_default().as_bytes())?;
                (None, console)
            }
            Self::Qemu { bus: Bus::Unix(path), vm, console } => {
                f.write_str("qemu+unix:")?;
                encode(f, path.as_os_str().as_bytes())?;
                (vm.as_ref().map(|vm| ("name", vm)), console)
            }
            Self::Libvirt { domain, connect, console } => {
                f.write_str("libvirt:")?;
                encode(f, domain.as_bytes())?;
                (connect.as_ref().map(|uri| ("connect", uri)), console)
            }
            Self::Qmp { path, console } => {
                f.write_str("qmp:")?;
                encode(f, path.as_os_str().as_bytes())?;
                (None, console)
            }
            Self::Scanout { path, console } => {
                f.write_str("scanout:")?;
                encode(f, path.as_os_str().as_bytes())?;
                (None, console)
            }
            Self::Demo(settings) if *settings == Settings::default() => {
                return f.write_str("demo:");
            }
            Self::Demo(settings) => return write!(f, "demo:?{settings}"),
        };
        if let Some((key, value)) = option {
            write!(f, "?{key}=")?;
            encode(f, value.as_bytes())?;
        }
        if let Some(console) = console {
            write!(f, "{}console={console}", if option.is_some() { '&' } else { '?' })?;
        }
        Ok(())
    }
}

/// What follows the question mark.
#[derive(Default)]
struct Options {
    name: Option<String>,
    connect: Option<String>,
    console: Option<u32>,
}

impl Options {
    fn parse(scheme: &'static str, known: &'static str, query: &str) -> Result<Self, UriError> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let repeated = match key {
                "console" => {
                    let number =
                        value.parse().map_err(|_| UriError::BadConsole(value.to_owned()))?;
                    options.console.replace(number).is_some()
                }
                "name" if known.contains("name") => {
                    options.name.replace(decode_text(value)?).is_some()
                }
                "connect" if known.contains("connect") => {
                    options.connect.replace(decode_text(value)?).is_some()
                }
                _ => {
                    return Err(UriError::UnknownOption { scheme, key: key.to_owned(), known });
                }
            };
            if repeated {
                return Err(UriError::Repeated(key.to_owned()));
            }
        }
        Ok(options)
    }
}

fn parse_demo(body: &str, query: &str) -> Result<Settings, UriError> {
    if !body.is_empty() {
        return Err(UriError::DemoName(body.to_owned()));
    }
    let mut settings = Settings::default();
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !settings.set(key, value)? {
            let (scheme, known) = ("demo", Settings::NAMES);
            return Err(UriError::UnknownOption { scheme, key: key.to_owned(), known });
        }
        if seen.contains(&key) {
            return Err(UriError::Repeated(key.to_owned()));
        }
        seen.push(key);
    }
    Ok(settings)
}

fn decode_path(scheme: &'static str, text: &str) -> Result<PathBuf, UriError> {
    let bytes = decode(text).ok_or_else(|| UriError::BadEscape(text.to_owned()))?;
    let path = PathBuf::from(OsString::from_vec(bytes));
    if Path::is_absolute(&path) { Ok(path) } else { Err(UriError::NoPath(scheme)) }
}

fn decode_text(text: &str) -> Result<String, UriError> {
    decode(text)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| UriError::BadEscape(text.to_owned()))
}

/// Undoes percent-encoding; `None` for a percent sign without two hex digits after it.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

fn encode(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/:@+".contains(&byte) {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_back_as_it_was() {
        for text in [
            "qemu:",
            "qemu:my-vm",
            "qemu:5b2f7c7e-8a3e-4f3f-9d8a-0f1e2d3c4b5a?console=2",
            "qemu::1.42?console=0",
            "qemu:?console=1",
            "qemu:two%20words%3F%25",
            "qemu+unix:/run/bus.sock",
            "qemu+unix:/run/a%20b?name=vm&console=1",
            "qmp:/tmp/qmp.sock",
            "qmp:/tmp/qmp%FF.sock?console=3",
            "libvirt:my-vm",
            "libvirt:two%20words?connect=qemu:///system&console=1",
            "scanout:/run/vm.sock",
            "scanout:/run/vm.sock?console=1",
            "demo:",
            "demo:?mode=punch&size=640x480&fps=10&buffers=3&freshness=off",
        ] {
            let uri: Uri = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn names_are_decoded() {
        let uri: Uri = "qemu:two%20words%3f".parse().unwrap();
        let vm = Some("two words?".to_owned());
        assert_eq!(uri, Uri::Qemu { bus: Bus::Session, vm, console: None });
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, part) in [
            ("my-vm", "has no scheme"),
            ("vbox:vm", "\"vbox:\" is unknown: use one of qemu:,"),
            ("libvirt:", "needs a domain, as in libvirt:my-vm"),
            ("libvirt:vm?name=a", "it takes connect and console"),
            ("qemu:?connect=qemu:///system", "\"connect\" is no option"),
            ("spice:x", "\"spice:\" is unknown"),
            ("qmp:", "absolute path"),
            ("scanout:vm.sock", "absolute path"),
            ("qemu+unix:bus.sock", "absolute path"),
            ("qmp:/a?name=b", "\"name\" is no option of \"qmp:\": it takes console"),
            ("qemu:?head=1", "\"head\" is no option"),
            ("qemu:?console=1&console=2", "more than once"),
            ("qemu:?console=first", "\"first\" is no console number"),
            ("qemu:?console=-1", "no console number"),
            ("demo:flip", "demo:?mode=resize, not \"flip\""),
            ("demo:?mode=fast", "\"fast\" is no mode of the demo: use one of flip, inplace"),
            ("demo:?colour=red", "\"colour\" is no option of \"demo:\": it takes mode, size"),
            ("demo:?fps=9&fps=10", "more than once"),
            ("qemu:100%", "%25"),
            ("qemu:%zz", "%25"),
            ("qemu:%ff", "%25"),
        ] {
            let error = text.parse::<Uri>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
