//! What a guest (or a broken QEMU) may send to hurt us: each is refused, and the last good picture
//! and the connection stay.

use std::fs::File;

use zbus::{Fd, Message};

use super::*;
use crate::fake_qemu::MAP;

type V2<'a> = (Vec<Fd<'a>>, u32, u32, u32, u32, Vec<u32>, Vec<u32>, u32, u32, u32, u32, u64, bool);

/// A good announcement of 32x32 XR24, to be spoilt.
fn good(fd: &OwnedFd) -> V2<'_> {
    (vec![Fd::from(fd.as_fd())], 0, 0, 32, 32, vec![0], vec![128], 1, XR24, 32, 32, INVALID, false)
}

#[test]
fn spoilt_announcements_are_refused_and_the_last_good_one_stays() {
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

#[test]
fn what_is_no_memory_is_refused() {
    let (mut source, mut qemu) = new();
    let null = File::open("/dev/null").unwrap();
    let (pipe, _write) = rustix::pipe::pipe().unwrap();
    for (fd, part) in [(null.as_fd(), "a character device"), (pipe.as_fd(), "a pipe")] {
        let body = (Fd::from(fd), 0_u32, 32_u32, 32_u32, 128_u32, 0x2002_0888_u32);
        let (_, text) = qemu.call(MAP, "ScanoutMap", &body).unwrap_err();
        assert!(text.contains(part), "{text}");
        let body = (Fd::from(fd), 32_u32, 32_u32, 128_u32, XR24, 0_u64, false);
        let (_, text) = qemu.call(LISTENER, "ScanoutDMABUF", &body).unwrap_err();
        assert!(text.contains(part), "{text}");
    }
    assert!(source.poll().is_none());
}

#[test]
fn a_map_that_is_too_small_is_refused() {
    let (mut source, mut qemu) = new();
    let fd = memory(4096);
    let body = (Fd::from(fd.as_fd()), 1_u32, 32_u32, 32_u32, 128_u32, 0x2002_0888_u32);
    let (_, text) = qemu.call(MAP, "ScanoutMap", &body).unwrap_err();
    assert!(text.contains("ends at byte 4097"), "{text}");
    assert!(source.poll().is_none());
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

#[test]
#[allow(unsafe_code)]
fn a_file_descriptor_that_is_not_there_is_refused() {
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
