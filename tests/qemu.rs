//! The QEMU source against a fake QEMU (`support/fake_qemu.rs`), trap by trap.

#[path = "support/alone.rs"]
#[allow(dead_code)]
mod alone;
#[path = "support/fake_clipboard.rs"]
#[allow(dead_code)]
mod fake_clipboard;
#[path = "support/fake_qemu.rs"]
mod fake_qemu;
#[path = "support/hoard.rs"]
mod hoard;

#[path = "qemu/acks.rs"]
mod acks;
#[path = "qemu/finding.rs"]
mod finding;
#[path = "qemu/hostile.rs"]
mod hostile;
#[path = "qemu/pictures.rs"]
mod pictures;
#[path = "qemu/resize.rs"]
mod resize;
#[path = "qemu/scanouts.rs"]
mod scanouts;

use std::os::fd::{AsFd, OwnedFd};

use fake_qemu::{DMABUF2, FakeQemu, FakeVm, LISTENER, VM};
use fanlight::frame::{BufferId, Damage, Rect};
use fanlight::port::{Ack, Announcement, Source, SourceEvent};
use fanlight::source::{self, Bus, Options, Uri};
use fanlight::sys;
use rustix::event::{PollFd, PollFlags, Timespec};
use zbus::Fd;

/// A source that watches a fake QEMU of this kind.
fn connect(vm: FakeVm, options: &Options) -> (Box<dyn Source>, FakeQemu) {
    let (stream, listeners) = fake_qemu::p2p(vm);
    let uri = Uri::Qemu { bus: Bus::Session, vm: None, console: None };
    let opened = source::open_stream(stream, &uri, options).unwrap();
    (opened.source, listeners.next())
}

fn new() -> (Box<dyn Source>, FakeQemu) {
    connect(VM, &options())
}

/// Memfds pass for udmabufs.
fn options() -> Options {
    Options { classify: fake_qemu::classify, ..Options::default() }
}

fn memory(size: u64) -> OwnedFd {
    sys::own_memfd("test", size).unwrap()
}

/// The source's next event, waited for.
fn next(source: &mut Box<dyn Source>) -> SourceEvent {
    loop {
        if let Some(event) = source.poll() {
            return event;
        }
        let mut fds = [PollFd::from_borrowed_fd(source.fd(), PollFlags::IN)];
        let ten_seconds = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_ne!(rustix::event::poll(&mut fds, Some(&ten_seconds)), Ok(0), "no event came");
    }
}

fn scanout(source: &mut Box<dyn Source>) -> Announcement {
    match next(source) {
        SourceEvent::Scanout(announcement) => announcement,
        other => panic!("{other:?}"),
    }
}

fn update(source: &mut Box<dyn Source>) -> (BufferId, Damage, Ack) {
    match next(source) {
        SourceEvent::Update { buffer, damage, ack } => (buffer, damage, ack),
        other => panic!("{other:?}"),
    }
}

const XR24: u32 = u32::from_le_bytes(*b"XR24");
const INVALID: u64 = 0x00ff_ffff_ffff_ffff;

/// Arguments of `ScanoutDMABUF2`.
type V2<'a> = (Vec<Fd<'a>>, u32, u32, u32, u32, Vec<u32>, Vec<u32>, u32, u32, u32, u32, u64, bool);

/// A whole linear XR24 buffer as version 2 announces it.
fn v2(fd: &impl AsFd, width: u32, height: u32) -> V2<'_> {
    let fds = vec![Fd::from(fd.as_fd())];
    let (offsets, strides) = (vec![0], vec![width * 4]);
    (fds, 0, 0, width, height, offsets, strides, 1, XR24, width, height, INVALID, false)
}

fn announce(qemu: &mut FakeQemu, fd: &impl AsFd, width: u32, height: u32) -> Result<(), String> {
    let call = qemu.call(DMABUF2, "ScanoutDMABUF2", &v2(fd, width, height));
    call.map(drop).map_err(|(_, text)| text)
}

fn send_update(qemu: &FakeQemu, rect: (i32, i32, i32, i32)) -> std::num::NonZeroU32 {
    qemu.send(LISTENER, "UpdateDMABUF", &rect)
}

fn only(damage: &Damage) -> Rect {
    match damage {
        Damage::Rects { rects, count: 1 } => rects[0],
        other => panic!("{other:?}"),
    }
}
