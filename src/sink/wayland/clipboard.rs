//! The host's clipboard: what is copied there is offered to the guest, what is copied in the guest is
//! offered there. Text moves only when somebody pastes it, through a pipe that goes from one to the other.
//!
//! The compositor tells only the window with the keyboard what is copied, and lets only it copy something.
//! So what a guest copies meanwhile waits until its window has the keyboard again. Some take it only by
//! something that the user did after whatever was copied last; it waits for that, too.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::backend::ObjectData;
use wayland_client::globals::GlobalList;
use wayland_client::protocol::{
    wl_callback::{self, WlCallback},
    wl_data_device::{self, WlDataDevice},
    wl_data_device_manager::WlDataDeviceManager,
    wl_data_offer::{self, WlDataOffer},
    wl_data_source::{self, WlDataSource},
    wl_seat::WlSeat,
};
use wayland_client::{Connection, Proxy, QueueHandle};

use super::globals::Quiet;
use super::{State, WindowOptions};
use crate::frame::Clipboard as Happened;
use crate::port::SinkEvent;

/// What programs call a text in UTF-8, the clearest first.
const TEXTS: [&str; 3] = ["text/plain;charset=utf-8", "UTF8_STRING", "text/plain"];

/// Nothing in an offer that is a text.
const NO_TEXT: u8 = TEXTS.len() as u8;
/// The offer is what we have copied ourselves.
const OURS: u8 = u8::MAX;

/// What the compositor has to say before the guest's is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// That the window has the keyboard.
    Keyboard,
    /// That the user does something there: something else was copied after what he did last.
    User,
}

/// The compositor's, as far as it is used.
#[derive(Debug, Default)]
pub(super) struct Clipboard {
    device: Option<(WlDataDeviceManager, WlDataDevice)>,
    /// What is copied in the host, if it is a text that isn't ours; and what it is called there.
    offer: Option<(WlDataOffer, &'static str)>,
    /// What is copied in the guest, as the compositor knows it.
    source: Option<WlDataSource>,
    /// What is copied in the host is that, the compositor says.
    is_ours: bool,
    /// The guest has copied something that the compositor isn't told of yet, or has not taken: why.
    waits: Option<Waits>,
    /// It was told for the second time, which is the last.
    again: bool,
    /// How often the compositor was told so, without having answered since. What it says of others
    /// meanwhile is from before.
    untaken: u32,
    /// By what the user had done then.
    told_by: u32,
    /// What the user did last, while the window has the keyboard.
    serial: Option<u32>,
    /// A name that nobody else gives to what he copies, by which we know ours.
    name: String,
}

impl Clipboard {
    fn new(manager: WlDataDeviceManager, seat: &WlSeat, qh: &QueueHandle<State>) -> Self {
        let device = manager.get_data_device(seat, qh, Copied);
        let number = RandomState::new().build_hasher().finish();
        let name = format!("application/x-fanlight-{number:016x}");
        Self { device: Some((manager, device)), name, ..Self::default() }
    }

    /// Lets the compositor know what the guest has copied, where it takes that from us now.
    fn copy(&mut self, qh: &QueueHandle<State>) {
        let (Some((manager, device)), Some(serial)) = (&self.device, self.serial) else { return };
        let Some(backend) = device.backend().upgrade() else { return };
        let display = Connection::from_backend(backend).display();
        self.again = self.waits.take() == Some(Waits::User);
        let source = manager.create_data_source(qh, Copied);
        for name in TEXTS {
            source.offer(name.to_owned());
        }
        source.offer(self.name.clone());
        device.set_selection(Some(&source), serial);
        display.sync(qh, Copied);
        self.untaken += 1;
        self.told_by = serial;
        // Only now, when it is no more what is copied.
        if let Some(before) = self.source.replace(source) {
            before.destroy();
        }
    }

    fn drop_offer(&mut self) {
        if let Some((offer, _)) = self.offer.take() {
            offer.destroy();
        }
    }
}

impl State {
    /// Takes part in the clipboard, where that is wanted and there is one.
    pub(super) fn bind_clipboard(
        &mut self,
        globals: &GlobalList,
        qh: &QueueHandle<Self>,
        options: &WindowOptions,
    ) {
        let wanted = options.clipboard && !options.view_only;
        let Some(seat) = self.seat.grab.seat.as_ref().filter(|_| wanted) else { return };
        match globals.bind(qh, 1..=3, Quiet) {
            Ok(manager) => {
                self.clipboard = Clipboard::new(manager, seat, qh);
                // What there is the compositor says only when the window gets the keyboard.
                self.events.push_back(SinkEvent::Clipboard(Happened::Withdrawn));
            }
            Err(error) => tracing::info!(%error, "the compositor has no clipboard"),
        }
    }

    /// What happened at the guest's clipboard.
    pub(super) fn guest_copied(&mut self, happened: Happened, qh: &QueueHandle<Self>) {
        let clipboard = &mut self.clipboard;
        match happened {
            Happened::Offered => {
                clipboard.waits = clipboard.device.is_some().then_some(Waits::Keyboard);
                clipboard.copy(qh);
            }
            Happened::Withdrawn => {
                clipboard.waits = None;
                if let Some(source) = clipboard.source.take() {
                    source.destroy();
                }
            }
            Happened::Wanted(pipe) => {
                // Else it is closed, which says that there is nothing.
                if let Some((offer, name)) = &clipboard.offer {
                    offer.receive((*name).to_owned(), pipe.as_fd());
                }
            }
        }
    }

    /// The window has the keyboard, and the user did something there that has this number.
    pub(super) fn may_copy(&mut self, serial: u32, qh: &QueueHandle<Self>) {
        self.clipboard.serial = Some(serial);
        if self.clipboard.waits.is_some() {
            self.clipboard.copy(qh);
        }
    }

    /// The user did something with another device than the keyboard.
    pub(super) fn may_still_copy(&mut self, serial: u32, qh: &QueueHandle<Self>) {
        if self.clipboard.serial.is_some() {
            self.may_copy(serial, qh);
        }
    }

    /// The window has lost the keyboard.
    pub(super) fn may_not_copy(&mut self) {
        self.clipboard.serial = None;
    }

    /// Something else is copied in the host now.
    fn host_copied(&mut self, offer: Option<WlDataOffer>) {
        let clipboard = &mut self.clipboard;
        clipboard.drop_offer();
        let rank = offer.as_ref().and_then(|offer| offer.data::<Offered>()).map(Offered::rank);
        let text = rank.and_then(|rank| TEXTS.get(usize::from(rank)));
        clipboard.is_ours = rank == Some(OURS);
        // Without the keyboard it may be what was there before.
        if clipboard.waits == Some(Waits::User) && clipboard.serial.is_some() {
            clipboard.waits = None;
        }
        match (offer, text) {
            (Some(offer), Some(text)) => clipboard.offer = Some((offer, text)),
            (Some(offer), None) => offer.destroy(),
            (None, _) => {}
        }
        self.tell_host_copied();
    }

    /// Unless the guest's is about to take its place.
    fn tell_host_copied(&mut self) {
        let clipboard = &self.clipboard;
        if clipboard.waits.is_none() && clipboard.untaken == 0 {
            let text = clipboard.offer.is_some();
            let happened = if text { Happened::Offered } else { Happened::Withdrawn };
            self.events.push_back(SinkEvent::Clipboard(happened));
        }
    }
}

/// For what is copied by us, and for what tells of copies.
#[derive(Debug)]
struct Copied;

impl Dispatch2<WlDataDevice, State> for Copied {
    fn event(
        &self,
        state: &mut State,
        _: &WlDataDevice,
        event: wl_data_device::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        match event {
            wl_data_device::Event::Selection { id } => state.host_copied(id),
            // Nothing can be dropped here.
            wl_data_device::Event::Enter { id: Some(offer), .. } => offer.destroy(),
            _ => {}
        }
    }

    fn event_created_child(opcode: u16, qh: &QueueHandle<State>) -> Arc<dyn ObjectData> {
        // The only event that makes something.
        assert_eq!(opcode, wl_data_device::EVT_DATA_OFFER_OPCODE);
        qh.make_data::<WlDataOffer, _>(Offered(AtomicU8::new(NO_TEXT)))
    }
}

impl Dispatch2<WlCallback, State> for Copied {
    fn event(
        &self,
        state: &mut State,
        _: &WlCallback,
        _: wl_callback::Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        let clipboard = &mut state.clipboard;
        clipboard.untaken -= 1;
        let taken = clipboard.is_ours || clipboard.source.is_none();
        if clipboard.untaken == 0 && clipboard.waits.is_none() && !taken && !clipboard.again {
            clipboard.waits = Some(Waits::User);
            if clipboard.serial.is_some_and(|serial| serial != clipboard.told_by) {
                clipboard.copy(qh);
            }
        }
        state.tell_host_copied();
    }
}

impl Dispatch2<WlDataSource, State> for Copied {
    fn event(
        &self,
        state: &mut State,
        source: &WlDataSource,
        event: wl_data_source::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        match event {
            wl_data_source::Event::Send { mime_type, fd } if TEXTS.contains(&&*mime_type) => {
                state.events.push_back(SinkEvent::Clipboard(Happened::Wanted(fd)));
            }
            wl_data_source::Event::Cancelled => {
                if let Some(source) = state.clipboard.source.take_if(|ours| ours == source) {
                    source.destroy();
                    // Something else was copied since.
                    state.clipboard.waits.take_if(|waits| *waits == Waits::User);
                }
            }
            _ => {}
        }
    }
}

/// For an offer: which of [`TEXTS`] it has, or what else it is.
#[derive(Debug)]
struct Offered(AtomicU8);

impl Offered {
    fn rank(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Dispatch2<WlDataOffer, State> for Offered {
    fn event(
        &self,
        state: &mut State,
        _: &WlDataOffer,
        event: wl_data_offer::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        let wl_data_offer::Event::Offer { mime_type } = event else { return };
        if mime_type == state.clipboard.name {
            self.0.store(OURS, Ordering::Relaxed);
        } else if let Some(rank) = TEXTS.iter().position(|text| *text == mime_type)
            && self.rank() != OURS
        {
            self.0.fetch_min(rank as u8, Ordering::Relaxed);
        }
    }
}
