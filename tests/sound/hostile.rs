//! What a guest (or a broken QEMU) may do with sound to hurt us: it is refused or dropped, and what comes after
//! it is heard.

use zbus::Message;

use super::*;

/// Whatever came before, a voice that is begun now is heard, and nothing else.
fn is_heard(out: &mut FakeListener, server: &UnixListener) {
    init(out, STEREO).unwrap();
    write(out, 1, &[2; 64]);
    let mut server = next(server);
    server.accept(64);
    assert_eq!(server.samples(64), [2; 64]);
}

/// Samples, rates and channels that don't exist, and a frame of another size than its channels'. The guest's
/// QEMU gets an error for each, and nothing is kept of it.
#[test]
fn formats_that_cannot_be_are_refused() {
    with_server(module_path!(), "formats_that_cannot_be_are_refused", |server| {
        let (_stage, mut out) = Stage::heard();
        type Spoil = fn(&mut Init);
        let spoils: [(&str, Spoil); 13] = [
            ("no sound server knows", |v| v.1 = 0),
            ("no sound server knows", |v| v.1 = 7),
            ("no sound server knows", |v| v.1 = 24),
            ("no sound server knows", |v| v.1 = 255),
            ("no sound server knows", |v| v.3 = true),
            ("no sound server knows", |v| v.4 = 0),
            ("no sound server knows", |v| v.4 = u32::MAX),
            ("no sound server knows", |v| v.5 = 0),
            ("no sound server knows", |v| v.5 = 9),
            ("no sound server knows", |v| v.5 = 255),
            ("no frame", |v| v.6 = 0),
            ("no frame", |v| v.6 = 2),
            ("no frame", |v| v.6 = u32::MAX),
        ];
        for (part, spoil) in spoils {
            let mut voice = STEREO;
            spoil(&mut voice);
            let text = init(&mut out, voice).unwrap_err();
            assert!(text.contains(part), "{voice:?}: {text}");
            write(&mut out, 1, &[1; 64]);
        }
        is_heard(&mut out, &server);
    });
}

/// A voice that isn't there: before `Init`, after `Fini`. QEMU is told that all is well, and nobody hears of it.
#[test]
fn what_is_said_of_no_voice_is_heard_by_nobody() {
    with_server(module_path!(), "what_is_said_of_no_voice_is_heard_by_nobody", |server| {
        let (_stage, mut out) = Stage::heard();
        let all = |out: &mut FakeListener| {
            write(out, 1, &[1; 64]);
            out.call(OUT, "SetEnabled", &(1_u64, true)).unwrap();
            out.call(OUT, "SetVolume", &(1_u64, true, &[0_u8][..])).unwrap();
            out.call(OUT, "Fini", &1_u64).unwrap();
        };
        all(&mut out);
        init(&mut out, STEREO).unwrap();
        out.call(OUT, "Fini", &1_u64).unwrap();
        all(&mut out);
        is_heard(&mut out, &server);
    });
}

/// Samples that are no whole frames, volumes of more channels than there are, the same voice twice.
#[test]
fn whole_frames_are_played() {
    with_server(module_path!(), "whole_frames_are_played", |server| {
        let (_stage, mut out) = Stage::heard();
        init(&mut out, STEREO).unwrap();
        // What it was before is forgotten.
        init(&mut out, STEREO).unwrap();
        out.call(OUT, "SetVolume", &(1_u64, false, &[255_u8; 300][..])).unwrap();
        for (count, value) in [(0, 1), (1, 2), (3, 3), (7, 4), (9, 5)] {
            write(&mut out, 1, &vec![value; count]);
        }
        let mut server = next(&server);
        server.accept(64);
        assert_eq!(server.volume(), [0x10000; 2]);
        assert_eq!(server.samples(12), [4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5]);
    });
}

/// More is played than a server takes. QEMU has its reply to each, the picture goes on, and when the server
/// takes samples again it gets the newest, no more than may wait.
#[test]
fn of_a_flood_the_newest_is_heard_and_nobody_waits() {
    with_server(module_path!(), "of_a_flood_the_newest_is_heard_and_nobody_waits", |server| {
        let (mut stage, mut out) = Stage::heard();
        init(&mut out, STEREO).unwrap();
        write(&mut out, 1, &[0; 4]);
        let mut server = next(&server);
        server.accept(4);
        assert_eq!(server.samples(4), [0; 4]);
        let second = vec![1_u8; 44_100 * 4];
        let replies: Vec<_> = (0..50)
            .map(|_| {
                assert!(stage.qemu.answers());
                out.send(OUT, "Write", &(1_u64, &second[..]))
            })
            .collect();
        replies.into_iter().for_each(|serial| drop(out.reply(serial).unwrap()));
        write(&mut out, 1, &[2; 4]);
        // 80 milliseconds.
        let most = 3528 * 4;
        server.request(u32::MAX);
        let samples = server.samples(most);
        assert!(samples[..most - 4].iter().all(|sample| *sample == 1));
        assert_eq!(samples[most - 4..], [2; 4]);
        drop(stage);
        server.expect_end();
    });
}

/// Each voice has a thread.
#[test]
fn there_are_so_many_voices_and_no_more() {
    with_server(module_path!(), "there_are_so_many_voices_and_no_more", |_server| {
        let (_stage, mut out) = Stage::heard();
        for voice in 0..8 {
            init(&mut out, (voice, 16, true, false, 44_100, 2, 4, 0, false)).unwrap();
        }
        let text = init(&mut out, (8, 16, true, false, 44_100, 2, 4, 0, false)).unwrap_err();
        assert!(text.contains("8 voices"), "{text}");
        out.call(OUT, "Fini", &3_u64).unwrap();
        init(&mut out, (u64::MAX, 16, true, false, 44_100, 2, 4, 0, false)).unwrap();
    });
}

#[test]
fn what_is_not_understood_gets_the_right_error() {
    with_server(module_path!(), "what_is_not_understood_gets_the_right_error", |_server| {
        let (_stage, mut out) = Stage::heard();
        let error = |reply: Result<Message, (String, String)>| reply.unwrap_err().0;
        let invalid = "org.freedesktop.DBus.Error.InvalidArgs";
        let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
        assert_eq!(error(out.call(OUT, "Init", &1_u64)), invalid);
        assert_eq!(error(out.call(OUT, "Fini", &"what")), invalid);
        assert_eq!(error(out.call(OUT, "SetEnabled", &(1_u64, 1_u32))), invalid);
        assert_eq!(error(out.call(OUT, "SetVolume", &(1_u64, true))), invalid);
        assert_eq!(error(out.call(OUT, "Write", &(1_u64, "text"))), invalid);
        assert_eq!(error(out.call(OUT, "Read", &(1_u64, 4_u64))), unknown);
        assert_eq!(error(out.call(IN, "Write", &(1_u64, &[0_u8][..]))), unknown);
        let elsewhere = Message::method_call("/org/qemu/Display1/Else", "Fini").interface(OUT);
        let serial = out.send_message(&elsewhere.build(&1_u64).unwrap());
        assert_eq!(error(out.reply(serial)), "org.freedesktop.DBus.Error.UnknownObject");
        assert!(out.answers());
    });
}
