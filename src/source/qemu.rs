//! QEMU's `org.qemu.Display1` over D-Bus.
//!
//! Each source has one thread, which holds its D-Bus connections and serves QEMU. What it learns goes
//! through a mailbox to the session's thread; verdicts come back through [`acks`].

mod acks;
mod audio;
mod clipboard;
mod devices;
mod input;
mod link;
mod list;
mod listener;
mod names;
mod pixels;
mod qmp;
mod qnum;
mod resize;
mod screen;
mod vm;
mod wait;
mod watch;

use std::future::Future;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use zbus::{Connection, MessageStream};

use self::acks::Acks;
pub(super) use self::audio::{Listening, listen};
use self::clipboard::Shared;
use self::devices::Devices;
use self::input::Inputs;
pub(super) use self::link::Link;
use self::link::{connect, ended, peer, register};
pub(super) use self::list::list;
use self::listener::Listener;
use self::pixels::Painter;
use self::resize::Resize;
use self::screen::{Letter, Screen};
use self::vm::{Console, Vm, failed};
use self::wait::{Bell, all, beside, first, unless_rung};
pub(super) use self::watch::{AtFirst, watch};
use super::mailbox::Mailbox;
use super::thread::spawn;
use super::{ConsoleInfo, NO_FDS, Opened, Options, SourceError, Uri};
use crate::frame::{Clipboard, Damage, Input, SizeHint, Sound};
use crate::port::{Ack, Source, SourceEvent};

/// Where QEMU is.
pub(super) enum Target {
    Uri(Uri),
    /// A connected socket, and what to call it.
    Stream(UnixStream, Uri),
    /// A console at the other end of a connection that is there already.
    Linked(Link, ConsoleInfo),
}

/// One console of one QEMU.
struct QemuSource {
    mailbox: Arc<Mailbox<Letter>>,
    painter: Option<Painter>,
    resize: Arc<Resize>,
    inputs: Arc<Inputs>,
    clipboard: Arc<Shared>,
    audio: Arc<audio::Shared>,
    _thread: Thread,
}

/// The connection's thread. Ends with this, and with it the connection.
struct Thread {
    stop: Arc<Bell>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.ring();
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            tracing::error!("the thread of a D-Bus connection panicked");
        }
    }
}

impl Source for QemuSource {
    fn fd(&self) -> BorrowedFd<'_> {
        (*self.mailbox).as_fd()
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        match self.clipboard.next(&self.mailbox)? {
            Letter::Event(event) => Some(event),
            Letter::Canvas { announcement, painter } => {
                if painter.is_some() {
                    self.painter = painter;
                }
                self.paint(&Damage::Whole);
                Some(SourceEvent::Scanout(announcement))
            }
            Letter::Paint { buffer, damage } => {
                self.paint(&damage);
                Some(SourceEvent::Update { buffer, damage, ack: Ack::none() })
            }
        }
    }

    fn resize(&mut self, hint: &SizeHint) {
        self.resize.want(*hint);
    }

    fn send(&mut self, input: &Input) {
        self.inputs.take(input);
    }

    fn clipboard(&mut self, happened: Clipboard) {
        self.clipboard.take(happened);
    }

    fn set_sound(&mut self, sound: Sound) {
        self.audio.want(sound);
    }

    fn set_microphone(&mut self, microphone: Sound) {
        self.audio.want_microphone(microphone);
    }
}

impl QemuSource {
    fn paint(&mut self, damage: &Damage) {
        if let Some(painter) = &mut self.painter {
            painter.paint(damage);
        }
    }
}

/// Opens a console.
pub(super) fn open(target: Target, options: &Options) -> Result<Opened, SourceError> {
    let mailbox = Arc::new(
        Mailbox::new().map_err(|source| SourceError::System { what: "an eventfd", source })?,
    );
    let letters = Arc::clone(&mailbox);
    let resize = Arc::new(Resize::default());
    let wanted = Arc::clone(&resize);
    let inputs = Arc::new(Inputs::default());
    let taken = Arc::clone(&inputs);
    let clipboard = Arc::new(Shared::default());
    let shared = Arc::clone(&clipboard);
    let claim = match &target {
        Target::Linked(link, _) => Arc::clone(&link.clipboard),
        _ => Arc::default(),
    };
    let audio = Arc::new(audio::Shared::default());
    let heard = Arc::clone(&audio);
    let options = *options;
    let (console, thread) = on_thread(options.time_limit, move |tell| {
        let target = through_qmp(target, options.time_limit);
        async move {
            let attached = match target {
                Ok(target) => attach(target, options.time_limit).await,
                Err(error) => Err(error),
            };
            let Attached { link, owner, console, stream } = match attached {
                Ok(attached) => attached,
                Err(error) => return tell(Err(error)),
            };
            let number = console.console;
            tell(Ok(console));
            let resizing = wanted.tell(&link, owner.as_deref(), number);
            let input = taken.deliver(link.clone(), owner.clone(), number);
            let text =
                clipboard::serve(shared, &claim, link.clone(), owner.clone(), Arc::clone(&letters));
            let (of, mailbox) = (link.clone(), Arc::clone(&letters));
            let devices = Devices { link: of, owner: owner.clone(), console: number, mailbox };
            let sound = heard.serve(&link, owner.as_deref());
            let display = async {
                let gone = gone(&link, owner.is_some());
                let served = serve(stream, Arc::clone(&letters), &options);
                let reason = first(served, gone).await;
                let lost = Letter::Event(SourceEvent::Lost(reason));
                letters.push(lost, |_, letter| Some(letter));
            };
            // On the heap: all of them would overflow a thread's stack in builds for debugging.
            let others: [Pin<Box<dyn Future<Output = ()>>>; 6] = [
                Box::pin(resizing),
                Box::pin(input),
                Box::pin(devices.clone().mouse()),
                Box::pin(devices.leds()),
                Box::pin(text),
                Box::pin(sound),
            ];
            beside(display, all(others)).await;
        }
    })?;
    let source =
        QemuSource { mailbox, painter: None, resize, inputs, clipboard, audio, _thread: thread };
    Ok(Opened { source: Box::new(source), console })
}

/// Opens a console over a connection that is there already.
pub(super) fn open_linked(
    link: &Link,
    console: &ConsoleInfo,
    options: &Options,
) -> Result<Opened, SourceError> {
    open(Target::Linked(link.clone(), console.clone()), options)
}

/// Where `target` is a QMP socket, what that leads to. QMP blocks; it has time limits of its own.
fn through_qmp(target: Target, limit: Duration) -> Result<Target, SourceError> {
    match target {
        Target::Uri(Uri::Qmp { path, console }) => {
            let stream = qmp::connect(&path, limit / 2)?;
            Ok(Target::Stream(stream, Uri::Qmp { path, console }))
        }
        other => Ok(other),
    }
}

/// Starts a thread that runs what `make` gives until it is done or the thread's owner is dropped, and
/// waits for what it tells first.
fn on_thread<T, M, F>(limit: Duration, make: M) -> Result<(T, Thread), SourceError>
where
    T: Send + 'static,
    M: FnOnce(Box<dyn Fn(Result<T, SourceError>) + Send>) -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let (tell, told) = sync_channel(1);
    let stop = Arc::new(Bell::default());
    let stopped = Arc::clone(&stop);
    let run = move || {
        // Nobody listens any more after the time limit.
        let work = make(Box::new(move |result| drop(tell.try_send(result))));
        // All that the connection does runs on this thread, inside of this call: zbus has no
        // threads of its own to leave behind.
        zbus::block_on(async {
            let _done_or_stopped = unless_rung(&stopped, work).await;
        });
    };
    let handle = spawn("fanlight-qemu", run)
        .map_err(|source| SourceError::System { what: "a thread", source })?;
    let mut thread = Thread { stop, handle: Some(handle) };
    match told.recv_timeout(limit) {
        Ok(result) => result.map(|value| (value, thread)),
        Err(RecvTimeoutError::Timeout) => {
            // It may sit in a system call that ends later: it is told to stop, but not waited for.
            thread.handle = None;
            Err(SourceError::TimedOut(limit))
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(SourceError::Dbus("its thread ended early".to_owned()))
        }
    }
}

const CLOSED: &str = "QEMU closed the connection: the virtual machine was shut down or killed";

/// Waits until the connection ends over which the console was found, and says so: QEMU may go on to show its picture over the
/// listener's, but nothing that the user does would reach it.
async fn gone(link: &Connection, is_bus: bool) -> String {
    ended(link).await;
    let reason = if is_bus {
        "the message bus closed the connection, over which input goes"
    } else {
        CLOSED
    };
    reason.to_owned()
}

/// Serves QEMU until the listener's connection ends; why it did.
async fn serve(stream: MessageStream, mailbox: Arc<Mailbox<Letter>>, options: &Options) -> String {
    let acks = Arc::new(Acks::default());
    let _closed = CloseOnDrop(Arc::clone(&acks));
    let screen = Screen::new(options.classify, Arc::clone(&mailbox));
    let error = Listener::new(screen, Arc::clone(&mailbox), acks).serve(stream).await;
    match error {
        None | Some(zbus::Error::InputOutput(_)) => CLOSED.to_owned(),
        // A message without the fds that it counts.
        Some(zbus::Error::MissingParameter(_)) => NO_FDS.to_owned(),
        Some(error) => {
            format!("QEMU sent what is not D-Bus ({error}), so the connection was closed")
        }
    }
}

/// Closes the acks also where the future is dropped half way.
struct CloseOnDrop(Arc<Acks>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A console that was found, and what leads to it.
struct Attached {
    /// Where it was asked for, and where input goes.
    link: Connection,
    /// Whom to ask there; `None` where there is only one.
    owner: Option<String>,
    console: ConsoleInfo,
    /// Of the listener that was registered with it.
    stream: MessageStream,
}

/// Finds the console and registers a listener with it.
async fn attach(target: Target, limit: Duration) -> Result<Attached, SourceError> {
    let dbus = |error: zbus::Error| failed(&error, limit);
    let (link, owner, console) = match target {
        Target::Uri(Uri::Qemu { bus, vm: wanted, console }) => {
            let link = connect(&bus, limit).await?;
            let vms = vm::vms(&link).await.map_err(dbus)?;
            let vm = vm::choose_vm(&vms, wanted.as_deref(), &bus)?;
            let console = vm::choose_console(vm, console)?;
            (link, vm.owner.clone(), vm::info(&vms, vm, console, &bus))
        }
        Target::Stream(stream, uri) => {
            let (link, vm) = peer(stream, limit).await?;
            let console = vm::choose_console(&vm, uri.console())?;
            let info = of_peer(&vm, console, &uri);
            (link, None, info)
        }
        Target::Linked(link, console) => (link.connection, None, console),
        // `open` has turned it into a stream.
        Target::Uri(uri) => unreachable!("{uri} is not for here"),
    };
    let stream = register(&link, owner.as_deref(), console.console, limit).await?;
    Ok(Attached { link, owner, console, stream })
}

/// What is known of a console of it; `uri` led to it.
fn of_peer(vm: &Vm, console: &Console, uri: &Uri) -> ConsoleInfo {
    let (uri, backend) = match uri {
        Uri::Qmp { path, .. } => {
            let backend = format!("QEMU through QMP at {}", path.display());
            (Uri::Qmp { path: path.clone(), console: Some(console.id) }, backend)
        }
        other => (other.clone(), "QEMU on a connection of its own".to_owned()),
    };
    vm::describe_console(vm, console, uri, backend)
}
