//! What we ask of the kernel: which memory an fd is, dma-bufs, udmabufs, mappings.
#![allow(unsafe_code)]

mod classify;
mod dmabuf;
mod map;
mod memfd;

pub use classify::{Classify, ClassifyError, Identity, classify, storage};
pub use dmabuf::{ReadAccess, create_udmabuf, udmabuf_available};
pub use map::{Mapping, OwnMapping};
pub use memfd::{own_memfd, page_align};
