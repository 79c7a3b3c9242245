//! What a guest (or a broken QEMU) may send to hurt us: each is refused, and the last good picture
//! and the connection stay.

use std::fs::File;
use std::os::unix::net::UnixStream;

use fanlight::frame::{Memory, Modifier};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags};
use zbus::{Fd, Message};

use super::*;
use crate::alone::alone;
use crate::fake_qemu::MAP;
use crate::hoard::take_all_fds;

type V2<'a> = (Vec<Fd<'a>>, u32, u32, u32, u32, Vec<u32>, Vec<u32>, u32, u32, u32, u32, u64, bool);

/// A good announcement of 32x32 XR24, to be spoilt.
fn good(fd: &OwnedFd) -> V2<'_> {
    (vec![Fd::from(fd.as_fd())], 0, 0, 32, 32, vec![0], vec![128], 1, XR24, 32, 32, INVALID, false)
}

/// Sizes, strides, offsets and counts that overflow, or that no memory could hold. The user keeps the
/// last good picture; the guest gets an error for each, and for updates of what was refused.
#[test]
fn f05_23_impossible_geometry_is_refused_and_the_next_good_buffer_counts() {
    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    qemu.call(DMABUF2, "ScanoutDMABUF2", &good(&fd)).unwrap();
    scanout(&mut source);
    type Spoil = fn(&mut V2<'_>);
    let spoils: [(&str, Spoil); 13] = [
        ("0x0 pixels", |b| (b.9, b.10) = (0, 0)),
        ("16385x32 pixels", |b| b.9 = 16_385),
        ("rows of 127 bytes", |b| b.6 = vec![127]),
        ("rows of 4294967295 bytes", |b| b.6 = vec![u32::MAX]),
        ("ends at byte 4100", |b| b.5 = vec![4]),
        ("ends at byte", |b| b.5 = vec![u32::MAX]),
        ("empty or not within", |b| b.3 = 0),
        ("empty or not within", |b| b.1 = u32::MAX),
        ("0 planes", |b| b.7 = 0),
        ("5 planes", |b| b.7 = 5),
        ("planes", |b| b.7 = u32::MAX),
        ("2 planes, but 1 offsets", |b| b.7 = 2),
        ("no file descriptor", |b| b.0.clear()),
    ];
    for (part, spoil) in spoils {
        let mut body = good(&fd);
        spoil(&mut body);
        let (_, text) = qemu.call(DMABUF2, "ScanoutDMABUF2", &body).unwrap_err();
        assert!(text.contains(part), "{part}: {text}");
        // What follows is not for the last good buffer.
        qemu.call(LISTENER, "UpdateDMABUF", &(0, 0, 32, 32)).unwrap_err();
    }
    assert!(source.poll().is_none());
    qemu.call(DMABUF2, "ScanoutDMABUF2", &good(&fd)).unwrap();
    scanout(&mut source);
}

/// Without: what follows a refused announcement is shown from, and acked for, the memory before it.
#[test]
fn a_refused_announcement_ends_the_one_before() {
    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    let map = |pixman: u32| (Fd::from(fd.as_fd()), 0_u32, 32_u32, 32_u32, 128_u32, pixman);
    let update = (0, 0, 32, 32);
    qemu.call(MAP, "ScanoutMap", &map(0x2002_0888)).unwrap();
    scanout(&mut source);
    qemu.call(MAP, "UpdateMap", &update).unwrap();
    // A format that isn't known, planes that can't be, arguments that are none.
    qemu.call(MAP, "ScanoutMap", &map(0)).unwrap_err();
    qemu.call(MAP, "UpdateMap", &update).unwrap_err();
    qemu.call(MAP, "ScanoutMap", &map(0x2002_0888)).unwrap();
    let mut body = good(&fd);
    body.7 = 0;
    qemu.call(DMABUF2, "ScanoutDMABUF2", &body).unwrap_err();
    qemu.call(LISTENER, "UpdateDMABUF", &update).unwrap_err();
    qemu.call(MAP, "ScanoutMap", &map(0x2002_0888)).unwrap();
    qemu.call(LISTENER, "Scanout", &"what").unwrap_err();
    qemu.call(LISTENER, "UpdateDMABUF", &update).unwrap_err();
}

/// Fds that are no memory: QEMU's standard input instead of a map's handle was seen. The user keeps the
/// last picture; the guest's QEMU gets an error that names what it sent, and falls back.
#[test]
fn f05_20_what_is_no_memory_is_refused() {
    let (mut source, mut qemu) = new();
    let null = File::open("/dev/null").unwrap();
    let elsewhere = File::open("/proc/self/status").unwrap();
    let folder = File::open("/").unwrap();
    let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let (pipe, _write) = rustix::pipe::pipe().unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let path = OFlags::PATH | OFlags::CLOEXEC;
    let handle = rustix::fs::open("/dev/null", path, Mode::empty()).unwrap();
    for (fd, part) in [
        (null.as_fd(), "a character device"),
        (handle.as_fd(), "a character device"),
        (pipe.as_fd(), "a pipe"),
        (socket.as_fd(), "a socket"),
        (folder.as_fd(), "a directory"),
        (event.as_fd(), "something else"),
        (elsewhere.as_fd(), "a file that is not in memory"),
    ] {
        let body = (Fd::from(fd), 0_u32, 32_u32, 32_u32, 128_u32, 0x2002_0888_u32);
        let (_, text) = qemu.call(MAP, "ScanoutMap", &body).unwrap_err();
        assert!(text.contains(part), "{text}");
        let body = (Fd::from(fd), 32_u32, 32_u32, 128_u32, XR24, 0_u64, false);
        let (_, text) = qemu.call(LISTENER, "ScanoutDMABUF", &body).unwrap_err();
        assert!(text.contains(part), "{text}");
    }
    assert!(source.poll().is_none());
}

/// A memfd where a dma-buf is promised, and the reverse (a QEMU shares blobs as maps). The user sees
/// either; the guest is acked where QEMU waits, and nothing is owed for a map.
#[test]
fn f05_21_an_fd_counts_as_what_it_is_and_not_as_what_it_came_as() {
    let (mut source, mut qemu) = connect(VM, &Options::default());
    announce(&mut qemu, &memory(4096), 32, 32).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.storage.memory, Memory::Memfd { shrink_sealed: true });
    assert_eq!(shown.layout.modifier, Modifier::LINEAR);
    let serial = send_update(&qemu, (0, 0, 32, 32));
    drop(update(&mut source));
    qemu.reply(serial).unwrap();

    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    let body = (Fd::from(fd.as_fd()), 0_u32, 32_u32, 32_u32, 128_u32, 0x2002_0888_u32);
    qemu.call(MAP, "ScanoutMap", &body).unwrap();
    let shown = scanout(&mut source);
    assert_eq!(shown.storage.memory, Memory::DmaBuf { exporter: "udmabuf".to_owned() });
    qemu.call(MAP, "UpdateMap", &(0, 0, 32, 32)).unwrap();
    let (buffer, _, ack) = update(&mut source);
    assert_eq!((buffer, ack.is_owed()), (shown.buffer, false));
}

/// Fewer fds than planes, but more than one, and more fds than there can be planes. The user keeps the
/// last picture, because it can't be known which plane lies where; the guest gets an error. One fd for
/// all planes is fine, and so are fds that nothing lies in.
#[test]
fn f05_22_fds_that_do_not_fit_the_planes_are_refused() {
    let (mut source, mut qemu) = new();
    let memories: Vec<_> = (0..5).map(|_| memory(1 << 16)).collect();
    let mut call = |count: usize, planes: u32| {
        let fds = memories[..count].iter().map(|fd| Fd::from(fd.as_fd())).collect();
        let mut body = good(&memories[0]);
        (body.0, body.7) = (fds, planes);
        (body.5, body.6) = (vec![0; 4], vec![128; 4]);
        qemu.call(DMABUF2, "ScanoutDMABUF2", &body).map(drop).map_err(|(_, text)| text)
    };
    for (count, planes) in [(0, 1), (2, 3), (3, 4), (5, 4), (5, 1)] {
        let text = call(count, planes).unwrap_err();
        assert!(text.contains("file descriptor"), "{text}");
    }
    for (count, planes) in [(1, 4), (4, 4), (3, 2)] {
        call(count, planes).unwrap();
        let shown = scanout(&mut source);
        let used = count.min(planes as usize);
        assert_eq!((shown.layout.plane_count, shown.storage.fds.len()), (planes as u8, used));
    }
    assert!(source.poll().is_none());
}

/// A visible part that isn't within the buffer. The user keeps the last picture; the guest gets an
/// error, and a part that is within counts.
#[test]
fn f05_24_a_part_outside_of_the_buffer_is_refused() {
    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    let mut call = |(x, y, width, height): (u32, u32, u32, u32)| {
        let mut body = good(&fd);
        (body.1, body.2, body.3, body.4) = (x, y, width, height);
        qemu.call(DMABUF2, "ScanoutDMABUF2", &body).map(drop).map_err(|(_, text)| text)
    };
    for part in [
        (0, 0, 33, 32),
        (0, 0, 32, 33),
        (1, 0, 32, 32),
        (32, 0, 1, 1),
        (0, 0, 0, 32),
        (0, 0, 32, 0),
        (u32::MAX, 0, 2, 32),
        (0, u32::MAX, 32, u32::MAX),
    ] {
        let text = call(part).unwrap_err();
        assert!(text.contains("empty or not within"), "{part:?}: {text}");
    }
    assert!(source.poll().is_none());
    call((31, 30, 1, 2)).unwrap();
    assert_eq!(scanout(&mut source).visible, Rect { x: 31, y: 30, width: 1, height: 2 });
}

/// A dma-buf smaller than announced, by a row, a byte and a plane. The user keeps the last picture; the
/// guest gets an error that says how much is missing.
#[test]
fn f05_25_a_buffer_larger_than_its_memory_is_refused() {
    let (mut source, mut qemu) = new();
    let (page, byte_less) = (memory(4096), memory(4095));
    for (fd, (width, height), end) in
        [(&page, (32, 33), 4224), (&byte_less, (32, 32), 4096), (&page, (1024, 1024), 4_194_304)]
    {
        let text = announce(&mut qemu, fd, width, height).unwrap_err();
        assert!(text.contains(&format!("ends at byte {end}")), "{text}");
    }
    let mut body = good(&page);
    (body.5, body.6, body.7) = (vec![0, 4000], vec![128, 128], 2);
    let (_, text) = qemu.call(DMABUF2, "ScanoutDMABUF2", &body).unwrap_err();
    assert!(text.contains("plane 1 ends at byte 4128"), "{text}");
    assert!(source.poll().is_none());
    announce(&mut qemu, &page, 32, 32).unwrap();
    scanout(&mut source);
}

#[test]
fn what_is_not_understood_gets_the_right_error() {
    let (_source, mut qemu) = new();
    let error = |reply: Result<Message, (String, String)>| reply.unwrap_err().0;
    let invalid = "org.freedesktop.DBus.Error.InvalidArgs";
    let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
    assert_eq!(error(qemu.call(LISTENER, "ScanoutDMABUF", &"what")), invalid);
    assert_eq!(error(qemu.call(LISTENER, "UpdateDMABUF", &(0_u32, 0_u32, 1_u32, 1_u32))), invalid);
    assert_eq!(error(qemu.call(LISTENER, "UpdateDMABUF", &(0, 0, 1))), invalid);
    assert_eq!(error(qemu.call(LISTENER, "Disable", &1_u32)), invalid);
    assert_eq!(error(qemu.call(LISTENER, "Scanout", &())), invalid);
    assert_eq!(error(qemu.call(DMABUF2, "ScanoutDMABUF2", &(0_u32, 1_u32))), invalid);
    assert_eq!(error(qemu.call(LISTENER, "ScanoutTexture2d", &())), unknown);
    // The member of one interface under the name of another.
    assert_eq!(error(qemu.call(MAP, "UpdateDMABUF", &(0, 0, 1, 1))), unknown);
    assert_eq!(error(qemu.call(LISTENER, "UpdateMap", &(0, 0, 1, 1))), unknown);
    let elsewhere = Message::method_call("/org/qemu/Display1/Else", "Disable").interface(LISTENER);
    let serial = qemu.send_message(&elsewhere.build(&()).unwrap());
    assert_eq!(error(qemu.reply(serial)), "org.freedesktop.DBus.Error.UnknownObject");
    let introspect = qemu.call("org.freedesktop.DBus.Introspectable", "Introspect", &()).unwrap();
    assert!(introspect.body().deserialize::<&str>().unwrap().contains(DMABUF2));
    let get = qemu.call("org.freedesktop.DBus.Properties", "Get", &(LISTENER, "Interfaces"));
    assert!(get.is_ok());
}

/// An index of no fd in the message, as -1 would be. The user keeps the last picture; the guest gets an error.
#[test]
#[allow(unsafe_code)]
fn f05_22_a_file_descriptor_that_is_not_there_is_refused() {
    let (mut source, mut qemu) = new();
    // Body of ScanoutDMABUF: the number of an fd in the message, and zeros.
    for index in [0_u32, 7, u32::MAX] {
        let mut bytes = index.to_ne_bytes().to_vec();
        bytes.resize(36, 0);
        let path = "/org/qemu/Display1/Listener";
        let builder = Message::method_call(path, "ScanoutDMABUF").interface(LISTENER);
        // SAFETY: only bytes are made of it: it is wrong on purpose, and for the other side to check.
        let message = unsafe { builder.build_raw_body(&bytes, "huuuutb", Vec::new()) }.unwrap();
        let serial = qemu.send_message(&message);
        let (name, _) = qemu.reply(serial).unwrap_err();
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
    }
    assert!(source.poll().is_none());
}

/// The process has too few fds left when a buffer comes. The user keeps the last picture. Where the
/// kernel has to drop the fd, he is told what to do, and QEMU sees that its listener has gone; where only
/// we want one too many, the guest's QEMU gets an error, and its next buffer counts.
#[test]
fn f05_40_when_no_fds_are_left_the_source_says_so() {
    alone(module_path!(), "f05_40_when_no_fds_are_left_the_source_says_so", || {
        let (mut source, mut qemu) = new();
        let fd = memory(4096);
        announce(&mut qemu, &fd, 32, 32).unwrap();
        scanout(&mut source);
        let path = "/org/qemu/Display1/Listener";
        let message = || {
            let message = Message::method_call(path, "ScanoutDMABUF2").interface(DMABUF2);
            message.build(&good(&fd)).unwrap()
        };
        let (refused, lost) = (message(), message());
        // The fds of what came before are closed then.
        qemu.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
        let hoard = take_all_fds(1);
        let serial = qemu.send_message(&refused);
        let (_, text) = qemu.reply(serial).unwrap_err();
        assert!(text.contains("os error 24"), "{text}");
        drop(hoard);
        announce(&mut qemu, &fd, 32, 32).unwrap();
        scanout(&mut source);

        qemu.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
        let hoard = take_all_fds(0);
        qemu.send_message(&lost);
        let event = next(&mut source);
        let SourceEvent::Lost(reason) = event else { panic!("{event:?}") };
        assert!(reason.contains("ulimit -n"), "{reason}");
        qemu.wait_closed();
        drop(hoard);
        let (mut source, mut qemu) = new();
        announce(&mut qemu, &fd, 32, 32).unwrap();
        scanout(&mut source);
    });
}
