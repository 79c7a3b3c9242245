//! Why a source can't be opened: one sentence each, with what helps.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::uri::{Uri, UriError};

/// What went wrong on the way to a console.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The name of the source can't be understood.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// No message bus.
    #[error(
        "can't reach the session bus ({0}): set DBUS_SESSION_BUS_ADDRESS, or name the bus as \
         qemu+unix:/path or the virtual machine as qmp:/path; `fanlight view demo:` needs neither"
    )]
    NoSessionBus(String),
    /// No message bus at a given socket.
    #[error(
        "can't reach a message bus at {path} ({reason}): is that the socket of a running dbus-daemon?"
    )]
    NoBus {
        /// The socket.
        path: PathBuf,
        /// What the attempt said.
        reason: String,
    },
    /// Nobody owns the name `org.qemu`.
    #[error(
        "no QEMU is on {0}: start one there with -display dbus (or -display dbus,gl=on); \
         `fanlight view demo:` needs none"
    )]
    NoVm(String),
    /// More than one to choose from; each with the name that chooses it.
    #[error("{} virtual machines are here, so choose one by its name: {}", .0.len(), .0.join(", "))]
    SeveralVms(Vec<String>),
    /// None is called so.
    #[error("no virtual machine is called \"{wanted}\"; here are: {}", .present.join(", "))]
    NoSuchVm {
        /// What was asked for.
        wanted: String,
        /// What would work.
        present: Vec<String>,
    },
    /// No console of that number.
    #[error("the virtual machine has no console {wanted}; it has: {}", .present.join(", "))]
    NoSuchConsole {
        /// What was asked for.
        wanted: u32,
        /// What would work.
        present: Vec<String>,
    },
    /// It has none that shows pictures.
    #[error(
        "the virtual machine has no graphic console: give QEMU a display device, as -device virtio-vga"
    )]
    NoGraphicConsole,
    /// The QMP socket can't be used.
    #[error(
        "can't connect to QMP at {path} ({reason}): start QEMU with -qmp unix:{path},server=on,wait=off"
    )]
    Qmp {
        /// The socket.
        path: PathBuf,
        /// What the attempt said.
        reason: String,
    },
    /// Another client holds the QMP socket.
    #[error(
        "{path} takes connections but says nothing: another QMP client holds it (QEMU serves one \
         at a time); give QEMU a second -qmp socket"
    )]
    QmpBusy {
        /// The socket.
        path: PathBuf,
    },
    /// QEMU's display isn't one for p2p.
    #[error("QEMU refused a D-Bus client over QMP ({0}): start it with -display dbus,p2p=yes")]
    NotP2p(String),
    /// `RegisterListener` failed.
    #[error(
        "QEMU refused our listener ({0}): before QEMU 9.2 a console takes one viewer at a time, so close the other"
    )]
    ListenerRefused(String),
    /// `RegisterOutListener` failed.
    #[error(
        "QEMU has no sound for D-Bus ({0}): start it with -audiodev dbus,id=snd -display dbus,audiodev=snd and \
         a sound device that plays there, as -device ich9-intel-hda -device hda-output,audiodev=snd"
    )]
    NoSound(String),
    /// A backend whose protocol has no sound.
    #[error("{0} has no sound: only a QEMU's can be heard (qemu:, qmp: or libvirt:)")]
    Silent(Uri),
    /// `libvirt:` without virsh.
    #[error(
        "there is no program virsh to ask libvirt with: install libvirt's clients (on Debian: apt install libvirt-clients)"
    )]
    NoVirsh,
    /// What virsh said when it failed.
    #[error("virsh failed ({0}): is libvirt running, and may you use it?")]
    Virsh(String),
    /// virsh hangs.
    #[error("virsh did not answer within {} s: is libvirt's daemon running?", .0.as_secs_f32())]
    VirshSilent(Duration),
    /// libvirt knows no such domain.
    #[error(
        "libvirt has no domain \"{0}\": `virsh list --all` shows what it has; where that is another \
         libvirt's, name it as in ?connect=qemu:///system"
    )]
    NoDomain(String),
    /// It isn't running.
    #[error("the domain \"{0}\" is not running: start it with `virsh start {0}`")]
    DomainOff(String),
    /// It has no graphics of this kind.
    #[error(
        "the domain \"{0}\" has no D-Bus display: add <graphics type='dbus' p2p='yes'/> to its devices \
         (`virsh edit {0}`), and start it again"
    )]
    NoDbusDisplay(String),
    /// It has one at a bus that can't be reached.
    #[error(
        "the D-Bus display of the domain \"{domain}\" is not at a socket (its address is \"{address}\"): \
         write <graphics type='dbus' p2p='yes'/> instead (`virsh edit {domain}`), and start it again"
    )]
    DomainBus {
        /// Its name.
        domain: String,
        /// What libvirt says.
        address: String,
    },
    /// What virsh printed isn't what libvirt documents.
    #[error("virsh printed what is no description of a domain ({0}): please report it")]
    DomainXml(String),
    /// D-Bus itself failed.
    #[error("the D-Bus conversation with QEMU failed ({0}): is QEMU still running?")]
    Dbus(String),
    /// Nothing came in time.
    #[error("nothing answered within {} s: the virtual machine may be stopped or very busy; try again", .0.as_secs_f32())]
    TimedOut(Duration),
    /// A socket that is there, but not for this user.
    #[error(
        "this user may not connect to {0}: `namei -l {0}` shows to whom it and its folders belong; start the virtual \
         machine as this user, or let this user's group write to the socket and enter its folders"
    )]
    NotAllowed(PathBuf),
    /// Nothing that serves guest-scanout-v1 at a socket.
    #[error("can't connect to a backend at {path} ({reason}): is it running, and as this user?")]
    NoBackend {
        /// The socket.
        path: PathBuf,
        /// What the attempt said.
        reason: String,
    },
    /// The backend ended the conversation before it began.
    #[error("can't watch the backend at {path}: {reason}")]
    Wire {
        /// The socket.
        path: PathBuf,
        /// What it did.
        reason: String,
    },
    /// A backend without a graphic console.
    #[error("the backend has no graphic console: name another by its number, as in ?console=1")]
    NoPicture,
    /// A backend without any console.
    #[error("the backend at {0} has no console: give its virtual machine a display device")]
    NoConsole(PathBuf),
    /// The scheme is known, but not in this build.
    #[error("this build can't speak guest-scanout-v1: build it with the feature `wire`")]
    NotBuilt,
    /// The demo is not in this build.
    #[error("this build has no demo: build it with the feature `demo`")]
    NoDemo,
    /// The demo could not be started.
    #[cfg(feature = "demo")]
    #[error("can't start the demo ({0})")]
    Demo(#[from] crate::demo::DemoError),
    /// `demo:` makes its own connection.
    #[error("demo: makes its own connection: to use one that is there, name it scanout:")]
    NoStream,
    /// The system refused something.
    #[error("can't set up the connection: the system refused {what} ({source})")]
    System {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl SourceError {
    /// Why nobody could be reached at the socket `path`: that this user may not, or else what `other` makes of it.
    pub(super) fn unreachable(
        path: &Path,
        error: &io::Error,
        other: impl FnOnce(PathBuf, String) -> Self,
    ) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotAllowed(path.to_owned()),
            _ => other(path.to_owned(), error.to_string()),
        }
    }

    /// Whether the user has to ask for something else (exit code 2), not whether something failed.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Uri(_)
                | Self::NoVm(_)
                | Self::SeveralVms(_)
                | Self::NoSuchVm { .. }
                | Self::NoSuchConsole { .. }
                | Self::NoConsole(_)
                | Self::NoDomain(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Options, Uri, open};
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    /// Without: who may not use a socket is told to start what runs.
    #[test]
    fn that_a_socket_is_another_users_is_said() {
        if rustix::process::geteuid().is_root() {
            println!("SKIP that_a_socket_is_another_users_is_said: root may use any socket");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        let schemes = ["qmp", "qemu+unix", "scanout"];
        for scheme in &schemes[..if cfg!(feature = "wire") { 3 } else { 2 }] {
            let uri: Uri = format!("{scheme}:{}", path.display()).parse().unwrap();
            let error = open(&uri, &Options::default()).expect_err("a reason");
            assert!(matches!(&error, SourceError::NotAllowed(of) if *of == path), "{error}");
            let said = error.to_string();
            assert!(said.contains(&format!("namei -l {}", path.display())), "{said}");
        }
    }
}
