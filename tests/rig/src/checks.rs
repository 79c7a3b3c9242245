//! The self-check: does a real compositor in the VM take a real dma-buf? A root where it doesn't is of no use.

use crate::compile;
use crate::error::Result;
use crate::kvm::Accel;
use crate::machine::{Job, Machine};
use crate::progress::{Log, say};
use std::path::Path;
use std::time::Duration;

const SCRIPT: &str = include_str!("../scripts/selfcheck.sh");
const LIMIT: Duration = Duration::from_secs(180);

/// What the machine must have said, and what it means when it didn't.
const WANTED: [(&str, &str); 5] = [
    ("node: /dev/udmabuf", "the kernel has no /dev/udmabuf"),
    ("node: /dev/dri/renderD128", "the kernel has no DRM render node"),
    ("llvmpipe", "weston doesn't render with llvmpipe"),
    ("EGL_EXT_image_dma_buf_import", "weston's EGL can't import dma-bufs"),
    ("import: created", "weston refused a dma-buf"),
];

pub(crate) fn run(root: &Path, log: &Log) -> Result<()> {
    compile::build_selfcheck(root, log)?;
    let accel = Accel::best(root)?;
    say("self-check: weston imports a udmabuf in the VM");
    let machine = Machine { root, accel, limit: Some(LIMIT), out: None, name: "self-check" };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = machine.run(&Job::new(["sh", "-c", SCRIPT]), &mut out, &mut err)?;
    let said = String::from_utf8_lossy(&out);
    log.add("self-check, errors", &String::from_utf8_lossy(&err))?;
    log.add("self-check", &said)?;
    match missing(&said) {
        None if status == 0 => Ok(()),
        None => Err(log.failure(format!("the self-check ended with status {status}"))),
        Some(meaning) => Err(log.failure(format!("the self-check failed: {meaning}"))),
    }
}

fn missing(said: &str) -> Option<&'static str> {
    WANTED.iter().find(|(text, _)| !said.contains(text)).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_wanted() {
        let all = WANTED.map(|wanted| wanted.0);
        assert_eq!(missing(&all.join("\n")), None);
        for (text, meaning) in WANTED {
            let others: Vec<_> = all.into_iter().filter(|other| *other != text).collect();
            assert_eq!(missing(&others.join("\n")), Some(meaning));
        }
    }
}
