//! The Debian mirror that the host uses, from its apt configuration.

use crate::recipe::SUITE;
use std::fs;
use std::path::{Path, PathBuf};

/// The keys of Debian's archive, where the package debian-archive-keyring puts them.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    uri: String,
    keyring: Option<PathBuf>,
}

impl Mirror {
    /// The line for mmdebstrap.
    pub(crate) fn line(&self) -> String {
        let keyring = self.keyring.as_deref().unwrap_or(Path::new(KEYRING));
        let options = if keyring.exists() {
            format!("[signed-by={}] ", keyring.display())
        } else {
            String::new()
        };
        format!("deb {options}{} {SUITE} main", self.uri)
    }
}

/// The host's mirror; none where the host isn't Debian or names none.
pub(crate) fn host_mirror() -> Option<Mirror> {
    let os = fs::read_to_string("/etc/os-release").ok()?;
    if os_field(&os, "ID")? != "debian" {
        return None;
    }
    let codename = os_field(&os, "VERSION_CODENAME")?;
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(
        fs::read_dir("/etc/apt/sources.list.d")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    files.sort();
    files.iter().find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        match path.extension()?.to_str()? {
            "list" => from_lines(&text, codename),
            "sources" => from_deb822(&text, codename),
            _ => None,
        }
    })
}

fn os_field<'a>(os: &'a str, name: &str) -> Option<&'a str> {
    os.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

fn is_web(uri: &str) -> bool {
    uri.starts_with("http://") || uri.starts_with("https://")
}

/// `deb [signed-by=/path arch=amd64] URI SUITE COMPONENT...`
fn from_lines(text: &str, codename: &str) -> Option<Mirror> {
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let rest = line.trim().strip_prefix("deb ")?.trim();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next().filter(|uri| is_web(uri))?;
        if words.next()? != codename || !words.any(|component| component == "main") {
            return None;
        }
        let keyring =
            options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        Some(Mirror {
            uri: uri.into(),
            keyring: keyring.filter(|path| path.starts_with('/')).map(PathBuf::from),
        })
    })
}

/// Paragraphs of `Field: value`, a value goes on in lines that begin with a blank.
fn from_deb822(text: &str, codename: &str) -> Option<Mirror> {
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty()).find_map(|paragraph| {
        let mut fields: Vec<(String, Vec<&str>)> = Vec::new();
        for line in paragraph {
            if line.starts_with([' ', '\t']) {
                fields.last_mut()?.1.extend(line.split_whitespace());
            } else {
                let (name, value) = line.split_once(':')?;
                fields.push((name.to_ascii_lowercase(), value.split_whitespace().collect()));
            }
        }
        let field = |name: &str| {
            fields.iter().find(|field| field.0 == name).map_or(&[][..], |field| &field.1[..])
        };
        let has = |name: &str, value: &str| field(name).contains(&value);
        if !has("types", "deb")
            || !has("suites", codename)
            || !has("components", "main")
            || has("enabled", "no")
        {
            return None;
        }
        let uri = field("uris").iter().find(|uri| is_web(uri))?;
        // A key may also stand in the file itself; then Debian's own keyring has to do.
        let keyring = field("signed-by").first().filter(|path| path.starts_with('/'));
        Some(Mirror { uri: (*uri).into(), keyring: keyring.map(PathBuf::from) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(uri: &str, keyring: Option<&str>) -> Option<Mirror> {
        Some(Mirror { uri: uri.into(), keyring: keyring.map(PathBuf::from) })
    }

    #[test]
    fn one_line_format() {
        let text = "\
            # deb http://commented.example/debian bookworm main\n\
            deb-src http://source.example/debian bookworm main\n\
            deb cdrom:[Debian]/ bookworm main\n\
            deb https://vendor.example/apt stable main\n\
            deb http://security.example/debian-security bookworm-security main\n\
            deb [arch=amd64 signed-by=/keys/a.gpg] https://mirror.example/debian bookworm contrib main # mine\n";
        assert_eq!(
            from_lines(text, "bookworm"),
            mirror("https://mirror.example/debian", Some("/keys/a.gpg"))
        );
        assert_eq!(
            from_lines("deb http://m.example/debian sid main", "sid"),
            mirror("http://m.example/debian", None)
        );
        assert_eq!(from_lines("deb http://m.example/debian sid contrib", "sid"), None);
        assert_eq!(from_lines(text, "trixie"), None);
    }

    #[test]
    fn deb822_format() {
        let text = "\
Types: deb
# a comment amid a paragraph
URIs: https://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb deb-src
uris:
 https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/b.gpg

Types: deb
URIs: https://security.example/debian
Suites: bookworm-security
Components: main
";
        assert_eq!(
            from_deb822(text, "bookworm"),
            mirror("https://mirror.example/debian", Some("/keys/b.gpg"))
        );
        assert_eq!(
            from_deb822(text, "bookworm-security"),
            mirror("https://security.example/debian", None)
        );
        assert_eq!(from_deb822(text, "book"), None);
        let inline = "Types: deb\nURIs: http://m.example\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN PGP\n .\n";
        assert_eq!(from_deb822(inline, "sid"), mirror("http://m.example", None));
    }

    #[test]
    fn os_release_fields() {
        let os =
            "PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\nVERSION_CODENAME=\"trixie\"\n";
        assert_eq!(os_field(os, "ID"), Some("debian"));
        assert_eq!(os_field(os, "VERSION_CODENAME"), Some("trixie"));
        assert_eq!(os_field(os, "VERSION"), None);
    }
}
