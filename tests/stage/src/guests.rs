//! The guests' images, found and fitted.

use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// Says where the images are, for tests: the folder that `stage prepare` filled.
pub const GUESTS_ENV: &str = "FANLIGHT_GUESTS";

/// The folder with the images.
#[derive(Clone, Debug)]
pub struct Guests {
    folder: PathBuf,
}

/// A path below cargo's target folder, of which this program is a part.
///
/// # Errors
/// If this program is in none.
pub fn built(path: &str) -> Result<PathBuf> {
    let myself = std::env::current_exe().context("finding this program")?;
    // In target/PROFILE, or in target/PROFILE/deps if it is a test.
    let is_profile = |folder: &&Path| folder.ends_with("debug") || folder.ends_with("release");
    let target = myself.ancestors().find(is_profile).and_then(Path::parent);
    let target = target.ok_or_else(|| {
        Error::new(format!("{} is in no target folder of cargo", myself.display()))
    })?;
    Ok(target.join(path))
}

/// How the boot sector draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// Milliseconds between two frames, in steps of ten.
    pub hold_ms: u32,
    /// Frames to draw before it rests; 0 is without end.
    pub frames: u32,
    /// Columns and rows: multiples of the tile for which the VESA BIOS has a mode.
    pub size: (u16, u16),
}

impl Default for Paint {
    fn default() -> Self {
        Self { hold_ms: 500, frames: 0, size: (640, 480) }
    }
}

impl Guests {
    /// The images in this folder.
    ///
    /// # Errors
    /// If one is not there.
    pub fn open(folder: &Path) -> Result<Self> {
        for name in ["paint.img", "sound.img", "kernel", "initramfs.cpio", "linux.state"] {
            if !folder.join(name).is_file() {
                let folder = folder.display();
                return Err(Error::new(format!(
                    "{folder} has no {name}; make it with `stage prepare --out {folder}`"
                )));
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Those in a folder that isn't complete yet.
    pub(crate) fn unfinished(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The images in the folder that the environment names, else where `stage prepare` of this
    /// build puts them.
    ///
    /// # Errors
    /// If an image is not there.
    pub fn find() -> Result<Self> {
        match std::env::var_os(GUESTS_ENV) {
            Some(folder) => Self::open(Path::new(&folder)),
            None => Self::open(&built("guests")?),
        }
    }

    /// The Linux guest's kernel.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("kernel")
    }

    /// The Linux guest's initial file system.
    #[must_use]
    pub fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs.cpio")
    }

    /// The Linux guest's state where it has booted.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("linux.state")
    }

    /// Writes a boot disk that is heard to `disk`.
    ///
    /// # Errors
    /// If the image can't be read or written.
    pub fn write_sound(&self, disk: &Path) -> Result<()> {
        let image = self.folder.join("sound.img");
        let written = std::fs::copy(&image, disk).map(drop);
        written.context(format!("copying {} to {}", image.display(), disk.display()))
    }

    /// Writes a boot disk that draws in this way to `disk`.
    ///
    /// # Errors
    /// If the size is no multiple of the tile, or the image can't be read or written.
    pub fn write_paint(&self, paint: Paint, disk: &Path) -> Result<()> {
        let image = self.folder.join("paint.img");
        let bytes = std::fs::read(&image).context(format!("reading {}", image.display()))?;
        let fitted = fit(bytes, paint)?;
        std::fs::write(disk, fitted).context(format!("writing {}", disk.display()))
    }
}

/// Puts the settings behind the mark in the boot sector.
fn fit(mut image: Vec<u8>, paint: Paint) -> Result<Vec<u8>> {
    const MARK: &[u8] = b"FANPAINT";
    const MARK_AT: usize = 8;
    let tile = fanlight_guests::pattern::TILE as u16;
    let (width, height) = paint.size;
    if width == 0 || height == 0 || width % tile != 0 || height % tile != 0 {
        return Err(Error::new(format!("{width}x{height} is no multiple of {tile}x{tile}")));
    }
    let settings = [
        &paint.hold_ms.to_le_bytes()[..],
        &paint.frames.to_le_bytes(),
        &width.to_le_bytes(),
        &height.to_le_bytes(),
    ]
    .concat();
    let at = MARK_AT + MARK.len();
    match image.get_mut(MARK_AT..at + settings.len()) {
        Some(place) if place.starts_with(MARK) => place[MARK.len()..].copy_from_slice(&settings),
        _ => return Err(Error::new("the boot sector's image has no mark for its settings")),
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_behind_the_mark() {
        let mut image = vec![0; 512];
        image[8..16].copy_from_slice(b"FANPAINT");
        let paint = Paint { hold_ms: 300, frames: 7, size: (800, 608) };
        let fitted = fit(image.clone(), paint).expect("fits");
        assert_eq!(fitted[16..28], [44, 1, 0, 0, 7, 0, 0, 0, 32, 3, 96, 2]);
        assert!(fit(image.clone(), Paint { size: (800, 600), ..paint }).is_err());
        image[8] = b'X';
        assert!(fit(image, paint).is_err());
    }
}
