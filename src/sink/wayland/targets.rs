//! Memory of our own that the picture is copied into: where a GPU makes the copies, memory of its;
//! else a wl_shm buffer, and where it can be had a udmabuf of the same pages, which spares the
//! compositor's upload.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use wayland_client::QueueHandle;
use wayland_client::protocol::wl_shm;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::ZwpLinuxBufferParamsV1;

use super::State;
use super::dmabuf::Offer;
use super::drawing::{Canvas, Gpu, Outcome};
use super::globals::Globals;
use super::imports::ask;
use super::lease::Lease;
use super::wait::Wait;
use crate::convert::blit::{BlitError, OpenBlitter};
use crate::convert::cpu::{self, OUT_PIXEL, Readers, View};
use crate::frame::{Damage, Format, Layout, Memory, Modifier, Picture, Plane, Size, StorageId};
use crate::port::{Buffer, SinkEvent, TARGETS};
use crate::sys::{OwnMapping, WriteAccess, own_memfd, page_align};

/// Rows begin at multiples of this: some GPUs refuse dma-bufs of any other stride.
const STRIDE_ALIGN: u32 = 256;

/// Makes a dma-buf of a memfd's pages: [`create_udmabuf`](crate::sys::create_udmabuf), or what a
/// test passes in its place.
pub type MakeUdmabuf = fn(BorrowedFd<'_>, u64, u64) -> io::Result<OwnedFd>;

/// The compositor, to ask for buffers.
#[derive(Clone, Copy)]
pub(super) struct Peer<'a> {
    pub(super) globals: &'a Globals,
    pub(super) offer: &'a Offer,
    pub(super) qh: &'a QueueHandle<State>,
}

#[derive(Debug)]
enum Target {
    /// The CPU writes to it.
    Pages(Pages),
    /// The GPU does.
    Canvas(Canvas),
}

#[derive(Debug)]
struct Pages {
    size: Size,
    stride: u32,
    pixels: OwnMapping,
    shm: Lease,
    udmabuf: Udmabuf,
}

#[derive(Debug)]
enum Udmabuf {
    None,
    Asked(ZwpLinuxBufferParamsV1, OwnedFd),
    Made(Lease, OwnedFd),
}

impl Udmabuf {
    /// Begins to write to the pages behind it.
    fn write(&self) -> io::Result<Option<WriteAccess<'_>>> {
        let (Self::Asked(_, fd) | Self::Made(_, fd)) = self else { return Ok(None) };
        match WriteAccess::begin(fd) {
            // No dma-buf, but a test's.
            Err(error) if error.raw_os_error() == Some(Errno::NOTTY.raw_os_error()) => Ok(None),
            begun => begun.map(Some),
        }
    }
}

impl Target {
    fn leases(&mut self) -> impl Iterator<Item = &mut Lease> {
        let (shm, other) = match self {
            Self::Pages(Pages { shm, udmabuf: Udmabuf::Made(udmabuf, _), .. }) => {
                (Some(shm), Some(udmabuf))
            }
            Self::Pages(Pages { shm, .. }) => (Some(shm), None),
            Self::Canvas(canvas) => (None, canvas.lease()),
        };
        shm.into_iter().chain(other)
    }

    fn is_held(&mut self) -> bool {
        self.leases().any(|lease| lease.is_held())
    }
}

/// The targets, and access to what is copied into them.
#[derive(Debug)]
pub(super) struct Targets {
    targets: [Option<Target>; TARGETS],
    readers: Readers,
    /// `None` where it is known not to work.
    make_udmabuf: Option<MakeUdmabuf>,
    /// As that.
    gpu: Option<Gpu>,
}

/// Why a copy failed, as a sentence.
type Reason = String;

impl Targets {
    pub(super) fn new(make_udmabuf: MakeUdmabuf) -> Self {
        Self {
            targets: Default::default(),
            readers: Readers::default(),
            make_udmabuf: Some(make_udmabuf),
            gpu: None,
        }
    }

    /// Lets the GPU of `device` make copies, if there is one; then `wait` is for their ends too.
    pub(super) fn use_gpu(&mut self, open: OpenBlitter, device: Option<u64>, wait: &Wait) {
        match Gpu::open(open, device, wait) {
            Ok(gpu) => self.gpu = Some(gpu),
            Err(reason) => tracing::info!(%reason, "the CPU copies"),
        }
    }

    /// Copies the damage of the picture into a target, which is made (again) where it doesn't fit.
    /// `None` where that goes on; then [`finish`](Self::finish) tells its end.
    pub(super) fn copy(
        &mut self,
        target: u8,
        buffer: &Buffer,
        damage: &Damage,
        peer: Peer<'_>,
    ) -> Option<SinkEvent> {
        if self.draw(target, buffer, damage, peer) {
            return None;
        }
        Some(match self.copy_by_cpu(target, buffer, damage, peer) {
            Ok(bytes) => SinkEvent::Copied { target, bytes },
            Err(reason) => SinkEvent::CopyFailed { target, reason },
        })
    }

    /// Tells the end of a copy that went on. Never waits.
    pub(super) fn finish(&mut self, peer: Peer<'_>) -> Option<SinkEvent> {
        let gpu = self.gpu.as_mut()?;
        let slot = usize::from(gpu.drawn()?);
        let Some(Target::Canvas(canvas)) = &self.targets[slot] else { return None };
        let begun = match gpu.end(canvas)? {
            Outcome::Copied(begun) => {
                return Some(SinkEvent::Copied { target: begun.target, bytes: begun.bytes });
            }
            Outcome::Refused(begun) => begun,
        };
        if !gpu.try_linear(canvas) {
            self.give_up(&"the compositor refused the GPU's memory");
        }
        self.targets[slot] = None;
        self.copy(begun.target, &begun.buffer, &Damage::Whole, peer)
    }

    /// Begins to draw the picture into a target; false where the CPU has to copy it.
    fn draw(&mut self, target: u8, buffer: &Buffer, damage: &Damage, peer: Peer<'_>) -> bool {
        let Some(gpu) = &mut self.gpu else { return false };
        let Memory::DmaBuf { .. } = buffer.storage.memory else { return false };
        let Some(held) = self.targets.get_mut(usize::from(target)) else { return false };
        if !gpu.reads(buffer) {
            return false;
        }
        let view = view(buffer);
        let fits = matches!(held, Some(Target::Canvas(canvas)) if canvas.size() == view.size());
        let drawn = (|| {
            if !fits {
                if held.as_mut().is_some_and(Target::is_held) {
                    return Ok(false);
                }
                *held = None;
                *held = Some(Target::Canvas(gpu.canvas(target, view.size(), peer)?));
            }
            gpu.begin(target, buffer, &view, if fits { damage } else { &Damage::Whole })?;
            Ok(true)
        })();
        drawn.unwrap_or_else(|error: BlitError| {
            self.give_up(&error);
            false
        })
    }

    /// From now on the CPU copies. What was drawn can be shown as before.
    fn give_up(&mut self, reason: &dyn std::fmt::Display) {
        tracing::warn!(%reason, "the CPU copies from now on");
        self.gpu = None;
    }

    fn copy_by_cpu(
        &mut self,
        target: u8,
        buffer: &Buffer,
        damage: &Damage,
        peer: Peer<'_>,
    ) -> Result<u64, Reason> {
        let view = view(buffer);
        let slot = usize::from(target);
        let held = self.targets.get_mut(slot).ok_or("there is no such target")?;
        let fits = matches!(held, Some(Target::Pages(pages)) if pages.size == view.size());
        if !fits {
            if held.as_mut().is_some_and(Target::is_held) {
                return Err("the compositor still reads the target, which doesn't fit".into());
            }
            let pages = self.make(view.size(), peer).map_err(|error| {
                format!("no memory for a picture of our own could be had: {error}")
            })?;
            self.targets[slot] = Some(Target::Pages(pages));
            if let Some(gpu) = &mut self.gpu {
                gpu.drop_target(target);
            }
        }
        let damage = if fits { damage } else { &Damage::Whole };
        let reader = self.readers.of(&buffer.storage).map_err(|error| error.to_string())?;
        let Some(Target::Pages(pages)) = &mut self.targets[slot] else {
            unreachable!("made above")
        };
        let writing = pages.udmabuf.write();
        let _writing = writing.map_err(|error| format!("our udmabuf can't be written: {error}"))?;
        cpu::copy(reader, &view, damage, pages.pixels.bytes_mut(), pages.stride as usize)
            .map_err(|error| error.to_string())
    }

    fn make(&mut self, size: Size, peer: Peer<'_>) -> io::Result<Pages> {
        let too_large = || io::Error::other("it would be too large");
        let row = size.width.checked_mul(OUT_PIXEL as u32).ok_or_else(too_large)?;
        let stride = row.checked_next_multiple_of(STRIDE_ALIGN).ok_or_else(too_large)?;
        let bytes = page_align(u64::from(stride) * u64::from(size.height));
        if i32::try_from(bytes).is_err() {
            return Err(too_large());
        }
        let memfd = own_memfd("fanlight-picture", bytes)?;
        let pixels = OwnMapping::new(&memfd, bytes)?;
        let format = wl_shm::Format::Xrgb8888;
        let shm = peer.globals.shm_buffer(peer.qh, &memfd, size, stride, format);
        let shm = Lease::of_shm(shm);
        let udmabuf = self.ask_udmabuf(&memfd, bytes, size, stride, peer);
        Ok(Pages { size, stride, pixels, shm, udmabuf })
    }

    fn ask_udmabuf(
        &mut self,
        memfd: &OwnedFd,
        bytes: u64,
        size: Size,
        stride: u32,
        Peer { globals, offer, qh }: Peer<'_>,
    ) -> Udmabuf {
        let Some((make, dmabuf)) = self.make_udmabuf.zip(globals.dmabuf.as_ref()) else {
            return Udmabuf::None;
        };
        // No guess about implicit modifiers: wl_shm does as well.
        let Ok(Modifier::LINEAR) = offer.choose(Format::XRGB8888, Modifier::LINEAR, true) else {
            return Udmabuf::None;
        };
        let udmabuf = match make(memfd.as_fd(), 0, bytes) {
            Ok(udmabuf) => udmabuf,
            Err(error) => {
                tracing::info!(%error, "no udmabufs here; copies go through wl_shm");
                self.make_udmabuf = None;
                return Udmabuf::None;
            }
        };
        let mut planes = [Plane::default(); _];
        planes[0].stride = stride;
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        let layout = Layout { size, format, modifier, planes, plane_count: 1 };
        Udmabuf::Asked(ask(dmabuf, qh, &layout, modifier, |_| udmabuf.as_fd()), udmabuf)
    }

    /// Takes the answer to an [`ask`]; what nobody waits for is destroyed.
    pub(super) fn answer(&mut self, params: &ZwpLinuxBufferParamsV1, answer: Option<Lease>) {
        let asked = |target: &&mut Target| match target {
            Target::Pages(pages) => matches!(&pages.udmabuf, Udmabuf::Asked(p, _) if p == params),
            Target::Canvas(canvas) => canvas.waits_for(params),
        };
        let pages = match self.targets.iter_mut().flatten().find(asked) {
            Some(Target::Pages(pages)) => pages,
            Some(Target::Canvas(canvas)) => return canvas.answer(answer),
            None => return,
        };
        let asked = std::mem::replace(&mut pages.udmabuf, Udmabuf::None);
        pages.udmabuf = match (answer, asked) {
            (Some(lease), Udmabuf::Asked(_, fd)) => Udmabuf::Made(lease, fd),
            _ => {
                tracing::info!(
                    "the compositor refused a udmabuf of ours; copies go through wl_shm"
                );
                self.make_udmabuf = None;
                Udmabuf::None
            }
        };
    }

    /// The wl_buffer of a target: the udmabuf where there is one.
    pub(super) fn lease(&mut self, target: u8) -> Option<&mut Lease> {
        self.targets.get_mut(usize::from(target))?.as_mut()?.leases().last()
    }

    /// What is in a target that the CPU wrote to.
    pub(super) fn read(&mut self, target: u8) -> Option<Picture> {
        let Some(Target::Pages(pages)) = self.targets.get_mut(usize::from(target))? else {
            return None;
        };
        let rows = pages.pixels.bytes_mut().chunks(pages.stride as usize);
        let row = pages.size.width as usize * OUT_PIXEL;
        let rows = rows.take(pages.size.height as usize).map(|bytes| &bytes[..row]);
        Some(Picture { size: pages.size, pixels: rows.collect::<Vec<_>>().concat() })
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.readers.forget(storage);
        if let Some(gpu) = &mut self.gpu {
            gpu.forget(storage);
        }
    }

    pub(super) fn leases(&mut self) -> impl Iterator<Item = &mut Lease> {
        self.targets.iter_mut().flatten().flat_map(Target::leases)
    }
}

/// How the picture lies in the guest's memory.
pub(super) fn view(buffer: &Buffer) -> View {
    View { layout: buffer.layout, visible: buffer.visible, transform: buffer.transform }
}
