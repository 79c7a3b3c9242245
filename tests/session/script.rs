//! A backend within the test: it says what the test lets its guest say, and nothing else.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use fanlight::frame::{
    BufferId, Damage, Format, Input, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, SizeHint,
    Transform,
};
use fanlight::port::{Ack, Announcement, Settle, Source, SourceEvent, Verdict, next_buffer_id};
use fanlight::sys;
use rustix::event::{EventfdFlags, eventfd};

use crate::fake_qemu;
use crate::stage::Memory;

type Said = Rc<RefCell<VecDeque<SourceEvent>>>;
type Wanted = Rc<RefCell<Vec<SizeHint>>>;

pub struct Script {
    /// Never readable: the session looks before it waits, and nothing comes while it does.
    never: OwnedFd,
    said: Said,
    wanted: Wanted,
}

/// The guest behind it.
pub struct Guest(Said, u64, Wanted);

pub fn guest() -> (Script, Guest) {
    let said = Said::default();
    let wanted = Wanted::default();
    let never = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let guest = Guest(Rc::clone(&said), 0, Rc::clone(&wanted));
    (Script { never, said, wanted }, guest)
}

impl Source for Script {
    fn fd(&self) -> BorrowedFd<'_> {
        self.never.as_fd()
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        self.said.borrow_mut().pop_front()
    }

    fn send(&mut self, _: &Input) {}

    fn resize(&mut self, hint: &SizeHint) {
        self.wanted.borrow_mut().push(*hint);
    }
}

/// The spies write down what becomes of an ack.
struct Nobody;

impl Settle for Nobody {
    fn settle(&self, _: u64, _: Verdict) {}
}

impl Guest {
    /// The sizes that were asked for.
    pub fn wanted(&self) -> Vec<Size> {
        self.2.borrow().iter().map(|hint| hint.size).collect()
    }

    pub fn say(&self, event: SourceEvent) {
        self.0.borrow_mut().push_back(event);
    }

    /// Announces memory, whole, as linear XR24.
    pub fn announce(&self, memory: &Memory) -> BufferId {
        self.announce_as(memory, Format::XRGB8888, Modifier::LINEAR)
    }

    pub fn announce_as(&self, memory: &Memory, format: Format, modifier: Modifier) -> BufferId {
        let buffer = next_buffer_id();
        let (width, height) = memory.size;
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = width * 4;
        let size = Size { width, height };
        let fd = memory.file.try_clone().unwrap().into();
        self.say(SourceEvent::Scanout(Announcement {
            buffer,
            storage: sys::storage(vec![fd], fake_qemu::classify).unwrap(),
            layout: Layout { size, format, modifier, planes, plane_count: 1 },
            visible: Rect { x: 0, y: 0, width, height },
            transform: Transform::Normal,
        }));
        buffer
    }

    /// Has finished a frame there; its number.
    pub fn update(&mut self, buffer: BufferId) -> u64 {
        self.1 += 1;
        let ack = Ack::new(Arc::new(Nobody), self.1);
        self.say(SourceEvent::Update { buffer, damage: Damage::Whole, ack });
        self.1
    }

    /// Shows other memory: announces it and has finished it.
    pub fn flip(&mut self, memory: &Memory) -> (BufferId, u64) {
        let buffer = self.announce(memory);
        (buffer, self.update(buffer))
    }
}
