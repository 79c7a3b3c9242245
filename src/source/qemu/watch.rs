//! Which consoles the virtual machines on a bus have, while they come and go.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

use super::link::{Link, connect, ended, peer};
use super::names::{BUS_NAME, DBUS};
use super::vm::{self, Vm, failed};
use super::wait::{Bell, unless_rung};
use super::{CLOSED, Target, Thread, of_peer, on_thread, through_qmp};
use crate::source::thread::spawn;
use crate::source::watch::Posted;
use crate::source::{Bus, ConsoleInfo, Options, Present, Seen, SourceError, Uri, Watch};

/// Signals that may wait to be looked at.
const SIGNALS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// When to look after somebody has come to the bus: a QEMU there comes first, and asks for its name then,
/// of which the bus says nothing to others if another QEMU has that name.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(180),
    Duration::from_millis(800),
    Duration::from_secs(4),
];

struct QemuWatch {
    seen: Posted,
    _thread: Thread,
}

impl Watch for QemuWatch {
    fn fd(&self) -> BorrowedFd<'_> {
        self.seen.fd()
    }

    fn poll(&mut self) -> Option<Seen> {
        self.seen.poll()
    }
}

/// What must be there when a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum AtFirst {
    /// A virtual machine.
    Some,
    /// Nothing has to.
    Any,
}

/// Watches the consoles that `target` leads to.
pub(in crate::source) fn watch(
    target: Target,
    at_first: AtFirst,
    options: &Options,
) -> Result<Box<dyn Watch>, SourceError> {
    let seen = Posted::new()?;
    let posted = seen.clone();
    let limit = options.time_limit;
    let ((), thread) = on_thread(limit, move |tell| {
        let target = through_qmp(target, limit);
        async move {
            // The one is told before there is anything to see, the other when there is.
            let begun = |first: Vec<Present>| {
                posted.post(Seen::Consoles(first));
                tell(Ok(()));
            };
            let ended = match target {
                Ok(Target::Uri(uri)) => on_bus(&uri, at_first, limit, begun, &posted).await,
                Ok(Target::Stream(stream, uri)) => of_one(stream, &uri, limit, begun).await,
                Ok(Target::Linked(..)) => unreachable!("nobody watches a console"),
                Err(error) => Err(error),
            };
            match ended {
                Ok(reason) => posted.post(Seen::Lost(reason)),
                Err(error) => tell(Err(error)),
            }
        }
    })?;
    Ok(Box::new(QemuWatch { seen, _thread: thread }))
}

/// The one at the other end of a socket: what it has doesn't change. Its connection serves all windows.
async fn of_one(
    stream: UnixStream,
    uri: &Uri,
    limit: Duration,
    begun: impl FnOnce(Vec<Present>),
) -> Result<String, SourceError> {
    let (link, vm) = peer(stream, limit).await?;
    let consoles = vm::choose_consoles(&vm, uri.console())?;
    let shared = Link { connection: link.clone(), clipboard: Arc::default() };
    let present = |console: &vm::Console| Present {
        id: console.id.to_string(),
        console: of_peer(&vm, console, uri),
        link: Some(shared.clone()),
    };
    begun(consoles.iter().map(present).collect());
    ended(&link).await;
    Ok(CLOSED.to_owned())
}

/// Those on a bus, until it ends; why it did.
async fn on_bus(
    uri: &Uri,
    at_first: AtFirst,
    limit: Duration,
    begun: impl FnOnce(Vec<Present>),
    posted: &Posted,
) -> Result<String, SourceError> {
    let Uri::Qemu { bus, vm, console } = uri else { unreachable!("{uri} is not for here") };
    let dbus = |error: zbus::Error| failed(&error, limit);
    let link = connect(bus, limit).await?;
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(DBUS)
        .interface(DBUS)
        .member("NameOwnerChanged")
        .build();
    // First, so that no change is missed.
    let rule = rule.map_err(dbus)?;
    let mut signals =
        MessageStream::for_match_rule(rule, &link, Some(SIGNALS_MAX)).await.map_err(dbus)?;
    let mut known = Vec::new();
    look(&link, &mut known).await.map_err(dbus)?;
    if known.is_empty() && at_first == AtFirst::Some {
        return Err(SourceError::NoVm(vm::bus_name(bus)));
    }
    // That it is there at all; that there are several is no mistake here.
    if let Some(name) = vm
        && let Err(error @ SourceError::NoSuchVm { .. }) = vm::choose_vm(&known, Some(name), bus)
    {
        return Err(error);
    }
    let wanted = |known: &[Vm]| present(known, vm.as_deref(), *console, bus);
    let mut before = wanted(&known);
    begun(before.clone());
    let later = Later::default();
    loop {
        // Whatever else happens on the bus may be the end of a virtual machine.
        let Some(newcomer) = news(&mut signals, &later).await else { break };
        if newcomer {
            later.look();
        }
        if let Err(error) = look(&link, &mut known).await {
            return Ok(format!("the message bus can't be watched any more ({error})"));
        }
        let now = wanted(&known);
        let ids = |list: &[Present]| list.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
        if ids(&now) != ids(&before) {
            posted.post(Seen::Consoles(now.clone()));
            before = now;
        }
    }
    Ok(format!("{} is gone", vm::bus_name(bus)))
}

/// What matters of what there is.
fn present(known: &[Vm], wanted: Option<&str>, number: Option<u32>, bus: &Bus) -> Vec<Present> {
    let mut all = Vec::new();
    for vm in known.iter().filter(|vm| wanted.is_none_or(|wanted| vm.is_called(wanted))) {
        for console in vm.consoles.iter().filter(|c| number.is_none_or(|n| n == c.id)) {
            let owner = vm.owner.as_deref().unwrap_or_default();
            let console: ConsoleInfo = vm::info(known, vm, console, bus);
            all.push(Present { id: format!("{owner} {}", console.console), console, link: None });
        }
    }
    all
}

/// Brings `known` up to date; only who is new is asked anything.
async fn look(link: &Connection, known: &mut Vec<Vm>) -> zbus::Result<()> {
    let owners = vm::owners(link).await?;
    known.retain(|vm| owners.iter().any(|owner| vm.owner.as_ref() == Some(owner)));
    for owner in owners {
        if known.iter().any(|vm| vm.owner.as_ref() == Some(&owner)) {
            continue;
        }
        match vm::vm(link, Some(owner.clone())).await {
            Ok(vm) => known.push(vm),
            Err(error) => tracing::warn!(%owner, %error, "a QEMU on the bus does not answer"),
        }
    }
    Ok(())
}

/// Waits until something happened on the bus, or it is time to look again; whether somebody has come.
/// `None` at the end.
async fn news(signals: &mut MessageStream, later: &Later) -> Option<bool> {
    let first = unless_rung(&later.bell, poll_fn(|cx| Pin::new(&mut *signals).poll_next(cx))).await;
    let mut next = match first {
        None => return Some(false),
        Some(first) => first,
    };
    let mut newcomer = false;
    // All that has come by now is answered by one look.
    loop {
        let signal = next?.ok()?;
        let body = signal.body();
        let (name, _, owner): (&str, &str, &str) = body.deserialize().ok()?;
        newcomer |= !owner.is_empty() && (name.starts_with(':') || name == BUS_NAME);
        let more = poll_fn(|cx| Poll::Ready(Pin::new(&mut *signals).poll_next(cx))).await;
        let Poll::Ready(more) = more else { return Some(newcomer) };
        next = more;
    }
}

/// Rings a bell some times after somebody has come.
#[derive(Clone, Default)]
struct Later {
    bell: Arc<Bell>,
    ringing: Arc<AtomicBool>,
    /// Somebody has come since it began.
    again: Arc<AtomicBool>,
}

impl Later {
    fn look(&self) {
        self.again.store(true, Ordering::SeqCst);
        if self.ringing.swap(true, Ordering::SeqCst) {
            return;
        }
        let later = self.clone();
        // Nothing here can wait for a time by itself.
        let spawned = spawn("fanlight-later", move || {
            while later.again.swap(false, Ordering::SeqCst) {
                for wait in LOOKS {
                    thread::sleep(wait);
                    later.bell.ring();
                }
            }
            later.ringing.store(false, Ordering::SeqCst);
        });
        if spawned.is_err() {
            self.ringing.store(false, Ordering::SeqCst);
        }
    }
}
