//! What we ask of the kernel: which memory an fd is, dma-bufs, udmabufs, mappings.
#![allow(unsafe_code)]

mod classify;
mod dmabuf;
mod environment;
mod fresh;
mod map;
mod memfd;
mod nodes;
mod syncobj;

pub use classify::{Classify, ClassifyError, Identity, classify, plane_fd, plane_size, storage};
pub use dmabuf::{
    PageRange, RANGES_MAX, ReadAccess, WriteAccess, create_udmabuf, create_udmabuf_list,
    export_sync_file, is_being_written, udmabuf_available, udmabuf_limits,
};
pub use environment::take_variable;
pub use fresh::Sentinel;
pub use map::{Mapping, OwnMapping};
pub use memfd::{memfd_of, own_memfd, page_align, seal_future_write, sealed_copy};
pub use nodes::{can_only_be_of, is_of, may_draw, render_nodes};
pub use syncobj::{SyncNode, Syncobj};
