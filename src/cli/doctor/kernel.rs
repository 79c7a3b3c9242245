//! What the kernel can do.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;
use crate::sys::{
    self, PageRange, Sentinel, create_udmabuf, export_sync_file, own_memfd, udmabuf_limits,
};

const UDMABUF: &str = "/dev/udmabuf";

/// A picture of 3840x2160, 32 bits a pixel.
const BYTES_4K: u64 = 3840 * 2160 * 4;

pub(super) fn check() -> Vec<Finding> {
    let mut findings = vec![version()];
    let memory = own_memfd("fanlight-doctor", sys::page_align(1));
    let memory = match memory {
        Ok(memory) => memory,
        Err(error) => {
            let says = format!("no memory can be made to share with others ({error})");
            let remedy = "ulimit -a   # how much memory and how many open files a program may have";
            let finding = Finding::fail("memfd", says, remedy);
            findings.push(finding.means("Neither view nor dump can copy."));
            return findings;
        }
    };
    findings.push(Finding::ok("memfd", "memory can be shared with others (memfd)"));
    let udmabuf = udmabuf(&memory);
    let made = udmabuf.is_ok();
    let (finding, dmabuf) = match udmabuf {
        Ok(dmabuf) => (Finding::ok("udmabuf", format!("{UDMABUF} makes dma-bufs")), Some(dmabuf)),
        Err(finding) => (finding, None),
    };
    findings.push(finding);
    if made {
        findings.push(limits());
    }
    if let Some(dmabuf) = dmabuf {
        findings.push(sync_file(&dmabuf));
    }
    findings.push(pagemap_scan(&memory));
    findings.extend(huge_pages());
    findings
}

fn version() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Finding::ok("linux", format!("Linux {}", release.trim()))
}

/// Makes one, as QEMU does of a guest's memory.
fn udmabuf(memory: &OwnedFd) -> Result<OwnedFd, Finding> {
    let path = Path::new(UDMABUF);
    let means = "QEMU can't hand out a guest's memory as it is (blob=true): each frame is copied.";
    if !path.exists() {
        let remedy =
            "sudo modprobe udmabuf\necho udmabuf | sudo tee /etc/modules-load.d/udmabuf.conf";
        let finding = Finding::warn("udmabuf", format!("{UDMABUF} is not there"), remedy);
        return Err(finding.means(means));
    }
    create_udmabuf(memory.as_fd(), 0, sys::page_align(1)).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::PermissionDenied => may_open(path),
            _ => "sudo dmesg | grep -i udmabuf   # what the kernel says".to_owned(),
        };
        let says = format!("{UDMABUF} can't be used ({error})");
        Finding::warn("udmabuf", says, remedy).means(means)
    })
}

/// The command after which this user may open a device.
pub(super) fn may_open(device: &Path) -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let of = fs::metadata(device).ok();
    let group = of.and_then(|it| group(&groups, it.gid(), it.mode()));
    allow(group.as_deref(), device)
}

/// The same for a device that this group may use, or none may.
fn allow(group: Option<&str>, device: &Path) -> String {
    match group {
        Some(group) => format!("sudo usermod -aG {group} \"$USER\"   # then log in again"),
        None => format!("sudo setfacl -m u:\"$USER\":rw {}", device.display()),
    }
}

/// The group of `/etc/group` that may use a device of this group and mode, unless it is root's.
fn group(groups: &str, gid: u32, mode: u32) -> Option<String> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(gid)).then(|| name.to_owned())
    };
    let may = gid != 0 && mode & 0o060 == 0o060;
    groups.lines().find_map(line).filter(|_| may)
}

fn limits() -> Finding {
    let (pieces, bytes) = udmabuf_limits();
    let page = sys::page_align(1);
    // In the worst case no two pages are neighbours.
    let wanted = BYTES_4K.div_ceil(page);
    let mib = bytes >> 20;
    let says = format!("one udmabuf may have {mib} MiB in {pieces} pieces");
    if bytes < BYTES_4K {
        let means = format!("A 4K picture has {} MiB: it is copied.", BYTES_4K.div_ceil(1 << 20));
        let remedy = "echo 256 | sudo tee /sys/module/udmabuf/parameters/size_limit_mb";
        return Finding::warn("udmabuf-limits", says, remedy).means(means);
    }
    if (pieces as u64) < wanted {
        let means = format!(
            "A 4K picture has {wanted} pages. Where a guest's lie scattered QEMU can't make a dma-buf of it, \
             and the picture stays black or is copied."
        );
        let remedy = "echo 16384 | sudo tee /sys/module/udmabuf/parameters/list_limit";
        return Finding::warn("udmabuf-limits", says, remedy).means(means);
    }
    Finding::ok("udmabuf-limits", says + ", enough for 4K")
}

fn sync_file(dmabuf: &OwnedFd) -> Finding {
    match export_sync_file(dmabuf.as_fd()) {
        Ok(_) => Finding::ok("sync-file", "dma-bufs tell when they are drawn (EXPORT_SYNC_FILE)"),
        Err(error) => {
            let says = format!("dma-bufs don't tell when they are drawn ({error})");
            let means = "A frame that a GPU still draws may be shown too early.";
            Finding::warn("sync-file", says, "# Use Linux 6.0 or newer.").means(means)
        }
    }
}

fn pagemap_scan(memory: &OwnedFd) -> Finding {
    let range = PageRange { memfd: memory.as_fd(), offset: 0, len: sys::page_align(1) };
    let missing = Sentinel::new(&[range]).and_then(|sentinel| sentinel.page_missing());
    match missing {
        Ok(_) => Finding::ok("pagemap-scan", "replaced pages are noticed (PAGEMAP_SCAN)"),
        Err(error) => {
            let says = format!("replaced pages can't be noticed ({error})");
            let means = "Only backends of guest-scanout-v1 and the demo need it.";
            let finding = Finding::info("pagemap-scan", says).means(means);
            finding.remedy("# Use Linux 6.7 or newer.")
        }
    }
}

/// How many are kept for guests.
fn huge_pages() -> io::Result<Finding> {
    OpenOptions::new().read(true).open("/proc/meminfo").and_then(io::read_to_string).map(|text| {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let (total, free) = (value("HugePages_Total"), value("HugePages_Free"));
        let mib = value("Hugepagesize") >> 10;
        match total {
            0 => Finding::info("hugepages", "no huge pages are kept for guests")
                .means("Guests work without. Pictures in huge pages are shown as well.")
                .remedy(format!(
                    "sudo sysctl vm.nr_hugepages=512   # of {mib} MiB each, for memory-backend-memfd,hugetlb=on"
                )),
            total => Finding::ok(
                "hugepages",
                format!("{free} of {total} huge pages of {mib} MiB are free"),
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "root:x:0:\nvideo:x:44:u,v\n# a comment\nkvm:x:109:\nrender:x:1090:\n";

    #[test]
    fn who_may_use_a_device_is_its_group() {
        assert_eq!(group(GROUPS, 109, 0o660).as_deref(), Some("kvm"));
        assert_eq!(group(GROUPS, 44, 0o100_666).as_deref(), Some("video"));
        // Only root may, or may hand that on; the group may only read, or has no name.
        assert_eq!(group(GROUPS, 0, 0o660), None);
        assert_eq!(group(GROUPS, 109, 0o600), None);
        assert_eq!(group(GROUPS, 109, 0o640), None);
        assert_eq!(group(GROUPS, 10, 0o660), None);
    }

    #[test]
    fn whoever_may_not_open_a_device_reads_which_command_helps() {
        let device = Path::new("/dev/udmabuf");
        let joins = allow(Some("kvm"), device);
        assert!(joins.starts_with("sudo usermod -aG kvm \"$USER\""), "{joins}");
        assert!(joins.contains("log in again"), "{joins}");
        assert_eq!(allow(None, device), "sudo setfacl -m u:\"$USER\":rw /dev/udmabuf");
        // One that isn't there is nobody's.
        let nowhere = Path::new("/dev/fanlight-nowhere");
        assert_eq!(may_open(nowhere), allow(None, nowhere));
    }
}
