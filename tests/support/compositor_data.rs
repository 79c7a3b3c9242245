//! The clipboard of the compositor: what its other programs copy and paste is what the test says.

use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use wayland_server::protocol::{
    wl_data_device::{self, WlDataDevice},
    wl_data_device_manager::{self, WlDataDeviceManager},
    wl_data_offer::{self, WlDataOffer},
    wl_data_source::{self, WlDataSource},
};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource};

use super::Server;

/// What the client has of it.
#[derive(Debug, Default)]
pub struct Data {
    pub device: Option<WlDataDevice>,
    /// What the client copies, with its names.
    sources: Vec<(WlDataSource, Vec<String>)>,
    /// That of it which is copied now, and by which serial number.
    pub copied: Option<(WlDataSource, u32)>,
    /// By older serial numbers than this nothing is copied: the user did something elsewhere since.
    pub oldest: u32,
    /// How often that was so.
    pub refused: usize,
    /// What the client pastes: under which name, and where to.
    pub pastes: Vec<(String, OwnedFd)>,
    /// Offers that it has.
    pub offers: usize,
}

#[allow(dead_code, reason = "each test crate uses its own part")]
impl Server {
    /// A program of the host's copies something that has these names.
    pub fn host_copies(&mut self, names: &[&str]) {
        if let Some((ours, _)) = self.data.copied.take() {
            ours.cancelled();
        }
        self.offer(names);
    }

    /// Nothing is copied any more.
    pub fn host_clears(&mut self) {
        self.data.copied = None;
        self.data.device.as_ref().unwrap().selection(None);
    }

    /// The client is told what is copied.
    pub fn offer(&mut self, names: &[&str]) {
        let offer = self.announce();
        names.iter().for_each(|name| offer.offer((*name).to_owned()));
        self.select(&offer);
    }

    /// The client is told that something will be offered, whose names come next.
    pub fn announce(&mut self) -> WlDataOffer {
        let device = self.data.device.as_ref().expect("a data device");
        let offer = self.client.create_resource::<WlDataOffer, (), Self>(
            &self.display,
            device.version(),
            (),
        );
        let offer = offer.unwrap();
        device.data_offer(&offer);
        self.data.offers += 1;
        offer
    }

    /// And that it is copied.
    pub fn select(&self, offer: &WlDataOffer) {
        self.data.device.as_ref().unwrap().selection(Some(offer));
    }

    /// A program of the host's pastes what the client has copied, under that name.
    pub fn host_pastes(&self, name: &str) -> OwnedFd {
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (source, _) = self.data.copied.as_ref().expect("something of the client's is copied");
        source.send(name.to_owned(), theirs.as_fd());
        pipe
    }
}

dispatch!(WlDataDeviceManager, (), |state, _r, request, _d, init| match request {
    wl_data_device_manager::Request::CreateDataSource { id } => {
        let source = init.init(id, ());
        state.data.sources.push((source, Vec::new()));
    }
    wl_data_device_manager::Request::GetDataDevice { id, .. } => {
        assert!(state.data.device.is_none(), "a second data device");
        state.data.device = Some(init.init(id, ()));
    }
    other => panic!("wl_data_device_manager: {other:?}"),
});

dispatch!(WlDataDevice, (), |state, _r, request, _d, _i| match request {
    // As wlroots does: without a word.
    wl_data_device::Request::SetSelection { serial, .. } if serial < state.data.oldest => {
        state.data.refused += 1;
    }
    wl_data_device::Request::SetSelection { source: Some(source), serial } => {
        let names = state.data.sources.iter().find(|(known, _)| *known == source);
        let names = names.expect("a source that is there").1.clone();
        // Who copies is told of it as all others are.
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some((before, _)) = state.data.copied.replace((source, serial)) {
            before.cancelled();
        }
        state.offer(&names);
    }
    other => panic!("wl_data_device: {other:?}"),
});

dispatch!(WlDataSource, (), |state, source, request, _d, _i| match request {
    wl_data_source::Request::Offer { mime_type } => {
        let known = state.data.sources.iter_mut().find(|(known, _)| known == source);
        known.unwrap().1.push(mime_type);
    }
    wl_data_source::Request::Destroy => {
        state.data.sources.retain(|(known, _)| known != source);
        if state.data.copied.take_if(|(copied, _)| copied == source).is_some() {
            state.data.device.as_ref().unwrap().selection(None);
        }
    }
    other => panic!("wl_data_source: {other:?}"),
});

dispatch!(WlDataOffer, (), |state, _r, request, _d, _i| match request {
    wl_data_offer::Request::Receive { mime_type, fd } => state.data.pastes.push((mime_type, fd)),
    wl_data_offer::Request::Destroy => state.data.offers -= 1,
    other => panic!("wl_data_offer: {other:?}"),
});
