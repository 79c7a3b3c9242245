//! What is on the screen, read back for a screenshot.

use super::*;

const SIZE: Size = Size { width: 70, height: 48 };

/// A guest that is shown directly. Its memory is a **stand-in**: imported as the dma-buf that it isn't, and
/// read as the memfd that it is.
fn direct(stage: &mut Stage) -> (Buffer, Vec<Vec<u8>>) {
    let (guest, rows, file) = readable(SIZE);
    let storage = Storage {
        id: guest.storage.id,
        memory: Memory::DmaBuf { exporter: "udmabuf".to_owned() },
        size: guest.storage.size,
        fds: vec![file.into()],
    };
    let dmabuf = Buffer { storage: Rc::new(storage), ..guest.clone() };
    assert!(matches!(stage.import(&dmabuf, 0), SinkEvent::Imported(_)));
    stage.sink.show(CommitId(1), import(&guest, 0), &guest, &Damage::Whole);
    (guest, rows)
}

fn read(stage: &mut Stage) -> Result<Option<Vec<u8>>, String> {
    let frame = stage.sink.read_shown(|_| true).map_err(|reason| reason.to_string())?;
    Ok(frame.map(|frame| {
        assert_eq!(frame.size, SIZE);
        frame.pixels
    }))
}

/// Without it a screenshot of a guest that draws in place would show what it is drawing just then.
#[test]
fn of_a_guest_that_is_copied_the_copy_is_read_and_not_what_it_draws_meanwhile() {
    let mut stage = Stage::open(Script::default());
    let (guest, rows, mut memory) = readable(SIZE);
    stage.copy(0, &guest, &Damage::Whole);
    assert_eq!(read(&mut stage), Ok(None), "nothing is shown yet");
    stage.show_copy(1, 0, &guest, &Damage::Whole);
    std::io::Seek::rewind(&mut memory).unwrap();
    memory.write_all(&[0xff; 4000]).unwrap();
    assert!(read(&mut stage) == Ok(Some(rows.concat())));
    // Also when its memory went.
    stage.sink.forget(guest.storage.id);
    assert!(read(&mut stage) == Ok(Some(rows.concat())));
    stage.sink.blank();
    assert_eq!(read(&mut stage), Ok(None));
}

#[test]
fn of_a_guest_that_is_shown_directly_its_memory_is_read_upright_and_as_far_as_it_is_seen() {
    let mut stage = Stage::open(Script::default());
    let (guest, rows) = direct(&mut stage);
    assert!(read(&mut stage) == Ok(Some(rows.concat())));
    let visible = Rect { x: 3, y: 5, width: 10, height: 20 };
    let guest = Buffer { visible, transform: Transform::Flipped, ..guest };
    stage.sink.show(CommitId(2), import(&guest, 0), &guest, &Damage::Whole);
    let frame = stage.sink.read_shown(|_| true).unwrap().unwrap();
    let seen: Vec<_> = rows[5..25].iter().rev().map(|row| &row[12..52]).collect();
    assert_eq!(frame.size, size(10, 20));
    assert!(frame.pixels == seen.concat());
}

/// Without it a picture could be made of pages that are somebody else's by now.
#[test]
fn memory_that_is_the_guests_no_more_is_not_read() {
    let mut stage = Stage::open(Script::default());
    let (guest, _) = direct(&mut stage);
    let mut asked = None;
    let refused = stage.sink.read_shown(|storage| {
        asked = Some(storage);
        false
    });
    assert!(refused.unwrap_err().contains("no longer the guest's"));
    assert_eq!(asked, Some(guest.storage.id));
    let fds = |guest: &Buffer| Rc::strong_count(&guest.storage);
    stage.sink.forget(guest.storage.id);
    assert!(read(&mut stage).is_err());
    assert_eq!(fds(&guest), 1, "nothing of it is kept");
}

#[test]
fn memory_that_cannot_be_read_is_a_sentence() {
    let mut stage = Stage::open(Script::default());
    stage.show(1, &untouchable(SIZE), 0);
    assert!(read(&mut stage).unwrap_err().contains("can't be read"));
}
