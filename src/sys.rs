//! What we ask of the kernel: which memory an fd is, dma-bufs, udmabufs, mappings.
#![allow(unsafe_code)]

mod classify;
mod dmabuf;
mod map;
mod memfd;
mod syncobj;

pub use classify::{Classify, ClassifyError, Identity, classify, storage};
pub use dmabuf::{ReadAccess, WriteAccess, create_udmabuf, export_sync_file, udmabuf_available};
pub use map::{Mapping, OwnMapping};
pub use memfd::{own_memfd, page_align};
pub use syncobj::{SyncNode, Syncobj};
