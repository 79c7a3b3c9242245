//! Which dma-bufs a process holds, as the kernel tells it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::error::{Context, Result};

/// One dma-buf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DmaBuf {
    /// Its inode, the same in every process that holds it.
    pub inode: u64,
    /// Who made it, such as "udmabuf" or "system".
    pub exporter: String,
    /// Bytes.
    pub size: u64,
}

/// The dma-bufs that a process has open.
///
/// # Errors
/// If there is no such process, or it is another user's.
pub fn of_process(id: u32) -> Result<BTreeSet<DmaBuf>> {
    let folder = format!("/proc/{id}/fd");
    let entries = fs::read_dir(&folder).context(format!("reading {folder}"))?;
    let mut found = BTreeSet::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_dmabuf = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("/dmabuf:"));
        if !is_dmabuf {
            continue;
        }
        // An fd may be closed while we look; then it counts no more.
        let info = format!("/proc/{id}/fdinfo/{}", name.to_string_lossy());
        let (Ok(meta), Ok(info)) = (fs::metadata(entry.path()), fs::read_to_string(info)) else {
            continue;
        };
        found.extend(parse(&info, meta.ino()));
    }
    Ok(found)
}

fn parse(info: &str, inode: u64) -> Option<DmaBuf> {
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let exporter = field("exp_name")?.to_owned();
    Some(DmaBuf { inode, exporter, size: field("size")?.parse().ok()? })
}

/// The inodes that both have.
#[must_use]
pub fn shared(one: &BTreeSet<DmaBuf>, other: &BTreeSet<DmaBuf>) -> BTreeSet<u64> {
    let inodes = |set: &BTreeSet<DmaBuf>| set.iter().map(|b| b.inode).collect::<BTreeSet<_>>();
    inodes(one).intersection(&inodes(other)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_of_a_dma_buf_is_read() {
        let info = "pos:\t0\nflags:\t02\nmnt_id:\t11\nino:\t9\nsize:\t3145728\ncount:\t4\n\
                    exp_name:\tudmabuf\n";
        let want = DmaBuf { inode: 77, exporter: "udmabuf".into(), size: 3_145_728 };
        assert_eq!(parse(info, 77), Some(want));
        assert_eq!(parse("pos:\t0\nflags:\t02\n", 77), None);
    }

    #[test]
    fn a_process_without_any_has_none() {
        assert!(of_process(std::process::id()).expect("ourselves").is_empty());
    }
}
