//! The three QMP commands that hand a socket to QEMU's D-Bus display.

use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use crate::source::SourceError;

/// Longest line that is read.
const LINE_MAX: u64 = 1 << 20;

/// Most events that are skipped on the way to one answer.
const EVENTS_MAX: usize = 1000;

/// Connects to the QMP socket at `path`, and returns our end of a socket whose other end QEMU now
/// serves as `@dbus-display`. `limit` is how long each answer may take.
pub(super) fn connect(path: &Path, limit: Duration) -> Result<UnixStream, SourceError> {
    let unreachable = |reason: String| SourceError::Qmp { path: path.to_owned(), reason };
    let socket = UnixStream::connect(path).map_err(|error| {
        SourceError::unreachable(path, &error, |path, reason| SourceError::Qmp { path, reason })
    })?;
    socket
        .set_read_timeout(Some(limit))
        .and_then(|()| socket.set_write_timeout(Some(limit)))
        .map_err(|source| SourceError::System { what: "a time limit on a socket", source })?;
    let mut qmp = Qmp { lines: BufReader::new(socket) };
    let failed = |failure: Failure| match failure {
        Failure::Io(error) => unreachable(error.to_string()),
        Failure::Refused(text) => unreachable(text),
    };
    match qmp.line() {
        Ok(greeting) if greeting.get("QMP").is_some() => {}
        Ok(_) => return Err(unreachable("what listens there does not speak QMP".to_owned())),
        Err(error) if timed_out(&error) => {
            return Err(SourceError::QmpBusy { path: path.to_owned() });
        }
        Err(error) => return Err(unreachable(error.to_string())),
    }
    qmp.execute("qmp_capabilities", &json!({}), None).map_err(failed)?;
    let (ours, theirs) = UnixStream::pair()
        .map_err(|source| SourceError::System { what: "a pair of sockets", source })?;
    let name = format!("fanlight-{}", std::process::id());
    qmp.execute("getfd", &json!({ "fdname": name }), Some(theirs.as_fd())).map_err(failed)?;
    drop(theirs);
    let arguments = json!({ "protocol": "@dbus-display", "fdname": name });
    match qmp.execute("add_client", &arguments, None) {
        Ok(()) => Ok(ours),
        Err(Failure::Refused(text)) => {
            // Best effort: QEMU keeps the fd otherwise, until the next one of this name.
            let _ = qmp.execute("closefd", &json!({ "fdname": name }), None);
            Err(SourceError::NotP2p(text))
        }
        Err(failure) => Err(failed(failure)),
    }
}

struct Qmp {
    lines: BufReader<UnixStream>,
}

enum Failure {
    Io(io::Error),
    /// QEMU's own words.
    Refused(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Qmp {
    fn execute(
        &mut self,
        command: &str,
        arguments: &Value,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(), Failure> {
        let mut text = json!({ "execute": command, "arguments": arguments }).to_string();
        text.push('\n');
        self.send(text.as_bytes(), fd)?;
        for _ in 0..EVENTS_MAX {
            let answer = self.line()?;
            if let Some(error) = answer.get("error") {
                let text = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
                return Err(Failure::Refused(text.to_owned()));
            }
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
        Err(io::Error::other("only events came, and no answer").into())
    }

    /// Sends it all, and `fd` with the first byte of it.
    fn send(&mut self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let socket = self.lines.get_mut();
        let Some(fd) = fd else { return socket.write_all(bytes) };
        let fds = [fd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = sendmsg(&*socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        socket.write_all(&bytes[sent..])
    }

    fn line(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        let got = self.lines.by_ref().take(LINE_MAX).read_line(&mut line)?;
        if got == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
