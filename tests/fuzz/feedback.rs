//! linux-dmabuf's feedback from a compositor that says anything. Part of `sink::wayland::dmabuf`.

#[path = "../support/fuzz.rs"]
mod fuzz;
#[allow(dead_code)]
#[path = "tape.rs"]
mod tape;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use rustix::fs::{MemfdFlags, memfd_create};
use wayland_client::WEnum;
use zwp_linux_dmabuf_feedback_v1::Event;

use super::*;
use tape::Tape;

#[test]
fn anything_means_what_a_plain_reader_makes_of_it() {
    fuzz::run("feedback", act);
}

/// What is offered, in the order of the table.
type Plain = BTreeMap<u32, Vec<u64>>;

/// The same, read without care for speed or memory.
#[derive(Default)]
struct Model {
    table: Vec<(u32, u64)>,
    named: BTreeSet<usize>,
    offered: Plain,
    device: Option<u64>,
    main: Option<u64>,
    sampling: Option<u64>,
    target: Option<u64>,
    samples: bool,
}

fn entry(tape: &mut Tape<'_>) -> (u32, u64) {
    let format = [Format::XRGB8888, Format::RGB565, Format(7), Format(u32::MAX)][tape.choose(4)];
    (format.0, [0, Modifier::INVALID.0, 1 << 56, 2 << 56][tape.choose(4)])
}

/// A table, and what is in it if all of `size` is there to be read.
fn table(tape: &mut Tape<'_>) -> (OwnedFd, u32, Vec<(u32, u64)>) {
    let entries: Vec<_> = (0..tape.choose(40)).map(|_| entry(tape)).collect();
    let write = |(format, modifier): &(u32, u64)| {
        [format.to_ne_bytes(), [0xee; 4]].concat().into_iter().chain(modifier.to_ne_bytes())
    };
    let bytes: Vec<u8> = entries.iter().flat_map(write).collect();
    let fd = memfd_create("table", MemfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&fd, &bytes).unwrap();
    let all = bytes.len() as u32;
    let size = match tape.choose(4) {
        0 | 3 => all,
        1 => all.saturating_sub(ENTRY as u32),
        _ => tape.number(),
    };
    let (fd, readable) = match tape.choose(8) {
        1 => (File::open("/dev/null").unwrap().into(), 0),
        2 => (rustix::pipe::pipe().unwrap().0, 0),
        _ => (fd, all),
    };
    let whole = size <= readable && size % ENTRY as u32 == 0;
    let count = if whole { size as usize / ENTRY } else { 0 };
    (fd, size, entries[..count].to_vec())
}

fn act(input: &[u8]) {
    let mut tape = Tape::new(input);
    let mut offer = Offer::default();
    let mut model = Model::default();
    while let Some(op) = tape.op(b"tirmdfTDc") {
        let feedback = &mut offer.feedback[0];
        match op {
            b't' => {
                let (fd, size, entries) = table(&mut tape);
                model.table = entries;
                assert!(!feedback.handle(Event::FormatTable { fd, size }));
            }
            b'i' | b'r' => {
                let count = tape.choose(20);
                let number = |tape: &mut Tape<'_>| (tape.number() as u16).to_ne_bytes();
                let indices = match op {
                    b'i' => (0..count).flat_map(|_| number(&mut tape)).collect(),
                    _ => tape.raw(count).to_vec(),
                };
                let pairs = indices.chunks_exact(2);
                let index = |pair: &[u8]| usize::from(u16::from_ne_bytes([pair[0], pair[1]]));
                model.named.extend(pairs.map(index));
                assert!(!feedback.handle(Event::TrancheFormats { indices }));
            }
            b'm' | b'd' => {
                let device = vec![7; tape.choose(20)];
                let number = (device.len() == 8).then_some(0x0707_0707_0707_0707);
                if op == b'm' {
                    model.main = number;
                    feedback.handle(Event::MainDevice { device });
                } else {
                    model.target = number;
                    feedback.handle(Event::TrancheTargetDevice { device });
                }
            }
            b'f' => {
                let flags = tape.number();
                model.samples = flags & 2 != 0;
                feedback.handle(Event::TrancheFlags { flags: WEnum::from(flags) });
            }
            b'T' => {
                let target = model.target.take();
                if std::mem::take(&mut model.samples) {
                    model.sampling = model.sampling.or(target);
                }
                feedback.handle(Event::TrancheDone);
            }
            b'D' => {
                let mut offered = Plain::new();
                for (format, modifier) in
                    std::mem::take(&mut model.named).iter().filter_map(|at| model.table.get(*at))
                {
                    let modifiers = offered.entry(*format).or_default();
                    if !modifiers.contains(modifier) {
                        modifiers.push(*modifier);
                    }
                }
                let device = model.main.or(model.sampling);
                let changed = offered != model.offered || device != model.device;
                assert_eq!(feedback.handle(Event::Done), changed);
                assert_eq!(feedback.device, device);
                model = Model { table: model.table, offered, device, ..Model::default() };
            }
            _ => choose(&offer, &model.offered, &mut tape),
        }
    }
}

/// The choice names only what is offered and true of the memory.
fn choose(offer: &Offer, offered: &Plain, tape: &mut Tape<'_>) {
    let (format, modifier) = entry(tape);
    let linear = tape.choose(2) == 1;
    let choice = offer.choose(Format(format), Modifier(modifier), linear);
    let nothing = Vec::new();
    let offered = offered.get(&format).unwrap_or(&nothing);
    match choice {
        Ok(chosen) => {
            assert!(offered.contains(&chosen.0), "{chosen} of {offered:?}");
            let implicit = modifier == Modifier::INVALID.0;
            let same = chosen.0 == modifier || (implicit && linear && chosen == Modifier::LINEAR);
            let only = offered.iter().all(|other| *other == Modifier::INVALID.0);
            assert!(same || only, "{chosen} for {modifier:#x}");
        }
        Err(reason) => {
            assert!(!offered.contains(&modifier) || modifier == Modifier::INVALID.0, "{reason}");
        }
    }
}
