//! Offers a udmabuf to the compositor and says whether it was taken. It speaks Wayland's wire by hand, so that the
//! rig's own check leans on nothing of what it is there to check.
#![allow(unsafe_code)]

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::env;
use std::error::Error;
use std::ffi::c_void;
use std::fs::File;
use std::io::{IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const WIDTH: u32 = 800;
const HEIGHT: u32 = 600;
const STRIDE: u32 = WIDTH * 4;
const XRGB8888: u32 = u32::from_le_bytes(*b"XR24");
const PAGE: u64 = 4096;
/// Objects of ours, in the order of their making.
const DISPLAY: u32 = 1;
const REGISTRY: u32 = 2;
const DMABUF: u32 = 3;
const PARAMS: u32 = 4;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match import() {
        Ok(()) => {
            println!("import: created");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("import: {error}");
            ExitCode::FAILURE
        }
    }
}

fn import() -> Result<()> {
    let folder = env::var_os("XDG_RUNTIME_DIR").ok_or("XDG_RUNTIME_DIR is not set")?;
    let name = env::var_os("WAYLAND_DISPLAY").ok_or("WAYLAND_DISPLAY is not set")?;
    let mut wire = Wire { stream: UnixStream::connect(Path::new(&folder).join(name))? };
    wire.stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    // wl_display.get_registry
    wire.send(DISPLAY, 1, &[REGISTRY], None)?;
    let global = loop {
        let (object, event, body) = wire.receive()?;
        if let Some(name) = dmabuf_global(object, event, &body) {
            break name;
        }
    };
    let interface = c"zwp_linux_dmabuf_v1".to_bytes_with_nul();
    let mut bind = vec![global, u32::try_from(interface.len())?];
    bind.extend(
        interface
            .chunks(4)
            .map(|chunk| u32::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3]])),
    );
    bind.extend([3, DMABUF]);
    wire.send(REGISTRY, 0, &bind, None)?;
    // zwp_linux_dmabuf_v1.create_params, then its add (plane 0, LINEAR) and create
    wire.send(DMABUF, 1, &[PARAMS], None)?;
    let dmabuf = udmabuf(u64::from(STRIDE * HEIGHT).next_multiple_of(PAGE))?;
    wire.send(PARAMS, 1, &[0, 0, STRIDE, 0, 0], Some(dmabuf.as_fd()))?;
    wire.send(PARAMS, 2, &[WIDTH, HEIGHT, XRGB8888, 0], None)?;
    loop {
        match wire.receive()? {
            (PARAMS, 0, _) => return Ok(()),
            (PARAMS, _, _) => return Err("failed".into()),
            _ => {}
        }
    }
}

/// The name in a wl_registry.global of linux-dmabuf.
fn dmabuf_global(object: u32, event: u16, body: &[u8]) -> Option<u32> {
    let is_it =
        object == REGISTRY && event == 0 && body.get(8..)?.starts_with(b"zwp_linux_dmabuf_v1\0");
    is_it.then_some(u32::from_ne_bytes(body[..4].try_into().ok()?))
}

struct Wire {
    stream: UnixStream,
}

impl Wire {
    fn send(
        &self,
        object: u32,
        request: u16,
        arguments: &[u32],
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let size = u32::try_from(8 + 4 * arguments.len())?;
        let words = [object, size << 16 | u32::from(request)];
        let bytes: Vec<u8> =
            words.iter().chain(arguments).flat_map(|word| word.to_ne_bytes()).collect();
        let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let sent =
            sendmsg(&self.stream, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        if sent == bytes.len() { Ok(()) } else { Err("the compositor took half a request".into()) }
    }

    /// An object, its event and the event's arguments; a protocol error is an error.
    fn receive(&mut self) -> Result<(u32, u16, Vec<u8>)> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header)?;
        let [object, word] =
            [0, 4].map(|at| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap_or_default()));
        let mut body = vec![0; (word >> 16).saturating_sub(8) as usize];
        self.stream.read_exact(&mut body)?;
        let event = word as u16;
        if (object, event) == (DISPLAY, 0) {
            return Err(format!(
                "protocol error: {}",
                String::from_utf8_lossy(body.get(12..).unwrap_or_default())
            )
            .into());
        }
        Ok((object, event, body))
    }
}

fn udmabuf(size: u64) -> Result<OwnedFd> {
    let memfd = memfd_create(c"selfcheck", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&memfd, size)?;
    fcntl_add_seals(&memfd, SealFlags::SHRINK)?;
    let device = File::options().read(true).write(true).open("/dev/udmabuf")?;
    let create =
        CreateUdmabuf { memfd: u32::try_from(memfd.as_raw_fd())?, flags: 1, offset: 0, size };
    // SAFETY: UDMABUF_CREATE reads the struct of its own definition and returns a new fd.
    Ok(unsafe { ioctl(&device, create) }?)
}

/// `struct udmabuf_create`; flag 1 is UDMABUF_FLAGS_CLOEXEC.
#[repr(C)]
struct CreateUdmabuf {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

// SAFETY: the opcode is UDMABUF_CREATE, `_IOW('u', 0x42, struct udmabuf_create)`; the pointer is to such a struct,
// which the kernel only reads; a result that isn't an error is an fd that nobody else owns.
unsafe impl Ioctl for CreateUdmabuf {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::write::<Self>(b'u', 0x42)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self).cast()
    }

    unsafe fn output_from_ptr(
        fd: IoctlOutput,
        _: *mut c_void,
    ) -> std::result::Result<OwnedFd, Errno> {
        // SAFETY: see above.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
