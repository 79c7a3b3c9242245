//! What was on the screen when a script failed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::capture::{Frame, PictureFormat};
use crate::cli::exit::Failure;
use crate::cli::whole;

/// Where that is kept.
#[derive(Debug)]
pub(super) struct Evidence {
    /// What the script is called.
    file: String,
    folder: PathBuf,
    stem: String,
}

impl Evidence {
    /// In that folder, which is made if it isn't there; fails where nothing can be written to it.
    pub(super) fn new(file: &str, folder: &Path) -> Result<Self, Failure> {
        let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let kept = Self { file: file.to_owned(), folder: folder.to_owned(), stem };
        // The script's own folder is the empty path, where it lies here.
        if !folder.as_os_str().is_empty() {
            fs::create_dir_all(folder).map_err(|error| {
                Failure::failed(format_args!("can't make {}", folder.display()), error)
            })?;
        }
        let elsewhere = "; name a folder for pictures of what goes wrong with --evidence";
        whole::check(&kept.screen(1)).map_err(|failure| failure.with(elsewhere))?;
        Ok(kept)
    }

    fn screen(&self, line: usize) -> PathBuf {
        self.folder.join(format!("{}-line{line}.png", self.stem))
    }

    /// Where it is marked how a screen differs from what it should be.
    pub(super) fn marked(&self, line: usize) -> PathBuf {
        self.folder.join(format!("{}-line{line}-diff.png", self.stem))
    }

    /// What went wrong in that line, with a file of what is on the screen, or was there before: `old`.
    pub(super) fn of(
        &self,
        failure: Failure,
        line: usize,
        screen: Option<&Frame>,
        old: bool,
    ) -> Failure {
        let failure = failure.at(&format!("{}:{line}", self.file));
        let Some(screen) = screen else {
            let nothing = if old { "" } else { "; the guest has shown nothing yet" };
            return failure.with(nothing);
        };
        let path = self.screen(line);
        match whole::write(&path, |out| PictureFormat::Png.write(screen, out)) {
            Ok(()) => {
                let what = if old { "was on the screen before" } else { "is on the screen" };
                failure.with(&format!("; what {what} is in {}", path.display()))
            }
            Err(unwritten) => failure.with(&format!("; {unwritten}")),
        }
    }
}
