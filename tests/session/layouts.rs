//! The same memory, announced to mean something else.

use fanlight::frame::{Format, Modifier};
use fanlight::session::{Mode, Present, Why};

use crate::XR24;
use crate::compositor::Script;
use crate::compositor::surfaces::Pixels;
use crate::script::Guest;
use crate::stage::{Memory, Setup, Size, Stage, colours};

const SIZE: Size = (64, 48);
const LINEAR: Modifier = Modifier::LINEAR;
const TILED: Modifier = Modifier(0x0100_0000_0000_0001);
const AR24: u32 = Format::ARGB8888.0;

fn open(pairs: Vec<(u32, u64)>) -> (Stage, Guest, Memory) {
    let script = Script { pairs, ..Script::default() };
    let (stage, guest) =
        Stage::scripted(Setup { present: Present::Direct, script, ..Setup::default() });
    let memory = Memory::new(SIZE);
    memory.paint(1);
    (stage, guest, memory)
}

/// Announces `memory` as that and draws a frame; the buffer that is shown for it.
fn frame(
    stage: &mut Stage,
    guest: &mut Guest,
    memory: &Memory,
    (format, modifier): (Format, Modifier),
    count: usize,
) -> usize {
    let buffer = guest.announce_as(memory, format, modifier);
    let update = guest.update(buffer);
    let shown = stage.frame(count);
    stage.settled(update);
    assert_eq!(stage.dmabuf(shown), Some(memory.inode()));
    shown
}

/// The user sees the picture read as the guest laid it out, each time; the guest gets its acks. Without
/// it a handle that was made for one layout would show the other as noise.
#[test]
fn f05_10_the_same_size_with_another_modifier_is_imported_anew() {
    let (mut stage, mut guest, memory) = open(vec![(XR24, LINEAR.0), (XR24, TILED.0)]);
    let format = Format::XRGB8888;
    let linear = frame(&mut stage, &mut guest, &memory, (format, LINEAR), 1);
    let tiled = frame(&mut stage, &mut guest, &memory, (format, TILED), 2);
    assert_ne!(linear, tiled);
    stage.release(linear);
    let again = frame(&mut stage, &mut guest, &memory, (format, LINEAR), 3);
    assert_eq!(again, linear, "each is known from then on");
    stage.compositor.with(|server| {
        let modifiers = server.dmabuf.creates.iter().map(|create| Modifier(create.modifier));
        assert_eq!(modifiers.collect::<Vec<_>>(), [LINEAR, TILED]);
    });
    assert!(!stage.was_blank());
}

/// The user sees the same colours, never what is behind the window, whatever a guest says of alpha; where
/// the compositor takes only one of the two, the other is copied. The guest gets its acks.
#[test]
fn f05_12_the_same_size_with_alpha_is_imported_anew_and_never_see_through() {
    let formats = [Format::XRGB8888, Format::ARGB8888];
    let (mut stage, mut guest, memory) = open(vec![(XR24, LINEAR.0), (AR24, LINEAR.0)]);
    let shown: Vec<_> = (1..)
        .zip(formats)
        .map(|(count, format)| frame(&mut stage, &mut guest, &memory, (format, LINEAR), count))
        .collect();
    stage.compositor.with(|server| {
        for (&buffer, wanted) in shown.iter().zip(formats) {
            let pixels = &server.surfaces.buffers[buffer].pixels;
            assert!(matches!(pixels, Pixels::Dmabuf { format, .. } if *format == wanted.0));
        }
        assert!(server.surfaces.picture().opaque, "alpha would be blended");
    });

    let (mut stage, mut guest, memory) = open(vec![(XR24, LINEAR.0)]);
    let direct = frame(&mut stage, &mut guest, &memory, (formats[0], LINEAR), 1);
    memory.paint(2);
    let buffer = guest.announce_as(&memory, formats[1], LINEAR);
    let update = guest.update(buffer);
    let copy = stage.frame(2);
    assert_eq!(stage.dmabuf(copy), None);
    assert_eq!(stage.pixels(copy), colours(&memory.rows()));
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::Refused)));
    stage.release(direct);
    stage.settled(update);
    assert!(!stage.was_blank());
}
