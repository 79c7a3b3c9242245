//! A **fake**: QEMU's end of `org.qemu.Display1.Clipboard`, as far as a viewer can see. Its guest copies and
//! pastes what the test says.

use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use zbus::{Connection, Message};

use super::fake_qemu::listener;

pub(crate) const PATH: &str = "/org/qemu/Display1/Clipboard";
pub(crate) const TEXT: &str = "text/plain;charset=utf-8";
const INTERFACE: &str = "org.qemu.Display1.Clipboard";
const FAILED: &str = "org.qemu.Display1.Error.Failed";
/// An emulated machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct FakeClipboard {
    connection: Connection,
    called: Receiver<Message>,
}

/// What a request of the guest's came to: name and text, or a sentence.
pub(crate) type Pasted = Result<(String, Vec<u8>), String>;

impl FakeClipboard {
    /// At the connection of a fake QEMU, which leaves this to us.
    pub(crate) fn at(connection: Connection) -> Self {
        let called = listener::calls_of(&connection, PATH);
        Self { connection, called }
    }

    /// The viewer's next call, which is one of this.
    pub(crate) fn called(&self, method: &str) -> Message {
        let call = self.called.recv_timeout(PATIENCE);
        let call = call.unwrap_or_else(|_| panic!("it did not call {method}"));
        assert_eq!(call.header().member().unwrap().as_str(), method, "{call:?}");
        call
    }

    /// Whether it has called anything that the test has not seen.
    pub(crate) fn is_called(&self) -> bool {
        self.called.try_recv().is_ok()
    }

    pub(crate) fn answer<B>(&self, call: &Message, body: &B)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        zbus::block_on(self.connection.reply(&call.header(), body)).unwrap();
    }

    pub(crate) fn refuse(&self, call: &Message) {
        zbus::block_on(self.connection.reply_error(&call.header(), FAILED, &"no")).unwrap();
    }

    /// It registers, as QEMU has it: looked at before it is answered.
    pub(crate) fn registered(&self) {
        let call = self.called("Register");
        self.look_at();
        self.tell("Register", &());
        self.answer(&call, &());
    }

    /// What QEMU does while it registers a viewer.
    pub(crate) fn look_at(&self) {
        let properties = Some("org.freedesktop.DBus.Properties");
        let all = self.connection.call_method(None::<&str>, PATH, properties, "GetAll", &INTERFACE);
        zbus::block_on(all).unwrap();
    }

    /// The host's text is offered to the guest; which serial number that has.
    pub(crate) fn grabbed(&self) -> u32 {
        let call = self.called("Grab");
        let (selection, serial, names): (u32, u32, Vec<String>) =
            call.body().deserialize().unwrap();
        assert_eq!((selection, names), (0, vec![TEXT.to_owned()]));
        self.answer(&call, &());
        serial
    }

    /// Calls the viewer's end.
    pub(crate) fn tell<B>(&self, method: &str, body: &B)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let call = self.connection.call_method(None::<&str>, PATH, Some(INTERFACE), method, body);
        zbus::block_on(call).unwrap();
    }

    /// The guest copies something that has these names.
    pub(crate) fn guest_copies(&self, serial: u32, names: &[&str]) {
        self.tell("Grab", &(0_u32, serial, names));
    }

    /// The guest pastes; QEMU stands still until that is answered.
    pub(crate) fn guest_pastes(&self) -> JoinHandle<Pasted> {
        let connection = self.connection.clone();
        thread::spawn(move || {
            let body = (0_u32, &[TEXT][..]);
            let interface = Some(INTERFACE);
            let call = connection.call_method(None::<&str>, PATH, interface, "Request", &body);
            match zbus::block_on(call) {
                Ok(reply) => Ok(reply.body().deserialize().unwrap()),
                Err(error @ zbus::Error::FDO(_)) => Err(error.to_string()),
                Err(other) => panic!("{other}"),
            }
        })
    }
}
