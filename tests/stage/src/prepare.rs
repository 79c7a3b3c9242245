//! Makes the guests' images, once a build: `paint.img`, `sound.img`, `kernel`, `initramfs.cpio`, and `linux.state`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::booted;
use crate::child::run;
use crate::error::{Context, Error, Result};
use crate::initramfs::Archive;
use crate::kernel;
use crate::rundir::RunDir;
use crate::wait::Deadline;

/// The modules that the guest's kernel must have, where they are not built in.
const MODULES: [&str; 2] = ["virtio_pci", "virtio_gpu"];

/// Those that are loaded only when a test asks for them, so that they cost the others no time.
const MORE_MODULES: [&str; 2] = ["evdev", "virtio_input"];

/// Process 1 of the Linux guest: mounts, waits until it is told to start, loads, and hands over.
const INIT: &str = "#!/bin/busybox sh
fail() { echo \"failed $1\" >/dev/ttyS0; /bin/busybox poweroff -f; }
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
echo fanlight >/proc/sys/kernel/hostname
exec 3<>/dev/ttyS0
echo booted >&3
read -r start size <&3
exec 3>&-
while read -r module; do
    /bin/busybox insmod \"/modules/$module\" || fail \"module $module can't be loaded\"
done </modules/order
exec /bin/guest $size
";

/// Who may log in: root, with the password `fanlight` (as crypt(3) has it by DES, which takes an emulated processor no time).
const USERS: &str = "root:flyvmq3Sk6Exg:0:0::/root:/bin/sh\n";

/// What a shell does first: the number of its process and what it says of itself go from the screen, so that what is left is
/// always the same. The prompts for the name and the password are above.
const PROFILE: &str = "printf '\\033[4;1H\\033[J'\n";

/// What to make the images from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The program `fanlight-guest`, linked statically.
    pub guest: PathBuf,
    /// The root of the system whose kernel, modules and busybox are used, usually `/`.
    pub root: PathBuf,
}

/// Makes all images in `out`.
///
/// # Errors
/// Names what is missing and the Debian package that has it.
pub fn prepare(sources: &Sources, out: &Path) -> Result<()> {
    let dir = RunDir::new()?;
    std::fs::create_dir_all(out).context(format!("making {}", out.display()))?;
    let version = kernel::newest(&sources.root)?;
    let initramfs = initramfs(sources, &version, &dir)?;
    let paint = assemble("paint", fanlight_guests::PAINT_SOURCE, &dir)?;
    let sound = assemble("sound", fanlight_guests::SOUND_SOURCE, &dir)?;
    let kernel = kernel::unpacked(&sources.root, &version)?;
    for (name, content) in [
        ("paint.img", paint),
        ("sound.img", sound),
        ("initramfs.cpio", initramfs),
        ("kernel", kernel),
    ] {
        replace(&out.join(name), &content)?;
    }
    booted::keep(out, &dir)
}

/// Writes a file so that nobody ever sees half of it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, content).context(format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, path).context(format!("writing {}", path.display()))
}

/// A boot sector's image.
fn assemble(name: &str, text: &str, dir: &Arc<RunDir>) -> Result<Vec<u8>> {
    let [source, object, image] = ["s", "o", "img"].map(|e| dir.path().join(format!("{name}.{e}")));
    std::fs::write(&source, text).context("writing a boot sector")?;
    let mut assembler = Command::new("as");
    assembler.arg("--32").arg("-o").arg(&object).arg(&source);
    run("as", "binutils", assembler, dir, Deadline::seconds(60))?;
    let mut linker = Command::new("ld");
    linker.args(["-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o"]);
    linker.arg(&image).arg(&object);
    run("ld", "binutils", linker, dir, Deadline::seconds(60))?;
    std::fs::read(&image).context("reading a boot sector")
}

fn initramfs(sources: &Sources, version: &str, dir: &Arc<RunDir>) -> Result<Vec<u8>> {
    let busybox = sources.root.join("bin/busybox");
    let busybox = std::fs::read(&busybox)
        .map_err(|_| Error::missing(&busybox.display().to_string(), "busybox-static"))?;
    if !is_static(&busybox) {
        return Err(Error::new("busybox is not linked statically; install busybox-static"));
    }
    let guest = stripped(&sources.guest, dir)?;
    if !is_static(&guest) {
        return Err(Error::new(format!(
            "{} is not linked statically; build it with RUSTFLAGS=-Ctarget-feature=+crt-static",
            sources.guest.display()
        )));
    }
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "modules", "proc", "root", "sys"] {
        archive.folder(folder);
    }
    archive.file("bin/busybox", &busybox);
    archive.file("bin/guest", &guest);
    for name in ["login", "sh"] {
        archive.link(&format!("bin/{name}"), "busybox");
    }
    archive.file("etc/passwd", USERS.as_bytes());
    archive.file("etc/profile", PROFILE.as_bytes());
    archive.file("init", INIT.as_bytes());
    let modules = sources.root.join("lib/modules").join(version);
    let mut packed = Vec::new();
    let more = MORE_MODULES.map(|name| (format!("order-{name}"), vec![name]));
    for (list, wanted) in [("order".to_owned(), MODULES.to_vec())].into_iter().chain(more) {
        let mut order = String::new();
        for path in needed_modules(&modules, &wanted)? {
            let (name, content) = read_module(&modules.join(&path), dir)?;
            order.push_str(&name);
            order.push('\n');
            if !packed.contains(&name) {
                archive.file(&format!("modules/{name}"), &content);
                packed.push(name);
            }
        }
        archive.file(&format!("modules/{list}"), order.as_bytes());
    }
    Ok(archive.finish())
}

/// A program without its symbols: the guest has little memory, and a slow start as it is.
fn stripped(program: &Path, dir: &Arc<RunDir>) -> Result<Vec<u8>> {
    let what = format!("reading the guest's program {}", program.display());
    std::fs::metadata(program).context(&what)?;
    let smaller = dir.path().join("guest");
    let mut command = Command::new("strip");
    command.arg("-o").arg(&smaller).arg(program);
    run("strip", "binutils", command, dir, Deadline::seconds(60))?;
    std::fs::read(&smaller).context(what)
}

/// Whether a program needs no loader: an ELF file without a PT_INTERP header.
fn is_static(program: &[u8]) -> bool {
    let number = |at: usize, size: usize| {
        let bytes = program.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b)))
    };
    let headers = || {
        let (at, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|n| number(at + n * size, 4)).collect::<Option<Vec<_>>>()
    };
    const PT_INTERP: usize = 3;
    program.starts_with(b"\x7fELF\x02") && headers().is_some_and(|h| !h.contains(&PT_INTERP))
}

/// The modules to load for those that are wanted, first to last, as paths below the kernel's folder.
fn needed_modules(modules: &Path, wanted: &[&str]) -> Result<Vec<String>> {
    let read = |name: &str| {
        let path = modules.join(name);
        std::fs::read_to_string(&path).context(format!("reading {}", path.display()))
    };
    let (list, built_in) = (read("modules.dep")?, read("modules.builtin")?);
    order_modules(&list, &built_in, wanted)
}

fn order_modules(list: &str, built_in: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for wanted in wanted {
        if built_in.lines().any(|path| module_name(path) == *wanted) {
            continue;
        }
        let line = list
            .lines()
            .find(|l| l.split_once(':').is_some_and(|(m, _)| module_name(m) == *wanted));
        let Some((module, needs)) = line.and_then(|line| line.split_once(':')) else {
            return Err(Error::new(format!("the kernel has no module {wanted}")));
        };
        // The list names what a module needs from the nearest to the farthest.
        for path in needs.split_whitespace().rev().chain([module]) {
            if !order.iter().any(|known| known == path) {
                order.push(path.to_owned());
            }
        }
    }
    Ok(order)
}

/// `kernel/drivers/virtio/virtio-gpu.ko.xz` is `virtio_gpu`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// A module's file name without compression, and its content.
fn read_module(path: &Path, dir: &Arc<RunDir>) -> Result<(String, Vec<u8>)> {
    let content = std::fs::read(path).context(format!("reading {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let tools = [(".xz", "xz", "xz-utils"), (".zst", "zstd", "zstd"), (".gz", "gzip", "gzip")];
    let Some((ending, tool, package)) = tools.iter().find(|(e, ..)| name.ends_with(e)) else {
        return Ok((name, content));
    };
    let mut command = Command::new(tool);
    command.arg("--decompress").arg("--stdout").arg(path);
    let output = command.output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::missing(tool, package),
        _ => Error::new(format!("starting {tool} failed: {e}")),
    })?;
    if !output.status.success() {
        dir.keep();
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("{tool} can't read {}: {why}", path.display())));
    }
    Ok((name.trim_end_matches(ending).to_owned(), output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_load_after_what_they_need() {
        let list = "kernel/a/drm.ko.xz:\n\
                    kernel/v/virtio-gpu.ko.xz: kernel/d/dma_buf.ko.xz kernel/a/helper.ko.xz kernel/a/drm.ko.xz\n";
        let order = order_modules(list, "kernel/v/virtio_pci.ko\n", &MODULES).expect("all there");
        let names: Vec<_> = order.iter().map(|path| module_name(path)).collect();
        assert_eq!(names, ["drm", "helper", "dma_buf", "virtio_gpu"]);
        let missing = order_modules(list, "", &MODULES).expect_err("no virtio_pci");
        assert!(missing.to_string().contains("virtio_pci"), "{missing}");
    }

    #[test]
    fn this_test_is_not_static_and_text_is_no_program() {
        let myself = std::fs::read("/proc/self/exe").expect("readable");
        assert_eq!(is_static(&myself), cfg!(target_feature = "crt-static"));
        assert!(!is_static(b"#!/bin/sh\n"));
        assert!(!is_static(b"\x7fELF\x02"));
    }
}
