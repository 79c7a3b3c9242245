//! Watches where consoles come and go, on a thread that sleeps until one does.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fanlight::source::{self, ConsoleInfo, Options, Present, Seen, SourceError, Uri, Watch};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use super::Console;
use crate::lock::lock;
use crate::log::{self, CAT};

/// Where to look unless told otherwise: the session bus.
const PLACE: &str = "qemu:";
/// How long it may take to look: whoever asks for devices waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct DeviceProvider {
    place: Mutex<String>,
    running: Mutex<Option<Running>>,
}

impl Default for DeviceProvider {
    fn default() -> Self {
        Self { place: Mutex::new(PLACE.to_owned()), running: Mutex::new(None) }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for DeviceProvider {
    const NAME: &'static str = "GstFanlightDeviceProvider";
    type Type = super::DeviceProvider;
    type ParentType = gst::DeviceProvider;
}

impl ObjectImpl for DeviceProvider {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("uri")
                    .nick("URI")
                    .blurb(
                        "Where to look when started next: qemu: (the session bus), \
                         qemu+unix:/path/to/bus.sock, libvirt:DOMAIN, scanout:/path/to.sock, …",
                    )
                    .default_value(PLACE)
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
        let place = value.get::<Option<String>>().ok().flatten();
        *lock(&self.place) = place.unwrap_or_else(|| PLACE.to_owned());
    }

    fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
        self.place().to_value()
    }

    fn dispose(&self) {
        self.end();
    }
}

impl GstObjectImpl for DeviceProvider {}

impl DeviceProviderImpl for DeviceProvider {
    fn metadata() -> Option<&'static gst::subclass::DeviceProviderMetadata> {
        static METADATA: LazyLock<gst::subclass::DeviceProviderMetadata> = LazyLock::new(|| {
            gst::subclass::DeviceProviderMetadata::new(
                "Virtual machines",
                "Source/Video",
                "Lists the screens of virtual machines while they come and go",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&METADATA)
    }

    fn probe(&self) -> Vec<gst::Device> {
        let place = self.place();
        let listed = place.parse::<Uri>().map_err(SourceError::from);
        match listed.and_then(|uri| source::list(&uri, &options())) {
            Ok(mut consoles) => {
                consoles.retain(is_graphic);
                let device = |one| Console::new(one, has_others(one, &consoles)).upcast();
                consoles.iter().map(device).collect()
            }
            Err(SourceError::NoVm(_)) => Vec::new(),
            Err(error) => {
                gst::warning!(CAT, imp = self, "nothing is seen of {place}: {error}");
                Vec::new()
            }
        }
    }

    fn start(&self) -> Result<(), gst::LoggableError> {
        // What watches starts threads, which say what they have to say where this one does.
        let _log = log::on_this_thread();
        let failed = |error: &dyn std::fmt::Display| gst::loggable_error!(CAT, "{error}");
        let uri: Uri = self.place().parse().map_err(|error| failed(&error))?;
        let watch = match &uri {
            Uri::Qemu { bus, vm: None, console: None } => source::watch_bus(bus, &options()),
            named => source::watch(named, &options()),
        };
        let mut watching = Watching {
            provider: self.obj().downgrade(),
            watch: watch.map_err(|error| failed(&error))?,
            shown: BTreeMap::new(),
        };
        // Who starts it may ask at once what is there.
        watching.read();
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(&error))?);
        let told = Arc::clone(&stop);
        let thread = thread::Builder::new().name("fanlight-devices".to_owned());
        let thread = thread.spawn(move || watching.run(&told)).map_err(|error| failed(&error))?;
        *self.running() = Some(Running { stop, thread });
        Ok(())
    }

    fn stop(&self) {
        self.end();
    }
}

impl DeviceProvider {
    fn place(&self) -> String {
        lock(&self.place).clone()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        lock(&self.running)
    }

    fn end(&self) {
        let running = self.running().take();
        if let Some(Running { stop, thread }) = running {
            // Fails only where the thread has been told so already.
            let _ = rustix::io::write(&*stop, &1_u64.to_ne_bytes());
            // Whoever hears of a device on that thread may stop all of it there.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                gst::error!(CAT, imp = self, "the thread that watches consoles panicked");
            }
        }
    }
}

fn options() -> Options {
    Options { time_limit: TIME_LIMIT, ..Options::default() }
}

/// The thread that watches.
#[derive(Debug)]
struct Running {
    stop: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

/// What is watched, and what was told of it.
struct Watching {
    provider: glib::WeakRef<super::DeviceProvider>,
    watch: Box<dyn Watch>,
    shown: BTreeMap<String, Shown>,
}

struct Shown {
    info: ConsoleInfo,
    /// Its virtual machine has more consoles.
    others: bool,
    device: Console,
}

impl Watching {
    /// Until it is told to stop, or nothing more can be seen.
    fn run(mut self, stop: &OwnedFd) {
        loop {
            let mut fds = [
                PollFd::new(stop, PollFlags::IN),
                PollFd::from_borrowed_fd(self.watch.fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return gst::error!(CAT, "consoles can't be waited for: {error}"),
            }
            if !fds[0].revents().is_empty() || !self.read() {
                return;
            }
        }
    }

    /// Tells what has been seen; whether there can be more.
    fn read(&mut self) -> bool {
        while let Some(seen) = self.watch.poll() {
            let Some(provider) = self.provider.upgrade() else { return false };
            match seen {
                Seen::Consoles(present) => self.show(&provider, present),
                Seen::Lost(reason) => {
                    gst::warning!(CAT, obj = provider, "consoles are seen no more: {reason}");
                    self.show(&provider, Vec::new());
                    return false;
                }
            }
        }
        true
    }

    /// These are there, and no others.
    fn show(&mut self, provider: &super::DeviceProvider, mut present: Vec<Present>) {
        present.retain(|one| is_graphic(&one.console));
        let infos: Vec<_> = present.iter().map(|one| one.console.clone()).collect();
        let gone = |id: &String, _: &mut _| !present.iter().any(|one| one.id == *id);
        for (_, shown) in self.shown.extract_if(.., gone) {
            provider.device_remove(&shown.device);
        }
        for (one, info) in present.into_iter().zip(&infos) {
            let others = has_others(info, &infos);
            let is_same = |shown: &Shown| (&shown.info, shown.others) == (info, others);
            if self.shown.get(&one.id).is_some_and(is_same) {
                continue;
            }
            let device = Console::new(info, others);
            let now = Shown { info: info.clone(), others, device: device.clone() };
            match self.shown.insert(one.id, now) {
                // What names it best may be another by now.
                Some(before) => provider.device_changed(&device, &before.device),
                None => provider.device_add(&device),
            }
        }
    }
}

fn is_graphic(console: &ConsoleInfo) -> bool {
    console.kind == "Graphic"
}

/// Whether its virtual machine has more of them.
fn has_others(one: &ConsoleInfo, all: &[ConsoleInfo]) -> bool {
    let kin = |other: &&ConsoleInfo| (&other.vm, &other.uuid) == (&one.vm, &one.uuid);
    all.iter().filter(kin).count() > 1
}
