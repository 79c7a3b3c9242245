//! Which formats and modifiers the compositor takes as dma-bufs: linux-dmabuf from version 3 on.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use rustix::io::{Errno, pread};
use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_feedback_v1::{
    self, TrancheFlags, ZwpLinuxDmabufFeedbackV1,
};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::{
    self, ZwpLinuxDmabufV1,
};

use super::State;
use crate::frame::{Format, Modifier};
use crate::port::SinkEvent;

/// Bytes of an entry of a format table: the format, four bytes of nothing, the modifier.
const ENTRY: usize = 16;
/// Indices have 16 bits, so no more entries can be named.
const ENTRIES_MAX: usize = 1 << 16;
/// From this version on offers come as feedback.
const FEEDBACK: u32 = 4;

/// The pairs of format and modifier that are offered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs {
    by_format: BTreeMap<u32, Vec<Modifier>>,
    count: usize,
}

impl Pairs {
    fn add(&mut self, format: Format, modifier: Modifier) {
        let modifiers = self.by_format.entry(format.0).or_default();
        if self.count < ENTRIES_MAX && !modifiers.contains(&modifier) {
            modifiers.push(modifier);
            self.count += 1;
        }
    }

    fn of(&self, format: Format) -> &[Modifier] {
        self.by_format.get(&format.0).map_or(&[], Vec::as_slice)
    }
}

/// Everything that is offered now.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// Version 3 says it once, with an event a pair.
    announced: Pairs,
    /// Later ones say it by feedback, again and again: in general, and for our surface.
    feedback: [Feedback; 2],
}

impl Offer {
    /// Asks for what is offered, where it doesn't come by itself.
    pub(super) fn subscribe(
        dmabuf: &ZwpLinuxDmabufV1,
        surface: &WlSurface,
        qh: &QueueHandle<State>,
    ) {
        if dmabuf.version() >= FEEDBACK {
            dmabuf.get_default_feedback(qh, FeedbackOf(0));
            dmabuf.get_surface_feedback(surface, qh, FeedbackOf(1));
        }
    }

    /// The same without a surface, for who says what `user` is.
    pub(super) fn subscribe_default<S, U>(dmabuf: &ZwpLinuxDmabufV1, qh: &QueueHandle<S>, user: U)
    where
        S: Dispatch<ZwpLinuxDmabufFeedbackV1, U> + 'static,
        U: Send + Sync + 'static,
    {
        if dmabuf.version() >= FEEDBACK {
            dmabuf.get_default_feedback(qh, user);
        }
    }

    /// Takes in what version 3 says.
    pub(super) fn announce(&mut self, event: &zwp_linux_dmabuf_v1::Event) {
        if let zwp_linux_dmabuf_v1::Event::Modifier { format, modifier_hi, modifier_lo } = event {
            let modifier = Modifier(u64::from(*modifier_hi) << 32 | u64::from(*modifier_lo));
            self.announced.add(Format(*format), modifier);
        }
    }

    /// Takes in what feedback says, of nothing (0) or our surface (1); whether that changes the offer.
    pub(super) fn hear(&mut self, of: usize, event: zwp_linux_dmabuf_feedback_v1::Event) -> bool {
        self.feedback[of].handle(event)
    }

    /// The DRM node that the compositor works with, as a `dev_t`, where it says one.
    pub(super) fn device(&self) -> Option<u64> {
        self.feedback.iter().find_map(|feedback| feedback.device)
    }

    /// The modifiers that `format` is taken with; one may come twice.
    pub(super) fn modifiers(&self, format: Format) -> impl Iterator<Item = Modifier> {
        let all = [&self.announced, &self.feedback[0].pairs, &self.feedback[1].pairs];
        all.into_iter().flat_map(move |pairs| pairs.of(format)).copied()
    }

    /// The modifier to pass for memory laid out as `modifier`, or why there is none that is true of
    /// the memory and known to the compositor. `linear` says that an implicit modifier means rows
    /// one after the other.
    pub(super) fn choose(
        &self,
        format: Format,
        modifier: Modifier,
        linear: bool,
    ) -> Result<Modifier, String> {
        let modifier =
            if modifier == Modifier::INVALID && linear { Modifier::LINEAR } else { modifier };
        let mut any = false;
        let mut only_implicit = true;
        for offered in self.modifiers(format) {
            if offered == modifier {
                return Ok(modifier);
            }
            any = true;
            only_implicit &= offered == Modifier::INVALID;
        }
        match (any, only_implicit) {
            (false, _) => Err(format!("the compositor takes no dma-bufs of format {format}")),
            // A driver without modifiers takes memory without metadata of its own as linear.
            (true, true) if modifier == Modifier::LINEAR => Ok(Modifier::INVALID),
            _ => Err(format!(
                "the compositor takes no dma-bufs of format {format} with modifier {modifier}"
            )),
        }
    }
}

/// One feedback object: what it said last, and what it is saying.
#[derive(Debug, Default)]
pub(super) struct Feedback {
    /// Sent once by some compositors, then only referred to: the last one stays.
    table: Vec<(Format, Modifier)>,
    /// Named since the last `done`; a set, so that a compositor can't make it grow.
    named: BTreeSet<u16>,
    pairs: Pairs,
    device: Option<u64>,
    saying: Saying,
}

/// What of the devices was said since the last `done`.
///
/// Guest memory is of no device, and its modifier isn't ours to choose. So the order of the tranches
/// and their scanout flag change nothing; nor is `set_sampling_device` sent, which leaves the
/// compositor free to try all of its devices. Another device may take what the one before refused;
/// timelines are of no device, so that those that exist stay.
#[derive(Debug, Default)]
struct Saying {
    main: Option<u64>,
    /// Version 6 has no main device; the first tranche to sample from stands for it.
    sampling: Option<u64>,
    target: Option<u64>,
    samples: bool,
}

impl Saying {
    fn tranche_done(&mut self) {
        let target = self.target.take();
        if std::mem::take(&mut self.samples) {
            self.sampling = self.sampling.or(target);
        }
    }
}

/// A `dev_t` as it comes.
fn device(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_ne_bytes)
}

impl Feedback {
    /// Takes in an event; says whether something else is offered now.
    fn handle(&mut self, event: zwp_linux_dmabuf_feedback_v1::Event) -> bool {
        use zwp_linux_dmabuf_feedback_v1::Event;
        match event {
            Event::FormatTable { fd, size } => {
                // Indices mean the newest table: where it can't be read they mean nothing.
                self.table = read_table(&fd, size).unwrap_or_else(|problem| {
                    tracing::warn!(size, "the compositor's table of formats is {problem}");
                    Vec::new()
                });
            }
            Event::TrancheFormats { indices } => self.indices(&indices),
            Event::MainDevice { device: bytes } => self.saying.main = device(&bytes),
            Event::TrancheTargetDevice { device: bytes } => self.saying.target = device(&bytes),
            Event::TrancheFlags { flags } => {
                // Unknown bits make it no value that can be matched as a whole.
                self.saying.samples = u32::from(flags) & TrancheFlags::Sampling.bits() != 0;
            }
            Event::TrancheDone => self.saying.tranche_done(),
            Event::Done => return self.done(),
            _ => {}
        }
        false
    }

    fn indices(&mut self, bytes: &[u8]) {
        self.named.extend(bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_ne_bytes(pair)));
    }

    /// What was named becomes what is offered; says whether that is something else than before, or
    /// the offer of another device.
    fn done(&mut self) -> bool {
        let Saying { main, sampling, .. } = std::mem::take(&mut self.saying);
        let device = std::mem::replace(&mut self.device, main.or(sampling));
        let before = std::mem::take(&mut self.pairs);
        for index in std::mem::take(&mut self.named) {
            match self.table.get(usize::from(index)) {
                Some(&(format, modifier)) => self.pairs.add(format, modifier),
                None => tracing::warn!(index, "the compositor named a format past its table"),
            }
        }
        before != self.pairs || device != self.device
    }
}

/// Reads a format table. It is read, not mapped, so that it can't be cut off under us.
fn read_table(fd: &OwnedFd, size: u32) -> Result<Vec<(Format, Modifier)>, &'static str> {
    let size = usize::try_from(size).map_err(|_| "too large")?;
    if !size.is_multiple_of(ENTRY) {
        return Err("not a whole number of entries");
    }
    if size / ENTRY > ENTRIES_MAX {
        return Err("too large");
    }
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match pread(fd, &mut bytes[filled..], filled as u64) {
            Ok(0) => return Err("shorter than announced"),
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(_) => return Err("not readable"),
        }
    }
    let entry = |entry: &[u8; ENTRY]| {
        let [a, b, c, d, _, _, _, _, modifier @ ..] = *entry;
        (Format(u32::from_ne_bytes([a, b, c, d])), Modifier(u64::from_ne_bytes(modifier)))
    };
    Ok(bytes.as_chunks().0.iter().map(entry).collect())
}

/// For the linux-dmabuf global.
#[derive(Debug)]
pub(super) struct Offered;

impl Dispatch2<ZwpLinuxDmabufV1, State> for Offered {
    fn event(
        &self,
        state: &mut State,
        _: &ZwpLinuxDmabufV1,
        event: zwp_linux_dmabuf_v1::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        state.offer.announce(&event);
    }
}

/// For a feedback object: which one it is.
#[derive(Debug)]
pub(super) struct FeedbackOf(usize);

impl Dispatch2<ZwpLinuxDmabufFeedbackV1, State> for FeedbackOf {
    fn event(
        &self,
        state: &mut State,
        _: &ZwpLinuxDmabufFeedbackV1,
        event: zwp_linux_dmabuf_feedback_v1::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        // What is offered before there is a window was never otherwise.
        let changed = state.offer.hear(self.0, event) && state.opened;
        state.events.extend(changed.then_some(SinkEvent::OffersChanged));
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/feedback.rs"]
mod feedback;

#[cfg(test)]
mod tests {
    use super::*;

    const TILED: Modifier = Modifier(0x0100_0000_0000_0001);

    fn offer(pairs: &[(Format, Modifier)]) -> Offer {
        let mut offer = Offer::default();
        for &(format, modifier) in pairs {
            offer.announced.add(format, modifier);
        }
        offer
    }

    #[test]
    fn what_is_offered_is_passed_as_it_is() {
        let offer = offer(&[(Format::XRGB8888, TILED), (Format::XRGB8888, Modifier::LINEAR)]);
        assert_eq!(offer.choose(Format::XRGB8888, TILED, false), Ok(TILED));
        assert_eq!(offer.choose(Format::XRGB8888, Modifier::LINEAR, true), Ok(Modifier::LINEAR));
    }

    #[test]
    fn an_implicit_modifier_is_resolved_where_the_memory_is_known_to_be_linear() {
        let both =
            offer(&[(Format::XRGB8888, Modifier::INVALID), (Format::XRGB8888, Modifier::LINEAR)]);
        let choose = |linear| both.choose(Format::XRGB8888, Modifier::INVALID, linear);
        assert_eq!(choose(true), Ok(Modifier::LINEAR));
        assert_eq!(choose(false), Ok(Modifier::INVALID));
    }

    #[test]
    fn only_implicit_means_linear_for_linear_memory_and_nothing_else() {
        let implicit = offer(&[(Format::XRGB8888, Modifier::INVALID)]);
        let choose = |modifier| implicit.choose(Format::XRGB8888, modifier, true);
        assert_eq!(choose(Modifier::LINEAR), Ok(Modifier::INVALID));
        assert!(choose(TILED).is_err());
        let tiled = offer(&[(Format::XRGB8888, Modifier::INVALID), (Format::XRGB8888, TILED)]);
        assert!(tiled.choose(Format::XRGB8888, Modifier::LINEAR, true).is_err());
    }

    #[test]
    fn the_device_is_the_main_one_or_else_the_first_to_sample_from() {
        let mut feedback = Feedback::default();
        for (target, samples) in [(1, false), (2, true), (3, true)] {
            feedback.saying.target = Some(target);
            feedback.saying.samples = samples;
            feedback.saying.tranche_done();
        }
        assert!(feedback.done(), "there was none before");
        assert_eq!(feedback.device, Some(2));
        for changed in [true, false] {
            feedback.saying.main = Some(9);
            assert_eq!(feedback.done(), changed);
            assert_eq!(feedback.device, Some(9));
        }
    }

    #[test]
    fn a_refusal_names_format_and_modifier() {
        let offer = offer(&[(Format::XRGB8888, Modifier::LINEAR)]);
        let refusal = offer.choose(Format::RGB565, Modifier::LINEAR, true).unwrap_err();
        assert!(refusal.contains("RG16"), "{refusal}");
        let refusal = offer.choose(Format::XRGB8888, TILED, false).unwrap_err();
        assert!(refusal.contains("XR24") && refusal.contains(&TILED.to_string()), "{refusal}");
    }
}
