//! Connections with QEMU: made, shared, and at their end.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_core::Stream;
use zbus::connection::Builder;
use zbus::{Connection, Fd, MessageStream};

use super::names;
use super::vm::{self, Vm, failed};
use super::wait::try_both;
use crate::source::{Bus, SourceError};

/// A connection that several sources use, because QEMU has no more than one peer. It lasts as long as
/// the thread of who made it.
#[derive(Clone, Debug)]
pub(in crate::source) struct Link {
    pub(super) connection: Connection,
    /// Whether one of them serves the clipboard: QEMU's calls come to all.
    pub(super) clipboard: Arc<AtomicBool>,
}

/// A connection to a bus.
pub(super) async fn connect(bus: &Bus, limit: Duration) -> Result<Connection, SourceError> {
    let builder = match bus {
        Bus::Session => Builder::session(),
        Bus::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(|error| {
                SourceError::unreachable(path, &error, |path, reason| SourceError::NoBus {
                    path,
                    reason,
                })
            })?;
            Builder::unix_stream(stream)
        }
    };
    builder.method_timeout(limit / 3).build().await.map_err(|error| match bus {
        Bus::Session => SourceError::NoSessionBus(error.to_string()),
        Bus::Unix(path) => SourceError::NoBus { path: path.clone(), reason: error.to_string() },
    })
}

/// The virtual machine at the other end of a socket.
pub(super) async fn peer(
    stream: UnixStream,
    limit: Duration,
) -> Result<(Connection, Vm), SourceError> {
    let builder = Builder::unix_stream(stream).p2p().method_timeout(limit);
    let link = builder.build().await.map_err(|error| failed(&error, limit))?;
    let vm = vm::vm(&link, None).await.map_err(|error| failed(&error, limit))?;
    Ok((link, vm))
}

/// Gives QEMU one end of a socket, and authenticates on the other end at the same time: QEMU's main
/// loop stands still until that is done. The stream has every message from the first on.
pub(super) async fn register(
    link: &Connection,
    owner: Option<&str>,
    console: u32,
    limit: Duration,
) -> Result<MessageStream, SourceError> {
    let (ours, theirs) = UnixStream::pair()
        .map_err(|source| SourceError::System { what: "a pair of sockets", source })?;
    let path = vm::console_path(console);
    let theirs = Fd::from(OwnedFd::from(theirs));
    let ask = async {
        let call =
            link.call_method(owner, path, Some(names::CONSOLE), "RegisterListener", &theirs).await;
        call.map_err(|error| match error {
            zbus::Error::MethodError(name, text, _) => {
                SourceError::ListenerRefused(text.unwrap_or_else(|| name.to_string()))
            }
            zbus::Error::FDO(error) => SourceError::ListenerRefused(error.to_string()),
            other => failed(&other, limit),
        })
    };
    let authenticate = async {
        let stream = Builder::unix_stream(ours).p2p().build_message_stream().await;
        stream.map_err(|error| failed(&error, limit))
    };
    let (_, stream) = try_both(ask, authenticate).await?;
    Ok(stream)
}

/// Waits until a connection ends.
pub(super) async fn ended(link: &Connection) {
    let mut messages = MessageStream::from(link);
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut messages).poll_next(cx)).await {}
}
