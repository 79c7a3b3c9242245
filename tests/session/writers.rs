//! Frames whose writer is not done when they are announced: a guest's GPU, of which the kernel knows.

use std::os::fd::OwnedFd;
use std::time::Instant;

use fanlight::frame::{
    Format, Layout, Memory, Modifier, PLANES_MAX, Plane, Rect, Size, Storage, StorageId, Transform,
};
use fanlight::port::{Announcement, Sink, SourceEvent, next_buffer_id};
use fanlight::session::{Config, Mode, Options, Present, Session, Why};
use fanlight::sink::memory::MemorySink;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::compositor::PATIENCE;
use crate::script;
use crate::spies::{Log, Seen, SpiedSource};
use crate::stage::inode;

const SIZE: Size = Size { width: 64, height: 48 };

/// A dma-buf of a GPU, as far as the sink can tell.
fn announcement(fd: OwnedFd) -> Announcement {
    let (dev, ino) = inode(&fd);
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0].stride = SIZE.width * 4;
    let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
    Announcement {
        buffer: next_buffer_id(),
        storage: Storage {
            id: StorageId { dev, ino, others: 0 },
            memory: Memory::DmaBuf { exporter: "xe".to_owned() },
            size: u64::from(SIZE.width * SIZE.height * 4),
            fds: vec![fd],
        },
        layout: Layout { size: SIZE, format, modifier, planes, plane_count: 1 },
        visible: Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height },
        transform: Transform::Normal,
    }
}

/// The user sees the frame when it is drawn; the guest gets its acks at their deadlines meanwhile, by force.
/// A pipe stands in for the dma-buf: it is readable when somebody has written to it, as that is when nobody
/// does. With fences of the kernel's it is tested in the rig.
#[test]
fn f05_43_a_frame_whose_writer_is_not_done_holds_no_guest_up() {
    let log = Log::default();
    let (source, mut guest) = script::guest();
    let source = SpiedSource { source: Box::new(source), log: log.clone(), updates: 0 };
    let options = Options { present: Present::Auto, config: Config::VIEWER };
    let mut session = Session::new(Box::new(source), MemorySink::default(), options);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let announcement = announcement(reader);
    let buffer = announcement.buffer;
    guest.say(SourceEvent::Scanout(announcement));
    let until =
        |session: &mut Session<MemorySink>, what: &str, is: &dyn Fn(&Session<_>) -> bool| {
            let end = Instant::now() + PATIENCE;
            while !is(session) {
                let left = end.saturating_duration_since(Instant::now());
                assert!(!left.is_zero(), "waited in vain for {what}: {:?}", log.all());
                session.turn(Some(left), None).unwrap();
            }
        };
    for _ in 0..3 {
        let update = guest.update(buffer);
        until(&mut session, "an ack", &|_| log.has(Seen::Ack(update)));
    }
    let stats = session.stats();
    assert_eq!((stats.counts.forced_acks, stats.counts.frames), (3, 0));
    assert_eq!(stats.mode, Some((Mode::Copy, Why::Refused)), "a headless sink copies");
    let wakes = |session: &mut Session<MemorySink>| {
        let fd = session.sink().fd().expect("something to wait for");
        poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&Timespec::default()))
            == Ok(1)
    };
    assert!(!wakes(&mut session));
    // It is done, and that alone wakes us. That a pipe can't be copied shows that it was tried.
    rustix::io::write(&writer, &[0]).unwrap();
    assert!(wakes(&mut session));
    let tried =
        |session: &Session<_>| session.stats().mode == Some((Mode::Direct, Why::Unreadable));
    until(&mut session, "the copy", &tried);
    let update = guest.update(buffer);
    until(&mut session, "an ack", &|_| log.has(Seen::Ack(update)));
    assert_eq!(session.stats().counts.forced_acks, 3);
}
