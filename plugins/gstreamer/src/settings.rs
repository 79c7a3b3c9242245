//! The properties of `fanlightsrc`.

use std::time::Duration;

use fanlight::session::{Config, Present};
use gst::Fraction;
use gst::glib::{self, ParamSpec};
use gst::prelude::*;

/// How frames reach the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFanlightPresent")]
pub enum PresentMode {
    /// See [`Present::Auto`].
    #[default]
    #[enum_value(
        name = "Auto: the guest's own memory where nothing tears, else a copy",
        nick = "auto"
    )]
    Auto,
    /// See [`Present::Direct`].
    #[enum_value(
        name = "Direct: the guest's own memory wherever downstream takes it; may tear",
        nick = "direct"
    )]
    Direct,
    /// See [`Present::Copy`].
    #[enum_value(name = "Copy: always a copy", nick = "copy")]
    Copy,
}

impl From<PresentMode> for Present {
    fn from(mode: PresentMode) -> Self {
        match mode {
            PresentMode::Auto => Self::Auto,
            PresentMode::Direct => Self::Direct,
            PresentMode::Copy => Self::Copy,
        }
    }
}

/// When the guest may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFanlightAck")]
pub enum AckMode {
    /// When nobody downstream reads what the guest may write next.
    #[default]
    #[enum_value(
        name = "Auto: when nothing can tear any more, at the deadline at the latest",
        nick = "auto"
    )]
    Auto,
    /// Whoever still reads it.
    #[enum_value(name = "Push: as soon as the frame is pushed; may tear", nick = "push")]
    Push,
    /// Also where the guest draws in place, which is never copied for it.
    #[enum_value(
        name = "Release: when the last buffer of the storage before is gone, at the deadline at the latest",
        nick = "release"
    )]
    Release,
    /// Slows the guest down to a steady pace.
    #[enum_value(name = "Deadline: always at the deadline", nick = "deadline")]
    Deadline,
}

/// What becomes of the guest's cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFanlightCursor")]
pub enum CursorMode {
    /// A meta where downstream takes it, else drawn.
    #[default]
    #[enum_value(
        name = "Auto: as a meta where downstream takes it, else drawn into copies",
        nick = "auto"
    )]
    Auto,
    /// Drawn.
    #[enum_value(name = "Embed: drawn into a copy of each frame", nick = "embed")]
    Embed,
    /// `GstVideoOverlayCompositionMeta`.
    #[enum_value(name = "Meta: as GstVideoOverlayCompositionMeta", nick = "meta")]
    Meta,
    /// Left out.
    #[enum_value(name = "None: left out", nick = "none")]
    None,
}

/// What becomes of the stream when the virtual machine goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFanlightOnDisconnect")]
pub enum OnDisconnect {
    /// It ends.
    #[default]
    #[enum_value(name = "EOS: the stream ends", nick = "eos")]
    Eos,
    /// It fails.
    #[enum_value(name = "Error: the element fails", nick = "error")]
    Error,
    /// It waits.
    #[enum_value(name = "Reconnect: wait until the virtual machine is back", nick = "reconnect")]
    Reconnect,
}

/// What the properties are.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) uri: String,
    pub(crate) console: i32,
    pub(crate) present: PresentMode,
    pub(crate) ack: AckMode,
    pub(crate) ack_deadline: Duration,
    pub(crate) cursor: CursorMode,
    pub(crate) max_framerate: Fraction,
    pub(crate) framerate: Fraction,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) view_only: bool,
    pub(crate) keymap: String,
}

/// What the environment says that keyboards are here.
fn usual_keymap() -> String {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(layout) = said("XKB_DEFAULT_LAYOUT") else { return "us".to_owned() };
    let first = |list: &str| list.split(',').next().unwrap_or_default().to_owned();
    match said("XKB_DEFAULT_VARIANT").map(|variants| first(&variants)) {
        Some(variant) if !variant.is_empty() => format!("{}({variant})", first(&layout)),
        _ => first(&layout),
    }
}

/// What is looked at for each frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EachFrame {
    pub(crate) cursor: CursorMode,
    pub(crate) keepalive: Option<Duration>,
}

const ANY: Fraction = Fraction::new_raw(0, 1);

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri: "qemu:".to_owned(),
            console: -1,
            present: PresentMode::default(),
            ack: AckMode::default(),
            ack_deadline: Config::VIEWER.ack_deadline,
            cursor: CursorMode::default(),
            max_framerate: ANY,
            framerate: ANY,
            keepalive: None,
            on_disconnect: OnDisconnect::default(),
            view_only: false,
            keymap: usual_keymap(),
        }
    }
}

impl Settings {
    pub(crate) fn specs() -> Vec<ParamSpec> {
        let any = gst::ParamSpecFraction::builder;
        let (none, most) = (ANY, Fraction::new(i32::MAX, 1));
        vec![
            glib::ParamSpecString::builder("uri")
                .nick("URI")
                .blurb("The virtual machine: qemu:, qemu:NAME-or-UUID, qemu+unix:/path/to/bus.sock, qmp:/path/to/qmp.sock, libvirt:DOMAIN, scanout:/path/to.sock, demo:")
                .default_value(Some("qemu:"))
                .mutable_ready()
                .build(),
            glib::ParamSpecInt::builder("console")
                .nick("Console")
                .blurb("Number of the console, where the URI names none; -1: the first graphic one")
                .minimum(-1)
                .default_value(-1)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder::<PresentMode>("present")
                .nick("Present")
                .blurb("Whether frames are the guest's own memory or copies")
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder::<AckMode>("ack")
                .nick("Ack")
                .blurb("When the guest may draw its next frame")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("ack-deadline")
                .nick("Ack deadline")
                .blurb("The guest may go on after this many ms, whatever downstream still reads; what is acked so is counted as forced-acks. A Linux guest waits 50 ms, QEMU 1000")
                .minimum(1)
                .maximum(1000)
                .default_value(40)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder::<CursorMode>("cursor")
                .nick("Cursor")
                .blurb("What becomes of the guest's mouse cursor")
                .mutable_playing()
                .build(),
            any("max-framerate")
                .nick("Maximum frame rate")
                .blurb("Frames a second at most; 0/1: as many as the guest makes")
                .minimum(none)
                .maximum(most)
                .default_value(none)
                .mutable_ready()
                .build(),
            any("framerate")
                .nick("Frame rate")
                .blurb("Exactly so many frames a second: the newest is repeated or left out; 0/1: one for each that the guest finishes")
                .minimum(none)
                .maximum(most)
                .default_value(none)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("keepalive-time")
                .nick("Keepalive time")
                .blurb("While the guest's screen stands still, its last frame is sent again after this many ms; 0: never")
                .default_value(0)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder::<OnDisconnect>("on-disconnect")
                .nick("On disconnect")
                .blurb("What happens when the virtual machine goes")
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("view-only")
                .nick("View only")
                .blurb("Pass no navigation event on to the guest")
                .mutable_playing()
                .build(),
            glib::ParamSpecString::builder("keymap")
                .nick("Keymap")
                .blurb("Keyboard layout of the guest, by which keysyms of navigation events become keys: an XKB name as us or de(nodeadkeys); what XKB_DEFAULT_LAYOUT says, else us")
                .default_value(Some("us"))
                .mutable_ready()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("What happened so far: counts; bytes; latencies in microseconds")
                .read_only()
                .build(),
        ]
    }

    /// Sets one that was checked against its specification.
    pub(crate) fn set(&mut self, name: &str, value: &glib::Value) {
        fn get<T>(value: &glib::Value) -> T
        where
            T: for<'a> glib::value::FromValue<'a>,
        {
            value.get().expect("checked by GObject")
        }
        let ms = |value| Duration::from_millis(u64::from(get::<u32>(value)));
        match name {
            "uri" => {
                let uri = value.get::<Option<String>>().expect("checked by GObject");
                self.uri = uri.unwrap_or_else(|| Self::default().uri);
            }
            "console" => self.console = get(value),
            "present" => self.present = get(value),
            "ack" => self.ack = get(value),
            "ack-deadline" => self.ack_deadline = ms(value),
            "cursor" => self.cursor = get(value),
            "max-framerate" => self.max_framerate = get(value),
            "framerate" => self.framerate = get(value),
            "keepalive-time" => self.keepalive = Some(ms(value)).filter(|time| !time.is_zero()),
            "on-disconnect" => self.on_disconnect = get(value),
            "view-only" => self.view_only = get(value),
            "keymap" => {
                let keymap = value.get::<Option<String>>().expect("checked by GObject");
                self.keymap = keymap.unwrap_or_else(usual_keymap);
            }
            other => unreachable!("no property {other}"),
        }
    }

    pub(crate) fn get(&self, name: &str) -> glib::Value {
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        match name {
            "uri" => self.uri.to_value(),
            "console" => self.console.to_value(),
            "present" => self.present.to_value(),
            "ack" => self.ack.to_value(),
            "ack-deadline" => ms(self.ack_deadline).to_value(),
            "cursor" => self.cursor.to_value(),
            "max-framerate" => self.max_framerate.to_value(),
            "framerate" => self.framerate.to_value(),
            "keepalive-time" => self.keepalive.map_or(0, ms).to_value(),
            "on-disconnect" => self.on_disconnect.to_value(),
            "view-only" => self.view_only.to_value(),
            "keymap" => self.keymap.to_value(),
            other => unreachable!("no property {other}"),
        }
    }

    pub(crate) fn each_frame(&self) -> EachFrame {
        EachFrame { cursor: self.cursor, keepalive: self.keepalive }
    }

    /// How frames are to reach the pipeline: a cursor is drawn into copies only.
    pub(crate) fn shown(&self) -> Present {
        if self.cursor == CursorMode::Embed { Present::Copy } else { self.present.into() }
    }

    /// The URI, with the console in it.
    pub(crate) fn address(&self) -> Result<fanlight::source::Uri, String> {
        let uri: fanlight::source::Uri =
            self.uri.parse().map_err(|error: fanlight::source::UriError| error.to_string())?;
        match u32::try_from(self.console) {
            Ok(console) if uri.console().is_none() => {
                let join = if self.uri.contains('?') { '&' } else { '?' };
                let named = format!("{}{join}console={console}", self.uri);
                named.parse().map_err(|error: fanlight::source::UriError| error.to_string())
            }
            _ => Ok(uri),
        }
    }
}
