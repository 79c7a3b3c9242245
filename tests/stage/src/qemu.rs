//! QEMU with one of the guests.

mod processor;
mod running;

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub use self::processor::ACCELERATOR_ENV;
use self::processor::{kvm, processor};
pub use self::running::Qemu;
use crate::bus::Bus;
use crate::child::{Child, run};
use crate::error::{Context, Result};
use crate::guestline::GuestLine;
use crate::guests::{Guests, Paint};
use crate::qmp::Qmp;
use crate::rundir::RunDir;
use crate::wait::{Deadline, readable};

/// QEMU's program, unless this variable names another.
pub const QEMU_ENV: &str = "FANLIGHT_QEMU";

/// The render node that QEMU with `gl=on` opens, unless this variable names another.
pub const RENDER_NODE_ENV: &str = "FANLIGHT_RENDER_NODE";

/// What runs in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guest {
    /// Nothing to boot: the firmware's text.
    Firmware,
    /// The boot sector.
    Paint(Paint),
    /// The boot sector that is heard, by whoever has the display, and hears.
    Sound,
    /// The Linux guest; the mode it is to use, `None` for the one its screen prefers.
    Linux(Option<(u32, u32)>),
}

/// The machine's display adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// `VGA`, Bochs' adapter.
    Vga,
    /// `virtio-vga`, which is VGA until a driver takes it over.
    VirtioVga,
    /// `virtio-gpu-pci`, with no VGA; for the Linux guest.
    VirtioGpu,
}

/// Where QEMU shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Display {
    /// Nowhere: only screendumps.
    None,
    /// On a message bus, by its address.
    Bus(String),
    /// To whoever comes over QMP (`p2p=yes`).
    PeerToPeer,
}

/// A machine to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    name: String,
    uuid: Option<String>,
    guest: Guest,
    card: Card,
    display: Display,
    gl: bool,
    blob: bool,
    heads: u32,
    extra: Vec<String>,
    /// Whether a Linux guest boots, though its state after that is kept.
    boots: bool,
}

impl Setup {
    /// A machine of this name with the guest's usual adapter, shown nowhere, `gl=off`.
    #[must_use]
    pub fn new(name: &str, guest: Guest) -> Self {
        let card = match guest {
            Guest::Firmware | Guest::Paint(_) | Guest::Sound => Card::Vga,
            Guest::Linux(_) => Card::VirtioGpu,
        };
        // All Linux guests are made alike, because they go on from one state.
        let heads = if matches!(guest, Guest::Linux(_)) { 2 } else { 1 };
        Self {
            name: name.to_owned(),
            uuid: None,
            guest,
            card,
            display: Display::None,
            gl: false,
            blob: false,
            heads,
            extra: Vec::new(),
            boots: false,
        }
    }

    /// Gives it a UUID.
    #[must_use]
    pub fn uuid(mut self, uuid: &str) -> Self {
        self.uuid = Some(uuid.to_owned());
        self
    }

    /// Takes another adapter.
    #[must_use]
    pub fn card(mut self, card: Card) -> Self {
        self.card = card;
        self
    }

    /// Shows it on this bus.
    #[must_use]
    pub fn on(mut self, bus: &Bus) -> Self {
        self.display = Display::Bus(bus.address().to_owned());
        self
    }

    /// Shows it to whoever comes over QMP.
    #[must_use]
    pub fn peer_to_peer(mut self) -> Self {
        self.display = Display::PeerToPeer;
        self
    }

    /// Whether QEMU renders on the render node (`gl=on`).
    #[must_use]
    pub fn gl(mut self, gl: bool) -> Self {
        self.gl = gl;
        self
    }

    /// Whether the guest's own memory is scanned out (`blob=true`, virtio adapters only).
    #[must_use]
    pub fn blob(mut self, blob: bool) -> Self {
        self.blob = blob;
        self
    }

    /// Has the Linux guest boot by itself.
    #[must_use]
    pub(crate) fn boots_itself(mut self) -> Self {
        self.boots = true;
        self
    }

    /// Whether it goes on from the state in which the Linux guest has booted, which was emulated.
    fn resumes(&self) -> bool {
        matches!(self.guest, Guest::Linux(_)) && !self.boots && !kvm()
    }

    /// Adds an argument to QEMU's.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.extra.push(argument.to_owned());
        self
    }

    /// Starts it; QMP is ready when this returns.
    ///
    /// # Errors
    /// If QEMU is missing or does not start; with the end of its log.
    pub fn start(&self, guests: &Guests, dir: &Arc<RunDir>) -> Result<Qemu> {
        let at = |kind: &str| dir.path().join(format!("{}.{kind}", self.name));
        let listen = |path: &Path| {
            // An earlier machine of this name may have left its own.
            let _ = std::fs::remove_file(path);
            UnixListener::bind(path).context(format!("listening on {}", path.display()))
        };
        let (serial, monitor) = (listen(&at("serial"))?, listen(&at("monitor"))?);
        let command = self.command(guests, dir)?;
        let child = Child::spawn(&self.name, "qemu-system-x86", command, dir)?;
        let deadline = Deadline::seconds(120);
        let monitor = accept(&monitor, &child, deadline)?;
        let line = GuestLine::new(accept(&serial, &child, deadline)?)?;
        let no_use = |e| child.failure(&format!("is no use: {e}"));
        let mut qmp = Qmp::new(monitor, dir.path().to_owned()).map_err(no_use)?;
        let resumed = self.resumes();
        if resumed {
            qmp.load(&guests.state(), deadline).map_err(no_use)?;
        }
        let mode = match self.guest {
            Guest::Linux(mode) => mode,
            Guest::Firmware | Guest::Paint(_) | Guest::Sound => None,
        };
        Ok(Qemu { qmp, line, qmp_socket: at("qmp"), child, mode, resumed })
    }

    fn command(&self, guests: &Guests, dir: &Arc<RunDir>) -> Result<Command> {
        let at = |kind: &str| dir.path().join(format!("{}.{kind}", self.name));
        let processor = processor(&self.guest);
        let mut command = program();
        // Neither sound nor anything else of the caller's session is wanted.
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        // The firmware reads boot disks as small as ours from pc's IDE, not from q35's AHCI.
        let (machine, memory) = match self.guest {
            Guest::Firmware | Guest::Paint(_) => ("pc", 64),
            Guest::Sound => ("pc,pcspk-audiodev=sound", 64),
            Guest::Linux(_) => ("q35", 384),
        };
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-smp", "1"])
            .args(processor)
            .args(["-machine", &format!("{machine},memory-backend=ram,vmport=off")])
            .arg("-object")
            .arg(format!("memory-backend-memfd,id=ram,size={memory}M,share=on"))
            .args(["-m", &format!("{memory}M")])
            .args(["-name", &self.name])
            .args(["-vga", "none", "-device", &self.device()])
            .args(["-display", &self.display_argument()])
            .arg("-chardev")
            .arg(format!("socket,id=serial,path={}", at("serial").display()))
            .args(["-serial", "chardev:serial", "-chardev"])
            .arg(format!("socket,id=monitor,path={}", at("monitor").display()))
            .args(["-mon", "chardev=monitor,mode=control", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", at("qmp").display()));
        if let Some(uuid) = &self.uuid {
            command.args(["-uuid", uuid]);
        }
        match &self.guest {
            Guest::Firmware => {}
            Guest::Paint(paint) => guests.write_paint(*paint, &at("disk"))?,
            Guest::Sound => {
                guests.write_sound(&at("disk"))?;
                // Where the boot sector looks for it.
                command.args(["-audiodev", "dbus,id=sound"]);
                command.args(["-device", "AC97,audiodev=sound,addr=05"]);
            }
            Guest::Linux(_) => {
                command.arg("-kernel").arg(guests.kernel()).arg("-initrd").arg(guests.initramfs());
                command.args(["-append", KERNEL_COMMAND_LINE]);
                // Besides the keyboard and the mouse that a PC has.
                for device in ["virtio-keyboard-pci", "virtio-tablet-pci", "virtio-mouse-pci"] {
                    command.args(["-device", device]);
                }
                if self.resumes() {
                    command.args(["-incoming", "defer"]);
                }
                // What its kernel complains of stands in QEMU's log.
                command.args(["-chardev", "file,id=console,path=/dev/stderr,append=on"]);
                command.args(["-serial", "chardev:console"]);
            }
        }
        if matches!(self.guest, Guest::Paint(_) | Guest::Sound) {
            let disk = at("disk");
            command.arg("-drive");
            command.arg(format!("file={},format=raw,if=ide,read-only=off", disk.display()));
        }
        command.args(&self.extra);
        Ok(command)
    }

    fn device(&self) -> String {
        let name = match self.card {
            Card::Vga => return "VGA".to_owned(),
            Card::VirtioVga => "virtio-vga",
            Card::VirtioGpu => "virtio-gpu-pci",
        };
        let blob = if self.blob { ",blob=true" } else { "" };
        // Small, because an emulated guest takes long to draw.
        format!("{name},xres=640,yres=480,max_outputs={}{blob}", self.heads)
    }

    fn display_argument(&self) -> String {
        let gl = if self.gl {
            let node = std::env::var(RENDER_NODE_ENV);
            format!("gl=on,rendernode={}", node.as_deref().unwrap_or("/dev/dri/renderD128"))
        } else {
            "gl=off".to_owned()
        };
        let sound = if self.guest == Guest::Sound { ",audiodev=sound" } else { "" };
        match &self.display {
            Display::None => "none".to_owned(),
            // A comma in an option's value is written twice.
            Display::Bus(address) => {
                format!("dbus,addr={},{gl}{sound}", address.replace(',', ",,"))
            }
            Display::PeerToPeer => format!("dbus,p2p=yes,{gl}{sound}"),
        }
    }
}

fn program() -> Command {
    Command::new(std::env::var_os(QEMU_ENV).unwrap_or_else(|| "qemu-system-x86_64".into()))
}

/// What QEMU's program says of its version.
pub(crate) fn program_version(dir: &Arc<RunDir>) -> Result<String> {
    let mut command = program();
    command.arg("--version");
    run("qemu-version", "qemu-system-x86", command, dir, Deadline::seconds(60))
}

/// Quiet, with a still console, and without what only costs time under emulation.
const KERNEL_COMMAND_LINE: &str = "console=ttyS1 console=tty0 quiet loglevel=3 panic=-1 \
    vt.global_cursor_default=0 consoleblank=0 mitigations=off nokaslr no_timer_check nowatchdog \
    init_on_alloc=0 audit=0 lsm= \
    tsc=reliable rcupdate.rcu_expedited=1 cryptomgr.notests random.trust_cpu=on";

/// Waits until QEMU has connected to one of our sockets.
fn accept(listener: &UnixListener, child: &Child, deadline: Deadline) -> Result<UnixStream> {
    match readable(&[listener.as_fd(), child.ended()], deadline)? {
        Some(0) => Ok(listener.accept().context("accepting QEMU's connection")?.0),
        Some(_) => Err(child.failure("ended at once")),
        None => Err(child.failure("did not connect to its sockets in time")),
    }
}
