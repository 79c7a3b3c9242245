//! `fanlight view --reconnect` over a message bus with a fake QEMU on it, which goes and comes back.

use super::*;
use crate::fake_qemu::{Bus, FakeQemu, FakeVm, LISTENER, VM};

const TITLE: &str = "fake – Fanlight";
const AWAY: &str = "fake – Fanlight (reconnecting…)";
const X8R8G8B8: u32 = 0x2002_0888;
const SIZE: (u32, u32) = (64, 48);

/// The guest's screen is of that grey all over.
pub(crate) fn paint(qemu: &mut FakeQemu, grey: u8) {
    let (width, height) = SIZE;
    let pixels = vec![grey; (width * height * 4) as usize];
    let body = (width, height, width * 4, X8R8G8B8, &pixels[..]);
    qemu.call(LISTENER, "Scanout", &body).unwrap();
}

impl View {
    /// Waits until the picture in the window is of that grey; answers what is shown meanwhile.
    pub(crate) fn shows(&mut self, grey: u8) {
        let answered = &mut self.answered;
        self.compositor.wait("the picture", |server| {
            if server.surfaces.main.is_none() || server.surfaces.surfaces.len() < 2 {
                return None;
            }
            answer(server, answered);
            let Attached::Buffer(buffer) = server.surfaces.shown().last()?.attached else {
                return None;
            };
            let rows = server.surfaces.buffers[buffer].rows();
            let mut pixels = rows.iter().flat_map(|row| row.as_chunks::<4>().0);
            pixels.all(|[b, g, r, _]| [*b, *g, *r] == [grey; 3]).then_some(())
        });
    }
}

/// A viewer that waits for its guest to come back, and that shows one.
fn shown() -> (Bus, View, FakeQemu) {
    let bus = Bus::with(vec![VM]);
    let mut view = View::start(&[&bus.uri(), "--reconnect"]);
    let mut qemu = bus.qemus.next();
    paint(&mut qemu, 10);
    view.shows(10);
    (bus, view, qemu)
}

/// A virtual machine that was started again is found by its name, also where the bus calls its QEMU
/// otherwise by then, and where it was asked for in vain before. Without that the window would wait for ever.
#[test]
fn a_qemu_that_comes_back_to_the_bus_is_shown_again() {
    let mut bus = Bus::with(vec![VM]);
    let mut view = View::start(&[&bus.uri(), "--reconnect"]);
    let mut qemu = bus.qemus.next();
    paint(&mut qemu, 10);
    view.called(TITLE);
    view.shows(10);
    let mut vm = VM;
    for (owner, grey) in [(":1.8", 20), (":1.9", 30)] {
        bus.goes(&vm, vec![qemu]);
        view.called(AWAY);
        // It comes after it was asked for once more.
        vm = FakeVm { owner, ..VM };
        bus.comes(vm.clone());
        qemu = bus.qemus.next();
        assert_eq!(qemu.registered, (owner.to_owned(), 0));
        paint(&mut qemu, grey);
        view.called(TITLE);
        view.shows(grey);
    }
    assert!(!view.was_blank());
    view.close();
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(said.matches("waiting for it to come back").count(), 2, "{said}");
}

/// Only the connection to the bus ends, over which input goes: the picture's would go on, and nothing that is typed would
/// arrive.
#[test]
fn a_bus_that_drops_its_connection_is_asked_again() {
    let (bus, mut view, _qemu) = shown();
    for connection in bus.qemus.connected() {
        zbus::block_on(connection.close()).unwrap();
    }
    view.called(AWAY);
    let mut again = bus.qemus.next();
    paint(&mut again, 20);
    view.called(TITLE);
    view.shows(20);
    assert!(!view.was_blank());
    view.close();
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("the message bus closed the connection"), "{said}");
}

/// Only the listener's connection ends: QEMU is on the bus all the time.
#[test]
fn a_connection_that_drops_is_made_again() {
    let (bus, mut view, qemu) = shown();
    qemu.kill();
    view.called(AWAY);
    let mut qemu = bus.qemus.next();
    paint(&mut qemu, 20);
    view.called(TITLE);
    view.shows(20);
    assert!(!view.was_blank());
    view.close();
    assert_eq!(view.ends().0.code(), Some(0));
}
