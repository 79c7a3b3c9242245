//! A **fake**: QEMU's end of `org.qemu.Display1.Audio`, as far as a viewer can see. Its guest plays and records
//! what the test says.

// Each test crate uses its own part of it.
#![allow(dead_code)]

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use zbus::{Connection, Message};

use crate::fake_qemu::listener::{self, FakeListener};

const PATH: &str = "/org/qemu/Display1/Audio";
pub(crate) const OUT: &str = "org.qemu.Display1.AudioOutListener";
pub(crate) const IN: &str = "org.qemu.Display1.AudioInListener";
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct FakeAudio {
    connection: Connection,
    called: Receiver<Message>,
}

/// What `Init` says: a voice's number, bits of a sample, whether signed, whether floating-point, frames a
/// second, channels, bytes a frame, bytes a second, whether the first byte is the highest.
pub(crate) type Init = (u64, u8, bool, bool, u32, u8, u32, u32, bool);

/// As QEMU has them by default.
pub(crate) const STEREO: Init = (1, 16, true, false, 44_100, 2, 4, 176_400, false);

impl FakeAudio {
    /// At the connection of a fake QEMU, which leaves this to us.
    pub(crate) fn at(connection: Connection) -> Self {
        let called = listener::calls_of(&connection, PATH);
        Self { connection, called }
    }

    /// Whether it was asked for anything that the test has not seen.
    pub(crate) fn is_called(&self) -> bool {
        self.called.try_recv().is_ok()
    }

    /// The same until the viewer was gone.
    pub(crate) fn was_called(&self) -> bool {
        match self.called.recv_timeout(PATIENCE) {
            Ok(_) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("the viewer stays"),
        }
    }

    /// The viewer registers a listener of this interface, as QEMU has it: replied to first, then
    /// authenticated, then looked at.
    pub(crate) fn registered(&self, interface: &'static str) -> FakeListener {
        let (method, path) = match interface {
            OUT => ("RegisterOutListener", "/org/qemu/Display1/AudioOutListener"),
            IN => ("RegisterInListener", "/org/qemu/Display1/AudioInListener"),
            other => panic!("{other} is none"),
        };
        let call = match self.called.recv_timeout(PATIENCE) {
            Ok(call) => call,
            Err(RecvTimeoutError::Timeout) => panic!("it did not call {method}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the viewer is gone"),
        };
        assert_eq!(call.header().member().unwrap().as_str(), method, "{call:?}");
        let fd: zbus::OwnedFd = call.body().deserialize().unwrap();
        zbus::block_on(async {
            self.connection.reply(&call.header(), &()).await.unwrap();
            let stream = listener::authenticate(OwnedFd::from(fd)).await;
            listener::get_all(&Connection::from(&stream), path, interface).await;
            FakeListener::new(stream, path)
        })
    }
}
