//! What the user does, on its way to QEMU.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use zbus::message::Flags;
use zbus::{Connection, Message};

use super::names::{KEYBOARD, MOUSE, MULTI_TOUCH};
use super::qnum::qnum;
use super::vm::console_path;
use super::wait::Bell;
use crate::frame::{Input, NOTCH, Touch};

/// From so many calls on that QEMU hasn't read, only what lets go of something is still taken.
const FULL: usize = 256;
/// More than can be held at one time: from here on nothing is taken.
const OVERFULL: usize = 2 * FULL;
/// Most notches that one event of a wheel is turned into.
const NOTCHES_MAX: i32 = 16;

/// What QEMU calls the buttons of its mouse.
mod button {
    pub(super) const LEFT: u32 = 0;
    pub(super) const MIDDLE: u32 = 1;
    pub(super) const RIGHT: u32 = 2;
    pub(super) const WHEEL_UP: u32 = 3;
    pub(super) const WHEEL_DOWN: u32 = 4;
    pub(super) const SIDE: u32 = 5;
    pub(super) const EXTRA: u32 = 6;
}

/// What QEMU calls what a finger does.
mod touch {
    pub(super) const BEGIN: u32 = 0;
    pub(super) const UPDATE: u32 = 1;
    pub(super) const END: u32 = 2;
    pub(super) const CANCEL: u32 = 3;
}

/// A call of a method of `Keyboard`, of `Mouse` or of `MultiTouch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Key(u32, bool),
    Button(u32, bool),
    At(u32, u32),
    By(i32, i32),
    /// A kind, a finger and its place.
    Touch(u32, u32, (u32, u32)),
}

/// Calls that wait until the connection's thread sends them, in order. QEMU is asked for no reply: who
/// types doesn't wait for it.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    inner: Mutex<Inner>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Call>,
    /// What the wheel has turned since its last whole notch.
    wheel: i32,
}

impl Inputs {
    /// Takes it, to be sent by [`deliver`](Self::deliver); never blocks. What QEMU has no word for is
    /// dropped.
    pub(super) fn take(&self, input: &Input) {
        self.lock().take(input);
        self.bell.ring();
    }

    /// Sends what is taken, for ever; ends when the connection does.
    pub(super) async fn deliver(self: Arc<Self>, link: Connection, owner: Option<String>, id: u32) {
        let path = console_path(id);
        loop {
            let call = poll_fn(|cx| {
                let call = || self.lock().queue.pop_front();
                if let Some(call) = call() {
                    return Poll::Ready(call);
                }
                if self.bell.poll_heard(cx).is_ready() {
                    // It may have rung for what is there no more.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            })
            .await;
            let sent = match message(call, owner.as_deref(), &path) {
                Ok(message) => link.send(&message).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "QEMU takes no input any more");
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, input: &Input) {
        match *input {
            Input::Key { code, pressed } => {
                if let Some(qnum) = qnum(code) {
                    self.push(Call::Key(qnum, pressed));
                }
            }
            Input::Button { code, pressed } => {
                if let Some(number) = number(code) {
                    self.push(Call::Button(number, pressed));
                }
            }
            Input::PointerAt { x, y } => self.push(Call::At(x, y)),
            Input::PointerBy { dx, dy } => self.push(Call::By(dx, dy)),
            // QEMU's wheel turns one way only, and by whole notches.
            Input::Wheel { dy, .. } => self.turn(dy),
            Input::Touch { finger, how } => self.push(match how {
                Touch::Down { x, y } => Call::Touch(touch::BEGIN, finger, (x, y)),
                Touch::Motion { x, y } => Call::Touch(touch::UPDATE, finger, (x, y)),
                Touch::Up => Call::Touch(touch::END, finger, (0, 0)),
                Touch::Cancel => Call::Touch(touch::CANCEL, finger, (0, 0)),
            }),
        }
    }

    fn turn(&mut self, by: i32) {
        let limit = NOTCHES_MAX * NOTCH;
        let turned = self.wheel.saturating_add(by).clamp(-limit, limit);
        self.wheel = turned % NOTCH;
        let wheel = if turned < 0 { button::WHEEL_UP } else { button::WHEEL_DOWN };
        for _ in 0..(turned / NOTCH).abs() {
            self.push(Call::Button(wheel, true));
            self.push(Call::Button(wheel, false));
        }
    }

    fn push(&mut self, call: Call) {
        match (self.queue.back_mut(), call) {
            // Only where it is now matters, not by which way it came.
            (Some(Call::At(x, y)), Call::At(new_x, new_y)) => return (*x, *y) = (new_x, new_y),
            (Some(Call::By(dx, dy)), Call::By(more_x, more_y)) => {
                return (*dx, *dy) = (dx.saturating_add(more_x), dy.saturating_add(more_y));
            }
            (
                Some(Call::Touch(touch::UPDATE, finger, at)),
                Call::Touch(touch::UPDATE, same, now),
            ) if *finger == same => return *at = now,
            _ => {}
        }
        let lets_go = match call {
            Call::Key(_, pressed) | Call::Button(_, pressed) => !pressed,
            Call::Touch(kind, ..) => matches!(kind, touch::END | touch::CANCEL),
            Call::At(..) | Call::By(..) => false,
        };
        if self.queue.len() < if lets_go { OVERFULL } else { FULL } {
            self.queue.push_back(call);
        }
    }
}

/// What QEMU calls a button that evdev knows by `code`.
fn number(code: u32) -> Option<u32> {
    Some(match code {
        0x110 => button::LEFT,
        0x111 => button::RIGHT,
        0x112 => button::MIDDLE,
        // Mice say one or the other for the same two buttons.
        0x113 | 0x116 => button::SIDE,
        0x114 | 0x115 => button::EXTRA,
        _ => return None,
    })
}

fn message(call: Call, owner: Option<&str>, path: &str) -> zbus::Result<Message> {
    let verb = |pressed| if pressed { "Press" } else { "Release" };
    let (interface, member) = match call {
        Call::Key(_, pressed) => (KEYBOARD, verb(pressed)),
        Call::Button(_, pressed) => (MOUSE, verb(pressed)),
        Call::At(..) => (MOUSE, "SetAbsPosition"),
        Call::By(..) => (MOUSE, "RelMotion"),
        Call::Touch(..) => (MULTI_TOUCH, "SendEvent"),
    };
    let mut builder = Message::method_call(path, member)
        .interface(interface)
        .with_flags(Flags::NO_REPLY_EXPECTED);
    if let Some(owner) = owner {
        builder = builder.destination(owner);
    }
    match call {
        Call::Key(number, _) | Call::Button(number, _) => builder.build(&number),
        Call::At(x, y) => builder.build(&(x, y)),
        Call::By(dx, dy) => builder.build(&(dx, dy)),
        Call::Touch(kind, finger, (x, y)) => {
            builder.build(&(kind, u64::from(finger), f64::from(x), f64::from(y)))
        }
    }
}

#[cfg(test)]
mod tests;
