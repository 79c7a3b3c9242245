//! A **fake**: not QEMU, but what QEMU's D-Bus display says and when, as far as a client can see.
//!
//! It keeps QEMU's order: `RegisterListener` is replied to first, then the listener's socket is
//! authenticated as server, then the listener's properties are read, and only then come messages.
//! Memfds stand in for dma-bufs ([`classify`]). What real QEMU does is tested in the rig.

// Each test crate uses its own part of it.
#![allow(dead_code)]

#[path = "fake_bus.rs"]
mod bus;
#[path = "fake_listener.rs"]
pub(crate) mod listener;

#[allow(unused_imports)]
pub(crate) use bus::{Bus, Members, bus, bus_of};

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use fanlight::frame::Memory;
use fanlight::sys::{self, ClassifyError, Identity};
use listener::{FakeListener, PROPERTIES, get_all, next};
use zbus::connection::Builder;
use zbus::message::{Flags, Type};
use zbus::{Connection, Guid, Message, Variant};

pub(crate) const LISTENER: &str = "org.qemu.Display1.Listener";
pub(crate) const MAP: &str = "org.qemu.Display1.Listener.Unix.Map";
pub(crate) const DMABUF2: &str = "org.qemu.Display1.Listener.Unix.ScanoutDMABUF2";
const PATH: &str = "/org/qemu/Display1/Listener";
/// An emulated machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says of memfds that they are udmabufs.
pub(crate) fn classify(fd: BorrowedFd<'_>) -> Result<Identity, ClassifyError> {
    let mut identity = sys::classify(fd)?;
    identity.memory = Memory::DmaBuf { exporter: "udmabuf".to_owned() };
    Ok(identity)
}

/// Says of memfds that they are dma-bufs of some GPU.
pub(crate) fn classify_as_gpu(fd: BorrowedFd<'_>) -> Result<Identity, ClassifyError> {
    let mut identity = sys::classify(fd)?;
    identity.memory = Memory::DmaBuf { exporter: "i915".to_owned() };
    Ok(identity)
}

/// A virtual machine of the fake.
#[derive(Clone, Debug)]
pub(crate) struct FakeVm {
    pub(crate) owner: &'static str,
    pub(crate) name: &'static str,
    pub(crate) uuid: &'static str,
    /// Type of each console.
    pub(crate) consoles: &'static [&'static str],
    /// What `RegisterListener` replies, if it is an error.
    pub(crate) refuses: Option<&'static str>,
    /// Whether its mouse takes a place.
    pub(crate) absolute: bool,
    /// Its keyboard's LEDs, if it says them: Scroll 1, Num 2, Caps 4.
    pub(crate) leds: Option<u32>,
    /// Whether it has `-audiodev dbus`; then `fake_audio.rs` answers for it.
    pub(crate) audio: bool,
    /// The optional interfaces that this version of QEMU knows.
    pub(crate) knows: &'static [&'static str],
}

/// As QEMU 10.1 and later.
pub(crate) const VM: FakeVm = FakeVm {
    owner: ":1.7",
    name: "fake",
    uuid: "5b2f7c7e-8a3e-4f3f-9d8a-0f1e2d3c4b5a",
    consoles: &["Graphic"],
    refuses: None,
    absolute: true,
    leds: None,
    audio: false,
    knows: &[MAP, DMABUF2],
};

/// A listener that a client has registered with the fake, for a console's picture.
pub(crate) struct FakeQemu {
    listener: FakeListener,
    /// The optional interfaces that both sides know.
    pub(crate) optional: Vec<String>,
    /// Which console it was registered with, and of which VM.
    pub(crate) registered: (String, u32),
    /// Sizes that are wanted, until they are answered.
    sizes: Receiver<Wanted>,
}

/// A call of `SetUIInfo`, which has no answer yet.
pub(crate) struct Wanted {
    /// Of which console.
    pub(crate) console: usize,
    /// Width and height in millimetres, offset, width and height in pixels.
    pub(crate) info: (u16, u16, i32, i32, u32, u32),
    connection: Connection,
    call: Message,
}

impl Wanted {
    /// QEMU does as it was told, or says with that error that it doesn't.
    pub(crate) fn answer(self, error: Option<&str>) {
        let header = self.call.header();
        zbus::block_on(async {
            match error {
                None => self.connection.reply(&header, &()).await.unwrap(),
                Some(name) => self.connection.reply_error(&header, name, &"no").await.unwrap(),
            }
        });
    }
}

/// Listeners as they get registered.
pub(crate) struct FakeQemus(Receiver<FakeQemu>, Receiver<Did>, Receiver<Connection>);

/// What it was told that the user did: the method, "Keyboard.Press" say, and its two numbers (0 where it
/// has one).
pub(crate) type Did = (String, i64, i64);

impl FakeQemus {
    /// The next one.
    pub(crate) fn next(&self) -> FakeQemu {
        self.0.recv_timeout(PATIENCE).expect("nobody registered a listener")
    }

    /// Who has connected to it since the last call.
    pub(crate) fn connected(&self) -> Vec<Connection> {
        self.2.try_iter().collect()
    }

    /// The connection of its client. Once only.
    pub(crate) fn connection(&self) -> Connection {
        self.2.recv_timeout(PATIENCE).expect("nobody came")
    }

    /// Another mouse is plugged in. Once only.
    pub(crate) fn mouse(&self, absolute: bool) {
        self.changed("org.qemu.Display1.Mouse", "IsAbsolute", Variant::new(absolute));
    }

    /// The guest lights these LEDs. Once only.
    pub(crate) fn light(&self, leds: u32) {
        self.changed("org.qemu.Display1.Keyboard", "Modifiers", Variant::new(leds));
    }

    fn changed(&self, interface: &str, property: &str, value: Variant<'_>) {
        let connection = self.connection();
        let body = (interface, HashMap::from([(property, value)]), Vec::<String>::new());
        let signal =
            Message::signal("/org/qemu/Display1/Console_0", PROPERTIES, "PropertiesChanged");
        zbus::block_on(connection.send(&signal.build(&body).unwrap())).unwrap();
    }

    /// What the user did next; `None` once the client is gone.
    pub(crate) fn try_did(&self) -> Option<Did> {
        match self.1.recv_timeout(PATIENCE) {
            Ok(did) => Some(did),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the user did nothing"),
        }
    }

    /// What the user did next.
    pub(crate) fn did(&self) -> Did {
        self.try_did().expect("the client is gone")
    }
}

/// A p2p QEMU at the other end of the socket returned.
pub(crate) fn p2p(vm: FakeVm) -> (UnixStream, FakeQemus) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (theirs, p2p_over(ours, vm))
}

/// The same at this end of a socket.
pub(crate) fn p2p_over(stream: UnixStream, vm: FakeVm) -> FakeQemus {
    let (tell, told) = channel();
    let (does, did) = channel();
    let (came, come) = channel();
    let user = (does, came);
    let vms = Members::of(vec![vm]);
    thread::spawn(move || zbus::block_on(serve(stream, vms, Tell::Listener(tell), user)));
    FakeQemus(told, did, come)
}

/// The same, but its listeners are sockets on which nothing was said yet.
pub(crate) fn p2p_sockets(vm: FakeVm) -> (UnixStream, Receiver<OwnedFd>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (tell, told) = channel();
    let user = (channel().0, channel().0);
    let vms = Members::of(vec![vm]);
    thread::spawn(move || zbus::block_on(serve(ours, vms, Tell::Socket(tell), user)));
    (theirs, told)
}

/// Whom to give a listener that was registered, and how.
#[derive(Clone)]
enum Tell {
    Listener(Sender<FakeQemu>),
    Socket(Sender<OwnedFd>),
}

/// Serves one client until it goes away.
async fn serve(
    stream: UnixStream,
    members: Arc<Members>,
    tell: Tell,
    (does, came): (Sender<Did>, Sender<Connection>),
) {
    let builder = Builder::unix_stream(stream).server(Guid::generate()).p2p();
    // A client that does not answer is a failure, not a test without an end.
    let builder = builder.method_timeout(PATIENCE);
    let Ok(mut stream) = builder.build_message_stream().await else { return };
    let connection = Connection::from(&stream);
    let (want, wanted) = channel();
    let mut wanted = Some(wanted);
    // Whoever started it may not care.
    let _ = came.send(connection.clone());
    while let Some(Ok(call)) = next(&mut stream).await {
        if call.message_type() != Type::MethodCall {
            continue;
        }
        let header = call.header();
        let member = header.member().unwrap().as_str();
        let path = header.path().unwrap().as_str();
        let console =
            path.strip_prefix("/org/qemu/Display1/Console_").map(|id| id.parse().unwrap());
        let to = header.destination().map(zbus::names::BusName::as_str);
        let vms = members.now();
        let vm = vms.iter().find(|vm| to.is_none() || to == Some(vm.owner));
        match (member, vm, console) {
            ("Hello", ..) => connection.reply(&header, &":1.100").await.unwrap(),
            ("AddMatch" | "RemoveMatch", None, None) => {
                connection.reply(&header, &()).await.unwrap();
            }
            ("ListQueuedOwners", ..) => {
                let owners: Vec<_> = vms.iter().map(|vm| vm.owner).collect();
                let nobody = "org.freedesktop.DBus.Error.NameHasNoOwner";
                match owners.as_slice() {
                    [] => connection.reply_error(&header, nobody, &"nobody").await.unwrap(),
                    owners => connection.reply(&header, &owners).await.unwrap(),
                }
                members.count();
            }
            ("GetAll", Some(vm), None) => connection.reply(&header, &of_vm(vm)).await.unwrap(),
            ("GetAll", Some(vm), Some(_)) if is_about(&call, "Mouse") => {
                let mouse = HashMap::from([("IsAbsolute", Variant::new(vm.absolute))]);
                connection.reply(&header, &mouse).await.unwrap();
            }
            ("GetAll", Some(vm), Some(_)) if is_about(&call, "Keyboard") => {
                let keyboard = vm.leds.map(|leds| ("Modifiers", Variant::new(leds)));
                let keyboard: HashMap<_, _> = keyboard.into_iter().collect();
                connection.reply(&header, &keyboard).await.unwrap();
            }
            ("GetAll", Some(vm), Some(id)) => {
                connection.reply(&header, &of_console(vm, id)).await.unwrap();
            }
            ("RegisterListener", Some(vm), Some(id)) => {
                if let Some(text) = vm.refuses {
                    let name = "org.qemu.Display1.Error.Failed";
                    connection.reply_error(&header, name, &text).await.unwrap();
                    continue;
                }
                let fd: zbus::OwnedFd = call.body().deserialize().unwrap();
                connection.reply(&header, &()).await.unwrap();
                // As QEMU does: nothing else happens until the listener has authenticated.
                let _ = match &tell {
                    Tell::Listener(tell) => {
                        let sizes = wanted.take().unwrap_or_else(|| channel().1);
                        tell.send(FakeQemu::over(fd.into(), vm, id, sizes).await).is_ok()
                    }
                    Tell::Socket(tell) => tell.send(fd.into()).is_ok(),
                };
            }
            ("SetUIInfo", Some(_), Some(console)) => {
                let (info, connection) = (call.body().deserialize().unwrap(), connection.clone());
                let _ = want.send(Wanted { console, info, connection, call });
            }
            (
                "Press" | "Release" | "SetAbsPosition" | "RelMotion" | "SendEvent",
                Some(_),
                Some(_),
            ) => {
                let waits = !call.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED);
                assert!(!waits, "who types must not wait");
                let interface = header.interface().unwrap().as_str();
                let kind = interface.strip_prefix("org.qemu.Display1.").unwrap();
                let body = call.body();
                let (a, b) = match (kind, member) {
                    ("Keyboard" | "Mouse", "Press" | "Release") => {
                        (body.deserialize::<u32>().unwrap().into(), 0)
                    }
                    ("Mouse", "SetAbsPosition") => {
                        let (x, y): (u32, u32) = body.deserialize().unwrap();
                        (x.into(), y.into())
                    }
                    ("Mouse", "RelMotion") => {
                        let (x, y): (i32, i32) = body.deserialize().unwrap();
                        (x.into(), y.into())
                    }
                    // A kind and a finger are the first, a place the other.
                    ("MultiTouch", "SendEvent") => {
                        let (kind, finger, x, y): (u32, u64, f64, f64) =
                            body.deserialize().unwrap();
                        (i64::from(kind) * 100 + finger as i64, x as i64 * 1000 + y as i64)
                    }
                    other => panic!("{other:?}"),
                };
                // The test may have seen enough.
                let _ = does.send((format!("{kind}.{member}"), a, b));
            }
            // Whoever has our connection answers (`fake_clipboard.rs`).
            _ if path == "/org/qemu/Display1/Clipboard" => {}
            (_, Some(vm), None) if vm.audio && path == "/org/qemu/Display1/Audio" => {}
            _ => {
                let name = "org.freedesktop.DBus.Error.UnknownMethod";
                connection.reply_error(&header, name, &member).await.unwrap();
            }
        }
    }
}

/// Whether it is that device that is asked about.
fn is_about(call: &Message, device: &str) -> bool {
    let interface = call.body().deserialize::<String>().unwrap();
    interface.strip_prefix("org.qemu.Display1.") == Some(device)
}

fn of_vm(vm: &FakeVm) -> HashMap<&'static str, Variant<'static>> {
    let ids: Vec<u32> = (0..).take(vm.consoles.len()).collect();
    HashMap::from([
        ("Name", Variant::new(vm.name)),
        ("UUID", Variant::new(vm.uuid)),
        ("ConsoleIDs", Variant::new(ids)),
    ])
}

fn of_console(vm: &FakeVm, id: usize) -> HashMap<&'static str, Variant<'static>> {
    HashMap::from([
        ("Label", Variant::new("VGA")),
        ("Head", Variant::new(id as u32)),
        ("Type", Variant::new(vm.consoles[id])),
        ("Width", Variant::new(640_u32)),
        ("Height", Variant::new(480_u32)),
    ])
}

impl Deref for FakeQemu {
    type Target = FakeListener;

    fn deref(&self) -> &FakeListener {
        &self.listener
    }
}

impl DerefMut for FakeQemu {
    fn deref_mut(&mut self) -> &mut FakeListener {
        &mut self.listener
    }
}

impl FakeQemu {
    async fn over(fd: OwnedFd, vm: &FakeVm, console: usize, sizes: Receiver<Wanted>) -> Self {
        let stream = listener::authenticate(fd).await;
        let connection = Connection::from(&stream);
        let properties = get_all(&connection, PATH, LISTENER).await;
        let theirs: Vec<String> = properties["Interfaces"].try_clone().unwrap().try_into().unwrap();
        let optional: Vec<_> =
            theirs.into_iter().filter(|name| vm.knows.contains(&name.as_str())).collect();
        for interface in &optional {
            get_all(&connection, PATH, interface).await;
        }
        let registered = (vm.owner.to_owned(), console.try_into().unwrap());
        Self { listener: FakeListener::new(stream, PATH), optional, registered, sizes }
    }

    /// The next size that is wanted.
    pub(crate) fn wanted(&self) -> Wanted {
        self.sizes.recv_timeout(PATIENCE).expect("nobody wants another size")
    }

    /// Whether another size is wanted already.
    pub(crate) fn is_wanted(&self) -> bool {
        self.sizes.try_recv().is_ok()
    }

    /// Dies as a killed process does.
    pub(crate) fn kill(self) {
        self.listener.kill();
    }
}
