//! The guest's picture into a file, by a hotkey.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fmt};

use jiff::Zoned;
use tracing::{info, warn};

use super::Waker;
use crate::capture::{Picture, PictureFormat};
use crate::session::Session;
use crate::sink::wayland::WaylandSink;

/// Pictures that are written at one time; each needs its memory.
const WRITTEN_MAX: usize = 4;
/// Bytes of a virtual machine's name in a file's.
const NAME_MAX: usize = 100;
/// Pictures of one second.
const SAME_MAX: u32 = 100;

/// How long the title bar says how it went.
const SAID: Duration = Duration::from_secs(3);

/// Takes pictures. Those that are being written are waited for when it is dropped.
pub(super) struct Screenshots {
    writers: Vec<JoinHandle<()>>,
    tell: Sender<io::Result<PathBuf>>,
    told: Receiver<io::Result<PathBuf>>,
    waker: Waker,
    /// Until when the title bar says how it went.
    until: Option<Instant>,
}

impl Screenshots {
    /// `waker` wakes who waits in the session's turn.
    pub(super) fn new(waker: Waker) -> Self {
        let (tell, told) = channel();
        Self { writers: Vec::new(), tell, told, waker, until: None }
    }

    /// Takes one; `name` is what the virtual machine is called. How it went is said later
    /// ([`step`](Self::step)).
    pub(super) fn take(&mut self, session: &mut Session<WaylandSink>, name: &str) {
        if let Err(reason) = self.begin(session, name) {
            self.say(session, Err(io::Error::other(reason)));
        }
    }

    fn begin(&mut self, session: &mut Session<WaylandSink>, name: &str) -> Result<(), String> {
        self.writers.retain(|writer| !writer.is_finished());
        if self.writers.len() >= WRITTEN_MAX {
            return Err(format!("the last {WRITTEN_MAX} are still being written"));
        }
        let frame = session.screenshot()?.ok_or("the guest shows nothing")?;
        let stem = stem(name, Zoned::now().strftime("%Y-%m-%d %H-%M-%S"));
        let (tell, waker) = (self.tell.clone(), self.waker.clone());
        let writer = thread::Builder::new().name("fanlight-png".to_owned());
        let writer = writer.spawn(move || {
            // At the end nobody listens.
            let _ = tell.send(save(&frame, &folder(), &stem));
            waker.wake();
        });
        self.writers.push(writer.map_err(|error| format!("no thread to write it on: {error}"))?);
        Ok(())
    }

    /// When [`step`](Self::step) has something to do, if it isn't woken before.
    pub(super) fn due_in(&self) -> Option<Duration> {
        Some(self.until?.saturating_duration_since(Instant::now()))
    }

    /// Says how it went, and takes that back later.
    pub(super) fn step(&mut self, session: &mut Session<WaylandSink>) {
        while let Ok(written) = self.told.try_recv() {
            self.say(session, written);
        }
        if self.until.take_if(|until| *until <= Instant::now()).is_some() {
            session.sink().set_notice(None);
        }
    }

    fn say(&mut self, session: &mut Session<WaylandSink>, written: io::Result<PathBuf>) {
        let notice = match written {
            Ok(path) => {
                info!("the screenshot is in {}", path.display());
                let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
                format!("screenshot saved in {}", folder.display())
            }
            Err(error) => {
                warn!("no screenshot: {error}");
                "no screenshot".to_owned()
            }
        };
        session.sink().set_notice(Some(notice));
        self.until = Some(Instant::now() + SAID);
    }
}

impl Drop for Screenshots {
    fn drop(&mut self) {
        for writer in self.writers.drain(..) {
            // One that panicked has said so.
            let _ = writer.join();
        }
    }
}

/// The file's name, without what a file's name can't have: virtual machines name themselves.
fn stem(name: &str, at: impl fmt::Display) -> String {
    let name = &name[..name.floor_char_boundary(NAME_MAX)];
    let safe = |c: char| if c == '/' || c.is_control() { '_' } else { c };
    // One that began with a dot wouldn't be seen.
    let name: String = name.trim_start_matches('.').chars().map(safe).collect();
    format!("{name} {at}").trim_start().to_owned()
}

/// Writes `frame` to a file of its own in `folder`.
fn save(frame: &Picture, folder: &Path, stem: &str) -> io::Result<PathBuf> {
    let say = |error: io::Error, path: &Path| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| say(error, folder))?;
    let (path, file) = create(folder, stem).map_err(|error| say(error, folder))?;
    let write = |file: File| -> io::Result<()> {
        let mut file = BufWriter::new(file);
        PictureFormat::Png.write(frame, &mut file)
    };
    write(file).map_err(|error| {
        // Half a picture is none.
        let _ = fs::remove_file(&path);
        say(error, &path)
    })?;
    Ok(path)
}

/// A new file, and never one that is there.
fn create(folder: &Path, stem: &str) -> io::Result<(PathBuf, File)> {
    for count in 1..SAME_MAX {
        let path = folder.join(match count {
            1 => format!("{stem}.png"),
            count => format!("{stem} ({count}).png"),
        });
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Where the user keeps pictures, as xdg-user-dirs says it.
fn folder() -> PathBuf {
    let home = env::home_dir().unwrap_or_default();
    let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let file = config.unwrap_or_else(|| home.join(".config")).join("user-dirs.dirs");
    let said = fs::read_to_string(file).unwrap_or_default();
    pictures(&said, &home).unwrap_or_else(|| home.join("Pictures"))
}

/// What the lines of user-dirs.dirs say of pictures: `XDG_PICTURES_DIR="$HOME/…"`, or an absolute path.
fn pictures(lines: &str, home: &Path) -> Option<PathBuf> {
    let value = |line: &str| {
        let value = line.trim().strip_prefix("XDG_PICTURES_DIR=")?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?.replace('\\', "");
        match value.strip_prefix("$HOME") {
            Some(inside) => Some(home.join(inside.trim_start_matches('/'))),
            None => Some(PathBuf::from(value)).filter(|path| path.is_absolute()),
        }
    };
    lines.lines().filter_map(value).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Size;

    #[test]
    fn pictures_are_where_the_user_keeps_them() {
        let home = Path::new("/home/u");
        let said = |lines: &str| pictures(lines, home).map(|path| path.display().to_string());
        let german =
            "# a comment\nXDG_MUSIC_DIR=\"$HOME/Musik\"\nXDG_PICTURES_DIR=\"$HOME/Bilder\"\n";
        assert_eq!(said(german).as_deref(), Some("/home/u/Bilder"));
        assert_eq!(said("XDG_PICTURES_DIR=\"/data/my\\ pics\"").as_deref(), Some("/data/my pics"));
        assert_eq!(said("XDG_PICTURES_DIR=\"$HOME/\"").as_deref(), Some("/home/u/"));
        for none in ["", "XDG_PICTURES_DIR=\"pics\"", "XDG_PICTURES_DIR=$HOME/pics"] {
            assert_eq!(said(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        assert_eq!(stem("my vm", "now"), "my vm now");
        assert_eq!(stem("../../.bashrc", "now"), "_.._.bashrc now");
        assert_eq!(stem("a\n\u{1b}[2Jb", "now"), "a__[2Jb now");
        assert_eq!(stem("", "now"), "now");
        assert!(stem(&"ä".repeat(1000), "now").len() < 110);
    }

    #[test]
    fn no_file_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = folder.path().join("Pictures");
        let size = Size { width: 1, height: 1 };
        let frame = |blue| Picture { size, pixels: vec![blue, 0, 0, 0] };
        for blue in 0..3 {
            save(&frame(blue), &pictures, "vm now").unwrap();
        }
        let pixel = |name: &str| {
            let file = io::BufReader::new(File::open(pictures.join(name)).unwrap());
            let mut reader = png::Decoder::new(file).read_info().unwrap();
            let mut rgb = [0; 3];
            reader.next_frame(&mut rgb).unwrap();
            rgb
        };
        for (blue, name) in ["vm now.png", "vm now (2).png", "vm now (3).png"].iter().enumerate() {
            assert_eq!(pixel(name), [0, 0, blue as u8]);
        }
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = save(&frame(0), &blocked, "vm now").unwrap_err().to_string();
        assert!(error.contains("file"), "{error}");
    }
}
