//! Where things lie: the cache of roots, locks on it, the checkout, logs, and a folder for each run.

use crate::error::{Context as _, Error, Result};
use crate::progress::say;
use rustix::fs::{FlockOperation, flock};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The root of the checkout that the rig belongs to.
pub(crate) fn checkout() -> Result<PathBuf> {
    // Cargo sets it when it runs us; a rig that was copied elsewhere still knows where it was built.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = package.join("../..");
    root.canonicalize().context(|| format!("finding the checkout at {}", root.display()))
}

/// Cargo's target folder for what is built in the chroot.
pub(crate) fn target() -> Result<PathBuf> {
    let target = make(checkout()?.join("target/rig"))?;
    // Cargo marks a target folder that it makes itself; what is built there knows its folder by that.
    let tag = target.join("CACHEDIR.TAG");
    if !tag.exists() {
        let signature = "Signature: 8a477f597d28d172789f06886806bc55\n";
        fs::write(&tag, signature).context(|| format!("writing {}", tag.display()))?;
    }
    Ok(target)
}

pub(crate) fn logs() -> Result<PathBuf> {
    make(target()?.join("logs"))
}

/// The folder of the roots, which all checkouts share.
pub(crate) fn home() -> Result<PathBuf> {
    let base = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => {
            return Err(Error::new(
                "neither XDG_CACHE_HOME nor HOME is set, so there is no place for the root",
            ));
        }
    };
    make(base.join("fanlight-rig"))
}

fn make(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder).context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// Held as long as this lives; gone with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Alone: for who makes or removes what `name` stands for. Says so when it has to wait.
    pub(crate) fn exclusive(name: &str) -> Result<Self> {
        Self::take(name, FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive)
    }

    /// With others: for who uses it.
    pub(crate) fn shared(name: &str) -> Result<Self> {
        Self::take(name, FlockOperation::NonBlockingLockShared, FlockOperation::LockShared)
    }

    /// Alone, or not at all.
    pub(crate) fn try_exclusive(name: &str) -> Result<Option<Self>> {
        let file = Self::open(name)?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive)
            .is_ok()
            .then_some(Self { _file: file }))
    }

    fn take(name: &str, try_it: FlockOperation, wait: FlockOperation) -> Result<Self> {
        let file = Self::open(name)?;
        if flock(&file, try_it).is_err() {
            say(format!("waiting for another run of the rig, which holds {name}.lock"));
            rustix::io::retry_on_intr(|| flock(&file, wait))
                .context(|| format!("locking {name}"))?;
        }
        Ok(Self { _file: file })
    }

    fn open(name: &str) -> Result<File> {
        let path = home()?.join(format!("{name}.lock"));
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .context(|| format!("opening {}", path.display()))
    }
}

/// A folder of one run. It is locked while the run lives, so that the next run can remove what a killed one left.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    pub(crate) fn new() -> Result<Self> {
        let runs = make(home()?.join("runs"))?;
        // Nobody sweeps between the making of a folder and its locking.
        let _guard = Lock::exclusive("runs")?;
        sweep(&runs)?;
        let mut number = 0;
        let path = loop {
            let path = runs.join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(Error::new(format!("creating {}: {error}", path.display())));
                }
            }
        };
        let lock = File::open(&path).context(|| format!("opening {}", path.display()))?;
        flock(&lock, FlockOperation::LockExclusive)
            .context(|| format!("locking {}", path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text).context(|| format!("writing {}", path.display()))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn sweep(runs: &Path) -> Result<()> {
    for entry in fs::read_dir(runs).context(|| format!("reading {}", runs.display()))?.flatten() {
        let left = File::open(entry.path())
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
        if left {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Removes a folder of the cache with all that is in it, unless something is mounted there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    let mounts =
        fs::read_to_string("/proc/self/mountinfo").context(|| "reading /proc/self/mountinfo")?;
    if let Some(mount) = mounted_under(&mounts, folder) {
        return Err(Error::new(format!(
            "{} can't be removed while {mount} is mounted: run `umount {mount}` first",
            folder.display()
        )));
    }
    fs::remove_dir_all(folder).context(|| format!("removing {}", folder.display()))
}

fn mounted_under<'a>(mountinfo: &'a str, folder: &Path) -> Option<&'a str> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .find(|mount| Path::new(mount).starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_below_a_folder_is_seen() {
        let mountinfo = "22 27 0:21 / /proc rw - proc proc rw\n30 27 0:22 / /cache/root/dev rw - devtmpfs d rw\n";
        assert_eq!(mounted_under(mountinfo, Path::new("/cache/root")), Some("/cache/root/dev"));
        assert_eq!(mounted_under(mountinfo, Path::new("/cache/roo")), None);
    }
}
