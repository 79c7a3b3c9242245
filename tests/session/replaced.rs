//! Memory whose pages stop being the guest's while something of ours is on its way with them.

use fanlight::frame::{BufferId, StorageId};
use fanlight::port::SourceEvent;
use fanlight::session::{Mode, Present, Why};

use crate::compositor::Script;
use crate::compositor::dmabuf::Answer;
use crate::script::Guest;
use crate::spies::Seen;
use crate::stage::{Memory, Setup, Size, Stage, colours};

const SIZE: Size = (64, 48);

fn open(script: Script) -> (Stage, Guest) {
    Stage::scripted(Setup { present: Present::Direct, script, ..Setup::default() })
}

/// What the compositor was given since the log was so long.
fn commits(stage: &Stage, since: usize) -> usize {
    let commit = |seen: &&Seen| matches!(seen, Seen::Show(_) | Seen::ShowCopy(_) | Seen::Blank);
    stage.log.all()[since..].iter().filter(commit).count()
}

/// Waits until `memory` is forgotten: nothing but the test has an fd of it, and its wl_buffer is gone.
fn forgotten(stage: &mut Stage, memory: &Memory, buffer: usize) {
    stage.let_go_of(memory, 1);
    stage
        .compositor
        .wait("its end", |server| server.surfaces.buffers[buffer].destroyed.then_some(()));
}

/// The user sees the last picture until there is another, and never the old pages again; the guest's
/// update of what was replaced is refused, the next one acked when the compositor has let go.
#[test]
fn f05_01_replaced_while_a_commit_is_in_flight() {
    let (mut stage, mut guest) = open(Script::default());
    let [old, new] = [0, 1].map(|_| Memory::new(SIZE));
    let (buffer, _) = guest.flip(&old);
    // Committed: neither presented nor released.
    stage.until("the commit", |stage| (stage.shown() == 1).then_some(()));
    let since = stage.log.all().len();
    guest.say(SourceEvent::Replaced(buffer));
    let late = guest.update(buffer);
    stage.settle();
    assert!(stage.log.has(Seen::Refused(late)));
    let shown = stage.frame(1);
    stage.settle();
    assert_eq!(commits(&stage, since), 0, "nothing of it is shown any more, nor taken away");
    assert!(!stage.log.has(Seen::Forget(storage(&old))), "the compositor reads it");

    let (_, update) = guest.flip(&new);
    let second = stage.frame(2);
    assert_eq!(stage.dmabuf(second), Some(new.inode()));
    assert!(!stage.log.has(Seen::Ack(update)));
    stage.release(shown);
    stage.settled(update);
    assert!(stage.log.has(Seen::Forget(storage(&old))));
    forgotten(&mut stage, &old, shown);
    assert!(!stage.was_blank());
}

/// The user sees the picture before, then the next; what was being imported never. The guest's update is
/// acked: nothing reads what it was drawn into.
#[test]
fn f05_02_replaced_between_import_and_commit() {
    let (mut stage, mut guest) = open(Script::default());
    let [before, old, new] = [0, 1, 2].map(|_| Memory::new(SIZE));
    guest.flip(&before);
    let first = stage.frame(1);
    stage.compositor.with(|server| server.script.answer = Answer::Later);
    let (buffer, update) = guest.flip(&old);
    stage.until("the import", |stage| {
        stage.compositor.with(|server| server.dmabuf.creates.get(1).map(|_| ()))
    });
    let since = stage.log.all().len();
    guest.say(SourceEvent::Replaced(buffer));
    stage.settle();
    stage.compositor.with(|server| server.answer(1, Answer::Created));
    let late = stage.compositor.with(|server| server.surfaces.buffers.len() - 1);
    forgotten(&mut stage, &old, late);
    assert_eq!(commits(&stage, since), 0);
    assert!(!stage.log.has(Seen::Ack(update)), "the first picture is still read");

    stage.compositor.with(|server| server.script.answer = Answer::Created);
    let (_, next) = guest.flip(&new);
    let second = stage.frame(2);
    assert_eq!(stage.dmabuf(second), Some(new.inode()));
    stage.release(first);
    stage.settled(update);
    stage.settled(next);
    assert!(!stage.was_blank());
}

/// The user sees the new picture all the while; the guest's ack comes with the late release, and with it
/// the old memory is let go, once.
#[test]
fn f05_03_a_release_that_arrives_after_the_replacement() {
    let (mut stage, mut guest) = open(Script::default());
    let [old, new] = [0, 1].map(|_| Memory::new(SIZE));
    let (buffer, first) = guest.flip(&old);
    let shown = stage.frame(1);
    stage.settled(first);
    let (_, update) = guest.flip(&new);
    stage.frame(2);
    guest.say(SourceEvent::Replaced(buffer));
    stage.settle();
    let forget = Seen::Forget(storage(&old));
    assert!(!stage.log.has(forget) && !stage.log.has(Seen::Ack(update)), "it is still read");
    stage.release(shown);
    stage.settled(update);
    stage.log.place(forget);
    forgotten(&mut stage, &old, shown);
    // And it goes on with what it has.
    let (_, update) = guest.flip(&new);
    stage.frame(3);
    stage.settled(update);
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
    assert!(!stage.was_blank());
}

fn storage(memory: &Memory) -> StorageId {
    let (dev, ino) = memory.inode();
    StorageId { dev, ino, others: 0 }
}

/// The user sees whole frames, from copies: what the guest draws in place stays that when its backend
/// makes a new dma-buf of it with each frame. The guest gets each ack after the copy, and old memory is let
/// go. (That the new inode is really read, and not the old one, is seen with udmabufs in the rig.)
#[test]
fn f05_09_a_new_inode_for_what_is_drawn_in_place_is_no_flip() {
    let (mut stage, mut guest) = Stage::scripted(Setup::default());
    let mut before: Option<(Memory, BufferId, usize)> = None;
    for i in 1..=12_u8 {
        let memory = Memory::new(SIZE);
        memory.paint(i);
        if let Some((_, buffer, _)) = &before {
            guest.say(SourceEvent::Replaced(*buffer));
        }
        let (buffer, update) = guest.flip(&memory);
        stage.settled(update);
        let shown = stage.frame(usize::from(i));
        assert_eq!(stage.dmabuf(shown), None, "frame {i} would be drawn into while it is shown");
        assert_eq!(stage.pixels(shown), colours(&memory.rows()));
        assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::InPlace)));
        if let Some((old, _, copy)) = before.replace((memory, buffer, shown)) {
            stage.release(copy);
            stage.let_go_of(&old, 1);
        }
    }
    let counts = stage.session.stats().counts;
    assert_eq!((counts.flips, counts.forced_acks, counts.unguarded_copies), (0, 0, 0));
}
