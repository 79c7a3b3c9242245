//! The **fake** QEMU's end of one listener that a client has registered with it (see `fake_qemu.rs`): QEMU
//! authenticates it, looks at its properties, and calls it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, DynamicType, Guid, MatchRule, Message, MessageStream, OwnedVariant};

pub(crate) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client has registered.
pub(crate) struct FakeListener {
    connection: Connection,
    received: Receiver<Message>,
    early: HashMap<NonZeroU32, Message>,
    /// The object that is called.
    path: &'static str,
}

/// As the server, which QEMU is.
pub(crate) async fn authenticate(fd: OwnedFd) -> MessageStream {
    let builder = Builder::unix_stream(UnixStream::from(fd));
    builder.server(Guid::generate()).p2p().build_message_stream().await.unwrap()
}

pub(crate) async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// What comes, for who waits in the test's thread.
fn forward(mut stream: MessageStream) -> Receiver<Message> {
    let (tell, received) = channel();
    thread::spawn(move || {
        zbus::block_on(async {
            while let Some(Ok(message)) = next(&mut stream).await {
                // The test may have seen enough.
                let _ = tell.send(message);
            }
        });
    });
    received
}

/// The calls of one object at the connection of a fake QEMU, which leaves it to another fake.
pub(crate) fn calls_of(connection: &Connection, path: &'static str) -> Receiver<Message> {
    let rule = MatchRule::builder().msg_type(Type::MethodCall).path(path).build().unwrap();
    let calls = MessageStream::for_match_rule(rule, connection, None);
    forward(zbus::block_on(calls).unwrap())
}

pub(crate) async fn get_all(
    connection: &Connection,
    path: &str,
    interface: &str,
) -> HashMap<String, OwnedVariant> {
    let call = connection.call_method(None::<&str>, path, Some(PROPERTIES), "GetAll", &interface);
    call.await.unwrap().body().deserialize().unwrap()
}

impl FakeListener {
    pub(crate) fn new(stream: MessageStream, path: &'static str) -> Self {
        let connection = Connection::from(&stream);
        let received = forward(stream);
        Self { connection, received, early: HashMap::new(), path }
    }

    /// Sends a call, and returns its serial number without waiting.
    pub(crate) fn send<B>(&self, interface: &str, member: &str, body: &B) -> NonZeroU32
    where
        B: serde::Serialize + DynamicType,
    {
        let builder = Message::method_call(self.path, member).interface(interface);
        self.send_message(&builder.build(body).unwrap())
    }

    /// Sends a message as it is.
    pub(crate) fn send_message(&self, message: &Message) -> NonZeroU32 {
        zbus::block_on(self.connection.send(message)).unwrap();
        message.primary_header().serial_num()
    }

    /// The reply to a call: `Err` is an error's name and text.
    pub(crate) fn reply(&mut self, serial: NonZeroU32) -> Result<Message, (String, String)> {
        let reply = loop {
            if let Some(reply) = self.early.remove(&serial) {
                break reply;
            }
            let message = self.received.recv_timeout(PATIENCE).expect("no reply came");
            if let Some(to) = message.header().reply_serial() {
                self.early.insert(to, message);
            }
        };
        match reply.message_type() {
            Type::Error => {
                let name = reply.header().error_name().unwrap().to_string();
                Err((name, reply.body().deserialize().unwrap_or_default()))
            }
            _ => Ok(reply),
        }
    }

    /// Sends a call and waits for its reply.
    pub(crate) fn call<B>(
        &mut self,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<Message, (String, String)>
    where
        B: serde::Serialize + DynamicType,
    {
        let serial = self.send(interface, member, body);
        self.reply(serial)
    }

    /// Whether a call has its reply already: everything sent until now was handled.
    pub(crate) fn is_replied(&mut self, serial: NonZeroU32) -> bool {
        self.call("org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
        self.early.contains_key(&serial)
    }

    /// Whether the client is still there.
    pub(crate) fn answers(&mut self) -> bool {
        self.call("org.freedesktop.DBus.Peer", "Ping", &()).is_ok()
    }

    /// Waits until the client has closed the connection.
    pub(crate) fn wait_closed(&self) {
        loop {
            match self.received.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the connection stays open"),
            }
        }
    }

    /// Dies as a killed process does.
    pub(crate) fn kill(self) {
        zbus::block_on(self.connection.close()).unwrap();
    }
}
