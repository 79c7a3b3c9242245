//! The user changes the mode while a guest flips.

use fanlight::session::{Mode, Present, Why};

use crate::spies::Seen;
use crate::stage::{Memory, Setup, Stage};

const SIZE: (u32, u32) = (64, 48);
/// More than what `auto` needs to trust a guest that flips.
const FRAMES: u8 = 5;

const MODES: [(Present, Mode, Why); 5] = [
    (Present::Auto, Mode::Direct, Why::Flips),
    (Present::Copy, Mode::Copy, Why::Asked),
    (Present::Direct, Mode::Direct, Why::Asked),
    (Present::Copy, Mode::Copy, Why::Asked),
    (Present::Auto, Mode::Direct, Why::Flips),
];

/// What has come to the screen so far.
#[derive(Default)]
struct Screen {
    commits: usize,
    buffer: Option<usize>,
    picture: u8,
}

impl Screen {
    /// Looks at every commit since the last call: each is one whole picture, and none is older than
    /// the one before. What was on the screen before is released.
    fn look(&mut self, stage: &mut Stage) {
        while (self.commits as u64) < stage.session.stats().counts.frames {
            self.commits += 1;
            let buffer = stage.frame(self.commits);
            let pixels = stage.pixels(buffer);
            let picture = pixels[0][0][2];
            let whole = pixels.iter().flatten().all(|pixel| pixel[2] == picture);
            assert!(whole, "commit {}: some of another picture", self.commits);
            assert!(picture >= self.picture, "{picture} after {}", self.picture);
            self.picture = picture;
            if let Some(before) = self.buffer.replace(buffer) {
                stage.release(before);
            }
        }
    }
}

/// Each mode for some frames, changed to `in_the_middle` of a frame or between two.
fn change_modes(in_the_middle: bool) {
    let mut stage = Stage::open(Setup::default());
    let memories = [0, 1].map(|_| Memory::new(SIZE));
    let mut screen = Screen::default();
    let mut picture = 0;
    for (present, mode, why) in MODES {
        if !in_the_middle {
            stage.session.set_present(present);
            screen.look(&mut stage);
        }
        for i in 0..FRAMES {
            picture += 1;
            let memory = &memories[usize::from(picture % 2)];
            memory.paint(picture);
            let update = stage.flip(&memory.file, SIZE);
            if i == 0 && in_the_middle {
                stage.session.set_present(present);
            }
            while screen.picture < picture {
                let seen = screen.commits as u64;
                let frames = |stage: &Stage| stage.session.stats().counts.frames;
                stage.until("the frame", |stage| (frames(stage) > seen).then_some(()));
                screen.look(&mut stage);
            }
            stage.acked(update);
        }
        assert_eq!(stage.session.stats().mode, Some((mode, why)), "{present:?}");
        let of_guest = stage.dmabuf(screen.buffer.unwrap()).is_some();
        assert_eq!(of_guest, mode == Mode::Direct, "{present:?}");
    }
    assert!(!stage.was_blank());
    let counts = stage.session.stats().counts;
    assert_eq!((counts.forced_acks, counts.refused_updates, counts.dropped_frames), (0, 0, 0));
    let acks = stage.log.count(|seen| matches!(seen, Seen::Ack(_)));
    assert_eq!(acks, usize::from(picture), "each update is acked once");
}

/// Without it a change of mode could leave black, an older picture or a guest that waits for ever.
#[test]
fn modes_change_between_frames_without_a_seam() {
    change_modes(false);
}

/// The same, while the compositor reads one picture and was given the next.
#[test]
fn modes_change_in_the_middle_of_a_frame_without_a_seam() {
    change_modes(true);
}
