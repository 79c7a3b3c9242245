//! The guest's kernel: the newest that the system has, unpacked.
//!
//! A kernel's image unpacks itself, which takes an emulated processor longer than all the rest of the boot. QEMU also starts
//! what is in there, by the PVH entry that Debian's kernels have.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result};

/// The newest kernel of which `root` has the image and the modules.
pub(crate) fn newest(root: &Path) -> Result<String> {
    let missing = || {
        let place = root.join("boot").join("vmlinuz-*").display().to_string();
        Error::missing(&format!("a kernel ({place} and its modules)"), "linux-image-amd64")
    };
    let entries = std::fs::read_dir(root.join("boot")).map_err(|_| missing())?;
    let versions = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let version = name.strip_prefix("vmlinuz-")?.to_owned();
        let list = root.join("lib/modules").join(&version).join("modules.dep");
        list.exists().then_some(version)
    });
    versions.max_by_key(|version| version_key(version)).ok_or_else(missing)
}

/// The numbers of a version, so that 6.12 is newer than 6.2.
fn version_key(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// That version's kernel: the program that its image has packed, or the image itself where that is packed otherwise than
/// Debian does it.
pub(crate) fn unpacked(root: &Path, version: &str) -> Result<Vec<u8>> {
    let path = root.join("boot").join(format!("vmlinuz-{version}"));
    let image = std::fs::read(&path).context(format!("reading {}", path.display()))?;
    match payload(&image) {
        Some(payload) => unpack(payload),
        None => Ok(image),
    }
}

/// What a kernel's image has packed by zstd. Where it is says the boot protocol of x86, since its version 2.08
/// (Documentation/arch/x86/boot.rst in the kernel's sources).
fn payload(image: &[u8]) -> Option<&[u8]> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const SECTOR: usize = 512;
    let byte = |at: usize| image.get(at).map(|byte| usize::from(*byte));
    let word = |at: usize| {
        let bytes = image.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let protocol = byte(0x206)? | byte(0x207)? << 8;
    if image.get(0x202..0x206)? != b"HdrS" || protocol < 0x208 {
        return None;
    }
    // The kernel proper begins after the sectors of its setup code, and the boot sector before them.
    let start = (byte(0x1f1)? + 1) * SECTOR + word(0x248)?;
    // Its last four bytes are no longer zstd's: they say how long it is unpacked.
    let end = start.checked_add(word(0x24c)?.checked_sub(4)?)?;
    image.get(start..end).filter(|payload| payload.starts_with(&ZSTD))
}

fn unpack(payload: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new("zstd");
    command.args(["--decompress", "--stdout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut zstd = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::missing("zstd", "zstd"),
        _ => Error::new(format!("starting zstd failed: {e}")),
    })?;
    let mut packed = zstd.stdin.take().expect("it is piped");
    // It writes while it reads.
    let output = std::thread::scope(|scope| {
        let written = scope.spawn(move || packed.write_all(payload));
        let output = zstd.wait_with_output();
        written.join().map(|written| written.and(output))
    });
    let output = output.map_err(|_| Error::new("writing to zstd panicked"))?;
    let output = output.context("unpacking the kernel")?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(Error::new("zstd can't unpack the kernel")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_number() {
        assert!(version_key("6.12.9-amd64") > version_key("6.2.10-amd64"));
        assert!(version_key("7.2.12+deb13-amd64") > version_key("6.12.48+deb13-amd64"));
    }

    #[test]
    fn what_an_image_has_packed_is_found_and_nothing_behind_its_end() {
        let mut image = vec![0; 4 * 512];
        image[0x1f1] = 1;
        image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        image[0x248..0x250].copy_from_slice(&[16, 0, 0, 0, 12, 0, 0, 0]);
        image[1040..1052].copy_from_slice(b"\x28\xb5\x2f\xfd....size");
        assert_eq!(payload(&image).expect("it is there"), b"\x28\xb5\x2f\xfd....");
        for length in 0..image.len() {
            assert!(payload(&image[..length]).is_none_or(|packed| packed.len() == 8));
        }
        image[0x24c] = 3;
        assert_eq!(payload(&image), None);
        assert_eq!(payload(b"MZ"), None);
    }
}
