//! What the guest plays and records: `org.qemu.Display1.Audio`. QEMU calls listeners of ours, one for each,
//! on connections of their own, as it does for the picture.

mod listen;
#[cfg(feature = "audio")]
mod served;
#[cfg(not(feature = "audio"))]
#[path = "audio/unserved.rs"]
mod served;
mod voices;

use std::io;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll};

use zbus::connection::Builder;
use zbus::{Connection, Fd, MessageStream};

pub(in crate::source) use self::listen::{Listening, listen};
pub(super) use self::served::Shared;
use super::names::{AUDIO, AUDIO_PATH};
use super::wait::try_both;
use crate::sound::{Direction, Format, Line};

/// Where voices lead.
trait Outlet {
    /// A voice, as it is there.
    type Voice: Line;

    /// For samples of that format, which is possible.
    fn open(&self, voice: u64, format: Format) -> io::Result<Self::Voice>;

    /// Whether the user has muted it.
    fn is_muted(&self) -> bool {
        false
    }

    /// Ready whenever that may have changed.
    fn poll_changed(&self, _: &Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// As with the picture's listener, QEMU stands still until this end has authenticated.
async fn register(
    direction: Direction,
    link: &Connection,
    owner: Option<&str>,
) -> zbus::Result<MessageStream> {
    let method = match direction {
        Direction::Play => "RegisterOutListener",
        Direction::Record => "RegisterInListener",
    };
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = Fd::from(std::os::fd::OwnedFd::from(theirs));
    let ask = link.call_method(owner, AUDIO_PATH, Some(AUDIO), method, &theirs);
    let stream = Builder::unix_stream(ours).p2p().build_message_stream();
    let (_, stream) = try_both(ask, stream).await?;
    Ok(stream)
}
