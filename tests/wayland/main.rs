//! The viewer against a compositor that does what a real one won't do on demand.
#![cfg(feature = "wayland")]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "../support/compositor.rs"]
mod compositor;

mod copies;
mod cursor;
mod direct;
mod fake_gpu;
mod frame;
mod gpu;
mod hotkeys;
mod offers;
mod panels;
mod scale;
mod shown;
mod sync;
mod window;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use compositor::dmabuf::{Answer, Pair};
use compositor::surfaces::{Attached, Commit};
use compositor::sync::stand_ins;
use compositor::{Compositor, PATIENCE, Script};
use fanlight::convert::blit::BlitError;
use fanlight::frame::{
    Damage, Format, Layout, Memory, Modifier, Plane, Rect, Size, SizeHint, Storage, StorageId,
    Transform,
};
use fanlight::port::{Buffer, CommitId, ImportId, Sink, SinkEvent, next_buffer_id};
use fanlight::sink::wayland::{
    Fit, MakeUdmabuf, Means, OpenBlitter, OpenTimelines, WaylandError, WaylandSink, WindowOptions,
};
use fanlight::sys::own_memfd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fstat, open};
use wayland_protocols::xdg::shell::server::xdg_toplevel::State;

const XR24: u32 = Format::XRGB8888.0;
const LINEAR: Pair = (XR24, Modifier::LINEAR.0);

const NO_UDMABUF: MakeUdmabuf = |_, _, _| Err(io::ErrorKind::Unsupported.into());
/// The memfd itself: the compositor of the tests doesn't mind.
const UDMABUF: MakeUdmabuf = |memfd, _, _| memfd.try_clone_to_owned();
const NO_BLITTER: OpenBlitter = |_| Err(BlitError::Open("none is wanted".to_owned()));

/// A sink and its compositor.
struct Stage {
    // First, so that the compositor still sees its end.
    sink: WaylandSink,
    compositor: Compositor,
}

impl Stage {
    fn open(script: Script) -> Self {
        let options = WindowOptions { fit: Fit::OneToOne, ..WindowOptions::default() };
        Self::try_open(script, &options, NO_UDMABUF).unwrap()
    }

    fn try_open(
        script: Script,
        options: &WindowOptions,
        udmabuf: MakeUdmabuf,
    ) -> Result<Self, WaylandError> {
        Self::with_timelines(script, options, udmabuf, stand_ins)
    }

    fn with_timelines(
        script: Script,
        options: &WindowOptions,
        udmabuf: MakeUdmabuf,
        timelines: OpenTimelines,
    ) -> Result<Self, WaylandError> {
        let means = Means {
            make_udmabuf: udmabuf,
            open_timelines: timelines,
            open_blitter: NO_BLITTER,
            // What the desktop around says is none of the tests' business.
            find_look: || None,
            ..Means::default()
        };
        Self::with_means(script, options, means)
    }

    fn with_means(
        script: Script,
        options: &WindowOptions,
        means: Means,
    ) -> Result<Self, WaylandError> {
        let (compositor, stream) = Compositor::start(script);
        let sink = WaylandSink::over_with(stream, options, means)?;
        Ok(Self { sink, compositor })
    }

    /// The next event of the sink, but for sizes ([`resized`](Self::resized)).
    fn next(&mut self) -> SinkEvent {
        loop {
            match self.event() {
                SinkEvent::Resized(_) => {}
                event => return event,
            }
        }
    }

    /// The next size that the guest is to be told, which is the next event.
    fn resized(&mut self) -> SizeHint {
        match self.event() {
            SinkEvent::Resized(hint) => hint,
            event => panic!("{event:?}"),
        }
    }

    fn event(&mut self) -> SinkEvent {
        loop {
            if let Some(event) = self.sink.poll() {
                return event;
            }
            let mut fds = [PollFd::from_borrowed_fd(self.sink.fd().unwrap(), PollFlags::IN)];
            let patience = Timespec::try_from(PATIENCE).unwrap();
            assert_ne!(poll(&mut fds, Some(&patience)), Ok(0), "waited in vain for an event");
        }
    }

    /// Returns when what the compositor said so far has been handled, which is nothing to tell.
    fn settle(&mut self) {
        self.compositor.with(|server| server.configure((0, 0), &[State::Suspended]));
        assert!(matches!(self.next(), SinkEvent::Hidden(true)));
        self.compositor.with(|server| server.configure((0, 0), &[]));
        assert!(matches!(self.next(), SinkEvent::Hidden(false)));
    }

    fn import(&mut self, buffer: &Buffer, slot: u8) -> SinkEvent {
        self.sink.import(import(buffer, slot), buffer);
        self.next()
    }

    fn refusal(&mut self, buffer: &Buffer) -> String {
        let answer = self.import(buffer, 0);
        let SinkEvent::Refused { import: refused, reason } = answer else { panic!("{answer:?}") };
        assert_eq!(refused, import(buffer, 0));
        reason
    }

    /// Imports `buffer` and shows it.
    fn show(&mut self, commit: u64, buffer: &Buffer, slot: u8) {
        let event = self.import(buffer, slot);
        assert!(
            matches!(event, SinkEvent::Imported(id) if id == import(buffer, slot)),
            "{event:?}"
        );
        self.sink.show(CommitId(commit), import(buffer, slot), buffer, &Damage::Whole);
        self.sink.flush();
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) -> u64 {
        self.sink.copy(target, buffer, damage);
        let event = self.sink.poll().expect("a copy is answered at once");
        let SinkEvent::Copied { target: to, bytes } = event else { panic!("{event:?}") };
        assert_eq!(to, target);
        bytes
    }

    fn show_copy(&mut self, commit: u64, target: u8, buffer: &Buffer, damage: &Damage) {
        self.sink.show_copy(CommitId(commit), target, buffer, damage);
        self.sink.flush();
    }

    /// The commit that was the `count`th to give the picture a buffer or take it away.
    fn shown(&self, count: usize) -> Commit {
        self.compositor.wait("a picture", |server| {
            server.surfaces.shown().get(count - 1).map(|&commit| commit.clone())
        })
    }

    /// As [`shown`](Self::shown), with which buffer.
    fn shown_buffer(&self, count: usize) -> usize {
        let commit = self.shown(count);
        let Attached::Buffer(buffer) = commit.attached else { panic!("{commit:?}") };
        buffer
    }

    fn release(&self, buffer: usize) {
        self.compositor.with(|server| server.surfaces.buffers[buffer].buffer.release());
    }

    /// Lets the `count`th shown commit have its frame, and expects that, and nothing before it.
    fn nothing_but_frame(&mut self, count: usize, commit: u64) {
        let frame = self.shown(count).frame.expect("each commit asks for a frame");
        self.compositor.with(|_| frame.done(0));
        let event = self.next();
        assert!(matches!(event, SinkEvent::Presented(CommitId(id)) if id == commit), "{event:?}");
    }

    fn released(&mut self) -> u64 {
        match self.next() {
            SinkEvent::Released(CommitId(commit)) => commit,
            event => panic!("{event:?}"),
        }
    }

    fn closed(&mut self) -> Option<String> {
        match self.next() {
            SinkEvent::Closed(reason) => reason,
            event => panic!("{event:?}"),
        }
    }
}

fn import(buffer: &Buffer, slot: u8) -> ImportId {
    ImportId { storage: buffer.storage.id, layout: buffer.layout, slot }
}

fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

fn layout(size: Size) -> Layout {
    let mut planes = [Plane::default(); 4];
    planes[0].stride = size.width * 4;
    let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
    Layout { size, format, modifier, planes, plane_count: 1 }
}

fn buffer(fd: OwnedFd, memory: Memory, bytes: u64, size: Size) -> Buffer {
    let stat = fstat(&fd).unwrap();
    let id = StorageId { dev: stat.st_dev, ino: stat.st_ino, others: 0 };
    Buffer {
        id: next_buffer_id(),
        storage: Rc::new(Storage { id, memory, size: bytes, fds: vec![fd] }),
        layout: layout(size),
        visible: Rect { x: 0, y: 0, width: size.width, height: size.height },
        transform: Transform::Normal,
    }
}

/// A dma-buf whose pixels nobody can touch: a handle that only has an inode.
fn untouchable(size: Size) -> Buffer {
    let bytes = u64::from(size.width * size.height * 4);
    let fd = own_memfd("guest", bytes).unwrap();
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let handle = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    buffer(handle, Memory::DmaBuf { exporter: "udmabuf".to_owned() }, bytes, size)
}

/// A memfd that can be copied from, and the rows in it: each pixel says where it is.
fn readable(size: Size) -> (Buffer, Vec<Vec<u8>>, File) {
    let pixel = |x: u32, y: u32| [x as u8, y as u8, (x ^ y) as u8, 0];
    let row = |y| (0..size.width).flat_map(|x| pixel(x, y)).collect::<Vec<_>>();
    let rows: Vec<_> = (0..size.height).map(row).collect();
    let bytes = u64::from(size.width * size.height * 4);
    let fd = own_memfd("guest", bytes).unwrap();
    let mut file = File::from(fd.try_clone().unwrap());
    file.write_all(&rows.concat()).unwrap();
    (buffer(fd, Memory::Memfd { shrink_sealed: true }, bytes, size), rows, file)
}

fn rects<const N: usize>(list: [Rect; N]) -> Damage {
    let mut rects = [Rect::default(); fanlight::frame::DAMAGE_MAX];
    rects[..N].copy_from_slice(&list);
    Damage::Rects { rects, count: N as u8 }
}
