//! What a guest plays, for whoever wants to hear it.

use std::fmt;
use std::os::unix::net::UnixStream;

use super::{Options, SourceError, Uri, libvirt, qemu};
use crate::sound::Heard;

/// Somebody listens to a guest. Dropping it ends that; from then on nothing is heard.
pub struct Listening {
    _connection: qemu::Listening,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}

/// Listens to what the guest that `uri` names plays, over a connection of its own; which console the `uri` names
/// doesn't matter. Blocks for `options.time_limit` at most; what voices the guest has then was heard already.
///
/// `ear` is called on the connection's thread and must not block: QEMU's reply waits for it. It may be called
/// before this returns.
///
/// On a message bus a guest may be shown and listened to at once. Through QMP, a QEMU has one connection, and this
/// takes the place of whoever came that way before.
///
/// # Errors
/// If nothing can be reached there, or QEMU gives no sound to D-Bus.
pub fn listen(
    uri: &Uri,
    options: &Options,
    ear: impl FnMut(Heard<'_>) + Send + 'static,
) -> Result<Listening, SourceError> {
    let connection = match uri {
        Uri::Scanout { .. } | Uri::Demo(_) => return Err(SourceError::Silent(uri.clone())),
        Uri::Libvirt { .. } => libvirt::listen(uri, options, ear)?,
        other => qemu::listen(qemu::Target::Uri(other.clone()), options, ear)?,
    };
    Ok(Listening { _connection: connection })
}

/// The same at the other end of `stream`, of a QEMU to which the other end was handed for its `@dbus-display`
/// protocol; `uri` is what to call it.
///
/// # Errors
/// As [`listen`].
pub fn listen_stream(
    stream: UnixStream,
    uri: &Uri,
    options: &Options,
    ear: impl FnMut(Heard<'_>) + Send + 'static,
) -> Result<Listening, SourceError> {
    let target = qemu::Target::Stream(stream, uri.clone());
    Ok(Listening { _connection: qemu::listen(target, options, ear)? })
}
