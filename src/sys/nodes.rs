//! DRM nodes, as /dev and sysfs name them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const NODES: &str = "/dev/dri";

/// The render nodes, those of the hardware behind `device` (a `dev_t` of any of its nodes) first.
///
/// # Errors
/// If `/dev/dri` can't be read.
pub fn render_nodes(device: Option<u64>) -> io::Result<Vec<PathBuf>> {
    let mut nodes: Vec<PathBuf> = fs::read_dir(NODES)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains("/renderD"))
        .collect();
    nodes.sort();
    // False comes first.
    nodes.sort_by_key(|path| !device.is_some_and(|device| is_of(path, device)));
    Ok(nodes)
}

/// Whether a node is one of the hardware behind `device`, a `dev_t`.
pub fn is_of(node: &Path, device: u64) -> bool {
    let wanted = hardware(device);
    wanted.is_some() && hardware_of(node) == wanted
}

/// Whether what is behind a node may be able to draw. Only a virtio-gpu without 3D says that it
/// isn't; whoever else isn't is found out when it is asked to.
pub fn may_draw(node: &Path) -> bool {
    let Some(hardware) = hardware_of(node) else { return true };
    let below = fs::read_dir(&hardware).into_iter().flatten().flatten().map(|entry| entry.path());
    let virtio = below.filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("virtio"))
    });
    let mut folders = std::iter::once(hardware.clone()).chain(virtio);
    // A device of virtio's lists its features as a row of ones and zeros.
    let features = folders.find_map(|folder| fs::read_to_string(folder.join("features")).ok());
    features.is_none_or(|features| virtio_draws(&features))
}

/// Feature 0 of a virtio-gpu is VIRTIO_GPU_F_VIRGL.
fn virtio_draws(features: &str) -> bool {
    !features.starts_with('0')
}

/// The hardware behind a device number: its folder in sysfs, the same for all of its nodes.
fn hardware(device: u64) -> Option<PathBuf> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    fs::canonicalize(format!("/sys/dev/char/{major}:{minor}/device")).ok()
}

fn hardware_of(node: &Path) -> Option<PathBuf> {
    hardware(fs::metadata(node).ok()?.rdev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtio_gpu_draws_if_its_first_feature_says_so() {
        assert!(virtio_draws("1100000000000000000000000000000010010000\n"));
        assert!(!virtio_draws("0100000000000000000000000000000010010000\n"));
        assert!(virtio_draws(""), "what says nothing is tried");
    }

    #[test]
    fn what_is_no_drm_node_is_of_no_hardware() {
        let null = Path::new("/dev/null");
        let device = fs::metadata(null).unwrap().rdev();
        assert!(!is_of(null, device));
        assert!(may_draw(null), "nothing says that it can't");
    }
}
