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

/// Whether a dma-buf of this exporter's can only be memory of the GPU behind `node`. Drivers give their own name as the
/// exporter's, or leave it to be DRM's: then it is known only where there is one GPU.
pub fn can_only_be_of(node: &Path, exporter: &str) -> bool {
    let nodes = render_nodes(None).unwrap_or_default();
    let nodes = nodes.into_iter().filter(|node| may_draw(node));
    let gpus: Vec<_> = nodes.filter_map(|node| Some((driver_of(&node)?, node))).collect();
    is_only_one(&gpus, node, exporter)
}

fn is_only_one(gpus: &[(String, PathBuf)], node: &Path, exporter: &str) -> bool {
    let named = gpus.iter().any(|(driver, _)| driver == exporter);
    let mut candidates = gpus.iter().filter(|(driver, _)| !named || driver == exporter);
    candidates.next().is_some_and(|(_, first)| first == node) && candidates.next().is_none()
}

/// The kernel's driver of the hardware behind a node; `None` where there is no hardware.
fn driver_of(node: &Path) -> Option<String> {
    let driver = fs::read_link(hardware_of(node)?.join("driver")).ok()?;
    let driver = driver.file_name()?.to_str()?;
    // Of what a module makes up, as vgem.
    (driver != "faux_driver").then(|| driver.to_owned())
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
        assert_eq!(driver_of(null), None);
        assert!(!can_only_be_of(null, "drm"));
    }

    #[test]
    fn memory_is_of_the_gpu_that_has_its_exporters_name_or_of_the_only_one() {
        let gpu = |driver: &str, node: &str| (driver.to_owned(), PathBuf::from(node));
        let both = [gpu("i915", "a"), gpu("amdgpu", "b")];
        let only = |gpus: &[_], node, exporter| is_only_one(gpus, Path::new(node), exporter);
        assert!(only(&both, "a", "i915"));
        assert!(!only(&both, "b", "i915"), "another GPU believes that it is linear");
        assert!(!only(&both, "a", "drm") && !only(&both, "b", "drm"));
        assert!(only(&both[1..], "b", "drm"));
        assert!(!only(&both[1..], "a", "drm"));
        let twins = [gpu("i915", "a"), gpu("i915", "b")];
        assert!(!only(&twins, "a", "i915"));
        assert!(!only(&[], "a", "drm"));
    }
}
