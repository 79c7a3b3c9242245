//! `libvirt:DOMAIN`: a QEMU that libvirt started, found with libvirt's own program `virsh`.
//!
//! Where its display is on a bus, the domain's description says which. Where it is peer to peer, QEMU's
//! monitor is libvirt's, so a socket is handed to QEMU by way of `virsh qemu-monitor-command --pass-fds`
//! (libvirt 8.2), as virsh has no command for virDomainOpenGraphicsFD.

mod domain;
mod virsh;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use self::domain::{Display, Domain};
use self::virsh::Virsh;
use super::qemu::{self, Target};
use super::{Bus, ConsoleInfo, Opened, Options, Seen, SourceError, Uri, Watch};
use crate::sound::Heard;

/// Opens a console of a domain; `uri` is a [`Uri::Libvirt`].
pub(super) fn open(uri: &Uri, options: &Options) -> Result<Opened, SourceError> {
    let (target, left) = find(uri, options)?;
    let mut opened = qemu::open(target, &left)?;
    rename(&mut opened.console, uri);
    Ok(opened)
}

/// Listens to a domain.
pub(super) fn listen(
    uri: &Uri,
    options: &Options,
    ear: impl FnMut(Heard<'_>) + Send + 'static,
) -> Result<qemu::Listening, SourceError> {
    let (target, left) = find(uri, options)?;
    qemu::listen(target, &left, ear)
}

/// Lists the consoles of a domain.
pub(super) fn list(uri: &Uri, options: &Options) -> Result<Vec<ConsoleInfo>, SourceError> {
    let (target, left) = find(uri, options)?;
    let mut consoles = qemu::list(target, &left)?;
    consoles.iter_mut().for_each(|console| rename(console, uri));
    Ok(consoles)
}

/// Watches the consoles of a domain.
pub(super) fn watch(uri: &Uri, options: &Options) -> Result<Box<dyn Watch>, SourceError> {
    let (target, left) = find(uri, options)?;
    let watch = qemu::watch(target, qemu::AtFirst::Some, &left)?;
    Ok(Box::new(Renamed { watch, uri: uri.clone() }))
}

/// Watches what is called otherwise.
struct Renamed {
    watch: Box<dyn Watch>,
    uri: Uri,
}

impl Watch for Renamed {
    fn fd(&self) -> BorrowedFd<'_> {
        self.watch.fd()
    }

    fn poll(&mut self) -> Option<Seen> {
        let mut seen = self.watch.poll()?;
        if let Seen::Consoles(present) = &mut seen {
            present.iter_mut().for_each(|present| rename(&mut present.console, &self.uri));
        }
        Some(seen)
    }
}

/// Calls a console what libvirt calls it, so that it can be found again when the domain was restarted.
fn rename(info: &mut ConsoleInfo, uri: &Uri) {
    if let Uri::Libvirt { domain, connect, .. } = uri {
        let (domain, connect) = (domain.clone(), connect.clone());
        info.backend = format!("QEMU of libvirt's domain {domain}");
        info.uri = Uri::Libvirt { domain, connect, console: Some(info.console) };
    }
}

/// Where the domain's QEMU is, and what is left of the time.
fn find(uri: &Uri, options: &Options) -> Result<(Target, Options), SourceError> {
    let Uri::Libvirt { domain: name, connect, console } = uri else {
        unreachable!("{uri} is not for here")
    };
    let deadline = Instant::now() + options.time_limit;
    let virsh = Virsh { connect: connect.as_deref(), deadline, limit: options.time_limit };
    let xml = virsh.run(&["dumpxml", "--domain", name], Stdio::null()).map_err(|error| {
        let unknown = |said: &str| said.contains("failed to get domain");
        match error {
            SourceError::Virsh(said) if unknown(&said) => SourceError::NoDomain(name.clone()),
            other => other,
        }
    })?;
    let domain = Domain::parse(&xml).map_err(SourceError::DomainXml)?;
    if !domain.running {
        return Err(SourceError::DomainOff(name.clone()));
    }
    let target = match domain.display {
        None => return Err(SourceError::NoDbusDisplay(name.clone())),
        Some(Display::Peer) => Target::Stream(hand_over(&virsh, name)?, uri.clone()),
        Some(Display::Bus(address)) => {
            let Some(path) = domain::socket(&address) else {
                return Err(SourceError::DomainBus { domain: name.clone(), address });
            };
            // Others may be on the same bus.
            let (vm, console) = (Some(domain.uuid), *console);
            Target::Uri(Uri::Qemu { bus: Bus::Unix(path), vm, console })
        }
    };
    let left = deadline.saturating_duration_since(Instant::now());
    Ok((target, Options { time_limit: left, ..*options }))
}

/// Gives the domain's QEMU one end of a socket for its `@dbus-display` protocol; returns the other.
fn hand_over(virsh: &Virsh<'_>, domain: &str) -> Result<UnixStream, SourceError> {
    let (ours, theirs) = UnixStream::pair()
        .map_err(|source| SourceError::System { what: "a pair of sockets", source })?;
    let name = format!("fanlight-{}", std::process::id());
    let ask = |command: &str, arguments: Value, options: &[&str], stdin: Stdio| {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        let mut args = vec!["qemu-monitor-command", "--domain", domain];
        args.extend(options);
        args.push(&text);
        let reply = virsh.run(&args, stdin)?;
        let reply: Value = serde_json::from_str(&reply)
            .map_err(|error| SourceError::Virsh(format!("its reply is not JSON: {error}")))?;
        match &reply["error"] {
            Value::Null => Ok(()),
            error => Err(SourceError::NotP2p(error["desc"].as_str().unwrap_or("").to_owned())),
        }
    };
    // As its standard input, so that no other program can inherit it.
    let stdin = Stdio::from(OwnedFd::from(theirs));
    ask("getfd", json!({ "fdname": name }), &["--pass-fds", "0"], stdin)?;
    let client = json!({ "protocol": "@dbus-display", "fdname": name });
    ask("add_client", client, &[], Stdio::null()).inspect_err(|_| {
        // Best effort: QEMU keeps it otherwise, until the next one of this name.
        let _ = ask("closefd", json!({ "fdname": name }), &[], Stdio::null());
    })?;
    Ok(ours)
}
