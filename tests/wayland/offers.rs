//! What the compositor takes, what it doesn't, and how it says so.

use super::*;
use crate::compositor::dmabuf::{indices, memory, table};

const SIZE: Size = Size { width: 64, height: 48 };
const TILED: u64 = 0x0100_0000_0000_0001;
const RG16: u32 = Format::RGB565.0;

#[test]
fn each_version_offers_in_its_way() {
    for version in 3..=6 {
        let script = Script { dmabuf: version, ..Script::default() };
        let mut stage = Stage::open(script);
        stage.show(1, &untouchable(SIZE), 0);
        stage.shown_buffer(1);
    }
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    for version in [3, 4] {
        let mut stage = Stage::open(Script { dmabuf: version, ..Script::default() });
        let mut guest = untouchable(SIZE);
        guest.layout.modifier = Modifier(TILED);
        let reason = stage.refusal(&guest);
        assert!(reason.contains("XR24") && reason.contains("0x0100000000000001"), "{reason}");
        guest.layout.format = Format::RGB565;
        let reason = stage.refusal(&guest);
        assert!(reason.contains("RG16"), "{reason}");
        stage.compositor.with(|server| assert!(server.dmabuf.creates.is_empty()));
    }
}

/// The user sees the guest's own memory wherever one of the two is offered, because a udmabuf without
/// a modifier is linear; what else it could be is refused, and copied. The guest notices nothing.
#[test]
fn f05_11_implicit_and_linear_mean_the_same_where_only_one_is_offered() {
    let (implicit, linear) = (Modifier::INVALID, Modifier::LINEAR);
    for offered in [implicit, linear] {
        let pairs = vec![(XR24, offered.0)];
        let mut stage = Stage::open(Script { dmabuf: 4, pairs, ..Script::default() });
        for (commit, announced) in [(1, implicit), (2, linear)] {
            let mut guest = untouchable(SIZE);
            guest.layout.modifier = announced;
            stage.show(commit, &guest, 0);
            stage.shown_buffer(commit as usize);
        }
        stage.compositor.with(|server| {
            let passed = server.dmabuf.creates.iter().map(|create| create.modifier);
            assert_eq!(passed.collect::<Vec<_>>(), [offered.0; 2]);
        });
        // A driver of its own may mean anything by it.
        let mut guest = untouchable(SIZE);
        let memory = Memory::DmaBuf { exporter: "xe".to_owned() };
        let storage = &guest.storage;
        let fds = storage.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
        guest.storage = Rc::new(Storage { id: storage.id, memory, size: storage.size, fds });
        guest.layout.modifier = implicit;
        match offered {
            Modifier::INVALID => {
                assert!(matches!(stage.import(&guest, 0), SinkEvent::Imported(_)));
            }
            _ => assert!(stage.refusal(&guest).contains("XR24")),
        }
    }
}

#[test]
fn an_implicit_udmabuf_is_linear() {
    let pairs = vec![(XR24, Modifier::INVALID.0), LINEAR];
    let mut stage = Stage::open(Script { pairs, ..Script::default() });
    let mut guest = untouchable(SIZE);
    guest.layout.modifier = Modifier::INVALID;
    stage.show(1, &guest, 0);
    stage.compositor.with(|server| assert_eq!(server.dmabuf.creates[0].modifier, 0));
}

#[test]
fn a_failed_import_is_a_refusal_and_may_be_tried_again() {
    let mut stage = Stage::open(Script { answer: Answer::Failed, ..Script::default() });
    let guest = untouchable(SIZE);
    for _ in 0..2 {
        let reason = stage.refusal(&guest);
        assert!(reason.contains("could not import") && reason.contains("XR24"), "{reason}");
    }
    stage.compositor.with(|server| assert_eq!(server.dmabuf.creates.len(), 2));
}

#[test]
fn no_linux_dmabuf_no_import() {
    let without = &["zwp_linux_dmabuf_v1"];
    let mut stage = Stage::open(Script { without, ..Script::default() });
    let reason = stage.refusal(&untouchable(SIZE));
    assert!(reason.contains("zwp_linux_dmabuf_v1"), "{reason}");
}

#[test]
fn version_2_knows_no_modifiers_and_is_not_used() {
    let mut stage = Stage::open(Script { dmabuf: 2, pairs: Vec::new(), ..Script::default() });
    let reason = stage.refusal(&untouchable(SIZE));
    assert!(reason.contains("zwp_linux_dmabuf_v1"), "{reason}");
}

#[test]
fn a_memfd_is_no_dma_buf() {
    let mut stage = Stage::open(Script::default());
    let reason = stage.refusal(&readable(SIZE).0);
    assert_eq!(reason, "the guest's memory is no dma-buf");
}

#[test]
fn what_would_end_the_connection_is_not_asked() {
    let mut stage = Stage::open(Script::default());
    let hostile: [fn(&mut Layout); 9] = [
        |layout| layout.size.width = 0,
        |layout| layout.size.height = 0,
        |layout| layout.size.width = u32::MAX,
        |layout| layout.size.height += 1,
        |layout| layout.planes[0].stride = 0,
        |layout| layout.planes[0].stride = u32::MAX,
        |layout| layout.planes[0].offset = 4,
        |layout| layout.plane_count = 0,
        |layout| layout.plane_count = 5,
    ];
    for spoil in hostile {
        let mut guest = untouchable(SIZE);
        spoil(&mut guest.layout);
        stage.refusal(&guest);
    }
    stage.compositor.with(|server| assert!(server.dmabuf.creates.is_empty()));
    stage.show(1, &untouchable(SIZE), 0);
    stage.shown_buffer(1);
}

/// Sends feedback, and waits until it has been handled; how often that changed what is offered.
fn resend(stage: &mut Stage, table: Option<&[u8]>, named: &[u8]) -> usize {
    stage.compositor.with(|server| {
        for feedback in &server.dmabuf.feedback {
            server.feedback(feedback, table, named);
        }
        server.configure((0, 0), &[State::Suspended]);
    });
    let mut changes = 0;
    loop {
        match stage.next() {
            SinkEvent::OffersChanged => changes += 1,
            SinkEvent::Hidden(true) => break,
            event => panic!("{event:?}"),
        }
    }
    stage.compositor.with(|server| server.configure((0, 0), &[]));
    assert!(matches!(stage.next(), SinkEvent::Hidden(false)));
    changes
}

#[test]
fn a_change_of_what_is_offered_is_told_and_a_repetition_is_not() {
    for version in 4..=6 {
        let pairs = vec![LINEAR, (RG16, 0)];
        let mut stage = Stage::open(Script { dmabuf: version, pairs, ..Script::default() });
        // Each for both objects: in general, and for the surface.
        assert_eq!(resend(&mut stage, None, &indices(&[0, 1])), 0);
        assert_eq!(resend(&mut stage, None, &indices(&[1])), 2);
        assert!(stage.refusal(&untouchable(SIZE)).contains("XR24"));
        assert_eq!(resend(&mut stage, None, &indices(&[1, 0])), 2);
        stage.show(1, &untouchable(SIZE), 0);
        stage.shown_buffer(1);
    }
}

#[test]
fn feedback_without_a_table_means_the_last_one() {
    let pairs = vec![LINEAR, (RG16, 0)];
    let mut stage = Stage::open(Script { dmabuf: 5, pairs, ..Script::default() });
    // Only the second entry is still offered.
    resend(&mut stage, None, &indices(&[1]));
    assert!(stage.refusal(&untouchable(SIZE)).contains("XR24"));
    resend(&mut stage, None, &indices(&[0]));
    stage.show(1, &untouchable(SIZE), 0);
    stage.shown_buffer(1);
}

#[test]
fn feedback_with_another_table_replaces_the_last_one() {
    let pairs = vec![(RG16, 0)];
    let mut stage = Stage::open(Script { dmabuf: 5, pairs, ..Script::default() });
    assert!(stage.refusal(&untouchable(SIZE)).contains("XR24"));
    stage.compositor.with(|server| server.script.pairs = vec![LINEAR]);
    resend(&mut stage, Some(&table(&[LINEAR])), &indices(&[0]));
    stage.show(1, &untouchable(SIZE), 0);
    stage.shown_buffer(1);
}

#[test]
fn hostile_feedback_offers_nothing_and_breaks_nothing() {
    let mut stage = Stage::open(Script { dmabuf: 4, ..Script::default() });
    let odd = [&table(&[LINEAR])[..], &[0; 7]].concat();
    let past = indices(&[1, 2, u16::MAX]);
    let half = [0];
    let named = indices(&[0]);
    let cases: [(Option<&[u8]>, &[u8]); 4] = [
        (Some(&odd), &named),
        (Some(&table(&[LINEAR])), &past),
        (None, &half),
        (Some(&[]), &named),
    ];
    for (table, named) in cases {
        resend(&mut stage, table, named);
        assert!(stage.refusal(&untouchable(SIZE)).contains("XR24"));
    }
    // A table that is announced as larger than its file, or than any index can reach, or that is no file.
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    for (fd, bytes) in [(memory(&table(&[LINEAR])), 1 << 19), (memory(&[]), 1 << 30), (pipe, 16)] {
        stage.compositor.with(|server| {
            use std::os::fd::AsFd;
            server.dmabuf.feedback[0].format_table(fd.as_fd(), bytes);
        });
        resend(&mut stage, None, &named);
        // The surface's own feedback has no good table either since the last case above.
        assert!(stage.refusal(&untouchable(SIZE)).contains("XR24"));
    }
    resend(&mut stage, Some(&table(&[LINEAR])), &named);
    stage.show(1, &untouchable(SIZE), 0);
    stage.shown_buffer(1);
}

#[test]
fn without_a_viewporter_nothing_is_imported_and_the_window_is_as_large_as_the_picture() {
    let without = &["wp_viewporter"];
    let mut stage = Stage::open(Script { without, size: (800, 600), ..Script::default() });
    assert!(stage.refusal(&untouchable(SIZE)).contains("wp_viewporter"));
    let (guest, ..) = readable(SIZE);
    stage.copy(0, &guest, &Damage::Whole);
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    stage.shown_buffer(1);
    let black = stage.compositor.wait("the window", |server| {
        let last = server.surfaces.main().commits.last()?;
        match last.attached {
            Attached::Buffer(buffer) => Some(buffer),
            _ => None,
        }
    });
    stage.compositor.with(|server| {
        let black = &server.surfaces.buffers[black];
        assert_eq!(black.size, (64, 48));
        assert!(black.rows().concat().iter().all(|&byte| byte == 0));
        assert_eq!(server.surfaces.picture().commits.last().unwrap().position, (0, 0));
    });
}
