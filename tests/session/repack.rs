//! What the compositor can't take as it is comes as a copy, and the picture never goes away for it.

use std::num::NonZeroU32;
use std::os::fd::AsFd;

use fanlight::frame::{Format, Modifier};
use fanlight::session::{Mode, Present, Why};

use crate::XR24;
use crate::compositor::Script;
use crate::compositor::dmabuf::{Answer, indices};
use crate::fake_qemu::{DMABUF2, LISTENER};
use crate::stage::{Memory, Setup, Size, Stage, colours, v2};

/// Its rows are 256 bytes long.
const ALIGNED: Size = (64, 48);
/// Its rows are 280 bytes long, which some GPUs can't take.
const ODD: Size = (70, 40);
const TILED: u64 = 0x0100_0000_0000_0001;

fn open(script: Script) -> Stage {
    Stage::open(Setup { present: Present::Direct, script, ..Setup::default() })
}

/// Shows `memory`, announced with that format.
fn show(stage: &mut Stage, memory: &Memory, format: u32) -> NonZeroU32 {
    let mut body = v2(&memory.file, memory.size);
    body.8 = format;
    let qemu = stage.qemu();
    qemu.send(DMABUF2, "ScanoutDMABUF2", &body);
    qemu.send(LISTENER, "Disable", &());
    let whole = (0, 0, memory.size.0 as i32, memory.size.1 as i32);
    let update = qemu.send(LISTENER, "UpdateDMABUF", &whole);
    stage.settle();
    update
}

fn painted(size: Size, picture: u8) -> Memory {
    let memory = Memory::new(size);
    memory.paint(picture);
    memory
}

/// The `count`th picture is a copy of `memory`, because that was refused, and there was always one.
fn is_copied(stage: &mut Stage, count: usize, memory: &Memory) {
    let shown = stage.frame(count);
    assert_eq!(stage.dmabuf(shown), None);
    assert_eq!(stage.pixels(shown), colours(&memory.rows()));
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::Refused)));
    assert!(!stage.was_blank());
}

fn is_direct(stage: &mut Stage, count: usize, memory: &Memory) {
    let shown = stage.frame(count);
    assert_eq!(stage.dmabuf(shown), Some(memory.inode()));
    assert!(!stage.was_blank());
}

#[test]
fn a_stride_that_the_gpu_cannot_take_is_copied() {
    let mut stage = open(Script::default());
    let (good, odd) = (painted(ALIGNED, 1), painted(ODD, 2));
    let update = show(&mut stage, &good, XR24);
    is_direct(&mut stage, 1, &good);
    stage.acked(update);
    stage.compositor.with(|server| server.script.answer = Answer::Failed);
    let update = stage.flip(&odd.file, ODD);
    is_copied(&mut stage, 2, &odd);
    let held = stage.compositor.with(|server| server.surfaces.buffers.len() - 2);
    assert_eq!(stage.dmabuf(held), Some(good.inode()));
    stage.release(held);
    stage.acked(update);
}

#[test]
fn a_format_that_is_not_offered_is_copied() {
    for dmabuf in [3, 4, 6] {
        let mut stage = open(Script { dmabuf, ..Script::default() });
        let memory = painted(ODD, 3);
        let update = show(&mut stage, &memory, Format::ARGB8888.0);
        is_copied(&mut stage, 1, &memory);
        stage.acked(update);
        stage.compositor.with(|server| assert!(server.dmabuf.creates.is_empty()));
    }
}

#[test]
fn a_modifier_that_is_not_offered_is_copied() {
    let pairs = vec![(XR24, TILED), (Format::RGB565.0, Modifier::LINEAR.0)];
    let mut stage = open(Script { pairs, ..Script::default() });
    let memory = painted(ODD, 4);
    let update = show(&mut stage, &memory, XR24);
    is_copied(&mut stage, 1, &memory);
    stage.acked(update);
}

#[test]
fn what_is_too_large_for_the_gpu_is_copied() {
    let mut stage = open(Script { answer: Answer::Failed, ..Script::default() });
    let memory = painted((5000, 3), 5);
    let update = show(&mut stage, &memory, XR24);
    is_copied(&mut stage, 1, &memory);
    stage.acked(update);
}

#[test]
fn a_refusal_that_comes_late_leaves_the_last_picture_until_the_copy() {
    let mut stage = open(Script::default());
    let (good, odd) = (painted(ALIGNED, 6), painted(ODD, 7));
    let update = show(&mut stage, &good, XR24);
    is_direct(&mut stage, 1, &good);
    stage.acked(update);
    stage.compositor.with(|server| server.script.answer = Answer::Later);
    stage.flip(&odd.file, ODD);
    stage.until("the import", |stage| {
        stage.compositor.with(|server| server.dmabuf.creates.get(1).map(|_| ()))
    });
    assert_eq!(stage.shown(), 1, "nothing in place of what is not decided yet");
    stage.compositor.with(|server| server.answer(1, Answer::Failed));
    is_copied(&mut stage, 2, &odd);
}

#[test]
fn what_is_offered_later_is_shown_directly_from_then_on() {
    let pairs = vec![(XR24, Modifier::LINEAR.0), (Format::RGB565.0, Modifier::LINEAR.0)];
    let mut stage = open(Script { dmabuf: 4, pairs, ..Script::default() });
    let offer = |stage: &mut Stage, named: &[u16]| {
        stage.compositor.with(|server| {
            for feedback in &server.dmabuf.feedback {
                server.feedback(feedback, None, &indices(named));
            }
        });
    };
    let memories = [painted(ODD, 8), painted(ODD, 9)];
    offer(&mut stage, &[1]);
    stage.settle();
    let update = show(&mut stage, &memories[0], XR24);
    is_copied(&mut stage, 1, &memories[0]);
    stage.acked(update);

    offer(&mut stage, &[0]);
    stage.settle();
    let update = show(&mut stage, &memories[1], XR24);
    is_direct(&mut stage, 2, &memories[1]);
    stage.acked(update);
    let update = stage.flip(&memories[0].file.as_fd(), ODD);
    is_direct(&mut stage, 3, &memories[0]);
    let shown = stage.frame(2);
    stage.release(shown);
    stage.acked(update);
}
