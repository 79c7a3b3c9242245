//! Clipboards of which too much is made: kinds, requests and texts without end, programs that never read, guests
//! that take their time.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::clipboard::{shared, shared_within, text};
use crate::compositor::Server;
use crate::fake_clipboard::TEXT;
use crate::stage::Memory;

/// Without it one program that copies could end the viewer, or hide its text among what else it has.
#[test]
fn a_text_is_found_among_ten_thousand_kinds() {
    let (mut stage, guest) = shared();
    let many: Vec<_> = (0..10_000).map(|i| format!("x/{i}")).collect();
    let long = "x".repeat(4000);
    // In parts, because a compositor gives up who has too much to read.
    let names: Vec<&str> = many.iter().map(String::as_str).chain([&long[..], TEXT]).collect();
    let offer = stage.compositor.with(Server::announce);
    for part in names.chunks(1000) {
        stage.compositor.with(|_| part.iter().for_each(|name| offer.offer((*name).to_owned())));
        stage.settle();
    }
    stage.compositor.with(|server| server.select(&offer));
    stage.settle();
    assert_eq!(guest.grabbed(), 1);
    let pastes = guest.guest_pastes();
    let (name, mut pipe) = stage.asked();
    assert_eq!(name, TEXT);
    pipe.write_all(b"among many").unwrap();
    drop(pipe);
    assert_eq!(stage.join("the text", pastes), text("among many"));
    // The other way round.
    guest.guest_copies(2, &names);
    stage.guests_is_copied();
}

/// Without it a guest could have a thread and a pipe for each time that it asks.
#[test]
fn a_storm_of_requests_is_one_paste() {
    let (mut stage, guest) = shared();
    stage.host_copies(&[TEXT]);
    guest.grabbed();
    let all: Vec<_> = (0..50).map(|_| guest.guest_pastes()).collect();
    let (_, mut pipe) = stage.asked();
    // The first waits, or was told that it takes too long.
    let refused = |stage: &mut crate::stage::Stage| {
        let done = all.iter().filter(|thread| thread.is_finished()).count();
        stage.compositor.nudge();
        (done >= all.len() - 1).then_some(())
    };
    stage.until("refusals", refused);
    assert!(stage.compositor.with(|server| server.data.pastes.is_empty()), "it was asked once");
    pipe.write_all(b"one").unwrap();
    drop(pipe);
    let given = all.into_iter().map(|thread| stage.join("an answer", thread));
    assert!(given.filter(Result::is_ok).count() <= 1);
}

/// Without it a program that never comes to an end could fill our memory.
#[test]
fn a_text_without_an_end_is_not_read_for_ever() {
    let (mut stage, guest) = shared();
    stage.host_copies(&[TEXT]);
    guest.grabbed();
    let pastes = guest.guest_pastes();
    let (_, mut pipe) = stage.asked();
    let writes = thread::spawn(move || while pipe.write_all(&[b'a'; 4096]).is_ok() {});
    let error = stage.join("a refusal", pastes).unwrap_err();
    // On a busy machine it may be late before it is too long.
    assert!(["longer than", "took too long"].iter().any(|s| error.contains(s)), "{error}");
    stage.join("its end", writes);
}

/// Without it programs that paste and don't read could keep threads for ever, or the picture.
#[test]
fn programs_that_never_read_hold_nobody_up() {
    let (mut stage, guest) = shared();
    guest.guest_copies(1, &[TEXT]);
    stage.guests_is_copied();
    // More than a pipe holds.
    let long = vec![b'a'; 128 << 10];
    let mut lazy = Vec::new();
    for _ in 0..8 {
        lazy.push(stage.compositor.with(|server| server.host_pastes(TEXT)));
        stage.settle();
        guest.answer(&guest.called("Request"), &(TEXT, &long[..]));
    }
    let memory = Memory::new((64, 48));
    let update = stage.flip(&memory.file, memory.size);
    stage.acked(update);
    // Nor does one more wait for them: it gets the text, or learns that it won't.
    let pasted = stage.pasted(TEXT);
    guest.answer(&guest.called("Request"), &(TEXT, &long[..]));
    let pasted = stage.join("an end", pasted);
    assert!(pasted.is_empty() || pasted == long);
}

/// QEMU says when it has waited long enough for its guest; that may be later than its own answers may take.
#[test]
fn a_guest_that_takes_its_time_is_waited_for() {
    let time_limit = Duration::from_secs(3);
    let (mut stage, guest) = shared_within(time_limit);
    guest.guest_copies(1, &[TEXT]);
    stage.guests_is_copied();
    let pasted = stage.pasted(TEXT);
    let request = guest.called("Request");
    thread::sleep(time_limit + time_limit / 10);
    guest.answer(&request, &(TEXT, &b"slow"[..]));
    assert_eq!(stage.join("the text", pasted), b"slow");
}

#[test]
fn a_guest_that_does_not_answer_keeps_no_more_than_so_many_waiting() {
    let (mut stage, guest) = shared();
    guest.guest_copies(1, &[TEXT]);
    stage.guests_is_copied();
    let _first = stage.pasted(TEXT);
    let unanswered = guest.called("Request");
    let all: Vec<_> = (0..9).map(|_| stage.pasted(TEXT)).collect();
    let last = all.into_iter().last().unwrap();
    assert_eq!(stage.join("nothing", last), b"");
    guest.answer(&unanswered, &(TEXT, &b"one"[..]));
}
