//! What viewers ask for. They are not trusted: each mistake ends the connection of who made it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use wayland_server::backend::ClientId;
use wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};

use super::state::State;
use super::viewer::BufferData;
use super::{ConsoleId, Event, GuestInput};
use crate::frame::Size;
use crate::protocol::SIDE_MAX;
use crate::protocol::server::guest_buffer_v1::{self, GuestBufferV1};
use crate::protocol::server::guest_console_v1::{self, Error, GuestConsoleV1, Request, Touch};
use crate::protocol::server::guest_scanout_manager_v1::{self, GuestScanoutManagerV1};

/// Events that the author hasn't taken; who sends more is dropped.
const EVENTS_MAX: usize = 4096;
/// Fingers of a touch screen.
const FINGERS_MAX: u32 = 16;

impl GlobalDispatch<GuestScanoutManagerV1, ()> for State {
    fn bind(
        state: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<GuestScanoutManagerV1>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let manager = init.init(resource, ());
        manager.vm(state.name.clone(), state.uuid.clone());
        for (&number, console) in &state.consoles {
            manager.console(number, console.kind.into(), console.label.clone());
        }
        manager.done();
        state.managers.push(manager);
    }
}

impl Dispatch<GuestScanoutManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &GuestScanoutManagerV1,
        request: guest_scanout_manager_v1::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        use guest_scanout_manager_v1::{Error, Request};
        let mine = |console: &GuestConsoleV1| console.client().as_ref() == Some(client);
        match request {
            Request::GetConsole { id, number } => {
                let object = init.init(id, ConsoleId(number));
                let taken = state.consoles.get(&number).is_some_and(|console| {
                    console.watchers.iter().any(|watcher| mine(&watcher.console))
                });
                if taken {
                    manager.post_error(
                        Error::Duplicate,
                        format!("console {number} is watched by this client already"),
                    );
                } else {
                    state.watch(ConsoleId(number), object);
                }
            }
            Request::Destroy => {
                let all = state.consoles.values().flat_map(|console| &console.watchers);
                if all.into_iter().any(|watcher| mine(&watcher.console)) {
                    manager.post_error(Error::ConsolesLeft, "destroy the consoles first");
                }
            }
        }
    }

    fn destroyed(state: &mut Self, _: ClientId, manager: &GuestScanoutManagerV1, (): &()) {
        state.managers.retain(|other| other != manager);
    }
}

impl Dispatch<GuestBufferV1, BufferData> for State {
    fn request(
        _: &mut Self,
        _: &Client,
        buffer: &GuestBufferV1,
        request: guest_buffer_v1::Request,
        data: &BufferData,
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        match request {
            guest_buffer_v1::Request::Destroy => {
                if !data.gone.load(Ordering::Relaxed) {
                    let error = guest_buffer_v1::Error::NotGone;
                    buffer.post_error(error, "a buffer is destroyed only after it is gone");
                }
            }
        }
    }

    fn destroyed(_: &mut Self, _: ClientId, _: &GuestBufferV1, data: &BufferData) {
        data.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dispatch<GuestConsoleV1, ConsoleId> for State {
    fn request(
        state: &mut Self,
        _: &Client,
        object: &GuestConsoleV1,
        request: Request,
        &id: &ConsoleId,
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        if let Err((error, text)) = state.console_request(id, object, request) {
            object.post_error(error, text);
        }
    }

    fn destroyed(state: &mut Self, _: ClientId, object: &GuestConsoleV1, &id: &ConsoleId) {
        state.stop(id, &object.id());
    }
}

type Fault = (Error, String);

fn invalid(text: &str) -> Fault {
    (Error::InvalidValue, text.to_owned())
}

fn pressed(state: WEnum<guest_console_v1::State>) -> Result<bool, Fault> {
    match state {
        WEnum::Value(guest_console_v1::State::Pressed) => Ok(true),
        WEnum::Value(guest_console_v1::State::Released) => Ok(false),
        WEnum::Unknown(other) => Err(invalid(&format!("{other} is no state of a key"))),
    }
}

impl State {
    fn console_request(
        &mut self,
        id: ConsoleId,
        object: &GuestConsoleV1,
        request: Request,
    ) -> Result<(), Fault> {
        let me = object.id();
        let watching = self
            .consoles
            .get_mut(&id.0)
            .is_some_and(|console| console.watchers.iter().any(|w| w.console.id() == me));
        let input = match request {
            Request::Destroy if watching => {
                let text = "a console is destroyed only after it is gone: ask it to stop";
                return Err((Error::NotGone, text.to_owned()));
            }
            // It is gone, and what the viewer still says was said before it knew.
            _ if !watching => return Ok(()),
            Request::Destroy => return Ok(()),
            Request::Stop => {
                self.stop(id, &me);
                return Ok(());
            }
            Request::Ack { frame } => return self.answer(id, object, frame, false),
            Request::Refuse { frame } => return self.answer(id, object, frame, true),
            Request::ReleaseFence { fence } => {
                if let Some(console) = self.consoles.get_mut(&id.0)
                    && let Some(watcher) =
                        console.watchers.iter_mut().find(|w| w.console.id() == me)
                {
                    watcher.release_fence = Some(fence);
                }
                return Ok(());
            }
            Request::Release { buffer } => {
                let same = buffer.data::<BufferData>().is_some_and(|data| data.console == id);
                let text = || "a buffer of another console".to_owned();
                return if same { Ok(()) } else { Err((Error::ForeignBuffer, text())) };
            }
            Request::InvalidateReady { serial } => return self.ready(id, object, serial),
            Request::SizeHint { width, height, refresh } => {
                if ![width, height].iter().all(|side| (1..=SIDE_MAX).contains(side)) {
                    return Err(invalid("a size hint has sides of 1 to 16384"));
                }
                let size = Size { width, height };
                return self.say(Event::SizeHint(id, size, refresh));
            }
            Request::Key { code, state } => GuestInput::Key(code, pressed(state)?),
            Request::PointerAt { x, y } => GuestInput::PointerAt(x, y),
            Request::PointerBy { dx, dy } => GuestInput::PointerBy(dx, dy),
            Request::Button { code, state } => GuestInput::Button(code, pressed(state)?),
            Request::Wheel { dx, dy } => GuestInput::Wheel(dx, dy),
            Request::Touch { finger, .. } if finger >= FINGERS_MAX => {
                return Err(invalid("a finger has a number of 0 to 15"));
            }
            Request::Touch { kind, finger, x, y } => match kind {
                WEnum::Value(Touch::Down) => GuestInput::TouchAt { finger, x, y, down: true },
                WEnum::Value(Touch::Motion) => GuestInput::TouchAt { finger, x, y, down: false },
                WEnum::Value(Touch::Up) => GuestInput::TouchUp(finger),
                WEnum::Value(Touch::Cancel) => GuestInput::TouchCancel,
                WEnum::Unknown(_) => return Err(invalid("no such kind of touch")),
            },
        };
        self.say(Event::Input(id, input))
    }

    /// Passes on what a viewer can send without end.
    fn say(&mut self, event: Event) -> Result<(), Fault> {
        if self.events.len() >= EVENTS_MAX {
            return Err((Error::Flood, "more input than the backend takes".to_owned()));
        }
        self.events.push_back(event);
        Ok(())
    }

    fn answer(
        &mut self,
        id: ConsoleId,
        object: &GuestConsoleV1,
        number: u32,
        refused: bool,
    ) -> Result<(), Fault> {
        let me = object.id();
        let Some(console) = self.consoles.get_mut(&id.0) else { return Ok(()) };
        let Some(watcher) = console.watchers.iter_mut().find(|w| w.console.id() == me) else {
            return Ok(());
        };
        if !watcher.unanswered.remove(&number) {
            let text = format!("frame {number} is answered already, or never was");
            return Err((Error::UnknownFrame, text));
        }
        let fence = watcher.release_fence.take().filter(|_| !refused);
        // One that timed out is not there any more.
        if let Some(frame) = console.frames.iter_mut().find(|frame| frame.number == number) {
            frame.waiting.remove(&me);
            frame.refused |= refused;
            frame.fences.extend(fence);
            self.conclude(id);
        }
        Ok(())
    }

    fn ready(&mut self, id: ConsoleId, object: &GuestConsoleV1, serial: u32) -> Result<(), Fault> {
        let Some(console) = self.consoles.get_mut(&id.0) else { return Ok(()) };
        if serial == 0 || serial > console.last_serial {
            return Err((Error::UnknownSerial, format!("there was no invalidation {serial}")));
        }
        let open = console.invalidation.as_mut().filter(|open| open.serial == serial);
        let waiting: Option<&mut HashSet<_>> = open.map(|open| &mut open.waiting);
        if waiting.is_some_and(|waiting| waiting.remove(&object.id())) {
            self.conclude(id);
        }
        Ok(())
    }
}
