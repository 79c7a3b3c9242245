//! Which GPUs there are.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use super::Finding;
use super::kernel::may_open;
use crate::sys::{SyncNode, may_draw, render_nodes};

pub(super) fn check() -> Vec<Finding> {
    let nodes = render_nodes(None).unwrap_or_default();
    if nodes.is_empty() {
        let means = "Everything is drawn by the CPU, and QEMU can't do gl=on.";
        let remedy = "lspci -k   # whether there is a GPU (VGA, Display), and its driver in use\n\
                      # In a virtual machine: give it one, as by QEMU's -device virtio-gpu-gl.";
        let says = "no GPU: /dev/dri has no render node";
        return vec![Finding::warn("render-node", says, remedy).means(means)];
    }
    let mut findings: Vec<_> = nodes.iter().map(|node| render_node(node)).collect();
    findings.push(match SyncNode::open(None) {
        Ok(_) => Finding::ok("timelines", "explicit sync: timelines (drm_syncobj) work"),
        Err(error) => {
            let means = "Where the compositor has explicit sync it isn't used; implicit sync is.";
            Finding::info("timelines", format!("no explicit sync ({error})")).means(means)
        }
    });
    findings
}

fn render_node(node: &Path) -> Finding {
    let name = node.display();
    let driver = driver(node).unwrap_or_else(|| "unknown".to_owned());
    match OpenOptions::new().read(true).write(true).open(node) {
        Ok(_) if may_draw(node) => Finding::ok("render-node", format!("{name}: driver {driver}")),
        Ok(_) => Finding::info("render-node", format!("{name}: driver {driver}, without 3D")),
        Err(error) => {
            let says = format!("{name}: driver {driver}, can't be opened ({error})");
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => may_open(node),
                _ => "sudo dmesg | grep -i drm   # what its driver says".to_owned(),
            };
            Finding::warn("render-node", says, remedy).means("Copies are made by the CPU.")
        }
    }
}

fn driver(node: &Path) -> Option<String> {
    let name = node.file_name()?.to_str()?;
    let driver = fs::canonicalize(format!("/sys/class/drm/{name}/device/driver")).ok()?;
    Some(driver.file_name()?.to_str()?.to_owned())
}
