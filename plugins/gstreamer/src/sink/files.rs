//! Which dma-bufs a picture's planes lie in.

use std::io;
use std::sync::Arc;

use fanlight::frame::{Layout, PLANES_MAX, Storage};
use fanlight::port::Buffer;
use fanlight::sys::{plane_fd, plane_size};
use rustix::fs::fstat;

use crate::caps::Picture;
use crate::inbox::Inbox;
use crate::memory::Lendable;

/// The different ones, in the order of their first planes. For GStreamer they lie one after the other.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<File>,
    /// Where the file of each plane begins.
    starts: [usize; PLANES_MAX],
}

#[derive(Debug)]
struct File {
    /// The first that lies in it.
    plane: usize,
    device_and_inode: (u64, u64),
    start: usize,
    bytes: usize,
}

impl Files {
    pub(super) fn of(storage: &Storage, layout: &Layout) -> io::Result<Self> {
        let mut this = Self::default();
        let mut end = 0_usize;
        for plane in 0..usize::from(layout.plane_count).min(PLANES_MAX) {
            let stat = fstat(plane_fd(storage, plane))?;
            let device_and_inode = (stat.st_dev, stat.st_ino);
            let known = this.files.iter().find(|file| file.device_and_inode == device_and_inode);
            this.starts[plane] = match known {
                Some(file) => file.start,
                None => {
                    let bytes = usize::try_from(plane_size(storage, plane)?).unwrap_or(usize::MAX);
                    let start = end;
                    end = end.saturating_add(bytes);
                    this.files.push(File { plane, device_and_inode, start, bytes });
                    start
                }
            };
        }
        Ok(this)
    }

    /// How the bytes of all of them are to be read; `None` where rows are too long.
    pub(super) fn picture(&self, layout: &Layout, buffer: &Buffer) -> Option<Picture> {
        let mut picture = Picture::direct(layout, &buffer.visible, buffer.transform)?;
        for (offset, start) in picture.offsets.iter_mut().zip(self.starts) {
            *offset = offset.saturating_add(start);
        }
        Some(picture)
    }

    /// A memory for each.
    pub(super) fn memories(&self, storage: &Storage, inbox: &Arc<Inbox>) -> Option<Vec<Lendable>> {
        let memory = |file: &File| {
            let fd = plane_fd(storage, file.plane).try_clone_to_owned().ok()?;
            Lendable::dmabuf(fd, file.bytes, inbox)
        };
        self.files.iter().map(memory).collect()
    }
}
