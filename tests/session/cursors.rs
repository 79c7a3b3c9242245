//! The guest's cursor beside its picture.

use crate::fake_qemu::{DMABUF2, LISTENER};
use crate::spies::Seen;
use crate::stage::{Memory, Setup, Size, Stage, colours, v2};

const SIZE: Size = (64, 48);
const WHOLE: (i32, i32, i32, i32) = (0, 0, 64, 48);

/// The user sees each cursor no later than the picture that came with it, and loses none of the two; the
/// guest gets its acks, and waits for no cursor.
#[test]
fn f05_49_a_cursor_that_changes_with_the_picture_comes_with_it() {
    let mut stage = Stage::open(Setup::default());
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let mut before = None;
    for i in 1..=12_u8 {
        let memory = &memories[usize::from(i % 2)];
        memory.paint(i);
        // In one go, as a mode set or a new login screen does it.
        let pixels = [i; 64 * 64 * 4];
        let qemu = stage.qemu();
        qemu.send(LISTENER, "CursorDefine", &(64_i32, 64_i32, 1_i32, 2_i32, &pixels[..]));
        qemu.send(DMABUF2, "ScanoutDMABUF2", &v2(&memory.file, SIZE));
        qemu.send(LISTENER, "Disable", &());
        qemu.send(LISTENER, "MouseSet", &(i32::from(i), 7_i32, 1_i32));
        let update = qemu.send(LISTENER, "UpdateDMABUF", &WHOLE);
        stage.settle();
        let shown = stage.frame(usize::from(i));
        assert_eq!(stage.pixels(shown), colours(&memory.rows()), "frame {i}");
        if let Some(before) = before.replace(shown) {
            stage.release(before);
        }
        stage.acked(update);

        let [cursor, at] = [Seen::Cursor(i), Seen::CursorAt(i32::from(i), 7)];
        let log = stage.log.all();
        let commit =
            |seen: &Seen| matches!(seen, Seen::Show(n) | Seen::ShowCopy(n) if *n == u64::from(i));
        let commit = log.iter().position(commit).unwrap();
        assert!(stage.log.place(cursor) < commit && stage.log.place(at) < commit, "{log:?}");
    }
    assert_eq!(stage.session.stats().counts.forced_acks, 0);
    assert!(!stage.was_blank());
}
