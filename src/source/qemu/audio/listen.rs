//! What the guest plays, to whoever listens, on a connection that is for nothing else.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use zbus::{Connection, Error, fdo};

use super::voices::Voices;
use super::{Outlet, register};
use crate::sound::{Direction, Format, Heard, Line, Muted};
use crate::source::qemu::names::{VM, VM_PATH};
use crate::source::qemu::vm::{self, failed};
use crate::source::qemu::wait::beside;
use crate::source::qemu::{Target, Thread, connect, on_thread, peer, through_qmp};
use crate::source::{Options, SourceError, Uri};

/// The connection. Ends with this.
pub(in crate::source) struct Listening(#[allow(dead_code, reason = "ends with it")] Thread);

/// Who listens.
type Ear = Rc<RefCell<dyn FnMut(Heard<'_>)>>;

/// Listens to the guest at `target`.
pub(in crate::source) fn listen(
    target: Target,
    options: &Options,
    ear: impl FnMut(Heard<'_>) + Send + 'static,
) -> Result<Listening, SourceError> {
    let limit = options.time_limit;
    let ((), thread) = on_thread(limit, move |tell| {
        let target = through_qmp(target, limit);
        async move {
            let registered = async {
                let (link, owner) = reach(target?, limit).await?;
                let registered = register(Direction::Play, &link, owner.as_deref()).await;
                match registered {
                    Ok(calls) => Ok((link, owner, calls)),
                    Err(error) => Err(refused(&error, limit)),
                }
            };
            let (link, owner, calls) = match registered.await {
                Ok(registered) => registered,
                Err(error) => return tell(Err(error)),
            };
            let ear: Ear = Rc::new(RefCell::new(ear));
            let outlet = Listener(Rc::clone(&ear));
            // What voices there are QEMU says before it answers this, so that they are known by then. (A ping it
            // would answer on another thread.)
            let begun = async {
                // Any answer will do.
                let _ = vm::properties(&link, owner.as_deref(), VM_PATH, VM).await;
                tell(Ok(()));
            };
            beside(Voices::new(&outlet, Direction::Play).serve(calls), begun).await;
            let reason = "QEMU closed the connection: the virtual machine was shut down or killed, or gave \
                 its one connection over QMP to another";
            // Where it went before it answered.
            tell(Err(SourceError::Dbus(reason.to_owned())));
            (ear.borrow_mut())(Heard::Lost(reason.to_owned()));
        }
    })?;
    Ok(Listening(thread))
}

/// The virtual machine, and what leads to it.
async fn reach(
    target: Target,
    limit: std::time::Duration,
) -> Result<(Connection, Option<String>), SourceError> {
    match target {
        Target::Uri(Uri::Qemu { bus, vm: wanted, .. }) => {
            let link = connect(&bus, limit).await?;
            let vms = vm::vms(&link).await.map_err(|error| failed(&error, limit))?;
            let owner = vm::choose_vm(&vms, wanted.as_deref(), &bus)?.owner.clone();
            Ok((link, owner))
        }
        Target::Stream(stream, _) => Ok((peer(stream, limit).await?.0, None)),
        Target::Linked(link, _) => Ok((link.connection, None)),
        // `listen` has turned it into a stream.
        Target::Uri(uri) => unreachable!("{uri} is not for here"),
    }
}

/// Why QEMU lets nobody listen.
fn refused(error: &Error, limit: std::time::Duration) -> SourceError {
    match error {
        Error::MethodError(name, text, _) => {
            SourceError::NoSound(text.clone().unwrap_or_else(|| name.to_string()))
        }
        Error::FDO(error) if !matches!(**error, fdo::Error::NoReply(_)) => {
            SourceError::NoSound(error.to_string())
        }
        other => failed(other, limit),
    }
}

/// Who listens hears every voice.
struct Listener(Ear);

impl Outlet for Listener {
    type Voice = Voice;

    fn open(&self, voice: u64, format: Format) -> io::Result<Voice> {
        (self.0.borrow_mut())(Heard::Voice { voice, format });
        Ok(Voice { ear: Rc::clone(&self.0), voice, format })
    }
}

struct Voice {
    ear: Ear,
    voice: u64,
    format: Format,
}

impl Voice {
    fn tell(&self, heard: Heard<'_>) {
        (self.ear.borrow_mut())(heard);
    }
}

impl Line for Voice {
    fn play(&self, samples: &[u8]) {
        let at = Instant::now();
        let whole = samples.len() - samples.len() % self.format.frame();
        if whole > 0 {
            self.tell(Heard::Samples { voice: self.voice, samples: &samples[..whole], at });
        }
    }

    /// Who listens says nothing.
    fn read(&self, _: usize) -> Vec<u8> {
        Vec::new()
    }

    fn set_running(&self, running: bool) {
        self.tell(Heard::Running { voice: self.voice, running });
    }

    fn set_muted(&self, who: Muted, muted: bool) {
        match who {
            Muted::Here => {}
            Muted::There => self.tell(Heard::Muted { voice: self.voice, muted }),
        }
    }

    fn set_volume(&self, volume: &[u8]) {
        self.tell(Heard::Volume { voice: self.voice, volume });
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.tell(Heard::Ended { voice: self.voice });
    }
}
