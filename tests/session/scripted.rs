//! A backend that says what none of ours would: buffers of the past, ids without sense.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanlight::frame::{
    BufferId, Damage, Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Transform,
};
use fanlight::port::{Ack, Announcement, Settle, SourceEvent, Verdict};
use fanlight::session::Session;
use fanlight::sink::memory::MemorySink;
use fanlight::sys;

use crate::faults::{SIZE, newest, painted, session};
use crate::script::{self, Guest};
use crate::stage::{CALM, Memory, colours};

#[derive(Default)]
struct Verdicts(Mutex<Vec<(u64, Verdict)>>);

impl Settle for Verdicts {
    fn settle(&self, update: u64, verdict: Verdict) {
        self.0.lock().unwrap().push((update, verdict));
    }
}

struct Scripted {
    session: Session<MemorySink>,
    guest: Guest,
    verdicts: Arc<Verdicts>,
}

impl Scripted {
    fn new() -> Self {
        let (source, guest) = script::guest();
        Self { session: session(Box::new(source), CALM), guest, verdicts: Arc::default() }
    }

    fn say(&mut self, event: SourceEvent) {
        self.guest.say(event);
        self.session.turn(Some(Duration::ZERO), None).unwrap();
    }

    fn scanout(&mut self, buffer: u64, memory: &Memory) {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = SIZE.0 * 4;
        let size = fanlight::frame::Size { width: SIZE.0, height: SIZE.1 };
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        let fd = memory.file.try_clone().unwrap();
        self.say(SourceEvent::Scanout(Announcement {
            buffer: BufferId(buffer),
            storage: sys::storage(vec![fd.into()], sys::classify).unwrap(),
            layout: Layout { size, format, modifier, planes, plane_count: 1 },
            visible: Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 },
            transform: Transform::Normal,
        }));
    }

    /// How an update of that buffer is settled.
    fn update(&mut self, buffer: u64) -> Verdict {
        let count = self.verdicts.0.lock().unwrap().len() as u64;
        let ack = Ack::new(Arc::<Verdicts>::clone(&self.verdicts), count);
        self.say(SourceEvent::Update { buffer: BufferId(buffer), damage: Damage::Whole, ack });
        let verdicts = self.verdicts.0.lock().unwrap();
        assert_eq!(verdicts.len() as u64, count + 1, "each once");
        let (update, verdict) = verdicts[verdicts.len() - 1];
        assert_eq!(update, count);
        verdict
    }
}

/// An update of a buffer that another took the place of, or whose pages were replaced. The user sees
/// nothing of it; the guest gets a refusal.
#[test]
fn f05_30_an_update_of_a_retired_buffer_is_refused() {
    let mut scripted = Scripted::new();
    let (old, new) = (painted(1), painted(2));
    scripted.scanout(1, &old);
    scripted.scanout(2, &new);
    assert_eq!(scripted.update(1), Verdict::Refused);
    assert_eq!(newest(&mut scripted.session), None);
    assert_eq!(scripted.update(2), Verdict::Done);
    assert_eq!(newest(&mut scripted.session), Some(colours(&new.rows())));
    scripted.say(SourceEvent::Replaced(BufferId(2)));
    assert_eq!(scripted.update(2), Verdict::Refused);
    assert_eq!(scripted.update(1), Verdict::Refused);
    assert_eq!(newest(&mut scripted.session), None);
    assert_eq!(scripted.session.stats().counts.refused_updates, 3);
}

/// Ids that go back, or that are the last there is. The user sees what was announced last, whatever its
/// number; the guest gets acks for that and refusals for the rest.
#[test]
fn f05_50_ids_that_go_back_are_as_good_as_others() {
    let mut scripted = Scripted::new();
    for (i, id) in [u64::MAX, 7, 0, u64::MAX - 1].into_iter().enumerate() {
        let memory = painted(i as u8);
        scripted.scanout(id, &memory);
        assert_eq!(scripted.update(id.wrapping_add(1)), Verdict::Refused, "{id}");
        assert_eq!(scripted.update(id), Verdict::Done, "{id}");
        assert_eq!(newest(&mut scripted.session), Some(colours(&memory.rows())), "{id}");
    }
}
