//! Copies of the guest's picture: by the CPU, and of memory that it can't read by the GPU.

use std::os::fd::OwnedFd;

use fanlight::convert::blit::{self, Blit, BlitError};
use fanlight::convert::cpu::{self, CopyError, OUT_PIXEL, View, visible_damage};
use fanlight::frame::{CommitId, Damage, Modifier, Rect, Size, Transform};
use fanlight::port::{Buffer, SinkEvent};
use fanlight::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{GstSink, Takes};
use crate::caps::{self, Agreed, Picture};
use crate::end::{End, Kind};
use crate::mailbox::Frame;
use crate::memory::Lendable;

/// Memory of ours that copies are made in.
#[derive(Debug)]
pub(super) struct Target {
    picture: Picture,
    memory: Lendable,
    /// As what the GPU's memory may be passed on; `None`: it is no memory of the GPU's.
    drawn: Option<gst::Caps>,
    /// `None`: to be agreed on before it is shown.
    pub(super) agreed: Option<Agreed>,
}

/// A copy that the GPU is making.
#[derive(Debug)]
pub(super) struct Drawing {
    target: u8,
    bytes: u64,
    /// Readable when it is complete.
    pub(super) fence: OwnedFd,
    /// Keeps its memory meanwhile.
    _buffer: Buffer,
}

impl Drawing {
    /// A fence that can't be asked is not waited for.
    pub(super) fn is_complete(&self) -> bool {
        let polled =
            poll(&mut [PollFd::new(&self.fence, PollFlags::IN)], Some(&Timespec::default()));
        !matches!(polled, Ok(0) | Err(Errno::INTR))
    }
}

/// Why the CPU made no copy.
enum Uncopied {
    /// It can't read the memory. A GPU may.
    Unreadable(CopyError),
    /// There is nowhere to copy to.
    NoPlace(String),
}

const HELD: &str = "downstream still has the copy";

impl GstSink {
    pub(super) fn copy_now(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        let copied = match self.copy_into(target, buffer, damage) {
            Ok(bytes) => return self.events.push_back(SinkEvent::Copied { target, bytes }),
            Err(Uncopied::Unreadable(cpu)) => {
                self.draw(target, buffer, damage).map_err(|gpu| format!("{cpu}, and {gpu}"))
            }
            Err(Uncopied::NoPlace(reason)) => Err(reason),
        };
        if let Err(reason) = copied {
            self.warn(&reason);
            self.events.push_back(SinkEvent::CopyFailed { target, reason });
        }
    }

    /// Tells the user why frames are missing; once, because each frame may.
    fn warn(&mut self, reason: &str) {
        if self.warned.as_deref() == Some(reason) {
            return;
        }
        self.warned = Some(reason.to_owned());
        if let Some(element) = self.ways.element.upgrade() {
            gst::element_warning!(
                element,
                gst::StreamError::Failed,
                ("the guest's picture can't be copied: {reason}")
            );
        }
    }

    fn copy_into(&mut self, target: u8, buffer: &Buffer, damage: &Damage) -> Result<u64, Uncopied> {
        let view = view(buffer);
        cpu::can_read(&view.layout).map_err(Uncopied::Unreadable)?;
        let reader = self.readers.of(&buffer.storage).map_err(Uncopied::Unreadable)?;
        let picture = Picture::copied(view.size());
        let stride = picture.size.width as usize * OUT_PIXEL;
        let place = &mut self.targets[usize::from(target)];
        let fits =
            place.as_ref().is_some_and(|held| held.drawn.is_none() && held.picture == picture);
        if !fits {
            if place.take().is_some_and(|held| held.drawn.is_some()) {
                self.gpu.drop_target(target);
            }
            let memory = Lendable::bytes(stride * picture.size.height as usize, &self.ways.inbox);
            let memory = memory.map_err(|error| {
                Uncopied::NoPlace(format!("the system has no memory for a copy ({error})"))
            })?;
            *place = Some(Target { picture, memory, drawn: None, agreed: None });
        }
        let damage = if fits { damage } else { &Damage::Whole };
        let memory = &place.as_ref().expect("made above").memory;
        let copied = memory.write(|pixels| cpu::copy(reader, &view, damage, pixels, stride));
        copied.ok_or_else(|| Uncopied::NoPlace(HELD.to_owned()))?.map_err(Uncopied::Unreadable)
    }

    /// Begins a copy by the GPU.
    fn draw(&mut self, target: u8, buffer: &Buffer, damage: &Damage) -> Result<(), String> {
        let words = |error: BlitError| error.to_string();
        let view = view(buffer);
        self.gpu
            .get()
            .and_then(|gpu| gpu.import(&buffer.storage, &buffer.layout))
            .map_err(words)?;
        let takes = self.ways.downstream.get().ok_or("downstream is not known yet")?;
        let fits = self.has_canvas(target, view.size(), &takes)?;
        if !fits {
            self.targets[usize::from(target)] = None;
            self.targets[usize::from(target)] = Some(self.canvas(target, view.size(), &takes)?);
        }
        let damage = if fits { damage } else { &Damage::Whole };
        let blit =
            self.gpu.get().and_then(|gpu| gpu.blit(target, buffer.storage.id, &view, damage));
        let pixels = |rect: Rect| u64::from(rect.width) * u64::from(rect.height);
        let bytes = visible_damage(&view, damage).map(pixels).sum::<u64>() * OUT_PIXEL as u64;
        match blit {
            Ok(Blit::Done) => self.events.push_back(SinkEvent::Copied { target, bytes }),
            Ok(Blit::When(fence)) => {
                self.drawing = Some(Drawing { target, bytes, fence, _buffer: buffer.clone() });
            }
            Err(error) => {
                self.gpu.give_up(error.clone());
                return Err(words(error));
            }
        }
        Ok(())
    }

    /// The GPU's copy is complete.
    pub(super) fn end_drawing(&mut self, Drawing { target, bytes, .. }: Drawing) {
        self.events.push_back(SinkEvent::Copied { target, bytes });
    }

    /// Whether there is memory of the GPU's of this size that downstream takes.
    fn has_canvas(&mut self, target: u8, size: Size, takes: &Takes) -> Result<bool, &'static str> {
        let Some(held) = &mut self.targets[usize::from(target)] else { return Ok(false) };
        if !held.memory.is_home() {
            return Err(HELD);
        }
        let Some(offers) = held.drawn.as_ref().filter(|_| held.picture.size == size) else {
            return Ok(false);
        };
        if held.agreed.is_none() {
            held.agreed = Agreed::new(offers.clone(), &takes.caps).ok();
        }
        let readable = |agreed: &Agreed| takes.can_read(&agreed.caps, &held.picture).is_ok();
        Ok(held.agreed.as_ref().is_some_and(readable))
    }

    /// Memory of the GPU's for a picture: laid out as its driver likes it best of what downstream takes, else linear.
    fn canvas(&mut self, target: u8, size: Size, takes: &Takes) -> Result<Target, String> {
        let modifiers = caps::modifiers(&takes.caps);
        let linear = modifiers.len() > 1 && modifiers.contains(&Modifier::LINEAR);
        let made = self.try_canvas(target, size, &modifiers, takes);
        let again = |_| self.try_canvas(target, size, &[Modifier::LINEAR], takes);
        if linear { made.or_else(again) } else { made }
    }

    fn try_canvas(
        &mut self,
        target: u8,
        size: Size,
        modifiers: &[Modifier],
        takes: &Takes,
    ) -> Result<Target, String> {
        let made = self.gpu.get().and_then(|gpu| gpu.target(target, size, modifiers));
        let blit::Target { layout, fds } = made.map_err(|error| error.to_string())?;
        if !modifiers.contains(&layout.modifier) || layout.size != size {
            return Err("its driver made something else than was asked for".to_owned());
        }
        let storage = sys::storage(fds, crate::classify()).map_err(|error| error.to_string())?;
        let [fd] = <[OwnedFd; 1]>::try_from(storage.fds)
            .map_err(|_| "the planes of its memory lie in several dma-bufs")?;
        let whole = Rect { x: 0, y: 0, width: size.width, height: size.height };
        let picture = Picture::direct(&layout, &whole, Transform::Normal)
            .ok_or("the rows of its memory are too long")?;
        let agreed = self.agree(&layout, &picture, takes)?;
        let bytes = usize::try_from(storage.size).unwrap_or(usize::MAX);
        let memory = Lendable::dmabuf(fd, bytes, &self.ways.inbox)
            .ok_or("GStreamer doesn't take its memory")?;
        Ok(Target { picture, memory, drawn: Some(agreed.offers.clone()), agreed: Some(agreed) })
    }

    pub(super) fn push_copy(
        &mut self,
        commit: CommitId,
        target: u8,
        buffer: &Buffer,
        damage: &Damage,
    ) {
        let (drawn, since) = self.drawn_at(commit);
        let known = self.targets[usize::from(target)].as_mut();
        let Some(target) = known else { return self.skip(commit) };
        let picture = target.picture;
        if target.agreed.is_none() {
            let Some(takes) = self.ways.downstream.get() else { return self.skip(commit) };
            let plain = || caps::copied(picture.size, self.manner.rate);
            let offers = target.drawn.clone().unwrap_or_else(plain);
            match Agreed::new(offers, &takes.caps) {
                Ok(agreed) => target.agreed = Some(agreed),
                // The next is drawn as downstream takes it by then.
                Err(_) if target.drawn.is_some() => return self.skip(commit),
                Err(offers) => {
                    let wanted = &takes.caps;
                    let what = format!(
                        "the guest's picture is given as {offers}, but downstream takes {wanted}: \
                         videoconvert and videoscale behind this element make it what is wanted"
                    );
                    self.ways.mailbox.end(End::Failed(Kind::Format, what, String::new()));
                    return self.skip(commit);
                }
            }
        }
        let Some(agreed) = target.agreed.clone() else { return self.skip(commit) };
        let Some(memory) = target.memory.lend(commit) else { return self.skip(commit) };
        let memories = [Some(memory), None, None, None];
        self.shown = None;
        let damage = damage.seen(buffer.visible, buffer.transform);
        let buffer = buffer.id;
        let (copied, ready) = (!caps::is_dmabuf(&agreed.caps), std::time::Instant::now());
        let frame = Frame {
            memories,
            agreed,
            picture,
            copied,
            commit,
            buffer,
            damage,
            drawn,
            since,
            ready,
        };
        self.push(frame, None);
    }
}

/// How the picture lies in the guest's memory.
fn view(buffer: &Buffer) -> View {
    View { layout: buffer.layout, visible: buffer.visible, transform: buffer.transform }
}
