//! `--manifest`: what is known of each frame, a line of JSON each (`data/manifest.schema.json`).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::exit::Failure;
use super::super::whole::unwritable;
use crate::capture::{Frame, Hash, ReadBy};
use crate::frame::{Damage, Memory};

/// Where the lines go.
#[derive(Debug)]
pub(super) enum Manifest {
    Stdout,
    /// Which, and how many bytes of it are whole lines.
    File(File, PathBuf, u64),
}

impl Manifest {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        let file = File::create(path).map_err(|error| unwritable(path, error))?;
        Ok(Self::File(file, path.to_owned(), 0))
    }

    /// Each line is there whole, so that others may read them as they come.
    pub(super) fn write(&mut self, line: &Value) -> Result<(), Failure> {
        let line = format!("{line}\n");
        match self {
            Self::Stdout => io::stdout().lock().write_all(line.as_bytes()).map_err(Failure::stdout),
            Self::File(file, path, whole) => {
                if let Err(error) = file.write_all(line.as_bytes()) {
                    // Of a pipe it can't be taken back.
                    let _ = file.set_len(*whole);
                    return Err(unwritable(path, error));
                }
                *whole += line.len() as u64;
                Ok(())
            }
        }
    }
}

/// What the monotonic clock's times are by the wall's, as it was at the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    then: Timestamp,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), then: Timestamp::now() }
    }

    fn wall(self, at: Instant) -> Timestamp {
        let since = at.saturating_duration_since(self.start);
        let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let micros = self.then.as_microsecond().saturating_add(since);
        Timestamp::from_microsecond(micros).unwrap_or(self.then)
    }
}

/// What is known of `frame`, which is the dump's of this number, and before which so many were left out; its picture's
/// size and hash are those of what was written.
pub(super) fn line(
    (number, left_out): (u64, u64),
    frame: &Frame,
    size: crate::frame::Size,
    hash: Option<Hash>,
    file: Option<&Path>,
    clock: Clock,
) -> Value {
    let damage = match frame.damage {
        Damage::Whole => json!("whole"),
        Damage::Rects { rects, count } => {
            let rects = rects[..usize::from(count)].iter();
            rects.map(|rect| json!([rect.x, rect.y, rect.width, rect.height])).collect()
        }
    };
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    json!({
        "frame": number,
        "serial": frame.number,
        "left_out": left_out,
        "epoch": frame.epoch,
        "buffer": frame.buffer.0,
        "storage": format!("{:x}:{}", frame.storage.dev, frame.storage.ino),
        "memory": match frame.memory {
            Memory::DmaBuf { .. } => "dmabuf",
            Memory::Memfd { .. } => "memfd",
        },
        "drawn": frame.drawn.map(|at| clock.wall(at).to_string()),
        "captured": clock.wall(frame.read).to_string(),
        "size": [size.width, size.height],
        "format": frame.layout.format.to_string(),
        "modifier": frame.layout.modifier.to_string(),
        "damage": damage,
        "read": match frame.read_by {
            ReadBy::Cpu => "cpu",
            ReadBy::Gpu => "gpu",
        },
        "bytes_read": frame.copied,
        "ack_us": frame.acked_after.map(micros),
        "sha256": hash.map(|hash| hash.to_string()),
        "file": file.map(|file| file.display().to_string()),
    })
}
