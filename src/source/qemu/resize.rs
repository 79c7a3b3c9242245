//! The size that the guest is asked for.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};

use zbus::{Connection, Error};

use super::names::{CONSOLE, UNSUPPORTED};
use super::vm::console_path;
use super::wait::Bell;
use crate::frame::{Size, SizeHint};

/// Longest side that QEMU is asked for, in pixels.
const SIDE_MAX: u32 = 16384;

/// What is wanted, until QEMU was told: the latest wins.
#[derive(Debug, Default)]
pub(super) struct Resize {
    latest: Mutex<Option<SizeHint>>,
    bell: Bell,
}

impl Resize {
    /// To be told to QEMU when it has answered what it was told before.
    pub(super) fn want(&self, hint: SizeHint) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint);
        self.bell.ring();
    }

    /// Tells QEMU, one after the other, until it says that it can't. `owner` has the console.
    pub(super) async fn tell(&self, link: &Connection, owner: Option<&str>, console: u32) {
        loop {
            poll_fn(|cx| self.bell.poll_heard(cx)).await;
            let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(hint) = latest else { continue };
            let path = console_path(console);
            let info = ui_info(&hint);
            match link.call_method(owner, path, Some(CONSOLE), "SetUIInfo", &info).await {
                Ok(_) => tracing::info!(console, ?hint, "the guest was asked for another size"),
                Err(Error::MethodError(name, ..)) if name == UNSUPPORTED => {
                    tracing::info!("the guest's graphics device takes no other size from outside");
                    return;
                }
                // The display goes on without.
                Err(error) => tracing::warn!(%error, "QEMU did not take the window's size"),
            }
        }
    }
}

/// Arguments of `SetUIInfo`: width and height in millimetres (0: not known), offset among the heads,
/// width and height in pixels.
fn ui_info(hint: &SizeHint) -> (u16, u16, i32, i32, u32, u32) {
    let Size { width, height } = hint.mm.unwrap_or_default();
    let [mm_x, mm_y] = [width, height].map(|mm| u16::try_from(mm).unwrap_or(u16::MAX));
    let [width, height] = [hint.size.width, hint.size.height].map(|side| side.clamp(1, SIDE_MAX));
    (mm_x, mm_y, 0, 0, width, height)
}
