//! Copies that a GPU makes. It is a fake; the last test has Mesa's software renderer in its place.

use fanlight::convert::blit::Blitter;

use super::*;
use crate::compositor::surfaces::Pixels;
use crate::copies::{colours, shown_rows};
use crate::fake_gpu::{Fake, orders};

const SIZE: Size = Size { width: 64, height: 40 };
const TILED: Modifier = Modifier(0x0100_0000_0000_0002);
const BOTH: [Pair; 2] = [(XR24, TILED.0), LINEAR];

fn open(script: Script) -> Stage {
    with_gpu(script, |_| Ok(Box::<Fake>::default()))
}

fn with_gpu(script: Script, open_blitter: OpenBlitter) -> Stage {
    let means = Means {
        make_udmabuf: NO_UDMABUF,
        open_timelines: stand_ins,
        open_blitter,
        ..Means::default()
    };
    Stage::with_means(script, &WindowOptions::default(), means).unwrap()
}

/// A guest's dma-buf, and the rows in it. The kernel knows it as a memfd, so that whoever asks for
/// access as to a dma-buf is told that it is none: the CPU can't copy it.
fn dmabuf(size: Size) -> (Buffer, Vec<Vec<u8>>) {
    let (mut guest, rows, _) = readable(size);
    let storage = Rc::get_mut(&mut guest.storage).unwrap();
    storage.memory = Memory::DmaBuf { exporter: "i915".to_owned() };
    (guest, rows)
}

fn signal() {
    let fence = orders(|orders| orders.fence.take()).expect("something was drawn");
    rustix::io::write(&fence, &1_u64.to_ne_bytes()).unwrap();
}

impl Stage {
    /// Begins a copy, which has no end yet.
    fn begin(&mut self, target: u8, guest: &Buffer, damage: &Damage) {
        self.sink.copy(target, guest, damage);
        self.sink.flush();
    }

    /// Waits for the end of a copy.
    fn copied(&mut self, target: u8) -> u64 {
        let event = self.next();
        let SinkEvent::Copied { target: to, bytes } = event else { panic!("{event:?}") };
        assert_eq!(to, target);
        bytes
    }

    /// Expects a copy to be the CPU's, which can't.
    fn refused_by_the_cpu(&mut self, target: u8) {
        let event = self.next();
        let SinkEvent::CopyFailed { target: to, reason } = event else { panic!("{event:?}") };
        assert_eq!(to, target);
        assert!(reason.contains("the guest's memory can't be read"), "{reason}");
    }

    fn creates(&self, count: usize) {
        self.compositor
            .wait("an import", |server| (server.dmabuf.creates.len() >= count).then_some(()));
        self.compositor.with(|server| assert_eq!(server.dmabuf.creates.len(), count));
    }

    fn answer(&self, create: usize, answer: Answer) {
        self.compositor.with(|server| server.answer(create, answer));
    }
}

#[test]
fn gpu_copies_are_complete_when_drawn_and_offered() {
    for drawn_first in [true, false] {
        let pairs = BOTH.to_vec();
        let mut stage = open(Script { answer: Answer::Later, pairs, ..Script::default() });
        orders(|orders| orders.fenced = true);
        let (guest, rows) = dmabuf(SIZE);
        stage.begin(1, &guest, &Damage::Whole);
        stage.creates(1);
        stage.settle();
        if drawn_first {
            signal();
            stage.settle();
            stage.answer(0, Answer::Created);
        } else {
            stage.answer(0, Answer::Created);
            stage.settle();
            signal();
            // Who waits is woken.
            let mut fds = [PollFd::from_borrowed_fd(stage.sink.fd().unwrap(), PollFlags::IN)];
            let patience = Timespec::try_from(PATIENCE).unwrap();
            assert_eq!(poll(&mut fds, Some(&patience)), Ok(1), "waited in vain for the fence");
        }
        assert_eq!(stage.copied(1), 64 * 40 * 4);
        stage.show_copy(1, 1, &guest, &Damage::Whole);
        let shown = stage.shown_buffer(1);
        stage.compositor.with(|server| {
            let pixels = &server.surfaces.buffers[shown].pixels;
            assert!(matches!(pixels, Pixels::Dmabuf { format: XR24, .. }), "{pixels:?}");
            assert_eq!(server.dmabuf.creates[0].modifier, TILED.0, "what is offered first");
        });
        assert_eq!(colours(&shown_rows(&stage, 1)), colours(&rows));
        stage.release(shown);
        assert_eq!(stage.released(), 1);
    }
}

#[test]
fn gpu_targets_are_made_once_and_then_take_only_the_damage() {
    let mut stage = open(Script::default());
    let (mut guest, rows) = dmabuf(SIZE);
    guest.visible = Rect { x: 8, y: 4, width: 32, height: 30 };
    guest.transform = Transform::Flipped;
    stage.begin(0, &guest, &rects([]));
    assert_eq!(stage.copied(0), 32 * 30 * 4, "a new target lacks all");
    let corner = rects([Rect { x: 8, y: 4, width: 5, height: 2 }]);
    stage.begin(0, &guest, &corner);
    assert_eq!(stage.copied(0), 5 * 2 * 4);
    stage.creates(1);
    orders(|orders| assert_eq!(orders.drawn, [Damage::Whole, corner]));
    stage.show_copy(1, 0, &guest, &corner);
    let seen = rows[4..34].iter().rev().map(|row| row[8 * 4..40 * 4].to_vec());
    assert_eq!(colours(&shown_rows(&stage, 1)), colours(&seen.collect::<Vec<_>>()));
}

#[test]
fn gpu_targets_of_another_size_wait_for_their_release() {
    let mut stage = open(Script::default());
    let ((small, _), (large, rows)) = (dmabuf(SIZE), dmabuf(size(128, 20)));
    stage.begin(0, &small, &Damage::Whole);
    stage.copied(0);
    stage.show_copy(1, 0, &small, &Damage::Whole);
    let first = stage.shown_buffer(1);
    stage.sink.copy(0, &large, &Damage::Whole);
    let event = stage.next();
    let still =
        matches!(&event, SinkEvent::CopyFailed { reason, .. } if reason.contains("still reads"));
    assert!(still, "{event:?}");
    stage.release(first);
    assert_eq!(stage.released(), 1);
    stage.begin(0, &large, &Damage::Whole);
    stage.copied(0);
    stage.show_copy(2, 0, &large, &Damage::Whole);
    assert_eq!(colours(&shown_rows(&stage, 2)), colours(&rows));
}

#[test]
fn gpu_memory_that_is_refused_is_linear_next() {
    let script = Script { answer: Answer::Later, pairs: BOTH.to_vec(), ..Script::default() };
    let mut stage = open(script);
    let (guest, rows) = dmabuf(SIZE);
    stage.begin(0, &guest, &Damage::Whole);
    stage.creates(1);
    stage.answer(0, Answer::Failed);
    stage.settle();
    stage.creates(2);
    stage.answer(1, Answer::Created);
    stage.copied(0);
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    assert_eq!(colours(&shown_rows(&stage, 1)), colours(&rows));
    stage.compositor.with(|server| assert_eq!(server.dmabuf.creates[1].modifier, 0));
    orders(|orders| assert_eq!(orders.targets[1].2, [Modifier::LINEAR]));
}

#[test]
fn gpu_memory_that_cannot_be_had_is_linear_next() {
    let mut stage = open(Script { pairs: BOTH.to_vec(), ..Script::default() });
    orders(|orders| orders.only_linear = true);
    let (guest, _) = dmabuf(SIZE);
    for target in [0, 1] {
        stage.begin(target, &guest, &Damage::Whole);
        stage.copied(target);
    }
    stage.creates(2);
    let linear = vec![Modifier::LINEAR];
    let asked = orders(|orders| orders.targets.iter().map(|t| t.2.clone()).collect::<Vec<_>>());
    assert_eq!(asked, [vec![TILED, Modifier::LINEAR], linear.clone(), linear]);
}

#[test]
fn gpu_memory_that_is_refused_twice_is_the_end_of_it() {
    let script = Script { answer: Answer::Failed, pairs: BOTH.to_vec(), ..Script::default() };
    let mut stage = open(script);
    let (guest, _) = dmabuf(SIZE);
    stage.begin(0, &guest, &Damage::Whole);
    stage.refused_by_the_cpu(0);
    stage.begin(1, &guest, &Damage::Whole);
    stage.refused_by_the_cpu(1);
    stage.creates(2);
    // What the CPU can read it copies, through wl_shm.
    let (other, rows, _) = readable(SIZE);
    assert_eq!(stage.copy(0, &other, &Damage::Whole), 64 * 40 * 4);
    stage.show_copy(1, 0, &other, &Damage::Whole);
    assert_eq!(colours(&shown_rows(&stage, 1)), colours(&rows));
}

#[test]
fn gpu_that_cannot_read_some_memory_reads_other() {
    let mut stage = open(Script::default());
    orders(|orders| orders.refuses_memory = true);
    let (guest, _) = dmabuf(SIZE);
    stage.begin(0, &guest, &Damage::Whole);
    stage.refused_by_the_cpu(0);
    orders(|orders| orders.refuses_memory = false);
    stage.begin(0, &guest, &Damage::Whole);
    stage.copied(0);
    // And back: the target is the CPU's then, and the GPU's is given up.
    stage.compositor.with(|server| assert_eq!(server.dmabuf.creates.len(), 1));
    let (other, rows, _) = readable(SIZE);
    stage.copy(0, &other, &rects([]));
    orders(|orders| assert!(orders.dropped.ends_with(&[0])));
    stage.show_copy(1, 0, &other, &Damage::Whole);
    assert_eq!(colours(&shown_rows(&stage, 1)), colours(&rows));
}

#[test]
fn gpu_that_breaks_is_not_asked_again() {
    let mut stage = open(Script::default());
    let (guest, _) = dmabuf(SIZE);
    stage.begin(0, &guest, &Damage::Whole);
    stage.copied(0);
    orders(|orders| orders.breaks = true);
    stage.begin(0, &guest, &Damage::Whole);
    stage.refused_by_the_cpu(0);
    orders(|orders| orders.breaks = false);
    stage.begin(0, &guest, &Damage::Whole);
    stage.refused_by_the_cpu(0);
    orders(|orders| assert_eq!(orders.drawn.len(), 1));
}

#[test]
fn gpu_memory_that_nobody_offered_is_not_passed_on() {
    let mut stage = open(Script::default());
    orders(|orders| orders.makes = Some(TILED));
    let (guest, _) = dmabuf(SIZE);
    stage.begin(0, &guest, &Damage::Whole);
    stage.refused_by_the_cpu(0);
    stage.settle();
    stage.compositor.with(|server| assert!(server.dmabuf.creates.is_empty()));
}

#[test]
fn gpu_forgets_what_is_forgotten() {
    let mut stage = open(Script::default());
    let (guest, _) = dmabuf(SIZE);
    stage.begin(0, &guest, &Damage::Whole);
    stage.copied(0);
    stage.sink.forget(guest.storage.id);
    orders(|orders| assert_eq!(orders.forgotten, [guest.storage.id]));
}

#[test]
fn gpu_is_not_looked_for_where_no_dma_bufs_are_taken() {
    let script = Script { without: &["zwp_linux_dmabuf_v1"], ..Script::default() };
    with_gpu(script, |_| panic!("nobody could take what it draws"));
}

#[cfg(feature = "gpu")]
#[test]
fn gpu_of_mesas_in_software_draws_the_right_pixels() {
    use fanlight::convert::gpu::Gpu;
    use std::os::fd::AsFd;

    fn software(_: Option<u64>) -> Result<Box<dyn Blitter>, BlitError> {
        Ok(Box::new(Gpu::software(|bytes| own_memfd("target", bytes))?))
    }

    if let Err(reason) = software(None) {
        println!("SKIP gpu_of_mesas_in_software_draws_the_right_pixels: {reason}");
        return;
    }
    let mut stage = with_gpu(Script::default(), software);
    let (mut guest, rows) = dmabuf(SIZE);
    guest.visible = Rect { x: 8, y: 4, width: 32, height: 30 };
    guest.transform = Transform::Flipped;
    let seen: Vec<_> = rows[4..34].iter().rev().map(|row| row[8 * 4..40 * 4].to_vec()).collect();
    for target in 0..3 {
        stage.begin(target, &guest, &Damage::Whole);
        stage.copied(target);
        let commit = u64::from(target) + 1;
        stage.show_copy(commit, target, &guest, &Damage::Whole);
        assert_eq!(colours(&shown_rows(&stage, commit as usize)), colours(&seen));
    }
    let other = File::from(guest.storage.fds[0].as_fd().try_clone_to_owned().unwrap());
    std::os::unix::fs::FileExt::write_all_at(&other, &[0x55; 64 * 40 * 4], 0).unwrap();
    stage.release(stage.shown_buffer(1));
    assert_eq!(stage.released(), 1);
    stage.begin(0, &guest, &rects([Rect { x: 8, y: 4, width: 2, height: 1 }]));
    assert_eq!(stage.copied(0), 8);
    stage.show_copy(4, 0, &guest, &Damage::Whole);
    let (mut want, have) = (colours(&seen), colours(&shown_rows(&stage, 4)));
    want[29][..2].fill([0x55; 3]);
    assert_eq!(have, want);
}
