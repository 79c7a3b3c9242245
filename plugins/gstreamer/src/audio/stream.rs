//! The streaming thread: what is sent next, and when.

use fanlight::sound::Format;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst::{ClockTime, FlowError};
use gst_base::prelude::*;

use super::caps;
use super::imp::{FanlightAudioSrc, Running};
use super::mailbox::{Chunk, Taken};
use super::timeline::{Place, Timeline};
use crate::end::{End, Kind};
use crate::log::CAT;
use crate::pad;

/// What was sent, and what is about to be.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// None before the first buffer.
    line: Option<Timeline>,
    held: Option<Chunk>,
    /// Something is missing before the next buffer.
    discont: bool,
}

/// Why no buffer comes.
pub(super) enum Fault {
    Flow(FlowError),
    End(End),
}

const NO_CLOCK: &str =
    "there is no clock to say when samples are heard: use a pipeline that has one";

impl FanlightAudioSrc {
    /// The next buffer, when it is time for it.
    pub(super) fn next(
        &self,
        running: &Running,
        stream: &mut Stream,
    ) -> Result<gst::Buffer, Fault> {
        let mailbox = &running.mailbox;
        loop {
            let plays = match (&stream.held, mailbox.is_flushing()) {
                (_, true) => {
                    stream.held = None;
                    return Err(Fault::Flow(FlowError::Flushing));
                }
                (Some(_), false) => true,
                (None, false) => match mailbox.take(|| pad::flushes(self.obj().src_pad())) {
                    Taken::Chunk(chunk) => {
                        stream.held = Some(chunk);
                        true
                    }
                    Taken::Nothing { plays } => plays,
                    Taken::Flushing => return Err(Fault::Flow(FlowError::Flushing)),
                    Taken::End(end) => return Err(Fault::End(end)),
                },
            };
            let element = self.obj();
            let (Some(clock), Some(now)) = (element.clock(), element.current_running_time()) else {
                let what = NO_CLOCK.to_owned();
                return Err(Fault::End(End::Failed(Kind::Clock, what, String::new())));
            };
            let line = self.line(running, stream, now)?;
            let Some(chunk) = &stream.held else {
                let due = line.due(running.latency(), plays);
                if now >= due {
                    let bytes = line.silence();
                    return Ok(silence(running, stream, line, bytes));
                }
                let base = element.base_time().unwrap_or_default();
                mailbox.wait(&clock, base + due);
                continue;
            };
            match line.place(chunk.came, chunk.samples.len(), running.tolerance) {
                Place::After(bytes) => return Ok(silence(running, stream, line, bytes)),
                Place::Here => return Ok(samples(running, stream, line)),
                Place::Late => {
                    let frames = chunk.samples.len() / chunk.format.frame();
                    gst::debug!(CAT, imp = self, "{frames} frames came too late or all at once");
                    mailbox.count(|counts| counts.dropped += frames as u64);
                    (stream.held, stream.discont) = (None, true);
                }
            }
        }
    }

    /// Where the stream is; in the format of what comes next, which is the pipeline's from now on.
    fn line(
        &self,
        running: &Running,
        stream: &mut Stream,
        now: ClockTime,
    ) -> Result<Timeline, Fault> {
        let wanted = stream.held.as_ref().map(|chunk| chunk.format);
        let known = stream.line.as_ref().map(Timeline::format);
        let format = match wanted.or(known).or(running.mailbox.format()) {
            Some(format) => format,
            None => self.default_format()?,
        };
        if known != Some(format) {
            self.agree(running, &format)?;
        }
        let line = match stream.line {
            Some(line) if line.is_ahead(now) => {
                stream.discont = true;
                Timeline::new(format, now)
            }
            Some(mut line) => {
                if known != Some(format) {
                    line.change(format);
                }
                line
            }
            None => {
                stream.discont = true;
                Timeline::new(format, now)
            }
        };
        stream.line = Some(line);
        Ok(line)
    }

    fn default_format(&self) -> Result<Format, Fault> {
        let pad = self.obj().src_pad().clone();
        let template = pad.pad_template_caps();
        let downstream = pad.peer_query_caps(Some(&template));
        caps::silence(&downstream).ok_or_else(|| self.unsuited(&template, &downstream))
    }

    fn agree(&self, running: &Running, format: &Format) -> Result<(), Fault> {
        let caps = caps::of(format);
        gst::info!(CAT, imp = self, "caps are now {caps}");
        // An event that is refused is tried again with the next buffer: only this asks.
        let downstream = self.obj().src_pad().peer_query_caps(None);
        if downstream.can_intersect(&caps) && self.obj().set_caps(&caps).is_ok() {
            return Ok(());
        }
        if running.mailbox.is_flushing() {
            return Err(Fault::Flow(FlowError::Flushing));
        }
        Err(self.unsuited(&caps, &downstream))
    }

    fn unsuited(&self, ours: &gst::Caps, theirs: &gst::Caps) -> Fault {
        let what = format!(
            "the guest plays {ours}, and downstream takes {theirs}: put audioconvert ! audioresample behind {}",
            self.obj().name()
        );
        Fault::End(End::Failed(Kind::Format, what, String::new()))
    }
}

/// So many bytes of silence.
fn silence(
    running: &Running,
    stream: &mut Stream,
    mut line: Timeline,
    bytes: usize,
) -> gst::Buffer {
    let format = line.format();
    let times = line.send(bytes, true);
    stream.line = Some(line);
    running.mailbox.count(|counts| counts.silent += (bytes / format.frame()) as u64);
    let mut buffer = buffer(stream, format.silence(bytes), times);
    buffer.get_mut().expect("nobody else has it").set_flags(gst::BufferFlags::GAP);
    buffer
}

/// What the guest plays, which is held.
fn samples(running: &Running, stream: &mut Stream, mut line: Timeline) -> gst::Buffer {
    let samples = stream.held.take().map(|chunk| chunk.samples).unwrap_or_default();
    let times = line.send(samples.len(), false);
    stream.line = Some(line);
    let frames = samples.len() / line.format().frame();
    running.mailbox.count(|counts| counts.played += frames as u64);
    buffer(stream, samples, times)
}

fn buffer(
    stream: &mut Stream,
    bytes: Vec<u8>,
    (from, length): (ClockTime, ClockTime),
) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    {
        let buffer = buffer.get_mut().expect("nobody else has it");
        buffer.set_pts(from);
        buffer.set_duration(length);
        if std::mem::take(&mut stream.discont) {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        }
    }
    buffer
}
