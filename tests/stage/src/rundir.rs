//! The folder of one test's sockets and logs: removed at the end, kept where the test failed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::error::{Context, Result};

/// A folder that only we can enter.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    keep: AtomicBool,
}

impl RunDir {
    /// Makes a folder under the system's temporary one; its path is short, for sockets in it.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub fn new() -> Result<Arc<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fanlight-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).context(format!("making {}", path.display()))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&path, mode).context("closing a folder to others")?;
        Ok(Arc::new(Self { path, keep: AtomicBool::new(false) }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it there at the end.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if std::thread::panicking() || self.keep.load(Ordering::Relaxed) {
            eprintln!("logs are kept in {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
