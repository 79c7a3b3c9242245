//! Files that are there whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::exit::Failure;

/// A file that isn't there yet: it is written under another name, which goes away with this.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    out: Option<BufWriter<File>>,
}

impl Partial {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let out = File::create(partial(path)).map_err(|error| unwritable(path, error))?;
        Ok(Self { path: path.to_owned(), out: Some(BufWriter::new(out)) })
    }

    /// All of it is written: it gets its name.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let done = self.flush().and_then(|()| fs::rename(partial(&self.path), &self.path));
        if done.is_ok() {
            self.out = None;
        }
        done.map_err(|error| unwritable(&self.path, error))
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().map_or(Ok(0), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // Nothing half done is left behind; that it can't be removed is not worth more words.
            let _ = fs::remove_file(partial(&self.path));
        }
    }
}

/// Fails where such a file can't be made; leaves nothing behind.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    Partial::create(path)?;
    if path.is_dir() {
        return Err(unwritable(path, io::ErrorKind::IsADirectory.into()));
    }
    Ok(())
}

/// Writes it.
pub(super) fn write(
    path: &Path,
    fill: impl FnOnce(&mut Partial) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut file = Partial::create(path)?;
    fill(&mut file).map_err(|error| unwritable(path, error))?;
    file.finish()
}

pub(super) fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::failed(format_args!("can't write {}", path.display()), error)
}

fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}
