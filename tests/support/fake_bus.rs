//! A **fake** message bus, on which the virtual machines of `fake_qemu.rs` are.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use tempfile::TempDir;
use zbus::{Connection, Message};

use super::{FakeQemu, FakeQemus, FakeVm, PATIENCE, Tell, serve};

/// A message bus with these on it, at `path`: it stands in for dbus-daemon, as far as finding VMs goes.
pub(crate) fn bus(path: &Path, vms: Vec<FakeVm>) -> FakeQemus {
    bus_of(path, Members::of(vms))
}

/// The virtual machines on a bus, which may come and go.
pub(crate) struct Members {
    vms: Mutex<Vec<FakeVm>>,
    /// How often a client has asked who they are.
    asked: Mutex<usize>,
    changed: Condvar,
}

impl Members {
    pub(crate) fn of(vms: Vec<FakeVm>) -> Arc<Self> {
        Arc::new(Self { vms: Mutex::new(vms), asked: Mutex::new(0), changed: Condvar::new() })
    }

    /// Changes them.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<FakeVm>)) {
        change(&mut self.vms.lock().unwrap());
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// Waits until clients have asked that often.
    pub(crate) fn wait_asked(&self, times: usize) {
        let asked = self.asked.lock().unwrap();
        let waited = self.changed.wait_timeout_while(asked, PATIENCE, |asked| *asked < times);
        assert!(!waited.unwrap().1.timed_out(), "nobody asked who is on the bus");
    }

    /// A client has asked.
    pub(super) fn count(&self) {
        *self.asked.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    pub(super) fn now(&self) -> Vec<FakeVm> {
        self.vms.lock().unwrap().clone()
    }
}

/// The same with others from time to time.
pub(crate) fn bus_of(path: &Path, vms: Arc<Members>) -> FakeQemus {
    let listener = UnixListener::bind(path).unwrap();
    let (tell, told) = channel();
    let (does, did) = channel();
    let (came, come) = channel();
    thread::spawn(move || {
        // Ends with the test's process.
        for stream in listener.incoming() {
            let (vms, tell) = (Arc::clone(&vms), Tell::Listener(tell.clone()));
            let user = (does.clone(), came.clone());
            thread::spawn(move || zbus::block_on(serve(stream.unwrap(), vms, tell, user)));
        }
    });
    FakeQemus(told, did, come)
}

/// A bus with virtual machines that come and go.
pub(crate) struct Bus {
    members: Arc<Members>,
    pub(crate) qemus: FakeQemus,
    connections: Vec<Connection>,
    folder: TempDir,
}

impl Bus {
    pub(crate) fn with(vms: Vec<FakeVm>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let members = Members::of(vms);
        let qemus = bus_of(&folder.path().join("bus.sock"), Arc::clone(&members));
        Self { members, qemus, connections: Vec::new(), folder }
    }

    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:{}", self.folder.path().join("bus.sock").display())
    }

    /// Tells everybody that somebody has come or gone.
    fn tell(&mut self, name: &str, before: &str, after: &str) {
        self.connections.extend(self.qemus.connected());
        let bus = "org.freedesktop.DBus";
        let signal = Message::signal("/org/freedesktop/DBus", bus, "NameOwnerChanged");
        let signal = signal.sender(bus).build(&(name, before, after)).unwrap();
        for connection in &self.connections {
            // Some are closed by now.
            let _ = zbus::block_on(connection.send(&signal));
        }
    }

    /// One queues for QEMU's name only after its connection was told of, as it really is.
    pub(crate) fn comes(&mut self, vm: FakeVm) {
        let asked = self.members.asked();
        self.tell(vm.owner, "", vm.owner);
        self.members.wait_asked(asked + 1);
        self.members.change(|vms| vms.push(vm));
    }

    pub(crate) fn goes(&mut self, vm: &FakeVm, listeners: Vec<FakeQemu>) {
        self.members.change(|vms| vms.retain(|other| other.owner != vm.owner));
        listeners.into_iter().for_each(FakeQemu::kill);
        self.tell(vm.owner, vm.owner, "");
    }

    /// So many listeners, in order of whose they are.
    pub(crate) fn listeners(&self, count: usize) -> Vec<FakeQemu> {
        let mut listeners: Vec<_> = (0..count).map(|_| self.qemus.next()).collect();
        listeners.sort_by(|a, b| a.registered.cmp(&b.registered));
        listeners
    }
}
