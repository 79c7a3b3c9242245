//! A guest and a sink in steady state around a machine: every release and every copy comes in time.

use std::time::Duration;

use fanlight::frame::{
    BufferId, CommitId, Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, StorageId,
    Transform, UpdateId,
};
use fanlight::scanout::{Announced, Config, Input, Machine, Output, Present, SinkId};

const SINK: SinkId = SinkId(1);
const SIZE: Size = Size { width: 1920, height: 1080 };
const FRAME: Duration = Duration::from_micros(16_667);

pub(crate) struct Steady {
    pub(crate) machine: Machine,
    pub(crate) acks: u64,
    now: Duration,
    next: u64,
    shown: Option<CommitId>,
    buffer: BufferId,
}

impl Steady {
    pub(crate) fn new(present: Present) -> Self {
        let mut machine = Machine::new(Config::VIEWER);
        machine.handle(Duration::ZERO, Input::Attach(SINK, present));
        let now = Duration::ZERO;
        Self { machine, acks: 0, now, next: 1, shown: None, buffer: BufferId(0) }
    }

    /// One frame in the other of two buffers.
    pub(crate) fn flip(&mut self) {
        self.now += FRAME;
        self.scanout();
        self.update(Damage::Whole);
    }

    /// One frame, a hundred rows of it, in the same buffer.
    pub(crate) fn in_place(&mut self) {
        if self.next == 1 {
            self.scanout();
        }
        self.now += FRAME;
        self.update(Damage::from(Rect { x: 0, y: 100, width: SIZE.width, height: 100 }));
    }

    fn scanout(&mut self) {
        self.buffer = BufferId(self.next);
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = SIZE.width * 4;
        self.handle(Input::Scanout(Announced {
            buffer: self.buffer,
            storage: StorageId { dev: 1, ino: self.next % 2, others: 0 },
            layout: Layout {
                size: SIZE,
                format: Format::XRGB8888,
                modifier: Modifier::LINEAR,
                planes,
                plane_count: 1,
            },
            visible: Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height },
            transform: Transform::Normal,
            fenced: false,
        }));
        self.next += 1;
    }

    fn update(&mut self, damage: Damage) {
        let (update, buffer) = (UpdateId(self.next + (1 << 32)), self.buffer);
        self.handle(Input::Update { update, buffer, damage, owed: true });
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Import { import, .. } => {
                    self.machine.handle(self.now, Input::Imported(SINK, import));
                }
                Output::Copy { target, .. } => {
                    self.machine.handle(self.now, Input::Copied(SINK, target, 1));
                }
                Output::Show { commit, .. } | Output::ShowCopy { commit, .. } => {
                    self.machine.handle(self.now, Input::Presented(SINK, commit));
                    if let Some(before) = self.shown.replace(commit) {
                        self.machine.handle(self.now, Input::Released(SINK, before));
                    }
                }
                Output::Ack { forced, .. } => {
                    assert!(!forced, "every release came in time");
                    self.acks += 1;
                }
                _ => {}
            }
        }
    }
}
