//! Memory of our own that the picture is copied into: a wl_shm buffer, and where it can be had a
//! udmabuf of the same pages, which spares the compositor's upload.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use wayland_client::QueueHandle;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::ZwpLinuxBufferParamsV1;

use super::State;
use super::dmabuf::Offer;
use super::globals::Globals;
use super::imports::ask;
use super::lease::Lease;
use crate::convert::cpu::{self, OUT_PIXEL, Readers, View};
use crate::frame::{Damage, Format, Layout, Modifier, Plane, Size, StorageId};
use crate::port::{Buffer, TARGETS};
use crate::sys::{OwnMapping, WriteAccess, own_memfd, page_align};

/// Rows begin at multiples of this: some GPUs refuse dma-bufs of any other stride.
const STRIDE_ALIGN: u32 = 256;

/// Makes a dma-buf of a memfd's pages: [`create_udmabuf`](crate::sys::create_udmabuf), or what a
/// test passes in its place.
pub type MakeUdmabuf = fn(BorrowedFd<'_>, u64, u64) -> io::Result<OwnedFd>;

#[derive(Debug)]
struct Target {
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
        let udmabuf = match &mut self.udmabuf {
            Udmabuf::Made(lease, _) => Some(lease),
            Udmabuf::None | Udmabuf::Asked(..) => None,
        };
        std::iter::once(&mut self.shm).chain(udmabuf)
    }
}

/// The targets, and access to what is copied into them.
#[derive(Debug)]
pub(super) struct Targets {
    targets: [Option<Target>; TARGETS],
    readers: Readers,
    /// `None` where it is known not to work.
    make_udmabuf: Option<MakeUdmabuf>,
}

/// Why a copy failed, as a sentence.
type Reason = String;

impl Targets {
    pub(super) fn new(make_udmabuf: MakeUdmabuf) -> Self {
        Self {
            targets: Default::default(),
            readers: Readers::default(),
            make_udmabuf: Some(make_udmabuf),
        }
    }

    /// Copies the damage of the picture into a target, which is made (again) where it doesn't fit.
    pub(super) fn copy(
        &mut self,
        target: u8,
        buffer: &Buffer,
        damage: &Damage,
        globals: &Globals,
        offer: &Offer,
        qh: &QueueHandle<State>,
    ) -> Result<u64, Reason> {
        let view = view(buffer);
        let slot = usize::from(target);
        let held = self.targets.get_mut(slot).ok_or("there is no such target")?;
        let fits = held.as_ref().is_some_and(|target| target.size == view.size());
        if !fits {
            if held.as_mut().is_some_and(|target| target.leases().any(|lease| lease.is_held())) {
                return Err("the compositor still reads the target, which has another size".into());
            }
            let target = self.make(view.size(), globals, offer, qh).map_err(|error| {
                format!("no memory for a picture of our own could be had: {error}")
            })?;
            self.targets[slot] = Some(target);
        }
        let damage = if fits { damage } else { &Damage::Whole };
        let reader = self.readers.of(&buffer.storage).map_err(|error| error.to_string())?;
        let Some(target) = &mut self.targets[slot] else { unreachable!("made above") };
        let writing = target.udmabuf.write();
        let _writing = writing.map_err(|error| format!("our udmabuf can't be written: {error}"))?;
        cpu::copy(reader, &view, damage, target.pixels.bytes_mut(), target.stride as usize)
            .map_err(|error| error.to_string())
    }

    fn make(
        &mut self,
        size: Size,
        globals: &Globals,
        offer: &Offer,
        qh: &QueueHandle<State>,
    ) -> io::Result<Target> {
        let too_large = || io::Error::other("it would be too large");
        let row = size.width.checked_mul(OUT_PIXEL as u32).ok_or_else(too_large)?;
        let stride = row.checked_next_multiple_of(STRIDE_ALIGN).ok_or_else(too_large)?;
        let bytes = page_align(u64::from(stride) * u64::from(size.height));
        if i32::try_from(bytes).is_err() {
            return Err(too_large());
        }
        let memfd = own_memfd("fanlight-picture", bytes)?;
        let pixels = OwnMapping::new(&memfd, bytes)?;
        let shm = Lease::of_shm(globals.shm_buffer(qh, &memfd, size, stride));
        let udmabuf = self.ask_udmabuf(&memfd, bytes, size, stride, globals, offer, qh);
        Ok(Target { size, stride, pixels, shm, udmabuf })
    }

    #[expect(clippy::too_many_arguments, reason = "all are parts of one new target")]
    fn ask_udmabuf(
        &mut self,
        memfd: &OwnedFd,
        bytes: u64,
        size: Size,
        stride: u32,
        globals: &Globals,
        offer: &Offer,
        qh: &QueueHandle<State>,
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
        let asked =
            |target: &&mut Target| matches!(&target.udmabuf, Udmabuf::Asked(p, _) if p == params);
        let Some(target) = self.targets.iter_mut().flatten().find(asked) else {
            return;
        };
        let asked = std::mem::replace(&mut target.udmabuf, Udmabuf::None);
        target.udmabuf = match (answer, asked) {
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

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.readers.forget(storage);
    }

    pub(super) fn leases(&mut self) -> impl Iterator<Item = &mut Lease> {
        self.targets.iter_mut().flatten().flat_map(Target::leases)
    }
}

/// How the picture lies in the guest's memory.
pub(super) fn view(buffer: &Buffer) -> View {
    View { layout: buffer.layout, visible: buffer.visible, transform: buffer.transform }
}
