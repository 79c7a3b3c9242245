//! A fake GPU: it says and does what the test tells it, and draws by the CPU.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fanlight::convert::blit::{Blit, BlitError, Blitter, Target};
use fanlight::convert::cpu::{self, Reader, View};
use fanlight::frame::{
    Damage, Format, Layout, Memory, Modifier, PLANES_MAX, Plane, Size, Storage, StorageId, TARGETS,
};
use fanlight::sys::{self, OwnMapping};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::fstat;

/// Of a GPU's own.
pub(crate) const TILED: Modifier = Modifier(0x0100_0000_0000_0002);
/// Of another's.
pub(crate) const OTHER: Modifier = Modifier(0x0200_0000_0000_0001);

/// What the fake is to do, and what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// How memory is laid out of which nobody says it.
    pub(crate) knows: Option<Modifier>,
    /// How often it was asked for that.
    pub(crate) asked: usize,
    /// It reads no memory.
    pub(crate) refuses_memory: bool,
    /// No targets but linear ones are made.
    pub(crate) only_linear: bool,
    /// Drawing fails.
    pub(crate) breaks: bool,
    /// What it draws is complete when the test says so.
    pub(crate) fenced: bool,
    pub(crate) fences: Vec<OwnedFd>,
    /// For each target what was offered, and the file that it became.
    pub(crate) targets: Vec<(Size, Vec<Modifier>, u64)>,
    pub(crate) drawn: Vec<Damage>,
    pub(crate) forgotten: usize,
}

impl Orders {
    /// Ends what was drawn first of what isn't complete.
    pub(crate) fn complete(&mut self) {
        rustix::io::write(self.fences.remove(0), &1_u64.to_ne_bytes()).unwrap();
    }
}

/// The sink has a thread of its own, so the orders are the process's: of one test at a time.
static ORDERS: Mutex<Option<Orders>> = Mutex::new(None);
static TURN: Mutex<()> = Mutex::new(());
static HAPPENED: Condvar = Condvar::new();
/// An emulated machine takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn orders<T>(with: impl FnOnce(&mut Orders) -> T) -> T {
    let answer = with(lock(&ORDERS).get_or_insert_default());
    HAPPENED.notify_all();
    answer
}

/// Waits until the fake was asked for something.
pub(crate) fn wait(until: impl Fn(&Orders) -> bool) {
    let missing = |orders: &mut Option<Orders>| orders.as_ref().is_none_or(|orders| !until(orders));
    let waited = HAPPENED.wait_timeout_while(lock(&ORDERS), PATIENCE, missing);
    let timed_out = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
    assert!(!timed_out, "waited in vain for the GPU to be asked");
}

/// Begins with other orders, as soon as no other test has the fake.
pub(crate) fn begin(orders: Orders) -> MutexGuard<'static, ()> {
    let turn = lock(&TURN);
    gstfanlight::blit_with(|_| Ok(Box::<Fake>::default()));
    *lock(&ORDERS) = Some(orders);
    turn
}

#[derive(Debug, Default)]
struct Fake {
    imported: Vec<Storage>,
    targets: [Option<(OwnedFd, u32)>; TARGETS],
}

impl Blitter for Fake {
    fn name(&self) -> &str {
        "a fake"
    }

    fn import(&mut self, storage: &Storage, _: &Layout) -> Result<(), BlitError> {
        if orders(|orders| orders.refuses_memory) {
            return Err(BlitError::Import("it is told to refuse".into()));
        }
        // As memory that the CPU reads without asking the kernel.
        let (id, size) = (storage.id, storage.size);
        let fds = vec![storage.fds[0].try_clone().unwrap()];
        self.imported.retain(|known| known.id != id);
        self.imported.push(Storage {
            id,
            memory: Memory::Memfd { shrink_sealed: true },
            size,
            fds,
        });
        Ok(())
    }

    fn modifier(&mut self, _: &Storage, layout: &Layout) -> Result<Modifier, BlitError> {
        assert_eq!(layout.modifier, Modifier::INVALID, "that was said");
        orders(|orders| {
            orders.asked += 1;
            orders.knows.ok_or_else(|| BlitError::Layout("a fake doesn't know it".to_owned()))
        })
    }

    fn target(&mut self, slot: u8, size: Size, offered: &[Modifier]) -> Result<Target, BlitError> {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = (size.width * 4).next_multiple_of(256);
        let bytes = sys::page_align(u64::from(planes[0].stride * size.height));
        let fd = sys::own_memfd("target", bytes).unwrap();
        orders(|orders| {
            orders.targets.push((size, offered.to_vec(), fstat(&fd).unwrap().st_ino));
            if orders.only_linear && offered != [Modifier::LINEAR] {
                return Err(BlitError::Target("it is told to be linear".to_owned()));
            }
            Ok(())
        })?;
        let modifier = *offered.first().ok_or_else(|| BlitError::Target("nothing fits".into()))?;
        self.targets[usize::from(slot)] = Some((fd.try_clone().unwrap(), planes[0].stride));
        let layout = Layout { size, format: Format::XRGB8888, modifier, planes, plane_count: 1 };
        Ok(Target { layout, fds: vec![fd] })
    }

    fn drop_target(&mut self, slot: u8) {
        self.targets[usize::from(slot)] = None;
    }

    fn blit(
        &mut self,
        slot: u8,
        storage: StorageId,
        view: &View,
        damage: &Damage,
    ) -> Result<Blit, BlitError> {
        if orders(|orders| orders.breaks) {
            return Err(BlitError::Draw("it is told to break".to_owned()));
        }
        let memory = self.imported.iter().find(|known| known.id == storage).unwrap();
        let (fd, stride) = self.targets[usize::from(slot)].as_ref().unwrap();
        let bytes = u64::from(stride * view.size().height);
        let mut out = OwnMapping::new(fd, bytes).unwrap();
        // Whatever it is said to be, it is none of it.
        let (modifier, format) = (Modifier::LINEAR, Format::XRGB8888);
        let view = View { layout: Layout { modifier, format, ..view.layout }, ..*view };
        let reader = Reader::open(memory).unwrap();
        cpu::copy(&reader, &view, damage, out.bytes_mut(), *stride as usize).unwrap();
        Ok(orders(|orders| {
            orders.drawn.push(*damage);
            if !orders.fenced {
                return Blit::Done;
            }
            let fence = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
            orders.fences.push(fence.try_clone().unwrap());
            Blit::When(fence)
        }))
    }

    fn forget(&mut self, storage: StorageId) {
        self.imported.retain(|known| known.id != storage);
        orders(|orders| orders.forgotten += 1);
    }
}
