//! What a compositor offers, without a window.

use std::collections::BTreeMap;
use std::time::Duration;

use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::{Connection, Dispatch, QueueHandle};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_feedback_v1::{
    self, ZwpLinuxDmabufFeedbackV1,
};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::{
    self, ZwpLinuxDmabufV1,
};

use super::super::dmabuf::Offer;
use super::{WaylandError, connect, in_time};
use crate::frame::{Format, Modifier};

/// The globals of a compositor and what it takes as dma-bufs.
#[derive(Debug)]
pub struct Survey {
    globals: BTreeMap<String, u32>,
    offer: Offer,
}

impl Survey {
    /// Asks the compositor that the environment names. Blocks until it has answered, `limit` at most.
    ///
    /// # Errors
    /// If there is none, or none that answers.
    pub fn take(limit: Duration) -> Result<Self, WaylandError> {
        let connection = connect()?;
        in_time(&connection, limit, || {
            let (globals, mut queue) = registry_queue_init::<Surveyor>(&connection)?;
            let qh = queue.handle();
            let mut surveyor = Surveyor::default();
            let dmabuf = globals.bind::<ZwpLinuxDmabufV1, _, _>(&qh, 3..=6, ());
            if let Ok(dmabuf) = dmabuf {
                Offer::subscribe_default(&dmabuf, &qh, ());
                queue.roundtrip(&mut surveyor)?;
            }
            let globals = globals.contents().with_list(|list| {
                list.iter().map(|global| (global.interface.clone(), global.version)).collect()
            });
            Ok(Self { globals, offer: surveyor.0 })
        })
    }

    /// The version of an interface that it offers.
    pub fn version(&self, interface: &str) -> Option<u32> {
        self.globals.get(interface).copied()
    }

    /// Whether memory of a guest that is laid out so can be shown as it is.
    pub fn takes(&self, format: Format, modifier: Modifier) -> bool {
        self.offer.choose(format, modifier, true).is_ok()
    }
}

#[derive(Default)]
struct Surveyor(Offer);

impl Dispatch<WlRegistry, GlobalListContents> for Surveyor {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<ZwpLinuxDmabufV1, ()> for Surveyor {
    fn event(
        surveyor: &mut Self,
        _: &ZwpLinuxDmabufV1,
        event: zwp_linux_dmabuf_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        surveyor.0.announce(&event);
    }
}

impl Dispatch<ZwpLinuxDmabufFeedbackV1, ()> for Surveyor {
    fn event(
        surveyor: &mut Self,
        _: &ZwpLinuxDmabufFeedbackV1,
        event: zwp_linux_dmabuf_feedback_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        surveyor.0.hear(0, event);
    }
}
