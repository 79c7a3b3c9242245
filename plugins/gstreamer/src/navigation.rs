//! What is done with keyboards, mice and fingers downstream, for the guest.

mod keyboard;
mod pointer;

use std::sync::atomic::{AtomicBool, Ordering};

use fanlight::frame::{FINGERS_MAX, Input, NOTCH, Pointing, Size, Touch};
use gst_video::NavigationEvent;

use self::keyboard::Keyboard;
use self::pointer::Pointer;

/// What the session knows of the guest, for who sends it input.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    relative: AtomicBool,
    caps: AtomicBool,
}

impl Habits {
    pub(crate) fn set_pointing(&self, pointing: Pointing) {
        self.relative.store(pointing == Pointing::Relative, Ordering::Relaxed);
    }

    pub(crate) fn set_caps(&self, on: bool) {
        self.caps.store(on, Ordering::Relaxed);
    }

    /// With a picture of that size.
    pub(crate) fn of(&self, size: Size) -> Guest {
        let relative = self.relative.load(Ordering::Relaxed);
        let pointing = if relative { Pointing::Relative } else { Pointing::Absolute };
        Guest { size, pointing, caps: self.caps.load(Ordering::Relaxed) }
    }
}

/// What the guest is like now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guest {
    /// Of the picture that events are about.
    pub(crate) size: Size,
    pub(crate) pointing: Pointing,
    /// Its Caps Lock is on.
    pub(crate) caps: bool,
}

/// From GStreamer's events to the guest's input.
#[derive(Debug)]
pub(crate) struct Translator {
    keyboard: Keyboard,
    pointer: Pointer,
    /// What the sender calls each finger that is down.
    fingers: [Option<u32>; FINGERS_MAX as usize],
}

impl Translator {
    /// For keysyms of that keyboard layout.
    pub(crate) fn new(layout: &str) -> Self {
        Self {
            keyboard: Keyboard::new(layout),
            pointer: Pointer::default(),
            fingers: [None; FINGERS_MAX as usize],
        }
    }

    /// What the guest gets; `None` where the event is about something else.
    pub(crate) fn event(&mut self, event: &gst::EventRef, guest: Guest) -> Option<Vec<Input>> {
        let mut out = Vec::new();
        match event.view() {
            gst::EventView::Navigation(_) => {
                let event = NavigationEvent::parse(event).ok()?;
                self.navigation(&event, guest, &mut out)?;
            }
            gst::EventView::CustomUpstream(custom) => {
                self.custom(custom.structure()?, guest, &mut out)?;
            }
            _ => return None,
        }
        Some(out)
    }

    /// Lifts what is down.
    pub(crate) fn release_all(&mut self) -> Vec<Input> {
        let mut out = Vec::new();
        self.keyboard.release_all(&mut out);
        self.pointer.release_all(&mut out);
        self.cancel(&mut out);
        out
    }

    fn navigation(
        &mut self,
        event: &NavigationEvent,
        guest: Guest,
        out: &mut Vec<Input>,
    ) -> Option<()> {
        match *event {
            NavigationEvent::KeyPress { ref key, .. } => {
                self.keyboard.named(key, true, guest.caps, out);
            }
            NavigationEvent::KeyRelease { ref key, .. } => {
                self.keyboard.named(key, false, guest.caps, out);
            }
            NavigationEvent::MouseMove { x, y, .. } => self.pointer.at(x, y, guest, out),
            NavigationEvent::MouseButtonPress { button, x, y, .. } => {
                self.pointer.click_at(x, y, guest, out);
                self.pointer.button(button, true, out);
            }
            NavigationEvent::MouseButtonRelease { button, x, y, .. } => {
                self.pointer.click_at(x, y, guest, out);
                self.pointer.button(button, false, out);
            }
            NavigationEvent::MouseScroll { delta_x, delta_y, .. } => {
                self.pointer.scroll(delta_x, delta_y, out);
            }
            NavigationEvent::TouchDown { identifier, x, y, .. } => {
                self.finger_down(identifier, (x, y), guest.size, out);
            }
            NavigationEvent::TouchMotion { identifier, x, y, .. } => {
                self.finger_moves(identifier, (x, y), guest.size, out);
            }
            NavigationEvent::TouchUp { identifier, .. } => self.finger_up(identifier, out),
            NavigationEvent::TouchCancel { .. } => self.cancel(out),
            NavigationEvent::TouchFrame { .. } => {}
            // Menus of DVDs.
            _ => return None,
        }
        Some(())
    }

    /// What navigation events can't say: structures as gst-wayland-display's `waylanddisplaysrc` takes them.
    fn custom(
        &mut self,
        said: &gst::StructureRef,
        guest: Guest,
        out: &mut Vec<Input>,
    ) -> Option<()> {
        let number = |name: &str| said.get::<f64>(name).ok();
        let count = |name: &str| said.get::<u32>(name).ok();
        let pressed = || said.get::<bool>("pressed").ok();
        // Of the picture's sides.
        let place = || {
            let Size { width, height } = guest.size;
            Some((number("x")? * f64::from(width), number("y")? * f64::from(height)))
        };
        match said.name().as_str() {
            "KeyboardKey" => self.keyboard.code(count("key")?, pressed()?, out),
            "MouseMoveRelative" => {
                self.pointer.by(number("pointer_x")?, number("pointer_y")?, guest, out);
            }
            "MouseMoveAbsolute" => {
                self.pointer.at(number("pointer_x")?, number("pointer_y")?, guest, out);
            }
            "MouseButton" => {
                self.pointer.button(i32::try_from(count("button")?).ok()?, pressed()?, out);
            }
            "MouseAxis" => {
                self.pointer.wheel(number("x")?, number("y")?, f64::from(NOTCH), out);
            }
            "TouchDown" => self.finger_down(count("id")?, place()?, guest.size, out),
            "TouchMotion" => self.finger_moves(count("id")?, place()?, guest.size, out),
            "TouchUp" => self.finger_up(count("id")?, out),
            "TouchCancel" => self.cancel(out),
            "TouchFrame" => {}
            _ => return None,
        }
        Some(())
    }

    fn finger(&self, identifier: u32) -> Option<usize> {
        self.fingers.iter().position(|finger| *finger == Some(identifier))
    }

    fn finger_down(&mut self, id: u32, place: (f64, f64), size: Size, out: &mut Vec<Input>) {
        let free = || self.fingers.iter().position(Option::is_none);
        let (None, Some(finger), Some((x, y))) =
            (self.finger(id), free(), pointer::pixel(place, size))
        else {
            return;
        };
        self.fingers[finger] = Some(id);
        out.push(touch(finger, Touch::Down { x, y }));
    }

    fn finger_moves(&mut self, id: u32, place: (f64, f64), size: Size, out: &mut Vec<Input>) {
        if let (Some(finger), Some((x, y))) = (self.finger(id), pointer::pixel(place, size)) {
            out.push(touch(finger, Touch::Motion { x, y }));
        }
    }

    fn finger_up(&mut self, id: u32, out: &mut Vec<Input>) {
        if let Some(finger) = self.finger(id) {
            self.fingers[finger] = None;
            out.push(touch(finger, Touch::Up));
        }
    }

    fn cancel(&mut self, out: &mut Vec<Input>) {
        for (finger, down) in self.fingers.iter_mut().enumerate() {
            if down.take().is_some() {
                out.push(touch(finger, Touch::Cancel));
            }
        }
    }
}

fn touch(finger: usize, how: Touch) -> Input {
    let finger = u32::try_from(finger).unwrap_or(FINGERS_MAX);
    Input::Touch { finger, how }
}

#[cfg(test)]
#[path = "navigation/tests.rs"]
mod tests;
