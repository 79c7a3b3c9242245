//! Files that are there whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::exit::Failure;

/// Fails where such a file can't be made; leaves nothing behind.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let partial = partial(path);
    File::create(&partial).map_err(|error| unwritable(path, error))?;
    fs::remove_file(&partial).map_err(|error| unwritable(path, error))?;
    if path.is_dir() {
        return Err(unwritable(path, io::ErrorKind::IsADirectory.into()));
    }
    Ok(())
}

/// Writes it: under another name, and renamed when it is whole.
pub(super) fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Failure> {
    let partial = partial(path);
    let written = File::create(&partial).map(BufWriter::new).and_then(|mut out| {
        fill(&mut out)?;
        out.flush()?;
        fs::rename(&partial, path)
    });
    written.map_err(|error| {
        // Nothing half done is left behind; that it can't be removed is not worth more words.
        let _ = fs::remove_file(&partial);
        unwritable(path, error)
    })
}

fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::failed(format_args!("can't write {}", path.display()), error)
}
