//! The guest's own memory on the screen.

use super::*;
use crate::compositor::surfaces::Pixels;
use wayland_server::protocol::wl_output::Transform as WlTransform;

const SIZE: Size = Size { width: 64, height: 48 };

#[test]
fn the_guests_very_memory_is_attached() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    let shown = stage.shown_buffer(1);
    stage.compositor.with(|server| {
        let seen = &server.surfaces.buffers[shown];
        assert!(matches!(&seen.pixels, Pixels::Dmabuf { format: XR24, .. }), "{seen:?}");
        let create = &server.dmabuf.creates[0];
        assert_eq!(create.inodes, [(guest.storage.id.dev, guest.storage.id.ino)]);
        assert_eq!((create.modifier, create.size), (0, (64, 48)));
        assert_eq!(server.dmabuf.params_alive, 0, "params are destroyed after their answer");
    });
}

/// Without an fd of its own its inode could come back as other memory, and be taken for this.
#[test]
fn rule_01_an_import_keeps_its_memory_as_long_as_it_lives() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    let storage = guest.storage.id;
    assert!(matches!(stage.import(&guest, 0), SinkEvent::Imported(_)));
    let memory = std::rc::Rc::downgrade(&guest.storage);
    drop(guest);
    assert!(memory.upgrade().is_some(), "the import holds it");
    stage.sink.forget(storage);
    assert!(memory.upgrade().is_none(), "nothing holds it any more");
}

/// Without, a release that is counted for any commit lets the guest draw into what is still read.
#[test]
fn rule_02_a_release_ends_the_one_commit_that_it_is_for() {
    let mut stage = Stage::open(Script::default());
    let (one, two) = (untouchable(SIZE), untouchable(SIZE));
    stage.show(1, &one, 0);
    stage.show(2, &two, 0);
    let (first, second) = (stage.shown_buffer(1), stage.shown_buffer(2));
    stage.release(first);
    assert_eq!(stage.released(), 1);
    stage.release(second);
    assert_eq!(stage.released(), 2);
}

/// The user sees every frame; the guest gets each ack once, when what it may draw into next is really
/// free: a release that comes twice, or for a buffer that was never shown, is none.
#[test]
fn f05_05_releases_too_many_are_ignored() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    assert!(matches!(stage.import(&guest, 0), SinkEvent::Imported(_)));
    // Before it was ever shown.
    stage.release(stage.compositor.with(|server| server.surfaces.buffers.len() - 1));
    stage.settle();
    stage.show(1, &guest, 0);
    let shown = stage.shown_buffer(1);
    stage.nothing_but_frame(1, 1);
    for _ in 0..3 {
        stage.release(shown);
    }
    assert_eq!(stage.released(), 1);
    stage.settle();
    stage.show(2, &guest, 0);
    stage.nothing_but_frame(2, 2);
    stage.settle();
    stage.release(shown);
    assert_eq!(stage.released(), 2);
}

#[test]
fn two_slots_of_one_storage_are_two_buffers() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    stage.show(2, &guest, 1);
    let (first, second) = (stage.shown_buffer(1), stage.shown_buffer(2));
    assert_ne!(first, second);
    stage.release(second);
    assert_eq!(stage.released(), 2);
    stage.release(first);
    assert_eq!(stage.released(), 1);
    stage.compositor.with(|server| {
        let [one, two] = &server.dmabuf.creates[..] else { panic!() };
        assert_eq!(one.inodes, two.inodes);
    });
}

#[test]
fn an_import_is_made_once() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    for _ in 0..3 {
        assert!(matches!(stage.import(&guest, 0), SinkEvent::Imported(_)));
    }
    stage.compositor.with(|server| assert_eq!(server.dmabuf.creates.len(), 1));
}

#[test]
fn frames_are_told_for_the_commits_that_asked() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    stage.show(7, &guest, 0);
    stage.show(8, &guest, 1);
    stage.nothing_but_frame(1, 7);
    stage.nothing_but_frame(2, 8);
}

#[test]
fn a_flip_is_a_transform_and_a_crop_is_a_source_after_it() {
    let mut stage = Stage::open(Script::default());
    let mut guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    let commit = stage.shown(1);
    assert_eq!((commit.transform, commit.source), (WlTransform::Normal, None));

    guest.visible = Rect { x: 8, y: 4, width: 32, height: 16 };
    stage.show(2, &guest, 1);
    let commit = stage.shown(2);
    assert_eq!(commit.source, Some((8.0, 4.0, 32.0, 16.0)));
    // The window becomes as large as the picture.
    assert_eq!((commit.destination, commit.position), (Some((32, 16)), (0, 0)));

    guest.transform = Transform::Flipped;
    stage.show(3, &guest, 0);
    let commit = stage.shown(3);
    assert_eq!(commit.transform, WlTransform::Flipped180);
    assert_eq!(commit.source, Some((8.0, 28.0, 32.0, 16.0)));

    guest.visible = Rect { x: 0, y: 0, width: 64, height: 48 };
    stage.show(4, &guest, 1);
    let commit = stage.shown(4);
    assert_eq!((commit.transform, commit.source), (WlTransform::Flipped180, None));
}

#[test]
fn damage_is_told_in_pixels_of_the_buffer_and_whole_where_all_is_new() {
    let mut stage = Stage::open(Script::default());
    let mut guest = untouchable(SIZE);
    guest.transform = Transform::Flipped;
    let some = rects([
        Rect { x: 1, y: 2, width: 3, height: 4 },
        Rect { x: 10, y: 20, width: 30, height: 40 },
    ]);
    let whole = vec![(0, 0, 64, 48)];
    assert!(matches!(stage.import(&guest, 0), SinkEvent::Imported(_)));
    let mut shown = |commit, damage: &Damage| {
        stage.sink.show(CommitId(commit), import(&guest, 0), &guest, damage);
        stage.sink.flush();
        stage.shown(commit as usize).damage
    };
    assert_eq!(shown(1, &some), whole, "nothing was shown before");
    assert_eq!(shown(2, &some), [(1, 2, 3, 4), (10, 20, 30, 40)]);
    assert_eq!(shown(3, &Damage::Whole), whole);
    guest.transform = Transform::Normal;
    stage.sink.show(CommitId(4), import(&guest, 0), &guest, &some);
    stage.sink.flush();
    assert_eq!(stage.shown(4).damage, whole, "it stands on its head now");
}

#[test]
fn forgotten_imports_are_destroyed_and_made_anew() {
    let mut stage = Stage::open(Script::default());
    let (one, two) = (untouchable(SIZE), untouchable(SIZE));
    stage.show(1, &one, 0);
    let first = stage.shown_buffer(1);
    stage.show(2, &two, 0);
    let second = stage.shown_buffer(2);
    stage.release(first);
    assert_eq!(stage.released(), 1);
    stage.sink.forget(one.storage.id);
    stage.sink.flush();
    stage
        .compositor
        .wait("its end", |server| server.surfaces.buffers[first].destroyed.then_some(()));
    stage.compositor.with(|server| assert!(!server.surfaces.buffers[second].destroyed));
    stage.show(3, &one, 0);
    stage.compositor.with(|server| assert_eq!(server.dmabuf.creates.len(), 3));
}

#[test]
fn an_import_forgotten_before_its_answer_is_destroyed_when_it_comes() {
    let script = Script { answer: Answer::Later, ..Script::default() };
    let mut stage = Stage::open(script);
    let guest = untouchable(SIZE);
    let id = import(&guest, 0);
    stage.sink.import(id, &guest);
    stage.sink.forget(guest.storage.id);
    // Again: this one is waited for, and is not to be taken for the first.
    stage.sink.import(id, &guest);
    stage.sink.flush();
    stage.compositor.wait("both", |server| {
        (server.dmabuf.creates.len() == 2).then(|| server.answer(0, Answer::Created))
    });
    let late = stage.compositor.with(|server| server.surfaces.buffers.len() - 1);
    stage.compositor.with(|server| server.answer(1, Answer::Created));
    assert!(matches!(stage.next(), SinkEvent::Imported(imported) if imported == id));
    stage.sink.flush();
    stage.compositor.wait("the end of the late one", |server| {
        server.surfaces.buffers[late].destroyed.then_some(())
    });
    stage.compositor.with(|server| {
        assert!(!server.surfaces.buffers.last().unwrap().destroyed);
        assert_eq!(server.dmabuf.params_alive, 0);
    });
}

#[test]
fn at_the_end_nothing_is_shown_before_the_buffers_go() {
    let mut stage = Stage::open(Script::default());
    let guest = untouchable(SIZE);
    stage.show(1, &guest, 0);
    let shown = stage.shown_buffer(1);
    let Stage { sink, compositor } = stage;
    drop(sink);
    compositor.wait("the end", |server| server.gone.then_some(()));
    compositor.with(|server| {
        assert!(server.surfaces.buffers[shown].destroyed);
        for surface in [server.surfaces.main(), server.surfaces.picture()] {
            assert_eq!(surface.commits.last().unwrap().attached, Attached::Null);
            assert!(surface.destroyed);
        }
    });
}
