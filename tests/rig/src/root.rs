//! The root: a Debian file system with all that builds and tests need, made once and then only read.

use crate::cache::{self, Lock};
use crate::error::{Context as _, Result};
use crate::progress::{self, Log, say};
use crate::{apt, checks, crates, host, recipe, sandbox};
use std::fs;
use std::path::{Path, PathBuf};

/// How the names of roots begin that aren't what they are to be: still being made, or made and not yet checked.
const UNFINISHED: &str = "unfinished-";
const UNCHECKED: &str = "unchecked-";

/// A root that passed its self-check. It isn't removed as long as this lives.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    _lock: Lock,
}

impl Root {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The recipe's root, made now if there is none.
    pub(crate) fn ready() -> Result<Self> {
        host::need_root()?;
        host::need_tools()?;
        let name = recipe::hash();
        let path = cache::home()?.join(&name);
        loop {
            let lock = Lock::shared(&name)?;
            if path.is_dir() {
                return Ok(Self { path, _lock: lock });
            }
            drop(lock);
            let _lock = Lock::exclusive(&name)?;
            // Another run may have made it while this one waited.
            if !path.is_dir() {
                make(&name, &path)?;
            }
        }
    }
}

/// Makes the root beside its place and moves it there when it is known to be good. A root that is complete and failed
/// its check stays to be checked again, under a name by which nothing else uses it.
fn make(name: &str, path: &Path) -> Result<()> {
    let unfinished = path.with_file_name(format!("{UNFINISHED}{name}"));
    let unchecked = path.with_file_name(format!("{UNCHECKED}{name}"));
    if unfinished.exists() {
        say("removing what an interrupted setup left");
        cache::remove(&unfinished)?;
    }
    let log = Log::new("setup")?;
    if !unchecked.exists() {
        fs::create_dir(&unfinished).context(|| format!("creating {}", unfinished.display()))?;
        if let Err(error) = bootstrap(&unfinished, &log) {
            cache::remove(&unfinished)?;
            return Err(error);
        }
        rename(&unfinished, &unchecked)?;
    }
    checks::run(&unchecked, &log)?;
    rename(&unchecked, path)?;
    log.discard();
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).context(|| format!("renaming {} to {}", from.display(), to.display()))
}

fn bootstrap(root: &Path, log: &Log) -> Result<()> {
    let mirror = apt::host_mirror();
    let from =
        if mirror.is_some() { "the mirror that this host uses" } else { "mmdebstrap's own mirror" };
    let mut command = sandbox::contained();
    command.args(["mmdebstrap", "--mode=root", "--variant=apt", "--skip=check/empty"]);
    command.args([
        "--aptopt=APT::Install-Recommends \"false\"",
        "--aptopt=Acquire::Languages \"none\"",
    ]);
    command.args(["--aptopt=Acquire::Retries \"5\"", "--dpkgopt=force-unsafe-io"]);
    command.args(recipe::excludes().map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg(format!("--include={}", recipe::packages().collect::<Vec<_>>().join(",")));
    command.arg(format!("--setup-hook={}", recipe::SETUP));
    command.arg(format!(
        "--setup-hook=printf %s '{}' > \"$1/etc/apt/preferences.d/backports\"",
        recipe::PREFERENCES
    ));
    command.arg(format!("--customize-hook={}", recipe::FINISH));
    command.arg(recipe::SUITE).arg(root);
    command.args(mirror.map(|mirror| mirror.line()));
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let what = format!(
        "making the root: {} packages and what they need, from {from}",
        recipe::packages().count()
    );
    progress::step(&what, &mut command, log)
}

/// Roots of other recipes, and unfinished ones; those in use are left out.
fn old() -> Result<Vec<(PathBuf, Lock)>> {
    let home = cache::home()?;
    let mut old = Vec::new();
    for entry in fs::read_dir(&home).context(|| format!("reading {}", home.display()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let hash = [UNFINISHED, UNCHECKED]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(&name);
        if !is_root_name(hash) || hash == recipe::hash() {
            continue;
        }
        if let Some(lock) = Lock::try_exclusive(hash)? {
            old.push((entry.path(), lock));
        }
    }
    Ok(old)
}

fn is_root_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Says which roots nobody needs any more, or removes them.
pub(crate) fn tidy(prune: bool) -> Result<()> {
    for (path, _lock) in old()? {
        if prune {
            say(format!("removing the old root {}", path.display()));
            let crates = crates::folder(&path);
            if crates.exists() {
                cache::remove(&crates)?;
            }
            cache::remove(&path)?;
        } else {
            say(format!(
                "{} belongs to an old recipe: `cargo rig setup --prune` removes it",
                path.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_are_roots() {
        assert!(is_root_name(&recipe::hash()));
        assert!(!is_root_name("runs"));
        assert!(!is_root_name("0123456789abcdef.lock"));
    }
}
