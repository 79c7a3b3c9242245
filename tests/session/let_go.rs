//! Memory that is about to be replaced, of a source that does what the test says.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use fanlight::frame::{
    Damage, Format, Input, Layout, Modifier, PLANES_MAX, Plane, Rect, StorageId, Transform,
};
use fanlight::port::{Ack, Announcement, Source, SourceEvent, next_buffer_id};
use fanlight::session::{Mode, Present, Why};
use fanlight::sys;
use rustix::event::{EventfdFlags, eventfd};

use crate::fake_qemu;
use crate::spies::Seen;
use crate::stage::{Memory, Setup, Stage, colours};

const SIZE: (u32, u32) = (64, 48);

/// Says what the test wants said.
#[derive(Clone)]
struct Told {
    fd: Rc<OwnedFd>,
    events: Rc<RefCell<VecDeque<SourceEvent>>>,
}

impl Source for Told {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        self.events.borrow_mut().pop_front()
    }

    fn send(&mut self, _: &Input) {}
}

impl Told {
    fn new() -> Self {
        let fd = Rc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        Self { fd, events: Rc::default() }
    }

    fn say(&self, event: SourceEvent) {
        self.events.borrow_mut().push_back(event);
    }

    /// A frame in `memory`; returns its storage.
    fn show(&self, memory: &Memory) -> StorageId {
        let fd = memory.file.try_clone().unwrap().into();
        let storage = sys::storage(vec![fd], fake_qemu::classify).unwrap();
        let (width, height) = memory.size;
        let size = fanlight::frame::Size { width, height };
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = width * 4;
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        let layout = Layout { size, format, modifier, planes, plane_count: 1 };
        let (id, buffer) = (storage.id, next_buffer_id());
        let visible = Rect { x: 0, y: 0, width, height };
        let transform = Transform::Normal;
        self.say(SourceEvent::Scanout(Announcement {
            buffer,
            storage,
            layout,
            visible,
            transform,
        }));
        self.say(SourceEvent::Update { buffer, damage: Damage::Whole, ack: Ack::none() });
        id
    }
}

/// Without it a guest's memory could be replaced under the compositor, or its picture go stale, black
/// or away; or a still picture would be let go at its next frame only.
#[test]
fn a_still_picture_that_is_direct_is_let_go_after_one_copy() {
    let told = Told::new();
    let setup = Setup { present: Present::Direct, ..Setup::default() };
    let mut stage = Stage::over(Box::new(told.clone()), setup);
    let memory = Memory::new(SIZE);
    memory.paint(5);
    let storage = told.show(&memory);
    let shown = stage.frame(1);
    assert_eq!(stage.dmabuf(shown), Some(memory.inode()));

    told.say(SourceEvent::Invalidate);
    let copy = stage.frame(2);
    assert_eq!((stage.dmabuf(copy), stage.pixels(copy)), (None, colours(&memory.rows())));
    assert_eq!(stage.session.stats().mode, Some((Mode::Copy, Why::Leaving)));
    assert!(!stage.log.has(Seen::Retired(storage)), "the compositor still reads it");
    stage.release(shown);
    let retired = stage.log.place(Seen::Retired(storage));
    assert!(stage.log.place(Seen::Released(1)) < retired);
    stage.let_go_of(&memory, 1);
    // What the guest draws there now is nobody's business.
    memory.paint(6);
    assert_eq!((stage.shown(), stage.pixels(copy)[0][0]), (2, [0, 0, 5]));

    let other = Memory::new(SIZE);
    told.show(&other);
    let shown = stage.frame(3);
    assert_eq!(stage.dmabuf(shown), Some(other.inode()));
    told.show(&memory);
    let shown = stage.frame(4);
    assert_eq!(stage.dmabuf(shown), Some(memory.inode()), "it was announced again");
    assert!(!stage.was_blank());
}

/// Without it a copy that shows the picture already would be made once more for nothing.
#[test]
fn a_picture_that_is_a_copy_is_let_go_at_once() {
    let told = Told::new();
    let setup = Setup { present: Present::Copy, ..Setup::default() };
    let mut stage = Stage::over(Box::new(told.clone()), setup);
    let memory = Memory::new(SIZE);
    let storage = told.show(&memory);
    stage.frame(1);
    told.say(SourceEvent::Invalidate);
    stage.settle();
    assert!(stage.log.has(Seen::Retired(storage)));
    assert_eq!((stage.shown(), stage.session.stats().counts.frames), (1, 1));
    stage.let_go_of(&memory, 1);
}
