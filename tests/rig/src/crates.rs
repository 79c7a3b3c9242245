//! The crates of others, built: kept beside the root, so that a fresh checkout has to build only what is its own.

use crate::cache::{self, Lock};
use crate::error::{Context as _, Result};
use crate::progress::{self, Log};
use crate::recipe;
use serde_json::Value;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Held while the kept crates are copied or exchanged.
const LOCK: &str = "crates";
/// How the names of folders begin in which a copy is being made.
const UNFINISHED: &str = "unfinished-";

/// Where the crates that this checkout asks for are kept, built with `rustc`. Others have another name, so that what is
/// kept doesn't grow with each change of a version.
fn place(root: &Path, rustc: &Path) -> Result<PathBuf> {
    let lock = cache::checkout()?.join("Cargo.lock");
    let crates = fs::read_to_string(&lock).context(|| format!("reading {}", lock.display()))?;
    let name = recipe::hash_of(&[&crates, &rustc.to_string_lossy()]);
    Ok(folder(root).join(name))
}

/// What is kept for a root: it goes with it.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.with_extension("crates")
}

/// Gives a checkout in which nothing was built yet what others have built.
pub(crate) fn lend(root: &Path, rustc: &Path, log: &Log) -> Result<()> {
    let built = cache::target()?.join("debug");
    let kept = place(root, rustc)?;
    let _lock = Lock::shared(LOCK)?;
    if built.exists() || !kept.exists() {
        return Ok(());
    }
    let unfinished = cache::target()?.join(format!("{UNFINISHED}debug"));
    copy("taking crates that are built already", &kept.join("debug"), &unfinished, log)?;
    fs::rename(&unfinished, &built).context(|| format!("making {}", built.display()))
}

/// Keeps what this checkout has built of the crates of others, if cargo's `messages` say that it was any.
pub(crate) fn keep(root: &Path, rustc: &Path, messages: &[&str], log: &Log) -> Result<()> {
    if !messages.iter().flat_map(|some| some.lines()).any(is_newly_built_crate) {
        return Ok(());
    }
    let kept = place(root, rustc)?;
    let folder = folder(root);
    let _lock = Lock::exclusive(LOCK)?;
    fs::create_dir_all(&folder).context(|| format!("creating {}", folder.display()))?;
    let unfinished = folder.join(format!("{UNFINISHED}crates"));
    let debug = cache::target()?.join("debug");
    copy("keeping the crates that were built", &debug, &unfinished.join("debug"), log)?;
    // What is ours is told from its sources' times, and those of another checkout mean nothing here.
    let mut clean = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    clean.args(["clean", "--workspace", "--offline", "--target-dir"]).arg(&unfinished);
    clean.current_dir(cache::checkout()?);
    progress::step("leaving out what is this checkout's own", &mut clean, log)?;
    for old in fs::read_dir(&folder).context(|| format!("reading {}", folder.display()))?.flatten()
    {
        if old.path() != unfinished {
            cache::remove(&old.path())?;
        }
    }
    fs::rename(&unfinished, &kept).context(|| format!("making {}", kept.display()))
}

/// Copies a folder with its files' times, which cargo compares.
fn copy(what: &str, from: &Path, to: &Path, log: &Log) -> Result<()> {
    if to.exists() {
        // An interrupted run left it.
        cache::remove(to)?;
    }
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).context(|| format!("creating {}", parent.display()))?;
    let mut command = Command::new("cp");
    command.args(["--archive", "--reflink=auto"]).arg(from).arg(to);
    progress::step(what, &mut command, log)
}

/// Whether a line of cargo's says that a crate of a registry had to be built.
fn is_newly_built_crate(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|message| {
        let package = message["package_id"].as_str().unwrap_or_default();
        message["fresh"] == false && package.starts_with("registry+")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crates_that_had_to_be_built_are_worth_keeping() {
        let line = |package: &str, fresh: bool| {
            serde_json::json!({ "reason": "compiler-artifact", "package_id": package, "fresh": fresh })
                .to_string()
        };
        assert!(is_newly_built_crate(&line(
            "registry+https://example.org/index#png@0.18.0",
            false
        )));
        assert!(!is_newly_built_crate(&line(
            "registry+https://example.org/index#png@0.18.0",
            true
        )));
        assert!(!is_newly_built_crate(&line("path+file:///fanlight#0.1.0", false)));
        assert!(!is_newly_built_crate("not json"));
    }

    #[test]
    fn what_is_kept_lies_beside_its_root() {
        let folder = folder(Path::new("/cache/0123456789abcdef"));
        assert_eq!(folder, Path::new("/cache/0123456789abcdef.crates"));
    }
}
