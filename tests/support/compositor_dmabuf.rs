//! linux-dmabuf of the compositor: offers by events or by feedback, imports by the script.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use fanlight::sys::own_memfd;
use rustix::fs::fstat;
use wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_buffer_params_v1::{
    self as params_v1, ZwpLinuxBufferParamsV1,
};
use wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_feedback_v1::{
    self as feedback_v1, ZwpLinuxDmabufFeedbackV1,
};
use wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_v1::{
    self as dmabuf_v1, ZwpLinuxDmabufV1,
};
use wayland_server::protocol::wl_buffer::WlBuffer;
use wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};

use super::Server;
use super::surfaces::{BufferSeen, Pixels};

/// A format and a modifier.
pub type Pair = (u32, u64);

/// How `create` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Created,
    Failed,
    /// By an error of the protocol, which ends the connection.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    Fatal,
    /// When the test says so.
    Later,
}

/// A plane as it came.
#[derive(Debug)]
pub struct PlaneSeen {
    pub fd: OwnedFd,
    pub offset: u32,
    pub stride: u32,
    pub modifier: u64,
}

/// A `create`, and what it was answered.
#[derive(Debug)]
pub struct Create {
    pub params: ZwpLinuxBufferParamsV1,
    pub size: (i32, i32),
    pub format: u32,
    /// `st_dev` and `st_ino` of each plane's fd.
    pub inodes: Vec<(u64, u64)>,
    pub modifier: u64,
    /// Taken by the buffer.
    planes: Vec<PlaneSeen>,
}

#[derive(Debug, Default)]
pub struct Dmabuf {
    /// Every `create` so far.
    pub creates: Vec<Create>,
    /// How many params objects there are.
    pub params_alive: u32,
    /// Feedback objects in the order in which they were asked for.
    pub feedback: Vec<ZwpLinuxDmabufFeedbackV1>,
    /// What may be added; kept up to date by whoever sends feedback.
    adding: Vec<(ZwpLinuxBufferParamsV1, Vec<PlaneSeen>)>,
}

impl Server {
    /// Answers the `create` of that index.
    pub fn answer(&mut self, create: usize, answer: Answer) {
        let Create { params, planes, format, size, .. } = &mut self.dmabuf.creates[create];
        match answer {
            Answer::Later => {}
            Answer::Failed => params.failed(),
            Answer::Fatal => {
                params.post_error(params_v1::Error::OutOfBounds, "that can't be imported");
            }
            Answer::Created => {
                let index = self.surfaces.buffers.len();
                let client = params.client().unwrap();
                let buffer = client
                    .create_resource::<WlBuffer, usize, Server>(&self.display, 1, index)
                    .unwrap();
                params.created(&buffer);
                let planes = std::mem::take(planes);
                let pixels = Pixels::Dmabuf { planes, format: *format };
                self.surfaces.buffers.push(BufferSeen::new(buffer, *size, pixels));
            }
        }
    }

    /// Sends what a feedback object would: a table where there is one, a tranche, done.
    pub fn feedback(
        &self,
        feedback: &ZwpLinuxDmabufFeedbackV1,
        table: Option<&[u8]>,
        named: &[u8],
    ) {
        if let Some(table) = table {
            let fd = memory(table);
            feedback.format_table(fd.as_fd(), u32::try_from(table.len()).unwrap());
        }
        // From version 6 on there is no main device, and each tranche has a flag.
        let flags = if feedback.version() < 6 {
            feedback.main_device(self.script.device.to_ne_bytes().to_vec());
            feedback_v1::TrancheFlags::empty()
        } else {
            feedback_v1::TrancheFlags::Sampling
        };
        feedback.tranche_target_device(self.script.device.to_ne_bytes().to_vec());
        feedback.tranche_formats(named.to_vec());
        feedback.tranche_flags(flags);
        feedback.tranche_done();
        feedback.done();
    }
}

/// A format table.
pub fn table(pairs: &[Pair]) -> Vec<u8> {
    let entry = |&(format, modifier): &Pair| {
        let [a, b, c, d] = format.to_ne_bytes();
        [[a, b, c, d, 0, 0, 0, 0], modifier.to_ne_bytes()].concat()
    };
    pairs.iter().flat_map(entry).collect()
}

/// Names entries of a format table.
pub fn indices(indices: &[u16]) -> Vec<u8> {
    indices.iter().flat_map(|index| index.to_ne_bytes()).collect()
}

/// A memfd with these bytes.
pub fn memory(bytes: &[u8]) -> OwnedFd {
    let fd = own_memfd("table", bytes.len() as u64).unwrap();
    File::from(fd.try_clone().unwrap()).write_all(bytes).unwrap();
    fd
}

impl GlobalDispatch<ZwpLinuxDmabufV1, ()> for Server {
    fn bind(
        state: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<ZwpLinuxDmabufV1>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let dmabuf = init.init(resource, ());
        if dmabuf.version() < 4 {
            for &(format, modifier) in &state.script.pairs {
                dmabuf.format(format);
                dmabuf.modifier(format, (modifier >> 32) as u32, modifier as u32);
            }
        }
    }
}

impl Dispatch<ZwpLinuxDmabufV1, ()> for Server {
    fn request(
        state: &mut Self,
        _: &Client,
        _: &ZwpLinuxDmabufV1,
        request: dmabuf_v1::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let feedback = match request {
            dmabuf_v1::Request::CreateParams { params_id } => {
                let params = init.init(params_id, ());
                state.dmabuf.params_alive += 1;
                state.dmabuf.adding.push((params, Vec::new()));
                return;
            }
            dmabuf_v1::Request::GetDefaultFeedback { id } => init.init(id, ()),
            dmabuf_v1::Request::GetSurfaceFeedback { id, .. } => init.init(id, ()),
            other => panic!("zwp_linux_dmabuf_v1: {other:?}"),
        };
        let all: Vec<u16> = (0..state.script.pairs.len() as u16).collect();
        state.feedback(&feedback, Some(&table(&state.script.pairs)), &indices(&all));
        state.dmabuf.feedback.push(feedback);
    }
}

impl Dispatch<ZwpLinuxDmabufFeedbackV1, ()> for Server {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &ZwpLinuxDmabufFeedbackV1,
        request: feedback_v1::Request,
        (): &(),
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        let feedback_v1::Request::Destroy = request else { panic!("feedback: {request:?}") };
    }
}

impl Dispatch<ZwpLinuxBufferParamsV1, ()> for Server {
    fn request(
        state: &mut Self,
        _: &Client,
        params: &ZwpLinuxBufferParamsV1,
        request: params_v1::Request,
        (): &(),
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        let adding = state.dmabuf.adding.iter().position(|(p, _)| p == params);
        match request {
            params_v1::Request::Destroy => state.dmabuf.params_alive -= 1,
            params_v1::Request::Add { fd, plane_idx, offset, stride, modifier_hi, modifier_lo } => {
                let planes = &mut state.dmabuf.adding[adding.unwrap()].1;
                assert_eq!(plane_idx as usize, planes.len(), "planes in order");
                let modifier = u64::from(modifier_hi) << 32 | u64::from(modifier_lo);
                planes.push(PlaneSeen { fd, offset, stride, modifier });
            }
            params_v1::Request::Create { width, height, format, flags } => {
                let (params, planes) = state.dmabuf.adding.remove(adding.unwrap());
                assert!(matches!(flags, WEnum::Value(flags) if flags.is_empty()), "{flags:?}");
                assert!(width > 0 && height > 0 && !planes.is_empty());
                let modifier = planes[0].modifier;
                for plane in &planes {
                    assert_eq!(plane.modifier, modifier, "one modifier for all planes");
                    assert!(state.script.pairs.contains(&(format, modifier)), "not offered");
                    assert!(plane.stride > 0);
                }
                let size = fstat(&planes[0].fd).unwrap().st_size;
                let end =
                    i64::from(planes[0].offset) + i64::from(planes[0].stride) * i64::from(height);
                assert!(end <= size, "out of bounds: {end} of {size}");
                let inode = |plane: &PlaneSeen| {
                    let stat = fstat(&plane.fd).unwrap();
                    (stat.st_dev, stat.st_ino)
                };
                let inodes = planes.iter().map(inode).collect();
                let size = (width, height);
                state.dmabuf.creates.push(Create {
                    params,
                    size,
                    format,
                    inodes,
                    modifier,
                    planes,
                });
                state.answer(state.dmabuf.creates.len() - 1, state.script.answer);
            }
            other => panic!("zwp_linux_buffer_params_v1: {other:?}"),
        }
    }
}
