//! What `view` can be told.

use clap::{Args, ValueEnum};

use crate::cli::exit::Failure;
use crate::cli::{Common, PresentArg, URIS};
use crate::frame::Sound;
use crate::sink::wayland::{Content, Fit, Hotkeys, WindowOptions};
use crate::source::Uri;
use crate::sys::take_variable;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight view                                the only VM on the session bus; asks if there are several
  fanlight view qemu:my-vm --fullscreen        one of several, as large as the screen
  fanlight view qmp:/run/vm.sock               a QEMU started with -display dbus,p2p=yes
  fanlight view qemu:my-vm --keep-open         when it ends, the window stays until you close it
  fanlight view qemu:my-vm --reconnect         over restarts of the VM, until the window is closed
  fanlight view libvirt:my-vm                  a domain of libvirt's with <graphics type='dbus'>
  fanlight view qemu:my-vm --all               every head of it, each in a window
  fanlight view qemu:my-vm qemu:other          two virtual machines
  fanlight view demo:                          a simulated guest, where there is no VM
  fanlight view --present direct --stats       never copy; say what happens
  fanlight view qemu:my-vm --hud               what happens, in a corner; F12 does too
  fanlight view --scale 1:1 --no-resize        a pixel is a pixel; the guest keeps its mode
  fanlight view --hotkey grab=rightctrl        the right Ctrl key grabs and lets go

Hotkeys:
  grab        Ctrl+Alt+G   every key is the guest's, the compositor's shortcuts too; or no longer
  fullscreen  F11          as large as the screen; or as before
  hud         F12          frames a second, direct or copied and why, latencies; or no longer
  screenshot  Ctrl+Alt+S   the guest's picture, into your folder for pictures
  mute        Ctrl+Alt+M   the guest is not heard, and records nothing; or again

--hotkey ACTION=KEYS changes one: modifiers (ctrl, alt, altgr, shift, super) and a key, joined by +,
or none, so that the guest has the key; grab=none grabs nothing. Keys are places on the keyboard and
have evdev's names without KEY_: a, 1, f11, pageup, kpenter, scrolllock, rightctrl.

While grabbed all keys but that of grab are the guest's. Until then Ctrl+Alt+End is its
Ctrl+Alt+Delete, and Ctrl+Alt+1 to Ctrl+Alt+= are its Ctrl+Alt+F1 to F12.

Without --present, the guest's memory itself is given to the compositor when the guest flips between
buffers, and a copy of it when the guest draws into the buffer that is shown.

What the guest plays is heard in builds with the feature `audio` (cargo build --features full) only; the
title says when it is muted.

Nothing that your microphone hears reaches the guest, unless --microphone is given. Then it is recorded
while the guest does so, as your desktop shows, and not while the window is muted.

Text that is copied in the guest can be pasted in the host, and the other way round, where QEMU has a
clipboard (-chardev qemu-vdagent,clipboard=on,…) and the guest runs spice-vdagent.

The window has the guest's size, pixel by pixel, until you resize it, maximize it or make it
fullscreen. From then on the guest is asked to take the window's size, unless --no-resize is given.

Several windows are independent: one that is closed leaves the others, and the program ends with the
last of them and the worst exit code. A head that is dark is switched on when its window opens (QEMU:
-device virtio-gpu-pci,max_outputs=2 has two).")]
pub(in crate::cli) struct ViewArgs {
    #[arg(value_name = "URI", default_value = "qemu:", help = format!("Whose screen, each in a window of its own: {URIS}"))]
    uris: Vec<String>,
    /// A window for each console of the virtual machine, or (qemu: without a name) of every virtual machine on the
    /// bus, as they come and go
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) common: Common,
    /// How the guest's memory reaches the compositor
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) present: PresentArg,
    /// Begin as large as the screen; on this one, if its connector is named (DP-1, …)
    #[arg(long, value_name = "OUTPUT", num_args = 0..=1, require_equals = true)]
    fullscreen: Option<Option<String>>,
    /// How the picture fills the window where they differ in size
    #[arg(long, value_enum, default_value = "fit")]
    scale: ScaleArg,
    /// Don't ask the guest to take the window's size
    #[arg(long)]
    no_resize: bool,
    /// Only look: keys and pointer don't reach the guest
    #[arg(long)]
    view_only: bool,
    /// Other keys for what the viewer does itself (see below); may be repeated
    #[arg(long = "hotkey", value_name = "ACTION=KEYS")]
    hotkeys: Vec<String>,
    /// Keep the guest's clipboard and the host's apart
    #[arg(long)]
    no_clipboard: bool,
    /// Don't play what the guest plays (which a build with the feature `audio` does)
    #[arg(long)]
    no_audio: bool,
    /// Let the guest record what your microphone hears, while it wants to; otherwise it never does. As all sound it
    /// needs a build with the feature `audio`
    #[arg(long, conflicts_with = "no_audio")]
    microphone: bool,
    /// Begin without its sound, and with nothing for it to record; the hotkey `mute` takes that back
    #[arg(long, conflicts_with = "no_audio")]
    mute: bool,
    /// When the virtual machine goes away, keep the window with its last picture, and show it again when it is back
    #[arg(long)]
    pub(super) reconnect: bool,
    /// When the virtual machine goes away, keep the window with its last picture until it is closed; --reconnect does more
    #[arg(long)]
    pub(super) keep_open: bool,
    /// Say in a corner what happens, once a second: frames, mode, latencies
    #[arg(long)]
    pub(super) hud: bool,
    /// Show frames while the screen is being drawn, where the compositor can: sooner, and torn
    #[arg(long)]
    tearing: bool,
    /// What the guest mostly shows, for compositors and screens that treat that specially
    #[arg(long, value_enum, value_name = "KIND")]
    content: Option<ContentArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ContentArg {
    Photo,
    Video,
    Game,
}

impl From<ContentArg> for Content {
    fn from(arg: ContentArg) -> Self {
        match arg {
            ContentArg::Photo => Self::Photo,
            ContentArg::Video => Self::Video,
            ContentArg::Game => Self::Game,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScaleArg {
    /// As large as the window allows, its aspect kept
    Fit,
    /// Whole device pixels for each of the guest's, as many as fit
    Integer,
    /// One device pixel for each of the guest's, as long as they fit
    #[value(name = "1:1")]
    OneToOne,
    /// The whole window, whatever becomes of the aspect
    Stretch,
}

impl From<ScaleArg> for Fit {
    fn from(arg: ScaleArg) -> Self {
        match arg {
            ScaleArg::Fit => Self::Aspect,
            ScaleArg::Integer => Self::Integer,
            ScaleArg::OneToOne => Self::OneToOne,
            ScaleArg::Stretch => Self::Stretch,
        }
    }
}

/// The launcher's word that the user asked for the window. Longer ones fit into no message.
fn activation() -> Option<String> {
    let token = take_variable("XDG_ACTIVATION_TOKEN")?.into_string().ok()?;
    (1..=1024).contains(&token.len()).then_some(token)
}

impl ViewArgs {
    /// Whether the guest is heard.
    pub(super) fn sound(&self) -> Sound {
        match (self.no_audio, self.mute) {
            (true, _) => Sound::Off,
            (false, true) => Sound::Muted,
            (false, false) => Sound::On,
        }
    }

    /// Whether the guest hears the user.
    pub(super) fn microphone(&self) -> Sound {
        if self.microphone { self.sound() } else { Sound::Off }
    }

    pub(super) fn uris(&self) -> Result<Vec<Uri>, Failure> {
        self.uris.iter().map(|uri| uri.parse().map_err(Failure::usage)).collect()
    }

    /// What windows are to be like.
    pub(super) fn window(&self) -> Result<WindowOptions, Failure> {
        let hotkeys = self.hotkeys.iter().map(String::as_str);
        Ok(WindowOptions {
            fullscreen: self.fullscreen.is_some(),
            output: self.fullscreen.clone().flatten(),
            fit: self.scale.into(),
            resize_guest: !self.no_resize,
            tearing: self.tearing,
            content: self.content.map(Into::into),
            view_only: self.view_only,
            hotkeys: Hotkeys::changed(hotkeys).map_err(Failure::usage)?,
            activation: activation(),
            clipboard: !self.no_clipboard,
            ..WindowOptions::default()
        })
    }
}
