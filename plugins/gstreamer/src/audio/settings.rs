//! The properties of `fanlightaudiosrc`.

use gst::ClockTime;
use gst::glib::{self, ParamSpec};
use gst::prelude::*;

use super::mailbox::WAITING_MAX;
use crate::settings::OnDisconnect;

/// What the properties are.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) uri: String,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) tolerance: ClockTime,
}

impl Default for Settings {
    fn default() -> Self {
        let tolerance = ClockTime::from_mseconds(40);
        Self { uri: "qemu:".to_owned(), on_disconnect: OnDisconnect::default(), tolerance }
    }
}

impl Settings {
    pub(super) fn specs() -> Vec<ParamSpec> {
        vec![
            glib::ParamSpecString::builder("uri")
                .nick("URI")
                .blurb("The virtual machine: qemu:, qemu:NAME-or-UUID, qemu+unix:/path/to/bus.sock, qmp:/path/to/qmp.sock, libvirt:DOMAIN. Through QMP a QEMU serves one client at a time: for picture and sound put it on a bus")
                .default_value(Some("qemu:"))
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder::<OnDisconnect>("on-disconnect")
                .nick("On disconnect")
                .blurb("What happens when the virtual machine goes; until it is back there is silence")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("tolerance")
                .nick("Tolerance")
                .blurb("By how many ns samples may come too late or too early: what is later is replaced by silence. The latency is this and the length of a buffer")
                .minimum(1_000_000)
                .maximum(WAITING_MAX.nseconds())
                .default_value(Settings::default().tolerance.nseconds())
                .mutable_ready()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("What happened so far: frames (one sample of each channel) of the guest's that were sent, of silence, and dropped because they came too late or weren't taken; bytes of voices of which another was heard; connections lost")
                .read_only()
                .build(),
        ]
    }

    /// Sets one that was checked against its specification.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "uri" => {
                let uri = value.get::<Option<String>>().expect("checked by GObject");
                self.uri = uri.unwrap_or_else(|| Self::default().uri);
            }
            "on-disconnect" => self.on_disconnect = value.get().expect("checked by GObject"),
            "tolerance" => {
                let ns = value.get().expect("checked by GObject");
                self.tolerance = ClockTime::from_nseconds(ns);
            }
            other => unreachable!("no property {other}"),
        }
    }

    pub(super) fn get(&self, name: &str) -> glib::Value {
        match name {
            "uri" => self.uri.to_value(),
            "on-disconnect" => self.on_disconnect.to_value(),
            "tolerance" => self.tolerance.nseconds().to_value(),
            other => unreachable!("no property {other}"),
        }
    }
}
