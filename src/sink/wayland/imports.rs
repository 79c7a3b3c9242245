//! The guest's own memory as wl_buffers.

use std::os::fd::BorrowedFd;
use std::rc::Rc;

use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::{Connection, QueueHandle};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::{
    self, Flags, ZwpLinuxBufferParamsV1,
};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;

use super::State;
use super::dmabuf::Offer;
use super::globals::int;
use super::lease::{Lease, Leased};
use crate::frame::{Layout, Memory, Modifier, PLANES_MAX, Size, Storage, StorageId, Transform};
use crate::port::{Buffer, ImportId, SinkEvent};
use crate::sys::{plane_fd, plane_size};

/// Longest edge that is shown: what a viewport's fractions of 1/256 pixel and any GPU can still take.
const EDGE_MAX: u32 = 1 << 16;

/// Asks for a wl_buffer; the answer comes to the object that is returned.
///
/// Never `create_immed`: where that fails, it takes the connection with it.
pub(super) fn ask<'a>(
    dmabuf: &ZwpLinuxDmabufV1,
    qh: &QueueHandle<State>,
    layout: &Layout,
    modifier: Modifier,
    fd_of: impl Fn(usize) -> BorrowedFd<'a>,
) -> ZwpLinuxBufferParamsV1 {
    let params = dmabuf.create_params(qh, Asked);
    let [high, low] = [(modifier.0 >> 32) as u32, modifier.0 as u32];
    let planes = layout.planes.iter().take(usize::from(layout.plane_count));
    for (index, plane) in (0..).zip(planes) {
        params.add(fd_of(index as usize), index, plane.offset, plane.stride, high, low);
    }
    let [width, height] = [layout.size.width, layout.size.height].map(int);
    params.create(width, height, layout.format.0, Flags::empty());
    params
}

#[derive(Debug)]
struct Import {
    id: ImportId,
    /// Keeps the memory's inode from meaning something else.
    _storage: Rc<Storage>,
    state: Progress,
}

#[derive(Debug)]
enum Progress {
    Asked(ZwpLinuxBufferParamsV1),
    Made(Lease),
}

/// All imports, until their storage is forgotten.
#[derive(Debug, Default)]
pub(super) struct Imports(Vec<Import>);

impl Imports {
    /// Asks the compositor for a wl_buffer of `buffer`'s memory. `None` when its answer is to be
    /// waited for.
    pub(super) fn import(
        &mut self,
        id: ImportId,
        buffer: &Buffer,
        dmabuf: Option<&ZwpLinuxDmabufV1>,
        offer: &Offer,
        qh: &QueueHandle<State>,
    ) -> Option<SinkEvent> {
        match self.0.iter().find(|import| import.id == id).map(|import| &import.state) {
            Some(Progress::Made(_)) => return Some(SinkEvent::Imported(id)),
            Some(Progress::Asked(_)) => return None,
            None => {}
        }
        let refused = |reason| Some(SinkEvent::Refused { import: id, reason });
        let Some(dmabuf) = dmabuf else {
            return refused(
                "the compositor takes no dma-bufs (it has no zwp_linux_dmabuf_v1)".into(),
            );
        };
        let storage = &buffer.storage;
        let Memory::DmaBuf { exporter } = &storage.memory else {
            return refused("the guest's memory is no dma-buf".into());
        };
        let (layout, linear) = (&id.layout, exporter == "udmabuf");
        let modifier = check(layout, storage)
            .and_then(|()| offer.choose(layout.format, layout.modifier, linear));
        let modifier = match modifier {
            Ok(modifier) => modifier,
            Err(reason) => return refused(reason),
        };
        let params = ask(dmabuf, qh, layout, modifier, |plane| plane_fd(storage, plane));
        let state = Progress::Asked(params);
        self.0.push(Import { id, _storage: Rc::clone(storage), state });
        None
    }

    /// The wl_buffer of an import.
    pub(super) fn lease(&mut self, id: ImportId) -> Option<&mut Lease> {
        let import = self.0.iter_mut().find(|import| import.id == id)?;
        match &mut import.state {
            Progress::Made(lease) => Some(lease),
            Progress::Asked(_) => None,
        }
    }

    /// Takes the answer to an [`ask`]; gives it back where it isn't for an import that is still wanted.
    fn answer(
        &mut self,
        params: &ZwpLinuxBufferParamsV1,
        answer: Option<Lease>,
    ) -> Result<SinkEvent, Option<Lease>> {
        let asked = |import: &Import| matches!(&import.state, Progress::Asked(p) if p == params);
        let Some(index) = self.0.iter().position(asked) else {
            return Err(answer);
        };
        let import = self.0[index].id;
        if let Some(lease) = answer {
            self.0[index].state = Progress::Made(lease);
            return Ok(SinkEvent::Imported(import));
        }
        self.0.swap_remove(index);
        let Layout { size, format, .. } = import.layout;
        let reason = format!(
            "the compositor could not import the guest's dma-buf ({format}, {}x{}, stride {})",
            size.width, size.height, import.layout.planes[0].stride
        );
        Ok(SinkEvent::Refused { import, reason })
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.0.retain(|import| import.id.storage != storage);
    }

    pub(super) fn leases(&mut self) -> impl Iterator<Item = &mut Lease> {
        self.0.iter_mut().filter_map(|import| match &mut import.state {
            Progress::Made(lease) => Some(lease),
            Progress::Asked(_) => None,
        })
    }
}

/// Whatever a compositor would end the connection for, instead of just saying no.
fn check(layout: &Layout, storage: &Storage) -> Result<(), String> {
    let Size { width, height } = layout.size;
    if !(1..=EDGE_MAX).contains(&width) || !(1..=EDGE_MAX).contains(&height) {
        return Err(format!("a buffer of {width}x{height} pixels can't be shown"));
    }
    let count = usize::from(layout.plane_count);
    if !(1..=PLANES_MAX).contains(&count) || storage.fds.is_empty() {
        return Err(format!("a buffer of {count} planes can't be shown"));
    }
    for (index, plane) in layout.planes.iter().enumerate().take(count) {
        let size = plane_size(storage, index).map_err(|_| format!("plane {index} has no size"))?;
        let rows = if index == 0 { height } else { 1 };
        let end = u64::from(plane.offset) + u64::from(plane.stride) * u64::from(rows);
        if plane.stride == 0 || end > size || plane.offset.checked_add(plane.stride).is_none() {
            return Err(format!(
                "plane {index} of the guest's buffer needs {end} bytes of a dma-buf that has {size} \
                 (offset {}, stride {})",
                plane.offset, plane.stride
            ));
        }
    }
    Ok(())
}

/// How a commit shows a buffer: which part of it, and which way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The size of the picture.
    pub(super) size: Size,
    /// The size of the buffer.
    pub(super) whole: Size,
    /// Where the picture begins, after the transform; `None` where it is the whole buffer.
    pub(super) origin: Option<(u32, u32)>,
    pub(super) transform: Transform,
}

impl Shape {
    /// How an import of `buffer` is shown.
    pub(super) fn of(buffer: &Buffer) -> Self {
        let (visible, whole) = (buffer.visible, buffer.layout.size);
        let size = Size { width: visible.width, height: visible.height };
        let y = match buffer.transform {
            Transform::Normal => visible.y,
            Transform::Flipped => {
                whole.height.saturating_sub(visible.y.saturating_add(visible.height))
            }
        };
        let origin = (size != whole).then_some((visible.x, y));
        Self { size, whole, origin, transform: buffer.transform }
    }
}

/// For the objects that [`ask`] makes.
#[derive(Debug)]
struct Asked;

impl Dispatch2<ZwpLinuxBufferParamsV1, State> for Asked {
    fn event(
        &self,
        state: &mut State,
        params: &ZwpLinuxBufferParamsV1,
        event: zwp_linux_buffer_params_v1::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        let answer = match event {
            zwp_linux_buffer_params_v1::Event::Created { buffer } => Some(Lease::of_dmabuf(buffer)),
            zwp_linux_buffer_params_v1::Event::Failed => None,
            _ => return,
        };
        match state.imports.answer(params, answer) {
            Ok(event) => state.events.push_back(event),
            // Unless a target waits for it, it came too late, and is destroyed with its lease.
            Err(answer) => state.targets.answer(params, answer),
        }
        params.destroy();
    }

    wayland_client::event_created_child!(State, ZwpLinuxBufferParamsV1, [
        zwp_linux_buffer_params_v1::EVT_CREATED_OPCODE => (WlBuffer, Leased),
    ]);
}
