//! Fences that are not signalled until the test says so: those of vgem, a driver without hardware. The
//! kernel signals them by itself after ten seconds.

use std::fs::{File, OpenOptions, read_dir};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use drm::Device as _;
use drm::buffer::{Buffer as _, DrmFourcc, Handle};
use drm::control::Device as _;
use fanlight::frame::Size;
use fanlight_stage::{Context, Error, Result};
use rustix::ioctl::{Opcode, Setter, Updater, ioctl, opcode};

const NODES: &str = "/dev/dri";

/// struct drm_vgem_fence_attach.
#[repr(C)]
struct Attach {
    handle: u32,
    flags: u32,
    fence: u32,
    pad: u32,
}

/// struct drm_vgem_fence_signal.
#[repr(C)]
struct Signal {
    fence: u32,
    flags: u32,
}

const ATTACH: Opcode = opcode::read_write::<Attach>(b'd', 0x41);
const SIGNAL: Opcode = opcode::write::<Signal>(b'd', 0x42);
/// The fence of a writer, for which readers wait.
const WRITE: u32 = 1;
const CLOEXEC_AND_WRITABLE: u32 = 0x80002;

/// The driver, loaded while this lives.
pub(crate) struct Vgem(File);

impl AsFd for Vgem {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Vgem {}
impl drm::control::Device for Vgem {}

/// Memory of vgem's.
pub(crate) struct Drawing {
    handle: Handle,
    pub(crate) dmabuf: OwnedFd,
    /// Bytes a row.
    pub(crate) stride: u32,
}

/// Somebody who draws, and is not done.
pub(crate) struct Draws(u32);

/// Why there is none, if so.
pub(crate) fn lacks() -> Option<String> {
    let dry = Command::new("modprobe").args(["--dry-run", "--quiet", "vgem"]).status();
    match dry {
        Ok(status) if status.success() => None,
        _ => Some("the kernel has no module vgem, whose fences it needs".to_owned()),
    }
}

impl Vgem {
    pub(crate) fn load() -> Result<Self> {
        let loaded = Command::new("modprobe").arg("vgem").status().context("starting modprobe")?;
        if !loaded.success() {
            return Err(Error::new(format!("modprobe vgem failed: {loaded}")));
        }
        for entry in read_dir(NODES).context(format!("reading {NODES}"))? {
            let entry = entry.context(format!("reading {NODES}"))?;
            // The render node makes no buffers.
            if !entry.file_name().to_string_lossy().starts_with("card") {
                continue;
            }
            let Ok(card) = OpenOptions::new().read(true).write(true).open(entry.path()) else {
                continue;
            };
            let card = Self(card);
            if card.get_driver().is_ok_and(|driver| driver.name() == "vgem") {
                return Ok(card);
            }
        }
        Err(Error::new("vgem is loaded, but has no node"))
    }

    pub(crate) fn drawing(&self, size: Size) -> Result<Drawing> {
        let (size, format) = ((size.width, size.height), DrmFourcc::Xrgb8888);
        let buffer = self.create_dumb_buffer(size, format, 32).context("a buffer of vgem's")?;
        let (handle, stride) = (buffer.handle(), buffer.pitch());
        let dmabuf = self.buffer_to_prime_fd(handle, CLOEXEC_AND_WRITABLE);
        Ok(Drawing { handle, dmabuf: dmabuf.context("exporting it")?, stride })
    }

    /// Somebody begins to draw there.
    pub(crate) fn draw(&self, drawing: &Drawing) -> Result<Draws> {
        let mut attach = Attach { handle: drawing.handle.into(), flags: WRITE, fence: 0, pad: 0 };
        // SAFETY: the opcode carries the size of the struct, which is laid out as the kernel's.
        unsafe { ioctl(&self.0, Updater::<ATTACH, _>::new(&mut attach)) }.context("a fence")?;
        Ok(Draws(attach.fence))
    }

    /// It is done.
    pub(crate) fn finish(&self, Draws(fence): Draws) -> Result<()> {
        let signal = Signal { fence, flags: 0 };
        // SAFETY: the opcode carries the size of the struct, which is laid out as the kernel's, and the
        // kernel only reads it.
        unsafe { ioctl(&self.0, Setter::<SIGNAL, _>::new(signal)) }.context("signalling a fence")
    }
}

impl Drop for Vgem {
    fn drop(&mut self) {
        // Its node has to be closed first; whoever still has a buffer of it keeps it loaded.
        if let Ok(null) = File::open("/dev/null") {
            self.0 = null;
        }
        let _ = Command::new("modprobe").args(["--remove", "--quiet", "vgem"]).status();
    }
}
