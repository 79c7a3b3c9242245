//! A fake GPU: it says and does what the test tells it.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use fanlight::convert::blit::{Blit, BlitError, Blitter, Target};
use fanlight::convert::cpu::View;
use fanlight::frame::{Damage, Layout, Modifier, Size, Storage, StorageId};

/// Of a GPU's own.
pub(crate) const TILED: Modifier = Modifier(0x0100_0000_0000_0002);

/// What the fake is to do, and what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// How memory is laid out of which nobody says it.
    pub(crate) knows: Option<Modifier>,
    /// How often it was asked for that.
    pub(crate) asked: usize,
}

/// The sink has a thread of its own, so the orders are the process's: of one test at a time.
static ORDERS: Mutex<Option<Orders>> = Mutex::new(None);
static TURN: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn orders<T>(with: impl FnOnce(&mut Orders) -> T) -> T {
    with(lock(&ORDERS).get_or_insert_default())
}

/// Begins with other orders, as soon as no other test has the fake.
pub(crate) fn begin(orders: Orders) -> MutexGuard<'static, ()> {
    let turn = lock(&TURN);
    gstfanlight::blit_with(|_| Ok(Box::new(Fake)));
    *lock(&ORDERS) = Some(orders);
    turn
}

#[derive(Debug)]
struct Fake;

impl Blitter for Fake {
    fn name(&self) -> &str {
        "a fake"
    }

    fn import(&mut self, _: &Storage, _: &Layout) -> Result<(), BlitError> {
        Err(BlitError::Import("it is told to refuse".into()))
    }

    fn modifier(&mut self, _: &Storage, layout: &Layout) -> Result<Modifier, BlitError> {
        assert_eq!(layout.modifier, Modifier::INVALID, "that was said");
        orders(|orders| {
            orders.asked += 1;
            orders.knows.ok_or_else(|| BlitError::Layout("a fake doesn't know it".to_owned()))
        })
    }

    fn target(&mut self, _: u8, _: Size, _: &[Modifier]) -> Result<Target, BlitError> {
        unreachable!("nothing was imported")
    }

    fn drop_target(&mut self, _: u8) {}

    fn blit(&mut self, _: u8, _: StorageId, _: &View, _: &Damage) -> Result<Blit, BlitError> {
        unreachable!("nothing was imported")
    }

    fn forget(&mut self, _: StorageId) {}
}
