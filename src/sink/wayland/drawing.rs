//! Copies that a GPU makes: which targets are its own, and which copy isn't complete yet.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::ZwpLinuxBufferParamsV1;

use super::imports::ask;
use super::lease::Lease;
use super::targets::Peer;
use super::wait::Wait;
use crate::convert::blit::{Blit, BlitError, Blitter, OpenBlitter, Target as Memory};
use crate::convert::cpu::{OUT_PIXEL, View, visible_damage};
use crate::frame::{Damage, Format, Layout, Modifier, Size, StorageId};
use crate::port::Buffer;

/// A target that the GPU draws into.
#[derive(Debug)]
pub(super) struct Canvas {
    layout: Layout,
    buffer: Answer,
}

/// What the compositor says of it.
#[derive(Debug)]
enum Answer {
    Asked(ZwpLinuxBufferParamsV1),
    Made(Lease),
    Refused,
}

impl Canvas {
    pub(super) fn size(&self) -> Size {
        self.layout.size
    }

    pub(super) fn lease(&mut self) -> Option<&mut Lease> {
        match &mut self.buffer {
            Answer::Made(lease) => Some(lease),
            Answer::Asked(_) | Answer::Refused => None,
        }
    }

    pub(super) fn waits_for(&self, params: &ZwpLinuxBufferParamsV1) -> bool {
        matches!(&self.buffer, Answer::Asked(asked) if asked == params)
    }

    pub(super) fn answer(&mut self, answer: Option<Lease>) {
        self.buffer = answer.map_or(Answer::Refused, Answer::Made);
    }
}

/// A copy that was begun: it is complete when it is drawn, and the compositor has its target.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) target: u8,
    pub(super) buffer: Buffer,
    pub(super) bytes: u64,
    /// Readable when all is drawn.
    fence: Option<OwnedFd>,
}

/// How a copy that was begun stands.
pub(super) enum Outcome {
    /// Complete.
    Copied(Begun),
    /// The compositor doesn't take its target.
    Refused(Begun),
}

/// The GPU, while there is one that does what it should.
#[derive(Debug)]
pub(super) struct Gpu {
    blitter: Box<dyn Blitter>,
    /// Readable when the fence of what was begun is.
    fences: OwnedFd,
    /// One at a time is all that is asked for.
    begun: Option<Begun>,
    /// What the driver would have liked best could not be made, or was refused.
    linear_only: bool,
    /// It was said that some memory can't be read.
    told: bool,
}

impl Gpu {
    /// The GPU that `open` finds; `wait` is for what it has drawn, too.
    pub(super) fn open(
        open: OpenBlitter,
        device: Option<u64>,
        wait: &Wait,
    ) -> Result<Self, BlitError> {
        let blitter = open(device)?;
        let failed = |error: io::Error| BlitError::Open(error.to_string());
        let fences = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        wait.add(fences.as_fd()).map_err(failed)?;
        tracing::info!(gpu = blitter.name(), "copies of dma-bufs are drawn");
        Ok(Self { blitter, fences, begun: None, linear_only: false, told: false })
    }

    /// Whether it can read the memory of `buffer`; says once that it can't.
    pub(super) fn reads(&mut self, buffer: &Buffer) -> bool {
        match self.blitter.import(&buffer.storage, &buffer.layout) {
            Ok(()) => true,
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(%error, "the CPU copies in its place");
                }
                false
            }
        }
    }

    /// Makes a target for `slot`, and offers it to the compositor.
    pub(super) fn canvas(
        &mut self,
        slot: u8,
        size: Size,
        peer: Peer<'_>,
    ) -> Result<Canvas, BlitError> {
        match self.try_canvas(slot, size, peer) {
            // What the compositor reads isn't all that the GPU draws into.
            Err(BlitError::Target(_)) if !std::mem::replace(&mut self.linear_only, true) => {
                self.try_canvas(slot, size, peer)
            }
            tried => tried,
        }
    }

    fn try_canvas(&mut self, slot: u8, size: Size, peer: Peer<'_>) -> Result<Canvas, BlitError> {
        let refused = |reason: &str| BlitError::Target(reason.to_owned());
        let dmabuf = peer.globals.dmabuf.as_ref();
        let dmabuf = dmabuf.ok_or_else(|| refused("the compositor takes no dma-bufs"))?;
        let mut modifiers: Vec<Modifier> = peer.offer.modifiers(Format::XRGB8888).collect();
        if self.linear_only {
            modifiers.retain(|modifier| *modifier == Modifier::LINEAR);
        }
        let Memory { layout, fds } = self.blitter.target(slot, size, &modifiers)?;
        let planes = usize::from(layout.plane_count);
        // Otherwise the compositor would end the connection.
        if !modifiers.contains(&layout.modifier) || layout.size != size || fds.len() != planes {
            return Err(refused("its driver made something else than was asked for"));
        }
        let params = ask(dmabuf, peer.qh, &layout, layout.modifier, |plane| fds[plane].as_fd());
        Ok(Canvas { layout, buffer: Answer::Asked(params) })
    }

    /// Begins a copy into the canvas of slot `target`, which has the picture's size.
    pub(super) fn begin(
        &mut self,
        target: u8,
        buffer: &Buffer,
        view: &View,
        damage: &Damage,
    ) -> Result<(), BlitError> {
        let fence = match self.blitter.blit(target, buffer.storage.id, view, damage)? {
            Blit::Done => None,
            Blit::When(fence) => {
                let (data, read) = (epoll::EventData::new_u64(0), epoll::EventFlags::IN);
                epoll::add(&self.fences, &fence, data, read)
                    .map_err(|error| BlitError::Draw(error.to_string()))?;
                Some(fence)
            }
        };
        let pixels: u64 = visible_damage(view, damage)
            .map(|rect| u64::from(rect.width) * u64::from(rect.height))
            .sum();
        let bytes = pixels * OUT_PIXEL as u64;
        self.begun = Some(Begun { target, buffer: buffer.clone(), bytes, fence });
        Ok(())
    }

    /// The slot of the copy that was begun and whose drawing is done.
    pub(super) fn drawn(&mut self) -> Option<u8> {
        let begun = self.begun.as_mut()?;
        if begun.fence.as_ref().is_some_and(|fence| !is_signalled(fence)) {
            return None;
        }
        if let Some(fence) = begun.fence.take() {
            // Closing it would not end the wait for it: the driver may keep the same file.
            let _ = epoll::delete(&self.fences, &fence);
        }
        Some(begun.target)
    }

    /// Ends the copy that was begun, as far as the compositor has said what it thinks of `canvas`.
    pub(super) fn end(&mut self, canvas: &Canvas) -> Option<Outcome> {
        match canvas.buffer {
            Answer::Asked(_) => None,
            Answer::Made(_) => self.begun.take().map(Outcome::Copied),
            Answer::Refused => self.begun.take().map(Outcome::Refused),
        }
    }

    /// Whether it is worth trying linear memory, now that the compositor refused `canvas`.
    pub(super) fn try_linear(&mut self, canvas: &Canvas) -> bool {
        let first = !std::mem::replace(&mut self.linear_only, true);
        first && canvas.layout.modifier != Modifier::LINEAR
    }

    pub(super) fn drop_target(&mut self, slot: u8) {
        self.blitter.drop_target(slot);
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.blitter.forget(storage);
    }
}

/// Whether a fence has been signalled; one that can't be asked is not waited for.
fn is_signalled(fence: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let polled = poll(&mut [PollFd::new(fence, PollFlags::IN)], Some(&now));
    !matches!(polled, Ok(0) | Err(Errno::INTR))
}
